//! What is known of a provider's event id: which event has it, and until when a repeat is one.
//!
//! Ids come in no order, and a key of its own for each would cost sled more than all the rest of an event. So the ids of a checkpoint
//! are written as one sorted run; runs of a like size are merged; a run whose time is over is dropped whole. A filter in memory for
//! each run tells nearly always that an id is new without a read.

mod filter;
mod run;
mod runs;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(super) use runs::Runs;

use crate::record::EventId;
use crate::time::Timestamp;

/// A provider's event id in a source: hashes of both. Those of different ids must not meet, whoever chooses them; names of
/// sources are the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct DedupeKey {
    id: IdHash,
    source: [u8; 8],
}

/// 128 bits of SHA-256.
pub(super) type IdHash = [u8; 16];

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DedupeEntry {
    pub(super) event: EventId,
    pub(super) until: Timestamp,
}

impl DedupeKey {
    pub(super) fn of(source: &str, id: &str) -> Self {
        Self { id: id_hash(id), source: first_bytes(source) }
    }

    /// The smallest key of an id in any source.
    fn first_of(id: IdHash) -> Self {
        Self { id, source: [0; 8] }
    }

    /// The largest key of an id in any source.
    fn last_of(id: IdHash) -> Self {
        Self { id, source: [0xff; 8] }
    }

    /// The keys of an id in all sources.
    pub(super) fn all_of(id: IdHash) -> std::ops::RangeInclusive<Self> {
        Self::first_of(id)..=Self::last_of(id)
    }
}

/// The hash of a provider's event id.
pub(super) fn id_hash(id: &str) -> IdHash {
    first_bytes(id)
}

fn first_bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut hash = [0; N];
    hash.copy_from_slice(&Sha256::digest(text.as_bytes())[..N]);
    hash
}
