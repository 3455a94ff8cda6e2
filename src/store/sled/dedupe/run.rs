//! A run: dedupe entries in the order of their keys, in chunks that sled keeps, and what of it is in memory.

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::{DedupeEntry, DedupeKey, IdHash};
use crate::record::EventId;
use crate::store::sled::{block, keys};
use crate::time::Timestamp;

/// Entries of a chunk: below the size of what sled keeps in its log.
pub(super) const CHUNK_ENTRIES: usize = 1000;
const ENTRY_BYTES: usize = 48;

/// What the record of a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub(super) chunks: u32,
    pub(super) entries: u64,
    /// The number of the newest run that went into it.
    pub(super) age: u64,
    /// How often its entries were merged.
    pub(super) level: u8,
    /// When the last of them ends.
    pub(super) until: Timestamp,
}

/// A run, as far as it is in memory.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) extent: Extent,
    filter: Filter,
    /// The first key of each chunk.
    firsts: Vec<DedupeKey>,
}

/// A run as it is written, entry by entry, in order.
pub(super) struct Writing {
    number: u64,
    extent: Extent,
    filter: Filter,
    firsts: Vec<DedupeKey>,
    chunk: Vec<u8>,
}

impl Run {
    /// The chunk that would hold a key.
    pub(super) fn chunk_of(&self, key: &DedupeKey) -> Option<u32> {
        if !self.filter.may_have(&key.id) {
            return None;
        }
        self.chunk_before(key)
    }

    /// The chunk in which the keys of an id begin.
    pub(super) fn first_chunk_of(&self, id: &IdHash) -> Option<u32> {
        if !self.filter.may_have(id) {
            return None;
        }
        Some(self.chunk_before(&DedupeKey::first_of(*id)).unwrap_or(0))
    }

    fn chunk_before(&self, key: &DedupeKey) -> Option<u32> {
        u32::try_from(self.firsts.partition_point(|first| first <= key).checked_sub(1)?).ok()
    }

    /// From its record and its chunks; damaged ones are `None` and hold nothing.
    pub(super) fn read<E>(
        number: u64,
        extent: Extent,
        mut chunk: impl FnMut(u32) -> Result<Option<Vec<DedupeKey>>, E>,
    ) -> Result<Self, E> {
        let mut filter = Filter::with_room_for(usize::try_from(extent.entries).unwrap_or(0));
        let mut firsts = Vec::new();
        for place in 0..extent.chunks {
            let keys = chunk(place)?.unwrap_or_default();
            keys.iter().for_each(|key| filter.add(&key.id));
            firsts.push(keys.first().copied());
        }
        // One without a first key is never the right one: it begins where the next one does.
        let mut next = DedupeKey::last_of([0xff; 16]);
        let firsts_behind = firsts.into_iter().rev().map(|first| {
            next = first.unwrap_or(next);
            next
        });
        let mut firsts = firsts_behind.collect::<Vec<_>>();
        firsts.reverse();
        Ok(Self { number, extent, filter, firsts })
    }
}

impl Writing {
    /// A run of at most so many entries.
    pub(super) fn begin(number: u64, age: u64, level: u8, entries_max: usize) -> Self {
        let extent = Extent { chunks: 0, entries: 0, age, level, until: Timestamp::default() };
        Self { number, extent, filter: Filter::with_room_for(entries_max), firsts: Vec::new(), chunk: Vec::new() }
    }

    /// Adds an entry behind the last one; gives a chunk that is full.
    pub(super) fn push(&mut self, key: DedupeKey, entry: DedupeEntry) -> Option<(keys::Key, Vec<u8>)> {
        if self.chunk.is_empty() {
            self.firsts.push(key);
        }
        self.filter.add(&key.id);
        self.extent.entries += 1;
        self.extent.until = self.extent.until.max(entry.until);
        encode(&mut self.chunk, &key, &entry);
        if self.chunk.len() < CHUNK_ENTRIES * ENTRY_BYTES { None } else { self.take_chunk() }
    }

    fn take_chunk(&mut self) -> Option<(keys::Key, Vec<u8>)> {
        if self.chunk.is_empty() {
            return None;
        }
        let mut value = block::first_byte();
        block::push_frame(&mut value, &self.chunk);
        self.chunk.clear();
        self.extent.chunks += 1;
        Some((keys::run_chunk(self.number, self.extent.chunks - 1), value))
    }

    /// The last chunk, and the run.
    pub(super) fn end(mut self) -> (Option<(keys::Key, Vec<u8>)>, Run) {
        let last = self.take_chunk();
        (last, Run { number: self.number, extent: self.extent, filter: self.filter, firsts: self.firsts })
    }
}

/// The entries of a chunk; `None` where it is damaged.
pub(super) fn entries(chunk: &[u8]) -> Option<impl Iterator<Item = (DedupeKey, DedupeEntry)>> {
    let content = block::frames(chunk).next().flatten()?;
    Some(content.chunks_exact(ENTRY_BYTES).filter_map(decode))
}

/// The entries of a chunk whose keys are in `range`; `None` where it is damaged.
pub(super) fn search(chunk: &[u8], from: &DedupeKey, to: &DedupeKey) -> Option<Vec<DedupeEntry>> {
    let content = block::frames(chunk).next().flatten()?;
    let (records, _) = content.as_chunks::<ENTRY_BYTES>();
    let start = records.partition_point(|record| decode(record).is_some_and(|(key, _)| key < *from));
    let found = records[start..].iter().filter_map(|record| decode(record)).take_while(|(key, _)| key <= to);
    Some(found.map(|(_, entry)| entry).collect())
}

fn encode(bytes: &mut Vec<u8>, key: &DedupeKey, entry: &DedupeEntry) {
    bytes.extend_from_slice(&key.id);
    bytes.extend_from_slice(&key.source);
    bytes.extend_from_slice(&entry.event.to_bytes());
    bytes.extend_from_slice(&entry.until.ms().to_be_bytes());
}

fn decode(record: &[u8]) -> Option<(DedupeKey, DedupeEntry)> {
    let (id, rest) = record.split_first_chunk::<16>()?;
    let (source, rest) = rest.split_first_chunk::<8>()?;
    let (event, until) = rest.split_first_chunk::<16>()?;
    let until = Timestamp::from_ms(u64::from_be_bytes(until.try_into().ok()?));
    Some((DedupeKey { id: *id, source: *source }, DedupeEntry { event: EventId::from_bytes(*event), until }))
}
