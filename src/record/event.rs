//! One accepted, durable webhook, without its body.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EventId, Headers, Name};
use crate::time::Timestamp;

/// An event as stored. Its body is kept apart, so that lists stay cheap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id; the order of ids is the order of arrival.
    pub id: EventId,
    /// The source that it came in by.
    pub source: Name,
    /// The provider's name, as the source had it.
    pub provider: Arc<str>,
    /// The provider's word for what happened (`invoice.paid`), where it gives one.
    pub kind: Option<String>,
    /// The provider's own id of the event, where it gives one.
    pub provider_event_id: Option<String>,
    /// When its head had arrived.
    pub received_at: Timestamp,
    /// The method, as sent.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// The host that the sender named.
    pub authority: String,
    /// The client: the peer of the TCP connection, or for whom that speaks where it is a trusted proxy.
    pub peer: IpAddr,
    /// All header fields.
    pub headers: Headers,
    /// The length of the body.
    pub body_bytes: u64,
    /// How often the provider sent it again.
    pub duplicates: u32,
}

/// What a store keeps of an event beside its body and its texts, roughly: its deliveries, their newest attempts, and its share of
/// indexes.
const RECORD_BYTES: u64 = 512;

impl Event {
    /// What it takes in a store, body included: roughly, and for every store the same.
    pub fn stored_bytes(&self) -> u64 {
        let fields: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let texts = self.target.len() + self.authority.len() + self.kind.as_ref().map_or(0, String::len);
        self.body_bytes + (fields + texts) as u64 + RECORD_BYTES
    }
}
