//! The writer's side of the store: turns a group of jobs into one batch of sled, in the order in which they came.
//!
//! New events of a group become blocks. Whatever changes an older event loads its block's states once, changes them in memory,
//! and at the end of the group the difference is written: states, index keys, counts. So later jobs of a group see what earlier
//! ones did.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::block::{DeliveryRecord, EventRecord};
use super::dedupe::DedupeEntry;
use super::group::{Fresh, Group, Job, New, Then};
use super::keys::{self, Key};
use super::shared::{Shared, failed};
use crate::record::{Delivery, DeliveryId, Event, EventId, EventIds, Name, StateName};
use crate::store::commit::{Ledger, Written};
use crate::store::{Appended, Error, Settlement};
use crate::time::Timestamp;

/// Dedupe entries that are looked at in each group, so that expired ones go.
const SWEEP_PER_GROUP: usize = 8;

/// Writes groups to sled.
pub(super) struct SledLedger {
    pub(super) tree: sled::Db,
    pub(super) file: File,
    pub(super) shared: Arc<Shared>,
    ids: EventIds,
    sweep_from: Key,
}

impl SledLedger {
    pub(super) fn new(tree: sled::Db, file: File, shared: Arc<Shared>, newest: Option<EventId>) -> Self {
        let mut ids = EventIds::default();
        if let Some(newest) = newest {
            // Ids go on rising even where the clock was set back over a restart.
            ids.next(newest.made_at().after(Duration::from_millis(1)), 0);
        }
        Self { tree, file, shared, ids, sweep_from: vec![keys::DEDUPE] }
    }

    /// Lanes that have something new are told once the group is durable.
    fn nudge(&self, nudges: Vec<Name>) -> Then {
        let shared = self.shared.clone();
        Box::new(move || nudges.iter().for_each(|destination| shared.handoffs.nudge(destination)))
    }

    fn sweep(&mut self, now: Timestamp, group: &mut Group) {
        let end = vec![keys::DEDUPE + 1];
        let mut last = None;
        for entry in self.tree.range(self.sweep_from.clone()..end).take(SWEEP_PER_GROUP) {
            let Ok((key, value)) = entry else { break };
            let expired = DedupeEntry::decode(&value).is_none_or(|entry| entry.until <= now);
            if expired && !group.dedupe.contains_key(key.as_ref()) {
                group.batch.remove(key.clone());
            }
            last = Some(key);
        }
        self.sweep_from = last.map_or_else(|| vec![keys::DEDUPE], |key| [&key[..], &[0]].concat());
    }
}

impl Ledger for SledLedger {
    type Job = Job;

    fn is_urgent(job: &Job) -> bool {
        !matches!(job, Job::Settle(_) | Job::Release(_))
    }

    fn weight(job: &Job) -> usize {
        match job {
            Job::Append { new, .. } => new.head.len() + new.body.len(),
            _ => 0,
        }
    }

    fn write(&mut self, jobs: Vec<Job>) -> Result<Written, Error> {
        let mut group = Group::default();
        let mut newest = Timestamp::default();
        for job in jobs {
            if let Job::Append { new, .. } = &job {
                newest = newest.max(new.event.received_at);
            }
            self.take(job, &mut group)?;
        }
        self.shared.hold_back(group.new.first().map(|first| first.id));
        self.shared.place_new(&mut group);
        self.write_changes(&mut group)?;
        self.sweep(newest, &mut group);
        self.tree.apply_batch(std::mem::take(&mut group.batch)).map_err(failed)?;
        group.freed.iter().for_each(|claim| self.shared.claims.free(*claim));
        let shared = self.shared.clone();
        // The lanes first: who is answered may look at once for what the lanes have.
        let then = std::iter::once(self.nudge(group.nudges)).chain(group.handovers).chain(group.then).collect();
        Ok(Written { first: Some(Box::new(move || shared.hold_back(None))), then, bytes: group.bytes })
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.tree.flush().map_err(failed)?;
        // What makes it durable: sled's own flush ends before the drive has everything.
        self.file.sync_data().map_err(|error| Error::Failed(format!("sync: {error}")))
    }
}

impl SledLedger {
    fn take(&mut self, job: Job, group: &mut Group) -> Result<(), Error> {
        match job {
            Job::Append { new, reply } => {
                let appended = self.append(*new, group)?;
                group.then.push(Box::new(move || drop(reply.send(Ok(appended)))));
            }
            Job::Settle(settlement) => self.settle(*settlement, group)?,
            Job::Release(claim) => {
                group.nudges.extend(self.shared.claims.destination(claim));
                group.freed.push(claim);
            }
            Job::Replay { event, destinations, now, reply } => {
                let made = self.replay(event, &destinations, now, group)?;
                group.then.push(Box::new(move || drop(reply.send(made))));
            }
            Job::Retry { delivery, now, reply } => {
                let changed = self.change(delivery, group, |d| d.retried(now))?;
                group.then.push(Box::new(move || drop(reply.send(changed))));
            }
            Job::Cancel { delivery, now, reply } => {
                let changed = self.change(delivery, group, |d| d.cancelled(now))?;
                group.then.push(Box::new(move || drop(reply.send(changed))));
            }
        }
        Ok(())
    }

    fn append(&mut self, new: New, group: &mut Group) -> Result<Appended, Error> {
        if let Some(dedupe) = &new.dedupe {
            let key = keys::dedupe(&new.event.source, &dedupe.key);
            if let Some(first) = group.dedupe.get(&key).and_then(|place| group.new.get_mut(*place)) {
                first.duplicates += 1;
                return Ok(Appended::Duplicate(first.id));
            }
            let known = self.tree.get(&key).map_err(failed)?.and_then(|value| DedupeEntry::decode(&value));
            let known = known.filter(|entry| new.event.received_at < entry.until);
            if let Some(entry) = known
                && self.repeat(entry.event, new.event.received_at, group)?
            {
                return Ok(Appended::Duplicate(entry.event));
            }
            group.dedupe.insert(key, group.new.len());
        }
        let id = self.ids.next(new.event.received_at, rand::random());
        group.new.push(Fresh { new, id, duplicates: 0 });
        Ok(Appended::Stored(id))
    }

    /// Counts a repeat, and gives parked deliveries a new budget: somebody pressed Redeliver. `false` where the event is gone.
    fn repeat(&self, id: EventId, now: Timestamp, group: &mut Group) -> Result<bool, Error> {
        let Some(event) = self.load(id, group)? else { return Ok(false) };
        event.duplicates = event.duplicates.saturating_add(1);
        let mut woken = Vec::new();
        for record in event.deliveries.iter_mut().filter(|record| record.is(StateName::Parked)) {
            if let Ok(retried) = record.delivery.clone().retried(now) {
                woken.push(retried.destination.clone());
                record.delivery = retried;
            }
        }
        group.nudges.append(&mut woken);
        Ok(true)
    }

    fn settle(&self, settlement: Settlement, group: &mut Group) -> Result<(), Error> {
        let Settlement { claim, attempt, verdict, now } = settlement;
        if !self.shared.claims.holds(claim) {
            return Ok(());
        }
        group.freed.push(claim);
        let Some(record) = self.load(claim.delivery.event, group)?.and_then(|event| event.delivery_mut(claim.delivery)) else {
            return Ok(());
        };
        let Ok(delivery) = record.delivery.clone().attempted(&attempt, verdict, now) else { return Ok(()) };
        record.delivery = delivery;
        let comes_again = record.delivery.due().is_some();
        let destination = record.delivery.destination.clone();
        for (number, attempt) in record.put_newest(&attempt)? {
            group.put_attempt(claim.delivery, number, &attempt);
        }
        // The lane may have looked before its claim was given back.
        if comes_again {
            group.nudges.push(destination);
        }
        Ok(())
    }

    fn replay(
        &self,
        id: EventId,
        destinations: &[Name],
        now: Timestamp,
        group: &mut Group,
    ) -> Result<Result<Vec<DeliveryId>, Error>, Error> {
        let Some(source) = self.load_head(id)?.map(|event| event.source) else {
            return Ok(Err(Error::NotFound(format!("event {id}"))));
        };
        let Some(event) = self.load(id, group)? else { return Ok(Err(Error::NotFound(format!("event {id}")))) };
        let mut made = Vec::with_capacity(destinations.len());
        for destination in destinations {
            let pending = |r: &&mut DeliveryRecord| r.is(StateName::Pending) && r.delivery.destination == *destination;
            if let Some(record) = event.deliveries.iter_mut().find(pending) {
                // In flight: it is on its way already. Else it is due now.
                if !self.shared.claims.has(record.delivery.id)
                    && let Ok(retried) = record.delivery.clone().retried(now)
                {
                    record.delivery = retried;
                }
                made.push(record.delivery.id);
                continue;
            }
            let Some(ordinal) = event.next_ordinal() else {
                return Ok(Err(Error::Conflict(format!("event {id} was replayed too often"))));
            };
            let delivery = Delivery::new(DeliveryId { event: id, ordinal }, source.clone(), destination.clone(), now);
            made.push(delivery.id);
            event.deliveries.push(DeliveryRecord::new(delivery));
        }
        group.nudges.extend_from_slice(destinations);
        Ok(Ok(made))
    }

    fn change<F>(&self, id: DeliveryId, group: &mut Group, change: F) -> Result<Result<Delivery, Error>, Error>
    where
        F: FnOnce(Delivery) -> Result<Delivery, crate::record::IllegalChange>,
    {
        let missing = || Error::NotFound(format!("delivery {id}"));
        let Some(record) = self.load(id.event, group)?.and_then(|event| event.delivery_mut(id)) else {
            return Ok(Err(missing()));
        };
        if self.shared.claims.has(id) {
            return Ok(Err(Error::Conflict("the delivery is in flight".to_owned())));
        }
        match change(record.delivery.clone()) {
            Err(illegal) => Ok(Err(Error::Conflict(illegal.to_string()))),
            Ok(changed) => {
                record.delivery = changed.clone();
                group.nudges.push(changed.destination.clone());
                Ok(Ok(changed))
            }
        }
    }

    /// The record of an event, in the group's memory.
    fn load<'g>(&self, id: EventId, group: &'g mut Group) -> Result<Option<&'g mut EventRecord>, Error> {
        let Some(block) = self.shared.block_of(id)? else { return Ok(None) };
        if let std::collections::btree_map::Entry::Vacant(vacant) = group.blocks.entry(block) {
            let states = self.shared.states(block)?;
            vacant.insert((states.clone(), states));
        }
        Ok(group.blocks.get_mut(&block).and_then(|(_, now)| now.find_mut(id)))
    }

    fn load_head(&self, id: EventId) -> Result<Option<Event>, Error> {
        match self.shared.locate(id)? {
            Some((block, place)) => self.shared.event(block, place).map(Some),
            None => Ok(None),
        }
    }

    /// Writes what became of the blocks that the group touched.
    fn write_changes(&self, group: &mut Group) -> Result<(), Error> {
        let mut tally = BTreeMap::<Name, [i64; 4]>::new();
        let mut events = 0;
        for (block, (before, after)) in std::mem::take(&mut group.blocks) {
            if before == after {
                continue;
            }
            events += after.0.len() as i64 - before.0.len() as i64;
            let (old, new) = (before.index(block), after.index(block));
            old.difference(&new).for_each(|key| group.batch.remove(&key[..]));
            new.difference(&old).for_each(|key| group.batch.insert(&key[..], &[]));
            add(&mut tally, before.tally(), -1);
            add(&mut tally, after.tally(), 1);
            let encoded = after.encode()?;
            group.bytes += encoded.len();
            group.put_long(keys::STATES, block, encoded);
        }
        for (key, value) in self.shared.count(events, &tally) {
            group.batch.insert(key, value);
        }
        group.nudges.sort();
        group.nudges.dedup();
        Ok(())
    }
}

fn add(tally: &mut BTreeMap<Name, [i64; 4]>, more: BTreeMap<Name, [i64; 4]>, sign: i64) {
    for (destination, counts) in more {
        let sum = tally.entry(destination).or_default();
        sum.iter_mut().zip(counts).for_each(|(sum, n)| *sum += sign * n);
    }
}
