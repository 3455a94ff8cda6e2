//! Whether there is room for new events: by what the store may take, and by what is free on its disk.
//!
//! Intake is refused before the disk is full, since a write that fails there is the end of a store until its next start. What is
//! stored goes on being delivered, and as soon as there is room again, it is taken again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Counts;

/// Free bytes of the disk that are left to what must go on: the journal's files, what waits to be moved into sled, and sled's own
/// moves. Also what can come in between two looks at the fastest.
const FREE_BYTES_MIN: u64 = 256 << 20;
/// What is moved into sled at a time takes this at most, with what sled moves of its own.
const EXHAUSTED_BYTES: u64 = 32 << 20;
/// Of a small disk this part (one of so many) is enough, or nothing could ever be stored there.
const FREE_PART: u64 = 8;
/// What the journal takes at most beside bodies: 128 MiB that are kept in any case, as much of what was let go of a moment ago, and four
/// files that are in use, or soon will be.
const JOURNAL_BYTES: u64 = 384 << 20;
/// The database, with the bodies in the journal, takes up to so many times the bytes of its events (measured: see benches/churn.rs).
const DATABASE_FACTOR: u64 = 2;
/// Events that are done go when the store has this part (of a hundred) of what it may take, so that there is room before it is full.
const PURGE_PART: u64 = 90;
/// It is full no more once this part (of a hundred) of what made it full is free: it must not change from moment to moment.
const HYSTERESIS_PART: u64 = 5;

/// The room of a store.
#[derive(Debug)]
pub struct Space {
    path: PathBuf,
    /// What all events may take; `None`: no bound but the disk.
    events_bytes_max: Option<u64>,
    free_bytes: AtomicU64,
    /// Zero where it is not known.
    total_bytes: AtomicU64,
    full: Mutex<Option<String>>,
}

impl Space {
    /// The room of the store in `path`, which may take `max_bytes` on its disk, its journal included.
    pub fn new(path: &Path, max_bytes: Option<u64>) -> Self {
        let events_bytes_max = max_bytes.map(|max| max.saturating_sub(JOURNAL_BYTES) / DATABASE_FACTOR);
        Self {
            path: path.into(),
            events_bytes_max,
            free_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            full: Mutex::default(),
        }
    }

    /// Why nothing new can be stored now; `None` where it can.
    pub fn full(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Whether nothing new can be stored now.
    pub fn is_full(&self) -> bool {
        self.lock().is_some()
    }

    /// Free bytes of the disk, when it was looked at last.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// Free bytes of the disk and all of them, when it was looked at last; `None` where nobody could look.
    pub fn disk(&self) -> Option<(u64, u64)> {
        let total = self.total_bytes.load(Ordering::Relaxed);
        (total > 0).then(|| (self.free_bytes(), total))
    }

    /// What all events may take; `None`: no bound but the disk.
    pub fn events_bytes_max(&self) -> Option<u64> {
        self.events_bytes_max
    }

    /// What events that are done may take together while the store holds `counts`; `None`: any number of bytes.
    pub fn done_bytes_max(&self, counts: &Counts) -> Option<u64> {
        let wanted = self.events_bytes_max? / 100 * PURGE_PART;
        Some(wanted.saturating_sub(counts.bytes.saturating_sub(counts.done_bytes)))
    }

    /// Looks at the disk again, and at what the store holds. Blocks.
    pub fn look(&self, counts: &Counts) {
        let disk = measure(&self.path);
        match &disk {
            Ok(disk) => {
                self.free_bytes.store(disk.free, Ordering::Relaxed);
                self.total_bytes.store(disk.total, Ordering::Relaxed);
            }
            // Whether there is room is not known then; a write that fails tells it.
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "the free space of the disk cannot be told"),
        }
        let mut full = self.lock();
        let now = self.judge(disk.ok(), counts, full.is_some());
        match (full.is_some(), &now) {
            (false, Some(why)) => tracing::error!(why, "new events are refused until there is room again"),
            (true, None) => tracing::info!("there is room again; new events are taken"),
            _ => {}
        }
        *full = now;
    }

    fn judge(&self, disk: Option<Disk>, counts: &Counts, was_full: bool) -> Option<String> {
        let slack = |bytes: u64| if was_full { bytes / 100 * HYSTERESIS_PART } else { 0 };
        if let Some(disk) = disk {
            let floor = FREE_BYTES_MIN.min(disk.total / FREE_PART);
            if disk.free < floor + slack(floor) {
                return Some(format!("store full: {} of the disk are free, less than {}", show(disk.free), show(floor)));
            }
        }
        let max = self.events_bytes_max?;
        let is_over = counts.bytes >= max - slack(max);
        is_over.then(|| format!("store full: its events take {}, as much as store.max_bytes leaves them", show(counts.bytes)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether so little is free that nothing should be written that is not needed. Where that cannot be told, it is not.
pub(super) fn is_exhausted(path: &Path) -> bool {
    fs2::available_space(path).is_ok_and(|free| free < EXHAUSTED_BYTES)
}

/// How a disk stands, in bytes.
#[derive(Clone, Copy, Debug)]
struct Disk {
    free: u64,
    total: u64,
}

fn measure(path: &Path) -> io::Result<Disk> {
    Ok(Disk { free: fs2::available_space(path)?, total: fs2::total_space(path)? })
}

/// For people.
fn show(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(bytes: u64, done_bytes: u64) -> Counts {
        Counts { bytes, done_bytes, ..Counts::default() }
    }

    #[test]
    fn a_disk_is_full_before_it_is() {
        let space = Space::new(Path::new("."), None);
        let disk = |free: u64| Some(Disk { free: free << 20, total: 100 << 30 });
        let full = |free, was_full| space.judge(disk(free), &counts(1 << 40, 0), was_full);
        assert_eq!(full(256, false), None);
        assert_eq!(full(255, false).unwrap(), "store full: 255 MiB of the disk are free, less than 256 MiB");
        assert!(full(260, true).is_some() && full(270, true).is_none());
        let small = Disk { free: 9 << 20, total: 64 << 20 };
        assert_eq!(space.judge(Some(small), &counts(0, 0), false), None);
        assert_eq!(space.judge(None, &counts(0, 0), false), None);
    }

    #[test]
    fn events_have_their_share_of_what_the_store_may_take() {
        let space = Space::new(Path::new("."), Some(2432 << 20));
        let full = |bytes: u64, was_full| space.judge(None, &counts(bytes << 20, 0), was_full).is_some();
        assert!(!full(1023, false) && full(1024, false) && full(1000, true) && !full(900, true));
        let most = |bytes, done| space.done_bytes_max(&counts(bytes, done)).unwrap() >> 20;
        assert_eq!(most(0, 0), 921);
        assert_eq!(most(500 << 20, 200 << 20), 621, "what is not done has its share first");
        assert_eq!(most(5000 << 20, 0), 0);
        assert_eq!(Space::new(Path::new("."), None).done_bytes_max(&counts(1 << 50, 0)), None);
    }

    #[test]
    fn the_disk_can_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::new(folder.path(), None);
        space.look(&Counts::default());
        assert!(space.free_bytes() > 0);
    }
}
