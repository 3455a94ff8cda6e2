//! Whether dead applications cost a healthy one anything: many destinations of which all but one hang or refuse, each with deliveries
//! that are due, beside a relay that has the healthy one alone.
//!
//! Four phases: the healthy one alone; the relay with all of them while nothing happens; the same while every breaker opens; and
//! once all have opened. The first is repeated at the end, so that a machine that changed meanwhile shows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::journeys::Travelled;
use crate::load::{Load, Until};
use crate::process::Relay;
use crate::report::rounded;
use crate::settings::{NOBODY_PORT, Settings};
use crate::sink::{Hanging, Sink};
use crate::wire::Requests;
use crate::{Arguments, SECRET, binary, load_at};

/// Deliveries that are due at each dead destination.
const DUE: u64 = 4;
/// One event reaches so many destinations. An event is one record, which is written again for each attempt of each of its
/// deliveries, so very many would measure something else.
const FAN_OUT: usize = 10;
/// Attempts that hang do so for this long: short, so that a run sees many of them, which is worse for the relay than few.
const HANGING: &str = "timeout = \"2s\"";
/// Every breaker is open after some rounds of attempts that each hang for two seconds.
const OPENED_MAX: Duration = Duration::from_secs(120);
/// Attempts that began late have ended.
const QUIET: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Isolation {
    destinations: usize,
    hanging: usize,
    refusing: usize,
    rate_per_s: u64,
    healthy_alone: Phase,
    /// Without any traffic.
    idle_alone: Idle,
    idle_with_all: Idle,
    /// From the first of the dead ones' events on.
    while_breakers_open: Phase,
    breakers_opened: u64,
    seconds_until_all_opened: f64,
    with_dead: Phase,
    /// Without traffic, with the dead ones' deliveries due.
    idle_with_dead: Idle,
    healthy_alone_again: Phase,
}

/// Traffic for the healthy destination.
#[derive(Debug, Serialize)]
struct Phase {
    #[serde(flatten)]
    travelled: Travelled,
    cpu_seconds_per_second: f64,
    rss_mb: f64,
}

/// A relay with nothing to do for its senders.
#[derive(Debug, Serialize)]
struct Idle {
    cpu_seconds_per_second: f64,
    rss_mb: f64,
}

/// A relay, and the traffic of its healthy destination.
struct Subject<'a> {
    arguments: &'a Arguments,
    relay: Relay,
    sink: Sink,
    load: Load,
}

/// Measures with so many destinations, one of which is healthy.
pub(crate) async fn measure(arguments: &Arguments, destinations: usize) -> Result<Isolation> {
    ensure!(destinations >= 3, "at least three destinations are needed: one that is healthy, hangs, and refuses");
    let alone = Subject::start(arguments, |settings| settings).await?;
    let (healthy_alone, idle_alone) = (alone.traffic().await?, alone.idle().await?);

    let hanging = Hanging::start()?;
    let dead: Vec<_> = (1..destinations).map(|n| format!("dead{n}")).collect();
    let groups = dead.chunks(FAN_OUT).enumerate();
    let all = Subject::start(arguments, |mut settings| {
        for (n, name) in dead.iter().enumerate() {
            settings = match n % 2 {
                0 => settings.destination(name, hanging.port, HANGING),
                _ => settings.destination(name, NOBODY_PORT, ""),
            };
        }
        groups.clone().fold(settings, |settings, (n, group)| settings.source(&format!("dead{n}"), group))
    });
    let all = all.await?;
    let idle_with_all = all.idle().await?;
    let start = Instant::now();
    for (n, _) in groups.clone() {
        let requests = Requests::signed(&format!("/in/dead{n}"), arguments.body, SECRET)?;
        Load::new(all.relay.port, requests.into(), 1)?.closed(Until::Count(DUE)).await?;
    }
    let while_breakers_open = all.traffic().await?;
    while all.opened().await? < dead.len() as u64 && start.elapsed() < OPENED_MAX {
        tokio::time::sleep(QUIET).await;
    }
    let seconds_until_all_opened = rounded(start.elapsed().as_secs_f64(), 1);
    let (with_dead, idle_with_dead) = (all.traffic().await?, all.idle().await?);
    let breakers_opened = all.opened().await?;
    all.relay.stop().await?;

    let healthy_alone_again = alone.traffic().await?;
    alone.relay.stop().await?;
    Ok(Isolation {
        destinations,
        hanging: dead.len().div_ceil(2),
        refusing: dead.len() / 2,
        rate_per_s: arguments.rate,
        healthy_alone,
        idle_alone,
        idle_with_all,
        while_breakers_open,
        breakers_opened,
        seconds_until_all_opened,
        with_dead,
        idle_with_dead,
        healthy_alone_again,
    })
}

impl<'a> Subject<'a> {
    async fn start(arguments: &'a Arguments, more: impl FnOnce(Settings) -> Settings) -> Result<Self> {
        let sink = Sink::start().await?;
        let settings = more(Settings::default().destination("sink", sink.port, "").source("healthy", &["sink"]));
        let relay = Relay::start(&binary(arguments), &settings, SECRET).await?;
        let load = load_at(arguments, &relay, "healthy")?.telling(&sink.journeys);
        // Connections, allocators and caches are warm afterwards.
        load.open(arguments.rate, Duration::from_secs(1)).await?;
        tokio::time::sleep(QUIET).await;
        sink.journeys.take();
        Ok(Self { arguments, relay, sink, load })
    }

    async fn traffic(&self) -> Result<Phase> {
        let (before, start) = (self.relay.usage()?, Instant::now());
        self.load.open(self.arguments.rate, Duration::from_secs(self.arguments.open_seconds)).await?;
        let (used, seconds) = (self.relay.usage()?.since(&before), start.elapsed().as_secs_f64());
        tokio::time::sleep(QUIET).await;
        Ok(Phase {
            travelled: self.sink.journeys.take(),
            cpu_seconds_per_second: rounded(used.cpu_seconds / seconds, 4),
            rss_mb: rounded(used.rss_mb, 1),
        })
    }

    async fn idle(&self) -> Result<Idle> {
        let (before, start) = (self.relay.usage()?, Instant::now());
        tokio::time::sleep(Duration::from_secs(self.arguments.open_seconds)).await;
        let (used, seconds) = (self.relay.usage()?.since(&before), start.elapsed().as_secs_f64());
        Ok(Idle { cpu_seconds_per_second: rounded(used.cpu_seconds / seconds, 4), rss_mb: rounded(used.rss_mb, 1) })
    }

    /// Destinations whose breaker has opened.
    async fn opened(&self) -> Result<u64> {
        let (status, text) = self.relay.get("/metrics").await?;
        ensure!(status == 200, "the metrics are not there: {status}");
        let opened = text.lines().filter(|line| line.starts_with("hookhold_destination_breaker_opened_total{"));
        Ok(opened.filter(|line| !line.ends_with(" 0")).count() as u64)
    }
}
