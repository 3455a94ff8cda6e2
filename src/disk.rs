//! Files that count once they are written: whole or not at all, on stable storage when that is said, and nobody's but their owner's.
//!
//! Never here: what is in them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Behind the name of a file that is not whole yet. A crash may leave one; nobody reads it, and the next write takes its place.
const UNFINISHED: &str = ".part";

/// How a file is opened that only its owner may read where it is new.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// How a folder is made that only its owner may look into.
pub(crate) fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Makes a private folder where there is none, and those above it. Its name is on stable storage when that returns.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        if !above(path).is_dir() {
            make_folder(above(path))?;
        }
        private_folder().recursive(true).create(path)?;
    }
    // Also of one that was there: a kill may have come between the two.
    sync_folder(above(path))
}

/// Writes a private file, over what had its name. Both are on stable storage when that returns.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::rename(unfinished(path, content)?, path)?;
    sync_folder(above(path))
}

/// The same where nothing has that name; else it is an error of kind `AlreadyExists`.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path, content)?;
    // A link is made where no file is, in one step; a rename would write over one.
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    linked?;
    sync_folder(above(path))
}

/// Makes the names in a folder durable: those that are new, and that others are gone.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The file whole and synced, under a name that does not count.
fn unfinished(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    let unfinished = PathBuf::from(name);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().write(true).create_new(true).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(unfinished)
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(folder.path().join("a.json.part"), "of a crash, and longer").unwrap();
        for text in ["first", "second"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap(), names(folder.path())), (text.to_owned(), 1));
        }
        assert!(replace(&folder.path().join("nowhere/a"), b"").is_err());
    }

    #[test]
    fn a_file_is_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        create(&path, b"first").unwrap();
        assert_eq!(create(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"first".to_vec(), 1));
    }

    #[test]
    fn folders_are_made_with_those_above_them_and_only_where_they_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        make_folder(&path).unwrap();
        make_folder(&path).unwrap();
        fs::write(path.join("file"), "in the way").unwrap();
        assert!(make_folder(&path.join("file")).is_err() && make_folder(&path.join("file/d")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_what_is_new() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make_folder(&path).unwrap();
        replace(&path.join("one"), b"1").unwrap();
        create(&path.join("two"), b"2").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&path.join("one")), mode(&path.join("two"))], [0o600; 2]);
        assert_eq!([mode(&path), mode(&folder.path().join("a"))], [0o700; 2]);
    }
}
