//! What others on the machine may see of a process that has secrets in its memory, and of the files that it makes.
//!
//! A dump of the memory after a crash has every secret, and lies in a place that nobody guards. So there is none, unless somebody who looks
//! for a fault asks for it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// The variable that allows dumps, and debuggers of the same user, with this value.
pub(super) const DUMPS: (&str, &str) = ("HOOKHOLD_CORE_DUMPS", "allow");

/// What a folder says of those who do not own it.
const OTHERS: u32 = 0o077;
const OWN_FOLDER: u32 = 0o700;
const ROOT: u32 = 0;

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

/// A store that root works on, and whose relay may run as another user: what root makes there becomes its owner's when this ends.
#[must_use]
pub(super) struct Borrowed {
    folder: PathBuf,
    owner: (u32, u32),
}

impl Borrowed {
    /// The owner is that of the folder, or of the one that it is to be made in.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let metadata = std::fs::metadata(there)?;
        Ok(Self { folder: folder.to_owned(), owner: (metadata.uid(), metadata.gid()) })
    }

    /// Everything of root's at a path, and below.
    fn give_back(&self, path: &Path) -> io::Result<()> {
        let metadata = std::fs::symlink_metadata(path)?;
        if metadata.uid() == ROOT {
            std::os::unix::fs::lchown(path, Some(self.owner.0), Some(self.owner.1))?;
        }
        match metadata.is_dir() {
            true => std::fs::read_dir(path)?.try_for_each(|entry| self.give_back(&entry?.path())),
            false => Ok(()),
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if self.owner.0 == ROOT || !self.folder.exists() {
            return;
        }
        if let Err(error) = self.give_back(&self.folder) {
            let (folder, (user, group)) = (self.folder.display(), self.owner);
            eprintln!("warning: the relay may not be able to open {folder}: {error}\nchown -R {user}:{group} {folder} would do.");
        }
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
