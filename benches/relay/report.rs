//! What the bench found, as one JSON object.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::backlog::Backlog;
use crate::crowd::Crowd;
use crate::deliver::Deliver;
use crate::isolation::Isolation;
use crate::journeys::Travelled;
use crate::live::Live;
use crate::load::Slice;
use crate::overload::Overload;
use crate::process::Usage;
use crate::rate_per_s;
use crate::scale::Scale;

/// Everything that was measured; parts that were not run are left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    connections: usize,
    body_bytes: usize,
    /// Signing takes no time of the loops: see the note in main.rs.
    signing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) relay: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bare: Option<Side>,
    /// Accepted a second, relay to bare, over all slices.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// The same for each pair of neighbouring slices: their spread is the noise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ratio_by_pair: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open_loop: Option<OpenLoop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open_loop_bare: Option<OpenLoop>,
    /// What the relay's open loop was to its applications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) travelled: Option<Travelled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scale: Option<Scale>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<Isolation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backlog: Option<Backlog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deliver: Option<Deliver>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) live: Option<Live>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) overload: Option<Overload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crowd: Option<Crowd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_events: Option<Value>,
    /// `GET /api/v1/status` at the end.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) status: Value,
    /// Requests that the sink had while others came in.
    #[serde(skip)]
    pub(crate) delivered_meanwhile: u64,
    /// All waits for the backlog between closed-loop slices.
    #[serde(skip)]
    pub(crate) drain_seconds: f64,
    /// What the last wait left.
    #[serde(skip)]
    pub(crate) left: u64,
}

/// One server.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    accepted: u64,
    seconds: f64,
    accepted_per_s: f64,
    errors: BTreeMap<String, u64>,
    /// The relay's include its deliveries, the backlog's too.
    cpu_seconds_per_1000: f64,
    rss_mb: f64,
    rss_peak_mb: f64,
}

/// What reached the sink.
#[derive(Debug, Serialize)]
struct Delivery {
    delivered: u64,
    /// Accepted but not delivered when the wait for the backlog was over.
    not_delivered: u64,
    /// While requests came in.
    delivered_per_s: f64,
    /// Both together: accepted and delivered, over the time of the slices and of the waits for the backlog.
    sustained_per_s: f64,
    drain_seconds: f64,
}

/// How long one wait for the backlog took, and what was left then.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) seconds: f64,
    pub(crate) left: u64,
}

/// Latency at a constant rate, from the scheduled time of each request to its answer.
#[derive(Debug, Serialize)]
pub(crate) struct OpenLoop {
    accepted: u64,
    accepted_per_s: f64,
    errors: BTreeMap<String, u64>,
    #[serde(flatten)]
    latency: Latency,
}

/// How long something took.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(connections: usize, body_bytes: usize) -> Self {
        Self { connections, body_bytes, signing: "before the loops", ..Self::default() }
    }

    /// Compares the slices of both servers.
    pub(crate) fn ratios(&mut self, relay: &[Slice], bare: &[Slice]) {
        let ratio = |a: &[Slice], b: &[Slice]| rounded(rate_per_s(a) / rate_per_s(b).max(f64::EPSILON), 3);
        self.ratio = Some(ratio(relay, bare));
        self.ratio_by_pair = relay.chunks(1).zip(bare.chunks(1)).map(|(a, b)| ratio(a, b)).collect();
    }

    /// Fills in what is known at the end.
    pub(crate) fn finish(&mut self, delivered: u64, usage: Usage) {
        self.store_events = self.status.pointer("/store/events").cloned();
        let Some(relay) = &mut self.relay else { return };
        (relay.rss_mb, relay.rss_peak_mb) = (rounded(usage.rss_mb, 1), rounded(usage.rss_peak_mb, 1));
        self.delivery = Some(Delivery {
            delivered,
            not_delivered: self.left,
            delivered_per_s: rounded(self.delivered_meanwhile as f64 / relay.seconds.max(f64::EPSILON), 0),
            sustained_per_s: rounded(relay.accepted as f64 / (relay.seconds + self.drain_seconds).max(f64::EPSILON), 0),
            drain_seconds: rounded(self.drain_seconds, 3),
        });
    }
}

impl Side {
    /// From a server's slices and what it used during them.
    pub(crate) fn of(slices: &[Slice], usage: Usage) -> Self {
        let accepted: u64 = slices.iter().map(|s| s.accepted).sum();
        let mut errors = BTreeMap::new();
        for (error, count) in slices.iter().flat_map(|s| &s.errors) {
            *errors.entry(error.clone()).or_default() += count;
        }
        Self {
            accepted,
            seconds: rounded(slices.iter().map(|s| s.seconds).sum(), 3),
            accepted_per_s: rounded(rate_per_s(slices), 0),
            errors,
            cpu_seconds_per_1000: rounded(usage.cpu_seconds * 1000.0 / (accepted.max(1) as f64), 4),
            rss_mb: rounded(usage.rss_mb, 1),
            rss_peak_mb: rounded(usage.rss_peak_mb, 1),
        }
    }
}

impl From<Slice> for OpenLoop {
    fn from(slice: Slice) -> Self {
        Self {
            accepted: slice.accepted,
            accepted_per_s: rounded(rate_per_s(std::slice::from_ref(&slice)), 0),
            errors: slice.errors,
            latency: Latency::of(slice.latencies),
        }
    }
}

impl Latency {
    /// From single times, in any order.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let ms = |share| rounded(percentile(&times, share).as_secs_f64() * 1000.0, 3);
        Self { p50_ms: ms(0.5), p90_ms: ms(0.9), p99_ms: ms(0.99), max_ms: ms(1.0) }
    }
}

/// The smallest value that is not exceeded by this share of the ascending `values`.
pub(crate) fn percentile(values: &[Duration], share: f64) -> Duration {
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// With so many digits behind the point.
pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
