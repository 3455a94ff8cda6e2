//! What may enter the store: a verified request, where it goes, and how the provider's repeats are known.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::Asking;
use crate::record::{Event, EventId, Headers, Name};
use crate::signature::Verified;
use crate::time::Timestamp;

/// A verified request on its way to become an event.
#[derive(Debug)]
pub struct Intake {
    source: Name,
    provider: Arc<str>,
    kind: Option<String>,
    provider_event_id: Option<String>,
    received_at: Timestamp,
    method: String,
    target: String,
    authority: String,
    peer: IpAddr,
    headers: Headers,
    body: Bytes,
    destinations: Arc<[Name]>,
    dedupe: Option<Dedupe>,
    order_keys: Vec<Option<String>>,
    asking: Option<Asking>,
}

/// How a repeat of the same event is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// The provider's id of the event; counts within the source.
    pub key: String,
    /// From then on the same key is a new event.
    pub until: Timestamp,
}

impl Intake {
    /// What `verified` becomes in `source`: one delivery to each of `destinations`.
    pub fn new(verified: Verified, source: Name, provider: Arc<str>, destinations: Arc<[Name]>, dedupe: Option<Dedupe>) -> Self {
        let (received, provider_event_id, kind) = verified.into_parts();
        Self {
            source,
            provider,
            kind,
            provider_event_id,
            received_at: received.at,
            method: received.method,
            target: received.target,
            authority: received.authority,
            peer: received.peer,
            headers: received.headers,
            body: received.body,
            destinations,
            dedupe,
            order_keys: Vec::new(),
            asking: None,
        }
    }

    /// The same with the keys by which its deliveries are kept in order: one for each destination, in their order.
    pub fn in_order(self, order_keys: Vec<Option<String>>) -> Self {
        Self { order_keys, ..self }
    }

    /// The same, and somebody waits for what its application says.
    pub fn awaited(self, asking: Asking) -> Self {
        Self { asking: Some(asking), ..self }
    }

    /// Who waits for what its application says.
    pub(in crate::store) fn take_asking(&mut self) -> Option<Asking> {
        self.asking.take()
    }

    /// The source it came in by.
    pub fn source(&self) -> &Name {
        &self.source
    }

    /// When the head of the request had arrived.
    pub fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// How a repeat of it is known.
    pub fn dedupe(&self) -> Option<&Dedupe> {
        self.dedupe.as_ref()
    }

    /// Where it goes.
    pub fn destinations(&self) -> &Arc<[Name]> {
        &self.destinations
    }

    /// The key by which the delivery at this place among the destinations is kept in order.
    pub fn order_key(&self, place: usize) -> Option<&str> {
        self.order_keys.get(place)?.as_deref()
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The event that it becomes under `id`, and its body.
    pub(in crate::store) fn into_event(self, id: EventId) -> (Event, Bytes) {
        let event = Event {
            id,
            source: self.source,
            provider: self.provider,
            kind: self.kind,
            provider_event_id: self.provider_event_id,
            received_at: self.received_at,
            method: self.method,
            target: self.target,
            authority: self.authority,
            peer: self.peer,
            headers: self.headers,
            body_bytes: self.body.len() as u64,
            duplicates: 0,
        };
        (event, self.body)
    }
}
