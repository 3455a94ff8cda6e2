//! The store of one machine: a journal where a commit becomes durable, and sled 0.34.7 for all that is older, one tree, events
//! packed into blocks.
//!
//! One thread writes the journal. What is in it and not yet in sled is in memory, in the overlay; about once a second a checkpoint
//! moves that into sled. sled is used only in the way that survived every crash image: see `open`. Reads run on threads for
//! blocking work.

mod aside;
mod backup;
mod block;
mod bodies;
mod checkpoint;
mod claim;
mod dedupe;
pub mod doctor;
mod durable;
mod entry;
mod group;
mod held;
mod keys;
mod layers;
mod ledger;
mod list;
mod onward;
mod open;
mod order;
mod overlay;
mod place;
mod purge;
mod replay;
mod restore;
mod shared;
mod tally;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub use open::{FORMAT, OpenError};
pub use restore::{Proof, RestoreError, is_free, restore};

use self::block::Head;
use self::checkpoint::Checkpoints;
use self::dedupe::DedupeKey;
use self::group::{Job, New};
use self::ledger::SledLedger;
use self::replay::Replayed;
use self::shared::{Shared, failed};
use self::work::Work;
use super::answers::{self, Reply};
use super::archive::{self, Backup};
use super::commit::{Commit, CommitObserver};
use super::purge::Class;
use super::space;
use super::{
    Appended, Backlog, Blocked, Claim, Counts, DeliveryFilter, Due, Error, EventFilter, Feed, Fresh, Intake, Listed, Made, Page,
    Purge, Purged, Settlement, Store, Tracked, Waiters,
};
use crate::record::{Attempt, Delivery, DeliveryId, Event, EventId, Name, StateName};
use crate::time::Timestamp;

/// Longer than a last sync takes.
const END_TIME: Duration = Duration::from_secs(20);

/// A store in a folder.
pub struct Sled {
    commit: Arc<Commit<Job>>,
    checkpoints: Arc<Checkpoints>,
    journal_bytes: Arc<AtomicU64>,
    /// Whether a backup is under way.
    is_backed_up: Arc<AtomicBool>,
    closing: CancellationToken,
    folder: PathBuf,
    waiters: Arc<Waiters>,
    feed: Arc<Feed>,
    /// `None` once it is closed, so that the folder's lock is free.
    shared: Mutex<Option<Arc<Shared>>>,
}

impl Sled {
    /// Opens the store in `path`, making it where nothing is there. `observer` is told what each group cost. Blocks.
    pub fn open(path: &Path, observer: CommitObserver) -> Result<Self, OpenError> {
        let in_folder = |why| OpenError::Folder { path: path.into(), why };
        let Replayed { journal, shared, checkpointer } = start(path)?;
        let newest = newest(&shared).map_err(|error| OpenError::Engine { path: path.into(), why: error.to_string() })?;
        let checkpoints = Checkpoints::start(checkpointer, journal.release()).map_err(in_folder)?;
        let (checkpoints, journal_bytes) = (Arc::new(checkpoints), Arc::default());
        let ledger = SledLedger::new(journal, shared.clone(), checkpoints.clone(), newest, Arc::clone(&journal_bytes), path);
        let commit = Commit::start(ledger, observer).map_err(in_folder)?;
        let (is_backed_up, closing, folder) = (Arc::default(), CancellationToken::new(), path.into());
        let (waiters, feed) = (shared.handoffs.waiters().clone(), shared.handoffs.feed().clone());
        let shared = Mutex::new(Some(shared));
        let commit = Arc::new(commit);
        Ok(Self { commit, checkpoints, journal_bytes, is_backed_up, closing, folder, waiters, feed, shared })
    }

    fn shared(&self) -> Result<Arc<Shared>, Error> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)
    }

    /// Reads on a thread that may block.
    async fn read<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    {
        let shared = self.shared()?;
        let task = tokio::task::spawn_blocking(move || read(&shared));
        task.await.unwrap_or_else(|error| Err(Error::Failed(format!("a read failed unexpectedly: {error}"))))
    }

    /// Queues a job and waits for its answer.
    async fn ask<T>(&self, job: impl FnOnce(Reply<Result<T, Error>>) -> Job) -> Result<T, Error> {
        let (reply, answer) = answers::pair();
        self.commit.submit(job(reply))?;
        answer.await.unwrap_or_else(|_| Err(self.commit.gone()))
    }
}

/// Opens what is in `path` and replays the journal. A damaged database is set aside, and a new one filled from the journal.
fn start(path: &Path) -> Result<Replayed, OpenError> {
    let why = match try_start(path) {
        Err(OpenError::Damaged { why, .. }) => why,
        started => return started,
    };
    let folder = aside::set_aside(path).map_err(|why| OpenError::Folder { path: path.into(), why })?;
    tracing::error!(
        folder = %folder.display(),
        why,
        "the database is damaged; it was set aside as it is, and a new one is filled with what the journal still has"
    );
    try_start(path)
}

fn try_start(path: &Path) -> Result<Replayed, OpenError> {
    let started = catch_unwind(AssertUnwindSafe(|| {
        let opened = open::open(path)?;
        open::raise_format(path).map_err(|why| OpenError::Folder { path: path.into(), why })?;
        replay::replay(opened, path)
    }));
    started.unwrap_or_else(|panic| {
        Err(match aside::panic_message(&*panic) {
            Ok(why) => OpenError::Damaged { path: path.into(), why },
            Err(why) => OpenError::Engine { path: path.into(), why },
        })
    })
}

/// Lets sled go. Its end makes a last sync; where that fails it panics, or waits for ever.
fn end(shared: Option<Arc<Shared>>) -> Result<(), Error> {
    let (sender, ended) = std::sync::mpsc::channel();
    let drop_it = move || {
        let is_good = catch_unwind(AssertUnwindSafe(|| drop(shared))).is_ok();
        // Nobody waits for it any more where that took too long.
        let _ = sender.send(is_good);
    };
    let thread = std::thread::Builder::new().name("hookhold-end".into()).spawn(drop_it);
    let is_good = thread.is_ok() && ended.recv_timeout(END_TIME) == Ok(true);
    if is_good { Ok(()) } else { Err(Error::Failed("the storage engine did not end well".to_owned())) }
}

/// The newest event.
fn newest(shared: &Shared) -> Result<Option<EventId>, Error> {
    let Some(block) = shared.block_of(EventId::from_bytes([0xff; 16]))? else { return Ok(None) };
    let last = shared.states(block)?.events().next_back().map(|(_, event)| event.id);
    Ok(last.or(Some(block)))
}

#[async_trait]
impl Store for Sled {
    async fn append(&self, mut intake: Intake) -> Result<Appended, Error> {
        let asking = intake.take_asking();
        let destinations = intake.destinations().clone();
        // Hashed here: the writer has enough to do.
        let order_keys = (0..destinations.len()).map(|place| intake.order_key(place).map(str::to_owned)).collect();
        let dedupe = intake.dedupe().map(|dedupe| (DedupeKey::of(intake.source(), &dedupe.key), dedupe.until));
        let (event, body) = intake.into_event(EventId::from_bytes([0; 16]));
        let head = Head { event, body_crc: crc32fast::hash(&body), body_at: 0 };
        let encoded = block::encode(&head)?;
        let new = New { event: head.event, head: encoded, body, destinations, order_keys, dedupe, asking };
        self.ask(|reply| Job::Append { new: Box::new(new), reply }).await
    }

    fn handoff(&self, destination: &Name, capacity: usize) -> Fresh {
        match self.shared() {
            Ok(shared) => shared.handoffs.open(destination, capacity),
            // A closed store has nothing to hand over.
            Err(_) => super::handoff::Handoffs::new(drop).open(destination, capacity),
        }
    }

    fn waiters(&self) -> &Arc<Waiters> {
        &self.waiters
    }

    fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    async fn claim_due(&self, destination: &Name, now: Timestamp, limit: usize) -> Result<Due, Error> {
        let destination = destination.clone();
        let (due, early) = self.read(move |shared| claim::claim_due(shared, &destination, now, limit)).await?;
        for delivery in early {
            self.commit.submit(Job::Hold(delivery))?;
        }
        Ok(due)
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        // Whoever waits need not wait for the record: what it is about is durable.
        settlement.word.iter().for_each(|word| self.waiters.tell(settlement.claim.delivery.event, word));
        let has_key = self.shared()?.claims.has_line(settlement.claim);
        self.commit.submit(Job::Settle(Box::new(settlement), has_key))
    }

    async fn release(&self, claim: Claim) -> Result<(), Error> {
        self.commit.submit(Job::Release(claim))
    }

    async fn replay_as(
        &self,
        event: EventId,
        destinations: &[Name],
        replay: Option<String>,
        now: Timestamp,
    ) -> Result<Vec<Made>, Error> {
        let destinations = destinations.to_vec();
        self.ask(|reply| Job::Replay { event, destinations, replay, now, reply }).await
    }

    async fn retry(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.ask(|reply| Job::Retry { delivery, now, reply }).await
    }

    async fn park(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.ask(|reply| Job::Park { delivery, now, reply }).await
    }

    async fn cancel(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.ask(|reply| Job::Cancel { delivery, now, reply }).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged, Error> {
        let (blocks, next) = self.read(move |shared| shared.purgeable(&purge)).await?;
        if blocks.is_empty() {
            return Ok(Purged { next, ..Purged::default() });
        }
        let purged = self.ask(|reply| Job::Purge { purge, blocks, reply }).await?;
        Ok(Purged { next, ..purged })
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        self.read(move |shared| {
            let duplicates = shared.record(id)?.map_or(0, |record| record.duplicates);
            shared.read_event(id, |block, place| Ok(Event { duplicates, ..shared.event(block, place)? }))
        })
        .await
    }

    async fn body(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        self.read(move |shared| shared.read_event(id, |block, place| shared.body(block, &shared.head(block, place)?))).await
    }

    async fn deliveries_of(&self, event: EventId) -> Result<Vec<Tracked>, Error> {
        self.read(move |shared| {
            let deliveries = shared.record(event)?.map(|record| record.deliveries).unwrap_or_default();
            Ok(deliveries.into_iter().map(|record| tracked(shared, record.delivery)).collect())
        })
        .await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Tracked>, Error> {
        self.read(move |shared| {
            let event = shared.record(id.event)?;
            let delivery = event.as_ref().and_then(|event| event.delivery(id)).map(|record| record.delivery.clone());
            Ok(delivery.map(|delivery| tracked(shared, delivery)))
        })
        .await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, Error> {
        self.read(move |shared| {
            // The newest first: it moves to a key of its own when another one comes.
            let Some(event) = shared.record(delivery.event)? else { return Ok(Vec::new()) };
            let newest = event.delivery(delivery).and_then(|record| record.newest());
            let mut attempts = shared.attempts(delivery)?;
            attempts.extend(newest);
            attempts.sort_by_key(|attempt| attempt.number);
            attempts.dedup_by_key(|attempt| attempt.number);
            Ok(attempts)
        })
        .await
    }

    async fn events(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
        let filter = filter.clone();
        self.read(move |shared| list::events(shared, &filter, page, &mut Work::default())).await
    }

    async fn events_oldest_first(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
        let filter = filter.clone();
        self.read(move |shared| onward::events(shared, &filter, page, &mut Work::default())).await
    }

    async fn deliveries(&self, filter: &DeliveryFilter, page: Page) -> Result<Listed<Tracked>, Error> {
        let filter = filter.clone();
        self.read(move |shared| list::deliveries(shared, &filter, page, &mut Work::default())).await
    }

    fn counts(&self) -> Counts {
        let Ok(shared) = self.shared() else { return Counts::default() };
        let tally = shared.tally().clone();
        let sum = |state: StateName| {
            let all: i64 = tally.deliveries.values().map(|counts| counts[state as usize]).sum();
            count(all)
        };
        Counts {
            events: count(tally.events),
            pending: sum(StateName::Pending),
            in_flight: shared.claims.count(None),
            parked: sum(StateName::Parked),
            delivered: sum(StateName::Delivered),
            cancelled: sum(StateName::Cancelled),
            damaged: shared.damaged(),
            bytes: [Class::Pending, Class::Parked, Class::Done].into_iter().map(|class| tally.bytes_of(class)).sum(),
            done_bytes: tally.bytes_of(Class::Done),
        }
    }

    async fn bytes(&self) -> Result<u64, Error> {
        let sled = self.read(|shared| shared.tree.size_on_disk().map_err(failed)).await?;
        Ok(sled + self.journal_bytes.load(Ordering::Relaxed))
    }

    async fn backlog(&self, destination: &Name) -> Result<Backlog, Error> {
        let destination = destination.clone();
        self.read(move |shared| {
            let counts = shared.tally().deliveries.get(&destination).copied().unwrap_or_default();
            let first = shared.scan(&keys::due_of(&destination), None, false).next().transpose()?;
            Ok(Backlog {
                pending: count(counts[StateName::Pending as usize]),
                in_flight: shared.claims.count(Some(&destination)),
                parked: count(counts[StateName::Parked as usize]),
                oldest_due_at: first.and_then(|key| keys::due_time(&key)),
            })
        })
        .await
    }

    async fn blocked(&self, destination: &Name, limit: usize) -> Result<Blocked, Error> {
        let destination = destination.clone();
        self.read(move |shared| shared.blocked(&destination, limit)).await
    }

    async fn mend_order(&self, destination: &Name, now: Timestamp) -> Result<(), Error> {
        let destination = destination.clone();
        let lost = self.read(move |shared| shared.lost_turns(&destination)).await?;
        lost.into_iter().try_for_each(|delivery| self.commit.submit(Job::Turn { delivery, now }))
    }

    fn backup(&self) -> Result<Backup, Error> {
        let shared = self.shared()?;
        if self.is_backed_up.swap(true, Ordering::SeqCst) {
            return Err(Error::Conflict("a backup is under way; there can be one at a time".to_owned()));
        }
        let (sender, backup) = archive::pair(self.closing.clone());
        let is_backed_up = self.is_backed_up.clone();
        tokio::task::spawn_blocking(move || {
            backup::send(&shared, sender);
            is_backed_up.store(false, Ordering::SeqCst);
        });
        Ok(backup)
    }

    fn wait(&self) -> Duration {
        self.commit.wait()
    }

    fn health(&self) -> Result<(), String> {
        self.commit.health()?;
        self.checkpoints.number().map(drop).map_err(|error| error.to_string())
    }

    async fn close(&self) -> Result<(), Error> {
        self.closing.cancel();
        let (commit, checkpoints, shared) = (self.commit.clone(), self.checkpoints.clone(), self.shared());
        let has_space = !space::is_exhausted(&self.folder);
        let close = move || {
            commit.close()?;
            checkpoints.wait()?;
            // A clean end leaves nothing to replay; on a full disk the journal keeps it.
            if let Some(layer) = shared.ok().filter(|_| has_space).and_then(|shared| shared.freeze(true)) {
                checkpoints.begin(layer);
            }
            checkpoints.close()
        };
        let closed = tokio::task::spawn_blocking(close).await;
        self.commit.answered().await;
        let closed = closed.unwrap_or_else(|error| Err(Error::Failed(error.to_string())));
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
        closed
            .and(tokio::task::spawn_blocking(|| end(shared)).await.unwrap_or_else(|error| Err(Error::Failed(error.to_string()))))
    }
}

fn tracked(shared: &Shared, delivery: Delivery) -> Tracked {
    let in_flight = delivery.due().is_some() && shared.claims.has(delivery.id);
    Tracked { delivery, in_flight }
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
