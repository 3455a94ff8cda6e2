//! One commit group of the sled store as it is gathered: what comes in, and what it touches.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::block::EventRecord;
use super::dedupe::DedupeKey;
use super::keys::BlockId;
use super::order::Line;
use crate::record::{Attempt, Delivery, DeliveryId, Event, EventId, Name};
use crate::store::answers::{self, Answer};
use crate::store::{Appended, Asking, Claim, Error, Fact, Made, Purge, Purged, Settlement, Tracked};
use crate::time::Timestamp;

type Reply<T> = answers::Reply<Result<T, Error>>;

/// What is done once a group is durable.
pub(super) type Then = Box<dyn FnOnce() + Send>;

/// One change of the store.
pub(super) enum Job {
    Append {
        new: Box<New>,
        reply: Reply<Appended>,
    },
    /// An attempt; and whether its delivery has an order key, so that the next one may wait for it.
    Settle(Box<Settlement>, bool),
    Release(Claim),
    /// It was met before its turn.
    Hold(DeliveryId),
    /// Nothing is left that it could wait for.
    Turn {
        delivery: DeliveryId,
        now: Timestamp,
    },
    Replay {
        event: EventId,
        destinations: Vec<Name>,
        replay: Option<String>,
        now: Timestamp,
        reply: Reply<Vec<Made>>,
    },
    Retry {
        delivery: DeliveryId,
        now: Timestamp,
        reply: Reply<Delivery>,
    },
    Park {
        delivery: DeliveryId,
        now: Timestamp,
        reply: Reply<Delivery>,
    },
    Cancel {
        delivery: DeliveryId,
        now: Timestamp,
        reply: Reply<Delivery>,
    },
    /// What of these blocks may go.
    Purge {
        purge: Purge,
        blocks: Vec<BlockId>,
        reply: Reply<Purged>,
    },
}

/// An event on its way in, encoded as far as can be without its id.
pub(super) struct New {
    pub(super) event: Event,
    pub(super) head: Vec<u8>,
    pub(super) body: Bytes,
    pub(super) destinations: Arc<[Name]>,
    /// By place among the destinations; may be shorter.
    pub(super) order_keys: Vec<Option<String>>,
    /// How a repeat is known, and until when.
    pub(super) dedupe: Option<(DedupeKey, Timestamp)>,
    /// Who waits for what its application says.
    pub(super) asking: Option<Asking>,
}

/// One group as it is gathered.
#[derive(Default)]
pub(super) struct Group {
    pub(super) new: Vec<Fresh>,
    /// Older events that the group looked at, as they are now.
    pub(super) touched: BTreeMap<EventId, Touched>,
    /// Dedupe keys of this group's new events, and their places in `new`.
    pub(super) dedupe: HashMap<DedupeKey, usize>,
    /// Events that are purged, by their blocks.
    pub(super) purges: Vec<(BlockId, Vec<EventId>)>,
    /// The same events.
    pub(super) gone: HashSet<EventId>,
    /// Deliveries that the group made pending, by what orders them: the index does not have them yet.
    pub(super) lines: BTreeMap<Line, BTreeSet<DeliveryId>>,
    pub(super) freed: Vec<Claim>,
    pub(super) nudges: Vec<Name>,
    pub(super) handovers: Vec<Then>,
    pub(super) answers: Vec<Answer>,
    /// What happened, where anybody watches.
    pub(super) facts: Option<Vec<Fact>>,
}

impl Group {
    /// An empty one; `is_watched`: whether what happens is to be told.
    pub(super) fn begin(is_watched: bool) -> Self {
        Self { facts: is_watched.then(Vec::new), ..Self::default() }
    }

    /// Notes an attempt that ended, and what its delivery came to with it.
    pub(super) fn tell_attempt(&mut self, id: DeliveryId, attempt: Attempt) {
        let Some(facts) = &mut self.facts else { return };
        let Some(record) = self.touched.get(&id.event).and_then(|touched| touched.now.delivery(id)) else { return };
        let tracked = Tracked { delivery: record.delivery.clone(), in_flight: false };
        let ended = tracked.delivery.due().is_none().then(|| Fact::State(tracked.clone()));
        facts.extend(std::iter::once(Fact::Attempt(tracked, attempt)).chain(ended));
    }

    /// Notes how deliveries of an event are now that were changed, for people who watch. They are in no attempt.
    pub(super) fn tell_states(&mut self, changed: &[DeliveryId]) {
        let Some(facts) = &mut self.facts else { return };
        let record = |id: &DeliveryId| self.touched.get(&id.event)?.now.delivery(*id);
        let states = changed.iter().filter_map(record).map(|record| record.delivery.clone());
        facts.extend(states.map(|delivery| Fact::State(Tracked { delivery, in_flight: false })));
    }
}

/// A new event of the group, with the number of its duplicates in it.
pub(super) struct Fresh {
    pub(super) new: New,
    pub(super) id: EventId,
    pub(super) duplicates: u32,
    /// The ordinals of its deliveries that must wait for earlier ones.
    pub(super) held: Vec<u16>,
}

/// An older event.
pub(super) struct Touched {
    pub(super) block: BlockId,
    pub(super) now: EventRecord,
    /// Whether it is not as it was.
    pub(super) is_changed: bool,
    /// Attempts that need keys of their own, encoded.
    pub(super) attempts: Vec<(DeliveryId, u32, Bytes)>,
}
