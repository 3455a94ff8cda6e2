//! What happens to a database that is damaged so that sled does not open it: it is set aside, whole, and a new one is begun. The
//! journal then puts back what it still has.
//!
//! Never here: removing anything. And never for a failure that is not damage: a database that is in use, a full drive or a missing
//! permission says nothing about what is in the files.

use std::any::Any;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::durable::MARK_FILE;
use super::open::{DATABASE_FILE, SETTINGS_FILE};
use super::replay::JOURNAL;
use crate::store::journal;
use crate::time::Clock;

/// Begins the names of folders with what was set aside; the time follows.
pub(super) const FOLDER: &str = "set-aside-";
/// What sled has in the store's folder beside [`DATABASE_FILE`] and [`SETTINGS_FILE`]: large values, and what begins so.
const LARGE_VALUES: &str = "blobs";
const SNAPSHOT: &str = "snap.";
/// Folders of one second are told apart by a number.
const FOLDERS_MAX: usize = 1000;

/// Moves the database in `path` into a folder of its own, which is returned.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let folder = new_folder(path)?;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if is_of_database(&name.to_string_lossy()) {
            fs::rename(path.join(&name), folder.join(&name))?;
        }
    }
    // What the new one will not be filled with goes along: nothing of the new one refers to the bodies in it.
    let journal = path.join(JOURNAL);
    for segment in if journal.exists() { journal::beneath_floor(&journal)? } else { Vec::new() } {
        let aside = folder.join(JOURNAL);
        fs::create_dir_all(&aside)?;
        fs::rename(&segment, aside.join(segment.file_name().unwrap_or_default()))?;
        File::open(&aside)?.sync_all()?;
        File::open(&journal)?.sync_all()?;
    }
    File::open(&folder)?.sync_all()?;
    File::open(path)?.sync_all()?;
    Ok(folder)
}

/// Whether a file or folder of a store is one of sled's, by its name.
pub(super) fn is_of_database(name: &str) -> bool {
    [DATABASE_FILE, SETTINGS_FILE, MARK_FILE, LARGE_VALUES].contains(&name) || name.starts_with(SNAPSHOT)
}

fn new_folder(path: &Path) -> io::Result<PathBuf> {
    // 2026-09-21T14:13:20.007Z without what does not belong into a file's name.
    let time: String = Clock::system().now().to_string().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    let names = std::iter::once(format!("{FOLDER}{time}Z")).chain((2..FOLDERS_MAX).map(|n| format!("{FOLDER}{time}Z-{n}")));
    for name in names {
        match fs::create_dir(path.join(&name)) {
            Ok(()) => return Ok(path.join(name)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Whether an error of sled says that what is in its files makes no sense.
pub(super) fn is_damage(error: &sled::Error) -> bool {
    match error {
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) | sled::Error::CollectionNotFound(_) => true,
        sled::Error::Io(error) => matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData),
        // Settings or a version that it does not know.
        sled::Error::Unsupported(_) => false,
    }
}

/// What a panic of sled says; `Ok` where it comes from damage. sled panics where a call of the system fails, too, and then
/// prints the error.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> Result<String, String> {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
    let is_of_system = ["Os {", "os error", "Io(", "No space left"].iter().any(|word| text.contains(word));
    if is_of_system { Err(text) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_a_call_of_the_system_is_no_damage() {
        let full = io::Error::from_raw_os_error(28);
        let text = format!("called `Result::unwrap()` on an `Err` value: {full:?}");
        let panic = std::panic::catch_unwind(|| std::panic::panic_any(text)).unwrap_err();
        assert!(panic_message(&*panic).is_err());
        let panic = std::panic::catch_unwind(|| assert_eq!(1, 2, "an index points nowhere")).unwrap_err();
        assert!(panic_message(&*panic).unwrap().contains("points nowhere"));
    }

    #[test]
    fn what_is_set_aside_is_all_of_the_database_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let files = ["db", "conf", "synced", "snap.00", "format", "notes"];
        for round in 0..3 {
            files.iter().for_each(|file| fs::write(path.join(file), file).unwrap());
            fs::create_dir(path.join("blobs")).unwrap();
            let aside = set_aside(path).unwrap();
            assert_eq!(fs::read(aside.join("db")).unwrap(), b"db", "{round}");
            assert_eq!(fs::read_dir(&aside).unwrap().count(), 5);
            assert!(!path.join("db").exists() && path.join("format").exists() && path.join("notes").exists());
        }
    }
}
