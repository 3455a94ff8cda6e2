//! A store in memory, for tests: the plainest thing that keeps the promises of [`Store`], to judge the real ones by.
//!
//! Everything is a map under one mutex and every list looks at everything. It shares no code with other stores, and it must
//! never be used for events that somebody needs tomorrow.

mod list;
mod order;
mod purge;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use self::list::{first_of, page_of};
use self::order::Change;
use super::handoff::{Handoffs, Room};
use super::purge::Class;
use super::{
    Appended, Backlog, Blocked, Claim, Claimed, Counts, DeliveryFilter, Due, Error, EventFilter, Fact, Feed, Fresh, Intake,
    Listed, Made, Page, Purge, Purged, Settlement, Store, Tracked, Waiters,
};
use crate::record::{Attempt, Delivery, DeliveryId, Event, EventId, EventIds, Name, StateName, Verdict};
use crate::time::Timestamp;

/// The store in memory.
#[derive(Debug)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
    handoffs: Handoffs,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    ids: EventIds,
    fence: u64,
    events: BTreeMap<EventId, (Event, Bytes)>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    attempts: BTreeMap<DeliveryId, Vec<Attempt>>,
    known: BTreeMap<(Name, String), (EventId, Timestamp)>,
    claims: BTreeMap<DeliveryId, u64>,
    failed: Option<String>,
    closed: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self::holding(Inner::default())
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store as this one would be after a start: with all that it holds, and nothing claimed.
    pub fn reopened(&self) -> Self {
        let inner = lock(&self.inner).clone();
        Self::holding(Inner { claims: BTreeMap::new(), failed: None, closed: false, ..inner })
    }

    fn holding(inner: Inner) -> Self {
        let inner = Arc::new(Mutex::new(inner));
        let claims = inner.clone();
        let give_back = move |claim| {
            lock(&claims).give_back(claim);
        };
        Self { inner, handoffs: Handoffs::new(give_back) }
    }

    /// From now on every change fails for this reason, as on a broken disk.
    pub fn fail(&self, reason: &str) {
        lock(&self.inner).failed = Some(reason.to_owned());
    }

    fn open(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let inner = lock(&self.inner);
        if inner.closed { Err(Error::Closed) } else { Ok(inner) }
    }

    fn change(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let inner = self.open()?;
        match &inner.failed {
            Some(reason) => Err(Error::Failed(reason.clone())),
            None => Ok(inner),
        }
    }

    /// A person ends a pending or a parked delivery so.
    fn end(&self, id: DeliveryId, end: impl FnOnce(Delivery) -> Change, now: Timestamp) -> Result<Delivery, Error> {
        let mut inner = self.change()?;
        let (changed, woken) = inner.end(id, end, now)?;
        self.tell_states(&inner, &[id]);
        drop(inner);
        self.nudge_all(&woken);
        Ok(changed)
    }

    /// Tells people who watch how these are now.
    fn tell_states(&self, inner: &Inner, changed: &[DeliveryId]) {
        if self.handoffs.feed().is_watched() {
            let states = changed.iter().filter_map(|id| inner.deliveries.get(id));
            self.handoffs.feed().tell(states.map(|delivery| Fact::State(inner.tracked(delivery))));
        }
    }

    fn nudge_all<'a>(&self, destinations: impl IntoIterator<Item = &'a Name>) {
        destinations.into_iter().for_each(|d| self.handoffs.nudge(d));
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn claim(&mut self, delivery: DeliveryId) -> Claim {
        self.fence += 1;
        self.claims.insert(delivery, self.fence);
        Claim { delivery, fence: self.fence }
    }

    fn claimed(&mut self, id: DeliveryId) -> Option<Claimed> {
        let delivery = self.deliveries.get(&id)?.clone();
        let (event, body) = self.events.get(&id.event)?.clone();
        Some(Claimed { claim: self.claim(id), delivery, event: Arc::new(event), body })
    }

    fn give_back(&mut self, claim: Claim) -> bool {
        let holds = self.claims.get(&claim.delivery) == Some(&claim.fence);
        if holds {
            self.claims.remove(&claim.delivery);
        }
        holds
    }

    fn of_event(&self, event: EventId) -> impl Iterator<Item = &Delivery> {
        self.deliveries.range(DeliveryId { event, ordinal: 0 }..=DeliveryId { event, ordinal: u16::MAX }).map(|(_, d)| d)
    }

    fn tracked(&self, delivery: &Delivery) -> Tracked {
        Tracked { delivery: delivery.clone(), in_flight: self.claims.contains_key(&delivery.id) }
    }

    /// The event that this one repeats.
    fn original(&self, intake: &Intake) -> Option<EventId> {
        let key = &intake.dedupe()?.key;
        let (event, until) = self.known.get(&(intake.source().clone(), key.clone()))?;
        (intake.received_at() < *until).then_some(*event)
    }

    /// Counts a repeat, and makes parked deliveries due; gives these.
    fn repeat(&mut self, event: EventId, now: Timestamp) -> Vec<DeliveryId> {
        if let Some((event, _)) = self.events.get_mut(&event) {
            event.duplicates = event.duplicates.saturating_add(1);
        }
        let parked: Vec<Delivery> = self.of_event(event).filter(|d| d.state.name() == StateName::Parked).cloned().collect();
        let firsts: Vec<_> = parked.iter().map(|d| self.first_like(d)).collect();
        let retried = parked.iter().filter_map(|d| Some((d.id, d.clone().retried(now).ok()?)));
        self.deliveries.extend(retried);
        for (delivery, first) in parked.iter().zip(firsts) {
            self.reorder(delivery, first, now);
        }
        parked.into_iter().map(|d| d.id).collect()
    }

    fn destinations(&self, deliveries: &[DeliveryId]) -> Vec<Name> {
        deliveries.iter().filter_map(|id| self.deliveries.get(id)).map(|d| d.destination.clone()).collect()
    }

    fn insert(&mut self, intake: Intake) -> (EventId, Vec<DeliveryId>) {
        let id = self.ids.next(intake.received_at(), rand::random());
        if let Some(dedupe) = intake.dedupe() {
            self.known.insert((intake.source().clone(), dedupe.key.clone()), (id, dedupe.until));
        }
        let mut made = Vec::new();
        for (place, (destination, ordinal)) in intake.destinations().iter().zip(1..).enumerate() {
            let delivery = DeliveryId { event: id, ordinal };
            let record = Delivery::new(delivery, intake.source().clone(), destination.clone(), intake.received_at());
            let record = self.joined(record.with_order_key(intake.order_key(place).map(str::to_owned)));
            self.deliveries.insert(delivery, record);
            made.push(delivery);
        }
        self.events.insert(id, intake.into_event(id));
        (id, made)
    }

    /// What is pending for `destination` and may be claimed, the longest due first.
    fn waiting(&self, destination: &Name) -> Vec<(Timestamp, DeliveryId)> {
        let free = |d: &&Delivery| d.destination == *destination && !self.claims.contains_key(&d.id);
        let turns = self.turns(destination);
        let may_go = |d: &&Delivery| d.order_key.as_ref().is_none_or(|key| turns.get(key) == Some(&d.id)) && !d.is_held();
        let waiting = self.deliveries.values().filter(free).filter(may_go);
        let mut waiting: Vec<_> = waiting.filter_map(|d| Some((d.due()?, d.id))).collect();
        waiting.sort();
        waiting
    }

    /// A delivery that a person may change.
    fn changeable(&self, id: DeliveryId) -> Result<Delivery, Error> {
        let delivery = self.deliveries.get(&id).ok_or_else(|| Error::NotFound(id.to_string()))?;
        if self.claims.contains_key(&id) {
            return Err(Error::Conflict("the delivery is in flight".to_owned()));
        }
        Ok(delivery.clone())
    }

    fn replay(
        &mut self,
        event: EventId,
        (source, destination): (&Name, &Name),
        replay: Option<String>,
        now: Timestamp,
    ) -> Result<Made, Error> {
        let open = self.of_event(event).find(|d| d.destination == *destination && d.due().is_some()).cloned();
        if let Some(open) = open {
            let id = open.id;
            if !self.claims.contains_key(&id) {
                let first = self.first_like(&open);
                self.deliveries.insert(id, open.clone().retried(now).map_err(|e| Error::Conflict(e.to_string()))?);
                self.reorder(&open, first, now);
            }
            return Ok(Made { id, is_new: false });
        }
        let last = self.of_event(event).map(|d| d.id.ordinal).max().unwrap_or_default();
        let ordinal = last.checked_add(1).ok_or_else(|| Error::Conflict("the event has too many deliveries".to_owned()))?;
        let id = DeliveryId { event, ordinal };
        let earlier = self.of_event(event).filter(|d| d.destination == *destination).last();
        let order_key = earlier.and_then(|d| d.order_key.clone());
        let made = Delivery::new(id, source.clone(), destination.clone(), now).with_order_key(order_key);
        let made = Delivery { replay_id: replay, ..made };
        let first = self.first_like(&made);
        self.deliveries.insert(id, made.clone());
        self.reorder(&made, first, now);
        Ok(Made { id, is_new: true })
    }
}

#[async_trait]
impl Store for Memory {
    async fn append(&self, mut intake: Intake) -> Result<Appended, Error> {
        let mut inner = self.change()?;
        let asking = intake.take_asking();
        let enlist = |event| asking.into_iter().for_each(|asking| self.handoffs.enlist(asking, event));
        if let Some(event) = inner.original(&intake) {
            enlist(event);
            let retried = inner.repeat(event, intake.received_at());
            let woken = inner.destinations(&retried);
            self.tell_states(&inner, &retried);
            drop(inner);
            self.nudge_all(&woken);
            return Ok(Appended::Duplicate(event));
        }
        let (event, made) = inner.insert(intake);
        enlist(event);
        let all = made.clone();
        let mut handed: Vec<(Room, Claimed)> = Vec::new();
        let mut behind = Vec::new();
        for id in made {
            let free = inner.deliveries.get(&id).filter(|d| !d.is_held());
            let Some(destination) = free.map(|d| d.destination.clone()) else { continue };
            let body_bytes = inner.events.get(&id.event).map_or(0, |(_, body)| body.len());
            match self.handoffs.room(&destination, body_bytes) {
                Some(room) => handed.extend(inner.claimed(id).map(|c| (room, c))),
                None => behind.push(destination),
            }
        }
        if self.handoffs.feed().is_watched() {
            let deliveries = all.iter().filter_map(|id| inner.deliveries.get(id)).map(|d| inner.tracked(d)).collect();
            self.handoffs
                .feed()
                .tell(inner.events.get(&event).map(|(event, _)| Fact::event(event, event.duplicates, deliveries)));
        }
        drop(inner);
        handed.into_iter().for_each(|(room, claimed)| room.put(claimed));
        self.nudge_all(&behind);
        Ok(Appended::Stored(event))
    }

    fn handoff(&self, destination: &Name, capacity: usize) -> Fresh {
        self.handoffs.open(destination, capacity)
    }

    fn waiters(&self) -> &Arc<Waiters> {
        self.handoffs.waiters()
    }

    fn feed(&self) -> &Arc<Feed> {
        self.handoffs.feed()
    }

    async fn claim_due(&self, destination: &Name, now: Timestamp, limit: usize) -> Result<Due, Error> {
        let mut inner = self.change()?;
        let waiting = inner.waiting(destination);
        let due: Vec<_> = waiting.iter().take_while(|(due, _)| *due <= now).take(limit).collect();
        let claimed: Vec<_> = due.iter().filter_map(|(_, id)| inner.claimed(*id)).collect();
        Ok(Due { next: waiting.get(claimed.len()).map(|(due, _)| *due), claimed })
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        let Settlement { claim, attempt, verdict, now, word } = settlement;
        let mut inner = self.change()?;
        word.iter().for_each(|word| self.handoffs.waiters().tell(claim.delivery.event, word));
        if !inner.give_back(claim) {
            return Ok(());
        }
        let Some(delivery) = inner.deliveries.get(&claim.delivery).cloned() else { return Ok(()) };
        let Ok(delivery) = delivery.attempted(&attempt, verdict, now) else { return Ok(()) };
        let destination = delivery.destination.clone();
        inner.deliveries.insert(claim.delivery, delivery.clone());
        inner.attempts.entry(claim.delivery).or_default().push(attempt.clone());
        let is_in_line = inner.reorder(&delivery, None, now).is_some();
        if let Some(delivery) = inner.deliveries.get(&claim.delivery).filter(|_| self.handoffs.feed().is_watched()) {
            self.handoffs.feed().tell([Fact::Attempt(inner.tracked(delivery), attempt)]);
            self.tell_states(&inner, delivery.due().is_none().then_some(claim.delivery).as_slice());
        }
        drop(inner);
        // Whenever it is due: the lane may have looked before its claim was given back.
        if is_in_line || matches!(verdict, Verdict::RetryAt(_)) {
            self.handoffs.nudge(&destination);
        }
        Ok(())
    }

    async fn release(&self, claim: Claim) -> Result<(), Error> {
        let mut inner = self.change()?;
        let held = inner.give_back(claim);
        let destination = inner.deliveries.get(&claim.delivery).map(|d| d.destination.clone());
        drop(inner);
        if held {
            self.nudge_all(&destination);
        }
        Ok(())
    }

    async fn replay_as(
        &self,
        event: EventId,
        destinations: &[Name],
        replay: Option<String>,
        now: Timestamp,
    ) -> Result<Vec<Made>, Error> {
        let mut inner = self.change()?;
        let source = inner.events.get(&event).map(|(e, _)| e.source.clone());
        let source = source.ok_or_else(|| Error::NotFound(event.to_string()))?;
        let made: Result<Vec<Made>, _> =
            destinations.iter().map(|d| inner.replay(event, (&source, d), replay.clone(), now)).collect();
        let changed = made.iter().flatten().map(|made| made.id).filter(|id| !inner.claims.contains_key(id));
        self.tell_states(&inner, &changed.collect::<Vec<_>>());
        drop(inner);
        self.nudge_all(destinations);
        made
    }

    async fn retry(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        let mut inner = self.change()?;
        let before = inner.changeable(delivery)?;
        let first = inner.first_like(&before);
        let changed = before.retried(now).map_err(|e| Error::Conflict(e.to_string()))?;
        inner.deliveries.insert(delivery, changed.clone());
        inner.reorder(&changed, first, now);
        let changed = inner.deliveries.get(&delivery).cloned().unwrap_or(changed);
        self.tell_states(&inner, &[delivery]);
        drop(inner);
        self.handoffs.nudge(&changed.destination);
        Ok(changed)
    }

    async fn park(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.end(delivery, |before| before.parked(now), now)
    }

    async fn cancel(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        self.end(delivery, |before| before.cancelled(now), now)
    }

    async fn purge(&self, purge: Purge) -> Result<Purged, Error> {
        Ok(self.change()?.purge(&purge))
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        Ok(self.open()?.events.get(&id).map(|(event, _)| event.clone()))
    }

    async fn body(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        Ok(self.open()?.events.get(&id).map(|(_, body)| body.clone()))
    }

    async fn deliveries_of(&self, event: EventId) -> Result<Vec<Tracked>, Error> {
        let inner = self.open()?;
        Ok(inner.of_event(event).map(|d| inner.tracked(d)).collect())
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Tracked>, Error> {
        let inner = self.open()?;
        Ok(inner.deliveries.get(&id).map(|d| inner.tracked(d)))
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, Error> {
        Ok(self.open()?.attempts.get(&delivery).cloned().unwrap_or_default())
    }

    async fn events(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
        let inner = self.open()?;
        let all = inner.events.values().rev().map(|(event, _)| event).filter(|e| inner.shows_event(filter, e)).cloned();
        Ok(page_of(all, page, |event| DeliveryId { event: event.id, ordinal: 0 }))
    }

    async fn events_oldest_first(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
        let inner = self.open()?;
        let all = inner.events.values().map(|(event, _)| event).filter(|e| inner.shows_event(filter, e)).cloned();
        let behind = |event: &Event| page.after.is_none_or(|after| event.id > after.0.event);
        Ok(first_of(all.filter(behind), page, |event| DeliveryId { event: event.id, ordinal: 0 }))
    }

    async fn deliveries(&self, filter: &DeliveryFilter, page: Page) -> Result<Listed<Tracked>, Error> {
        let inner = self.open()?;
        let all = inner.deliveries.values().rev().filter(|d| inner.shows_delivery(filter, d)).map(|d| inner.tracked(d));
        Ok(page_of(all, page, |tracked| tracked.delivery.id))
    }

    fn counts(&self) -> Counts {
        let inner = lock(&self.inner);
        let of = |state| inner.deliveries.values().filter(|d| d.state.name() == state).count() as u64;
        Counts {
            events: inner.events.len() as u64,
            pending: of(StateName::Pending),
            in_flight: inner.claims.len() as u64,
            parked: of(StateName::Parked),
            delivered: of(StateName::Delivered),
            cancelled: of(StateName::Cancelled),
            damaged: 0,
            bytes: inner.bytes_of(|_| true),
            done_bytes: inner.bytes_of(|class| class == Class::Done),
        }
    }

    async fn bytes(&self) -> Result<u64, Error> {
        Ok(lock(&self.inner).events.values().map(|(event, _)| event.body_bytes).sum())
    }

    async fn backlog(&self, destination: &Name) -> Result<Backlog, Error> {
        let inner = self.open()?;
        let mine: Vec<&Delivery> = inner.deliveries.values().filter(|d| d.destination == *destination).collect();
        let of = |state| mine.iter().filter(|d| d.state.name() == state).count() as u64;
        Ok(Backlog {
            pending: of(StateName::Pending),
            in_flight: mine.iter().filter(|d| inner.claims.contains_key(&d.id)).count() as u64,
            parked: of(StateName::Parked),
            oldest_due_at: mine.iter().filter(|d| !d.is_held()).filter_map(|d| d.due()).min(),
        })
    }

    async fn blocked(&self, destination: &Name, limit: usize) -> Result<Blocked, Error> {
        Ok(self.open()?.blocked(destination, limit))
    }

    async fn mend_order(&self, _: &Name, _: Timestamp) -> Result<(), Error> {
        // Memory is not damaged.
        self.open().map(drop)
    }

    fn health(&self) -> Result<(), String> {
        let inner = lock(&self.inner);
        match &inner.failed {
            Some(reason) => Err(reason.clone()),
            None if inner.closed => Err(Error::Closed.to_string()),
            None => Ok(()),
        }
    }

    async fn close(&self) -> Result<(), Error> {
        lock(&self.inner).closed = true;
        Ok(())
    }
}
