//! What is counted of one destination.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Families, OfDelivery, OfDestination, OfState, Seconds, as_gauge, lock, some_time};
use crate::record::{BreakerState, Name, StateName};
use crate::time::Timestamp;

/// Seconds: from a local application to the usual time-out of an attempt.
pub(super) const ATTEMPT_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0];

/// The handles of one destination.
#[derive(Debug)]
pub struct DestinationMetrics {
    name: Arc<str>,
    delivered: Counter,
    parked: Counter,
    cancelled: Counter,
    attempts: Family<OfDelivery, Counter>,
    attempt: Histogram,
    pending: Gauge,
    oldest_due_age: Seconds,
    breaker: [Gauge; BreakerState::ALL.len()],
    breaker_opened: Counter,
    pace: Mutex<Pace>,
    last_success_ms: AtomicU64,
    failed_attempts: AtomicU64,
    last_error: Mutex<Option<(Timestamp, String)>>,
}

/// What holds attempts back, as the lane last told.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    breaker: BreakerState,
    probe_at: Option<Timestamp>,
    rests_until: Option<Timestamp>,
}

impl DestinationMetrics {
    pub(super) fn new(name: &Name, families: &Families) -> Self {
        let destination: Arc<str> = name.as_str().into();
        let own = OfDestination { destination: destination.clone() };
        let settled = |state: StateName| {
            families.deliveries.get_or_create_owned(&OfDelivery { destination: destination.clone(), outcome: state.as_str() })
        };
        let breaker = |state: BreakerState| {
            families.breaker.get_or_create_owned(&OfState { destination: destination.clone(), state: state.as_str() })
        };
        let made = Self {
            delivered: settled(StateName::Delivered),
            parked: settled(StateName::Parked),
            cancelled: settled(StateName::Cancelled),
            attempts: families.attempts.clone(),
            attempt: families.attempt.get_or_create_owned(&own),
            pending: families.pending.get_or_create_owned(&own),
            oldest_due_age: families.oldest_due_age.get_or_create_owned(&own),
            breaker: BreakerState::ALL.map(breaker),
            breaker_opened: families.breaker_opened.get_or_create_owned(&own),
            pace: Mutex::default(),
            last_success_ms: AtomicU64::new(0),
            failed_attempts: AtomicU64::new(0),
            last_error: Mutex::default(),
            name: destination,
        };
        made.breaker[BreakerState::Closed as usize].set(1);
        made
    }

    /// Counts an attempt. `outcome`: `2xx`, `4xx`, ... for an answer, or the word of a
    /// [`Failure`](crate::record::Failure).
    pub fn attempt(&self, took: Duration, outcome: &'static str) {
        self.attempt.observe(took.as_secs_f64());
        self.attempts.get_or_create(&OfDelivery { destination: self.name.clone(), outcome }).inc();
    }

    /// Counts a delivery that came into this state; pending is no end, and is not counted.
    pub fn settled(&self, state: StateName) {
        match state {
            StateName::Pending => return,
            StateName::Delivered => &self.delivered,
            StateName::Parked => &self.parked,
            StateName::Cancelled => &self.cancelled,
        }
        .inc();
    }

    /// The application took a delivery at `at`.
    pub fn succeeded_at(&self, at: Timestamp) {
        self.last_success_ms.fetch_max(at.ms(), Ordering::Relaxed);
    }

    /// An attempt failed at `at`; `error` says how, in words for people.
    pub fn failed(&self, error: String, at: Timestamp) {
        self.failed_attempts.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_error) = Some((at, error));
    }

    /// Deliveries that came to this end since the start; of those that are pending nothing is counted.
    pub fn settled_so_far(&self, state: StateName) -> u64 {
        match state {
            StateName::Pending => 0,
            StateName::Delivered => self.delivered.get(),
            StateName::Parked => self.parked.get(),
            StateName::Cancelled => self.cancelled.get(),
        }
    }

    /// Attempts that failed since the start.
    pub fn failed_attempts(&self) -> u64 {
        self.failed_attempts.load(Ordering::Relaxed)
    }

    /// When the application last took a delivery; `None` where it did not since the start.
    pub fn last_success_at(&self) -> Option<Timestamp> {
        some_time(&self.last_success_ms)
    }

    /// When an attempt last failed; `None` where none did since the start.
    pub fn last_failure_at(&self) -> Option<Timestamp> {
        lock(&self.last_error).as_ref().map(|(at, _)| *at)
    }

    /// When the last failed attempt failed, and how; `None` where none did since the start.
    pub fn last_error(&self) -> Option<(Timestamp, String)> {
        lock(&self.last_error).clone()
    }

    /// How the breaker stands, and when it lets the next probe through.
    pub fn set_breaker(&self, state: BreakerState, probe_at: Option<Timestamp>) {
        let mut pace = lock(&self.pace);
        if state == BreakerState::Open && pace.breaker != state {
            self.breaker_opened.inc();
        }
        for (gauge, other) in self.breaker.iter().zip(BreakerState::ALL) {
            gauge.set(i64::from(other == state));
        }
        (pace.breaker, pace.probe_at) = (state, probe_at);
    }

    /// How the breaker stands, and when it lets the next probe through.
    pub fn breaker(&self) -> (BreakerState, Option<Timestamp>) {
        let pace = *lock(&self.pace);
        (pace.breaker, pace.probe_at)
    }

    /// Until when the application wants to be left alone.
    pub fn set_rest(&self, until: Option<Timestamp>) {
        lock(&self.pace).rests_until = until;
    }

    /// Until when the application wants to be left alone, where it said so.
    pub fn rests_until(&self) -> Option<Timestamp> {
        lock(&self.pace).rests_until
    }

    /// How much waits, and how long the longest due delivery has been due (0 where none is).
    pub fn set_backlog(&self, pending: u64, oldest_due_age_seconds: f64) {
        self.pending.set(as_gauge(pending));
        self.oldest_due_age.set(oldest_due_age_seconds);
    }
}
