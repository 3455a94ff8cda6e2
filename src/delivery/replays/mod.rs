//! Replays by filter: stored jobs that make new deliveries of old events, oldest first, at a rate, and survive a restart.
//!
//! A job does not flood its destinations: it has a bounded number of deliveries under way at a time, so that new events find room
//! in the lane. What it covers is what there was when it was made. A crash may make it repeat the last few events.

mod job;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::settings::Source;
use crate::delivery::routed;
use crate::record::{EventId, EventIds, Name, Verdict};
use crate::store::{Cursor, Error, EventFilter, Page, Store};
use crate::time::{Clock, Stopwatch};
use job::Files;
pub use job::{Replay, ReplayState};

/// Deliveries of one job that may be under way: enough to keep a lane busy, and few among what else waits for it.
const UNDER_WAY_MAX: u64 = 64;
/// Events that are read from a job's list at a time.
const EVENTS: usize = 64;
/// Events that are looked at at a time to find those that a job covers.
const PAGE: usize = 500;
/// How far a job is becomes durable so often.
const KEEP_PAUSE: Duration = Duration::from_secs(1);
/// A job that hears nothing of its deliveries for so long makes some more.
const STALL_TIME: Duration = Duration::from_secs(60);
/// Jobs that are kept; the oldest that has ended goes.
const JOBS_MAX: usize = 1000;

/// The source of that name, as it is now.
pub type Sources = Arc<dyn Fn(&Name) -> Option<Arc<Source>> + Send + Sync>;

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which events.
    pub filter: EventFilter,
    /// Where they go; empty: where the routes say.
    pub to: Vec<Name>,
    /// So many events in a second at most.
    pub rate_per_s: Option<f64>,
}

/// Why a job was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    /// No job has this id.
    #[error("no replay has the id {0}")]
    Unknown(EventId),
    /// Its state forbids it.
    #[error("a replay that is {0} cannot be {1}")]
    State(&'static str, &'static str),
    /// So many jobs have not ended.
    #[error("{JOBS_MAX} replays have not ended; cancel some")]
    TooMany,
    /// The store could not tell.
    #[error(transparent)]
    Store(#[from] Error),
    /// It could not be made durable.
    #[error("it could not be kept: {0}")]
    Io(#[from] io::Error),
}

/// All replays.
pub struct Replays {
    inner: Arc<Inner>,
}

struct Inner {
    files: Files,
    store: Arc<dyn Store>,
    sources: Sources,
    clock: Clock,
    ids: Mutex<EventIds>,
    jobs: Mutex<BTreeMap<EventId, Arc<Running>>>,
    stop: CancellationToken,
}

/// A job in memory.
struct Running {
    replay: Mutex<Replay>,
    /// Deliveries that were made since the start and are not settled.
    under_way: Mutex<u64>,
    changed: Notify,
}

impl Running {
    fn new(replay: Replay) -> Arc<Self> {
        Arc::new(Self { replay: Mutex::new(replay), under_way: Mutex::default(), changed: Notify::new() })
    }

    fn replay(&self) -> MutexGuard<'_, Replay> {
        lock(&self.replay)
    }
}

impl Replays {
    /// Those of the store's folder; what was running goes on.
    pub fn open(path: &Path, store: Arc<dyn Store>, sources: Sources, clock: Clock) -> io::Result<Self> {
        let (files, stop) = (Files::below(path), CancellationToken::new());
        let jobs: BTreeMap<_, _> = files.all()?.into_iter().map(|replay| (replay.id, Running::new(replay))).collect();
        let inner = Arc::new(Inner { files, store, sources, clock, ids: Mutex::default(), jobs: Mutex::new(jobs), stop });
        let running: Vec<_> = lock(&inner.jobs).values().cloned().collect();
        running.into_iter().for_each(|job| inner.clone().start(job));
        Ok(Self { inner })
    }

    /// How many events fit.
    pub async fn count(&self, filter: &EventFilter) -> Result<u64, Error> {
        let mut count = 0;
        self.inner
            .each(filter, |_| {
                count += 1;
                Ok(())
            })
            .await
            .map_err(|error| match error {
                NotReplayed::Store(error) => error,
                other => Error::Failed(other.to_string()),
            })?;
        Ok(count)
    }

    /// Makes a job and starts it. When it returns, the job is durable. `asked`: the filter as it was asked for.
    pub async fn create(&self, wanted: Wanted, asked: Value) -> Result<Replay, NotReplayed> {
        let inner = &self.inner;
        inner.make_room()?;
        let now = inner.clock.now();
        let id = lock(&inner.ids).next(now, rand::random());
        let made = inner.find(id, &wanted.filter).await.and_then(|matched| {
            let replay = Replay {
                id,
                state: ReplayState::Running,
                created_at: now,
                matched,
                through: 0,
                created: 0,
                delivered: 0,
                failed: 0,
                to: wanted.to,
                rate_per_s: wanted.rate_per_s,
                filter: asked,
            };
            inner.files.keep(&replay)?;
            Ok(replay)
        });
        let replay = made.inspect_err(|_| drop(inner.files.forget(id)))?;
        let job = Running::new(replay.clone());
        lock(&inner.jobs).insert(id, job.clone());
        inner.clone().start(job);
        Ok(replay)
    }

    /// All of them, newest first.
    pub fn list(&self) -> Vec<Replay> {
        let mut all: Vec<_> = lock(&self.inner.jobs).values().map(|job| job.replay().clone()).collect();
        all.sort_by_key(|replay| std::cmp::Reverse(replay.id));
        all
    }

    /// One of them.
    pub fn find(&self, id: EventId) -> Option<Replay> {
        lock(&self.inner.jobs).get(&id).map(|job| job.replay().clone())
    }

    /// Holds a job.
    pub fn pause(&self, id: EventId) -> Result<Replay, NotReplayed> {
        self.change(id, ReplayState::Paused, "paused", &[ReplayState::Running, ReplayState::Paused])
    }

    /// Lets a job go on.
    pub fn resume(&self, id: EventId) -> Result<Replay, NotReplayed> {
        self.change(id, ReplayState::Running, "resumed", &[ReplayState::Running, ReplayState::Paused])
    }

    /// Calls a job off. What it made stays.
    pub fn cancel(&self, id: EventId) -> Result<Replay, NotReplayed> {
        let from = [ReplayState::Running, ReplayState::Paused, ReplayState::Cancelled];
        self.change(id, ReplayState::Cancelled, "cancelled", &from)
    }

    /// An attempt of a delivery that a replay made ended so.
    pub(super) fn settled(&self, replay: &str, verdict: Verdict) {
        let Some(job) = replay.parse().ok().and_then(|id| lock(&self.inner.jobs).get(&id).cloned()) else { return };
        match verdict {
            Verdict::RetryAt(_) => return,
            Verdict::Delivered => job.replay().delivered += 1,
            Verdict::Park(_) => job.replay().failed += 1,
        }
        let mut under_way = lock(&job.under_way);
        *under_way = under_way.saturating_sub(1);
        job.changed.notify_one();
    }

    /// Makes no more deliveries, and makes durable how far each job is.
    pub fn stop(&self) {
        self.inner.stop.cancel();
        for job in lock(&self.inner.jobs).values() {
            self.inner.keep(job);
        }
    }

    fn change(&self, id: EventId, to: ReplayState, wanted: &'static str, from: &[ReplayState]) -> Result<Replay, NotReplayed> {
        let job = lock(&self.inner.jobs).get(&id).cloned().ok_or(NotReplayed::Unknown(id))?;
        let mut replay = job.replay();
        if !from.contains(&replay.state) {
            return Err(NotReplayed::State(replay.state.as_str(), wanted));
        }
        let changed = Replay { state: to, ..replay.clone() };
        self.inner.files.keep(&changed)?;
        *replay = changed.clone();
        job.changed.notify_one();
        Ok(changed)
    }
}

impl Inner {
    /// Calls `take` for each event that fits now, newest first.
    async fn each(&self, filter: &EventFilter, mut take: impl FnMut(EventId) -> io::Result<()>) -> Result<(), NotReplayed> {
        let mut after: Option<Cursor> = None;
        loop {
            let listed = self.store.events(filter, Page { after, limit: PAGE }).await?;
            for event in &listed.items {
                take(event.id)?;
            }
            after = listed.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn find(&self, id: EventId, filter: &EventFilter) -> Result<u64, NotReplayed> {
        let mut finding = self.files.find(id)?;
        self.each(filter, |event| finding.add(event)).await?;
        let count = finding.count();
        self.files.found(finding)?;
        Ok(count)
    }

    /// Lets the oldest job go that has ended, where there are too many.
    fn make_room(&self) -> Result<(), NotReplayed> {
        let mut jobs = lock(&self.jobs);
        if jobs.len() < JOBS_MAX {
            return Ok(());
        }
        let ended = |job: &Arc<Running>| matches!(job.replay().state, ReplayState::Done | ReplayState::Cancelled);
        let oldest = jobs.iter().filter(|(_, job)| ended(job)).map(|(id, _)| *id).min().ok_or(NotReplayed::TooMany)?;
        jobs.remove(&oldest);
        Ok(self.files.forget(oldest)?)
    }

    fn start(self: Arc<Self>, job: Arc<Running>) {
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(self.run(&job)).await });
    }

    async fn run(&self, job: &Running) {
        let mut kept = Stopwatch::start();
        loop {
            let (state, through) = {
                let replay = job.replay();
                (replay.state, replay.through)
            };
            match state {
                ReplayState::Done | ReplayState::Cancelled => return self.keep(job),
                ReplayState::Paused => job.changed.notified().await,
                ReplayState::Running => match self.some(job, through, &mut kept).await {
                    Ok(true) => {}
                    Ok(false) => job.replay().state = ReplayState::Done,
                    Err(error) => {
                        tracing::error!(replay = %job.replay().id, %error, "a replay does not come further; it is tried again");
                        tokio::time::sleep(KEEP_PAUSE).await;
                    }
                },
            }
        }
    }

    /// Replays the next few events; whether there were any.
    async fn some(&self, job: &Running, through: u64, kept: &mut Stopwatch) -> Result<bool, NotReplayed> {
        let (id, gap) = {
            let replay = job.replay();
            (replay.id, replay.rate_per_s.map(|rate| Duration::from_secs_f64(1.0 / rate)))
        };
        let events = self.files.events(id, through, EVENTS)?;
        let watch = Stopwatch::start();
        for (n, event) in (1u32..).zip(&events) {
            while *lock(&job.under_way) >= UNDER_WAY_MAX && job.replay().state == ReplayState::Running {
                // What a person calls off is not told here, so no news for long is as good as room.
                if tokio::time::timeout(STALL_TIME, job.changed.notified()).await.is_err() {
                    *lock(&job.under_way) = 0;
                }
            }
            if job.replay().state != ReplayState::Running {
                break;
            }
            self.one(job, id, *event).await?;
            job.replay().through += 1;
            if kept.elapsed() >= KEEP_PAUSE {
                self.keep(job);
                *kept = Stopwatch::start();
            }
            if let Some(gap) = gap {
                tokio::time::sleep((gap * n).saturating_sub(watch.elapsed())).await;
            }
        }
        Ok(!events.is_empty())
    }

    /// Replays one event. One that is gone, or has nowhere to go, is passed over.
    async fn one(&self, job: &Running, id: EventId, event: EventId) -> Result<(), Error> {
        let mut to = job.replay().to.clone();
        if to.is_empty() {
            let Some(found) = self.store.event(event).await? else { return Ok(()) };
            if let Some(source) = (self.sources)(&found.source) {
                to = routed(&*self.store, &source, &found).await?.to_vec();
            }
        }
        if to.is_empty() {
            return Ok(());
        }
        match self.store.replay_as(event, &to, Some(id.to_string()), self.clock.now()).await {
            Ok(made) => {
                // What was pending already is not this job's.
                let new = made.iter().filter(|made| made.is_new).count() as u64;
                job.replay().created += new;
                *lock(&job.under_way) += new;
                Ok(())
            }
            Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn keep(&self, job: &Running) {
        let replay = job.replay().clone();
        if let Err(error) = self.files.keep(&replay) {
            tracing::error!(replay = %replay.id, %error, "how far a replay is could not be kept");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
