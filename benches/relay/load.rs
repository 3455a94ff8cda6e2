//! The load generator, the same for both servers.
//!
//! A closed loop (each connection sends again once it is answered) tells the greatest rate. An open loop (a constant rate, whatever
//! the answers do) tells latency: it counts from the time at which a request should have left, so that waiting is not hidden.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ClientConfig;

use crate::journeys::Journeys;
use crate::wire::{Connection, Requests, tls_config};

/// Sends to one server.
#[derive(Debug)]
pub(crate) struct Load {
    port: u16,
    tls: Arc<ClientConfig>,
    requests: Arc<Requests>,
    connections: usize,
    journeys: Option<Arc<Journeys>>,
}

/// Handshakes at once: the connections are there before the clock starts, and their opening is not what is measured.
const OPENING_MAX: usize = 16;
/// A busy machine may be too late for one.
const OPENING_TRIES: usize = 5;

/// When a closed loop ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After so many requests.
    Count(u64),
}

/// What came of one run of a loop.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Answers with 2xx.
    pub(crate) accepted: u64,
    /// Everything else, by what it was.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Of accepted requests; measured in open loops only. Ascending.
    pub(crate) latencies: Vec<Duration>,
}

impl Slice {
    /// Answers that asked to come later.
    pub(crate) fn refused(&self) -> u64 {
        self.errors.get("status 503").copied().unwrap_or_default()
    }
}

/// A server that refuses gets no hot loop.
const REST_AFTER_ERROR: Duration = Duration::from_millis(10);
/// A server that has gone away must not keep the run for ever.
const ERRORS_MAX: u64 = 1_000;

impl Load {
    /// A generator for the server at this port of loopback.
    pub(crate) fn new(port: u16, requests: Arc<Requests>, connections: usize) -> Result<Self> {
        ensure!(connections > 0, "at least one connection is needed");
        Ok(Self { port, tls: tls_config()?, requests, connections, journeys: None })
    }

    /// The same, which tells what was accepted in open loops.
    pub(crate) fn telling(self, journeys: &Arc<Journeys>) -> Self {
        Self { journeys: Some(journeys.clone()), ..self }
    }

    /// Every connection sends as fast as it is answered. Handshakes are made before the clock starts.
    pub(crate) async fn closed(&self, until: Until) -> Result<Slice> {
        let budget = Arc::new(AtomicI64::new(match until {
            Until::Elapsed(_) => i64::MAX,
            Until::Count(count) => i64::try_from(count)?,
        }));
        let barrier = Arc::new(Barrier::new(self.connections));
        let mut tasks = JoinSet::new();
        for mut worker in self.workers().await? {
            let (budget, barrier) = (budget.clone(), barrier.clone());
            tasks.spawn(async move {
                barrier.wait().await;
                let start = Instant::now();
                let end = match until {
                    Until::Elapsed(time) => Some(start + time),
                    Until::Count(_) => None,
                };
                while end.is_none_or(|end| Instant::now() < end) && budget.fetch_sub(1, Ordering::Relaxed) > 0 {
                    worker.send(None).await?;
                }
                worker.slice.seconds = start.elapsed().as_secs_f64();
                anyhow::Ok(worker.slice)
            });
        }
        joined(tasks).await
    }

    /// Sends `rate_per_s` requests a second for `time`, over connections that are free.
    pub(crate) async fn open(&self, rate_per_s: u64, time: Duration) -> Result<Slice> {
        ensure!(rate_per_s > 0, "the rate must be at least 1 a second");
        let total = usize::try_from(rate_per_s * time.as_secs())?;
        let gap = Duration::from_secs(1) / u32::try_from(rate_per_s)?;
        let (due, taken) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let workers = self.workers().await?;
        let start = Instant::now() + Duration::from_millis(20);
        let mut tasks = JoinSet::new();
        for mut worker in workers {
            let (due, taken) = (due.clone(), taken.clone());
            tasks.spawn(async move {
                while let Ok(permit) = due.acquire().await {
                    permit.forget();
                    let n = taken.fetch_add(1, Ordering::Relaxed);
                    if n >= total {
                        due.add_permits(1);
                        break;
                    }
                    worker.send(Some(start + gap * u32::try_from(n)?)).await?;
                }
                worker.slice.seconds = start.elapsed().as_secs_f64();
                anyhow::Ok(worker.slice)
            });
        }
        let pacer = tokio::task::spawn_blocking(move || pace(&due, total, start, gap));
        let slice = joined(tasks).await;
        pacer.await?;
        slice
    }

    async fn workers(&self) -> Result<Vec<Worker>> {
        let (opening, mut opened) = (Arc::new(Semaphore::new(OPENING_MAX)), JoinSet::new());
        for _ in 0..self.connections {
            let (opening, port, tls) = (opening.clone(), self.port, self.tls.clone());
            opened.spawn(async move {
                let _turn = opening.acquire().await?;
                for _ in 1..OPENING_TRIES {
                    match Connection::open(port, &tls).await {
                        Err(_) => tokio::time::sleep(REST_AFTER_ERROR).await,
                        opened => return opened,
                    }
                }
                Connection::open(port, &tls).await
            });
        }
        let mut workers = Vec::with_capacity(self.connections);
        while let Some(connection) = opened.join_next().await {
            let (tls, requests) = (self.tls.clone(), self.requests.clone());
            let (journeys, slice) = (self.journeys.clone(), Slice::default());
            let connection = connection??;
            workers.push(Worker { port: self.port, tls, requests, connection, journeys, buffer: Vec::new(), failed: 0, slice });
        }
        Ok(workers)
    }
}

/// Releases one request at each scheduled time, then one permit that ends the workers. A thread's sleep is exact to tens of
/// microseconds; tokio's timer to a millisecond, which would show in the result.
fn pace(due: &Semaphore, total: usize, start: Instant, gap: Duration) {
    for n in 0..total {
        let at = start + gap * u32::try_from(n).unwrap_or(u32::MAX);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        due.add_permits(1);
    }
    due.add_permits(1);
}

struct Worker {
    port: u16,
    tls: Arc<ClientConfig>,
    requests: Arc<Requests>,
    connection: Connection,
    journeys: Option<Arc<Journeys>>,
    buffer: Vec<u8>,
    failed: u64,
    slice: Slice,
}

impl Worker {
    /// One request and its answer. `scheduled`: when it should have left; its latency is kept.
    async fn send(&mut self, scheduled: Option<Instant>) -> Result<()> {
        let number = self.requests.put_next(&mut self.buffer);
        let error = match self.connection.exchange(&self.buffer).await {
            Ok(200..=299) => {
                self.slice.accepted += 1;
                self.slice.latencies.extend(scheduled.map(|at| at.elapsed()));
                if let (Some(journeys), Some(at)) = (&self.journeys, scheduled) {
                    journeys.accepted(number, at);
                }
                return Ok(());
            }
            Ok(503) => {
                *self.slice.errors.entry("status 503".to_owned()).or_default() += 1;
                // A sender that keeps to its schedule does not wait; others would ask in a hot loop.
                if scheduled.is_none() {
                    tokio::time::sleep(REST_AFTER_ERROR).await;
                }
                return Ok(());
            }
            Ok(status) => format!("status {status}"),
            Err(error) => {
                // A server that has enough to do lets nobody in; the old one fails again, and it is tried again then.
                if let Ok(connection) = Connection::open(self.port, &self.tls).await {
                    self.connection = connection;
                }
                error.to_string()
            }
        };
        self.failed += 1;
        ensure!(self.failed <= ERRORS_MAX, "given up after {ERRORS_MAX} errors, the last one: {error}");
        *self.slice.errors.entry(error).or_default() += 1;
        tokio::time::sleep(REST_AFTER_ERROR).await;
        Ok(())
    }
}

async fn joined(mut tasks: JoinSet<Result<Slice>>) -> Result<Slice> {
    let mut all = Slice::default();
    while let Some(slice) = tasks.join_next().await {
        let slice = slice??;
        all.seconds = all.seconds.max(slice.seconds);
        all.accepted += slice.accepted;
        all.latencies.extend(slice.latencies);
        for (error, count) in slice.errors {
            *all.errors.entry(error).or_default() += count;
        }
    }
    all.latencies.sort_unstable();
    Ok(all)
}
