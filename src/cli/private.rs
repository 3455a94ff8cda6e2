//! What others on the machine may see of a process that has secrets in its memory, and of the files that it makes.
//!
//! A dump of the memory after a crash has every secret, and lies in a place that nobody guards. So there is none, unless somebody who looks
//! for a fault asks for it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// The variable that allows dumps, and debuggers of the same user, with this value.
pub(super) const DUMPS: (&str, &str) = ("HOOKHOLD_CORE_DUMPS", "allow");

/// What a folder says of those who do not own it.
const OTHERS: u32 = 0o077;
const OWN_FOLDER: u32 = 0o700;

/// Takes care that the memory of this process is written nowhere, and that nobody but root can read it.
pub(super) fn keep_memory() {
    if std::env::var_os(DUMPS.0).is_some_and(|value| value == DUMPS.1) {
        return;
    }
    // The limit alone is not asked where dumps go to a program. Where the system refuses one of the two, the other stays.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let now = rustix::process::getrlimit(Resource::Core);
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: now.maximum });
}

/// Whatever this process makes from now on, only its owner may read.
pub(super) fn keep_files() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Closes a folder to everybody but its owner: an older version, or a person, may have made it.
pub(super) fn close_folder(path: &Path) {
    let close = || -> io::Result<()> {
        if std::fs::metadata(path)?.mode() & OTHERS != 0 {
            std::fs::set_permissions(path, Permissions::from_mode(OWN_FOLDER))?;
            tracing::info!(folder = %path.display(), "the store's folder is now closed to everybody but its owner");
        }
        Ok(())
    };
    if let Err(error) = close() {
        tracing::warn!(folder = %path.display(), %error, "others may be able to read what is stored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_memory_is_written() {
        keep_memory();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
    }

    #[test]
    fn a_folder_is_closed_and_one_that_is_not_there_is_nobodys_trouble() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        close_folder(folder.path());
        assert_eq!(std::fs::metadata(folder.path()).unwrap().mode() & 0o777, OWN_FOLDER);
        close_folder(&folder.path().join("missing"));
    }
}
