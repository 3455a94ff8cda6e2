//! One quarantined request as a file: what is needed to judge it again, byte for byte.
//!
//! ```text
//! version, CRC-32 of the rest, length of the head (4 bytes each but the first), head, body
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Kept;
use crate::disk;
use crate::record::{Headers, Name, Received};
use crate::time::Timestamp;

/// The version of the format: the first byte.
const VERSION: u8 = 1;
/// What stands before the head.
const PREFIX_BYTES: usize = 9;
/// Of a file that is not whole yet.
const UNFINISHED: &str = "part";

/// What is kept of a request beside its body.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) source: Name,
    pub(super) reason: String,
    at: Timestamp,
    pub(super) peer: IpAddr,
    method: String,
    target: String,
    authority: String,
    headers: Headers,
    pub(super) body_bytes: u64,
}

/// Writes a request as the file at `path`; the bytes that it takes. It is not synced: nobody was told that it is kept.
pub(super) fn write(path: &Path, source: &Name, reason: &str, received: &Received) -> io::Result<u64> {
    let head = Head {
        source: source.clone(),
        reason: reason.to_owned(),
        at: received.at,
        peer: received.peer,
        method: received.method.clone(),
        target: received.target.clone(),
        authority: received.authority.clone(),
        headers: received.headers.clone(),
        body_bytes: received.body.len() as u64,
    };
    let head = postcard::to_stdvec(&head).map_err(io::Error::other)?;
    let length = u32::try_from(head.len()).map_err(io::Error::other)?.to_be_bytes();
    let mut crc = crc32fast::Hasher::new();
    [&length[..], &head, &received.body].iter().for_each(|part| crc.update(part));
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = disk::private().write(true).create(true).truncate(true).open(&unfinished)?;
    file.write_all(&[&[VERSION][..], &crc.finalize().to_be_bytes(), &length, &head].concat())?;
    file.write_all(&received.body)?;
    fs::rename(&unfinished, path)?;
    Ok((PREFIX_BYTES + head.len() + received.body.len()) as u64)
}

/// Reads the whole file; an error of kind `InvalidData` where it is damaged.
pub(super) fn read(path: &Path) -> io::Result<Kept> {
    let bytes = Bytes::from(fs::read(path)?);
    let (crc, rest) = bytes.get(1..5).zip(bytes.get(5..)).filter(|_| bytes[0] == VERSION).ok_or_else(damaged)?;
    if crc32fast::hash(rest).to_be_bytes() != crc {
        return Err(damaged());
    }
    let (head, length) = parse(&bytes)?;
    let Head { source, reason, at, peer, method, target, authority, headers, .. } = head;
    let body = bytes.slice(PREFIX_BYTES + length..);
    Ok(Kept { source, reason, received: Received { method, target, authority, headers, body, peer, at } })
}

/// Reads the head only, for lists; its checksum is looked at when the whole is read.
pub(super) fn read_head(path: &Path) -> io::Result<Head> {
    let mut prefix = [0; PREFIX_BYTES];
    let mut file = File::open(path)?;
    file.read_exact(&mut prefix)?;
    let length = u32::from_be_bytes([prefix[5], prefix[6], prefix[7], prefix[8]]);
    let mut bytes = prefix.to_vec();
    file.take(u64::from(length)).read_to_end(&mut bytes)?;
    parse(&bytes).map(|(head, _)| head)
}

/// The head, and how long it is.
fn parse(bytes: &[u8]) -> io::Result<(Head, usize)> {
    let length = bytes.get(5..PREFIX_BYTES).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
    let length = length.filter(|_| bytes[0] == VERSION).ok_or_else(damaged)? as usize;
    let head = bytes.get(PREFIX_BYTES..PREFIX_BYTES + length).ok_or_else(damaged)?;
    let head = postcard::from_bytes(head).map_err(|_| damaged())?;
    Ok((head, length))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file is damaged")
}
