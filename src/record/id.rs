//! Ids of events and deliveries. An event's id is a UUIDv7 (RFC 9562), so that the order of ids is the order of arrival.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::time::Timestamp;

/// An event's id: a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

/// A delivery's id: its event, and which of the event's deliveries it is (from 1). Text form: `UUID.N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The event that is delivered.
    pub event: EventId,
    /// Counted from 1 over the event's deliveries, replays included.
    pub ordinal: u16,
}

/// Text that is no id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct BadId;

impl EventId {
    /// The length of the text form, in bytes.
    pub const TEXT_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

    /// The text form, written into `buffer`.
    pub fn text(self, buffer: &mut [u8; Self::TEXT_BYTES]) -> &str {
        self.0.hyphenated().encode_lower(buffer)
    }

    /// The id's 16 bytes, big-endian: order of bytes is order of time.
    pub fn to_bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// From the 16 bytes of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The smallest id that an event of `at` can have: the start of a range scan.
    pub fn first_at(at: Timestamp) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&at.ms().to_be_bytes()[2..]);
        Self(Uuid::from_bytes(bytes))
    }

    /// When the id was made.
    pub fn made_at(self) -> Timestamp {
        let mut ms = [0; 8];
        ms[2..].copy_from_slice(&self.0.as_bytes()[..6]);
        Timestamp::from_ms(u64::from_be_bytes(ms))
    }
}

impl DeliveryId {
    /// The id's 18 bytes, big-endian.
    pub fn to_bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(&self.event.to_bytes());
        bytes[16..].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes
    }

    /// From the 18 bytes of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; 18]) -> Self {
        let (mut event, mut ordinal) = ([0; 16], [0; 2]);
        event.copy_from_slice(&bytes[..16]);
        ordinal.copy_from_slice(&bytes[16..]);
        Self { event: EventId::from_bytes(event), ordinal: u16::from_be_bytes(ordinal) }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.event, self.ordinal)
    }
}

impl FromStr for EventId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        Uuid::try_parse(text).map(Self).map_err(|_| BadId)
    }
}

impl FromStr for DeliveryId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let (event, ordinal) = text.split_once('.').ok_or(BadId)?;
        Ok(Self { event: event.parse()?, ordinal: ordinal.parse().map_err(|_| BadId)? })
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.to_bytes().serialize(s) }
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return <[u8; 16]>::deserialize(d).map(Self::from_bytes);
        }
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for DeliveryId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { (self.event, self.ordinal).serialize(s) }
    }
}

impl<'de> Deserialize<'de> for DeliveryId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return <(EventId, u16)>::deserialize(d).map(|(event, ordinal)| Self { event, ordinal });
        }
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes event ids in strictly rising order, also within a millisecond and when the clock is set back.
#[derive(Clone, Debug, Default)]
pub struct EventIds {
    last_ms: u64,
    count: u16,
}

impl EventIds {
    /// RFC 9562 gives 12 bits behind the milliseconds; they count within one millisecond.
    const COUNT_MAX: u16 = 0x0fff;

    /// The next id, made at `now` with 64 bits of `random`.
    pub fn next(&mut self, now: Timestamp, random: u64) -> EventId {
        if now.ms() > self.last_ms {
            (self.last_ms, self.count) = (now.ms(), 0);
        } else if self.count == Self::COUNT_MAX {
            (self.last_ms, self.count) = (self.last_ms + 1, 0);
        } else {
            self.count += 1;
        }
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&self.count.to_be_bytes());
        tail[2..].copy_from_slice(&random.to_be_bytes());
        EventId(uuid::Builder::from_unix_timestamp_millis(self.last_ms, &tail).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_rise_whatever_the_clock_does(times in prop::collection::vec(0u64..5_000, 1..200), random: u64) {
            let mut ids = EventIds::default();
            let made: Vec<_> = times.iter().map(|&ms| ids.next(Timestamp::from_ms(ms), random)).collect();
            prop_assert!(made.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(made.iter().all(|id| id.to_string().parse() == Ok(*id)));
        }

        #[test]
        fn delivery_ids_survive_text_and_bytes(ms in 0u64..1 << 47, random: u64, ordinal: u16) {
            let id = DeliveryId { event: EventIds::default().next(Timestamp::from_ms(ms), random), ordinal };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            let mut text = [0; EventId::TEXT_BYTES];
            prop_assert_eq!(id.event.text(&mut text), id.event.to_string());
            prop_assert_eq!(DeliveryId::from_bytes(id.to_bytes()), id);
        }
    }

    #[test]
    fn a_range_starts_before_every_id_of_its_time() {
        let at = Timestamp::from_ms(1_790_000_000_000);
        let id = EventIds::default().next(at, 0);
        assert!(EventId::first_at(at) <= id && id < EventId::first_at(Timestamp::from_ms(at.ms() + 1)));
        assert_eq!(id.made_at(), at);
    }

    #[test]
    fn a_full_millisecond_runs_into_the_next() {
        let mut ids = EventIds::default();
        let made: Vec<_> = (0..10_000).map(|_| ids.next(Timestamp::from_ms(7), 0)).collect();
        assert!(made.windows(2).all(|w| w[0] < w[1]));
    }
}
