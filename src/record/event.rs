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
    /// The peer of the TCP connection.
    pub peer: IpAddr,
    /// All header fields.
    pub headers: Headers,
    /// The length of the body.
    pub body_bytes: u64,
    /// How often the provider sent it again.
    pub duplicates: u32,
}
