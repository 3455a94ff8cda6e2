//! A block: the events of one commit group, packed. One key holds many events, since a key costs sled far more than its bytes.
//!
//! Heads never change. States do: what became of each event's deliveries, with the newest attempt of each where it is small.
//! Both are sequences of frames, one an event, each with its own checksum: damage costs the event that it hits.
//! From a block's states follow its index keys, and from two of them the difference: nothing else writes an index.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys::{self, BlockId, Key};
use super::tally::Tally;
use crate::record::{Attempt, Delivery, DeliveryId, Event, EventId, Name, StateName};
use crate::store::purge::Class;
use crate::store::{Error, EventState};
use crate::time::Timestamp;

/// The version of every record in this file: its first byte.
const VERSION: u8 = 1;
/// The newest attempt rides in its delivery's record up to this size; a larger one has a key of its own.
const INLINE_ATTEMPT_BYTES_MAX: usize = 512;
/// Most records fit into so many bytes at once.
const RECORD_BYTES: usize = 1024;
/// The number of [`EventState::Unrouted`] in the index by state, behind those of [`StateName`].
pub(super) const UNROUTED: u8 = 4;
/// There, too: blocks of which nothing is left but what their events were.
pub(super) const OVER: u8 = 5;
/// What is kept of an event that is gone is its id. Records are longer.
const GONE_BYTES: usize = 16;

/// An event as stored, without what changes.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub(super) struct Head {
    /// The event; its `duplicates` are those of its [`EventRecord`]. Its id comes first in the encoded form: see [`place`].
    pub(super) event: Event,
    /// The CRC-32 of its body.
    pub(super) body_crc: u32,
    /// Where its body begins: in the journal ([`Spot::to_bits`](crate::store::journal::Spot)), or in the block's bodies. Eight bytes at the end of the encoded form: see [`place`].
    #[serde(with = "postcard::fixint::be")]
    pub(super) body_at: u64,
}

/// What changes of an event.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub(super) struct EventRecord {
    pub(super) id: EventId,
    pub(super) duplicates: u32,
    /// As counted by [`Event::stored_bytes`].
    pub(super) bytes: u64,
    pub(super) deliveries: Vec<DeliveryRecord>,
}

/// A delivery and its newest attempt, where that is small: still encoded, since blocks are read far more often than attempts.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub(super) struct DeliveryRecord {
    pub(super) delivery: Delivery,
    newest: Option<Bytes>,
}

/// What changes of a block's events, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct States(pub(super) Vec<Slot>);

/// What changes of an event, at its place in a block. A place is never given to another event, since heads are found by it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Slot {
    /// It is there.
    Record(EventRecord),
    /// It was purged. Its id is kept until the journal is past its arrival: a replay must not take it for a new event.
    Gone(EventId),
    /// It cannot be read.
    Damaged,
}

impl States {
    /// The record of an event, and its place in the block.
    pub(super) fn find(&self, id: EventId) -> Option<(usize, &EventRecord)> {
        self.events().find(|(_, event)| event.id == id)
    }

    /// The record of an event.
    pub(super) fn find_mut(&mut self, id: EventId) -> Option<&mut EventRecord> {
        self.0.iter_mut().find_map(|slot| match slot {
            Slot::Record(event) if event.id == id => Some(event),
            _ => None,
        })
    }

    /// All readable records and their places.
    pub(super) fn events(&self) -> impl DoubleEndedIterator<Item = (usize, &EventRecord)> {
        self.0.iter().enumerate().filter_map(|(place, slot)| match slot {
            Slot::Record(event) => Some((place, event)),
            _ => None,
        })
    }

    /// Whether it was purged.
    pub(super) fn is_gone(&self, id: EventId) -> bool {
        self.0.contains(&Slot::Gone(id))
    }

    /// Whether nothing is left here: what could not be read goes with the last that could.
    pub(super) fn is_over(&self) -> bool {
        self.events().next().is_none() && self.0.iter().any(|slot| matches!(slot, Slot::Gone(_)))
    }

    /// Records that cannot be read.
    pub(super) fn damaged(&self) -> usize {
        self.0.iter().filter(|slot| **slot == Slot::Damaged).count()
    }

    /// Purges an event; gives what it was.
    pub(super) fn purge(&mut self, id: EventId) -> Option<EventRecord> {
        let slot = self.0.iter_mut().find(|slot| matches!(slot, Slot::Record(event) if event.id == id))?;
        match std::mem::replace(slot, Slot::Gone(id)) {
            Slot::Record(event) => Some(event),
            _ => None,
        }
    }

    /// The keys under which the index finds the block.
    pub(super) fn index(&self, block: BlockId) -> BTreeSet<Key> {
        let mut states = [false; OVER as usize + 1];
        states[OVER as usize] = self.is_over();
        let mut first_due: BTreeMap<&Name, Option<Timestamp>> = BTreeMap::new();
        let mut index = BTreeSet::new();
        for (_, event) in self.events() {
            states[UNROUTED as usize] |= event.deliveries.is_empty();
            for DeliveryRecord { delivery, .. } in &event.deliveries {
                states[delivery.state.name() as usize] = true;
                let first = first_due.entry(&delivery.destination).or_default();
                // What is held is not due before its turn.
                *first = (*first).into_iter().chain(delivery.due().filter(|_| !delivery.is_held())).min();
                index.extend(in_order(delivery, block));
            }
        }
        let by_state = (0..=OVER).filter(|state| states[*state as usize]).map(keys::by_state);
        let by_destination = first_due.keys().map(|destination| keys::by_destination(destination));
        index.extend(by_state.chain(by_destination).map(|prefix| keys::with_block(prefix, block)));
        let due = first_due.iter().filter_map(|(destination, due)| Some(keys::due(destination, (*due)?, block)));
        index.extend(due);
        index
    }

    /// What the block adds to the counts.
    pub(super) fn tally(&self) -> Tally {
        let damaged = if self.is_over() { 0 } else { self.damaged() as i64 };
        let mut tally = Tally { events: damaged, ..Tally::default() };
        self.events().for_each(|(_, event)| tally.add(event, 1));
        tally
    }

    /// The encoded form.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![VERSION];
        for slot in &self.0 {
            match slot {
                Slot::Record(event) => push_frame(&mut bytes, &encode(event)?),
                Slot::Gone(id) => push_frame(&mut bytes, &id.to_bytes()),
                // What cannot be read stays so, and keeps its place.
                Slot::Damaged => push_frame(&mut bytes, &[]),
            }
        }
        Ok(bytes)
    }

    /// From the encoded form; damaged records are left out and counted.
    pub(super) fn decode(bytes: &[u8]) -> (Self, u64) {
        let mut damaged = 0;
        let states = frames(bytes).map(|frame| {
            let gone = frame.filter(|frame| frame.len() == GONE_BYTES).and_then(decode).map(Slot::Gone);
            let slot = gone.or_else(|| frame.and_then(decode).map(Slot::Record)).unwrap_or(Slot::Damaged);
            damaged += u64::from(slot == Slot::Damaged);
            slot
        });
        let states = Self(states.collect());
        (states, damaged)
    }
}

/// The keys under which a delivery's order key leads to its block.
fn in_order(delivery: &Delivery, block: BlockId) -> impl Iterator<Item = Key> {
    let pending = delivery.due().and(delivery.order_key.as_deref());
    let held = pending.filter(|_| delivery.is_held());
    let key = move |prefix, key: &str| keys::with_block(keys::order(prefix, &delivery.destination, Some(key)), block);
    pending.map(|k| key(keys::ORDER, k)).into_iter().chain(held.map(|k| key(keys::HELD, k)))
}

impl EventRecord {
    /// The derived state of the event.
    pub(super) fn state(&self) -> EventState {
        EventState::of(self.deliveries.iter().map(|record| record.delivery.state.name()))
    }

    /// What it waits for.
    pub(super) fn class(&self) -> Class {
        Class::of(self.deliveries.iter().map(|record| record.delivery.state.name()))
    }

    /// Whether attempts of it have keys of their own.
    pub(super) fn has_more_attempts(&self) -> bool {
        self.deliveries.iter().any(|record| record.delivery.attempts_made > u32::from(record.newest.is_some()))
    }

    /// One of its deliveries.
    pub(super) fn delivery(&self, id: DeliveryId) -> Option<&DeliveryRecord> {
        self.deliveries.iter().find(|record| record.delivery.id == id)
    }

    /// One of its deliveries.
    pub(super) fn delivery_mut(&mut self, id: DeliveryId) -> Option<&mut DeliveryRecord> {
        self.deliveries.iter_mut().find(|record| record.delivery.id == id)
    }

    /// The number of the next delivery; `None` once all are used.
    pub(super) fn next_ordinal(&self) -> Option<u16> {
        self.deliveries.iter().map(|record| record.delivery.id.ordinal).max().unwrap_or(0).checked_add(1)
    }
}

impl DeliveryRecord {
    /// A delivery without an attempt.
    pub(super) fn new(delivery: Delivery) -> Self {
        Self { delivery, newest: None }
    }

    /// The newest attempt, where it is kept here.
    pub(super) fn newest(&self) -> Option<Attempt> {
        self.newest.as_deref().and_then(decode)
    }

    /// Sets the newest attempt; gives the encoded ones that must have keys of their own now.
    pub(super) fn put_newest(&mut self, attempt: &Attempt) -> Result<Vec<(u32, Bytes)>, Error> {
        let encoded = Bytes::from(encode(attempt)?);
        let number = attempt.number;
        let before = self.newest.take().map(|older| (number.saturating_sub(1), older));
        if encoded.len() <= INLINE_ATTEMPT_BYTES_MAX {
            self.newest = Some(encoded);
            return Ok(before.into_iter().collect());
        }
        Ok(before.into_iter().chain([(number, encoded)]).collect())
    }

    /// Whether it is in that state.
    pub(super) fn is(&self, state: StateName) -> bool {
        self.delivery.state.name() == state
    }
}

/// The encoded form of a record.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    postcard::to_extend(value, Vec::with_capacity(RECORD_BYTES))
        .map_err(|error| Error::Failed(format!("a record cannot be encoded: {error}")))
}

/// From an encoded form; `None` where it is damaged.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

/// Gives an encoded head what only the writer knows: its event's id, and where its body begins. Heads are encoded before, in the
/// threads of those who append.
pub(super) fn place(head: &mut [u8], id: EventId, body_at: u64) {
    let end = head.len() - 8;
    head[end..].copy_from_slice(&body_at.to_be_bytes());
    head[..16].copy_from_slice(&id.to_bytes());
}

/// Begins a sequence of frames.
pub(super) fn first_byte() -> Vec<u8> {
    vec![VERSION]
}

/// Adds a frame: length, checksum, content.
pub(super) fn push_frame(bytes: &mut Vec<u8>, content: &[u8]) {
    bytes.extend_from_slice(&(content.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(content).to_be_bytes());
    bytes.extend_from_slice(content);
}

/// The content of the frame at `place`, where its checksum fits. Frames before it are passed over unread.
pub(super) fn frame_at(bytes: &[u8], place: usize) -> Option<&[u8]> {
    raw_frames(bytes).nth(place).and_then(Frame::content)
}

/// The content of each frame, `None` where its checksum does not fit. Ends at a version or a length that makes no sense.
pub(super) fn frames(bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    raw_frames(bytes).map(Frame::content)
}

/// A frame whose checksum was not looked at.
struct Frame<'a> {
    crc: u32,
    unproved: &'a [u8],
}

impl<'a> Frame<'a> {
    fn content(self) -> Option<&'a [u8]> {
        (crc32fast::hash(self.unproved) == self.crc).then_some(self.unproved)
    }
}

fn raw_frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = bytes.strip_prefix(&[VERSION]).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (crc, tail) = tail.split_first_chunk::<4>()?;
        let (unproved, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = tail;
        Some(Frame { crc: u32::from_be_bytes(*crc), unproved })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Budget, EventIds, Headers, State};

    fn record(ms: u64, due: u64) -> EventRecord {
        let event = EventIds::default().next(Timestamp::from_ms(ms), 3);
        let name = |n| Name::try_new(n).unwrap();
        let mut delivery = Delivery::new(DeliveryId { event, ordinal: 1 }, name("s"), name("d"), Timestamp::from_ms(ms));
        delivery.state = State::Pending { due: Timestamp::from_ms(due) };
        delivery.budget = Budget { since: Timestamp::from_ms(ms), attempts: 2 };
        EventRecord { id: event, duplicates: 1, bytes: 600, deliveries: vec![DeliveryRecord::new(delivery)] }
    }

    #[test]
    fn states_survive_and_damage_costs_one_event() {
        let gone = EventId::first_at(Timestamp::from_ms(3));
        let states = States(vec![Slot::Record(record(1, 10)), Slot::Record(record(2, 5)), Slot::Gone(gone)]);
        let mut bytes = states.encode().unwrap();
        assert_eq!(States::decode(&bytes), (states.clone(), 0));
        bytes[20] ^= 1;
        let (read, damaged) = States::decode(&bytes);
        assert_eq!((&read.0[0], &read.0[1..], damaged), (&Slot::Damaged, &states.0[1..], 1));
        assert_eq!(States::decode(&read.encode().unwrap()), (read, 1));
        assert_eq!(States::decode(&[9, 9, 9]), (States::default(), 0));
    }

    #[test]
    fn a_block_is_due_when_its_first_delivery_is() {
        let states = States(vec![Slot::Record(record(1, 10)), Slot::Record(record(2, 5))]);
        let block = states.events().next().unwrap().1.id;
        let due: Vec<_> = states.index(block).into_iter().filter(|k| k[0] == keys::DUE).collect();
        assert_eq!(due, [keys::due("d", Timestamp::from_ms(5), block)]);
        assert_eq!(states.tally().deliveries.into_values().collect::<Vec<_>>(), [[2, 0, 0, 0]]);
    }

    #[test]
    fn a_block_is_over_once_nothing_in_it_can_be_read() {
        let mut states = States(vec![Slot::Record(record(1, 9)), Slot::Damaged, Slot::Record(record(2, 9))]);
        let ids: Vec<_> = states.events().map(|(_, event)| event.id).collect();
        assert_eq!((states.purge(ids[0]).map(|event| event.id), states.purge(ids[0])), (Some(ids[0]), None));
        assert_eq!((states.is_over(), states.tally().events, states.is_gone(ids[0])), (false, 2, true));
        states.purge(ids[1]);
        assert_eq!((states.is_over(), states.tally()), (true, Tally::default()));
        let index: Vec<_> = states.index(ids[0]).into_iter().collect();
        assert_eq!(index, [keys::with_block(keys::by_state(OVER), ids[0])]);
    }

    #[test]
    fn what_is_held_is_found_by_its_key_and_is_not_due() {
        let keyed = |ms, due| {
            let mut event = record(ms, due);
            let delivery = &mut event.deliveries[0].delivery;
            *delivery = delivery.clone().with_order_key(Some("c1".to_owned()));
            event
        };
        let mut held = keyed(2, 1);
        held.deliveries[0].delivery = held.deliveries[0].delivery.clone().held().unwrap();
        let first = keyed(1, 10);
        let (block, hash) = (first.id, keys::hash_of(&first.deliveries[0].delivery));
        let states = States(vec![Slot::Record(first), Slot::Record(held)]);
        let index = states.index(block);
        assert!(index.contains(&keys::due("d", Timestamp::from_ms(10), block)));
        for prefix in [keys::ORDER, keys::HELD] {
            let key = keys::with_block(keys::order(prefix, "d", Some("c1")), block);
            assert!(index.contains(&key) && keys::order_hash(&key) == hash);
        }
        assert_eq!(index.iter().filter(|key| [keys::DUE, keys::ORDER, keys::HELD].contains(&key[0])).count(), 3);
    }

    #[test]
    fn a_head_is_placed_after_it_was_encoded() {
        let event = Event {
            id: EventId::from_bytes([0; 16]),
            source: Name::try_new("s").unwrap(),
            provider: "github".into(),
            kind: Some("push".into()),
            provider_event_id: None,
            received_at: Timestamp::from_ms(9),
            method: "POST".into(),
            target: "/x".into(),
            authority: "h".into(),
            peer: "::1".parse().unwrap(),
            headers: Headers::default(),
            body_bytes: 3,
            duplicates: 0,
        };
        let mut head = Head { event, body_crc: 7, body_at: 0 };
        let mut bytes = encode(&head).unwrap();
        head.event.id = EventIds::default().next(Timestamp::from_ms(9), 1);
        head.body_at = 1 << 40;
        place(&mut bytes, head.event.id, head.body_at);
        assert_eq!(decode::<Head>(&bytes), Some(head));
    }
}
