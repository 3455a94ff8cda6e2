//! Moves frozen layers into sled, in batches, and makes them durable there. A thread of its own does it while changes go on.
//!
//! Batches are small, since readers wait for them; each leaves sled consistent, with the counts of what it holds. The last one says
//! up to which record of the journal sled holds everything: what was moved twice after a crash is the same as what was moved once.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sled::Batch;

use super::block;
use super::bodies::CHUNK_BYTES;
use super::durable::Durable;
use super::held::Held;
use super::keys::{self, BlockId, Key};
use super::overlay::{Layer, Young};
use super::purge;
use super::shared::{Shared, failed};
use super::tally::Tally;
use crate::record::{DeliveryId, Name};
use crate::store::Error;
use crate::store::journal::Release;
use crate::time::Stopwatch;

/// Keys of a batch, roughly.
const BATCH_KEYS: usize = 256;
/// Bytes of a batch, roughly. One event may have more.
const BATCH_BYTES: usize = 512 * 1024;

/// sled's log is synced after so many bytes, also within a checkpoint: between two syncs sled keeps all that it replaces.
const UNSYNCED_BYTES_MAX: usize = 512 * 1024;

/// A checkpoint that takes so long has failed: after an error of the drive sled may wait for ever.
const STUCK_TIME: Duration = Duration::from_secs(30);
/// Whoever waits for a checkpoint looks so often whether it is stuck.
const STUCK_PAUSE: Duration = Duration::from_millis(250);
/// Between two looks so much counts at most: a process that was held (a paused container or machine) did nothing meanwhile.
const LOOK_TIME_MAX: Duration = Duration::from_secs(1);

/// Writes layers to sled.
pub(super) struct Checkpointer {
    pub(super) tree: sled::Db,
    pub(super) durable: Arc<Durable>,
    /// The counts of what is in sled.
    pub(super) tally: Tally,
    /// What of the journal is needed for the bodies in it.
    pub(super) held: Held,
    pub(super) shared: Arc<Shared>,
    unsynced: usize,
}

/// A batch as it fills.
#[derive(Default)]
pub(super) struct Filling {
    batch: Batch,
    keys: usize,
    bytes: usize,
    /// Destinations whose counts change with it.
    counted: BTreeSet<Name>,
}

impl Filling {
    pub(super) fn put(&mut self, key: Key, value: &[u8]) {
        self.keys += 1;
        self.bytes += key.len() + value.len();
        self.batch.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.keys += 1;
        self.batch.remove(key);
    }

    /// Removes what may be as large as a chunk: after ten of these sled writes what is left of their leaf anew.
    pub(super) fn remove_chunk(&mut self, key: &[u8]) {
        self.bytes += CHUNK_BYTES;
        self.remove(key);
    }

    /// Frames of any length under consecutive keys. The last chunk is always a short one, so that chunks which a value left
    /// behind when it became shorter are never read; a byte too many is no frame.
    pub(super) fn put_long(&mut self, prefix: u8, block: BlockId, value: &[u8]) {
        let parts = value.chunks(CHUNK_BYTES).chain(value.len().is_multiple_of(CHUNK_BYTES).then_some(&[0][..]));
        for (number, part) in (0u16..).zip(parts) {
            self.put(keys::chunk(prefix, block, number), part);
        }
    }

    fn put_attempt(&mut self, (delivery, number): (DeliveryId, u32), encoded: &[u8]) {
        let mut value = block::first_byte();
        block::push_frame(&mut value, encoded);
        self.put(keys::attempt(delivery, number), &value);
    }

    fn is_full(&self) -> bool {
        self.keys >= BATCH_KEYS || self.bytes >= BATCH_BYTES
    }
}

impl Checkpointer {
    pub(super) fn new(tree: sled::Db, durable: Arc<Durable>, tally: Tally, shared: Arc<Shared>) -> Result<Self, Error> {
        let held = Held::read(&tree, shared.number())?;
        Ok(Self { tree, durable, tally, held, shared, unsynced: 0 })
    }

    /// A checkpoint: moves a layer into sled and makes it durable there, and removes what is not needed any more.
    fn checkpoint(&mut self, layer: &Layer, release: &Release) -> Result<(), Error> {
        let durable = self.durable.clone();
        let _stretch = durable.stretch()?;
        self.forget(layer)?;
        self.move_down(layer)?;
        self.empty_sparse(layer.number, &release.old(layer.number))?;
        self.win_space()?;
        self.release(layer.number, release)
    }

    /// Moves a layer into sled and makes it durable there.
    pub(super) fn write(&mut self, layer: &Layer) -> Result<(), Error> {
        let durable = self.durable.clone();
        let _stretch = durable.stretch()?;
        self.move_down(layer)
    }

    fn move_down(&mut self, layer: &Layer) -> Result<(), Error> {
        let mut filling = Filling::default();
        self.remove_attempts(layer, &mut filling)?;
        for (block, young) in &layer.blocks {
            self.put_block(*block, young, layer.number, &mut filling)?;
            self.apply_full(&mut filling)?;
        }
        self.settle(layer, &mut filling)?;
        for (place, encoded) in &layer.attempts {
            filling.put_attempt(*place, encoded);
            self.apply_full(&mut filling)?;
        }
        self.apply(&mut filling)?;
        self.shared.runs.add(&layer.dedupe, layer.newest)?;
        // The position comes behind all that it speaks of.
        filling.put(keys::position(), &layer.number.to_be_bytes());
        self.apply(&mut filling)?;
        self.sync()
    }

    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.unsynced = 0;
        self.durable.sync()
    }

    fn put_block(&mut self, block: BlockId, young: &Young, number: u64, filling: &mut Filling) -> Result<(), Error> {
        if young.is_purged && self.is_wasteful(block, young)? {
            purge::rewrite(&self.shared, block, &young.states, young.parts.as_ref(), filling)?;
            self.let_go(block, number, filling)?;
        } else if let Some(parts) = &young.parts {
            filling.put_long(keys::HEADS, block, &parts.heads);
            for (number, part) in (0u16..).zip(parts.bodies.chunks()) {
                filling.put(keys::chunk(keys::BODIES, block, number), &part);
            }
            self.hold(block, parts.bodies.segments(), filling)?;
            parts.kept.iter().for_each(|key| filling.put(key.clone(), &[]));
        }
        let index = young.states.index(block);
        young.base.index.difference(&index).for_each(|key| filling.remove(key));
        index.difference(&young.base.index).for_each(|key| filling.put(key.clone(), &[]));
        filling.put_long(keys::STATES, block, &young.states.encode()?);
        filling.counted.append(&mut self.tally.change(&young.base.tally, &young.states.tally()));
        Ok(())
    }

    fn is_wasteful(&self, block: BlockId, young: &Young) -> Result<bool, Error> {
        Ok(match &young.parts {
            Some(parts) => purge::is_wasteful(&parts.heads, &young.states),
            None => purge::is_wasteful(&self.shared.heads_below(block)?, &young.states),
        })
    }

    pub(super) fn apply_full(&mut self, filling: &mut Filling) -> Result<(), Error> {
        if filling.is_full() { self.apply(filling) } else { Ok(()) }
    }

    /// Gives the batch to sled, with the counts as they are with it.
    pub(super) fn apply(&mut self, filling: &mut Filling) -> Result<(), Error> {
        self.unsynced += filling.bytes;
        let counts = std::mem::take(&mut filling.counted);
        for (key, value) in counts.iter().map(|name| self.tally.record_of(name)).chain([self.tally.record()]) {
            filling.put(key, &value);
        }
        self.tree.apply_batch(std::mem::take(filling).batch).map_err(failed)?;
        if self.unsynced >= UNSYNCED_BYTES_MAX { self.sync() } else { Ok(()) }
    }
}

/// The thread that moves layers.
pub(super) struct Checkpoints {
    layers: Mutex<Option<Sender<Arc<Layer>>>>,
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    /// How long a layer is on its way; `None` where none is.
    busy: Option<Busy>,
    /// sled holds all records up to this number durably.
    number: u64,
    failed: Option<String>,
}

impl Progress {
    /// Why no layer can be moved any more.
    fn failure(&mut self) -> Option<Error> {
        if self.failed.is_none() && self.busy.as_mut().is_some_and(Busy::is_stuck) {
            self.failed = Some("the storage engine does not come to an end".to_owned());
        }
        self.failed.clone().map(Error::Failed)
    }
}

/// The time of a checkpoint in which this process ran, as far as somebody looked.
struct Busy {
    ran: Duration,
    looked: Stopwatch,
}

impl Busy {
    fn begin() -> Self {
        Self { ran: Duration::ZERO, looked: Stopwatch::start() }
    }

    fn is_stuck(&mut self) -> bool {
        let passed = std::mem::replace(&mut self.looked, Stopwatch::start()).elapsed();
        self.count(passed)
    }

    /// So much has passed since the last look.
    fn count(&mut self, passed: Duration) -> bool {
        self.ran += passed.min(LOOK_TIME_MAX);
        self.ran >= STUCK_TIME
    }
}

impl Checkpoints {
    /// Starts the thread.
    pub(super) fn start(checkpointer: Checkpointer, release: Release) -> std::io::Result<Self> {
        let (sender, layers) = channel();
        let state = Arc::new(State::default());
        let mover = Mover { checkpointer, layers, release, state: state.clone() };
        let thread = std::thread::Builder::new().name("hookhold-checkpoint".into()).spawn(move || mover.run())?;
        Ok(Self { layers: Mutex::new(Some(sender)), state, thread: Mutex::new(Some(thread)) })
    }

    /// Gives a frozen layer to the thread.
    pub(super) fn begin(&self, layer: Arc<Layer>) {
        lock(&self.state.progress).busy = Some(Busy::begin());
        let sender = lock(&self.layers);
        // A thread that ended has said why.
        let _ = sender.as_ref().map(|sender| sender.send(layer));
    }

    /// Waits until no layer is on its way.
    pub(super) fn wait(&self) -> Result<(), Error> {
        let mut progress = lock(&self.state.progress);
        loop {
            match progress.failure() {
                Some(error) => return Err(error),
                None if progress.busy.is_none() => return Ok(()),
                None => {}
            }
            let waited = self.state.changed.wait_timeout(progress, STUCK_PAUSE);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Up to which record sled holds everything durably; an error where no layer can be moved any more.
    pub(super) fn number(&self) -> Result<u64, Error> {
        let mut progress = lock(&self.state.progress);
        progress.failure().map_or(Ok(progress.number), Err)
    }

    /// Ends the thread after what it has to do. A thread that failed is left alone: it may never end.
    pub(super) fn close(&self) -> Result<(), Error> {
        lock(&self.layers).take();
        self.wait()?;
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
        self.number().map(drop)
    }
}

struct Mover {
    checkpointer: Checkpointer,
    layers: Receiver<Arc<Layer>>,
    release: Release,
    state: Arc<State>,
}

impl Mover {
    fn run(mut self) {
        while let Ok(layer) = self.layers.recv() {
            let moved = catch_unwind(AssertUnwindSafe(|| self.checkpointer.checkpoint(&layer, &self.release)));
            let moved = moved.unwrap_or_else(|_| Err(Error::Failed("the storage engine failed unexpectedly".to_owned())));
            let mut progress = lock(&self.state.progress);
            match moved {
                Ok(()) => progress.number = layer.number,
                Err(error) => {
                    tracing::error!(%error, "nothing more is accepted until the relay is started again");
                    let why = if let Error::Failed(why) = error { why } else { error.to_string() };
                    progress.failed = Some(why);
                    self.state.changed.notify_all();
                    return;
                }
            }
            drop(progress);
            // Not under a lock: a layer is large.
            let thawed = self.checkpointer.shared.thaw();
            drop((thawed, layer));
            lock(&self.state.progress).busy = None;
            self.state.changed.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_in_which_the_process_ran_makes_a_checkpoint_stuck() {
        let mut busy = Busy::begin();
        assert!(!busy.count(STUCK_TIME * 100), "it was held, and goes on now");
        let looks = STUCK_TIME.as_millis() / STUCK_PAUSE.as_millis();
        let stuck = (0..looks).position(|_| busy.count(STUCK_PAUSE));
        assert_eq!(stuck, Some((looks - LOOK_TIME_MAX.as_millis() / STUCK_PAUSE.as_millis() - 1) as usize));
    }
}
