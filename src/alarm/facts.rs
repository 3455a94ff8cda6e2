//! What alarms are judged by: how everything stands at one time.

use std::sync::Arc;
use std::time::Duration;

use crate::record::Name;
use crate::time::Timestamp;

/// How everything stands.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The time of the look.
    pub now: Timestamp,
    /// When the relay started.
    pub started_at: Timestamp,
    /// When the relay was last known to take events before it started.
    pub heard_before: Option<Timestamp>,
    /// The sources.
    pub sources: Vec<SourceFacts>,
    /// The destinations.
    pub destinations: Vec<DestinationFacts>,
    /// The certificates that are shown.
    pub certificates: Vec<CertificateFacts>,
    /// The hosts for which a CA is asked.
    pub hosts: Vec<HostFacts>,
    /// The store.
    pub store: StoreFacts,
}

/// How a source stands. Counts are those since the start.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    /// Its name.
    pub name: Name,
    /// Whether it takes nothing because somebody wants it so.
    pub is_paused: bool,
    /// It has an event at least so often.
    pub expect_every: Option<Duration>,
    /// When its last event came, also before the start.
    pub last_event_at: Option<Timestamp>,
    /// All requests.
    pub requests: u64,
    /// Requests that were not believed.
    pub bad_signatures: u64,
}

/// How a destination stands. Times are those since the start.
#[derive(Clone, Debug)]
pub struct DestinationFacts {
    /// Its name.
    pub name: Name,
    /// Whether nothing is sent because somebody wants it so.
    pub is_paused: bool,
    /// When it last took a delivery.
    pub last_success_at: Option<Timestamp>,
    /// When an attempt last failed.
    pub last_failure_at: Option<Timestamp>,
    /// How it failed.
    pub last_error: Option<String>,
    /// Whether its breaker lets no more than probes through.
    pub is_cut_off: bool,
    /// What waits; `None` where the store cannot tell.
    pub backlog: Option<Backlog>,
}

/// What waits for a destination.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backlog {
    /// Deliveries that wait or are in flight.
    pub pending: u64,
    /// Deliveries that gave up.
    pub parked: u64,
    /// When the longest due delivery was due.
    pub oldest_due_at: Option<Timestamp>,
}

/// A certificate that is shown.
#[derive(Clone, Debug)]
pub struct CertificateFacts {
    /// Its file.
    pub file: Arc<str>,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// A host for which a CA is asked.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// Its name.
    pub host: Arc<str>,
    /// Since when it is wanted, in this run.
    pub wanted_since: Timestamp,
    /// When the certificate ends that is shown for it; `None` where there is none.
    pub ends_at: Option<Timestamp>,
    /// What came of its orders, where the last one came to nothing.
    pub failing: Option<FailingOrders>,
}

/// Orders that came to nothing, one after the other.
#[derive(Clone, Debug)]
pub struct FailingOrders {
    /// When the first of them did.
    pub since: Timestamp,
    /// So many.
    pub tries: u32,
    /// Why the last of them did.
    pub error: String,
}

/// How the store stands.
#[derive(Clone, Debug, Default)]
pub struct StoreFacts {
    /// Why nothing new can be accepted; `None` where it can.
    pub not_ready: Option<String>,
    /// Records that were met and cannot be read.
    pub damaged: u64,
    /// Bytes of events that must be kept.
    pub kept_bytes: u64,
    /// Bytes that all events may take.
    pub bytes_max: Option<u64>,
    /// Free bytes of the disk, and all of them; `None` where they cannot be told.
    pub disk: Option<(u64, u64)>,
}
