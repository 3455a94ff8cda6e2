//! Which segments of the journal are needed for the bodies in them, and by which blocks: a segment stays as long as one is.
//!
//! Each block in sled has a record of where its bodies are; this is what all of them say together. Where only a small part of a segment
//! is needed, these bodies are moved into sled, so that one of them does not keep the others' bytes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::block;
use super::checkpoint::{Checkpointer, Filling};
use super::keys::{self, BlockId};
use super::purge;
use super::shared::failed;
use crate::store::Error;
use crate::store::journal::{Old, Release, SegmentId};

/// A segment is emptied where less than this part (of a hundred) of the bodies in it is needed, as far as that is known, or where these
/// take less than this part of its file: there are other records in it.
const SPARSE_PART: u64 = 50;
const SPARSE_PART_OF_FILE: u64 = 25;
/// Bytes of bodies that one checkpoint moves, but for the last block.
const MOVED_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Bytes of a block's bodies, by the segments that they are in.
pub(super) type Uses = BTreeMap<SegmentId, u64>;

/// What is needed of the journal.
#[derive(Debug, Default)]
pub(super) struct Held {
    segments: HashMap<SegmentId, Use>,
    /// At which record the last block let go of segments that are not needed any more.
    ended: HashMap<SegmentId, u64>,
    /// The record up to which sled held all at the start: of others it is not known.
    start: u64,
    bytes: u64,
    /// Whether a record cannot be read: then any segment may be needed.
    is_blind: bool,
}

#[derive(Debug)]
struct Use {
    bytes: u64,
    /// The most that it had since the start.
    most: u64,
    blocks: u64,
    /// No block before it has bodies there.
    first: BlockId,
}

impl Held {
    /// What the records in sled say. `number`: up to which record of the journal it holds everything.
    pub(super) fn read(tree: &sled::Db, number: u64) -> Result<Self, Error> {
        let mut held = Self { start: number, ..Self::default() };
        for entry in tree.scan_prefix(keys::held_by_all()) {
            let (key, value) = entry.map_err(failed)?;
            match keys::block_at_end(&key).zip(decode(&value)) {
                Some((block, uses)) => held.add(block, &uses),
                None => held.is_blind = true,
            }
        }
        Ok(held)
    }

    /// Nothing but a replay changed what sled says, up to this record.
    pub(super) fn begin_at(&mut self, number: u64) {
        self.start = number;
    }

    /// A block has bodies there.
    pub(super) fn add(&mut self, block: BlockId, uses: &Uses) {
        for (segment, bytes) in uses {
            let known = self.segments.entry(*segment).or_insert(Use { bytes: 0, most: 0, blocks: 0, first: block });
            known.bytes += bytes;
            known.most = known.most.max(known.bytes);
            known.blocks += 1;
            known.first = known.first.min(block);
            self.bytes += bytes;
        }
    }

    /// A block has none there any more; sled knows it with record `number`.
    fn remove(&mut self, uses: &Uses, number: u64) {
        for (segment, bytes) in uses {
            let Some(known) = self.segments.get_mut(segment) else { continue };
            known.bytes = known.bytes.saturating_sub(*bytes);
            known.blocks -= 1;
            self.bytes = self.bytes.saturating_sub(*bytes);
            if known.blocks == 0 {
                self.segments.remove(segment);
                self.ended.insert(*segment, number);
            }
        }
    }

    /// Bytes of all bodies in the journal that are needed, or stand in one block with such.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Since which record nothing is needed of a segment; `None` where something is.
    fn unused_since(&self, segment: SegmentId) -> Option<u64> {
        let ended = || self.ended.get(&segment).copied().unwrap_or(self.start);
        (!self.is_blind && !self.segments.contains_key(&segment)).then(ended)
    }

    /// The segment of which the smallest part is needed, where that is small, and its first block.
    fn sparsest(&self, old: &[Old]) -> Option<(SegmentId, BlockId)> {
        if self.is_blind {
            return None;
        }
        let uses = old.iter().filter_map(|old| Some((old, self.segments.get(&old.id)?)));
        let sparse = uses.filter(|(old, known)| {
            known.bytes < known.most / 100 * SPARSE_PART || known.bytes < old.bytes / 100 * SPARSE_PART_OF_FILE
        });
        sparse.min_by_key(|(old, known)| known.bytes * 100 / old.bytes.max(1)).map(|(old, known)| (old.id, known.first))
    }
}

impl Checkpointer {
    /// Notes where the bodies of a new block are.
    pub(super) fn hold(&mut self, block: BlockId, uses: &Uses, filling: &mut Filling) -> Result<(), Error> {
        if !uses.is_empty() {
            filling.put(keys::held_by(block), &encode(uses)?);
            self.held.add(block, uses);
        }
        Ok(())
    }

    /// Notes that a block has no bodies in the journal any more, with record `number`.
    pub(super) fn let_go(&mut self, block: BlockId, number: u64, filling: &mut Filling) -> Result<(), Error> {
        let key = keys::held_by(block);
        let known = self.tree.get(&key).map_err(failed)?;
        if let Some(uses) = known.and_then(|value| decode(&value)) {
            filling.remove(&key);
            self.held.remove(&uses, number);
        }
        Ok(())
    }

    /// Moves bodies from segments of which little is needed into sled, a bounded part of them.
    pub(super) fn empty_sparse(&mut self, number: u64, old: &[Old]) -> Result<(), Error> {
        let (mut moved, mut filling) = (0, Filling::default());
        while moved < MOVED_BYTES_MAX
            && let Some((segment, first)) = self.held.sparsest(old)
        {
            let Some((block, uses)) = self.holder(segment, first)? else {
                self.held.is_blind = true;
                break;
            };
            let states = self.shared.states_below(block)?;
            purge::rewrite(&self.shared, block, &states, None, &mut filling)?;
            self.let_go(block, number, &mut filling)?;
            moved += uses.values().sum::<u64>();
            self.apply(&mut filling)?;
            if let Some(known) = self.held.segments.get_mut(&segment) {
                known.first = block;
            }
        }
        if moved > 0 { self.sync() } else { Ok(()) }
    }

    /// The first block from `first` on that has bodies in a segment.
    fn holder(&self, segment: SegmentId, first: BlockId) -> Result<Option<(BlockId, Uses)>, Error> {
        let range = (Bound::Included(keys::held_by(first)), Bound::Excluded(keys::behind_held_by()));
        for entry in self.tree.range::<Vec<u8>, _>(range) {
            let (key, value) = entry.map_err(failed)?;
            let found = keys::block_at_end(&key).zip(decode(&value));
            if let Some((block, uses)) = found.filter(|(_, uses)| uses.contains_key(&segment)) {
                return Ok(Some((block, uses)));
            }
        }
        Ok(None)
    }

    /// Lets the journal go as far as sled has everything up to record `number`, and no body in it is needed.
    pub(super) fn release(&mut self, number: u64, release: &Release) -> Result<(), Error> {
        release.up_to(number, |segment| self.held.unused_since(segment)).map_err(Error::from_io)?;
        self.held.ended.retain(|segment, _| self.shared.library.has(*segment));
        Ok(())
    }

    /// Tells of segments that are needed and not there.
    pub(super) fn miss(&self) -> u64 {
        let missing = self.held.segments.iter().filter(|(segment, _)| !self.shared.library.has(**segment));
        missing
            .map(|(segment, Use { bytes, blocks, .. })| {
                tracing::error!(
                    segment = format!("{segment:08x}"),
                    bytes,
                    blocks,
                    "a file of the journal is gone; the bodies in it are lost"
                );
                blocks
            })
            .sum()
    }
}

/// The record of where a block's bodies are.
fn encode(uses: &Uses) -> Result<Vec<u8>, Error> {
    let mut value = block::first_byte();
    block::push_frame(&mut value, &block::encode(uses)?);
    Ok(value)
}

/// From such a record; `None` where it is damaged.
pub(super) fn decode(value: &[u8]) -> Option<Uses> {
    block::frames(value).next().flatten().and_then(block::decode)
}
