//! Backups: all that a store holds as a sequence of records, in the frames of the journal (`journal/frame.rs`), in one file.
//!
//! ```text
//! "hookhold backup 2 SALT\n"   40 bytes; the version, and the salt in hexadecimal, as in the file's name
//! record 1, 2, 3 ...           an event each, oldest first; then what is known of providers' event ids
//! the closing record           what all of them together hold
//! ```
//!
//! Events are encoded as in the store, so the version is that of the store's format. Numbers and checksums tell which records are damaged; without the closing record the backup is not complete. The file has its name
//! only once it was synced, read back and found whole.
//!
//! Never here: what a record says, but for the closing one; sled.

mod folder;
mod read;
mod stream;

use serde::{Deserialize, Serialize};

pub use folder::{Archive, Error, Target};
pub(in crate::store) use read::Found;
pub use stream::Backup;
pub(in crate::store) use stream::{Sender, pair};

use super::journal::frame;

/// The version of a backup. Not that of a store: a backup knows nothing of chunks and blocks.
pub const VERSION: u32 = 3;
/// Bytes before the first record.
const START_BYTES: usize = 40;
/// The first byte of the closing record's payload: that of no other record.
const CLOSING: u8 = 0xff;

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Events.
    pub events: u64,
    /// Deliveries that wait for an attempt.
    pub pending: u64,
    /// Deliveries that the application took.
    pub delivered: u64,
    /// Deliveries that are parked.
    pub parked: u64,
    /// Deliveries that were called off.
    pub cancelled: u64,
    /// Attempts.
    pub attempts: u64,
    /// Bytes of all bodies.
    pub body_bytes: u64,
    /// What is known of providers' event ids: entries.
    pub event_ids: u64,
    /// Records that the store could not read: they are not in the backup.
    pub unreadable: u64,
}

/// A backup as it is written: records in order.
pub(in crate::store) struct Writing {
    salt: u64,
    number: u64,
    /// What was written and not taken yet.
    buffer: Vec<u8>,
}

impl Writing {
    /// Begins one.
    pub(in crate::store) fn begin() -> Self {
        // Random, so that nobody who sends a body can write a record into it.
        let salt = rand::random();
        Self { salt, number: 0, buffer: start(salt).into_bytes() }
    }

    /// Adds a record whose payload is `parts`, one after the other.
    pub(in crate::store) fn push(&mut self, parts: &[&[u8]]) {
        self.number += 1;
        frame::push(&mut self.buffer, self.salt, self.number, self.number - 1, parts);
    }

    /// Adds the closing record.
    pub(in crate::store) fn close(&mut self, contents: &Contents) -> Result<(), super::Error> {
        let encoded = postcard::to_stdvec(contents).map_err(|error| super::Error::Failed(error.to_string()))?;
        self.push(&[&[CLOSING], &encoded]);
        Ok(())
    }

    /// Bytes that were written and not taken yet.
    pub(in crate::store) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Takes what was written.
    pub(in crate::store) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }
}

/// What stands before the first record.
fn start(salt: u64) -> String {
    let text = format!("hookhold backup {VERSION} {salt:016x}");
    format!("{text:<width$}\n", width = START_BYTES - 1)
}

/// The contents that a closing record names; `None` where the payload is that of another record.
pub(in crate::store) fn closing(payload: &[u8]) -> Option<Contents> {
    postcard::from_bytes(payload.strip_prefix(&[CLOSING])?).ok()
}
