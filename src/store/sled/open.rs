//! Opens the folder of a store: its format is checked before sled touches anything, and sled is set up as its durability needs.
//!
//! Measured on sled 0.34.7 with crash images: `flush` alone loses acknowledged records at loss of power; values of 128 KiB and more,
//! and leaves that grow past that, become files that nobody syncs. Hence the segment size, the chunk size, and a file handle
//! of our own to sync with.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::aside;
use super::durable::{self, Durable};
use super::restore::BUILDING;
use crate::time::Stopwatch;

/// The format of the store that this version writes.
pub const FORMAT: u32 = 5;
/// The one before, which is readable: it has all bodies in the database.
const FORMAT_BEFORE: u32 = 4;
/// Names the format; written before sled is opened.
pub(super) const FORMAT_FILE: &str = "format";
/// The same as it is written.
const FORMAT_FILE_NEW: &str = "format.new";
/// sled's log: all that is in the database.
pub(super) const DATABASE_FILE: &str = "db";
/// sled's settings, with a checksum at their end.
pub(super) const SETTINGS_FILE: &str = "conf";
/// So large that no leaf of [`super::CHUNK_BYTES`] values becomes a file of its own.
pub(super) const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// sled's cache. What is read again soon is in the system's page cache as well.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Who had the store before may be on the way out: after a stop, the storage engine's threads end a moment later.
const LOCK_TIME: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why a store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made, read or written.
    #[error("store.path: {}: {why}", .path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// The folder holds something else, or a store of another version.
    #[error("store.path: {}: {why}", .path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// What is there, and what to do.
        why: String,
    },
    /// sled does not open it, for a reason that may go away.
    #[error("store.path: {} cannot be opened: {why}", .path.display())]
    Engine {
        /// The folder.
        path: PathBuf,
        /// What sled says.
        why: String,
    },
    /// What is in sled's files makes no sense.
    #[error("store.path: {}: the database is damaged: {why}", .path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What sled says.
        why: String,
    },
}

/// An open database, and what makes it durable.
pub(super) struct Opened {
    pub(super) db: sled::Db,
    pub(super) durable: Arc<Durable>,
    /// Whether it is new in a folder that is not.
    pub(super) was_missing: bool,
}

/// Opens the store in `path`, making it where nothing is there. sled may panic in it, over damage and over failing calls.
pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    let in_folder = |why| OpenError::Folder { path: path.into(), why };
    make_folder(path).map_err(in_folder)?;
    let is_first = check_format(path)?;
    if is_first {
        write_format(path).map_err(in_folder)?;
    }
    // Who has it open may be about to use what looks unfinished.
    wait_until_free(path)?;
    remove_unfinished_snapshots(path).map_err(in_folder)?;
    remove_torn_settings(path).map_err(in_folder)?;
    let was_missing = !is_first && !path.join(DATABASE_FILE).exists();
    durable::cut(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => in_use(path),
        _ => in_folder(error),
    })?;
    let db = open_sled(path)?;
    let file = File::open(path.join(DATABASE_FILE)).map_err(in_folder)?;
    // sled syncs neither of these, and the new files' directory entries must survive, too.
    let settings = File::open(path.join(SETTINGS_FILE)).map_err(in_folder)?;
    settings.sync_all().and_then(|()| file.sync_all()).and_then(|()| sync_folder(path)).map_err(in_folder)?;
    let durable = Durable::open(db.clone(), path, file).map_err(in_folder)?;
    Ok(Opened { db, durable, was_missing })
}

pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_folder)
}

/// Whether the folder is empty; an error where it holds what is not ours, or not of this version.
pub(super) fn check_format(path: &Path) -> Result<bool, OpenError> {
    let refuse = |why: String| OpenError::Format { path: path.into(), why };
    let in_folder = |why| OpenError::Folder { path: path.into(), why };
    match fs::read_to_string(path.join(FORMAT_FILE)) {
        Ok(text) => match text.trim().strip_prefix("hookhold store ").and_then(|n| n.parse::<u32>().ok()) {
            Some(FORMAT | FORMAT_BEFORE) => Ok(false),
            Some(other) => Err(refuse(format!(
                "the store is of format version {other} and this is hookhold {} with format version {FORMAT}; use a version of hookhold that knows it",
                env!("CARGO_PKG_VERSION")
            ))),
            // A crash at the very first start, when it was half written.
            None if format_text().starts_with(text.trim_end_matches('\0')) && !path.join(DATABASE_FILE).exists() => Ok(true),
            None => Err(refuse(format!("the file `{FORMAT_FILE}` names no format version of hookhold"))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_empty = fs::read_dir(path).map_err(in_folder)?.next().is_none();
            let why = match path.join(BUILDING).exists() {
                true => "a restore was interrupted here, or is under way; remove what is in the folder and restore again",
                false => {
                    "the folder is not empty and names no format version, so it is no store of hookhold; name an empty folder"
                }
            };
            if is_empty { Ok(true) } else { Err(refuse(why.to_owned())) }
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(refuse(format!("the file `{FORMAT_FILE}` names no version")))
        }
        Err(error) => Err(in_folder(error)),
    }
}

/// What names the format.
fn format_text() -> String {
    format!("hookhold store {FORMAT}\n")
}

/// Makes a new folder ours.
fn write_format(path: &Path) -> io::Result<()> {
    let mut file = File::create(path.join(FORMAT_FILE))?;
    file.write_all(format_text().as_bytes())?;
    file.sync_all()?;
    sync_folder(path)
}

/// Says that the store is of this version's format from now on, before something is written that one before would not understand.
pub(super) fn raise_format(path: &Path) -> io::Result<()> {
    let file = path.join(FORMAT_FILE);
    if fs::read_to_string(&file)? == format_text() {
        return Ok(());
    }
    let new = path.join(FORMAT_FILE_NEW);
    let mut written = File::create(&new)?;
    written.write_all(format_text().as_bytes())?;
    written.sync_all()?;
    fs::rename(new, file)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A kill during recovery can leave one, which sled would take for a whole snapshot.
fn remove_unfinished_snapshots(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// sled refuses settings that a loss of power left half written. It writes them again where there are none, and they are the same
/// for all stores of a format.
fn remove_torn_settings(path: &Path) -> io::Result<()> {
    let settings = path.join(SETTINGS_FILE);
    let bytes = match fs::read(&settings) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_whole = bytes.split_last_chunk::<4>().is_some_and(|(text, crc)| crc32fast::hash(text).to_le_bytes() == *crc);
    if is_whole { Ok(()) } else { fs::remove_file(settings) }
}

/// Waits until no other process has the database open; an error where one goes on having it.
fn wait_until_free(path: &Path) -> Result<(), OpenError> {
    let Ok(file) = File::open(path.join(DATABASE_FILE)) else { return Ok(()) };
    let watch = Stopwatch::start();
    // The lock is that of sled, which takes it again.
    while fs2::FileExt::try_lock_exclusive(&file).is_err() {
        if watch.elapsed() >= LOCK_TIME {
            return Err(in_use(path));
        }
        // Nothing tells when a lock is free.
        std::thread::sleep(LOCK_PAUSE);
    }
    Ok(())
}

fn in_use(path: &Path) -> OpenError {
    OpenError::Engine { path: path.into(), why: "it is in use by another process".to_owned() }
}

fn open_sled(path: &Path) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .use_compression(false)
        .flush_every_ms(None);
    let refuse = |why: String| OpenError::Engine { path: path.into(), why };
    let watch = Stopwatch::start();
    let is_locked = |opened: &sled::Result<sled::Db>| matches!(opened, Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock"));
    let opened = loop {
        let opened = config.open();
        if !is_locked(&opened) {
            break opened;
        }
        if watch.elapsed() >= LOCK_TIME {
            return Err(in_use(path));
        }
        // Nothing tells when a lock is free.
        std::thread::sleep(LOCK_PAUSE);
    };
    opened.map_err(|error| match aside::is_damage(&error) {
        true => OpenError::Damaged { path: path.into(), why: error.to_string() },
        false => refuse(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        assert!(open(folder.path()).err().unwrap().to_string().contains("version"));
        fs::remove_file(folder.path().join("notes.txt")).unwrap();
        fs::write(folder.path().join(FORMAT_FILE), "hookhold store 99\n").unwrap();
        let refused = open(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("format version 99"), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_begun_again() {
        for left in ["", "\0\0\0", "hookhold", "hookhold store ", "hookhold store \0\0"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FORMAT_FILE), left).unwrap();
            open(folder.path()).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join(FORMAT_FILE)).unwrap(), format_text());
        }
    }

    #[test]
    fn settings_that_are_half_written_are_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).unwrap().db;
        db.insert("k", "v").unwrap();
        db.flush().unwrap();
        drop(db);
        let settings = folder.path().join(SETTINGS_FILE);
        let whole = fs::read(&settings).unwrap();
        let mut zeros = vec![0; whole.len() - 4];
        zeros.extend_from_slice(&whole[whole.len() - 4..]);
        for torn in [&zeros[..], &whole[..20], &zeros[..3], &[]] {
            fs::write(&settings, torn).unwrap();
            let opened = open(folder.path()).unwrap();
            assert_eq!(opened.db.get("k").unwrap().as_deref(), Some(&b"v"[..]));
            drop(opened);
            assert_eq!(fs::read(&settings).unwrap(), whole);
        }
    }

    #[test]
    fn an_unfinished_snapshot_is_removed_and_a_second_opening_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()).unwrap());
        fs::write(folder.path().join("snap.0000.generating"), "half").unwrap();
        let opened = open(folder.path()).unwrap();
        assert!(!folder.path().join("snap.0000.generating").exists());
        // One that is open may be making it.
        fs::write(folder.path().join("snap.0001.generating"), "half").unwrap();
        let second = open(folder.path()).err().unwrap().to_string();
        assert!(second.contains("in use by another process"), "{second}");
        assert!(folder.path().join("snap.0001.generating").exists());
        drop(opened);
    }
}
