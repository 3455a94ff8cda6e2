//! What delivery costs and how quick it is, to an application that answers at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::journeys::Travelled;
use crate::load::{Load, Until};
use crate::process::Relay;
use crate::report::rounded;
use crate::settings::Settings;
use crate::sink::Sink;
use crate::wire::Requests;
use crate::{Arguments, SECRET, WARM_UP, binary, drained, load_at};

/// Attempts at once.
const IN_FLIGHT: &str = "in_flight = 64";
/// What just came has arrived.
const QUIET: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Deliver {
    /// As fast as senders are answered: accepted, and accepted and delivered, a second.
    accepted_per_s: f64,
    accepted_and_delivered_per_s: f64,
    /// Of the relay, both counted.
    cpu_seconds_per_1000: f64,
    rate_per_s: u64,
    at_rate: Travelled,
    at_rate_cpu_seconds_per_1000: f64,
    alone: Alone,
    rss_mb: f64,
    rss_peak_mb: f64,
}

/// Nothing but deliveries: what waited for a destination that was paused.
#[derive(Debug, Serialize)]
struct Alone {
    deliveries: u64,
    seconds: f64,
    delivered_per_s: f64,
    cpu_seconds_per_1000_deliveries: f64,
}

/// Measures; so many deliveries are made by themselves.
pub(crate) async fn measure(arguments: &Arguments, deliveries: u64) -> Result<Deliver> {
    let sink = Sink::start().await?;
    let settings = Settings::default().destination("quick", sink.port, IN_FLIGHT).source("github", &["quick"]);
    let relay = Relay::start(&binary(arguments), &settings, SECRET).await?;
    let requests = Requests::signed("/in/github", arguments.body, SECRET)?;
    let load = Load::new(relay.port, requests.into(), arguments.connections)?;
    let mut accepted = load.closed(Until::Elapsed(WARM_UP)).await?.accepted;
    drained(&sink, accepted).await;

    let before = relay.usage()?;
    let slice = load.closed(Until::Elapsed(Duration::from_secs(arguments.seconds))).await?;
    accepted += slice.accepted;
    let waited = drained(&sink, accepted).await;
    ensure!(waited.left == 0, "{} deliveries were not made", waited.left);
    let used = relay.usage()?.since(&before);

    let watched = load_at(arguments, &relay, "github")?.telling(&sink.journeys);
    let before = relay.usage()?;
    let open = watched.open(arguments.rate, Duration::from_secs(arguments.open_seconds)).await?;
    let at_rate_used = relay.usage()?.since(&before);
    tokio::time::sleep(QUIET).await;
    let at_rate = sink.journeys.take();
    accepted += open.accepted;

    let alone = alone(&relay, &load, &sink, accepted, deliveries).await?;
    let usage = relay.usage()?;
    relay.stop().await?;
    Ok(Deliver {
        accepted_per_s: rounded(slice.accepted as f64 / slice.seconds, 0),
        accepted_and_delivered_per_s: rounded(slice.accepted as f64 / (slice.seconds + waited.seconds), 0),
        cpu_seconds_per_1000: rounded(used.cpu_seconds * 1000.0 / slice.accepted.max(1) as f64, 4),
        rate_per_s: arguments.rate,
        at_rate,
        at_rate_cpu_seconds_per_1000: rounded(at_rate_used.cpu_seconds * 1000.0 / open.accepted.max(1) as f64, 4),
        alone,
        rss_mb: rounded(usage.rss_mb, 1),
        rss_peak_mb: rounded(usage.rss_peak_mb, 1),
    })
}

async fn alone(relay: &Relay, load: &Load, sink: &Sink, accepted: u64, deliveries: u64) -> Result<Alone> {
    relay.post("/api/v1/destinations/quick/pause").await?;
    let filled = load.closed(Until::Count(deliveries)).await?.accepted;
    let before = relay.usage()?;
    let start = Instant::now();
    relay.post("/api/v1/destinations/quick/resume").await?;
    let left = drained(sink, accepted + filled).await.left;
    let (seconds, used) = (start.elapsed().as_secs_f64(), relay.usage()?.since(&before));
    let made = filled - left;
    Ok(Alone {
        deliveries: made,
        seconds: rounded(seconds, 3),
        delivered_per_s: rounded(made as f64 / seconds, 0),
        cpu_seconds_per_1000_deliveries: rounded(used.cpu_seconds * 1000.0 / made.max(1) as f64, 4),
    })
}
