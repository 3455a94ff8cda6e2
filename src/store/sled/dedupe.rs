//! What is known of a provider's event id: which event has it, and until when a repeat is one.

use crate::record::EventId;
use crate::time::Timestamp;

/// What is known of a provider's event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DedupeEntry {
    pub(super) event: EventId,
    pub(super) until: Timestamp,
}

impl DedupeEntry {
    pub(super) fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.event.to_bytes());
        bytes[16..].copy_from_slice(&self.until.ms().to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (event, until) = bytes.split_first_chunk::<16>()?;
        let until = u64::from_be_bytes(until.try_into().ok()?);
        Some(Self { event: EventId::from_bytes(*event), until: Timestamp::from_ms(until) })
    }
}
