//! Up to which record segments were taken away: what is left of the journal before it has gaps, and is kept for its bodies only.
//!
//! A start that finds no database, or an old one, must not replay such rests: what became of their events may be what is missing.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The file, in the journal's folder.
const FILE: &str = "floor";
/// Begins it; the number and a checksum follow.
const MAGIC: [u8; 4] = *b"hkf1";
/// So small that a drive writes it whole or not at all.
const BYTES: usize = 16;

/// See above.
#[derive(Debug)]
pub(super) struct Floor {
    file: File,
    number: AtomicU64,
}

impl Floor {
    /// Opens that of the journal in `folder`, making it where it is not there.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let (path, number) = (folder.join(FILE), Self::read(folder)?);
        let is_new = !path.exists();
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        if is_new {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file, number: AtomicU64::new(number) })
    }

    /// The number in `folder`; zero where there is none, or a damaged one.
    pub(super) fn read(folder: &Path) -> io::Result<u64> {
        let bytes = match fs::read(folder.join(FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            read => read?,
        };
        let number = bytes.get(4..12).and_then(|number| number.try_into().ok()).map_or(0, u64::from_be_bytes);
        let is_whole = bytes == encode(number);
        if !is_whole && !bytes.is_empty() {
            tracing::warn!("the file `{FILE}` of the journal is damaged; it is written again");
        }
        Ok(if is_whole { number } else { 0 })
    }

    /// The number.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Makes it durable that segments up to this record may be missing.
    pub(super) fn raise(&self, number: u64) -> io::Result<()> {
        if number <= self.number() {
            return Ok(());
        }
        self.file.write_all_at(&encode(number), 0)?;
        self.file.sync_data()?;
        self.number.store(number, Ordering::Relaxed);
        Ok(())
    }
}

fn encode(number: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..12].copy_from_slice(&number.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_rises_and_damage_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let floor = Floor::open(folder.path()).unwrap();
        assert_eq!(floor.number(), 0);
        floor.raise(9).unwrap();
        floor.raise(5).unwrap();
        drop(floor);
        assert_eq!(Floor::open(folder.path()).unwrap().number(), 9);
        for damaged in [&b""[..], b"hkf1", b"hkf1 and some more"] {
            fs::write(folder.path().join(FILE), damaged).unwrap();
            assert_eq!(Floor::open(folder.path()).unwrap().number(), 0);
        }
    }
}
