//! Requests that were not believed, kept aside so that they can be judged again: a wrong secret for a night must not cost its events.
//!
//! Anybody can send such requests, so everything here is bounded, and nothing here can slow an answer: a request is handed to a thread
//! that writes it, and is let go where that is behind. One file a request, in a folder a source below `quarantine`; what is listed
//! is in memory. What was not written when power was lost is lost: its sender was told 401.

mod file;
mod shelf;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk;
use crate::record::{EventId, EventIds, Name, Received};
use crate::time::{Clock, Timestamp};
use shelf::Shelf;

const FOLDER: &str = "quarantine";
/// Requests that wait to be written, and the bytes of their bodies.
const WAITING_MAX: usize = 256;
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Old requests are looked for at least so often.
const LOOK: Duration = Duration::from_secs(60);

/// What is kept of one source at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long.
    pub age: Duration,
    /// So many requests.
    pub requests: usize,
    /// So many bytes.
    pub bytes: u64,
}

/// Days in which somebody sees a wrong secret, and requests enough for a night of a busy source.
impl Default for Bounds {
    fn default() -> Self {
        Self { age: Duration::from_secs(3 * 24 * 3600), requests: 10_000, bytes: 256 * 1024 * 1024 }
    }
}

/// A request that is kept.
#[derive(Debug)]
pub struct Kept {
    /// The source that it was for.
    pub source: Name,
    /// Why it was not believed.
    pub reason: String,
    /// The request, with the time at which it came.
    pub received: Received,
}

/// A request as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its id; the order of ids is the order of arrival.
    pub id: EventId,
    /// The source that it was for.
    pub source: Name,
    /// Why it was not believed.
    pub reason: Arc<str>,
    /// When it came.
    pub at: Timestamp,
    /// The peer of the connection.
    pub peer: std::net::IpAddr,
    /// The bytes of its body.
    pub body_bytes: u64,
    /// The bytes of its file.
    file_bytes: u64,
}

/// What is kept of one source for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The source.
    pub source: Name,
    /// Why they were not believed.
    pub reason: Arc<str>,
    /// How many there are.
    pub requests: u64,
    /// When the first of them came.
    pub first_at: Timestamp,
    /// When the last of them came.
    pub last_at: Timestamp,
}

/// Which requests; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct QuarantineFilter {
    /// For this source.
    pub source: Option<Name>,
    /// Not believed for this reason.
    pub reason: Option<String>,
    /// That came at this time or later.
    pub since: Option<Timestamp>,
    /// That came before this time.
    pub until: Option<Timestamp>,
}

impl QuarantineFilter {
    fn fits(&self, found: &Quarantined) -> bool {
        self.source.as_ref().is_none_or(|source| *source == found.source)
            && self.reason.as_ref().is_none_or(|reason| **reason == *found.reason)
            && self.since.is_none_or(|since| found.at >= since)
            && self.until.is_none_or(|until| found.at < until)
    }
}

/// The requests that are kept aside.
#[derive(Debug)]
pub struct Quarantine {
    inner: Arc<Inner>,
    /// To the thread that writes, which ends with it.
    waiting: SyncSender<Waiting>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    clock: Clock,
    shelf: Mutex<Shelf>,
    waiting_bytes: AtomicUsize,
}

#[derive(Debug)]
struct Waiting {
    source: Name,
    reason: &'static str,
    received: Received,
}

impl Quarantine {
    /// Opens the quarantine below the store's folder, and starts the thread that writes; it ends with the last handle.
    pub fn open(store: &Path, bounds: Bounds, clock: Clock) -> io::Result<Self> {
        let folder = store.join(FOLDER);
        disk::private_folder().recursive(true).create(&folder)?;
        let inner =
            Arc::new(Inner { shelf: Mutex::new(found(&folder, bounds)?), folder, clock, waiting_bytes: AtomicUsize::new(0) });
        let (waiting, receiver) = sync_channel(WAITING_MAX);
        let writer = inner.clone();
        std::thread::Builder::new().name("hookhold-quarantine".into()).spawn(move || writer.run(&receiver))?;
        Ok(Self { inner, waiting })
    }

    /// Keeps a request, soon. `false`: there is too much to write, and it is not kept.
    pub fn keep(&self, source: &Name, reason: &'static str, received: Received) -> bool {
        let (inner, bytes) = (&self.inner, received.body.len());
        // Counted before it is compared: two that come at once cannot both get the last room.
        let before = inner.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let waiting = Waiting { source: source.clone(), reason, received };
        let kept = before + bytes <= WAITING_BYTES_MAX && self.waiting.try_send(waiting).is_ok();
        if !kept {
            inner.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        kept
    }

    /// What is kept of a source from now on, at most.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.inner.shelf().bounds = bounds;
    }

    /// Requests that fit, newest first, behind `after`, at most `limit`.
    pub fn list(&self, filter: &QuarantineFilter, after: Option<EventId>, limit: usize) -> Vec<Quarantined> {
        let shelf = self.inner.shelf();
        shelf.newest_first(after).filter(|found| filter.fits(found)).take(limit).cloned().collect()
    }

    /// What is kept, by source and reason, the largest first; costs as much as there are sources and reasons.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.inner.shelf().groups().collect();
        groups.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| (&a.source, &a.reason).cmp(&(&b.source, &b.reason))));
        groups
    }

    /// One request as lists show it.
    pub fn find(&self, id: EventId) -> Option<Quarantined> {
        self.inner.shelf().get(id).cloned()
    }

    /// One request, whole; `None` where it is not there (any more).
    pub fn read(&self, id: EventId) -> io::Result<Option<Kept>> {
        let Some(found) = self.find(id) else { return Ok(None) };
        match file::read(&self.inner.file(&found)) {
            Ok(kept) => Ok(Some(kept)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets a request go; whether it was there.
    pub fn remove(&self, id: EventId) -> io::Result<bool> {
        let removed = self.inner.shelf().remove(id);
        removed.map_or(Ok(false), |found| self.inner.delete(&found).map(|()| true))
    }

    /// How many are kept.
    pub fn count(&self) -> u64 {
        self.inner.shelf().count() as u64
    }

    /// How many are kept of one source.
    pub fn count_of(&self, source: &Name) -> u64 {
        self.inner.shelf().count_of(source) as u64
    }
}

impl Inner {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, found: &Quarantined) -> PathBuf {
        self.folder.join(found.source.as_str()).join(found.id.to_string())
    }

    fn delete(&self, found: &Quarantined) -> io::Result<()> {
        match fs::remove_file(self.file(found)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn run(&self, waiting: &Receiver<Waiting>) {
        let mut ids = EventIds::default();
        let mut ended = false;
        while !ended {
            match waiting.recv_timeout(LOOK) {
                Ok(waiting) => {
                    self.waiting_bytes.fetch_sub(waiting.received.body.len(), Ordering::Relaxed);
                    let id = ids.next(waiting.received.at, rand::random());
                    if let Err(error) = self.write(id, &waiting) {
                        tracing::warn!(source = %waiting.source, %error, "a request could not be quarantined");
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => ended = true,
            }
            let too_much = self.shelf().too_much(self.clock.now());
            for found in too_much {
                if let Err(error) = self.delete(&found) {
                    tracing::warn!(source = %found.source, %error, "a quarantined request could not be removed");
                }
            }
        }
    }

    fn write(&self, id: EventId, Waiting { source, reason, received }: &Waiting) -> io::Result<()> {
        let mut found = Quarantined {
            id,
            source: source.clone(),
            reason: (*reason).into(),
            at: received.at,
            peer: received.peer,
            body_bytes: received.body.len() as u64,
            file_bytes: 0,
        };
        disk::private_folder().recursive(true).create(self.folder.join(source.as_str()))?;
        found.file_bytes = file::write(&self.file(&found), source, reason, received)?;
        self.shelf().put(found);
        Ok(())
    }
}

/// What is there. A file that is not whole, or cannot be read, is removed: it was never more than a courtesy.
fn found(folder: &Path, bounds: Bounds) -> io::Result<Shelf> {
    let mut shelf = Shelf::new(bounds);
    for source in fs::read_dir(folder)? {
        let Ok(files) = fs::read_dir(source?.path()) else { continue };
        for entry in files {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<EventId>().ok());
            match id.zip(file::read_head(&entry.path()).ok()) {
                Some((id, head)) => shelf.put(Quarantined {
                    id,
                    source: head.source,
                    reason: head.reason.into(),
                    at: id.made_at(),
                    peer: head.peer,
                    body_bytes: head.body_bytes,
                    file_bytes: entry.metadata()?.len(),
                }),
                None => fs::remove_file(entry.path())?,
            }
        }
    }
    Ok(shelf)
}

#[cfg(test)]
mod tests;
