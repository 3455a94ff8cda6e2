//! How a backlog drains: an application that was down comes back while new events for it come in at a rate.
//!
//! Three questions: is the drain as quick as delivery of what just came; does memory depend on the backlog; and are new events not
//! starved behind old ones. The application's port refuses until it is opened, so the relay finds it with a probe of its breaker.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::journeys::Travelled;
use crate::load::{Load, Until};
use crate::process::{Relay, Usage};
use crate::report::rounded;
use crate::settings::Settings;
use crate::sink::{Down, Sink};
use crate::wire::Requests;
use crate::{Arguments, SECRET, binary, drained, load_at, rate_per_s};

/// Attempts at once, of the destination that works and of the one that was down.
const IN_FLIGHT: &str = "in_flight = 64";
/// The relay looks for an application that is down every half minute, at the latest.
const FOUND_MAX: Duration = Duration::from_secs(60);
/// How it goes is looked at so often.
const LOOK: Duration = Duration::from_millis(500);
/// Of all looks, about so many are shown.
const SHOWN: usize = 20;
/// New events are sent for so long at a time, so that sending ends soon after the backlog does.
const NEW_TIME: Duration = Duration::from_secs(5);
/// New events that are still under way when the backlog is gone arrive within this.
const AFTER_MAX: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Backlog {
    events: u64,
    /// Accepted and delivered a second, where the application works.
    steady_per_s: f64,
    steady_accepted_per_s: f64,
    fill_seconds: f64,
    fill_accepted_per_s: f64,
    rss_mb_before_fill: f64,
    rss_mb_after_fill: f64,
    /// From the time at which the application was up to the first delivery.
    found_after_seconds: f64,
    drain_seconds: f64,
    left: u64,
    /// Of the backlog, and of the new events that came meanwhile.
    drained_per_s: f64,
    new_per_s: f64,
    /// Both together to `steady_per_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    cpu_seconds_per_1000_deliveries: f64,
    rss_mb_peak_in_drain: f64,
    /// While the backlog drained.
    new_events: Travelled,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Rate>,
    by_time: Vec<Look>,
}

/// The rate that was set and the one that was seen, in deliveries a second.
#[derive(Debug, Serialize)]
struct Rate {
    set_per_s: f64,
    mean_per_s: f64,
    /// Of looks half a second apart, but for the first and the last.
    least_per_s: f64,
    most_per_s: f64,
}

/// How it stood at one time of the drain.
#[derive(Clone, Debug, Serialize)]
struct Look {
    seconds: f64,
    delivered: u64,
    rss_mb: f64,
}

/// Measures with a backlog of so many events.
pub(crate) async fn measure(arguments: &Arguments, events: u64) -> Result<Backlog> {
    let (steady_sink, down) = (Sink::start().await?, Down::reserve()?);
    let rate = arguments.per_second.map(|rate| format!("\nper_second = {rate}")).unwrap_or_default();
    let settings = Settings::default()
        .destination("steady", steady_sink.port, IN_FLIGHT)
        .source("steady", &["steady"])
        .destination("late", down.port, &format!("{IN_FLIGHT}{rate}"))
        .source("old", &["late"])
        .source("new", &["late"]);
    let relay = Relay::start(&binary(arguments), &settings, SECRET).await?;
    let load = |source: &str| {
        let requests = Requests::signed(&format!("/in/{source}"), arguments.body, SECRET)?;
        Load::new(relay.port, requests.into(), arguments.connections)
    };
    let (steady_per_s, steady_accepted_per_s) = steady(arguments, &load("steady")?, &steady_sink).await?;

    let rss_mb_before_fill = relay.usage()?.rss_mb;
    let filling = load("old")?.closed(Until::Count(events)).await?;
    ensure!(filling.accepted == events, "not all of the backlog was accepted: {:?}", filling.errors);
    let before = relay.usage()?;

    let up = Instant::now();
    let sink = down.open()?;
    while sink.answered() == 0 {
        ensure!(up.elapsed() < FOUND_MAX, "the relay did not find its application within {FOUND_MAX:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let found_after_seconds = rounded(up.elapsed().as_secs_f64(), 2);
    let drain = drain(arguments, &relay, &sink, events).await?;
    let used = relay.usage()?.since(&before);
    let (old, new, seconds) = (events - drain.left, drain.new_events.delivered, drain.seconds.max(f64::EPSILON));
    let found = Backlog {
        events,
        steady_per_s: rounded(steady_per_s, 0),
        steady_accepted_per_s: rounded(steady_accepted_per_s, 0),
        fill_seconds: rounded(filling.seconds, 1),
        fill_accepted_per_s: rounded(rate_per_s(&[filling]), 0),
        rss_mb_before_fill: rounded(rss_mb_before_fill, 1),
        rss_mb_after_fill: rounded(before.rss_mb, 1),
        found_after_seconds,
        drain_seconds: rounded(drain.seconds, 1),
        left: drain.left,
        drained_per_s: rounded(old as f64 / seconds, 0),
        new_per_s: rounded(new as f64 / seconds, 0),
        ratio: arguments.per_second.is_none().then(|| rounded((old + new) as f64 / seconds / steady_per_s, 3)),
        cpu_seconds_per_1000_deliveries: rounded(used.cpu_seconds * 1000.0 / (old + new).max(1) as f64, 4),
        rss_mb_peak_in_drain: drain.looks.iter().map(|look| look.rss_mb).fold(0.0, f64::max),
        new_events: drain.new_events,
        rate: arguments.per_second.map(|rate| Rate::of(rate, &drain.looks)),
        by_time: thinned(drain.looks),
    };
    relay.stop().await?;
    Ok(found)
}

/// Accepted and delivered a second, and accepted a second, where nothing waits.
async fn steady(arguments: &Arguments, load: &Load, sink: &Sink) -> Result<(f64, f64)> {
    let warm_up = load.closed(Until::Elapsed(crate::WARM_UP)).await?;
    drained(sink, warm_up.accepted).await;
    let slice = load.closed(Until::Elapsed(Duration::from_secs(arguments.seconds))).await?;
    let waited = drained(sink, warm_up.accepted + slice.accepted).await;
    ensure!(waited.left == 0, "the application that works does not get its events");
    Ok((slice.accepted as f64 / (slice.seconds + waited.seconds), rate_per_s(&[slice])))
}

/// What was seen from the first delivery to the last one of the backlog.
struct Drain {
    seconds: f64,
    left: u64,
    looks: Vec<Look>,
    new_events: Travelled,
}

async fn drain(arguments: &Arguments, relay: &Relay, sink: &Sink, events: u64) -> Result<Drain> {
    let (start, most) = (Instant::now(), Duration::from_secs(arguments.drain_seconds));
    let old = || sink.answered().saturating_sub(sink.journeys.count_arrived());
    let load = load_at(arguments, relay, "new")?.telling(&sink.journeys);
    let over = async {
        let mut looks = Vec::new();
        loop {
            let Usage { rss_mb, .. } = relay.usage()?;
            let seconds = rounded(start.elapsed().as_secs_f64(), 2);
            looks.push(Look { seconds, delivered: sink.answered(), rss_mb: rounded(rss_mb, 1) });
            if old() >= events || start.elapsed() >= most {
                return anyhow::Ok((start.elapsed().as_secs_f64(), events.saturating_sub(old()), looks));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let new = async {
        while old() < events && start.elapsed() < most {
            load.open(arguments.rate, NEW_TIME).await?;
        }
        anyhow::Ok(())
    };
    let ((seconds, left, looks), ()) = tokio::try_join!(over, new)?;
    let after = Instant::now();
    while !sink.journeys.are_over() && after.elapsed() < AFTER_MAX {
        tokio::time::sleep(LOOK).await;
    }
    Ok(Drain { seconds, left, looks, new_events: sink.journeys.take() })
}

impl Rate {
    fn of(set_per_s: f64, looks: &[Look]) -> Self {
        let rates: Vec<_> = looks.windows(2).map(|pair| per_s(&pair[0], &pair[1])).collect();
        let inner = &rates[1.min(rates.len())..rates.len().saturating_sub(1).max(1.min(rates.len()))];
        Self {
            set_per_s,
            mean_per_s: looks.first().zip(looks.last()).map_or(0.0, |(first, last)| per_s(first, last)),
            least_per_s: inner.iter().copied().fold(f64::INFINITY, f64::min),
            most_per_s: inner.iter().copied().fold(0.0, f64::max),
        }
    }
}

fn per_s(first: &Look, last: &Look) -> f64 {
    rounded((last.delivered - first.delivered) as f64 / (last.seconds - first.seconds).max(f64::EPSILON), 1)
}

/// Some of the looks, evenly spread.
fn thinned(looks: Vec<Look>) -> Vec<Look> {
    let step = looks.len().div_ceil(SHOWN).max(1);
    looks.into_iter().step_by(step).collect()
}
