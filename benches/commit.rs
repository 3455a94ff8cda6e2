//! How near is the commit path to what the disk allows? Events are appended by many at once, and beside it a file is appended to and
//! synced with the same bytes, as many records a sync as there are senders: nobody who syncs before answering can be quicker.
//!
//! `cargo bench --bench commit -- [--seconds 2] [--folder DIR]`
//!
//! Prints a JSON object a line, for each size of body and number of senders. The limit does nothing else: no checksums, no dedupe,
//! no copy in a database. No network, no signatures, no deliveries; bodies are random. Never part of the product.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use hookhold::record::{Headers, Name, Received};
use hookhold::signature::{Options, Selector, Verifier};
use hookhold::store::{Dedupe, Intake, Sled, Store};
use hookhold::time::Clock;
use http::{HeaderName, HeaderValue};

const BODIES: [usize; 4] = [1 << 10, 10 << 10, 100 << 10, 1 << 20];
const SENDERS: [usize; 4] = [1, 16, 64, 256];
/// What is written between two syncs at most, as the relay bounds it.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// The limit's file is written with zeros first, and used again and again: its syncs have nothing but data to write.
const FILE_BYTES: usize = 64 << 20;
/// A provider's event id is known for so long.
const DEDUPE: Duration = Duration::from_secs(3600);

/// Measures the commit path against append and fdatasync.
#[derive(Debug, Parser)]
#[command(name = "commit")]
struct Arguments {
    /// Seconds for each figure
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Where stores are made; a temporary folder, where nothing is said
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was appended in a time.
#[derive(Default)]
struct Found {
    seconds: f64,
    /// How long each append took.
    times: Vec<Duration>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let time = Duration::from_secs(arguments.seconds);
    for body in BODIES {
        for senders in SENDERS {
            let folder = match &arguments.folder {
                Some(folder) => tempfile::tempdir_in(folder)?,
                None => tempfile::tempdir()?,
            };
            // One half before and one after, so that a drive that changes its mood changes both.
            let mut limit = append_and_sync(&folder.path().join("limit"), body, senders, time / 2)?;
            let ours = runtime.block_on(commit(&folder.path().join("store"), body, senders, time))?;
            let more = append_and_sync(&folder.path().join("limit"), body, senders, time / 2)?;
            limit.seconds += more.seconds;
            limit.times.extend(more.times);
            report(body, senders, limit, ours)?;
        }
    }
    Ok(())
}

fn append_and_sync(path: &Path, body: usize, senders: usize, time: Duration) -> Result<Found> {
    let file = File::create(path)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    let together = senders.min((GROUP_BYTES_MAX / body).max(1));
    let bytes = random(together * body);
    let (mut at, mut found, begin) = (0, Found::default(), Instant::now());
    while begin.elapsed() < time {
        let start = Instant::now();
        let mut waited = 0;
        // A round answers each sender once.
        while waited < senders {
            at = if at + bytes.len() > FILE_BYTES { 0 } else { at };
            file.write_all_at(&bytes, at as u64)?;
            file.sync_data()?;
            at += bytes.len();
            let answered = together.min(senders - waited);
            found.times.extend(std::iter::repeat_n(start.elapsed(), answered));
            waited += answered;
        }
    }
    found.seconds = begin.elapsed().as_secs_f64();
    Ok(found)
}

async fn commit(path: &Path, body: usize, senders: usize, time: Duration) -> Result<Found> {
    let path = path.to_owned();
    let store = tokio::task::spawn_blocking(move || Sled::open(&path, Arc::new(|_| {}))).await??;
    let (store, body, begin) = (Arc::new(store), Bytes::from(random(body)), Instant::now());
    let name = |name: &str| Name::try_new(name).map_err(|bad| anyhow::anyhow!("{bad}"));
    let (source, to): (Name, Arc<[Name]>) = (name("source")?, vec![name("app")?].into());
    let tasks: Vec<_> = (0..senders)
        .map(|_| {
            let (store, body, source, to) = (store.clone(), body.clone(), source.clone(), to.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begin.elapsed() < time {
                    let intake = intake(&source, &to, &body)?;
                    let start = Instant::now();
                    store.append(intake).await?;
                    times.push(start.elapsed());
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut found = Found::default();
    for task in tasks {
        found.times.extend(task.await??);
    }
    found.seconds = begin.elapsed().as_secs_f64();
    store.close().await?;
    Ok(found)
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&rand::random::<u64>().to_be_bytes()[..part.len()]));
    bytes
}

fn intake(source: &Name, to: &Arc<[Name]>, body: &Bytes) -> Result<Intake> {
    let id = format!("evt_{:x}", rand::random::<u128>());
    let mut headers = Headers::default();
    headers.push(HeaderName::from_static("x-id"), HeaderValue::from_str(&id)?);
    headers.push(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    let at = Clock::system().now();
    let received = Received {
        method: "POST".to_owned(),
        target: "/in/source".to_owned(),
        authority: "hooks.example.com".to_owned(),
        headers,
        // Its own memory, as a request's has.
        body: Bytes::copy_from_slice(body),
        peer: [203, 0, 113, 7].into(),
        at,
    };
    let options = Options { event_id: Some(Selector::Header("x-id".to_owned())), ..Options::default() };
    let verified = Verifier::trusting(options).verify(received).map_err(|_| anyhow::anyhow!("nobody is refused here"))?;
    let dedupe = Dedupe { key: id, until: at.after(DEDUPE) };
    Ok(Intake::new(verified, source.clone(), "none".into(), to.clone(), Some(dedupe)))
}

fn report(body: usize, senders: usize, limit: Found, ours: Found) -> Result<()> {
    let rate = |found: &Found| found.times.len() as f64 / found.seconds.max(f64::EPSILON);
    let (limit_rate, our_rate) = (rate(&limit), rate(&ours));
    let ms = |found: Found| {
        let mut times = found.times;
        times.sort_unstable();
        let at = |share: f64| times.get((share * times.len() as f64) as usize).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        (at(0.5), at(0.99))
    };
    let ((limit_p50, limit_p99), (p50, p99)) = (ms(limit), ms(ours));
    let line = format!(
        "{{\"body\":{body},\"senders\":{senders},\"limit_per_s\":{limit_rate:.0},\"accepted_per_s\":{our_rate:.0},\"share\":{:.2},\
         \"p50_ms\":{p50:.2},\"p99_ms\":{p99:.2},\"limit_p50_ms\":{limit_p50:.2},\"limit_p99_ms\":{limit_p99:.2}}}\n",
        our_rate / limit_rate.max(f64::EPSILON),
    );
    std::io::stdout().write_all(line.as_bytes())?;
    Ok(())
}
