//! What the journal holds and sled does not yet, in memory, as blocks: readers look here first.
//!
//! Two layers. Changes go to the active one. A checkpoint freezes it, begins a new one, and moves the frozen one into sled. What was
//! settled until then costs sled nothing more than its end: keys of the index that came and went are never written.
//!
//! Never here: sled, the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::block::{self, EventRecord, Slot, States};
use super::bodies::Bodies;
use super::dedupe::{DedupeEntry, DedupeKey, IdHash};
use super::entry::{Arrival, Change};
use super::keys::{self, BlockId, Key};
use super::tally::Tally;
use crate::record::{Attempt, DeliveryId, EventId};
use crate::time::{Stopwatch, Timestamp};

/// Deliveries in a block: rewriting a block's states for one of them must stay cheap.
const BLOCK_DELIVERIES_MAX: usize = 48;
/// Bytes of the bodies in a block, unless it holds one event only.
const BLOCK_BODY_BYTES_MAX: usize = 1024 * 1024;
/// A layer of so many bytes is moved into sled.
const RIPE_BYTES: usize = 4 * 1024 * 1024;
/// A layer of this age is moved into sled. Most deliveries are settled within it.
const RIPE_AGE: Duration = Duration::from_secs(1);
/// A layer of so many bytes takes no more: writing waits until the one before is in sled.
const FULL_BYTES: usize = 2 * RIPE_BYTES;
/// What a record takes in memory, roughly.
const RECORD_BYTES: usize = 512;

/// The layers above sled.
#[derive(Default)]
pub(super) struct Overlay {
    active: Layer,
    frozen: Option<Arc<Layer>>,
}

/// What came between two checkpoints.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) blocks: BTreeMap<BlockId, Young>,
    /// Blocks from this one on are not in sled; those before are, and were changed.
    first_new: Option<BlockId>,
    pub(super) dedupe: BTreeMap<DedupeKey, DedupeEntry>,
    pub(super) attempts: BTreeMap<(DeliveryId, u32), Bytes>,
    /// Purged events of which sled may have attempts under keys of their own.
    pub(super) gone: BTreeSet<EventId>,
    /// The blocks that sled has, too.
    lifted: BTreeSet<BlockId>,
    /// The index keys of all blocks but those that are stale.
    index: BTreeSet<Key>,
    stale: BTreeSet<BlockId>,
    bytes: usize,
    since: Option<Stopwatch>,
    /// When the newest event in here was received.
    pub(super) newest: Timestamp,
    /// The number of the last journal record that is in here or below.
    pub(super) number: u64,
}

/// A block above sled.
#[derive(Clone)]
pub(super) struct Young {
    pub(super) states: States,
    /// What sled has of it, once the layers below are there.
    pub(super) base: Base,
    /// What a block that is not in sled has beside its states.
    pub(super) parts: Option<Parts>,
    /// Whether events of it were purged since it was put above sled.
    pub(super) is_purged: bool,
    /// Its keys in the layer's index.
    index: BTreeSet<Key>,
}

/// What sled has of a block: the keys of its index, and what it adds to the counts.
#[derive(Clone, Default)]
pub(super) struct Base {
    pub(super) index: BTreeSet<Key>,
    pub(super) tally: Tally,
}

/// Heads and bodies of a new block, as they will be in sled.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) heads: Vec<u8>,
    pub(super) bodies: Bodies,
    /// Its keys in the indexes by source and type, which never change.
    pub(super) kept: BTreeSet<Key>,
    deliveries: usize,
}

/// See [`Overlay::covered`].
#[derive(Default)]
pub(super) struct Covered {
    lifted: BTreeSet<BlockId>,
    frozen: Option<Arc<Layer>>,
}

impl Covered {
    pub(super) fn has(&self, block: BlockId) -> bool {
        self.lifted.contains(&block) || self.frozen.as_ref().is_some_and(|layer| layer.blocks.contains_key(&block))
    }
}

/// Where the event of a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: it is new, or nothing is known of it.
    New,
    /// In this block, which was lifted.
    In(BlockId),
    /// It was purged.
    Gone,
}

/// The keys between two.
pub(super) type Range<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

fn first_byte(range: Range<'_>) -> Option<u8> {
    match range {
        (Bound::Included(start) | Bound::Excluded(start), _) => start.first().copied(),
        (Bound::Unbounded, _) => None,
    }
}

/// Whether keys under this prefix stay as long as their block.
fn never_changes(prefix: u8) -> bool {
    matches!(prefix, keys::BY_SOURCE | keys::BY_TYPE | keys::STATES)
}

/// Adds up to `limit` keys of `index` that fit.
fn some(
    index: &BTreeSet<Key>,
    range: Range<'_>,
    newest_first: bool,
    limit: usize,
    found: &mut BTreeSet<Key>,
    fits: impl Fn(&Key) -> bool,
) {
    let keys = index.range::<[u8], _>(range).filter(|key| fits(key));
    if newest_first { found.extend(keys.rev().take(limit).cloned()) } else { found.extend(keys.take(limit).cloned()) }
}

impl Base {
    fn of(block: BlockId, states: &States) -> Self {
        Self { index: states.index(block), tally: states.tally() }
    }
}

impl Young {
    fn new() -> Self {
        let parts = Parts { heads: block::first_byte(), bodies: Bodies::default(), kept: BTreeSet::new(), deliveries: 0 };
        Self { states: States::default(), base: Base::default(), parts: Some(parts), is_purged: false, index: BTreeSet::new() }
    }

    /// All keys under which the index finds it.
    fn keys(&self, block: BlockId) -> BTreeSet<Key> {
        let mut keys = self.states.index(block);
        keys.extend(self.parts.iter().flat_map(|parts| parts.kept.iter().cloned()));
        keys
    }
}

impl Layer {
    /// The new block that holds an event, if one may.
    fn new_block_of(&self, id: EventId) -> Option<BlockId> {
        if self.first_new? > id {
            return None;
        }
        self.blocks.range(..=id).next_back().map(|(block, _)| *block)
    }

    /// Adds a new event to the newest block, or to one of its own.
    fn arrive(&mut self, record: EventRecord, arrival: Arrival) {
        let Arrival { event, mut head, body, spot, dedupe } = arrival;
        let deliveries = record.deliveries.len().max(1);
        let has_room = |young: &Young| {
            young.parts.as_ref().is_some_and(|parts| {
                parts.deliveries + deliveries <= BLOCK_DELIVERIES_MAX
                    && parts.bodies.bytes() + body.len() as u64 <= BLOCK_BODY_BYTES_MAX as u64
            })
        };
        let newest = self.blocks.last_key_value().filter(|(_, young)| has_room(young)).map(|(block, _)| *block);
        let block = newest.unwrap_or(record.id);
        self.first_new = Some(self.first_new.unwrap_or(block));
        self.newest = self.newest.max(event.received_at);
        self.bytes += head.len() + body.len() + RECORD_BYTES;
        let young = self.blocks.entry(block).or_insert_with(Young::new);
        if let Some(parts) = &mut young.parts {
            let body_at = parts.bodies.push(body, spot);
            block::place(&mut head, record.id, body_at);
            block::push_frame(&mut parts.heads, &head);
            parts.deliveries += deliveries;
            parts.kept.extend(keys::kept(&event, block));
        }
        young.states.0.push(Slot::Record(record));
        self.dedupe.extend(dedupe);
        self.stale.insert(block);
    }

    /// Brings the index up to what the blocks are now.
    fn refresh(&mut self) {
        for block in std::mem::take(&mut self.stale) {
            let Some(young) = self.blocks.get_mut(&block) else { continue };
            let keys = young.keys(block);
            for key in young.index.difference(&keys) {
                self.index.remove(key);
            }
            self.index.extend(keys.difference(&young.index).cloned());
            young.index = keys;
        }
    }

    fn is_ripe(&self) -> bool {
        self.bytes >= RIPE_BYTES || self.since.is_some_and(|since| since.elapsed() >= RIPE_AGE)
    }
}

impl Overlay {
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.active).chain(self.frozen.as_deref())
    }

    /// The block that holds an event, where it is one that sled does not have (for certain) yet.
    pub(super) fn new_block_of(&self, id: EventId) -> Option<BlockId> {
        self.layers().find_map(|layer| layer.new_block_of(id))
    }

    /// The first block behind `after` that is here.
    pub(super) fn block_behind(&self, after: Option<BlockId>) -> Option<BlockId> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.layers().filter_map(|layer| layer.blocks.range((start, Bound::Unbounded)).next()).map(|(block, _)| *block).min()
    }

    /// What is known of all providers' event ids that are here, oldest first.
    pub(super) fn all_dedupe(&self) -> Vec<(DedupeKey, DedupeEntry)> {
        let oldest_first = self.frozen.as_deref().into_iter().chain([&self.active]);
        oldest_first.flat_map(|layer| layer.dedupe.iter().map(|(key, entry)| (*key, *entry))).collect()
    }

    /// The states of a block, where they are here.
    pub(super) fn states(&self, block: BlockId) -> Option<&States> {
        self.layers().find_map(|layer| layer.blocks.get(&block)).map(|young| &young.states)
    }

    /// Heads and bodies of a block, where they are here.
    pub(super) fn parts(&self, block: BlockId) -> Option<&Parts> {
        self.layers().find_map(|layer| layer.blocks.get(&block)?.parts.as_ref())
    }

    /// What is known of a provider's event id, where it is here.
    pub(super) fn dedupe(&self, key: &DedupeKey) -> Option<DedupeEntry> {
        self.layers().find_map(|layer| layer.dedupe.get(key).copied())
    }

    /// What is known of a provider's event id in all sources, where it is here.
    pub(super) fn dedupe_of(&self, id: IdHash) -> Vec<DedupeEntry> {
        self.layers().flat_map(|layer| layer.dedupe.range(DedupeKey::all_of(id)).map(|(_, entry)| *entry)).collect()
    }

    /// The attempts of a delivery that are here.
    pub(super) fn attempts(&self, delivery: DeliveryId) -> Vec<Attempt> {
        let of = |layer: &'_ Layer| {
            let range = layer.attempts.range((delivery, 0)..=(delivery, u32::MAX));
            range.filter_map(|(_, encoded)| block::decode(encoded)).collect::<Vec<_>>()
        };
        self.layers().flat_map(of).collect()
    }

    /// Makes sure that a block can be changed: `below` gives its states where they are in sled only.
    pub(super) fn lift(&mut self, block: BlockId, below: Option<States>) {
        if self.active.blocks.contains_key(&block) {
            return;
        }
        let frozen = self.frozen.as_ref().and_then(|layer| layer.blocks.get(&block)).map(|young| young.states.clone());
        let Some(states) = frozen.or(below) else { return };
        self.active.bytes += RECORD_BYTES * states.0.len();
        let young = Young { base: Base::of(block, &states), index: BTreeSet::new(), parts: None, is_purged: false, states };
        self.active.blocks.insert(block, young);
        self.active.lifted.insert(block);
        self.active.stale.insert(block);
    }

    /// Makes a change, whose block was lifted (or is new). Adds to `tally` what it changes.
    pub(super) fn apply(&mut self, number: u64, place: Place, change: Change, tally: &mut Tally) {
        let Change { record, attempts, arrival } = change;
        let active = &mut self.active;
        active.since.get_or_insert_with(Stopwatch::start);
        active.number = number;
        // Of what is gone, nothing but its dedupe id is kept.
        let attempts = if place == Place::Gone { Vec::new() } else { attempts };
        for (delivery, number, encoded) in attempts {
            active.bytes += encoded.len();
            active.attempts.insert((delivery, number), encoded);
        }
        match (place, arrival) {
            (Place::New, Some(arrival)) => {
                tally.add(&record, 1);
                active.arrive(record, arrival);
            }
            (Place::In(block), arrival) => {
                active.dedupe.extend(arrival.and_then(|arrival| arrival.dedupe));
                let Some(known) = active.blocks.get_mut(&block).and_then(|young| young.states.find_mut(record.id)) else {
                    return;
                };
                tally.add(known, -1);
                tally.add(&record, 1);
                *known = record;
                active.stale.insert(block);
            }
            (Place::Gone, arrival) => active.dedupe.extend(arrival.and_then(|arrival| arrival.dedupe)),
            (Place::New, None) => {}
        }
    }

    /// Purges events of a block that was lifted (or is new). Takes from `tally` what they were.
    pub(super) fn purge(&mut self, number: u64, block: BlockId, gone: &[EventId], tally: &mut Tally) {
        let active = &mut self.active;
        active.since.get_or_insert_with(Stopwatch::start);
        active.number = number;
        let Some(young) = active.blocks.get_mut(&block) else { return };
        for id in gone {
            let Some(record) = young.states.purge(*id) else { continue };
            tally.add(&record, -1);
            if record.has_more_attempts() {
                let of = |ordinal, number| (DeliveryId { event: *id, ordinal }, number);
                let attempts: Vec<_> = active.attempts.range(of(0, 0)..=of(u16::MAX, u32::MAX)).map(|(key, _)| *key).collect();
                attempts.iter().for_each(|key| drop(active.attempts.remove(key)));
                active.gone.insert(*id);
            }
            young.is_purged = true;
        }
        if young.is_purged && young.states.is_over() {
            tally.events -= young.states.damaged() as i64;
        }
        active.stale.insert(block);
    }

    /// Up to `limit` keys of the index in `range`, in order, from its end where `newest_first`.
    pub(super) fn index(&mut self, range: Range<'_>, newest_first: bool, limit: usize) -> BTreeSet<Key> {
        self.active.refresh();
        let Some(prefix) = first_byte(range) else { return BTreeSet::new() };
        let mut found = BTreeSet::new();
        if prefix == keys::STATES {
            let blocks = self.layers().flat_map(|layer| layer.blocks.keys());
            let keys = blocks.map(|block| keys::chunk(keys::STATES, *block, 0));
            found.extend(keys.filter(|key| RangeBounds::<[u8]>::contains(&range, key.as_slice())));
        } else {
            some(&self.active.index, range, newest_first, limit, &mut found, |_| true);
            // What changed above is not true below; sources and types do not change.
            let is_true = |key: &Key| {
                never_changes(prefix) || !keys::block_at_end(key).is_some_and(|block| self.active.blocks.contains_key(&block))
            };
            if let Some(layer) = &self.frozen {
                some(&layer.index, range, newest_first, limit, &mut found, is_true);
            }
        }
        while found.len() > limit {
            if newest_first {
                found.pop_first()
            } else {
                found.pop_last()
            };
        }
        found
    }

    /// The blocks whose keys in sled under `prefix` may not be true any more.
    pub(super) fn covered(&self, prefix: u8) -> Covered {
        if never_changes(prefix) {
            return Covered::default();
        }
        Covered { lifted: self.active.lifted.clone(), frozen: self.frozen.clone() }
    }

    /// Begins a new layer where the active one is ripe (or `now`) and the one before is in sled; gives the frozen one.
    pub(super) fn freeze(&mut self, now: bool) -> Option<Arc<Layer>> {
        let is_wanted = self.active.is_ripe() || (now && self.active.since.is_some());
        if self.frozen.is_some() || !is_wanted {
            return None;
        }
        self.active.refresh();
        let next = Layer { number: self.active.number, ..Layer::default() };
        let frozen = Arc::new(std::mem::replace(&mut self.active, next));
        self.frozen = Some(frozen.clone());
        Some(frozen)
    }

    /// The frozen layer is in sled.
    pub(super) fn thaw(&mut self) -> Option<Arc<Layer>> {
        self.frozen.take()
    }

    /// Whether nothing more may come in before the frozen layer is in sled.
    pub(super) fn is_full(&self) -> bool {
        self.frozen.is_some() && self.active.bytes >= FULL_BYTES
    }

    /// Whether a layer would be frozen now, and whether one more second of changes may be too much.
    pub(super) fn is_ripe(&self) -> (bool, bool) {
        (self.frozen.is_none() && self.active.is_ripe(), self.active.bytes >= FULL_BYTES)
    }

    /// The number of the last journal record in here or below.
    pub(super) fn number(&self) -> u64 {
        self.active.number
    }

    /// Sets the number of the last journal record below.
    pub(super) fn begin_at(&mut self, number: u64) {
        self.active.number = number;
    }
}
