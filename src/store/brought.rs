//! Secrets that providers bring in a request, one file a source in the folder `secrets` of the store. A file that is there is durable
//! and whole, and is never written again: who wants another secret takes the file away.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::disk;
use crate::record::Name;
use crate::signature::Secret;

const FOLDER: &str = "secrets";
/// Longer than any secret.
const SECRET_BYTES_MAX: u64 = 4096;

/// The folder with these secrets.
#[derive(Clone, Debug)]
pub struct Brought {
    folder: PathBuf,
}

impl Brought {
    /// Below the store's folder.
    pub fn below(store: &Path) -> Self {
        Self { folder: store.join(FOLDER) }
    }

    /// The secret of that source; `None` where it has none.
    pub fn read(&self, source: &Name) -> io::Result<Option<Secret>> {
        let file = match File::open(self.file(source)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Room for all of it at once: a buffer that grows leaves copies behind.
        let mut text = Vec::with_capacity(usize::try_from(SECRET_BYTES_MAX).unwrap_or(0));
        file.take(SECRET_BYTES_MAX).read_to_end(&mut text)?;
        Secret::try_new(text, None).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Keeps a source's first secret. When it returns, the secret is on stable storage; it fails where the source has one.
    pub fn keep(&self, source: &Name, secret: &Secret) -> io::Result<()> {
        disk::make_folder(&self.folder)?;
        disk::create(&self.file(source), secret.expose())
    }

    /// Names of sources have no dots and no slashes.
    fn file(&self, source: &Name) -> PathBuf {
        self.folder.join(source.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_secret_stays() {
        let folder = tempfile::tempdir().unwrap();
        let brought = Brought::below(folder.path());
        let (name, other) = (Name::try_new("asana").unwrap(), Name::try_new("notion").unwrap());
        let secret = |text: &str| Secret::try_new(text.into(), None).unwrap();
        assert!(brought.read(&name).unwrap().is_none());
        fs::create_dir_all(folder.path().join(FOLDER)).unwrap();
        fs::write(folder.path().join("secrets/asana.part"), "of a crash").unwrap();
        brought.keep(&name, &secret("first")).unwrap();
        assert_eq!(brought.keep(&name, &secret("second")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(brought.read(&name).unwrap().unwrap().expose(), b"first");
        assert!(brought.read(&other).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 1);
        fs::write(folder.path().join("secrets/notion"), "").unwrap();
        assert_eq!(brought.read(&other).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
