//! Does the store give space back? Events come, are delivered and are purged, many times what is kept, and the disk is measured.
//!
//! `cargo bench --bench churn -- [--events 300000] [--kept-bytes 104857600] [--body 1024] [--parked 0] [--report 20000]`
//!
//! Prints a JSON object a line: what is kept (`live_bytes`: bodies, heads and an allowance for each record), what the database and
//! the whole folder take on disk, and their ratio. `--parked` of a thousand events are parked and never purged. No network, no
//! signatures; bodies are random. Never part of the product.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Parser;
use hookhold::record::{Answer, Attempt, Headers, Name, Outcome, ParkReason, Received, Verdict};
use hookhold::signature::{Options, Selector, Verifier};
use hookhold::store::{Claimed, Dedupe, Fresh, Intake, Purge, Settlement, Sled, Store};
use hookhold::time::{Clock, Timestamp};
use http::{HeaderName, HeaderValue};

/// Events that are on their way in at once.
const SENDERS: u64 = 64;
/// Room of the hand-over, as a busy lane has it.
const IN_FLIGHT: usize = 64;
/// Between two looks whether something is to be purged.
const PURGE_PAUSE: Duration = Duration::from_millis(50);
/// Ids of events are known for so long: short, since the time of a run stands for days.
const DEDUPE: Duration = Duration::from_secs(20);

/// Measures what a store takes on disk while its content changes.
#[derive(Debug, Parser)]
#[command(name = "churn")]
struct Arguments {
    /// Events that go through
    #[arg(long, default_value_t = 300_000)]
    events: u64,
    /// Bytes of events that are done and kept
    #[arg(long, default_value_t = 100 << 20)]
    kept_bytes: u64,
    /// Bytes of one body
    #[arg(long, default_value_t = 1024)]
    body: usize,
    /// Of a thousand events, so many are parked
    #[arg(long, default_value_t = 0)]
    parked: u64,
    /// A line after so many events
    #[arg(long, default_value_t = 20_000)]
    report: u64,
    /// Events a second at most; 0: as quick as can be
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Where the store is made; a temporary folder, where nothing is said
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().join("store"));
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(run(Arc::new(arguments), &folder))
}

async fn run(arguments: Arc<Arguments>, folder: &Path) -> Result<()> {
    let opened = folder.to_owned();
    let store = tokio::task::spawn_blocking(move || Sled::open(&opened, Arc::new(|_| {}))).await??;
    let store: Arc<dyn Store> = Arc::new(store);
    let (done, purged, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let lane = tokio::spawn(deliver(store.clone(), store.handoff(&destination()?, IN_FLIGHT), arguments.parked, is_over.clone()));
    let purging = tokio::spawn(purge(store.clone(), arguments.kept_bytes, purged.clone(), is_over.clone()));
    let begin = Instant::now();
    let senders: Vec<_> =
        (0..SENDERS).map(|n| tokio::spawn(send(store.clone(), arguments.clone(), n, done.clone(), begin))).collect();
    let mut next = arguments.report;
    while next <= arguments.events {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Err(why) = store.health() {
            bail!("the store failed: {why}");
        }
        if done.load(Ordering::Relaxed) >= next {
            report(&*store, folder, next, purged.load(Ordering::Relaxed), begin)?;
            next += arguments.report;
        }
    }
    for sender in senders {
        sender.await??;
    }
    // Until all is settled and purged, and moved to where it stays.
    while store.counts().pending > 0 || store.counts().done_bytes > arguments.kept_bytes {
        tokio::time::sleep(PURGE_PAUSE).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    report(&*store, folder, arguments.events, purged.load(Ordering::Relaxed), begin)?;
    is_over.store(true, Ordering::Relaxed);
    lane.await??;
    purging.await??;
    store.close().await?;
    Ok(())
}

fn destination() -> Result<Name> {
    Name::try_new("app").map_err(|bad| anyhow::anyhow!("{bad}"))
}

async fn send(store: Arc<dyn Store>, arguments: Arc<Arguments>, first: u64, done: Arc<AtomicU64>, begin: Instant) -> Result<()> {
    let source = Name::try_new("source").map_err(|bad| anyhow::anyhow!("{bad}"))?;
    let to: Arc<[Name]> = vec![destination()?].into();
    for n in (first..arguments.events).step_by(usize::try_from(SENDERS)?) {
        if arguments.rate > 0 {
            let at = Duration::from_secs_f64(n as f64 / arguments.rate as f64);
            tokio::time::sleep(at.saturating_sub(begin.elapsed())).await;
        }
        store.append(intake(&source, &to, n, arguments.body)?).await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn intake(source: &Name, to: &Arc<[Name]>, n: u64, size: usize) -> Result<Intake> {
    let id = format!("evt_{n:x}_{:x}", rand::random::<u64>());
    let mut headers = Headers::default();
    headers.push(HeaderName::from_static("x-id"), HeaderValue::from_str(&id)?);
    headers.push(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    headers
        .push(HeaderName::from_static("user-agent"), HeaderValue::from_static("a provider's hooks/1.0 (+https://example.com)"));
    let mut body = vec![0; size];
    body.chunks_mut(8).for_each(|part| part.copy_from_slice(&rand::random::<u64>().to_be_bytes()[..part.len()]));
    let at = Clock::system().now();
    let received = Received {
        method: "POST".to_owned(),
        target: "/in/source".to_owned(),
        authority: "hooks.example.com".to_owned(),
        headers,
        body: Bytes::from(body),
        peer: [203, 0, 113, 7].into(),
        at,
    };
    let options = Options { event_id: Some(Selector::Header("x-id".to_owned())), ..Options::default() };
    let verified = Verifier::trusting(options).verify(received).map_err(|_| anyhow::anyhow!("nobody is refused here"))?;
    let dedupe = Dedupe { key: id, until: at.after(DEDUPE) };
    Ok(Intake::new(verified, source.clone(), "none".into(), to.clone(), Some(dedupe)))
}

/// A lane whose application takes everything at once.
async fn deliver(store: Arc<dyn Store>, mut fresh: Fresh, parked: u64, is_over: Arc<AtomicBool>) -> Result<()> {
    let (destination, mut count) = (destination()?, 0);
    while !is_over.load(Ordering::Relaxed) {
        let arrived = tokio::time::timeout(PURGE_PAUSE, fresh.arrival(true)).await.ok().flatten();
        let mut claimed: Vec<Claimed> = arrived.into_iter().collect();
        while let Some(more) = fresh.ready() {
            claimed.push(more);
        }
        if claimed.is_empty() || fresh.take_behind() {
            claimed.extend(store.claim_due(&destination, Clock::system().now(), IN_FLIGHT).await?.claimed);
        }
        for claimed in claimed {
            count += 1;
            let is_parked = count % 1000 < parked;
            store.settle(settlement(&claimed, is_parked)).await?;
        }
    }
    Ok(())
}

fn settlement(claimed: &Claimed, is_parked: bool) -> Settlement {
    let now = Clock::system().now();
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    let status = if is_parked { 410 } else { 200 };
    let answer = Answer { status, headers, body: Bytes::from_static(b"ok"), truncated: false };
    let number = claimed.delivery.attempts_made + 1;
    let attempt = Attempt { number, started_at: now, duration_ms: 1, outcome: Outcome::Answered(answer) };
    let verdict = if is_parked { Verdict::Park(ParkReason::Refused) } else { Verdict::Delivered };
    Settlement { claim: claimed.claim, attempt, verdict, now, word: None }
}

async fn purge(store: Arc<dyn Store>, kept: u64, purged: Arc<AtomicU64>, is_over: Arc<AtomicBool>) -> Result<()> {
    let rule =
        Purge { done_before: Timestamp::from_ms(0), parked_before: Timestamp::from_ms(0), done_bytes: Some(kept), after: None };
    let mut after = None;
    while !is_over.load(Ordering::Relaxed) {
        let step = store.purge(Purge { after, ..rule }).await?;
        purged.fetch_add(step.events, Ordering::Relaxed);
        after = step.next;
        if after.is_none() {
            tokio::time::sleep(PURGE_PAUSE).await;
        }
    }
    Ok(())
}

fn report(store: &dyn Store, folder: &Path, events: u64, purged: u64, begin: Instant) -> Result<()> {
    let counts = store.counts();
    let database = std::fs::metadata(folder.join("db"))?;
    let journal = size(&folder.join("journal"))?;
    let database_bytes = database.blocks() * 512;
    let line = format!(
        "{{\"events\":{events},\"seconds\":{:.1},\"kept_events\":{},\"purged\":{purged},\"pending\":{},\"live_bytes\":{},\
         \"db_file_bytes\":{},\"db_disk_bytes\":{database_bytes},\"journal_bytes\":{journal},\"disk_bytes\":{},\"db_ratio\":{:.2}}}\n",
        begin.elapsed().as_secs_f64(),
        counts.events,
        counts.pending,
        counts.bytes,
        database.len(),
        database_bytes + journal,
        database_bytes as f64 / counts.bytes.max(1) as f64,
    );
    std::io::stdout().write_all(line.as_bytes())?;
    Ok(())
}

/// Bytes on disk of a folder's files.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        // A file may go in between.
        bytes += entry?.metadata().map_or(0, |file| file.blocks() * 512);
    }
    Ok(bytes)
}
