//! The journal's files: written full of zeros before they are used, and used again.
//!
//! A file that already has its blocks makes a sync many times cheaper: nothing but the data has to reach the drive, while a file
//! that grows costs a commit of the file system each time. Making one takes a moment, so a thread keeps one ready.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::floor::Floor;
use super::library::Library;
use crate::time::Stopwatch;

/// The size of a segment in a store that has work to do.
const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
/// The first segment of a new store is small, so that an idle store is, too; each next one is so many times as large.
const SEGMENT_BYTES_FIRST: u64 = 1024 * 1024;
const SEGMENT_GROWTH: u64 = 4;
/// What was moved into sled is kept in the journal up to so many bytes: the end of a damaged sled is healed from it.
const KEPT_BYTES: u64 = 128 * 1024 * 1024;
/// Zeros are written in pieces of this size.
const ZEROS: usize = 256 * 1024;
/// A full disk is asked again after this time, and the writer waits for it for so long at most: what is under way ends better late
/// than never, but somebody must hear of it.
const FULL_PAUSE: Duration = Duration::from_millis(250);
const FULL_TIME: Duration = Duration::from_secs(30);
/// The system's words for it (EMFILE, ENFILE): the process has as many descriptors as it may, or all processes together have.
const NO_DESCRIPTOR: i32 = 24;
const NO_FILE: i32 = 23;
/// Then it is tried again so often, that is for ten seconds.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(20);
const DESCRIPTOR_TRIES: usize = 500;
/// The bits of an id.
const ID_MAX: SegmentId = u32::MAX >> 1;
/// The end of a segment's name.
const EXTENSION: &str = "journal";

/// Names a segment, also a thousand segments later. 31 bits, so that whoever keeps it has one to spare.
pub(in crate::store) type SegmentId = u32;

/// A file of records.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: SegmentId,
    path: PathBuf,
    file: File,
    pub(super) salt: u64,
    pub(super) bytes: u64,
    /// Where the next record goes.
    pub(super) at: u64,
}

/// A segment on disk that is not written any more.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) id: SegmentId,
    pub(super) path: PathBuf,
    pub(super) salt: u64,
    pub(super) bytes: u64,
    /// The number of its last record.
    pub(super) last: u64,
}

impl Segment {
    /// Makes a segment of `bytes`, all blocks of it written, or of what can be used of `old`.
    fn make(folder: &Path, bytes: u64, old: Option<&Path>, library: &Library) -> io::Result<Self> {
        // From the system's random numbers: nobody who sends a body may know it.
        let salt = rand::random::<u64>();
        let id = library.new_id();
        let path = folder.join(format!("{id:08x}-{salt:016x}.{EXTENSION}"));
        let file = match old {
            Some(old) => {
                fs::rename(old, &path)?;
                with_patience(|| File::options().read(true).write(true).open(&path))?
            }
            None => {
                let file = with_patience(|| File::options().read(true).write(true).create_new(true).open(&path))?;
                // What was made of it would be missed most where it is not whole since the disk is full.
                fill(&file, bytes).inspect_err(|_| drop(fs::remove_file(&path)))?;
                file
            }
        };
        with_patience(|| File::open(folder))?.sync_all()?;
        library.add(id, path.clone());
        Ok(Self { id, path, file, salt, bytes, at: 0 })
    }

    /// Whether so many bytes fit in.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.at + bytes as u64 <= self.bytes
    }

    /// Writes behind what is there.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Makes it durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Its file.
    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The segment as one that is not written any more.
    pub(super) fn closed(self, last: u64) -> Closed {
        Closed { id: self.id, path: self.path, salt: self.salt, bytes: self.bytes, last }
    }
}

/// Opens a file. That the system has no descriptor to give is no fault of the file: somebody may give one back before it is missed.
fn with_patience(open: impl Fn() -> io::Result<File>) -> io::Result<File> {
    let mut tries = 0..DESCRIPTOR_TRIES;
    loop {
        let lacks_one = |error: &io::Error| error.raw_os_error().is_some_and(|code| [NO_DESCRIPTOR, NO_FILE].contains(&code));
        match open() {
            Err(error) if lacks_one(&error) && tries.next().is_some() => std::thread::sleep(DESCRIPTOR_PAUSE),
            opened => return opened,
        }
    }
}

fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    for at in (0..bytes).step_by(ZEROS) {
        file.write_all(&zeros[..ZEROS.min(usize::try_from(bytes - at).unwrap_or(ZEROS))])?;
    }
    file.sync_all()
}

/// The segments in `folder`. What does not have a segment's name is left alone.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Closed>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let numbers = path.file_stem().and_then(|stem| {
            let (id, salt) = stem.to_str()?.split_once('-')?;
            Some((u32::from_str_radix(id, 16).ok()?, u64::from_str_radix(salt, 16).ok()?))
        });
        if let (Some((id, salt)), true) = (numbers, path.extension().is_some_and(|extension| extension == EXTENSION)) {
            let bytes = fs::metadata(&path)?.len();
            found.push(Closed { id: id & ID_MAX, path, salt, bytes, last: 0 });
        }
    }
    Ok(found)
}

/// The segments beside the one that is written: kept ones, those to be used again, and the one that is ready.
#[derive(Debug)]
pub(super) struct Stock {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
    library: Library,
    floor: Arc<Floor>,
    /// `None` only while it is dropped.
    ready: Option<Receiver<io::Result<Segment>>>,
    maker: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first.
    kept: Vec<Closed>,
    free: Vec<Closed>,
    /// Since when somebody waits for a segment.
    wanted_since: Option<Stopwatch>,
    /// Whether nobody ever will again.
    is_closed: bool,
}

/// Tells the stock what is not needed any more.
#[derive(Clone, Debug)]
pub(in crate::store) struct Release {
    state: Arc<Mutex<State>>,
    library: Library,
    floor: Arc<Floor>,
}

/// A segment whose records are durable elsewhere, for longer than the end of a damaged sled is healed from them.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Old {
    pub(in crate::store) id: SegmentId,
    /// Of its file.
    pub(in crate::store) bytes: u64,
}

impl Stock {
    /// Starts to keep a segment ready in `folder`. `kept`: what is there, oldest first.
    pub(super) fn start(folder: &Path, kept: Vec<Closed>, library: Library, floor: Floor) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { kept, ..State::default() }));
        let (sender, ready) = sync_channel(0);
        let maker = Maker { folder: folder.into(), state: state.clone(), library: library.clone(), ready: sender };
        let maker = std::thread::Builder::new().name("hookhold-journal".into()).spawn(move || maker.run())?;
        Ok(Self { folder: folder.into(), state, library, floor: Arc::new(floor), ready: Some(ready), maker: Some(maker) })
    }

    /// The next segment to write to, with room for `bytes`.
    pub(super) fn next(&self, bytes: usize) -> io::Result<Segment> {
        lock(&self.state).wanted_since = Some(Stopwatch::start());
        let made = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        lock(&self.state).wanted_since = None;
        let ready = made.unwrap_or_else(|| Err(io::Error::other("the thread that makes journal files has ended")))?;
        if ready.has_room(bytes) {
            return Ok(ready);
        }
        self.library.remove(ready.id);
        fs::remove_file(ready.path)?;
        Segment::make(&self.folder, SEGMENT_BYTES.max(bytes as u64), None, &self.library)
    }

    /// Keeps a segment until it is released.
    pub(super) fn keep(&self, closed: Closed) {
        lock(&self.state).kept.push(closed);
    }

    /// The way to tell it what is not needed any more.
    pub(super) fn release(&self) -> Release {
        Release { state: self.state.clone(), library: self.library.clone(), floor: self.floor.clone() }
    }

    /// Bytes on disk beside the segment that is written.
    pub(super) fn bytes(&self) -> u64 {
        let state = lock(&self.state);
        state.kept.iter().chain(&state.free).map(|closed| closed.bytes).sum()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        // The thread ends when nobody takes what it makes, and leaves no file behind for whoever opens the folder next.
        lock(&self.state).is_closed = true;
        self.ready.take();
        if let Some(maker) = self.maker.take() {
            let _ = maker.join();
        }
    }
}

impl State {
    /// Up to which record segments are beyond [`KEPT_BYTES`].
    fn beyond(&self) -> Option<u64> {
        let mut kept_bytes = 0;
        let mut is_beyond = |closed: &&Closed| {
            kept_bytes += closed.bytes;
            kept_bytes > KEPT_BYTES
        };
        self.kept.iter().rev().find(&mut is_beyond).map(|closed| closed.last)
    }
}

impl Release {
    /// Records up to `number` are durable elsewhere, and `unused_since` says since which record nothing refers to what stands in a
    /// segment; `None` where something does. Segments beyond [`KEPT_BYTES`] are used again, or removed; those of which something
    /// is needed stay, as long as that.
    pub(in crate::store) fn up_to(&self, number: u64, unused_since: impl Fn(SegmentId) -> Option<u64>) -> io::Result<()> {
        let mut state = lock(&self.state);
        let Some(beyond) = state.beyond() else { return Ok(()) };
        // A start may find the others as they were a moment ago, and then what was written since is put back from the journal.
        let is_over =
            |closed: &Closed| closed.last <= beyond.min(number) && unused_since(closed.id).is_some_and(|since| since <= beyond);
        let over: Vec<_> = state.kept.extract_if(.., |closed| is_over(closed)).collect();
        drop(state);
        let Some(last) = over.iter().map(|closed| closed.last).max() else { return Ok(()) };
        // First, so that no start takes what is left for all there was.
        self.floor.raise(last)?;
        for closed in over {
            self.library.remove(closed.id);
            let mut state = lock(&self.state);
            if closed.bytes == SEGMENT_BYTES && state.free.is_empty() {
                state.free.push(closed);
                continue;
            }
            drop(state);
            if let Err(error) = fs::remove_file(&closed.path) {
                tracing::warn!(path = %closed.path.display(), %error, "a journal file that is not needed cannot be removed");
            }
        }
        Ok(())
    }

    /// The segments whose records up to `number` are durable elsewhere and that are beyond [`KEPT_BYTES`], oldest first.
    pub(in crate::store) fn old(&self, number: u64) -> Vec<Old> {
        let state = lock(&self.state);
        let beyond = state.beyond().unwrap_or(0).min(number);
        let old = state.kept.iter().filter(|closed| closed.last <= beyond);
        old.map(|closed| Old { id: closed.id, bytes: closed.bytes }).collect()
    }
}

/// Makes segments, one ahead.
struct Maker {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
    library: Library,
    ready: SyncSender<io::Result<Segment>>,
}

impl Maker {
    fn run(self) {
        let mut bytes = SEGMENT_BYTES_FIRST;
        loop {
            let old = lock(&self.state).free.pop();
            let made = match &old {
                Some(old) => Segment::make(&self.folder, old.bytes, Some(&old.path), &self.library),
                None => self.make_new(bytes),
            };
            bytes = (bytes * SEGMENT_GROWTH).min(SEGMENT_BYTES);
            // Nobody takes it any more: it must not be left to the next start.
            if let Err(unused) = self.ready.send(made) {
                if let Ok(segment) = unused.0 {
                    self.library.remove(segment.id);
                    let _ = fs::remove_file(segment.path);
                }
                return;
            }
        }
    }
}

impl Maker {
    /// A full disk is no error while nobody needs the segment, or not for long: there may be space again.
    fn make_new(&self, bytes: u64) -> io::Result<Segment> {
        loop {
            match Segment::make(&self.folder, bytes, None, &self.library) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull && self.may_wait() => std::thread::sleep(FULL_PAUSE),
                made => return made,
            }
        }
    }

    fn may_wait(&self) -> bool {
        let state = lock(&self.state);
        !state.is_closed && state.wanted_since.is_none_or(|since| since.elapsed() < FULL_TIME)
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_descriptor_is_waited_for_and_nothing_else_is() {
        let tries = Cell::new(0);
        let open = |codes: [i32; 2]| {
            tries.set(0);
            with_patience(|| {
                tries.set(tries.get() + 1);
                codes
                    .get(tries.get() - 1)
                    .map_or_else(|| File::open("/dev/null"), |code| Err(io::Error::from_raw_os_error(*code)))
            })
        };
        assert!(open([NO_DESCRIPTOR, NO_FILE]).is_ok() && tries.get() == 3);
        assert_eq!(open([2, 2]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(tries.get(), 1);
    }
}
