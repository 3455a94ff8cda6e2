//! What becomes of those who come when more come than the relay can take: at so many times its capacity, and when that is over.
//!
//! A closed loop finds the capacity; an open one then sends at a multiple of it, whatever is answered, and at half of it afterwards.
//! Latency counts from the time at which a request should have left. With a slower disk the disk is the bound, else the processor,
//! which the generator shares.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::load::{Load, Slice, Until};
use crate::process::Relay;
use crate::report::{Latency, rounded};
use crate::settings::Settings;
use crate::sink::Sink;
use crate::wire::Requests;
use crate::{Arguments, SECRET, WARM_UP, binary, drained};

/// The generator must not be what queues: a second of answers fits.
const CONNECTIONS_MIN: usize = 768;
/// The admin API is asked so often meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Overload {
    connections: usize,
    sync_ms: u64,
    capacity: Phase,
    times: f64,
    overloaded: Phase,
    /// `GET /api/v1/status` meanwhile.
    admin_meanwhile: Latency,
    /// At half of the capacity, right after it.
    afterwards: Phase,
    rss_peak_mb: f64,
    /// What was answered 2xx and did not reach its application.
    lost: u64,
}

#[derive(Debug, Serialize)]
struct Phase {
    sent_per_s: f64,
    accepted_per_s: f64,
    refused_per_s: f64,
    /// Neither of both.
    failed: u64,
    accepted: Latency,
}

/// Measures with so many times what it can take.
pub(crate) async fn measure(arguments: &Arguments, times: f64) -> Result<Overload> {
    ensure!(times > 1.0, "that is no overload");
    let sink = Sink::start().await?;
    let settings = Settings::default().destination("sink", sink.port, "in_flight = 64").source("github", &["sink"]);
    let relay = started(arguments, &binary(arguments), &settings).await?;
    let connections = arguments.connections.max(CONNECTIONS_MIN);
    let requests = Arc::new(Requests::signed("/in/github", arguments.body, SECRET)?);
    let load = Load::new(relay.port, requests, connections)?;
    load.closed(Until::Elapsed(WARM_UP)).await?;
    let before = sink.answered();
    let closed = load.closed(Until::Elapsed(Duration::from_secs(arguments.seconds))).await?;
    let capacity = closed.accepted as f64 / closed.seconds;
    let mut accepted = closed.accepted;
    // A backlog that drains would take from what is measured next.
    drained(&sink, before + accepted).await;

    let over = Arc::new(AtomicBool::new(false));
    let time = Duration::from_secs(arguments.open_seconds);
    let (open, asked) = tokio::join!(
        async {
            let open = load.open((capacity * times) as u64, time).await;
            over.store(true, Ordering::Relaxed);
            open
        },
        asked(&relay, &over)
    );
    let overloaded = open?;
    accepted += overloaded.accepted;
    let afterwards = load.open(((capacity / 2.0) as u64).max(1), time).await?;
    accepted += afterwards.accepted;
    let lost = drained(&sink, before + accepted).await.left;
    let usage = relay.usage()?;
    relay.stop().await?;
    Ok(Overload {
        connections,
        sync_ms: arguments.sync_ms,
        capacity: closed.into(),
        times,
        overloaded: overloaded.into(),
        admin_meanwhile: Latency::of(asked?),
        afterwards: afterwards.into(),
        rss_peak_mb: rounded(usage.rss_peak_mb, 1),
        lost,
    })
}

async fn started(arguments: &Arguments, binary: &Path, settings: &Settings) -> Result<Relay> {
    match arguments.sync_ms {
        0 => Relay::start(binary, settings, SECRET).await,
        ms => Relay::start_slow(binary, settings, SECRET, Duration::from_millis(ms)).await,
    }
}

/// How long the admin API takes, until it is over.
async fn asked(relay: &Relay, over: &AtomicBool) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        relay.status().await?;
        times.push(start.elapsed());
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(times)
}

impl From<Slice> for Phase {
    fn from(slice: Slice) -> Self {
        let (refused, all) = (slice.refused(), slice.errors.values().sum::<u64>());
        let per_s = |count: u64| rounded(count as f64 / slice.seconds.max(f64::EPSILON), 0);
        Self {
            sent_per_s: per_s(slice.accepted + all),
            accepted_per_s: per_s(slice.accepted),
            refused_per_s: per_s(refused),
            failed: all - refused,
            accepted: Latency::of(slice.latencies),
        }
    }
}
