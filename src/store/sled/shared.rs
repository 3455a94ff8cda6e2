//! What the writer and the readers share: the tree, claims, hand-overs, counts, and how single records are read.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::block::{self, EventRecord, Head, States};
use super::bodies::{CHUNK_BYTES, Span};
use super::keys::{self, BlockId, Key};
use crate::record::{Attempt, Delivery, DeliveryId, Event, EventId, Name};
use crate::store::handoff::Handoffs;
use crate::store::{Claim, Error};

/// The parts that both sides work with.
pub(super) struct Shared {
    pub(super) tree: sled::Db,
    pub(super) handoffs: Handoffs,
    pub(super) claims: Arc<Claims>,
    tally: Mutex<Tally>,
    damaged: AtomicU64,
    held_back: Mutex<Option<BlockId>>,
}

/// How much there is, kept in memory and written with each group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) events: i64,
    /// By destination and state.
    pub(super) deliveries: BTreeMap<Name, [i64; 4]>,
}

impl Shared {
    /// For an open tree. Reads the counts.
    pub(super) fn new(tree: sled::Db) -> Result<Self, Error> {
        let tally = Mutex::new(read_tally(&tree)?);
        let claims = Arc::<Claims>::default();
        let given_back = claims.clone();
        let handoffs = Handoffs::new(move |claim| given_back.free(claim));
        Ok(Self { tree, handoffs, claims, tally, damaged: AtomicU64::new(0), held_back: Mutex::new(None) })
    }

    /// The block that holds an event, if any does.
    pub(super) fn block_of(&self, id: EventId) -> Result<Option<BlockId>, Error> {
        let end = keys::chunk(keys::STATES, id, u16::MAX);
        let last = self.tree.range([keys::STATES].as_slice()..=end.as_slice()).next_back().transpose().map_err(failed)?;
        Ok(last.and_then(|(key, _)| keys::block_of_chunk(&key)))
    }

    /// The block of an event and its place there.
    pub(super) fn locate(&self, id: EventId) -> Result<Option<(BlockId, usize)>, Error> {
        let Some(block) = self.block_of(id)? else { return Ok(None) };
        Ok(self.states(block)?.find(id).map(|(place, _)| (block, place)))
    }

    /// What changes of a block's events.
    pub(super) fn states(&self, block: BlockId) -> Result<States, Error> {
        let (states, damaged) = States::decode(&self.long(keys::STATES, block)?);
        self.damaged.fetch_add(damaged, Ordering::Relaxed);
        Ok(states)
    }

    /// The record of one event.
    pub(super) fn record(&self, id: EventId) -> Result<Option<EventRecord>, Error> {
        let Some(block) = self.block_of(id)? else { return Ok(None) };
        Ok(self.states(block)?.find(id).map(|(_, record)| record.clone()))
    }

    /// The heads of a block, in order; `None` for damaged ones.
    pub(super) fn heads(&self, block: BlockId) -> Result<Vec<Option<Head>>, Error> {
        let bytes = self.long(keys::HEADS, block)?;
        Ok(block::frames(&bytes).map(|frame| frame.and_then(block::decode)).collect())
    }

    /// The head of the event at `place` of a block.
    pub(super) fn head(&self, block: BlockId, place: usize) -> Result<Head, Error> {
        self.head_in(&self.raw_heads(block)?, block, place)
    }

    /// The heads of a block as they are stored, for [`Self::head_in`].
    pub(super) fn raw_heads(&self, block: BlockId) -> Result<Vec<u8>, Error> {
        self.long(keys::HEADS, block)
    }

    /// The head of the event at `place` among those of [`Self::raw_heads`].
    pub(super) fn head_in(&self, heads: &[u8], block: BlockId, place: usize) -> Result<Head, Error> {
        let head = block::frame_at(heads, place).and_then(block::decode);
        head.ok_or_else(|| self.damage(format!("the head of event {place} of block {block}")))
    }

    /// The event at `place` of a block; its `duplicates` are not filled in.
    pub(super) fn event(&self, block: BlockId, place: usize) -> Result<Event, Error> {
        self.head(block, place).map(|head| head.event)
    }

    /// The body that belongs to a head.
    pub(super) fn body(&self, block: BlockId, head: &Head) -> Result<Bytes, Error> {
        let length = head.event.body_bytes;
        let mut body = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        if let Some(span) = Span::of(head.body_at, length) {
            let (first, last) = (keys::chunk(keys::BODIES, block, span.first), keys::chunk(keys::BODIES, block, span.last));
            for entry in self.tree.range(first..=last) {
                body.extend_from_slice(&entry.map_err(failed)?.1);
            }
            body.drain(..span.skip.min(body.len()));
            body.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        }
        if body.len() as u64 == length && crc32fast::hash(&body) == head.body_crc {
            Ok(body.into())
        } else {
            Err(self.damage(format!("the body of event {}", head.event.id)))
        }
    }

    /// The attempts of a delivery that have keys of their own, oldest first.
    pub(super) fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, Error> {
        let mut attempts = Vec::new();
        for entry in self.tree.scan_prefix(keys::key(keys::ATTEMPT, &[&delivery.to_bytes()])) {
            let (_, value) = entry.map_err(failed)?;
            match block::frames(&value).next().flatten().and_then(block::decode) {
                Some(attempt) => attempts.push(attempt),
                None => drop(self.damage(format!("an attempt of delivery {delivery}"))),
            }
        }
        Ok(attempts)
    }

    /// Frames under consecutive keys, up to the first short chunk.
    fn long(&self, prefix: u8, block: BlockId) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for number in 0..=u16::MAX {
            let Some(part) = self.tree.get(keys::chunk(prefix, block, number)).map_err(failed)? else { break };
            bytes.extend_from_slice(&part);
            if part.len() < CHUNK_BYTES {
                break;
            }
        }
        Ok(bytes)
    }

    /// Counts a damaged record.
    pub(super) fn damage(&self, what: String) -> Error {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        Error::Damaged(what)
    }

    /// Damaged records that were met.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Blocks from this one on are written but not durable: no lane may have them yet.
    pub(super) fn hold_back(&self, from: Option<BlockId>) {
        *lock(&self.held_back) = from;
    }

    /// Whether a block is not durable yet.
    pub(super) fn is_held_back(&self, block: BlockId) -> bool {
        lock(&self.held_back).is_some_and(|from| block >= from)
    }

    /// How much there is.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    /// Adds to the counts, and gives the records of those that changed.
    pub(super) fn count(&self, events: i64, deliveries: &BTreeMap<Name, [i64; 4]>) -> Vec<(Key, Vec<u8>)> {
        let mut tally = self.tally();
        let mut changed = Vec::new();
        if events != 0 {
            tally.events += events;
            changed.push((keys::key(keys::COUNT, &[]), tally.events.to_be_bytes().to_vec()));
        }
        for (destination, more) in deliveries.iter().filter(|(_, more)| **more != [0; 4]) {
            let counts = tally.deliveries.entry(destination.clone()).or_default();
            counts.iter_mut().zip(more).for_each(|(count, n)| *count += n);
            let value = counts.iter().flat_map(|n| n.to_be_bytes()).collect();
            changed.push((keys::key(keys::COUNT, &[destination.as_bytes()]), value));
        }
        changed
    }
}

fn read_tally(tree: &sled::Db) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for entry in tree.scan_prefix([keys::COUNT]) {
        let (key, value) = entry.map_err(failed)?;
        let numbers: Vec<i64> = value.chunks_exact(8).map(|n| i64::from_be_bytes(n.try_into().unwrap_or_default())).collect();
        match (std::str::from_utf8(&key[1..]).ok().map(Name::try_new), &numbers[..]) {
            (Some(Ok(name)), [a, b, c, d]) => drop(tally.deliveries.insert(name, [*a, *b, *c, *d])),
            (_, [events]) => tally.events = *events,
            _ => {}
        }
    }
    Ok(tally)
}

/// Who attempts what. Lives in memory only: it ends with the process, as a lease would.
#[derive(Default)]
pub(super) struct Claims {
    held: Mutex<HashMap<DeliveryId, Held>>,
    fence: AtomicU64,
}

struct Held {
    fence: u64,
    destination: Name,
}

impl Claims {
    /// Claims a delivery that nobody can have claimed.
    pub(super) fn take(&self, delivery: &Delivery) -> Claim {
        let fence = self.fence.fetch_add(1, Ordering::Relaxed);
        lock(&self.held).insert(delivery.id, Held { fence, destination: delivery.destination.clone() });
        Claim { delivery: delivery.id, fence }
    }

    /// Claims a delivery, unless somebody has.
    pub(super) fn try_take(&self, delivery: &Delivery) -> Option<Claim> {
        let mut held = lock(&self.held);
        if held.contains_key(&delivery.id) {
            return None;
        }
        let fence = self.fence.fetch_add(1, Ordering::Relaxed);
        held.insert(delivery.id, Held { fence, destination: delivery.destination.clone() });
        Some(Claim { delivery: delivery.id, fence })
    }

    /// Whether the claim is the present one.
    pub(super) fn holds(&self, claim: Claim) -> bool {
        lock(&self.held).get(&claim.delivery).is_some_and(|held| held.fence == claim.fence)
    }

    /// Where a claimed delivery goes.
    pub(super) fn destination(&self, claim: Claim) -> Option<Name> {
        lock(&self.held).get(&claim.delivery).map(|held| held.destination.clone())
    }

    /// Whether a delivery is claimed.
    pub(super) fn has(&self, delivery: DeliveryId) -> bool {
        lock(&self.held).contains_key(&delivery)
    }

    /// Gives a claim back.
    pub(super) fn free(&self, claim: Claim) {
        let mut held = lock(&self.held);
        if held.get(&claim.delivery).is_some_and(|held| held.fence == claim.fence) {
            held.remove(&claim.delivery);
        }
    }

    /// How many there are, of one destination or all.
    pub(super) fn count(&self, destination: Option<&Name>) -> u64 {
        let held = lock(&self.held);
        held.values().filter(|h| destination.is_none_or(|d| *d == h.destination)).count() as u64
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What sled could not do is the end of the store.
pub(super) fn failed(error: sled::Error) -> Error {
    Error::Failed(error.to_string())
}
