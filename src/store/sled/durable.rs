//! What makes sled durable, and what makes a start find it as it was when it last was: the mark.
//!
//! sled 0.34.7 writes a log in segments. It takes for durable what it only handed to the drive: each segment says up to where all
//! before it is stable, and a start looks for the torn end only behind that. A loss of power may keep a later segment and lose an
//! earlier one, and then whole segments are missing in the middle, or are cut off though they are there. So:
//!
//! - Each sync here ends with the number of the newest segment that is whole with it, in the mark's file. A start takes away all
//!   segments behind the mark before sled sees them. At most the last segment is torn then, which sled finds by itself, and what was
//!   taken away is in the journal.
//! - That needs the others as they were. sled uses a segment again once what replaced it is stable, hence maybe not durable. What tells
//!   it so runs deferred, behind all who were pinned then; so whoever writes stays pinned from one sync to the next. See [`Stretch`].
//!
//! The mark changes with the segment, so mostly a sync is no second one.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fs2::FileExt as _;

use super::open::{DATABASE_FILE, SEGMENT_BYTES};
use super::shared::failed;
use crate::store::Error;
use crate::time::Stopwatch;

/// The mark's file.
pub(super) const MARK_FILE: &str = "synced";
/// Begins it; the segment's number and a checksum follow.
const MAGIC: [u8; 4] = *b"hks1";
/// So small that a drive writes it whole or not at all.
const MARK_BYTES: usize = 16;
/// What sled begins a segment with: a checksum, the segment's number and what is stable.
const HEADER_BYTES: usize = 20;
/// sled turns the numbers' bits, so that zeros are no header.
const TURNED: u64 = 0x7fff_ffff_ffff_ffff;
/// Where the mark's segment is not there, more of the log is never taken away: the mark is not this database's. A new database has a mark
/// before it has a segment, so less is.
const CUT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Who had the store before may be on the way out: after a stop, the storage engine's threads end a moment later.
const LOCK_TIME: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

thread_local! {
    /// What keeps sled from using segments again while this thread writes.
    static PINNED: RefCell<Option<sled::Guard>> = const { RefCell::new(None) };
}

/// Makes what is in sled durable.
#[derive(Debug)]
pub(super) struct Durable {
    tree: sled::Db,
    /// sled's flush ends before the drive has everything, so there is a handle beside sled's.
    database: File,
    mark: Mutex<Mark>,
}

#[derive(Debug)]
struct Mark {
    file: File,
    segment: u64,
}

/// A time in which its thread writes. Until the next sync sled frees no segment that was not free at the last one.
pub(super) struct Stretch;

impl Drop for Stretch {
    fn drop(&mut self) {
        PINNED.set(None);
    }
}

impl Durable {
    /// For a database in `folder` that is open and synced.
    pub(super) fn open(tree: sled::Db, folder: &Path, database: File) -> io::Result<Arc<Self>> {
        let (path, newest) = (folder.join(MARK_FILE), newest_segment(&database)?);
        let is_new = !path.exists();
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        let mark = Mark::begin(file, newest)?;
        if is_new {
            File::open(folder)?.sync_all()?;
        }
        Ok(Arc::new(Self { tree, database, mark: Mutex::new(mark) }))
    }

    /// The bytes of the database's file.
    pub(super) fn bytes(&self) -> Result<u64, Error> {
        self.database.metadata().map(|about| about.len()).map_err(Error::from_io)
    }

    /// Begins to write on this thread.
    pub(super) fn stretch(&self) -> Result<Stretch, Error> {
        PINNED.set(Some(sled::pin()));
        let stretch = Stretch;
        // Readers tidy up in sled, too, and nobody syncs that.
        let newest = newest_segment(&self.database).map_err(Error::from_io)?;
        let is_behind = self.mark.lock().unwrap_or_else(PoisonError::into_inner).segment != newest;
        if is_behind { self.sync().map(|()| stretch) } else { Ok(stretch) }
    }

    /// Makes durable what was written until now.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.tree.flush().map_err(failed)?;
        // Read before the sync: a segment that begins meanwhile is not whole with it.
        let newest = newest_segment(&self.database).map_err(Error::from_io)?;
        self.database.sync_data().map_err(Error::from_io)?;
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).set(newest).map_err(Error::from_io)?;
        if PINNED.take().is_some() {
            let guard = sled::pin();
            // What was replaced before this sync is not needed any more; sled alone lets much of it gather.
            guard.flush();
            PINNED.set(Some(guard));
        }
        Ok(())
    }
}

impl Mark {
    fn begin(file: File, segment: u64) -> io::Result<Self> {
        file.write_all_at(&encode(segment), 0)?;
        file.sync_all()?;
        Ok(Self { file, segment })
    }

    fn set(&mut self, segment: u64) -> io::Result<()> {
        if segment != self.segment {
            self.file.write_all_at(&encode(segment), 0)?;
            self.file.sync_data()?;
            self.segment = segment;
        }
        Ok(())
    }
}

fn encode(segment: u64) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..12].copy_from_slice(&segment.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// `None` where there is no mark, or a damaged one: sled then looks at all there is.
fn decode(bytes: &[u8]) -> Option<u64> {
    let (segment, _) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<8>()?;
    let segment = u64::from_be_bytes(*segment);
    (bytes == encode(segment)).then_some(segment)
}

/// The number of the newest segment; 0 is the first one's.
fn newest_segment(database: &File) -> io::Result<u64> {
    Ok(segments(database)?.into_iter().map(|(_, number)| number).max().unwrap_or(0))
}

/// Where segments begin, and their numbers. Those without a header are free, or torn.
fn segments(database: &File) -> io::Result<Vec<(u64, u64)>> {
    let length = database.metadata()?.len();
    let mut found = Vec::new();
    for at in (0..length).step_by(SEGMENT_BYTES) {
        if at + HEADER_BYTES as u64 <= length {
            let mut header = [0; HEADER_BYTES];
            match database.read_exact_at(&mut header, at) {
                Ok(()) => found.extend(number_in(&header).map(|number| (at, number))),
                // sled shortens its file where it can.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

fn number_in(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    let (crc, rest) = header.split_first_chunk::<4>()?;
    let is_whole = crc32fast::hash(rest) == u32::from_le_bytes(*crc) ^ u32::MAX;
    let (number, _) = rest.split_first_chunk::<8>()?;
    is_whole.then_some(u64::from_le_bytes(*number) ^ TURNED)
}

/// Takes away what was written to the database in `folder` behind the mark. An error of kind `WouldBlock` where it is in use.
pub(super) fn cut(folder: &Path) -> io::Result<()> {
    let there = |opened: io::Result<File>| match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    };
    let Some(database) = there(File::options().read(true).write(true).open(folder.join(DATABASE_FILE)))? else { return Ok(()) };
    lock(&database)?;
    let mark = match fs::read(folder.join(MARK_FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => decode(&read?),
    };
    let Some(mark) = mark else {
        tracing::warn!("the file `{MARK_FILE}` is damaged; it is written again");
        return Ok(());
    };
    let segments = segments(&database)?;
    // The mark's segment is synced before the mark is, and is not used again before there is another mark.
    let is_there = segments.iter().any(|(_, number)| *number == mark && mark > 0);
    let behind: Vec<_> = segments.into_iter().filter(|(_, number)| *number > mark).collect();
    if !is_there && behind.iter().any(|(_, number)| number - mark > CUT_BYTES_MAX) {
        tracing::warn!("the file `{MARK_FILE}` is not of this database; it is written again");
        return Ok(());
    }
    for (at, _) in &behind {
        database.write_all_at(&[0; HEADER_BYTES], *at)?;
    }
    if !behind.is_empty() {
        tracing::info!(segments = behind.len(), "took away what was written to the database behind its last sync");
        database.sync_data()?;
    }
    Ok(())
}

/// As sled does it. The lock is free again when the file is closed.
fn lock(database: &File) -> io::Result<()> {
    let watch = Stopwatch::start();
    loop {
        match database.try_lock_exclusive() {
            Err(error) if error.kind() == ErrorKind::WouldBlock && watch.elapsed() < LOCK_TIME => std::thread::sleep(LOCK_PAUSE),
            locked => return locked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::open::{Opened, open};

    /// Writes so many megabytes under the same keys, each handed to the drive.
    fn write(db: &sled::Db, rounds: std::ops::Range<u32>) {
        for round in rounds {
            for key in 0..32u32 {
                db.insert(key.to_be_bytes(), [&round.to_be_bytes()[..], &[7; 32 * 1024]].concat()).unwrap();
            }
            db.insert("round", &round.to_be_bytes()).unwrap();
            db.flush().unwrap();
        }
    }

    fn round(db: &sled::Db) -> u32 {
        let bytes = |key: &[u8]| db.get(key).unwrap().unwrap()[..4].try_into().map(u32::from_be_bytes).unwrap();
        let round = bytes(b"round");
        // A batch is not at work here, so the next round may have begun.
        assert!((0..32u32).all(|key| (round..=round + 1).contains(&bytes(&key.to_be_bytes()))));
        round
    }

    #[test]
    fn a_start_goes_back_to_the_mark() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { db, durable, .. } = open(folder.path()).unwrap();
        let stretch = durable.stretch().unwrap();
        write(&db, 0..20);
        durable.sync().unwrap();
        // More than would be taken away if the mark's segment were not there.
        write(&db, 20..200);
        drop((stretch, durable, db));
        let Opened { db, durable, .. } = open(folder.path()).unwrap();
        let found = round(&db);
        assert!((19..40).contains(&found), "{found}");
        // It goes on from there.
        let stretch = durable.stretch().unwrap();
        write(&db, 100..140);
        durable.sync().unwrap();
        drop((stretch, durable, db));
        assert_eq!(round(&open(folder.path()).unwrap().db), 139);
    }

    #[test]
    fn a_mark_of_another_database_or_a_damaged_one_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { db, durable, .. } = open(folder.path()).unwrap();
        let mark = folder.path().join(MARK_FILE);
        let old = fs::read(&mark).unwrap();
        write(&db, 0..150);
        durable.sync().unwrap();
        drop((durable, db));
        for bytes in [&old[..], &old[..9], b"", b"hks1 and some more"] {
            fs::write(&mark, bytes).unwrap();
            assert_eq!(round(&open(folder.path()).unwrap().db), 149);
        }
        fs::remove_file(&mark).unwrap();
        assert_eq!(round(&open(folder.path()).unwrap().db), 149);
    }

    #[test]
    fn no_segment_is_used_again_between_two_syncs() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { db, durable, .. } = open(folder.path()).unwrap();
        write(&db, 0..20);
        durable.sync().unwrap();
        let (before, number) = (segments(&durable.database).unwrap(), newest_segment(&durable.database).unwrap());
        let stretch = durable.stretch().unwrap();
        write(&db, 20..120);
        let after = segments(&durable.database).unwrap();
        // Older ones may have been free before. Without the stretch this one goes, too, unless another test pins sled meanwhile.
        assert!(after.iter().any(|segment| segment.1 == number), "{before:?} {after:?}");
        drop(stretch);
    }
}
