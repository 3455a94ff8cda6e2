//! The store of a story, behind a writer of groups: one more than the real one has, and one that can be killed. What waits for its group at a crash is
//! lost, or is there and nobody was told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookhold::chance::Chance;
use hookhold::record::{Attempt, Delivery, DeliveryId, Event, EventId, Name, StateName};
use hookhold::store::{
    Appended, Backlog, Blocked, Claim, Counts, DeliveryFilter, Due, Error, EventFilter, Feed, Fresh, Intake, Listed, Made, Page,
    Purge, Purged, Settlement, Store, Tracked, Waiters, Word,
};
use hookhold::time::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::kept::Kept;
use crate::script::Fault;
use crate::truth::Truth;

/// Changes in one group at most.
const GROUP_MAX: usize = 8;
/// An attempt's record waits so long for company.
const SETTLED_WAIT: Duration = Duration::from_secs(1);

/// One life of the store.
pub(crate) struct Grouped(Arc<Inner>);

struct Inner {
    kept: Arc<dyn Kept>,
    waiting: Mutex<VecDeque<Change>>,
    news: Notify,
    /// One change or claim at a time, so that what is known of them is in their order.
    one: tokio::sync::Mutex<()>,
    is_alive: AtomicBool,
    truth: Arc<Truth>,
    chance: Chance,
    fault: Option<Fault>,
    /// What a broken one tells the next who waits.
    word: Mutex<Option<Arc<Word>>>,
    /// As the store was before the last group: what a broken one comes back with.
    before: Mutex<Option<Arc<dyn Kept>>>,
}

enum Change {
    Append(Intake, oneshot::Sender<Result<Appended, Error>>),
    Replay(EventId, Vec<Name>, Option<String>, Timestamp, oneshot::Sender<Result<Vec<Made>, Error>>),
    Retry(DeliveryId, Timestamp, oneshot::Sender<Result<Delivery, Error>>),
    Park(DeliveryId, Timestamp, oneshot::Sender<Result<Delivery, Error>>),
    Cancel(DeliveryId, Timestamp, oneshot::Sender<Result<Delivery, Error>>),
    Purge(Purge, oneshot::Sender<Result<Purged, Error>>),
    Settle(Settlement),
}

/// An answer that leaves when its whole group is durable.
type Answer = Box<dyn FnOnce() + Send>;

impl Grouped {
    pub(crate) fn start(kept: Arc<dyn Kept>, truth: Arc<Truth>, chance: Chance, fault: Option<Fault>) -> Arc<Self> {
        let inner = Inner {
            kept,
            waiting: Mutex::default(),
            news: Notify::new(),
            one: tokio::sync::Mutex::default(),
            is_alive: AtomicBool::new(true),
            truth,
            chance,
            fault,
            word: Mutex::default(),
            before: Mutex::default(),
        };
        let inner = Arc::new(inner);
        tokio::spawn(write(inner.clone()));
        Arc::new(Self(inner))
    }

    /// What is durable.
    pub(crate) fn kept(&self) -> &dyn Store {
        &*self.0.kept
    }

    /// Nothing changes until this is dropped, so that several looks see the same.
    pub(crate) async fn still(&self) -> impl Sized {
        self.0.one.lock().await
    }

    /// The power is gone. Gives what is there afterwards: of what waited, none or the first part, though nobody was told.
    pub(crate) async fn crash(&self) -> Arc<dyn Kept> {
        let inner = &self.0;
        inner.is_alive.store(false, Ordering::SeqCst);
        let mut group: Vec<_> = inner.waiting.lock().unwrap().drain(..).take(GROUP_MAX).collect();
        group.truncate(usize::try_from(inner.chance.draw() % (group.len() as u64 + 1)).unwrap());
        for change in group {
            drop(inner.apply(change).await);
        }
        let before = inner.before.lock().unwrap().take().filter(|_| inner.fault == Some(Fault::ForgetsAGroup));
        match before {
            Some(before) => before,
            None => inner.kept.reopened().await,
        }
    }

    /// All that waits is made durable.
    pub(crate) async fn end(&self) -> Arc<dyn Kept> {
        let inner = &self.0;
        inner.is_alive.store(false, Ordering::SeqCst);
        let group: Vec<_> = inner.waiting.lock().unwrap().drain(..).collect();
        for change in group {
            (inner.apply(change).await)();
        }
        inner.kept.reopened().await
    }

    fn ask<T>(&self, change: impl FnOnce(oneshot::Sender<T>) -> Change) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.0.waiting.lock().unwrap().push_back(change(sender));
        self.0.news.notify_one();
        receiver
    }

    /// Who asks a store whose relay is dead is dead as well.
    async fn alive(&self) {
        if !self.0.is_alive.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

async fn heard<T>(answer: oneshot::Receiver<T>) -> T {
    match answer.await {
        Ok(answer) => answer,
        Err(_) => std::future::pending().await,
    }
}

/// The writer: takes what waits, syncs, applies it, answers.
async fn write(inner: Arc<Inner>) {
    loop {
        inner.wait_for_some().await;
        // A disk that is mostly quick.
        let micros = match inner.chance.draw() % 20 {
            0 => 2_000_000,
            1..4 => 30_000,
            _ => 100 + inner.chance.draw() % 3000,
        };
        let count = inner.waiting.lock().unwrap().len().min(GROUP_MAX);
        // The sync.
        tokio::time::sleep(Duration::from_micros(micros)).await;
        if !inner.is_alive.load(Ordering::SeqCst) {
            return;
        }
        let group: Vec<_> = inner.waiting.lock().unwrap().drain(..count).collect();
        if inner.fault == Some(Fault::ForgetsAGroup) {
            let before = inner.kept.reopened().await;
            *inner.before.lock().unwrap() = Some(before);
        }
        let mut answers = Vec::with_capacity(group.len());
        for change in group {
            answers.push(inner.apply(change).await);
        }
        answers.into_iter().for_each(|answer| answer());
    }
}

impl Inner {
    async fn wait_for_some(&self) {
        let is_urgent = || self.waiting.lock().unwrap().iter().any(|change| !matches!(change, Change::Settle(_)));
        while self.waiting.lock().unwrap().is_empty() {
            self.news.notified().await;
        }
        let urgent = async {
            while !is_urgent() {
                self.news.notified().await;
            }
        };
        let _ = tokio::time::timeout(SETTLED_WAIT, urgent).await;
    }

    async fn apply(&self, change: Change) -> Answer {
        let _one = self.one.lock().await;
        match change {
            Change::Append(intake, answer) => {
                let appended = self.append(intake).await;
                Box::new(move || drop(answer.send(appended)))
            }
            Change::Replay(event, destinations, replay, now, answer) => {
                let before = self.kept.deliveries_of(event).await.unwrap_or_default();
                let made = self.kept.replay_as(event, &destinations, replay, now).await;
                for (made, destination) in made.iter().flatten().zip(&destinations) {
                    self.truth.revived(made.id);
                    let there = before.iter().filter(|tracked| tracked.delivery.destination == *destination);
                    self.truth.with(|known| {
                        if there.map(|tracked| tracked.delivery.id).all(|id| known.keyless.contains(&id)) {
                            known.keyless.insert(made.id);
                        }
                    });
                }
                Box::new(move || drop(answer.send(made)))
            }
            Change::Retry(delivery, now, answer) => {
                let retried = self.kept.retry(delivery, now).await;
                retried.iter().for_each(|delivery| self.truth.revived(delivery.id));
                Box::new(move || drop(answer.send(retried)))
            }
            Change::Park(delivery, now, answer) => {
                let parked = self.kept.park(delivery, now).await;
                Box::new(move || drop(answer.send(parked)))
            }
            Change::Cancel(delivery, now, answer) => {
                let cancelled = self.kept.cancel(delivery, now).await;
                Box::new(move || drop(answer.send(cancelled)))
            }
            Change::Purge(purge, answer) => {
                let purged = self.purge(purge).await;
                Box::new(move || drop(answer.send(purged)))
            }
            Change::Settle(mut settlement) => {
                if self.fault == Some(Fault::MixesAnswers) && settlement.word.is_some() {
                    settlement.word = std::mem::replace(&mut *self.word.lock().unwrap(), settlement.word);
                }
                if self.fault == Some(Fault::LosesASettlement) && self.chance.draw().is_multiple_of(40) {
                    return Box::new(|| ());
                }
                let _ = self.kept.settle(settlement).await;
                Box::new(|| ())
            }
        }
    }

    async fn append(&self, intake: Intake) -> Result<Appended, Error> {
        let intake = if self.fault == Some(Fault::IgnoresOrder) { intake.in_order(Vec::new()) } else { intake };
        // Of all events only the one that it repeats can change.
        let parked = DeliveryFilter { state: Some(StateName::Parked), ..DeliveryFilter::default() };
        let parked = self.kept.deliveries(&parked, ALL).await?.items;
        let (body, at) = (intake.body().clone(), intake.received_at());
        let appended = self.kept.append(intake).await;
        match &appended {
            Ok(Appended::Stored(event)) => {
                self.truth.stored(*event, &body, at);
                for tracked in self.kept.deliveries_of(*event).await? {
                    self.truth.revived(tracked.delivery.id);
                    if tracked.in_flight {
                        self.truth.claimed(tracked.delivery.id);
                    }
                }
            }
            Ok(Appended::Duplicate(event)) => {
                parked.iter().filter(|t| t.delivery.id.event == *event).for_each(|t| self.truth.revived(t.delivery.id));
            }
            Err(_) => {}
        }
        appended
    }

    async fn purge(&self, purge: Purge) -> Result<Purged, Error> {
        let before: BTreeMap<_, _> = self.all().await?;
        let purged = self.kept.purge(purge).await?;
        let after = self.all().await?;
        for (event, states) in before.iter().filter(|(event, _)| !after.contains_key(event)) {
            if states.contains(&StateName::Pending) {
                self.truth.blame(format!("event {event} was removed and something of it is pending"));
            }
            self.truth.purged(*event);
        }
        Ok(purged)
    }

    async fn all(&self) -> Result<BTreeMap<EventId, Vec<StateName>>, Error> {
        let mut all = BTreeMap::new();
        for event in self.kept.events(&EventFilter::default(), ALL).await?.items {
            let deliveries = self.kept.deliveries_of(event.id).await?;
            all.insert(event.id, deliveries.iter().map(|tracked| tracked.delivery.state.name()).collect());
        }
        Ok(all)
    }
}

/// A page that holds everything.
pub(crate) const ALL: Page = Page { after: None, limit: 1_000_000 };

#[async_trait]
impl Store for Grouped {
    async fn append(&self, intake: Intake) -> Result<Appended, Error> {
        self.alive().await;
        heard(self.ask(|answer| Change::Append(intake, answer))).await
    }

    fn handoff(&self, destination: &Name, capacity: usize) -> Fresh {
        self.0.kept.handoff(destination, capacity)
    }

    fn waiters(&self) -> &Arc<Waiters> {
        self.0.kept.waiters()
    }

    fn feed(&self) -> &Arc<Feed> {
        self.0.kept.feed()
    }

    async fn claim_due(&self, destination: &Name, now: Timestamp, limit: usize) -> Result<Due, Error> {
        self.alive().await;
        let _one = self.0.one.lock().await;
        let due = self.0.kept.claim_due(destination, now, limit).await?;
        due.claimed.iter().for_each(|claimed| self.0.truth.claimed(claimed.delivery.id));
        Ok(due)
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        self.alive().await;
        self.0.waiting.lock().unwrap().push_back(Change::Settle(settlement));
        self.0.news.notify_one();
        Ok(())
    }

    async fn release(&self, claim: Claim) -> Result<(), Error> {
        self.alive().await;
        let _one = self.0.one.lock().await;
        self.0.kept.release(claim).await
    }

    async fn replay_as(
        &self,
        event: EventId,
        destinations: &[Name],
        replay: Option<String>,
        now: Timestamp,
    ) -> Result<Vec<Made>, Error> {
        self.alive().await;
        heard(self.ask(|answer| Change::Replay(event, destinations.to_vec(), replay, now, answer))).await
    }

    async fn retry(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.alive().await;
        heard(self.ask(|answer| Change::Retry(delivery, now, answer))).await
    }

    async fn park(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.alive().await;
        heard(self.ask(|answer| Change::Park(delivery, now, answer))).await
    }

    async fn cancel(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.alive().await;
        heard(self.ask(|answer| Change::Cancel(delivery, now, answer))).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged, Error> {
        self.alive().await;
        heard(self.ask(|answer| Change::Purge(purge, answer))).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        self.0.kept.event(id).await
    }

    async fn body(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        self.0.kept.body(id).await
    }

    async fn deliveries_of(&self, event: EventId) -> Result<Vec<Tracked>, Error> {
        self.0.kept.deliveries_of(event).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Tracked>, Error> {
        self.0.kept.delivery(id).await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, Error> {
        self.0.kept.attempts(delivery).await
    }

    async fn events(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
        self.0.kept.events(filter, page).await
    }

    async fn events_oldest_first(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
        self.0.kept.events_oldest_first(filter, page).await
    }

    async fn deliveries(&self, filter: &DeliveryFilter, page: Page) -> Result<Listed<Tracked>, Error> {
        self.0.kept.deliveries(filter, page).await
    }

    fn counts(&self) -> Counts {
        self.0.kept.counts()
    }

    async fn bytes(&self) -> Result<u64, Error> {
        self.0.kept.bytes().await
    }

    async fn backlog(&self, destination: &Name) -> Result<Backlog, Error> {
        self.0.kept.backlog(destination).await
    }

    async fn blocked(&self, destination: &Name, limit: usize) -> Result<Blocked, Error> {
        self.0.kept.blocked(destination, limit).await
    }

    async fn mend_order(&self, destination: &Name, now: Timestamp) -> Result<(), Error> {
        self.0.kept.mend_order(destination, now).await
    }

    fn health(&self) -> Result<(), String> {
        self.0.kept.health()
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.kept.close().await
    }
}
