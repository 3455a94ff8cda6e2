//! The writer's side of the store: turns a group of jobs into entries of the journal, in the order in which they came.
//!
//! A group is decided, written to the journal, made durable, and only then seen: readers and lanes never get what a loss of power
//! could take back, but for outcomes that nobody waits for. Later jobs of a group see what earlier ones did.

use std::collections::btree_map;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::block::DeliveryRecord;
use super::checkpoint::Checkpoints;
use super::entry::{Change, Entry};
use super::group::{Fresh, Group, Job, New, Then, Touched};
use super::keys::BlockId;
use super::layers::Lifted;
use super::order::Line;
use super::overlay::Place;
use super::shared::Shared;
use crate::record::{Delivery, DeliveryId, Event, EventId, EventIds, Name, StateName};
use crate::store::commit::{Ledger, Written};
use crate::store::journal::Journal;
use crate::store::{Appended, Error, Made, Settlement, space};
use crate::time::Timestamp;

/// Writes groups to the journal.
pub(super) struct SledLedger {
    journal: Journal,
    pub(super) shared: Arc<Shared>,
    checkpoints: Arc<Checkpoints>,
    ids: EventIds,
    /// The position of sled that the journal knows of.
    noted: u64,
    /// The journal's bytes on disk; for whoever asks.
    bytes: Arc<AtomicU64>,
    folder: PathBuf,
}

/// What a group wrote to the journal, with the numbers of the records.
struct Changes {
    changes: Vec<(u64, Place, Change)>,
    purges: Vec<(u64, BlockId, Vec<EventId>)>,
}

impl SledLedger {
    pub(super) fn new(
        journal: Journal,
        shared: Arc<Shared>,
        checkpoints: Arc<Checkpoints>,
        newest: Option<EventId>,
        bytes: Arc<AtomicU64>,
        folder: &Path,
    ) -> Self {
        let mut ids = EventIds::default();
        if let Some(newest) = newest {
            // Ids go on rising even where the clock was set back over a restart.
            ids.next(newest.made_at().after(Duration::from_millis(1)), 0);
        }
        bytes.store(journal.bytes(), Ordering::Relaxed);
        Self { journal, shared, checkpoints, ids, noted: 0, bytes, folder: folder.into() }
    }

    /// Lanes that have something new are told once the group is durable.
    fn nudge(&self, mut nudges: Vec<Name>) -> Then {
        let shared = self.shared.clone();
        nudges.sort();
        nudges.dedup();
        Box::new(move || nudges.iter().for_each(|destination| shared.handoffs.nudge(destination)))
    }

    /// Writes the group's changes to the journal; gives each with its number and place.
    fn write_changes(&mut self, group: &mut Group) -> Result<Changes, Error> {
        let checkpoint = self.checkpoints.number()?;
        if checkpoint > self.noted {
            Entry::push_checkpoint(&mut self.journal, checkpoint)?;
            self.noted = checkpoint;
        }
        let new = self.shared.place_new(group).into_iter().map(|change| (Place::New, change));
        // The newest first: a turn is written before the end that it follows, see `order`.
        let touched = std::mem::take(&mut group.touched).into_values().rev().filter(|touched| touched.is_changed);
        let touched = touched
            .map(|Touched { block, now, attempts, .. }| (Place::In(block), Change { record: now, attempts, arrival: None }));
        let changes = new.chain(touched).map(|(place, mut change)| Ok((change.push(&mut self.journal)?, place, change)));
        let changes = changes.collect::<Result<Vec<_>, Error>>()?;
        // Behind the others, which are of other events.
        let purges = std::mem::take(&mut group.purges).into_iter();
        let purges = purges.map(|(block, gone)| Ok((Entry::push_purge(&mut self.journal, &gone)?, block, gone)));
        let purges = purges.collect::<Result<Vec<_>, Error>>()?;
        self.journal.write().map_err(Error::from_io)?;
        Ok(Changes { changes, purges })
    }

    /// Gives what is ripe to sled; waits where too much is above it.
    fn checkpoint(&self) -> Result<(), Error> {
        if self.shared.is_full() {
            self.checkpoints.wait()?;
        }
        // sled takes a failed write for its end. What is above it is in the journal, whose files are on the disk already.
        let (is_ripe, is_urgent) = self.shared.is_ripe();
        if is_ripe && !is_urgent && space::is_exhausted(&self.folder) {
            return Ok(());
        }
        if let Some(layer) = self.shared.freeze(false) {
            self.checkpoints.begin(layer);
        }
        Ok(())
    }
}

impl Ledger for SledLedger {
    type Job = Job;

    fn is_urgent(job: &Job) -> bool {
        !matches!(job, Job::Settle(..) | Job::Release(_) | Job::Hold(_) | Job::Turn { .. } | Job::Purge { .. })
    }

    fn is_awaited(job: &Job) -> bool {
        matches!(job, Job::Settle(_, true))
    }

    fn weight(job: &Job) -> usize {
        match job {
            Job::Append { new, .. } => new.head.len() + new.body.len(),
            _ => 0,
        }
    }

    fn write(&mut self, jobs: Vec<Job>) -> Result<Written, Error> {
        let mut group = Group::begin(self.shared.handoffs.feed().is_watched());
        let bytes = jobs.iter().map(Self::weight).sum();
        for job in jobs {
            self.take(job, &mut group)?;
        }
        let Changes { changes, purges } = self.write_changes(&mut group)?;
        let (shared, freed, facts) = (self.shared.clone(), group.freed, group.facts);
        let first = move || {
            shared.apply(changes);
            shared.apply_purges(purges);
            freed.iter().for_each(|claim| shared.claims.free(*claim));
            // Only now: whoever hears of it may look at once, and the next group's facts come behind these.
            facts.into_iter().for_each(|facts| shared.handoffs.feed().tell(facts));
        };
        // The lanes first: who is answered may look at once for what the lanes have.
        let then = std::iter::once(self.nudge(group.nudges)).chain(group.handovers).collect();
        Ok(Written { first: Some(Box::new(first)), then, answers: group.answers, bytes })
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.journal.sync().map_err(|error| Error::Failed(format!("sync: {error}")))?;
        self.bytes.store(self.journal.bytes(), Ordering::Relaxed);
        Ok(())
    }

    fn seen(&mut self) -> Result<(), Error> {
        // Here only: sled must never be ahead of the journal, and no group may find its blocks moved away between its writing and
        // its being seen.
        self.checkpoint()
    }
}

impl SledLedger {
    fn take(&mut self, job: Job, group: &mut Group) -> Result<(), Error> {
        match job {
            Job::Append { mut new, reply } => {
                let asking = new.asking.take();
                let appended = self.append(*new, group)?;
                if let (Some(asking), Appended::Stored(event) | Appended::Duplicate(event)) = (asking, appended) {
                    self.shared.handoffs.enlist(asking, event);
                }
                group.answers.push(reply.with(Ok(appended)));
            }
            Job::Settle(settlement, _) => self.settle(*settlement, group)?,
            Job::Release(claim) => {
                group.nudges.extend(self.shared.claims.destination(claim));
                group.freed.push(claim);
            }
            Job::Hold(delivery) => self.hold_back(delivery, group)?,
            Job::Turn { delivery, now } => self.let_go(delivery, now, group)?,
            Job::Replay { event, destinations, replay, now, reply } => {
                let made = self.replay(event, &destinations, replay, now, group)?;
                group.answers.push(reply.with(made));
            }
            Job::Retry { delivery, now, reply } => {
                let changed = self.change(delivery, now, group, |d| d.retried(now))?;
                group.answers.push(reply.with(changed));
            }
            Job::Park { delivery, now, reply } => {
                let changed = self.change(delivery, now, group, |d| d.parked(now))?;
                group.answers.push(reply.with(changed));
            }
            Job::Cancel { delivery, now, reply } => {
                let changed = self.change(delivery, now, group, |d| d.cancelled(now))?;
                group.answers.push(reply.with(changed));
            }
            Job::Purge { purge, blocks, reply } => {
                let purged = self.shared.purge(&purge, &blocks, group)?;
                group.answers.push(reply.with(Ok(purged)));
            }
        }
        Ok(())
    }

    fn append(&mut self, new: New, group: &mut Group) -> Result<Appended, Error> {
        if let Some((key, _)) = new.dedupe {
            if let Some(first) = group.dedupe.get(&key).and_then(|place| group.new.get_mut(*place)) {
                first.duplicates += 1;
                return Ok(Appended::Duplicate(first.id));
            }
            if let Some(entry) = self.shared.dedupe(&key, new.event.received_at)?
                && self.repeat(entry.event, new.event.received_at, group)?
            {
                return Ok(Appended::Duplicate(entry.event));
            }
            group.dedupe.insert(key, group.new.len());
        }
        let id = self.ids.next(new.event.received_at, rand::random());
        let held = self.join_all(&new, id, group)?;
        group.new.push(Fresh { new, id, duplicates: 0, held });
        Ok(Appended::Stored(id))
    }

    /// The deliveries of a new event join their lines. Gives the ordinals of those that must wait.
    fn join_all(&self, new: &New, id: EventId, group: &mut Group) -> Result<Vec<u16>, Error> {
        let mut held = Vec::new();
        for ((destination, key), ordinal) in new.destinations.iter().zip(&new.order_keys).zip(1..) {
            let Some(key) = key else { continue };
            let line = Line { destination: destination.clone(), key: key.clone() };
            if self.join(line, DeliveryId { event: id, ordinal }, new.event.received_at, group)? {
                held.push(ordinal);
            }
        }
        Ok(held)
    }

    /// Counts a repeat, and gives parked deliveries a new budget: somebody pressed Redeliver. `false` where the event may be lost to
    /// damage: then the repeat takes its place. What was purged is not delivered again.
    fn repeat(&self, id: EventId, now: Timestamp, group: &mut Group) -> Result<bool, Error> {
        let lines = self.lines_before(id, |delivery| delivery.state.name() == StateName::Parked, group)?;
        let Some(Touched { now: event, is_changed, .. }) = self.load(id, group)? else {
            return Ok(group.gone.contains(&id) || !matches!(self.shared.lift(id)?, Lifted::MayBeDamaged));
        };
        *is_changed = true;
        event.duplicates = event.duplicates.saturating_add(1);
        let (mut woken, mut changed) = (Vec::new(), Vec::new());
        for record in event.deliveries.iter_mut().filter(|record| record.is(StateName::Parked)) {
            if let Ok(retried) = record.delivery.clone().retried(now) {
                woken.push(retried.destination.clone());
                changed.push(retried.id);
                record.delivery = retried;
            }
        }
        group.nudges.append(&mut woken);
        self.reorder_all(lines, now, group)?;
        group.tell_states(&changed);
        Ok(true)
    }

    fn settle(&self, settlement: Settlement, group: &mut Group) -> Result<(), Error> {
        let Settlement { claim, attempt, verdict, now, word } = settlement;
        // Repeats that came since it was told at first: those behind this change see what it changed.
        word.iter().for_each(|word| self.shared.handoffs.waiters().tell(claim.delivery.event, word));
        if !self.shared.claims.holds(claim) {
            return Ok(());
        }
        group.freed.push(claim);
        let Some(touched) = self.load(claim.delivery.event, group)? else { return Ok(()) };
        let Touched { now: event, attempts, is_changed, .. } = touched;
        let Some(record) = event.delivery_mut(claim.delivery) else { return Ok(()) };
        let Ok(delivery) = record.delivery.clone().attempted(&attempt, verdict, now) else { return Ok(()) };
        record.delivery = delivery;
        *is_changed = true;
        let comes_again = record.delivery.due().is_some();
        let (destination, line) = (record.delivery.destination.clone(), Line::of(&record.delivery));
        for (number, attempt) in record.put_newest(&attempt)? {
            attempts.push((claim.delivery, number, attempt));
        }
        // The lane may have looked before its claim was given back.
        if comes_again {
            group.nudges.push(destination);
        }
        if let Some(line) = line {
            self.reorder(&line, claim.delivery, None, now, group)?;
        }
        group.tell_attempt(claim.delivery, attempt);
        Ok(())
    }

    fn replay(
        &self,
        id: EventId,
        destinations: &[Name],
        replay: Option<String>,
        now: Timestamp,
        group: &mut Group,
    ) -> Result<Result<Vec<Made>, Error>, Error> {
        let Some(source) = self.load_head(id)?.map(|event| event.source) else {
            return Ok(Err(Error::NotFound(format!("event {id}"))));
        };
        let lines = self.lines_before(id, |delivery| destinations.contains(&delivery.destination), group)?;
        let Some(Touched { now: event, is_changed, .. }) = self.load(id, group)? else {
            return Ok(Err(Error::NotFound(format!("event {id}"))));
        };
        let (mut made, mut changed) = (Vec::with_capacity(destinations.len()), Vec::new());
        for destination in destinations {
            let pending = |r: &&mut DeliveryRecord| r.is(StateName::Pending) && r.delivery.destination == *destination;
            if let Some(record) = event.deliveries.iter_mut().find(pending) {
                // In flight: it is on its way already. Else it is due now.
                if !self.shared.claims.has(record.delivery.id)
                    && let Ok(retried) = record.delivery.clone().retried(now)
                {
                    record.delivery = retried;
                    changed.push(record.delivery.id);
                    *is_changed = true;
                }
                made.push(Made { id: record.delivery.id, is_new: false });
                continue;
            }
            let Some(ordinal) = event.next_ordinal() else {
                return Ok(Err(Error::Conflict(format!("event {id} was replayed too often"))));
            };
            let earlier = event.deliveries.iter().map(|record| &record.delivery).rfind(|d| d.destination == *destination);
            let order_key = earlier.and_then(|delivery| delivery.order_key.clone());
            let delivery = Delivery::new(DeliveryId { event: id, ordinal }, source.clone(), destination.clone(), now);
            let delivery = Delivery { replay_id: replay.clone(), ..delivery.with_order_key(order_key) };
            made.push(Made { id: delivery.id, is_new: true });
            changed.push(delivery.id);
            event.deliveries.push(DeliveryRecord::new(delivery));
            *is_changed = true;
        }
        group.nudges.extend_from_slice(destinations);
        let ids: Vec<DeliveryId> = made.iter().map(|made| made.id).collect();
        let lines = self.lines_of(&ids, &lines, group);
        self.reorder_all(lines, now, group)?;
        group.tell_states(&changed);
        Ok(Ok(made))
    }

    fn change<F>(&self, id: DeliveryId, now: Timestamp, group: &mut Group, change: F) -> Result<Result<Delivery, Error>, Error>
    where
        F: FnOnce(Delivery) -> Result<Delivery, crate::record::IllegalChange>,
    {
        let missing = || Error::NotFound(format!("delivery {id}"));
        let lines = self.lines_before(id.event, |delivery| delivery.id == id, group)?;
        let Some(Touched { now: event, is_changed, .. }) = self.load(id.event, group)? else { return Ok(Err(missing())) };
        let Some(record) = event.delivery_mut(id) else { return Ok(Err(missing())) };
        if self.shared.claims.has(id) {
            return Ok(Err(Error::Conflict("the delivery is in flight".to_owned())));
        }
        match change(record.delivery.clone()) {
            Err(illegal) => Ok(Err(Error::Conflict(illegal.to_string()))),
            Ok(changed) => {
                record.delivery = changed.clone();
                *is_changed = true;
                group.nudges.push(changed.destination.clone());
                self.reorder_all(lines, now, group)?;
                group.tell_states(&[id]);
                // As its line leaves it.
                let now = self.load(id.event, group)?.and_then(|touched| touched.now.delivery(id));
                Ok(Ok(now.map_or(changed, |record| record.delivery.clone())))
            }
        }
    }

    /// The record of an event, in the group's memory.
    pub(super) fn load<'g>(&self, id: EventId, group: &'g mut Group) -> Result<Option<&'g mut Touched>, Error> {
        if group.gone.contains(&id) {
            return Ok(None);
        }
        if let btree_map::Entry::Vacant(vacant) = group.touched.entry(id) {
            let Lifted::There(block, now) = self.shared.lift(id)? else { return Ok(None) };
            vacant.insert(Touched { block, now, is_changed: false, attempts: Vec::new() });
        }
        Ok(group.touched.get_mut(&id))
    }

    fn load_head(&self, id: EventId) -> Result<Option<Event>, Error> {
        self.shared.read_event(id, |block, place| self.shared.event(block, place))
    }
}
