//! Writes a backup of a store that goes on working: all events, oldest first, each as it is when its turn comes.
//!
//! Blocks are looked for one after the other, up to the newest one at the start: what was acknowledged before is in one of them. Then
//! come the providers' event ids. Memory is that of one block.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::block::{self, DeliveryRecord, EventRecord, Head, States};
use super::dedupe::{DedupeEntry, DedupeKey};
use super::entry::{Arrival, Change, Entry};
use super::keys::BlockId;
use super::shared::Shared;
use crate::record::{DeliveryId, EventId, StateName};
use crate::store::Error;
use crate::store::archive::{Contents, Sender, Writing};

/// Sent at a time, but for an event that is larger.
const PIECE_BYTES: usize = 256 * 1024;
/// Ids of a record.
const IDS: usize = 1000;
/// A block that seems damaged may have been rewritten while it was read; it is read so often.
const READS_MAX: usize = 3;

/// Sends a backup; an error ends it.
pub(super) fn send(shared: &Shared, sender: Sender) {
    let sent = catch_unwind(AssertUnwindSafe(|| Writer::new(shared, &sender).run()));
    let sent = sent.unwrap_or_else(|_| Err(Error::Failed("the storage engine failed unexpectedly".to_owned())));
    match sent {
        Ok(contents) => tracing::info!(events = contents.events, unreadable = contents.unreadable, "a backup was made"),
        Err(error) => {
            tracing::warn!(%error, "a backup was not finished");
            sender.fail(error);
        }
    }
}

struct Writer<'s> {
    shared: &'s Shared,
    sender: &'s Sender,
    writing: Writing,
    contents: Contents,
    /// The newest event that was seen.
    newest: Option<EventId>,
    /// Events that cannot be read.
    lost: BTreeSet<EventId>,
}

impl<'s> Writer<'s> {
    fn new(shared: &'s Shared, sender: &'s Sender) -> Self {
        Self { shared, sender, writing: Writing::begin(), contents: Contents::default(), newest: None, lost: BTreeSet::new() }
    }

    fn run(mut self) -> Result<Contents, Error> {
        let newest = self.shared.block_of(EventId::from_bytes([0xff; 16]))?;
        let mut last = None;
        while last < newest {
            let Some(block) = self.shared.block_behind(last)?.filter(|block| Some(*block) <= newest) else { break };
            match self.put_block(block) {
                Err(Error::Damaged(why)) => self.pass_over(&why),
                put => put?,
            }
            last = Some(block);
            self.send_full()?;
        }
        self.put_ids()?;
        self.writing.close(&self.contents)?;
        self.sender.send(self.writing.take())?;
        Ok(self.contents)
    }

    fn send_full(&mut self) -> Result<(), Error> {
        if self.writing.waiting() < PIECE_BYTES { Ok(()) } else { self.sender.send(self.writing.take()) }
    }

    fn pass_over(&mut self, why: &str) {
        tracing::error!(why, "a record cannot be read; it is not in the backup");
        self.contents.unreadable += 1;
    }

    fn put_block(&mut self, block: BlockId) -> Result<(), Error> {
        let states = read_states(self.shared, block)?;
        for _ in 0..states.damaged() {
            self.pass_over(&format!("the state of an event in block {block}"));
        }
        // After the states, so that a block that grows has all heads.
        let heads = self.shared.raw_heads(block)?;
        for (place, record) in states.events() {
            self.newest = self.newest.max(Some(record.id));
            let put = match self.put_event(block, record, block::frame_at(&heads, place)) {
                Err(Error::Damaged(_)) => self.put_event_again(block, record.id),
                put => put,
            };
            match put {
                Err(Error::Damaged(why)) => {
                    self.pass_over(&why);
                    self.lost.insert(record.id);
                }
                put => put?,
            }
        }
        Ok(())
    }

    /// It may have been rewritten, or taken away, while it was read.
    fn put_event_again(&mut self, block: BlockId, id: EventId) -> Result<(), Error> {
        let Some((place, record)) =
            self.shared.look_at(block, |states| states.find(id).map(|(place, record)| (place, record.clone())))?
        else {
            return Ok(());
        };
        let heads = self.shared.raw_heads(block)?;
        self.put_event(block, &record, block::frame_at(&heads, place))
    }

    fn put_event(&mut self, block: BlockId, record: &EventRecord, encoded: Option<&[u8]>) -> Result<(), Error> {
        let head = encoded.and_then(block::decode::<Head>).filter(|head| head.event.id == record.id);
        let (Some(head), Some(encoded)) = (head, encoded) else {
            return Err(Error::Damaged(format!("the head of event {}", record.id)));
        };
        let body = self.shared.body(block, &head)?;
        let mut attempts = Vec::new();
        for delivery in &record.deliveries {
            attempts.append(&mut attempts_of(self.shared, delivery)?);
        }
        let event = Arc::new(head.event);
        let arrival = Arrival { event, head: encoded.to_vec(), body, spot: None, dedupe: None };
        let change = Change { record: record.clone(), attempts, arrival: Some(arrival) };
        change.encode(|parts| self.writing.push(parts))?;
        count(&change, &mut self.contents);
        Ok(())
    }

    fn put_ids(&mut self) -> Result<(), Error> {
        // From above first: what is not there any more when it is looked for is below by then.
        let above = self.shared.dedupe_above();
        self.shared.runs.all(|chunk| {
            let Some(ids) = chunk else {
                self.pass_over("some of the providers' event ids");
                return Ok(());
            };
            self.put_some_ids(&ids)
        })?;
        above.chunks(IDS).try_for_each(|ids| self.put_some_ids(ids))
    }

    /// Those of newer events are left out, and those of events that are lost: where the provider sends these again, they are new.
    fn put_some_ids(&mut self, ids: &[(DedupeKey, DedupeEntry)]) -> Result<(), Error> {
        let is_known = |entry: &DedupeEntry| Some(entry.event) <= self.newest && !self.lost.contains(&entry.event);
        let ids: Vec<_> = ids.iter().filter(|(_, entry)| is_known(entry)).copied().collect();
        self.writing.push(&[&Entry::encode_ids(&ids)?]);
        self.contents.event_ids += ids.len() as u64;
        self.send_full()
    }
}

/// What an entry adds to what a backup holds.
pub(super) fn count(change: &Change, contents: &mut Contents) {
    contents.events += u64::from(change.arrival.is_some());
    contents.body_bytes += change.arrival.as_ref().map_or(0, |arrival| arrival.body.len() as u64);
    contents.attempts += change.attempts.len() as u64;
    for delivery in &change.record.deliveries {
        contents.attempts += u64::from(delivery.newest().is_some());
        *match delivery.delivery.state.name() {
            StateName::Pending => &mut contents.pending,
            StateName::Delivered => &mut contents.delivered,
            StateName::Parked => &mut contents.parked,
            StateName::Cancelled => &mut contents.cancelled,
        } += 1;
    }
}

/// The states of a block's events.
fn read_states(shared: &Shared, block: BlockId) -> Result<States, Error> {
    for _ in 1..READS_MAX {
        let states = shared.states(block)?;
        if states.damaged() == 0 {
            return Ok(states);
        }
    }
    shared.states(block)
}

/// The attempts of a delivery that have keys of their own, as far as its record knows them.
fn attempts_of(shared: &Shared, record: &DeliveryRecord) -> Result<Vec<(DeliveryId, u32, Bytes)>, Error> {
    let (id, made, newest) = (record.delivery.id, record.delivery.attempts_made, record.newest().map(|newest| newest.number));
    if made == 0 || (made == 1 && newest == Some(1)) {
        return Ok(Vec::new());
    }
    let mut attempts = shared.attempts(id)?;
    attempts.sort_by_key(|attempt| attempt.number);
    attempts.dedup_by_key(|attempt| attempt.number);
    // Newer ones came after the record was read.
    attempts.retain(|attempt| attempt.number <= made && Some(attempt.number) != newest);
    attempts.iter().map(|attempt| Ok((id, attempt.number, block::encode(attempt)?.into()))).collect()
}
