//! The record that the shim wrote: every change of the disk in the order in which it happened.

use std::ops::Range;
use std::path::Path;

/// Bytes in front of an entry's names and data; see shim.c.
const FRONT_BYTES: usize = 40;

/// A record.
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

/// One step.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The file's number.
    pub(crate) file: u64,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// A new file has this name.
    Create(String),
    /// Its length is set.
    Truncate(u64),
    /// Data, as a part of the record's bytes, is written at a place.
    Write(u64, Range<usize>),
    /// So many zeros are written at a place.
    Zero(u64, u64),
    /// Blocks are reserved; the file is at least so long.
    Allocate(u64),
    Rename(String, String),
    Unlink(String),
    MakeFolder(String),
    RemoveFolder(String),
    /// A sync of this number begins: of the file, or of the folder of this name.
    SyncBegins(u64, Option<String>),
    /// The sync of this number has ended well.
    SyncEnds(u64),
    /// A call on this file was made to fail.
    Fault(String),
    /// How many calls of a kind there were: the last entries.
    Calls(String, u64),
}

impl Record {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut entries = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (entry, end) = entry(&bytes, at);
            entries.push(entry);
            at = end;
        }
        Self { bytes, entries }
    }
}

fn entry(bytes: &[u8], start: usize) -> (Entry, usize) {
    let front = &bytes[start..start + FRONT_BYTES];
    let short = |at: usize| usize::from(u16::from_le_bytes(front[at..at + 2].try_into().unwrap()));
    let long = |at: usize| u64::from_le_bytes(front[at..at + 8].try_into().unwrap());
    let (flag, file, at, length) = (front[1], long(8), long(16), long(24));
    let data_bytes = u32::from_le_bytes(front[32..36].try_into().unwrap()) as usize;
    let name = start + FRONT_BYTES;
    let name2 = name + short(2);
    let data = name2 + short(4);
    let end = data + data_bytes;
    let text = |range: Range<usize>| std::str::from_utf8(&bytes[range]).unwrap().to_owned();
    let first = || text(name..name2);
    let what = match front[0] {
        b'c' => What::Create(first()),
        b't' => What::Truncate(length),
        b'w' => What::Write(at, data..end),
        b'z' => What::Zero(at, length),
        b'f' => What::Allocate(if flag & 1 == 0 { at + length } else { 0 }),
        b'r' => What::Rename(first(), text(name2..data)),
        b'u' => What::Unlink(first()),
        b'm' => What::MakeFolder(first()),
        b'd' => What::RemoveFolder(first()),
        b'b' => What::SyncBegins(at, (flag != 0).then(first)),
        b'e' => What::SyncEnds(at),
        b'!' => What::Fault(first()),
        b'n' => What::Calls(first(), at),
        other => panic!("an entry of unknown kind {other}"),
    };
    (Entry { file, what }, end)
}
