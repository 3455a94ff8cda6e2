//! The journal's files: written full of zeros before they are used, and used again.
//!
//! A file that already has its blocks makes a sync many times cheaper: nothing but the data has to reach the drive, while a file
//! that grows costs a commit of the file system each time. Making one takes a moment, so a thread keeps one ready.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

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
/// The end of a segment's name.
const EXTENSION: &str = "journal";

/// A file of records.
#[derive(Debug)]
pub(super) struct Segment {
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
    pub(super) path: PathBuf,
    pub(super) salt: u64,
    pub(super) bytes: u64,
    /// The number of its last record.
    pub(super) last: u64,
}

impl Segment {
    /// Makes a segment of `bytes`, all blocks of it written, or of what can be used of `old`.
    fn make(folder: &Path, bytes: u64, old: Option<&Path>) -> io::Result<Self> {
        // From the system's random numbers: nobody who sends a body may know it.
        let (salt, unique) = (rand::random::<u64>(), rand::random::<u32>());
        let path = folder.join(format!("{unique:08x}-{salt:016x}.{EXTENSION}"));
        let file = match old {
            Some(old) => {
                fs::rename(old, &path)?;
                File::options().read(true).write(true).open(&path)?
            }
            None => {
                let file = File::options().read(true).write(true).create_new(true).open(&path)?;
                // What was made of it would be missed most where it is not whole since the disk is full.
                fill(&file, bytes).inspect_err(|_| drop(fs::remove_file(&path)))?;
                file
            }
        };
        File::open(folder)?.sync_all()?;
        Ok(Self { path, file, salt, bytes, at: 0 })
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
        Closed { path: self.path, salt: self.salt, bytes: self.bytes, last }
    }
}

fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    for at in (0..bytes).step_by(ZEROS) {
        file.write_all(&zeros[..ZEROS.min(usize::try_from(bytes - at).unwrap_or(ZEROS))])?;
    }
    file.sync_all()
}

/// The segments in `folder`: their paths and salts. What does not have a segment's name is left alone.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let salt = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?.split_once('-')?.1, 16).ok());
        if let (Some(salt), true) = (salt, path.extension().is_some_and(|extension| extension == EXTENSION)) {
            found.push((path, salt));
        }
    }
    Ok(found)
}

/// The segments beside the one that is written: kept ones, those to be used again, and the one that is ready.
#[derive(Debug)]
pub(super) struct Stock {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
    /// `None` only while it is dropped.
    ready: Option<Receiver<io::Result<Segment>>>,
    maker: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<Closed>,
    free: Vec<Closed>,
    /// Since when somebody waits for a segment.
    wanted_since: Option<Stopwatch>,
    /// Whether nobody ever will again.
    is_closed: bool,
}

/// Tells the stock what is not needed any more.
#[derive(Clone, Debug)]
pub(in crate::store) struct Release(Arc<Mutex<State>>);

impl Stock {
    /// Starts to keep a segment ready in `folder`. `kept`: what is there, oldest first.
    pub(super) fn start(folder: &Path, kept: VecDeque<Closed>) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { kept, ..State::default() }));
        let (sender, ready) = sync_channel(0);
        let maker = Maker { folder: folder.into(), state: state.clone(), ready: sender };
        let maker = std::thread::Builder::new().name("hookhold-journal".into()).spawn(move || maker.run())?;
        Ok(Self { folder: folder.into(), state, ready: Some(ready), maker: Some(maker) })
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
        fs::remove_file(ready.path)?;
        Segment::make(&self.folder, SEGMENT_BYTES.max(bytes as u64), None)
    }

    /// Keeps a segment until it is released.
    pub(super) fn keep(&self, closed: Closed) {
        lock(&self.state).kept.push_back(closed);
    }

    /// The way to tell it what is not needed any more.
    pub(super) fn release(&self) -> Release {
        Release(self.state.clone())
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

impl Release {
    /// Records up to `number` are durable elsewhere. Segments beyond [`KEPT_BYTES`] are used again, or removed.
    pub(in crate::store) fn up_to(&self, number: u64) {
        let mut gone = Vec::new();
        let mut state = lock(&self.0);
        let mut kept_bytes = state.kept.iter().map(|closed| closed.bytes).sum::<u64>();
        while let Some(first) = state.kept.front()
            && first.last <= number
            && kept_bytes > KEPT_BYTES
        {
            kept_bytes -= first.bytes;
            let Some(closed) = state.kept.pop_front() else { break };
            let is_of_use = closed.bytes == SEGMENT_BYTES && state.free.is_empty();
            if is_of_use { state.free.push(closed) } else { gone.push(closed) }
        }
        drop(state);
        for closed in gone {
            if let Err(error) = fs::remove_file(&closed.path) {
                tracing::warn!(path = %closed.path.display(), %error, "a journal file that is not needed cannot be removed");
            }
        }
    }
}

/// Makes segments, one ahead.
struct Maker {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
    ready: SyncSender<io::Result<Segment>>,
}

impl Maker {
    fn run(self) {
        let mut bytes = SEGMENT_BYTES_FIRST;
        loop {
            let old = lock(&self.state).free.pop();
            let made = match &old {
                Some(old) => Segment::make(&self.folder, old.bytes, Some(&old.path)),
                None => self.make_new(bytes),
            };
            bytes = (bytes * SEGMENT_GROWTH).min(SEGMENT_BYTES);
            // Nobody takes it any more: it must not be left to the next start.
            if let Err(unused) = self.ready.send(made) {
                if let Ok(segment) = unused.0 {
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
            match Segment::make(&self.folder, bytes, None) {
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
