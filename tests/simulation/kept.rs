//! Where a story's events are kept: in memory, or in the real store on sled.
//!
//! The real one has threads, which paused time does not know: it would go on while they work. So it is asked from blocking tasks, for
//! which paused time waits, and what it answers before the change is seen is waited for.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use hookhold::record::{Attempt, Delivery, DeliveryId, Event, EventId, Name};
use hookhold::store::{
    Appended, Backlog, Blocked, Claim, Counts, DeliveryFilter, Due, Error, EventFilter, Feed, Fresh, Intake, Listed, Made,
    Memory, Page, Purge, Purged, Settlement, Sled, Store, Tracked, Waiters,
};
use hookhold::time::Timestamp;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::life::folder;

/// A store that can be opened again.
#[async_trait]
pub(crate) trait Kept: Store {
    /// The store as it is after a start.
    async fn reopened(&self) -> Arc<dyn Kept>;
}

#[async_trait]
impl Kept for Memory {
    async fn reopened(&self) -> Arc<dyn Kept> {
        Arc::new(Memory::reopened(self))
    }
}

/// Where time is that of the clock: the store has bounds for its drive.
fn real() -> &'static Runtime {
    static REAL: OnceLock<Runtime> = OnceLock::new();
    REAL.get_or_init(|| Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap())
}

/// The store on sled.
pub(crate) struct OnSled {
    sled: Arc<Sled>,
    folder: Arc<TempDir>,
}

impl OnSled {
    pub(crate) fn new() -> Self {
        Self::open(Arc::new(folder()))
    }

    fn open(folder: Arc<TempDir>) -> Self {
        Self { sled: Arc::new(Sled::open(folder.path(), Arc::new(|_| {})).unwrap()), folder }
    }

    /// Asks, while time waits.
    async fn ask<T: Send + 'static, F>(&self, ask: impl FnOnce(Arc<Sled>) -> F + Send + 'static) -> T
    where
        F: Future<Output = T> + Send,
    {
        let sled = self.sled.clone();
        tokio::task::spawn_blocking(move || real().block_on(ask(sled))).await.unwrap()
    }

    /// The same, and waits until everybody sees what was changed.
    async fn change<T: Send + 'static, F>(&self, ask: impl FnOnce(Arc<Sled>) -> F + Send + 'static) -> T
    where
        F: Future<Output = T> + Send,
    {
        self.ask(async move |sled: Arc<Sled>| {
            let done = ask(sled.clone()).await;
            // Changes come in order, and this one finds nothing to change.
            let nowhere = DeliveryId { event: EventId::first_at(Timestamp::default()), ordinal: u16::MAX };
            let _ = sled.cancel(nowhere, Timestamp::default()).await;
            done
        })
        .await
    }
}

#[async_trait]
impl Kept for OnSled {
    async fn reopened(&self) -> Arc<dyn Kept> {
        self.close().await.unwrap();
        Arc::new(Self::open(self.folder.clone()))
    }
}

#[async_trait]
impl Store for OnSled {
    async fn append(&self, intake: Intake) -> Result<Appended, Error> {
        self.change(async move |sled: Arc<Sled>| sled.append(intake).await).await
    }

    fn handoff(&self, destination: &Name, capacity: usize) -> Fresh {
        self.sled.handoff(destination, capacity)
    }

    fn waiters(&self) -> &Arc<Waiters> {
        self.sled.waiters()
    }

    fn feed(&self) -> &Arc<Feed> {
        self.sled.feed()
    }

    async fn claim_due(&self, destination: &Name, now: Timestamp, limit: usize) -> Result<Due, Error> {
        let destination = destination.clone();
        self.change(async move |sled: Arc<Sled>| sled.claim_due(&destination, now, limit).await).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        self.change(async move |sled: Arc<Sled>| sled.settle(settlement).await).await
    }

    async fn release(&self, claim: Claim) -> Result<(), Error> {
        self.change(async move |sled: Arc<Sled>| sled.release(claim).await).await
    }

    async fn replay_as(
        &self,
        event: EventId,
        destinations: &[Name],
        replay: Option<String>,
        now: Timestamp,
    ) -> Result<Vec<Made>, Error> {
        let destinations = destinations.to_vec();
        self.change(async move |sled: Arc<Sled>| sled.replay_as(event, &destinations, replay, now).await).await
    }

    async fn retry(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.change(async move |sled: Arc<Sled>| sled.retry(delivery, now).await).await
    }

    async fn park(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.change(async move |sled: Arc<Sled>| sled.park(delivery, now).await).await
    }

    async fn cancel(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.change(async move |sled: Arc<Sled>| sled.cancel(delivery, now).await).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged, Error> {
        self.change(async move |sled: Arc<Sled>| sled.purge(purge).await).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        self.ask(async move |sled: Arc<Sled>| sled.event(id).await).await
    }

    async fn body(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        self.ask(async move |sled: Arc<Sled>| sled.body(id).await).await
    }

    async fn deliveries_of(&self, event: EventId) -> Result<Vec<Tracked>, Error> {
        self.ask(async move |sled: Arc<Sled>| sled.deliveries_of(event).await).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Tracked>, Error> {
        self.ask(async move |sled: Arc<Sled>| sled.delivery(id).await).await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, Error> {
        self.ask(async move |sled: Arc<Sled>| sled.attempts(delivery).await).await
    }

    async fn events(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
        let filter = filter.clone();
        self.ask(async move |sled: Arc<Sled>| sled.events(&filter, page).await).await
    }

    async fn events_oldest_first(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
        let filter = filter.clone();
        self.ask(async move |sled: Arc<Sled>| sled.events_oldest_first(&filter, page).await).await
    }

    async fn deliveries(&self, filter: &DeliveryFilter, page: Page) -> Result<Listed<Tracked>, Error> {
        let filter = filter.clone();
        self.ask(async move |sled: Arc<Sled>| sled.deliveries(&filter, page).await).await
    }

    fn counts(&self) -> Counts {
        self.sled.counts()
    }

    async fn bytes(&self) -> Result<u64, Error> {
        self.ask(async move |sled: Arc<Sled>| sled.bytes().await).await
    }

    async fn backlog(&self, destination: &Name) -> Result<Backlog, Error> {
        let destination = destination.clone();
        self.ask(async move |sled: Arc<Sled>| sled.backlog(&destination).await).await
    }

    async fn blocked(&self, destination: &Name, limit: usize) -> Result<Blocked, Error> {
        let destination = destination.clone();
        self.ask(async move |sled: Arc<Sled>| sled.blocked(&destination, limit).await).await
    }

    async fn mend_order(&self, destination: &Name, now: Timestamp) -> Result<(), Error> {
        let destination = destination.clone();
        self.change(async move |sled: Arc<Sled>| sled.mend_order(&destination, now).await).await
    }

    fn health(&self) -> Result<(), String> {
        // On a thread without paused time.
        std::thread::scope(|scope| scope.spawn(|| self.sled.health()).join().unwrap())
    }

    async fn close(&self) -> Result<(), Error> {
        self.ask(async move |sled: Arc<Sled>| sled.close().await).await
    }
}
