//! Whether people who watch cost those who send anything: a constant rate with nobody, with some readers of which one has stopped to
//! read, and with nobody again, so that a machine that changed meanwhile shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::process::Relay;
use crate::report::{OpenLoop, rounded};
use crate::settings::Settings;
use crate::sink::Sink;
use crate::{Arguments, SECRET, binary, load_at};

/// What a reader takes at a time.
const READ_BYTES: usize = 64 * 1024;
/// What was accepted is delivered, and told.
const QUIET: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Live {
    rate_per_s: u64,
    /// One of them reads nothing.
    readers: usize,
    nobody: Phase,
    watched: Phase,
    /// Facts that the readers got, on average, and how many they were told to have missed.
    facts_each: f64,
    missed_messages: u64,
    nobody_again: Phase,
}

#[derive(Debug, Serialize)]
struct Phase {
    #[serde(flatten)]
    answers: OpenLoop,
    cpu_seconds_per_second: f64,
    rss_mb: f64,
    rss_peak_mb: f64,
}

/// What readers have seen.
#[derive(Debug, Default)]
struct Seen {
    facts: AtomicU64,
    missed: AtomicU64,
}

/// Measures with so many readers.
pub(crate) async fn measure(arguments: &Arguments, readers: usize) -> Result<Live> {
    ensure!(readers >= 2, "at least two readers are needed: one that reads, and one that does not");
    let sink = Sink::start().await?;
    let settings = Settings::default().destination("sink", sink.port, "").source("healthy", &["sink"]);
    let relay = Relay::start(&binary(arguments), &settings, SECRET).await?;
    let load = load_at(arguments, &relay, "healthy")?;
    // Connections, allocators and caches are warm afterwards.
    load.open(arguments.rate, Duration::from_secs(1)).await?;
    tokio::time::sleep(QUIET).await;
    let phase = async || {
        let (before, start) = (relay.usage()?, Instant::now());
        let slice = load.open(arguments.rate, Duration::from_secs(arguments.open_seconds)).await?;
        let (used, seconds) = (relay.usage()?.since(&before), start.elapsed().as_secs_f64());
        tokio::time::sleep(QUIET).await;
        anyhow::Ok(Phase {
            answers: slice.into(),
            cpu_seconds_per_second: rounded(used.cpu_seconds / seconds, 4),
            rss_mb: rounded(used.rss_mb, 1),
            rss_peak_mb: rounded(used.rss_peak_mb, 1),
        })
    };
    let nobody = phase().await?;
    let (seen, mut reading) = (Arc::<Seen>::default(), JoinSet::new());
    for _ in 1..readers {
        reading.spawn(read(watching(&relay).await?, seen.clone()));
    }
    let stopped = watching(&relay).await?;
    let watched = phase().await?;
    drop(stopped);
    reading.shutdown().await;
    let nobody_again = phase().await?;
    relay.stop().await?;
    Ok(Live {
        rate_per_s: arguments.rate,
        readers,
        nobody,
        watched,
        facts_each: rounded(seen.facts.load(Ordering::Relaxed) as f64 / (readers - 1) as f64, 1),
        missed_messages: seen.missed.load(Ordering::Relaxed),
        nobody_again,
    })
}

/// A stream that has begun.
async fn watching(relay: &Relay) -> Result<TcpStream> {
    let mut stream = relay.connected().await?;
    stream.write_all(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    ensure!(start.ends_with(b" 200"), "the stream was answered {:?}", String::from_utf8_lossy(&start));
    Ok(stream)
}

/// Reads until it is told to end.
async fn read(mut stream: TcpStream, seen: Arc<Seen>) -> Result<()> {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let length = stream.read(&mut bytes).await?;
        ensure!(length > 0, "the stream ended");
        // A word that is cut in two is not counted: few are.
        let count = |word: &[u8]| bytes[..length].windows(word.len()).filter(|part| *part == word).count() as u64;
        seen.facts.fetch_add(count(b"\nid: "), Ordering::Relaxed);
        seen.missed.fetch_add(count(b"event: missed"), Ordering::Relaxed);
    }
}
