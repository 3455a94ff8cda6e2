//! How events that are not needed any more leave sled: looked for by a reader, judged by the writer, and removed by a checkpoint.
//!
//! In a block, an event that is gone leaves its id, so that places stay and a replay of the journal knows it. Heads and bodies are
//! rewritten with what is left once half of them is of no use, so one survivor does not keep the others' bytes. Of a block with
//! nothing left the ids stay for one more checkpoint: the journal is past them then.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::block::{self, Head, OVER, Slot, States, UNROUTED};
use super::bodies::{Bodies, CHUNK_BYTES};
use super::checkpoint::{Checkpointer, Filling};
use super::group::Group;
use super::keys::{self, BlockId, Key};
use super::overlay::{Layer, Parts};
use super::shared::{Shared, failed};
use crate::record::{EventId, StateName};
use crate::store::purge::Class;
use crate::store::{Error, Purge, Purged};

/// Blocks of which a step removes events: the writer reads each, and others wait for it.
const PURGED_BLOCKS_MAX: usize = 16;
/// Blocks that a step looks at.
const LOOKED_BLOCKS_MAX: usize = 256;
/// A leaf has states of eight blocks at least: with the first time, some 24 changes of which all but a few are behind the tenth.
const SETTLED_TIMES: usize = 2;
/// The database may take this part (of a hundred) of its events' bytes, and this beside, before space is won back.
const GOOD_PART: u64 = 150;
const GOOD_BYTES: u64 = 32 << 20;
/// Pages that one checkpoint moves to win space back.
const MOVED_PAGES_MAX: usize = 192;
/// Changes of a leaf after which sled writes it anew, one more than it keeps apart; then it moves one page as well.
const CHANGES: usize = 11;
/// Pages that are moved between two syncs: sled must not be far ahead of them, see `checkpoint.rs`.
const MOVED_PAGES_SYNCED: usize = 24;
/// Blocks of which the last trace is removed by one checkpoint; the rest is for the next.
const FORGOTTEN_BLOCKS_MAX: usize = 4096;

impl Shared {
    /// Blocks of which something may go, oldest first, and behind which one to look on; `None` where all were seen.
    pub(super) fn purgeable(&self, purge: &Purge) -> Result<(Vec<BlockId>, Option<EventId>), Error> {
        let (looked_at, is_all) = self.settled_blocks(purge)?;
        let mut done_bytes = self.tally().bytes_of(Class::Done);
        let (mut found, mut last) = (Vec::new(), None);
        for block in looked_at {
            // Behind it nothing is old enough, and bytes are no reason any more.
            if !purge.is_over(done_bytes) && EventId::first_at(purge.done_before.max(purge.parked_before)) < block {
                return Ok((found, None));
            }
            if found.len() == PURGED_BLOCKS_MAX {
                return Ok((found, last));
            }
            last = Some(block);
            let goes = self.look_at(block, |states| going(purge, states, done_bytes, |_| true))?;
            let freed: u64 = goes.iter().filter(|(_, class, _)| *class == Class::Done).map(|(.., bytes)| bytes).sum();
            done_bytes = done_bytes.saturating_sub(freed);
            if !goes.is_empty() {
                found.push(block);
            }
        }
        Ok((found, if is_all { None } else { last }))
    }

    /// Blocks with settled deliveries, or events without any, behind `after`, and whether these are all.
    fn settled_blocks(&self, purge: &Purge) -> Result<(BTreeSet<BlockId>, bool), Error> {
        let newest = EventId::from_bytes([0xff; 16]);
        let is_over = purge.is_over(self.tally().bytes_of(Class::Done));
        let done_until = if is_over { newest } else { EventId::first_at(purge.done_before) };
        let parked_until = EventId::first_at(purge.parked_before);
        let states = [
            (StateName::Delivered as u8, done_until),
            (StateName::Cancelled as u8, done_until),
            (UNROUTED, done_until),
            (StateName::Parked as u8, parked_until),
        ];
        let (mut blocks, mut behind) = (BTreeSet::new(), newest);
        for (state, until) in states {
            let key = |block| keys::with_block(keys::by_state(state), block);
            let start = purge.after.unwrap_or(EventId::from_bytes([0; 16]));
            if start > until {
                continue;
            }
            let mut count = 0;
            for key in self.scan_between(key(start), key(until), false) {
                let Some(block) = keys::block_at_end(&key?).filter(|block| purge.after.is_none_or(|after| after < *block)) else {
                    continue;
                };
                blocks.insert(block);
                count += 1;
                if count == LOOKED_BLOCKS_MAX {
                    behind = behind.min(block);
                    break;
                }
            }
        }
        // Behind the last one of a state that has more, some are missing.
        blocks.retain(|block| *block <= behind);
        Ok((blocks, behind == newest))
    }

    /// Takes what may go of these blocks into the group.
    pub(super) fn purge(&self, purge: &Purge, blocks: &[BlockId], group: &mut Group) -> Result<Purged, Error> {
        let mut purged = Purged::default();
        let mut done_bytes = self.tally().bytes_of(Class::Done);
        for block in blocks {
            // What this group changes already is left for another time.
            let is_free = |id| !group.touched.contains_key(&id) && !group.gone.contains(&id);
            let goes = self.lift_where(*block, |states| {
                let goes = going(purge, states, done_bytes, is_free);
                (!goes.is_empty(), goes)
            })?;
            for (id, class, bytes) in &goes {
                done_bytes = done_bytes.saturating_sub(if *class == Class::Done { *bytes } else { 0 });
                purged.events += 1;
                purged.bytes += bytes;
                group.gone.insert(*id);
            }
            if !goes.is_empty() {
                group.purges.push((*block, goes.into_iter().map(|(id, ..)| id).collect()));
            }
        }
        Ok(purged)
    }
}

/// The events of a block that may go, with their bytes.
fn going(purge: &Purge, states: &States, mut done_bytes: u64, is_free: impl Fn(EventId) -> bool) -> Vec<(EventId, Class, u64)> {
    let mut going = Vec::new();
    for (_, event) in states.events().filter(|(_, event)| is_free(event.id)) {
        let deliveries = event.deliveries.iter().map(|record| &record.delivery);
        if let Some(class) = purge.lets_go(event.id, deliveries, done_bytes) {
            done_bytes = done_bytes.saturating_sub(if class == Class::Done { event.bytes } else { 0 });
            going.push((event.id, class, event.bytes));
        }
    }
    going
}

impl Checkpointer {
    /// Writes the states of blocks of which something is left again, several times: sled keeps what they were before until their leaf
    /// has ten changes.
    pub(super) fn settle(&mut self, layer: &Layer, filling: &mut Filling) -> Result<(), Error> {
        for _ in 0..SETTLED_TIMES {
            for (block, young) in layer.blocks.iter().filter(|(_, young)| young.is_purged && !young.states.is_over()) {
                filling.put_long(keys::STATES, *block, &young.states.encode()?);
                self.apply_full(filling)?;
            }
            self.apply(filling)?;
        }
        Ok(())
    }

    /// Removes the attempts of events that are gone. Before their blocks: with these, a crash would forget that it is to be done.
    pub(super) fn remove_attempts(&mut self, layer: &Layer, filling: &mut Filling) -> Result<(), Error> {
        for id in &layer.gone {
            for key in self.tree.scan_prefix(keys::key(keys::ATTEMPT, &[&id.to_bytes()])).keys() {
                filling.remove_chunk(&key.map_err(failed)?);
                self.apply_full(filling)?;
            }
        }
        Ok(())
    }

    /// Removes what is left of blocks that were over before: the journal's position in sled is past all that they held. So never
    /// during a replay.
    pub(super) fn forget(&mut self, layer: &Layer) -> Result<(), Error> {
        let mut filling = Filling::default();
        let over: Vec<_> = self.tree.scan_prefix(keys::by_state(OVER)).keys().take(FORGOTTEN_BLOCKS_MAX).collect();
        for key in over {
            let key = key.map_err(failed)?;
            let Some(block) = keys::block_at_end(&key).filter(|block| !layer.blocks.contains_key(block)) else { continue };
            remove_chunks(&self.tree, keys::STATES, block, 0, &mut filling)?;
            filling.remove(&key);
            self.apply_full(&mut filling)?;
        }
        self.apply(&mut filling)
    }
}

impl Checkpointer {
    /// Wins space back, where the file has much more than its events. sled moves what is left of segments that are half empty, but
    /// only when it writes a leaf anew, one page each time, or in a thread whose failed syncs nobody would hear of. So a leaf of
    /// no meaning is changed until it is written anew.
    pub(super) fn win_space(&mut self) -> Result<(), Error> {
        let all: u64 = [Class::Pending, Class::Parked, Class::Done].map(|class| self.tally.bytes_of(class)).iter().sum();
        let live = all.saturating_sub(self.held.bytes());
        let file_bytes = self.durable.bytes()?;
        if file_bytes <= live / 100 * GOOD_PART + GOOD_BYTES {
            return Ok(());
        }
        for page in 1..=MOVED_PAGES_MAX {
            for change in 0..CHANGES {
                self.tree.insert(keys::stir(), change.to_be_bytes().as_slice()).map_err(failed)?;
            }
            if page.is_multiple_of(MOVED_PAGES_SYNCED) {
                self.sync()?;
            }
        }
        self.sync()
    }
}

fn remove_chunks(tree: &sled::Db, prefix: u8, block: BlockId, from: u16, filling: &mut Filling) -> Result<(), Error> {
    for key in tree.range(keys::chunk(prefix, block, from)..=keys::chunk(prefix, block, u16::MAX)).keys() {
        filling.remove_chunk(&key.map_err(failed)?);
    }
    Ok(())
}

/// Heads and bodies of what is left.
struct Rest {
    heads: Vec<u8>,
    bodies: Bodies,
    kept: BTreeSet<Key>,
}

/// Whether half of a block's bytes is of no use. `stored`: its heads.
pub(super) fn is_wasteful(stored: &[u8], states: &States) -> bool {
    let heads = block::frames(stored).filter_map(|frame| frame.and_then(block::decode::<Head>));
    let all_bytes: u64 = heads.map(|head| head.event.stored_bytes()).sum();
    let left_bytes: u64 = states.events().map(|(_, event)| event.bytes).sum();
    left_bytes <= all_bytes / 2
}

/// Writes heads and bodies of a block anew, all of them in sled, without those that are gone. `parts`: where they are not in sled yet.
pub(super) fn rewrite(
    shared: &Shared,
    block: BlockId,
    states: &States,
    parts: Option<&Parts>,
    filling: &mut Filling,
) -> Result<(), Error> {
    let below;
    let stored = match parts {
        Some(parts) => &parts.heads,
        None => {
            below = shared.heads_below(block)?;
            &below
        }
    };
    let heads: Vec<Option<Head>> = block::frames(stored).map(|frame| frame.and_then(block::decode)).collect();
    let body = |head: &Head| {
        let above = parts.and_then(|parts| parts.bodies.find(head.body_at, head.event.body_bytes));
        above.map_or_else(|| shared.body_below(block, head), Ok)
    };
    let rest = rest(block, stored, &heads, states, body)?;
    let mut chunks = 0;
    for part in rest.bodies.chunks() {
        filling.put(keys::chunk(keys::BODIES_LEFT, block, chunks), &part);
        chunks += 1;
    }
    let mut head_chunks = 0;
    if !states.is_over() {
        filling.put_long(keys::HEADS_LEFT, block, &rest.heads);
        head_chunks = u16::try_from(rest.heads.len() / CHUNK_BYTES + 1).unwrap_or(u16::MAX);
    }
    rest.kept.iter().for_each(|key| filling.put(key.clone(), &[]));
    if parts.is_none() {
        for (prefix, from) in [(keys::BODIES, 0), (keys::HEADS, 0), (keys::BODIES_LEFT, chunks), (keys::HEADS_LEFT, head_chunks)]
        {
            remove_chunks(&shared.tree, prefix, block, from, filling)?;
        }
        let kept = heads.iter().flatten().flat_map(|head| keys::kept(&head.event, block));
        kept.filter(|key| !rest.kept.contains(key)).collect::<BTreeSet<_>>().iter().for_each(|key| filling.remove(key));
    }
    Ok(())
}

fn rest(
    id: BlockId,
    stored: &[u8],
    heads: &[Option<Head>],
    states: &States,
    body: impl Fn(&Head) -> Result<Bytes, Error>,
) -> Result<Rest, Error> {
    let mut rest = Rest { heads: block::first_byte(), bodies: Bodies::default(), kept: BTreeSet::new() };
    for ((frame, head), slot) in block::frames(stored).zip(heads).zip(&states.0) {
        let (Some(frame), Some(head), Slot::Record(event)) = (frame, head, slot) else {
            block::push_frame(&mut rest.heads, &[]);
            continue;
        };
        let mut frame = frame.to_vec();
        // A body that is damaged stays so: its checksum is in its head.
        let body = match body(head) {
            Err(Error::Damaged(_)) => Bytes::new(),
            read => read?,
        };
        let body_at = rest.bodies.push(body, None);
        block::place(&mut frame, event.id, body_at);
        block::push_frame(&mut rest.heads, &frame);
        rest.kept.extend(keys::kept(&head.event, id));
    }
    Ok(rest)
}
