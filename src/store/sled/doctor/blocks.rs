//! Goes through the database: once by key, for what should not be there, and once by block, for what should.

use std::collections::BTreeSet;

use sled::Batch;

use super::report::{Kind, Rebuilt, Report};
use crate::record::{Attempt, DeliveryId, EventId, StateName};
use crate::store::Error;
use crate::store::sled::block::{self, EventRecord, Head, States};
use crate::store::sled::keys::{self, BlockId, Key};
use crate::store::sled::shared::{Shared, failed};
use crate::store::sled::tally::Tally;

/// Keys that are written at a time.
const BATCH_KEYS: usize = 256;
/// The indexes.
const INDEXES: [u8; 7] =
    [keys::DUE, keys::ORDER, keys::HELD, keys::BY_STATE, keys::BY_DESTINATION, keys::BY_SOURCE, keys::BY_TYPE];

/// An examination of a database.
pub(super) struct Examination<'e> {
    shared: &'e Shared,
    report: &'e mut Report,
    tally: Tally,
    /// Blocks of which something cannot be read: what the index says of them cannot be judged.
    damaged: BTreeSet<BlockId>,
    /// Keys of the index that should be there, and are.
    found: u64,
    /// The block that was looked at last, for keys in order.
    last: Option<(BlockId, States)>,
    /// What a rebuilt index changes; `None` where it is not rebuilt.
    batch: Option<Batch>,
    waiting: usize,
}

impl<'e> Examination<'e> {
    pub(super) fn new(shared: &'e Shared, report: &'e mut Report, rebuild: bool) -> Self {
        if rebuild {
            report.rebuilt = Some(Rebuilt::default());
        }
        let batch = rebuild.then(Batch::default);
        let (tally, damaged) = (Tally::default(), BTreeSet::new());
        Self { shared, report, tally, damaged, found: 0, last: None, batch, waiting: 0 }
    }

    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut last = None;
        while let Some(block) = self.shared.block_behind(last)? {
            self.block(block)?;
            last = Some(block);
        }
        let mut index_keys = 0;
        for entry in self.shared.tree.iter() {
            let (key, value) = entry.map_err(failed)?;
            self.report.space.live_bytes += (key.len() + value.len()) as u64;
            match key.first() {
                Some(&(keys::HEADS | keys::BODIES | keys::HELD_BY)) => self.part(&key)?,
                Some(&keys::ATTEMPT) => self.attempt(&key, &value)?,
                Some(prefix) if INDEXES.contains(prefix) => index_keys += 1,
                _ => {}
            }
        }
        if index_keys != self.found || self.batch.is_some() {
            self.index_keys()?;
        }
        self.counts()?;
        self.write()
    }

    /// A block: all that belongs to its events.
    fn block(&mut self, block: BlockId) -> Result<(), Error> {
        let states = self.shared.states(block)?;
        let raw = self.shared.raw_heads(block)?;
        let heads: Vec<_> = block::frames(&raw).collect();
        let mut is_whole = states.damaged() == 0;
        if !is_whole {
            self.report.add_many(Kind::StateDamaged, states.damaged() as u64, format!("block {block}"));
        }
        let mut index = states.index(block);
        for (place, record) in states.events() {
            self.count(record);
            let Some(head) = heads.get(place) else {
                is_whole = false;
                self.report.add(Kind::DeliveryWithoutEvent, format!("event {}", record.id));
                continue;
            };
            let Some(head) = head.and_then(block::decode::<Head>) else {
                is_whole = false;
                self.report.add(Kind::HeadDamaged, format!("event {}", record.id));
                continue;
            };
            if head.event.id != record.id {
                is_whole = false;
                self.report.add(Kind::DeliveryWithoutEvent, format!("event {}", record.id));
                continue;
            }
            index.insert(keys::with_block(keys::by_source(&head.event.source), block));
            index.extend(head.event.kind.as_deref().map(|kind| keys::with_block(keys::by_type(kind), block)));
            self.body(block, &head)?;
        }
        if heads.len() > states.0.len() {
            is_whole = false;
            self.report.add_many(Kind::EventWithoutState, (heads.len() - states.0.len()) as u64, format!("block {block}"));
        }
        if !is_whole {
            self.damaged.insert(block);
        }
        self.tally.change(&Tally::default(), &states.tally());
        index.into_iter().try_for_each(|key| self.expected(key))
    }

    fn count(&mut self, record: &EventRecord) {
        let counts = &mut self.report.counts;
        counts.events += 1;
        for delivery in &record.deliveries {
            *match delivery.delivery.state.name() {
                StateName::Pending => &mut counts.pending,
                StateName::Delivered => &mut counts.delivered,
                StateName::Parked => &mut counts.parked,
                StateName::Cancelled => &mut counts.cancelled,
            } += 1;
        }
    }

    fn body(&mut self, block: BlockId, head: &Head) -> Result<(), Error> {
        let body = self.shared.body_below(block, head)?;
        if (body.len() as u64) < head.event.body_bytes {
            self.report.add(Kind::BodyMissing, format!("event {}", head.event.id));
        } else if crc32fast::hash(&body) != head.body_crc {
            self.report.add(Kind::BodyDamaged, format!("event {}", head.event.id));
        }
        Ok(())
    }

    /// A key of the index that should be there.
    fn expected(&mut self, key: Key) -> Result<(), Error> {
        if self.shared.tree.contains_key(&key).map_err(failed)? {
            self.found += 1;
            return Ok(());
        }
        self.report.add(Kind::IndexKeyMissing, in_words(&key));
        self.change(|batch, rebuilt| {
            batch.insert(key, &[]);
            rebuilt.added += 1;
        })
    }

    /// A chunk of heads or bodies.
    fn part(&mut self, key: &[u8]) -> Result<(), Error> {
        if let Some(block) = keys::block_of_chunk(key)
            && self.states(block)?.is_none()
        {
            self.report.add(Kind::PartWithoutBlock, in_words(key));
        }
        Ok(())
    }

    fn attempt(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.report.counts.older_attempts += 1;
        let id = key.get(1..19).and_then(|bytes| bytes.try_into().ok()).map(DeliveryId::from_bytes);
        if block::frames(value).next().flatten().and_then(block::decode::<Attempt>).is_none() {
            self.report.add(Kind::AttemptDamaged, id.map_or_else(|| in_words(key), |id| format!("delivery {id}")));
        }
        let Some(id) = id else { return Ok(()) };
        let Some(block) = self.block_of(id.event)? else {
            self.report.add(Kind::AttemptWithoutDelivery, format!("delivery {id}"));
            return Ok(());
        };
        let has = |states: &States| states.find(id.event).is_some_and(|(_, record)| record.delivery(id).is_some());
        if !self.states(block)?.is_some_and(has) && !self.damaged.contains(&block) {
            self.report.add(Kind::AttemptWithoutDelivery, format!("delivery {id}"));
        }
        Ok(())
    }

    /// The keys of the index, one after the other: each must lead to what it says.
    fn index_keys(&mut self) -> Result<(), Error> {
        for prefix in INDEXES {
            for entry in self.shared.tree.scan_prefix([prefix]) {
                let (key, _) = entry.map_err(failed)?;
                let is_right = match keys::block_at_end(&key) {
                    Some(block) if self.damaged.contains(&block) => true,
                    // What of these a block once needed, it may keep.
                    Some(block) if matches!(prefix, keys::BY_SOURCE | keys::BY_TYPE) => self.states(block)?.is_some(),
                    Some(block) => self.states(block)?.is_some_and(|states| states.index(block).contains(key.as_ref())),
                    None => false,
                };
                if !is_right {
                    self.report.add(Kind::IndexKeyWithoutBlock, in_words(&key));
                    self.change(|batch, rebuilt| {
                        batch.remove(key);
                        rebuilt.removed += 1;
                    })?;
                }
            }
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<(), Error> {
        let mut stored = self.shared.tally().clone();
        for tally in [&mut stored, &mut self.tally] {
            tally.deliveries.retain(|_, counts| counts.iter().any(|n| *n != 0));
        }
        if stored == self.tally {
            return Ok(());
        }
        let events = (stored.events, self.tally.events);
        self.report.add(Kind::CountsWrong, format!("{} events are counted, and {} are there", events.0, events.1));
        let names: BTreeSet<_> = stored.deliveries.keys().chain(self.tally.deliveries.keys()).cloned().collect();
        let records: Vec<_> = names.iter().map(|name| self.tally.record_of(name)).chain([self.tally.record()]).collect();
        self.change(|batch, _| records.into_iter().for_each(|(key, value)| batch.insert(key, value)))
    }

    /// The states of a block; `None` where there is no such block. Keys come in order mostly, so the last one is kept.
    fn states(&mut self, block: BlockId) -> Result<Option<&States>, Error> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != block) {
            self.last = None;
            if self.shared.tree.contains_key(keys::chunk(keys::STATES, block, 0)).map_err(failed)? {
                self.last = Some((block, self.shared.states(block)?));
            }
        }
        Ok(self.last.as_ref().map(|(_, states)| states))
    }

    fn block_of(&self, event: EventId) -> Result<Option<BlockId>, Error> {
        match &self.last {
            Some((block, states)) if states.find(event).is_some() => Ok(Some(*block)),
            _ => self.shared.block_of(event),
        }
    }

    /// Makes a change where the index is rebuilt.
    fn change(&mut self, change: impl FnOnce(&mut Batch, &mut Rebuilt)) -> Result<(), Error> {
        let (Some(batch), Some(rebuilt)) = (&mut self.batch, &mut self.report.rebuilt) else { return Ok(()) };
        change(batch, rebuilt);
        self.waiting += 1;
        if self.waiting < BATCH_KEYS { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), Error> {
        self.waiting = 0;
        let Some(batch) = &mut self.batch else { return Ok(()) };
        self.shared.tree.apply_batch(std::mem::take(batch)).map_err(failed)
    }
}

/// A key as people can read it: its kind, then its bytes.
fn in_words(key: &[u8]) -> String {
    let kind = match key.first() {
        Some(&keys::HEADS) => "heads of block",
        Some(&keys::BODIES) => "bodies of block",
        Some(&keys::HELD_BY) => "bodies in the journal of block",
        Some(&keys::DUE) => "due to",
        Some(&keys::ORDER) => "in order to",
        Some(&keys::HELD) => "held back from",
        Some(&keys::BY_STATE) => "by state",
        Some(&keys::BY_DESTINATION) => "by destination",
        Some(&keys::BY_SOURCE) => "by source",
        Some(&keys::BY_TYPE) => "by type",
        _ => "key",
    };
    let rest = key.get(1..).unwrap_or_default();
    match rest.iter().position(|byte| *byte == 0).map(|end| std::str::from_utf8(&rest[..end])) {
        Some(Ok(name)) if !name.is_empty() => {
            format!("{kind} {name:?}, block {}", keys::block_at_end(key).map_or_else(|| "?".to_owned(), |b| b.to_string()))
        }
        _ => format!("{kind} {}", rest.escape_ascii()),
    }
}
