//! The folder of a backup: one file, which has its name only once it is whole and on stable storage.
//!
//! Never here: writing over or removing what is there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Contents;
use super::read::Records;
use crate::disk;
use crate::store::sled::Proof;

/// A backup's name is this and its salt.
const NAME: &str = "hookhold-backup-";
/// A backup that is not whole, or not known to be.
const UNFINISHED: &str = "unfinished.part";

/// Why a backup cannot be written, or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be made, read or written.
    #[error("{}: {why}", .path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// The folder of a new backup holds something.
    #[error("{}: a backup needs a new or an empty folder, and this one is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// There is none.
    #[error("{}: there is no backup here", .0.display())]
    None(PathBuf),
    /// It was interrupted.
    #[error("{}: the backup is not complete: it was interrupted", .0.display())]
    Unfinished(PathBuf),
    /// It does not hold what it should.
    #[error("{}: {why}", .path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// A backup in a folder.
#[derive(Debug)]
pub struct Archive {
    /// The file.
    pub file: PathBuf,
    /// Whether it was finished.
    pub is_finished: bool,
    salt: Option<u64>,
}

/// A backup as it is written.
#[derive(Debug)]
pub struct Target {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Archive {
    /// The backup in `folder`; one that was interrupted only where `unfinished` is wanted, too.
    pub fn find(folder: &Path, unfinished: bool) -> Result<Self, Error> {
        let failed = |why| Error::Folder { path: folder.into(), why };
        let (mut found, mut part) = (Vec::new(), None);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let text = name.to_string_lossy();
            if text == UNFINISHED {
                part = Some(Self { file: folder.join(UNFINISHED), is_finished: false, salt: None });
            } else if let Some(salt) = text.strip_prefix(NAME) {
                let salt = u64::from_str_radix(salt, 16).ok();
                found.push(Self { file: folder.join(&name), is_finished: true, salt });
            }
        }
        match (found.pop(), part) {
            (Some(_), _) if !found.is_empty() => {
                Err(Error::Unsound { path: folder.into(), why: "there is more than one backup here".to_owned() })
            }
            (Some(archive), _) => Ok(archive),
            (None, Some(archive)) if unfinished => Ok(archive),
            (None, Some(_)) => Err(Error::Unfinished(folder.into())),
            (None, None) => Err(Error::None(folder.into())),
        }
    }

    /// Its records.
    pub(in crate::store) fn records(&self) -> io::Result<Records> {
        Records::open(&self.file, self.salt)
    }
}

impl Target {
    /// Whether a backup can be begun in `folder`. Changes nothing.
    pub fn check(folder: &Path) -> Result<(), Error> {
        match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(why) => Err(Error::Folder { path: folder.into(), why }),
            Ok(mut names) => names.next().map_or(Ok(()), |_| Err(Error::NotEmpty(folder.into()))),
        }
    }

    /// Begins a backup in `folder`, which is made where it is not there, and must be empty. Nobody else may read it.
    pub fn begin(folder: &Path) -> Result<Self, Error> {
        let failed = |why| Error::Folder { path: folder.into(), why };
        Self::check(folder)?;
        match disk::private_folder().create(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => {
                made.map_err(failed)?;
                let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
                File::open(above).and_then(|above| above.sync_all()).map_err(failed)?;
            }
        }
        let path = folder.join(UNFINISHED);
        let file = disk::private()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|why| Error::Folder { path: path.clone(), why })?;
        Ok(Self { folder: folder.into(), path, file, bytes: 0 })
    }

    /// Writes behind what is there.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.bytes += piece.len() as u64;
        self.file.write_all(piece).map_err(|why| Error::Folder { path: self.path.clone(), why })
    }

    /// Makes it durable, reads it back, and gives it its name. What it holds, and its bytes.
    pub fn finish(self) -> Result<(Contents, u64), Error> {
        let failed = |why| Error::Folder { path: self.path.clone(), why };
        self.file.sync_all().map_err(failed)?;
        let archive = Archive { file: self.path.clone(), is_finished: false, salt: None };
        let proof = Proof::of(&archive)?;
        if let Some(why) = proof.faults().into_iter().next() {
            return Err(Error::Unsound { path: self.path.clone(), why });
        }
        let salt = archive.records().map_err(failed)?.salt();
        fs::rename(&self.path, self.folder.join(format!("{NAME}{salt:016x}"))).map_err(failed)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok((proof.contents(), self.bytes))
    }
}
