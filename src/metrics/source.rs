//! What is counted of one source.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::{Families, OfRefusal, OfRequest, OfSource, some_time};
use crate::record::Name;
use crate::time::Timestamp;

/// Seconds: from an answer within a commit to the patience of most providers.
pub(super) const ACCEPT_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// A new event, durable.
    Accepted,
    /// The provider sent it before.
    Duplicate,
    /// A challenge that the relay answered by itself.
    Handshake,
    /// Its signature is missing or wrong (401).
    BadSignature,
    /// Its body is larger than the source takes (413).
    TooLarge,
    /// Its head or body came too slowly (408).
    Timeout,
    /// There was no room for it (503).
    Overload,
    /// It is not HTTP as the relay takes it (400).
    BadRequest,
    /// Its peer may not send (403).
    Forbidden,
    /// The source does not take its method (405).
    MethodNotAllowed,
    /// It could not be made durable (503).
    StoreFailed,
    /// There is no space for it on the disk (503).
    StoreFull,
    /// What proves it cannot be had now (503).
    KeyUnavailable,
    /// A challenge whose provider did not take the confirmation (503).
    Unconfirmed,
    /// A person has paused its source (503).
    Paused,
    /// More came than may in a second (429).
    RateLimited,
    /// The sender went away.
    Aborted,
}

impl RequestOutcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Handshake,
        Self::BadSignature,
        Self::TooLarge,
        Self::Timeout,
        Self::Overload,
        Self::BadRequest,
        Self::Forbidden,
        Self::MethodNotAllowed,
        Self::StoreFailed,
        Self::StoreFull,
        Self::KeyUnavailable,
        Self::Unconfirmed,
        Self::Paused,
        Self::RateLimited,
        Self::Aborted,
    ];

    /// The word for it in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Handshake => "handshake",
            Self::BadSignature => "bad_signature",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Overload => "overload",
            Self::BadRequest => "bad_request",
            Self::Forbidden => "forbidden",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::StoreFailed => "store_failed",
            Self::StoreFull => "store_full",
            Self::KeyUnavailable => "key_unavailable",
            Self::Unconfirmed => "unconfirmed",
            Self::Paused => "paused",
            Self::RateLimited => "rate_limited",
            Self::Aborted => "aborted",
        }
    }
}

/// The handles of one source.
#[derive(Debug)]
pub struct SourceMetrics {
    name: Arc<str>,
    requests: [Counter; RequestOutcome::ALL.len()],
    refusals: Family<OfRefusal, Counter>,
    unrouted: Counter,
    heard: Family<OfRequest, Counter>,
    accept: Histogram,
    last_event_ms: AtomicU64,
}

impl SourceMetrics {
    pub(super) fn new(name: &Name, families: &Families) -> Self {
        let source: Arc<str> = name.as_str().into();
        let counter = |outcome: RequestOutcome| {
            families.requests.get_or_create_owned(&OfRequest { source: source.clone(), outcome: outcome.as_str() })
        };
        Self {
            requests: RequestOutcome::ALL.map(counter),
            refusals: families.refusals.clone(),
            unrouted: families.unrouted.get_or_create_owned(&OfSource { source: source.clone() }),
            heard: families.heard.clone(),
            accept: families.accept.get_or_create_owned(&OfSource { source: source.clone() }),
            last_event_ms: AtomicU64::new(0),
            name: source,
        }
    }

    /// Counts a request.
    pub fn count(&self, outcome: RequestOutcome) {
        self.requests[outcome as usize].inc();
    }

    /// Counts why a request was not believed; [`Self::count`] counts the request itself.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&OfRefusal { source: self.name.clone(), reason }).inc();
    }

    /// Counts an event that no route took.
    pub fn unrouted(&self) {
        self.unrouted.inc();
    }

    /// Counts what a request heard whose application was waited for; [`Self::count`] counts the request itself.
    pub fn heard(&self, outcome: &'static str) {
        self.heard.get_or_create(&OfRequest { source: self.name.clone(), outcome }).inc();
    }

    /// Records the time from a request's head until its event was durable. What an application takes is not part of it.
    pub fn accepted_in(&self, took: Duration) {
        self.accept.observe(took.as_secs_f64());
    }

    /// An event was received at `at`; the latest counts.
    pub fn event_at(&self, at: Timestamp) {
        self.last_event_ms.fetch_max(at.ms(), Ordering::Relaxed);
    }

    /// Requests that became events since the start.
    pub fn accepted(&self) -> u64 {
        self.of(RequestOutcome::Accepted)
    }

    /// All requests since the start.
    pub fn requests(&self) -> u64 {
        self.requests.iter().map(Counter::get).sum()
    }

    /// Requests since the start that were not believed.
    pub fn bad_signatures(&self) -> u64 {
        self.of(RequestOutcome::BadSignature)
    }

    /// Requests that the provider had sent before, since the start.
    pub fn duplicates(&self) -> u64 {
        self.of(RequestOutcome::Duplicate)
    }

    /// Requests that were neither accepted nor duplicates nor handshakes, since the start.
    pub fn rejected(&self) -> u64 {
        self.requests().saturating_sub(self.accepted() + self.duplicates() + self.of(RequestOutcome::Handshake))
    }

    /// When the last event was received; `None` where there was none since the start.
    pub fn last_event_at(&self) -> Option<Timestamp> {
        some_time(&self.last_event_ms)
    }

    fn of(&self, outcome: RequestOutcome) -> u64 {
        self.requests[outcome as usize].get()
    }
}
