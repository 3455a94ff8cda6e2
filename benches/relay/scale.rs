//! Whether the relay with many stored events is as quick as with few: how fast it takes more, how long its lists and reads take, how
//! soon it is ready after a kill, and what memory it holds.
//!
//! A part of the events is for an application that is down, so they stay due. Reads go to places that are spread evenly over all the
//! time in which the store was filled. The same is asked of a small store, then of the large one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use hookhold::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::load::{Load, Until};
use crate::process::Relay;
use crate::report::{percentile, rounded};
use crate::wire::Requests;
use crate::{SECRET, rate_per_s};

/// What counts as a small store.
const SMALL: u64 = 10_000;
/// Each kind of read is made so often.
const READS: u32 = 200;
/// Rates are measured for so long.
const RATE_TIME: Duration = Duration::from_secs(10);

/// The store at one size.
#[derive(Debug, Serialize)]
struct Reads {
    events: u64,
    /// By what was read, in milliseconds.
    p99_ms: BTreeMap<&'static str, f64>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Scale {
    accepted_per_s_empty: f64,
    accepted_per_s_full: f64,
    ratio: f64,
    fill_seconds: f64,
    small: Reads,
    full: Reads,
    /// From the start of the process after a kill to its readiness.
    ready_seconds: f64,
    rss_mb_after_start: f64,
    rss_mb_before_kill: f64,
    status: Value,
}

/// Fills the store with `events`, `due` of them for an application that is down, and measures on the way.
pub(crate) async fn measure(relay: &mut Relay, connections: usize, body: usize, events: u64, due: u64) -> Result<Scale> {
    let load = |path: &str| Load::new(relay.port, Requests::signed(path, body, SECRET)?.into(), connections);
    let (up, down) = (load("/in/github")?, load("/in/down")?);
    let begin = SystemTime::now();

    let empty = up.closed(Until::Elapsed(RATE_TIME)).await?;
    down.closed(Until::Count(SMALL / 5)).await?;
    let small = reads(relay, begin).await?;

    let filling = Instant::now();
    down.closed(Until::Count(due.saturating_sub(SMALL / 5))).await?;
    up.closed(Until::Count(events.saturating_sub(due + empty.accepted))).await?;
    let fill_seconds = filling.elapsed().as_secs_f64();
    let full_rate = up.closed(Until::Elapsed(RATE_TIME)).await?;
    let full = reads(relay, begin).await?;

    let rss_mb_before_kill = relay.usage()?.rss_mb;
    let start = Instant::now();
    relay.kill_and_start().await?;
    let ready_seconds = start.elapsed().as_secs_f64();
    let rates = (rate_per_s(&[empty]), rate_per_s(&[full_rate]));
    Ok(Scale {
        accepted_per_s_empty: rounded(rates.0, 0),
        accepted_per_s_full: rounded(rates.1, 0),
        ratio: rounded(rates.1 / rates.0.max(f64::EPSILON), 3),
        fill_seconds: rounded(fill_seconds, 1),
        small,
        full,
        ready_seconds: rounded(ready_seconds, 2),
        rss_mb_after_start: rounded(relay.usage()?.rss_mb, 1),
        rss_mb_before_kill: rounded(rss_mb_before_kill, 1),
        status: relay.status().await?,
    })
}

/// Reads while nothing comes in, spread over the time since `begin`.
async fn reads(relay: &Relay, begin: SystemTime) -> Result<Reads> {
    let status = relay.status().await?;
    let events = status.pointer("/store/events").and_then(Value::as_u64).context("the status has no events")?;
    let span = begin.elapsed()?;
    let until = |n: u32| Timestamp::from_system(begin + span * (n + 1) / READS);
    let mut p99_ms = BTreeMap::new();
    let mut ids = Vec::new();
    let search = format!("&q=no+such+text&since={}", Timestamp::from_system(begin));
    let lists = [
        ("events", ""),
        ("events of a source", "&source=down"),
        ("events by state", "&state=delivered"),
        // What fits nothing, or nearly, costs a page what it may cost at most: see `store/sled/work.rs`.
        ("events of no type", "&type=none"),
        ("events in no state", "&state=unrouted"),
        ("events with no such id", "&provider_event_id=none"),
        ("events of no such source and state", "&state=delivered&source=none"),
        ("events with a text", &*search),
        ("deliveries", ""),
        ("deliveries of no such source", "&state=delivered&source=none"),
        ("deliveries due", "&state=pending&destination=down"),
    ];
    for (name, filter) in lists {
        let kind = if name.starts_with("events") { "events" } else { "deliveries" };
        let mut times = Vec::new();
        for n in 0..READS {
            let (time, page) = timed(relay, &format!("/api/v1/{kind}?limit=50&until={}{filter}", until(n))).await?;
            times.push(time);
            if name == "events" {
                ids.extend(page.pointer("/items/0/id").and_then(Value::as_str).map(str::to_owned));
            }
        }
        p99_ms.insert(name, p99(times));
    }
    ensure!(!ids.is_empty(), "the lists are empty");
    let (mut events_read, mut bodies_read) = (Vec::new(), Vec::new());
    for id in &ids {
        events_read.push(timed(relay, &format!("/api/v1/events/{id}")).await?.0);
        let start = Instant::now();
        let (answer, _) = relay.get(&format!("/api/v1/events/{id}/body")).await?;
        ensure!(answer == 200, "a body is not there: {answer}");
        bodies_read.push(start.elapsed());
    }
    p99_ms.extend([("an event", p99(events_read)), ("a body", p99(bodies_read))]);
    Ok(Reads { events, p99_ms })
}

async fn timed(relay: &Relay, path: &str) -> Result<(Duration, Value)> {
    let start = Instant::now();
    let (status, body) = relay.get(path).await?;
    let time = start.elapsed();
    ensure!(status == 200, "{path} was answered {status}: {body}");
    Ok((time, serde_json::from_str(&body)?))
}

fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    rounded(percentile(&times, 0.99).as_secs_f64() * 1000.0, 1)
}
