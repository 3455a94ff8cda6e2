//! What the journal keeps of one event: its record after a change, and all of it where it is new.
//!
//! An entry says how things are, not what to do: entries may be replayed over what is newer already, and in the end all is as the
//! last one says.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::block::{self, EventRecord, Head};
use super::dedupe::{DedupeEntry, DedupeKey};
use crate::record::{DeliveryId, Event, EventId};
use crate::store::Error;
use crate::store::journal::{Journal, Pushed, Spot};

/// The first byte of an entry.
const CHANGE: u8 = 1;
const CHECKPOINT: u8 = 2;
/// In backups only; other kinds of the journal may come between.
const IDS: u8 = 0x80;
const PURGE: u8 = 3;

/// An entry of the journal.
pub(super) enum Entry {
    Change(Change),
    /// sled held all records up to this number durably.
    Checkpoint(u64),
    /// What is known of providers' event ids; in backups only, where they do not come with their events. Of equal ones the last
    /// counts.
    Ids(Vec<(DedupeKey, DedupeEntry)>),
    /// These events are gone.
    Purge(Vec<EventId>),
}

/// An event as it is after a change.
pub(super) struct Change {
    pub(super) record: EventRecord,
    /// Attempts that have keys of their own now, encoded.
    pub(super) attempts: Vec<(DeliveryId, u32, Bytes)>,
    /// Where the event is new.
    pub(super) arrival: Option<Arrival>,
}

/// What a new event brings.
pub(super) struct Arrival {
    pub(super) event: Arc<Event>,
    /// Its encoded [`Head`], which does not say yet where the body is.
    pub(super) head: Vec<u8>,
    pub(super) body: Bytes,
    /// Where the journal has the body, for good; `None` where that is not known. So it is not in a replay: the drive may have
    /// failed to take what a file shows.
    pub(super) spot: Option<Spot>,
    pub(super) dedupe: Option<(DedupeKey, DedupeEntry)>,
}

/// What is encoded of a [`Change`] in front of head and body.
#[derive(Serialize, Deserialize)]
struct Front<Record, Attempts> {
    record: Record,
    attempts: Attempts,
    head_bytes: Option<u32>,
    dedupe: Option<(DedupeKey, DedupeEntry)>,
}

impl Change {
    /// Adds it to the journal, and notes where its body is there; gives the record's number.
    pub(super) fn push(&mut self, journal: &mut Journal) -> Result<u64, Error> {
        let (pushed, bytes) = self.encode(|parts| (journal.push(parts), parts.iter().map(|part| part.len()).sum::<usize>()))?;
        let Pushed { number, spot } = pushed.map_err(Error::from_io)?;
        if let Some(arrival) = &mut self.arrival {
            arrival.spot = Some(spot.behind(bytes - arrival.body.len()));
        }
        Ok(number)
    }

    /// Gives the parts of its encoded form, which is all of them one after the other.
    pub(super) fn encode<T>(&self, take: impl FnOnce(&[&[u8]]) -> T) -> Result<T, Error> {
        let arrival = self.arrival.as_ref();
        let front = Front {
            record: &self.record,
            attempts: &self.attempts,
            head_bytes: arrival.map(|arrival| arrival.head.len() as u32),
            dedupe: arrival.and_then(|arrival| arrival.dedupe),
        };
        let front = block::encode(&front)?;
        let length = (front.len() as u32).to_be_bytes();
        let (head, body) = arrival.map_or((&[][..], &[][..]), |arrival| (&arrival.head, &arrival.body));
        Ok(take(&[&[CHANGE], &length, &front, head, body]))
    }
}

impl Entry {
    /// Adds a note that sled holds all records up to `number` durably.
    pub(super) fn push_checkpoint(journal: &mut Journal, number: u64) -> Result<u64, Error> {
        journal.push(&[&[CHECKPOINT], &number.to_be_bytes()]).map(|pushed| pushed.number).map_err(Error::from_io)
    }

    /// The encoded form of what is known of providers' event ids.
    pub(super) fn encode_ids(ids: &[(DedupeKey, DedupeEntry)]) -> Result<Vec<u8>, Error> {
        Ok([&[IDS][..], &block::encode(&ids)?].concat())
    }

    /// Adds that these events are gone; gives the record's number.
    pub(super) fn push_purge(journal: &mut Journal, gone: &[EventId]) -> Result<u64, Error> {
        let gone: Vec<u8> = gone.iter().flat_map(|id| id.to_bytes()).collect();
        journal.push(&[&[PURGE], &gone]).map(|pushed| pushed.number).map_err(Error::from_io)
    }

    /// From a record's payload; `None` where it makes no sense.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        match *kind {
            CHANGE => decode_change(rest).map(Self::Change),
            IDS => block::decode(rest).map(Self::Ids),
            CHECKPOINT => Some(Self::Checkpoint(u64::from_be_bytes(rest.try_into().ok()?))),
            PURGE => {
                let (ids, rest) = rest.as_chunks::<16>();
                rest.is_empty().then(|| Self::Purge(ids.iter().map(|id| EventId::from_bytes(*id)).collect()))
            }
            _ => None,
        }
    }
}

fn decode_change(bytes: &[u8]) -> Option<Change> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (front, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let Front { record, attempts, head_bytes, dedupe } = block::decode::<Front<EventRecord, Vec<_>>>(front)?;
    let arrival = match head_bytes {
        None => None,
        Some(head_bytes) => {
            let (head, body) = rest.split_at_checked(head_bytes as usize)?;
            let event = Arc::new(block::decode::<Head>(head)?.event);
            Some(Arrival { event, head: head.to_vec(), body: Bytes::copy_from_slice(body), spot: None, dedupe })
        }
    };
    Some(Change { record, attempts, arrival })
}
