//! An end-to-end measurement: a real relay process, TLS, signatures, its store on this disk, and delivery to a sink.
//!
//! `cargo bench --bench relay -- [--seconds 8] [--connections 64] [--body 1024] [--rate 500] [--bin PATH]
//! [--fill N | --scale N | --isolation N | --backlog N [--per-second R] | --deliver N | --live N | --overload N [--sync-ms N] |
//! --idle N --slow N]`
//!
//! It alternates short closed-loop slices between the relay and a bare server (hyper, TLS and HMAC, no storage), so that a ratio
//! comes out although the machine is noisy; then sends at a constant rate for latency. Generator, sink and servers share the
//! machine's cores, so absolute figures compare only within one machine. Requests are signed before the clock starts.
//!
//! Prints one JSON object on stdout and ends by itself; its children end with it. Never part of the product.

mod backlog;
mod bare;
mod crowd;
mod deliver;
mod isolation;
mod journeys;
mod live;
mod load;
mod overload;
mod process;
mod report;
mod scale;
mod settings;
mod sink;
#[path = "../shared/trust.rs"]
mod trust;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

use load::{Load, Slice, Until};
use process::{Bare, Relay};
use report::{Drained, Report, Side};
use settings::Settings;
use sink::Sink;
use wire::Requests;

/// The secret that both servers check signatures with.
const SECRET: &str = "a-secret-for-the-bench-only";
/// Long enough for many group commits, short enough that both servers see the same noise of the machine.
const SLICE: Duration = Duration::from_secs(2);
/// Connections, allocators and caches are warm afterwards.
const WARM_UP: Duration = Duration::from_millis(500);
/// A backlog that takes longer than this to drain is reported as it is.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Measures a relay end to end.
#[derive(Debug, Parser)]
#[command(name = "relay")]
struct Arguments {
    /// Closed-loop seconds for each server
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Bytes of one body
    #[arg(long, default_value_t = 1024)]
    body: usize,
    /// Requests a second of the open loop
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Seconds of the open loop
    #[arg(long, default_value_t = 5)]
    open_seconds: u64,
    /// The relay's binary (else HOOKHOLD_BIN, else the one that cargo built)
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Store so many events and report memory, instead of measuring rates
    #[arg(long)]
    fill: Option<u64>,
    /// Compare a store of so many events with a small one, instead
    #[arg(long, conflicts_with = "fill")]
    scale: Option<u64>,
    /// Of these, so many stay due
    #[arg(long, requires = "scale", default_value_t = 200_000)]
    due: u64,
    /// Measure a healthy destination beside so many dead ones, instead
    #[arg(long, num_args = 0..=1, default_missing_value = "1000", conflicts_with_all = ["fill", "scale"])]
    isolation: Option<usize>,
    /// Measure how a backlog of so many events drains while new ones come, instead
    #[arg(long, num_args = 0..=1, default_missing_value = "1000000", conflicts_with_all = ["fill", "scale", "isolation"])]
    backlog: Option<u64>,
    /// The rate that the backlog's destination is given
    #[arg(long, requires = "backlog")]
    per_second: Option<f64>,
    /// The backlog may drain for so long; what is left is reported
    #[arg(long, requires = "backlog", default_value_t = 900)]
    drain_seconds: u64,
    /// Measure delivery to a quick application, so many deliveries by themselves among it, instead
    #[arg(long, num_args = 0..=1, default_missing_value = "50000",
          conflicts_with_all = ["fill", "scale", "isolation", "backlog"])]
    deliver: Option<u64>,
    /// Measure with so many who watch, one of whom reads nothing, and without them, instead
    #[arg(long, num_args = 0..=1, default_missing_value = "8",
          conflicts_with_all = ["fill", "scale", "isolation", "backlog", "deliver"])]
    live: Option<usize>,
    /// Measure with so many times what the relay can take, and afterwards, instead
    #[arg(long, num_args = 0..=1, default_missing_value = "3",
          conflicts_with_all = ["fill", "scale", "isolation", "backlog", "deliver", "live"])]
    overload: Option<f64>,
    /// Syncs of its disk take so many milliseconds more (needs strace)
    #[arg(long, requires = "overload", default_value_t = 0)]
    sync_ms: u64,
    /// Measure honest senders beside so many connections on which nothing happens, instead
    #[arg(long, num_args = 0..=1, default_missing_value = "10000",
          conflicts_with_all = ["fill", "scale", "isolation", "backlog", "deliver", "live", "overload"])]
    idle: Option<usize>,
    /// And so many on which next to nothing happens
    #[arg(long, requires = "idle", default_value_t = 1000)]
    slow: usize,
    /// Connections that the relay may have; more than there are, where nothing is said
    #[arg(long, requires = "idle")]
    places: Option<usize>,
    /// Measure the bare server only; no relay is started
    #[arg(long)]
    bare_only: bool,
    /// Be the bare server
    #[arg(long, hide = true)]
    bare_server: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Other crates of the tree may bring a second TLS provider; the choice must be made before the first use.
    let _ = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    if arguments.bare_server {
        return runtime.block_on(bare::serve(SECRET));
    }
    let report = runtime.block_on(measure(&arguments))?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let requests = Arc::new(Requests::signed("/in/github", arguments.body, SECRET)?);
    let mut report = Report::new(arguments.connections, arguments.body);
    if arguments.bare_only {
        let bare = Bare::start().await?;
        let load = Load::new(bare.port, requests, arguments.connections)?;
        let slice = load.closed(Until::Elapsed(Duration::from_secs(arguments.seconds))).await?;
        report.bare = Some(Side::of(&[slice], bare.usage()?));
        return Ok(report);
    }
    if let Some(destinations) = arguments.isolation {
        report.isolation = Some(isolation::measure(arguments, destinations).await?);
        return Ok(report);
    }
    if let Some(events) = arguments.backlog {
        report.backlog = Some(backlog::measure(arguments, events).await?);
        return Ok(report);
    }
    if let Some(deliveries) = arguments.deliver {
        report.deliver = Some(deliver::measure(arguments, deliveries).await?);
        return Ok(report);
    }
    if let Some(readers) = arguments.live {
        report.live = Some(live::measure(arguments, readers).await?);
        return Ok(report);
    }
    if let Some(times) = arguments.overload {
        report.overload = Some(overload::measure(arguments, times).await?);
        return Ok(report);
    }
    if let Some(idle) = arguments.idle {
        report.crowd = Some(crowd::measure(arguments, idle).await?);
        return Ok(report);
    }
    let sink = Sink::start().await?;
    let mut relay = Relay::start(&binary(arguments), &Settings::up_and_down(sink.port), SECRET).await?;
    if let Some(events) = arguments.scale {
        let found = scale::measure(&mut relay, arguments.connections, arguments.body, events, arguments.due).await?;
        report.scale = Some(found);
        relay.stop().await?;
        return Ok(report);
    }
    let load = Load::new(relay.port, requests.clone(), arguments.connections)?;
    match arguments.fill {
        Some(events) => fill(events, &relay, &load, &sink, &mut report).await?,
        None => compare(arguments, &relay, &load, &sink, requests, &mut report).await?,
    }
    report.status = relay.status().await?;
    report.finish(sink.answered(), relay.usage()?);
    relay.stop().await?;
    Ok(report)
}

fn binary(arguments: &Arguments) -> PathBuf {
    let given = arguments.bin.clone().or_else(|| std::env::var_os("HOOKHOLD_BIN").map(PathBuf::from));
    given.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hookhold")))
}

async fn fill(events: u64, relay: &Relay, load: &Load, sink: &Sink, report: &mut Report) -> Result<()> {
    let before = relay.usage()?;
    let slice = load.closed(Until::Count(events)).await?;
    report.delivered_meanwhile = sink.answered();
    let drained = drained(sink, slice.accepted).await;
    report.left = drained.left;
    report.drain_seconds = drained.seconds;
    report.relay = Some(Side::of(&[slice], relay.usage()?.since(&before)));
    Ok(())
}

async fn compare(
    arguments: &Arguments,
    relay: &Relay,
    load: &Load,
    sink: &Sink,
    requests: Arc<Requests>,
    report: &mut Report,
) -> Result<()> {
    let bare = Bare::start().await?;
    let bare_load = Load::new(bare.port, requests, arguments.connections)?;
    let mut accepted = load.closed(Until::Elapsed(WARM_UP)).await?.accepted;
    bare_load.closed(Until::Elapsed(WARM_UP)).await?;
    drained(sink, accepted).await;

    let (relay_before, bare_before) = (relay.usage()?, bare.usage()?);
    let (mut on_relay, mut on_bare) = (Vec::new(), Vec::new());
    for _ in 0..arguments.seconds.div_ceil(SLICE.as_secs()).max(1) {
        let delivered_before = sink.answered();
        let slice = load.closed(Until::Elapsed(SLICE)).await?;
        report.delivered_meanwhile += sink.answered() - delivered_before;
        accepted += slice.accepted;
        // The backlog must not take the bare server's time.
        report.drain_seconds += drained(sink, accepted).await.seconds;
        on_bare.push(bare_load.closed(Until::Elapsed(SLICE)).await?);
        on_relay.push(slice);
    }
    report.ratios(&on_relay, &on_bare);
    report.relay = Some(Side::of(&on_relay, relay.usage()?.since(&relay_before)));
    report.bare = Some(Side::of(&on_bare, bare.usage()?.since(&bare_before)));

    let watched = load_at(arguments, relay, "github")?.telling(&sink.journeys);
    let open = watched.open(arguments.rate, Duration::from_secs(arguments.open_seconds)).await?;
    report.left = drained(sink, accepted + open.accepted).await.left;
    report.open_loop = Some(open.into());
    report.travelled = Some(sink.journeys.take());
    // The same on a server that stores nothing: what is left of the latency is the machine's.
    let open = bare_load.open(arguments.rate, Duration::from_secs(arguments.open_seconds)).await?;
    report.open_loop_bare = Some(open.into());
    Ok(())
}

/// Requests for a source, whose way to the application is followed.
fn load_at(arguments: &Arguments, relay: &Relay, source: &str) -> Result<Load> {
    let requests = Requests::watched(&format!("/in/{source}"), arguments.body, SECRET)?;
    Load::new(relay.port, requests.into(), arguments.connections)
}

/// Waits until the sink has had as many requests as the relay has accepted events, bounded.
async fn drained(sink: &Sink, accepted: u64) -> Drained {
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let start = Instant::now();
    while sink.answered() < accepted && start.elapsed() < DRAIN_MAX {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Drained { seconds: start.elapsed().as_secs_f64(), left: accepted.saturating_sub(sink.answered()) }
}

/// The rate of all slices together.
fn rate_per_s(slices: &[Slice]) -> f64 {
    let seconds: f64 = slices.iter().map(|s| s.seconds).sum();
    let accepted: u64 = slices.iter().map(|s| s.accepted).sum();
    accepted as f64 / seconds.max(f64::EPSILON)
}
