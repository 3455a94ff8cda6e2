//! All runs: looked through from the newest to the oldest, written by checkpoints, merged and dropped in between.
//!
//! A run counts once its record is there; chunks without one are left-overs of an end in between, and go at the next start.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sled::Batch;

use super::run::{self, Extent, Run, Writing};
use super::{DedupeEntry, DedupeKey, IdHash};
use crate::store::Error;
use crate::store::sled::durable::Durable;
use crate::store::sled::shared::failed;
use crate::store::sled::{block, keys};
use crate::time::Timestamp;

/// So many runs of a level are merged into one of the next.
const MERGED: usize = 8;
/// Runs with more entries are not merged any more: a merge must not keep checkpoints waiting for long.
const MERGED_ENTRIES_MAX: u64 = 500_000;
/// Chunks that are written or removed at a time.
const BATCH_CHUNKS: usize = 8;
/// Chunks that are written or removed between two syncs: about a megabyte.
const SYNCED_CHUNKS: usize = 24;
/// Times that a lookup is made again where runs were merged meanwhile.
const LOOKUPS_MAX: usize = 5;

/// The runs of a store.
#[derive(Debug)]
pub(in crate::store::sled) struct Runs {
    tree: sled::Db,
    durable: Arc<Durable>,
    /// Oldest first.
    runs: Mutex<Arc<Vec<Arc<Run>>>>,
}

/// Removed and added keys, a few at a time.
struct Chunks<'t> {
    runs: &'t Runs,
    batch: Batch,
    count: usize,
}

impl Chunks<'_> {
    fn put(&mut self, chunk: Option<(keys::Key, Vec<u8>)>) -> Result<(), Error> {
        let Some((key, value)) = chunk else { return Ok(()) };
        self.batch.insert(key, value);
        self.step()
    }

    fn remove(&mut self, key: keys::Key) -> Result<(), Error> {
        self.batch.remove(key);
        self.step()
    }

    fn step(&mut self) -> Result<(), Error> {
        self.count += 1;
        if !self.count.is_multiple_of(BATCH_CHUNKS) {
            return Ok(());
        }
        self.flush()?;
        // As a checkpoint does: sled's log is never far ahead of its last sync.
        if self.count.is_multiple_of(SYNCED_CHUNKS) { self.runs.sync() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.runs.tree.apply_batch(std::mem::take(&mut self.batch)).map_err(failed)
    }
}

impl Runs {
    /// Reads what is in `tree`; damaged chunks are passed over and counted.
    pub(in crate::store::sled) fn open(tree: sled::Db, durable: Arc<Durable>) -> Result<(Self, u64), Error> {
        let (mut runs, mut damaged) = (Vec::new(), 0);
        let mut extents = BTreeMap::new();
        for entry in tree.scan_prefix(keys::runs()) {
            let (key, value) = entry.map_err(failed)?;
            match (keys::run_of(&key), block::decode::<Extent>(&value)) {
                (Some(number), Some(extent)) => drop(extents.insert(number, extent)),
                _ => damaged += 1,
            }
        }
        for (number, extent) in extents {
            let run = Run::read(number, extent, |chunk| {
                let value = tree.get(keys::run_chunk(number, chunk)).map_err(failed)?;
                let keys = value.as_deref().and_then(run::entries).map(|entries| entries.map(|(key, _)| key).collect());
                damaged += u64::from(keys.is_none());
                Ok::<_, Error>(keys)
            })?;
            runs.push(Arc::new(run));
        }
        runs.sort_by_key(|run| run.extent.age);
        let runs = Self { tree, durable, runs: Mutex::new(Arc::new(runs)) };
        runs.remove_left_overs()?;
        Ok((runs, damaged))
    }

    fn remove_left_overs(&self) -> Result<(), Error> {
        let known = self.snapshot();
        let _stretch = self.durable.stretch()?;
        let mut chunks = self.chunks();
        let mut from = keys::chunks_of_runs();
        while let Some((key, _)) =
            self.tree.range(from.clone()..keys::behind_chunks_of_runs()).next().transpose().map_err(failed)?
        {
            let Some(number) = keys::run_of(&key) else { break };
            if known.iter().any(|run| run.number == number) {
                from = keys::run_chunk(number + 1, 0);
            } else {
                from = [&key[..], &[0]].concat();
                chunks.remove(key.to_vec())?;
            }
        }
        chunks.flush()
    }

    fn chunks(&self) -> Chunks<'_> {
        Chunks { runs: self, batch: Batch::default(), count: 0 }
    }

    fn sync(&self) -> Result<(), Error> {
        self.durable.sync()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Vec<Arc<Run>>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Arc<Vec<Arc<Run>>> {
        self.lock().clone()
    }

    /// What is known of an id in a source, where it was known at `now`; the newest counts.
    pub(in crate::store::sled) fn find(&self, key: &DedupeKey, now: Timestamp) -> Result<Option<DedupeEntry>, Error> {
        let found = self.look(|runs| {
            for run in runs.iter().rev() {
                let Some(chunk) = run.chunk_of(key) else { continue };
                let Some(found) = self.search(run, chunk, key, key)? else { return Ok(None) };
                if let Some(entry) = found.first().filter(|entry| now < entry.until) {
                    return Ok(Some(Some(*entry)));
                }
            }
            Ok(Some(None))
        })?;
        Ok(found.flatten())
    }

    /// What is known of an id in all sources.
    pub(in crate::store::sled) fn find_all(&self, id: &IdHash) -> Result<Vec<DedupeEntry>, Error> {
        let (from, to) = (DedupeKey::first_of(*id), DedupeKey::last_of(*id));
        let found = self.look(|runs| {
            let mut all = Vec::new();
            for run in runs.iter() {
                let Some(first) = run.first_chunk_of(id) else { continue };
                // They may go on in the next chunk.
                for chunk in (first..run.extent.chunks).take(2) {
                    let Some(mut found) = self.search(run, chunk, &from, &to)? else { return Ok(None) };
                    all.append(&mut found);
                }
            }
            Ok(Some(all))
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Gives all entries to `take`, chunk by chunk, `None` for a damaged chunk. Where runs are merged meanwhile, entries may come
    /// twice; of those with the same key, the newest comes last.
    pub(in crate::store::sled) fn all(
        &self,
        mut take: impl FnMut(Option<Vec<(DedupeKey, DedupeEntry)>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let newest = self.snapshot().last().map(|run| run.extent.age);
        let mut done = None;
        while done < newest {
            let runs = self.snapshot();
            let Some(run) = runs.iter().find(|run| Some(run.extent.age) > done) else { break };
            if self.read(run, &mut take)? {
                done = Some(run.extent.age);
            }
        }
        Ok(())
    }

    /// `false` where the run is gone: it was merged into a newer one, or its time is over.
    fn read(
        &self,
        run: &Run,
        take: &mut impl FnMut(Option<Vec<(DedupeKey, DedupeEntry)>>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        for chunk in 0..run.extent.chunks {
            let value = self.tree.get(keys::run_chunk(run.number, chunk)).map_err(failed)?;
            if value.is_none() && !self.snapshot().iter().any(|known| known.number == run.number) {
                return Ok(false);
            }
            take(value.as_deref().and_then(run::entries).map(Iterator::collect))?;
        }
        Ok(true)
    }

    /// Looks into the runs; again, where one was merged away meanwhile.
    fn look<T>(&self, look: impl Fn(&[Arc<Run>]) -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        for _ in 0..LOOKUPS_MAX {
            let found = look(&self.snapshot())?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The entries of a chunk between two keys; `None` where the chunk is gone. A damaged one has none.
    fn search(&self, run: &Run, chunk: u32, from: &DedupeKey, to: &DedupeKey) -> Result<Option<Vec<DedupeEntry>>, Error> {
        let value = self.tree.get(keys::run_chunk(run.number, chunk)).map_err(failed)?;
        Ok(value.map(|value| run::search(&value, from, to).unwrap_or_default()))
    }

    /// Writes the entries of a checkpoint as a run. Then merges runs of a level of which there are enough, and drops those whose
    /// time is over at `now`.
    pub(in crate::store::sled) fn add(&self, entries: &BTreeMap<DedupeKey, DedupeEntry>, now: Timestamp) -> Result<(), Error> {
        if !entries.is_empty() {
            let number = self.next_number();
            let mut writing = Writing::begin(number, number, 0, entries.len());
            let mut chunks = self.chunks();
            for (key, entry) in entries {
                chunks.put(writing.push(*key, *entry))?;
            }
            let (last, run) = writing.end();
            chunks.put(last)?;
            self.replace(chunks, &[], Some(run))?;
        }
        self.drop_ended(now)?;
        while let Some(merged) = self.to_merge() {
            self.merge(&merged, now)?;
        }
        Ok(())
    }

    fn next_number(&self) -> u64 {
        self.lock().iter().map(|run| run.number + 1).max().unwrap_or(0)
    }

    /// The oldest neighbours of one level that should be one.
    fn to_merge(&self) -> Option<Vec<Arc<Run>>> {
        let runs = self.snapshot();
        let fits = |some: &&[Arc<Run>]| {
            let level = some[0].extent.level;
            some.iter().all(|run| run.extent.level == level && run.extent.entries < MERGED_ENTRIES_MAX)
        };
        runs.windows(MERGED).find(fits).map(<[_]>::to_vec)
    }

    fn drop_ended(&self, now: Timestamp) -> Result<(), Error> {
        let ended: Vec<_> = self.snapshot().iter().filter(|run| run.extent.until <= now).cloned().collect();
        if ended.is_empty() { Ok(()) } else { self.replace(self.chunks(), &ended, None) }
    }

    /// Merges neighbours into one run in their place.
    fn merge(&self, merged: &[Arc<Run>], now: Timestamp) -> Result<(), Error> {
        let level = merged.iter().map(|run| run.extent.level).max().unwrap_or(0).saturating_add(1);
        let entries = merged.iter().map(|run| run.extent.entries).sum::<u64>();
        let age = merged.iter().map(|run| run.extent.age).max().unwrap_or(0);
        let mut writing = Writing::begin(self.next_number(), age, level, usize::try_from(entries).unwrap_or(0));
        let mut chunks = self.chunks();
        let mut readers = merged.iter().map(|run| Reader::new(&self.tree, run)).collect::<Vec<_>>();
        // By key; of equal ones the newest first.
        let mut heads = BinaryHeap::new();
        for (place, reader) in readers.iter_mut().enumerate() {
            heads.extend(reader.next()?.map(|(key, entry)| Reverse((key, Reverse(place), entry.event, entry.until))));
        }
        let mut last = None;
        while let Some(Reverse((key, Reverse(place), event, until))) = heads.pop() {
            heads.extend(readers[place].next()?.map(|(key, entry)| Reverse((key, Reverse(place), entry.event, entry.until))));
            if last != Some(key) && until > now {
                chunks.put(writing.push(key, DedupeEntry { event, until }))?;
            }
            last = Some(key);
        }
        let (rest, run) = writing.end();
        chunks.put(rest)?;
        self.replace(chunks, merged, Some(run))
    }

    /// Puts `new`, whose chunks are written, in the place of `old` runs, and removes their chunks.
    fn replace(&self, mut chunks: Chunks<'_>, old: &[Arc<Run>], new: Option<Run>) -> Result<(), Error> {
        let new = new.filter(|run| run.extent.entries > 0);
        chunks.flush()?;
        let mut batch = Batch::default();
        if let Some(run) = &new {
            batch.insert(keys::run(run.number), block::encode(&run.extent)?);
        }
        old.iter().for_each(|run| batch.remove(keys::run(run.number)));
        self.tree.apply_batch(batch).map_err(failed)?;
        {
            let mut runs = self.lock();
            let is_old = |run: &Arc<Run>| old.iter().any(|old| old.number == run.number);
            let place = runs.iter().position(is_old).unwrap_or(runs.len());
            let mut now: Vec<_> = runs.iter().filter(|run| !is_old(run)).cloned().collect();
            new.into_iter().for_each(|run| now.insert(place, Arc::new(run)));
            *runs = Arc::new(now);
        }
        let mut chunks = self.chunks();
        for run in old {
            for chunk in 0..run.extent.chunks {
                chunks.remove(keys::run_chunk(run.number, chunk))?;
            }
        }
        chunks.flush()
    }
}

/// Reads a run from its start to its end.
struct Reader<'r> {
    tree: &'r sled::Db,
    run: &'r Run,
    chunk: u32,
    entries: std::vec::IntoIter<(DedupeKey, DedupeEntry)>,
}

impl<'r> Reader<'r> {
    fn new(tree: &'r sled::Db, run: &'r Run) -> Self {
        Self { tree, run, chunk: 0, entries: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<Option<(DedupeKey, DedupeEntry)>, Error> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            if self.chunk == self.run.extent.chunks {
                return Ok(None);
            }
            let value = self.tree.get(keys::run_chunk(self.run.number, self.chunk)).map_err(failed)?;
            let entries = value.as_deref().and_then(run::entries).map(Iterator::collect::<Vec<_>>);
            (self.entries, self.chunk) = (entries.unwrap_or_default().into_iter(), self.chunk + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventId;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn entry(n: u64, until: u64) -> DedupeEntry {
        DedupeEntry { event: EventId::first_at(at(n)), until: at(until) }
    }

    fn key(n: u64) -> DedupeKey {
        DedupeKey::of("s", &format!("evt_{n}"))
    }

    fn open(folder: &std::path::Path) -> Runs {
        opened(sled::Config::new().path(folder).open().unwrap(), folder)
    }

    fn durable(tree: sled::Db, folder: &std::path::Path) -> Arc<Durable> {
        Durable::open(tree, folder, std::fs::File::open(folder.join("db")).unwrap()).unwrap()
    }

    /// As a start would find them. sled itself stays open: its lock is free only a moment after its end.
    fn reopened(runs: Runs, folder: &std::path::Path) -> Runs {
        let tree = runs.tree.clone();
        drop(runs);
        opened(tree, folder)
    }

    fn opened(tree: sled::Db, folder: &std::path::Path) -> Runs {
        let (runs, damaged) = Runs::open(tree.clone(), durable(tree, folder)).unwrap();
        assert_eq!(damaged, 0);
        runs
    }

    #[test]
    fn ids_are_found_through_merges_and_restarts_until_their_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = open(folder.path());
        let per_run = 700;
        for run in 0..20 {
            let ids = run * per_run..(run + 1) * per_run;
            runs.add(&ids.map(|n| (key(n), entry(n, 10_000 + n))).collect(), at(n_of(run))).unwrap();
        }
        for _ in 0..2 {
            assert!(runs.snapshot().len() < 8, "{}", runs.snapshot().len());
            for n in (0..20 * per_run).step_by(37) {
                assert_eq!(runs.find(&key(n), at(9_999)).unwrap(), Some(entry(n, 10_000 + n)), "{n}");
                assert_eq!(runs.find(&key(n), at(10_000 + n)).unwrap(), None);
                assert_eq!(runs.find(&DedupeKey::of("t", &format!("evt_{n}")), at(0)).unwrap(), None);
            }
            assert_eq!(runs.find_all(&super::super::id_hash("evt_5")).unwrap(), [entry(5, 10_005)]);
            runs = reopened(runs, folder.path());
        }
        runs.add(&BTreeMap::new(), at(50_000)).unwrap();
        assert_eq!(runs.snapshot().len(), 0);
        assert_eq!(runs.tree.len(), 0);
    }

    fn n_of(run: u64) -> u64 {
        run * 10
    }

    #[test]
    fn the_newest_entry_counts_and_merging_drops_what_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let runs = open(folder.path());
        for n in 0..MERGED as u64 {
            runs.add(&[(key(1), entry(n, 100 + n * 100)), (key(10 + n), entry(n, 350))].into(), at(n)).unwrap();
        }
        assert_eq!(runs.snapshot().len(), 1);
        let last = MERGED as u64 - 1;
        assert_eq!(runs.find(&key(1), at(20)).unwrap(), Some(entry(last, 100 + last * 100)));
        assert_eq!(runs.snapshot()[0].extent.entries, 9);
    }

    #[test]
    fn left_overs_of_a_run_that_was_not_finished_go() {
        let folder = tempfile::tempdir().unwrap();
        let runs = open(folder.path());
        runs.add(&[(key(1), entry(1, 100))].into(), at(0)).unwrap();
        runs.tree.insert(keys::run_chunk(1, 0), b"half").unwrap();
        runs.tree.insert(keys::run_chunk(7, 3), b"half").unwrap();
        let runs = reopened(runs, folder.path());
        assert_eq!(runs.tree.len(), 2);
        assert_eq!(runs.find(&key(1), at(0)).unwrap(), Some(entry(1, 100)));
    }

    #[test]
    fn a_damaged_chunk_costs_what_it_held() {
        let folder = tempfile::tempdir().unwrap();
        let runs = open(folder.path());
        runs.add(&(0..3000).map(|n| (key(n), entry(n, 100))).collect(), at(0)).unwrap();
        let chunk = keys::run_chunk(0, 1);
        let mut value = runs.tree.get(&chunk).unwrap().unwrap().to_vec();
        value[500] ^= 1;
        runs.tree.insert(chunk, value).unwrap();
        let tree = runs.tree.clone();
        drop(runs);
        let (runs, damaged) = Runs::open(tree.clone(), durable(tree, folder.path())).unwrap();
        let found = (0..3000).filter(|n| runs.find(&key(*n), at(0)).unwrap() == Some(entry(*n, 100))).count();
        assert_eq!((found, damaged), (2000, 1));
    }
}
