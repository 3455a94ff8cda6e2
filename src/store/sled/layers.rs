//! How records are read: from what is above sled first, then from sled.
//!
//! Reading goes down, and layers move down: what was not found above is below by the time one looks there.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;

use super::block::{self, EventRecord, Head, States};
use super::bodies::{CHUNK_BYTES, Span};
use super::dedupe::{self, DedupeEntry, DedupeKey};
use super::entry::Change;
use super::keys::{self, BlockId, Key};
use super::overlay::{Covered, Layer, Overlay, Place};
use super::shared::{Shared, failed, lock};
use crate::record::{Attempt, DeliveryId, Event, EventId};
use crate::store::Error;
use crate::store::journal::Spot;
use crate::time::Timestamp;

/// Keys that a scan takes from above at a time.
const FETCHED: usize = 64;

/// What is known of an event.
pub(super) enum Lifted {
    /// It is in this block, which was made ready for a change.
    There(BlockId, EventRecord),
    /// It was purged ([`Place::Gone`]), or that is so long ago that nothing is left of it, or it is new.
    Gone(Place),
    /// It is not found, and a record near its place cannot be read.
    MayBeDamaged,
}

impl Shared {
    fn overlay(&self) -> MutexGuard<'_, Overlay> {
        lock(&self.overlay)
    }

    /// The block that holds an event, if any does.
    pub(super) fn block_of(&self, id: EventId) -> Result<Option<BlockId>, Error> {
        let new = self.overlay().new_block_of(id);
        if new.is_some() {
            return Ok(new);
        }
        let end = keys::chunk(keys::STATES, id, u16::MAX);
        let last = self.tree.range([keys::STATES].as_slice()..=end.as_slice()).next_back().transpose().map_err(failed)?;
        Ok(last.and_then(|(key, _)| keys::block_of_chunk(&key)))
    }

    /// The block of an event and its place there.
    pub(super) fn locate(&self, id: EventId) -> Result<Option<(BlockId, usize)>, Error> {
        let Some(block) = self.block_of(id)? else { return Ok(None) };
        self.look_at(block, |states| states.find(id).map(|(place, _)| (block, place)))
    }

    /// What changes of a block's events.
    pub(super) fn states(&self, block: BlockId) -> Result<States, Error> {
        self.look_at(block, States::clone)
    }

    /// Looks at a block's states without a copy, where that is possible. `look` must not read anything else of the store.
    pub(super) fn look_at<T>(&self, block: BlockId, look: impl FnOnce(&States) -> T) -> Result<T, Error> {
        let overlay = self.overlay();
        if let Some(states) = overlay.states(block) {
            return Ok(look(states));
        }
        drop(overlay);
        Ok(look(&self.states_below(block)?))
    }

    /// What changes of the events of a block that is in sled.
    pub(super) fn states_below(&self, block: BlockId) -> Result<States, Error> {
        let (states, damaged) = States::decode(&self.long(keys::STATES, block)?);
        self.damaged.fetch_add(damaged, Ordering::Relaxed);
        Ok(states)
    }

    /// The record of one event.
    pub(super) fn record(&self, id: EventId) -> Result<Option<EventRecord>, Error> {
        let Some(block) = self.block_of(id)? else { return Ok(None) };
        self.look_at(block, |states| states.find(id).map(|(_, record)| record.clone()))
    }

    /// One event, made ready for a change where it is there.
    pub(super) fn lift(&self, id: EventId) -> Result<Lifted, Error> {
        let Some(block) = self.block_of(id)? else { return Ok(Lifted::Gone(Place::New)) };
        self.lift_where(block, |states| match states.find(id) {
            Some((_, record)) => (true, Lifted::There(block, record.clone())),
            None if states.is_gone(id) => (false, Lifted::Gone(Place::Gone)),
            None if states.damaged() > 0 => (false, Lifted::MayBeDamaged),
            None => (false, Lifted::Gone(Place::New)),
        })
    }

    /// Looks at a block, and makes it ready for a change where `look` says so.
    pub(super) fn lift_where<T>(&self, block: BlockId, look: impl FnOnce(&States) -> (bool, T)) -> Result<T, Error> {
        let mut overlay = self.overlay();
        let mut below = None;
        if overlay.states(block).is_none() {
            // Only the one who calls this puts blocks above: none can come in between.
            drop(overlay);
            below = Some(self.states_below(block)?);
            overlay = self.overlay();
        }
        let Some(states) = overlay.states(block).or(below.as_ref()) else { return Ok(look(&States::default()).1) };
        let (is_wanted, seen) = look(states);
        if is_wanted {
            overlay.lift(block, below);
        }
        Ok(seen)
    }

    /// Makes changes that are in the journal under their numbers; the place is where [`Self::lift`] found the event. No
    /// checkpoint may begin between the two.
    pub(super) fn apply(&self, changes: impl IntoIterator<Item = (u64, Place, Change)>) {
        // In this order everywhere.
        let (mut overlay, mut tally) = (self.overlay(), self.tally());
        for (number, place, change) in changes {
            overlay.apply(number, place, change, &mut tally);
        }
    }

    /// As [`Self::apply`], for events that are gone, by their blocks.
    pub(super) fn apply_purges(&self, purges: impl IntoIterator<Item = (u64, BlockId, Vec<EventId>)>) {
        let (mut overlay, mut tally) = (self.overlay(), self.tally());
        for (number, block, gone) in purges {
            overlay.purge(number, block, &gone, &mut tally);
        }
    }

    /// See [`Overlay::begin_at`].
    pub(super) fn begin_at(&self, number: u64) {
        self.overlay().begin_at(number);
    }

    /// The number of the last journal record that was applied.
    pub(super) fn number(&self) -> u64 {
        self.overlay().number()
    }

    /// See [`Overlay::freeze`].
    pub(super) fn freeze(&self, now: bool) -> Option<Arc<Layer>> {
        self.overlay().freeze(now)
    }

    /// See [`Overlay::thaw`].
    pub(super) fn thaw(&self) -> Option<Arc<Layer>> {
        self.overlay().thaw()
    }

    /// See [`Overlay::is_full`].
    pub(super) fn is_full(&self) -> bool {
        self.overlay().is_full()
    }

    /// The first block behind `after`. It is looked for anew each time, since sled's iterators do not see all that comes meanwhile.
    pub(super) fn block_behind(&self, after: Option<BlockId>) -> Result<Option<BlockId>, Error> {
        let above = self.overlay().block_behind(after);
        let start = match after {
            Some(after) => Bound::Excluded(keys::chunk(keys::STATES, after, u16::MAX)),
            None => Bound::Included(vec![keys::STATES]),
        };
        let first = self.tree.range::<Key, _>((start, Bound::Excluded(vec![keys::STATES + 1]))).next();
        let below = first.transpose().map_err(failed)?.and_then(|(key, _)| keys::block_of_chunk(&key));
        Ok(above.into_iter().chain(below).min())
    }

    /// What is known of the providers' event ids that are above sled, oldest first.
    pub(super) fn dedupe_above(&self) -> Vec<(DedupeKey, DedupeEntry)> {
        self.overlay().all_dedupe()
    }

    /// See [`Overlay::is_ripe`].
    pub(super) fn is_ripe(&self) -> (bool, bool) {
        self.overlay().is_ripe()
    }

    /// What is known of a provider's event id at `now`.
    pub(super) fn dedupe(&self, key: &DedupeKey, now: Timestamp) -> Result<Option<DedupeEntry>, Error> {
        let above = self.overlay().dedupe(key).filter(|entry| now < entry.until);
        above.map_or_else(|| self.runs.find(key, now), |entry| Ok(Some(entry)))
    }

    /// What is known of a provider's event id, in every source.
    pub(super) fn dedupe_of(&self, id: &str) -> Result<Vec<DedupeEntry>, Error> {
        let id = dedupe::id_hash(id);
        let mut found = self.overlay().dedupe_of(id);
        found.append(&mut self.runs.find_all(&id)?);
        Ok(found)
    }

    /// Reads of one event, whose block and place `read` is given; `None` where it is not there. Once more where that fails: its
    /// block may have been rewritten, or be gone, since it was found.
    pub(super) fn read_event<T>(
        &self,
        id: EventId,
        read: impl Fn(BlockId, usize) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut is_first = true;
        loop {
            let Some((block, place)) = self.locate(id)? else { return Ok(None) };
            match read(block, place) {
                Err(Error::Damaged(_)) if is_first => is_first = false,
                Err(Error::Damaged(what)) => {
                    tracing::error!(event = %id, what, "a record cannot be read");
                    return Err(self.damage(what));
                }
                read => return read.map(Some),
            }
        }
    }

    /// The head of the event at `place` of a block. That it cannot be read is not counted, as with all that follows.
    pub(super) fn head(&self, block: BlockId, place: usize) -> Result<Head, Error> {
        self.head_in(&self.raw_heads(block)?, block, place)
    }

    /// The heads of a block as they are stored, for [`Self::head_in`].
    pub(super) fn raw_heads(&self, block: BlockId) -> Result<Vec<u8>, Error> {
        if let Some(parts) = self.overlay().parts(block) {
            return Ok(parts.heads.clone());
        }
        self.heads_below(block)
    }

    /// The heads of a block that is in sled, as they are stored.
    pub(super) fn heads_below(&self, block: BlockId) -> Result<Vec<u8>, Error> {
        let heads = self.long(keys::HEADS, block)?;
        if heads.is_empty() { self.long(keys::HEADS_LEFT, block) } else { Ok(heads) }
    }

    /// The head of the event at `place` among those of [`Self::raw_heads`].
    pub(super) fn head_in(&self, heads: &[u8], block: BlockId, place: usize) -> Result<Head, Error> {
        let head = block::frame_at(heads, place).and_then(block::decode);
        head.ok_or_else(|| Error::Damaged(format!("the head of event {place} of block {block}")))
    }

    /// The event at `place` of a block; its `duplicates` are not filled in.
    pub(super) fn event(&self, block: BlockId, place: usize) -> Result<Event, Error> {
        self.head(block, place).map(|head| head.event)
    }

    /// The body that belongs to a head.
    pub(super) fn body(&self, block: BlockId, head: &Head) -> Result<Bytes, Error> {
        let length = head.event.body_bytes;
        let above = self.overlay().parts(block).and_then(|parts| parts.bodies.find(head.body_at, length));
        let body = match above {
            Some(body) => body,
            None => self.body_below(block, head)?,
        };
        if body.len() as u64 == length && crc32fast::hash(&body) == head.body_crc {
            Ok(body)
        } else {
            Err(Error::Damaged(format!("the body of event {}", head.event.id)))
        }
    }

    /// The body that belongs to a head, where it is in sled or the journal, unproved; empty where nothing is found.
    pub(super) fn body_below(&self, block: BlockId, head: &Head) -> Result<Bytes, Error> {
        let length = usize::try_from(head.event.body_bytes).unwrap_or(usize::MAX);
        if let Some(spot) = Spot::from_bits(head.body_at) {
            let read =
                self.library.read(spot, length).map_err(|why| Error::Damaged(format!("the journal cannot be read: {why}")))?;
            return Ok(read.map(Bytes::from).unwrap_or_default());
        }
        let Some(span) = Span::of(head.body_at, head.event.body_bytes) else { return Ok(Bytes::new()) };
        let mut body = Vec::new();
        let mut skip = span.skip;
        for chunk in span.first..=span.last {
            let of = |prefix| self.tree.get(keys::chunk(prefix, block, chunk)).map_err(failed);
            let Some(part) = of(keys::BODIES)?.map_or_else(|| of(keys::BODIES_LEFT), |part| Ok(Some(part)))? else { break };
            let part = part.get(std::mem::take(&mut skip)..).unwrap_or_default();
            // Only now, since a damaged head may claim any length.
            body.reserve_exact(part.len().min(length - body.len()));
            body.extend_from_slice(&part[..part.len().min(length - body.len())]);
        }
        Ok(body.into())
    }

    /// The attempts of a delivery that have keys of their own.
    pub(super) fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, Error> {
        let mut attempts = self.overlay().attempts(delivery);
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
    pub(super) fn long(&self, prefix: u8, block: BlockId) -> Result<Vec<u8>, Error> {
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

    /// The keys of an index under `prefix`, in order; from its end, where `newest_first`, beginning at `last`.
    ///
    /// Keys that change meanwhile may be missed or come twice: whoever changes them tells the lanes.
    pub(super) fn scan(&self, prefix: &[u8], last: Option<&[u8]>, newest_first: bool) -> Scan<'_> {
        let end = last.map_or_else(|| keys::behind(prefix), |last| [prefix, last].concat());
        self.scan_between(prefix.to_vec(), end, newest_first)
    }

    /// As [`Self::scan`], for the keys from `start` to `end` of an index.
    pub(super) fn scan_between(&self, start: Key, end: Key, newest_first: bool) -> Scan<'_> {
        let below = self.tree.range(start.clone()..=end.clone());
        let prefix = start.first().copied().unwrap_or_default();
        let rest = Some((Bound::Included(start), Bound::Included(end)));
        let (above, covered) = (BTreeSet::new(), Covered::default());
        let mut scan = Scan { shared: self, below, above, rest, covered, newest_first, waiting: None };
        // Both by one look: of a layer that moved down between two, the keys would be passed over above and below.
        let mut overlay = self.overlay();
        scan.covered = overlay.covered(prefix);
        scan.fetch_from(&mut overlay);
        drop(overlay);
        scan
    }
}

/// Keys of an index: those above and those of sled, as one.
pub(super) struct Scan<'s> {
    shared: &'s Shared,
    below: sled::Iter,
    /// Keys from above that were fetched.
    above: BTreeSet<Key>,
    /// Where the others from above are; `None` where there are none.
    rest: Option<(Bound<Key>, Bound<Key>)>,
    covered: Covered,
    newest_first: bool,
    /// A key of sled whose turn has not come.
    waiting: Option<Key>,
}

impl Scan<'_> {
    fn fetch(&mut self) {
        let shared = self.shared;
        self.fetch_from(&mut shared.overlay());
    }

    fn fetch_from(&mut self, overlay: &mut Overlay) {
        let Some((start, end)) = self.rest.take() else { return };
        let range = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        self.above = overlay.index(range, self.newest_first, FETCHED);
        if self.above.len() == FETCHED {
            self.rest = match (self.newest_first, self.above.first(), self.above.last()) {
                (true, Some(first), _) => Some((start, Bound::Excluded(first.clone()))),
                (false, _, Some(last)) => Some((Bound::Excluded(last.clone()), end)),
                _ => None,
            };
        }
    }

    fn next_below(&mut self) -> Result<Option<Key>, Error> {
        if self.waiting.is_some() {
            return Ok(self.waiting.take());
        }
        loop {
            let next = if self.newest_first { self.below.next_back() } else { self.below.next() };
            let Some((key, _)) = next.transpose().map_err(failed)? else { return Ok(None) };
            if !keys::block_at_end(&key).is_some_and(|block| self.covered.has(block)) {
                return Ok(Some(key.to_vec()));
            }
        }
    }

    fn pop_above(&mut self) -> Option<Key> {
        if self.newest_first { self.above.pop_last() } else { self.above.pop_first() }
    }

    fn step(&mut self) -> Result<Option<Key>, Error> {
        if self.above.is_empty() {
            self.fetch();
        }
        let below = self.next_below()?;
        let above = if self.newest_first { self.above.last() } else { self.above.first() };
        let (Some(above), Some(key)) = (above, &below) else {
            return Ok(below.or_else(|| self.pop_above()));
        };
        if above == key {
            // Both have what never changes.
            self.pop_above();
            return Ok(below);
        }
        if (above > key) == self.newest_first {
            self.waiting = below;
            return Ok(self.pop_above());
        }
        Ok(below)
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Key, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
