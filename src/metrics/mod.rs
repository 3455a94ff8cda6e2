//! All metrics of the relay: their names, their labels, and the handles that count.
//!
//! A [`SourceMetrics`] or [`DestinationMetrics`] is taken once and kept, so that counting in the hot path is one atomic
//! addition: no look-up, no allocation. Labels come from the configuration or from fixed words, never from what a sender
//! controls. Never here: a header, a path, a secret, or a clock.

mod acme;
mod alerts;
mod connection;
mod destination;
mod source;
mod spans;
mod totals;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use acme::AcmeMetrics;
pub use acme::{AcmeFailing, AcmeHost};
pub use alerts::{AlertMetrics, SentOutcome};
pub use connection::LetGo;
pub use destination::DestinationMetrics;
pub use source::{RequestOutcome, SourceMetrics};
pub use spans::SpanMetrics;
pub use totals::Totals;

use crate::record::Name;
use crate::time::Timestamp;

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Seconds: from a fast commit to a slow disk.
const SYNC_BUCKETS: [f64; 10] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];
/// Records that share one sync.
const COMMIT_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    source: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    source: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDestination {
    destination: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDelivery {
    destination: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    destination: Arc<str>,
    state: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
type Seconds = Gauge<f64, AtomicU64>;

/// Every metric of the relay.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    whole: Whole,
    alerts: AlertMetrics,
    spans: Arc<SpanMetrics>,
    sources: Mutex<HashMap<Name, Arc<SourceMetrics>>>,
    destinations: Mutex<HashMap<Name, Arc<DestinationMetrics>>>,
}

/// Metrics with a label for the source or the destination.
#[derive(Debug)]
struct Families {
    requests: Family<OfRequest, Counter>,
    refusals: Family<OfRefusal, Counter>,
    unrouted: Family<OfSource, Counter>,
    heard: Family<OfRequest, Counter>,
    accept: Histograms<OfSource>,
    deliveries: Family<OfDelivery, Counter>,
    attempts: Family<OfDelivery, Counter>,
    attempt: Histograms<OfDestination>,
    pending: Family<OfDestination, Gauge>,
    oldest_due_age: Family<OfDestination, Seconds>,
    breaker: Family<OfState, Gauge>,
    breaker_opened: Family<OfDestination, Counter>,
}

/// Metrics of the whole relay.
#[derive(Debug)]
struct Whole {
    unknown_source: Counter,
    handshakes_ok: Counter,
    handshakes_failed: Counter,
    connections: Gauge,
    connections_refused: Family<OfReason, Counter>,
    acme: AcmeMetrics,
    rate_limited: Counter,
    commit_records: Histogram,
    commit_bytes: Counter,
    commit_sync: Histogram,
    store_bytes: Gauge,
    store_events: Gauge,
    store_ready: Gauge,
    store_damaged: Counter,
    store_event_bytes: Gauge,
    store_full: Gauge,
    store_free_bytes: Gauge,
    store_purged: Counter,
    store_purged_bytes: Counter,
    commit_wait: Seconds,
    lag: Seconds,
    start_time: Seconds,
}

impl Metrics {
    /// All metrics at zero; sources and destinations appear when they are first asked for.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("hookhold");
        let families = Families::register(&mut registry);
        let whole = Whole::register(&mut registry, &families);
        let alerts = AlertMetrics::register(&mut registry);
        let spans = Arc::new(SpanMetrics::register(&mut registry));
        Arc::new(Self { registry, families, whole, alerts, spans, sources: Mutex::default(), destinations: Mutex::default() })
    }

    /// All metrics in Prometheus' text form, see [`CONTENT_TYPE`].
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }

    /// The handles of one source. Takes a lock: ask once and keep them.
    pub fn source(&self, name: &Name) -> Arc<SourceMetrics> {
        let make = || Arc::new(SourceMetrics::new(name, &self.families));
        lock(&self.sources).entry(name.clone()).or_insert_with(make).clone()
    }

    /// The handles of one destination. Takes a lock: ask once and keep them.
    pub fn destination(&self, name: &Name) -> Arc<DestinationMetrics> {
        let make = || Arc::new(DestinationMetrics::new(name, &self.families));
        lock(&self.destinations).entry(name.clone()).or_insert_with(make).clone()
    }

    /// The handles of alarms and certificates.
    pub fn alerts(&self) -> &AlertMetrics {
        &self.alerts
    }

    /// What became of spans.
    pub fn spans(&self) -> Arc<SpanMetrics> {
        self.spans.clone()
    }

    /// Counts a request that fits no source.
    pub fn unknown_source(&self) {
        self.whole.unknown_source.inc();
    }

    /// Counts a TLS handshake that succeeded, or did not.
    pub fn tls_handshake(&self, ok: bool) {
        let counter = if ok { &self.whole.handshakes_ok } else { &self.whole.handshakes_failed };
        counter.inc();
    }

    /// Counts a request of an address that sends too many, where no source is known for it.
    pub fn rate_limited(&self) {
        self.whole.rate_limited.inc();
    }

    /// Counts a connection that was let go.
    pub fn connection_refused(&self, reason: LetGo) {
        self.whole.connections_refused.get_or_create(&OfReason { reason: reason.as_str() }).inc();
    }

    /// The number of open connections: raise it and lower it.
    pub fn connections(&self) -> Gauge {
        self.whole.connections.clone()
    }

    /// Counts one group commit: so many records and bytes, and how long its sync took.
    pub fn committed(&self, records: usize, bytes: usize, sync: Duration) {
        self.whole.commit_records.observe(f64::from(u32::try_from(records).unwrap_or(u32::MAX)));
        self.whole.commit_bytes.inc_by(bytes as u64);
        self.whole.commit_sync.observe(sync.as_secs_f64());
    }

    /// How the store stands: its bytes and events, whether it can make things durable, and how many damaged records were
    /// met since the start.
    pub fn set_store(&self, bytes: u64, events: u64, ready: bool, damaged: u64) {
        self.whole.store_bytes.set(as_gauge(bytes));
        self.whole.store_events.set(as_gauge(events));
        self.whole.store_ready.set(i64::from(ready));
        // A count that the store keeps: it only rises, also when two scrapes overtake each other.
        self.whole.store_damaged.inner().fetch_max(damaged, Ordering::Relaxed);
    }

    /// How much room there is: the bytes of all events, those that are free on the disk, and whether that is too little.
    pub fn set_space(&self, event_bytes: u64, free_bytes: u64, is_full: bool) {
        self.whole.store_event_bytes.set(as_gauge(event_bytes));
        self.whole.store_free_bytes.set(as_gauge(free_bytes));
        self.whole.store_full.set(i64::from(is_full));
    }

    /// How long whoever comes now would wait: until it is durable, and for its turn on the processor.
    pub fn set_waits(&self, commit: Duration, lag: Duration) {
        self.whole.commit_wait.set(commit.as_secs_f64());
        self.whole.lag.set(lag.as_secs_f64());
    }

    /// Counts events that were removed, and their bytes.
    pub fn purged(&self, events: u64, bytes: u64) {
        self.whole.store_purged.inc_by(events);
        self.whole.store_purged_bytes.inc_by(bytes);
    }

    /// When the relay started.
    pub fn set_started_at(&self, at: Timestamp) {
        self.whole.start_time.set(Duration::from_millis(at.ms()).as_secs_f64());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn as_gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let made = Self {
            requests: Family::default(),
            refusals: Family::default(),
            unrouted: Family::default(),
            heard: Family::default(),
            accept: Family::new_with_constructor(|| Histogram::new(source::ACCEPT_BUCKETS)),
            deliveries: Family::default(),
            attempts: Family::default(),
            attempt: Family::new_with_constructor(|| Histogram::new(destination::ATTEMPT_BUCKETS)),
            pending: Family::default(),
            oldest_due_age: Family::default(),
            breaker: Family::default(),
            breaker_opened: Family::default(),
        };
        registry.register("requests", "Requests by source and outcome", made.requests.clone());
        registry.register("verification_failures", "Requests that were not believed, by reason", made.refusals.clone());
        registry.register("events_unrouted", "Events that no route took, by source", made.unrouted.clone());
        registry.register(
            "upstream_answers",
            "Requests whose application was waited for, by what came of it",
            made.heard.clone(),
        );
        registry.register("accept_seconds", "Time from a request's head until its event is durable", made.accept.clone());
        registry.register("deliveries", "Deliveries that were settled, by destination and outcome", made.deliveries.clone());
        registry.register("attempts", "Attempts by destination and outcome", made.attempts.clone());
        registry.register("attempt_seconds", "Time that attempts took", made.attempt.clone());
        registry.register("deliveries_pending", "Deliveries that wait or are in flight", made.pending.clone());
        let age = made.oldest_due_age.clone();
        registry.register("oldest_due_age_seconds", "How long the longest due delivery has been due", age);
        let (breaker, opened) = (made.breaker.clone(), made.breaker_opened.clone());
        registry.register("destination_breaker", "1 for the state that the destination's breaker is in", breaker);
        registry.register("destination_breaker_opened", "How often attempts were stopped as no answer came", opened);
        made
    }
}

impl Whole {
    fn register(registry: &mut Registry, families: &Families) -> Self {
        let handshakes = Family::<OfOutcome, Counter>::default();
        let unknown = OfRequest { source: "".into(), outcome: "unknown_source" };
        let made = Self {
            unknown_source: families.requests.get_or_create_owned(&unknown),
            handshakes_ok: handshakes.get_or_create_owned(&OfOutcome { outcome: "ok" }),
            handshakes_failed: handshakes.get_or_create_owned(&OfOutcome { outcome: "failed" }),
            connections: Gauge::default(),
            connections_refused: Family::default(),
            acme: AcmeMetrics::register(registry),
            rate_limited: families.requests.get_or_create_owned(&OfRequest { source: "".into(), outcome: "rate_limited" }),
            commit_records: Histogram::new(COMMIT_BUCKETS),
            commit_bytes: Counter::default(),
            commit_sync: Histogram::new(SYNC_BUCKETS),
            store_bytes: Gauge::default(),
            store_events: Gauge::default(),
            store_ready: Gauge::default(),
            store_damaged: Counter::default(),
            store_event_bytes: Gauge::default(),
            store_full: Gauge::default(),
            store_free_bytes: Gauge::default(),
            store_purged: Counter::default(),
            store_purged_bytes: Counter::default(),
            commit_wait: Seconds::default(),
            lag: Seconds::default(),
            start_time: Seconds::default(),
        };
        registry.register("tls_handshakes", "TLS handshakes by outcome", handshakes);
        registry.register("connections", "Open connections", made.connections.clone());
        let refused = made.connections_refused.clone();
        for reason in LetGo::ALL {
            drop(refused.get_or_create(&OfReason { reason: reason.as_str() }));
        }
        registry.register("connections_refused", "Connections that were let go, by reason", refused);
        registry.register("commit_records", "Records that shared one sync", made.commit_records.clone());
        registry.register("commit_bytes", "Bytes that were committed", made.commit_bytes.clone());
        registry.register("commit_sync_seconds", "Time that one sync took", made.commit_sync.clone());
        registry.register("commit_wait_seconds", "How long a new event would wait to be durable", made.commit_wait.clone());
        registry.register("lag_seconds", "How long what is ready waits for its turn", made.lag.clone());
        registry.register("store_bytes", "Bytes that the store takes", made.store_bytes.clone());
        registry.register("store_events", "Events in the store", made.store_events.clone());
        registry.register("store_ready", "1 while the store can make things durable", made.store_ready.clone());
        registry.register("store_damaged", "Stored records that could not be read", made.store_damaged.clone());
        registry.register("store_event_bytes", "Bytes of the events in the store", made.store_event_bytes.clone());
        registry.register("store_full", "1 while new events are refused for want of space", made.store_full.clone());
        registry.register("store_free_bytes", "Free bytes of the store's disk", made.store_free_bytes.clone());
        registry.register("store_purged", "Events that were removed by retention", made.store_purged.clone());
        registry.register("store_purged_bytes", "Bytes of these events", made.store_purged_bytes.clone());
        registry.register("start_time_seconds", "When the relay started, since the Unix epoch", made.start_time.clone());
        registry.register("build", "The relay's version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        made
    }
}

/// Zero stands for "never": no event is of the epoch.
fn some_time(ms: &AtomicU64) -> Option<Timestamp> {
    match ms.load(Ordering::Relaxed) {
        0 => None,
        ms => Some(Timestamp::from_ms(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BreakerState, StateName};

    fn name(text: &str) -> Name {
        Name::try_new(text).unwrap()
    }

    #[track_caller]
    fn shows(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }

    #[test]
    fn what_is_known_shows_zero_from_the_start() {
        let metrics = Metrics::new();
        metrics.source(&name("stripe"));
        metrics.destination(&name("billing"));
        for outcome in RequestOutcome::ALL {
            shows(&metrics, &format!("hookhold_requests_total{{source=\"stripe\",outcome=\"{}\"}} 0", outcome.as_str()));
        }
        for line in [
            r#"hookhold_requests_total{source="",outcome="unknown_source"} 0"#,
            r#"hookhold_requests_total{source="",outcome="rate_limited"} 0"#,
            r#"hookhold_connections_refused_total{reason="per_address"} 0"#,
            r#"hookhold_deliveries_total{destination="billing",outcome="delivered"} 0"#,
            r#"hookhold_deliveries_total{destination="billing",outcome="parked"} 0"#,
            r#"hookhold_deliveries_total{destination="billing",outcome="cancelled"} 0"#,
            r#"hookhold_deliveries_pending{destination="billing"} 0"#,
            r#"hookhold_oldest_due_age_seconds{destination="billing"} 0.0"#,
            r#"hookhold_destination_breaker{destination="billing",state="closed"} 1"#,
            r#"hookhold_destination_breaker{destination="billing",state="half_open"} 0"#,
            r#"hookhold_tls_handshakes_total{outcome="ok"} 0"#,
            r#"hookhold_tls_handshakes_total{outcome="failed"} 0"#,
            "hookhold_store_damaged_total 0",
            "hookhold_connections 0",
            concat!("hookhold_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            shows(&metrics, line);
        }
    }

    #[test]
    fn a_source_counts_under_its_own_name() {
        let metrics = Metrics::new();
        let source = metrics.source(&name("stripe"));
        source.count(RequestOutcome::Accepted);
        source.count(RequestOutcome::Duplicate);
        source.count(RequestOutcome::Aborted);
        source.refused("mismatch");
        source.accepted_in(Duration::from_millis(3));
        metrics.unknown_source();
        let again = metrics.source(&name("stripe"));
        assert_eq!((again.accepted(), again.duplicates(), again.rejected()), (1, 1, 1));
        shows(&metrics, r#"hookhold_requests_total{source="stripe",outcome="aborted"} 1"#);
        shows(&metrics, r#"hookhold_requests_total{source="",outcome="unknown_source"} 1"#);
        shows(&metrics, r#"hookhold_verification_failures_total{source="stripe",reason="mismatch"} 1"#);
        shows(&metrics, r#"hookhold_accept_seconds_count{source="stripe"} 1"#);
    }

    #[test]
    fn a_destination_counts_under_its_own_name() {
        let metrics = Metrics::new();
        let destination = metrics.destination(&name("billing"));
        destination.attempt(Duration::from_millis(3), "5xx");
        destination.settled(StateName::Pending);
        destination.settled(StateName::Parked);
        destination.set_backlog(7, 1.5);
        destination.failed("503".to_owned(), Timestamp::from_ms(7));
        destination.succeeded_at(Timestamp::from_ms(9));
        destination.succeeded_at(Timestamp::from_ms(8));
        assert_eq!(destination.last_success_at(), Some(Timestamp::from_ms(9)));
        assert_eq!(destination.last_error(), Some((Timestamp::from_ms(7), "503".to_owned())));
        assert_eq!((destination.failed_attempts(), destination.settled_so_far(StateName::Parked)), (1, 1));
        destination.set_breaker(BreakerState::Open, Some(Timestamp::from_ms(9)));
        assert_eq!(destination.breaker(), (BreakerState::Open, Some(Timestamp::from_ms(9))));
        shows(&metrics, r#"hookhold_destination_breaker{destination="billing",state="open"} 1"#);
        shows(&metrics, r#"hookhold_destination_breaker{destination="billing",state="closed"} 0"#);
        shows(&metrics, r#"hookhold_destination_breaker_opened_total{destination="billing"} 1"#);
        shows(&metrics, r#"hookhold_attempts_total{destination="billing",outcome="5xx"} 1"#);
        shows(&metrics, r#"hookhold_attempt_seconds_count{destination="billing"} 1"#);
        shows(&metrics, r#"hookhold_deliveries_total{destination="billing",outcome="parked"} 1"#);
        shows(&metrics, r#"hookhold_deliveries_pending{destination="billing"} 7"#);
        shows(&metrics, r#"hookhold_oldest_due_age_seconds{destination="billing"} 1.5"#);
    }

    #[test]
    fn the_store_and_the_listener_count() {
        let metrics = Metrics::new();
        metrics.committed(3, 100, Duration::from_millis(1));
        metrics.set_store(10, 2, true, 1);
        metrics.set_started_at(Timestamp::from_ms(1_500));
        metrics.set_space(7, 5, true);
        metrics.purged(4, 3);
        metrics.tls_handshake(false);
        metrics.connections().inc();
        for line in [
            "hookhold_commit_records_sum 3.0",
            "hookhold_commit_bytes_total 100",
            "hookhold_commit_sync_seconds_count 1",
            "hookhold_store_bytes 10",
            "hookhold_store_events 2",
            "hookhold_store_ready 1",
            "hookhold_store_damaged_total 1",
            "hookhold_store_event_bytes 7",
            "hookhold_store_free_bytes 5",
            "hookhold_store_full 1",
            "hookhold_store_purged_total 4",
            "hookhold_store_purged_bytes_total 3",
            "hookhold_start_time_seconds 1.5",
            "hookhold_connections 1",
            r#"hookhold_tls_handshakes_total{outcome="failed"} 1"#,
        ] {
            shows(&metrics, line);
        }
    }
}
