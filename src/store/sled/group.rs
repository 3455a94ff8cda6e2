//! One commit group of the sled store as it is gathered: what comes in, what it touches, and the batch that it becomes.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use sled::Batch;
use tokio::sync::oneshot;

use super::block::{self, States};
use super::bodies::{Bodies, CHUNK_BYTES};
use super::keys::{self, BlockId, Key};
use crate::record::{Delivery, DeliveryId, Event, EventId, Name};
use crate::store::{Appended, Claim, Dedupe, Error, Settlement};
use crate::time::Timestamp;

/// An answer that somebody waits for.
type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What is done once a group is durable.
pub(super) type Then = Box<dyn FnOnce() + Send>;

/// One change of the store.
pub(super) enum Job {
    Append { new: Box<New>, reply: Reply<Appended> },
    Settle(Box<Settlement>),
    Release(Claim),
    Replay { event: EventId, destinations: Vec<Name>, now: Timestamp, reply: Reply<Vec<DeliveryId>> },
    Retry { delivery: DeliveryId, now: Timestamp, reply: Reply<Delivery> },
    Cancel { delivery: DeliveryId, now: Timestamp, reply: Reply<Delivery> },
}

/// An event on its way in, encoded as far as can be without its id.
pub(super) struct New {
    pub(super) event: Event,
    pub(super) head: Vec<u8>,
    pub(super) body: Bytes,
    pub(super) destinations: Vec<Name>,
    pub(super) dedupe: Option<Dedupe>,
}

/// One group as it is gathered.
#[derive(Default)]
pub(super) struct Group {
    pub(super) batch: Batch,
    /// Blocks that were loaded: as they were, and as they are now.
    pub(super) blocks: BTreeMap<BlockId, (States, States)>,
    pub(super) new: Vec<Fresh>,
    /// Dedupe keys of this group's new events, and their places in `new`.
    pub(super) dedupe: HashMap<Key, usize>,
    pub(super) freed: Vec<Claim>,
    pub(super) nudges: Vec<Name>,
    pub(super) handovers: Vec<Then>,
    pub(super) then: Vec<Then>,
    pub(super) bytes: usize,
}

/// A new event of the group, with the waiters of its duplicates.
pub(super) struct Fresh {
    pub(super) new: New,
    pub(super) id: EventId,
    pub(super) duplicates: u32,
}

impl Group {
    /// Frames of any length under consecutive keys. The last chunk is always a short one, so that chunks which a value left
    /// behind when it became shorter are never read; a byte too many is no frame.
    pub(super) fn put_long(&mut self, prefix: u8, block: BlockId, mut value: Vec<u8>) {
        if value.len().is_multiple_of(CHUNK_BYTES) {
            value.push(0);
        }
        for (number, part) in (0u16..).zip(value.chunks(CHUNK_BYTES)) {
            self.batch.insert(keys::chunk(prefix, block, number), part);
        }
    }

    pub(super) fn put_attempt(&mut self, delivery: DeliveryId, number: u32, encoded: &[u8]) {
        let mut value = block::first_byte();
        block::push_frame(&mut value, encoded);
        self.batch.insert(keys::attempt(delivery, number), value);
    }

    pub(super) fn put_bodies(&mut self, block: BlockId, bodies: &Bodies) {
        for (number, part) in (0u16..).zip(bodies.chunks()) {
            self.bytes += part.len();
            self.batch.insert(keys::chunk(keys::BODIES, block, number), part);
        }
    }
}
