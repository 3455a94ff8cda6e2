//! What a lane takes from the index: deliveries that are due, the longest due first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::block::States;
use super::keys::{self, BlockId};
use super::order::Line;
use super::shared::Shared;
use crate::record::{Delivery, DeliveryId, Event, EventId, Name};
use crate::store::{Claim, Claimed, Due, Error};
use crate::time::Timestamp;

/// Blocks that one call looks at: a lane waits for it.
const BLOCKS_MAX: usize = 1024;
/// Bytes of bodies that one call reads, but for the last body: a lane holds them until their turn comes.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// See [`crate::store::Store::claim_due`]. Also gives deliveries that are due though an earlier one of their key is pending: they must
/// be held back. One that came back while they were in flight brings that about, and damage.
pub(super) fn claim_due(
    shared: &Shared,
    destination: &Name,
    now: Timestamp,
    limit: usize,
) -> Result<(Due, Vec<DeliveryId>), Error> {
    let (mut due, mut early) = (Due::default(), Vec::new());
    let found = loop {
        let mut next = None;
        let found = longest_due(shared, destination, now, limit + early.len(), &mut next)?;
        let known = early.len();
        early = early_among(shared, &found)?;
        // What is early takes no place of what is not. There are few, and each round finds more.
        if early.len() <= known {
            due.next = next;
            break found;
        }
    };
    let mut wanted = BTreeMap::<BlockId, Vec<Claim>>::new();
    let in_turn = found.into_iter().filter(|((_, id), _)| !early.contains(id));
    for (n, ((at, _), (delivery, block))) in in_turn.enumerate() {
        if n >= limit {
            sooner(&mut due.next, at);
            break;
        }
        let claim = shared.claims.try_take(&delivery);
        wanted.entry(block).or_default().extend(claim);
    }
    for (block, claims) in wanted {
        take(shared, block, claims, now, &mut due)?;
    }
    due.claimed.sort_by_key(|claimed| (claimed.delivery.due(), claimed.delivery.id));
    Ok((due, early))
}

/// Due deliveries and their blocks, the longest due first.
type Longest = BTreeMap<(Timestamp, DeliveryId), (Delivery, BlockId)>;

/// Those that are due before their turn.
fn early_among(shared: &Shared, found: &Longest) -> Result<Vec<DeliveryId>, Error> {
    let mut early = Vec::new();
    for (delivery, _) in found.values() {
        if let Some(line) = Line::of(delivery)
            && shared.first_in_line(&line, |_| true)?.is_some_and(|first| first.id != delivery.id)
        {
            early.push(delivery.id);
        }
    }
    Ok(early)
}

/// Up to `limit` unclaimed deliveries, the longest due first. `next` gets the time of the next one behind them.
fn longest_due(
    shared: &Shared,
    destination: &Name,
    now: Timestamp,
    limit: usize,
    next: &mut Option<Timestamp>,
) -> Result<Longest, Error> {
    let mut found = BTreeMap::new();
    for (number, key) in shared.scan(&keys::due_of(destination), None, false).enumerate() {
        let key = key?;
        let (Some(block), Some(first_due)) = (keys::block_at_end(&key), keys::due_time(&key)) else { continue };
        // Blocks come in the order of their first deliveries: what is behind cannot be due before what was found.
        let is_enough = found.len() >= limit && found.last_key_value().is_none_or(|((last, _), _)| *last <= first_due);
        if first_due > now || (is_enough && next.is_some_and(|next| next <= first_due)) {
            sooner(next, first_due);
            break;
        }
        if number >= BLOCKS_MAX {
            sooner(next, now);
            break;
        }
        shared.look_at(block, |states| {
            // Whatever ends what makes it busy tells the lane.
            for delivery in pending(states, destination).filter(|d| !d.is_held() && !shared.claims.is_busy(d)) {
                match delivery.due() {
                    Some(at) if at <= now => drop(found.insert((at, delivery.id), (delivery.clone(), block))),
                    at => at.into_iter().for_each(|at| sooner(next, at)),
                }
            }
        })?;
        while found.len() > limit
            && let Some(((at, _), _)) = found.pop_last()
        {
            sooner(next, at);
        }
    }
    Ok(found)
}

/// Reads what was claimed of a block.
fn take(shared: &Shared, block: BlockId, claims: Vec<Claim>, now: Timestamp, due: &mut Due) -> Result<(), Error> {
    if claims.is_empty() {
        return Ok(());
    }
    // An attempt that ended in between has given its claim back after its outcome was written: what is read now is true.
    let find = |states: &States, claim: Claim| {
        let (place, record) = states.find(claim.delivery.event)?;
        let delivery = &record.delivery(claim.delivery)?.delivery;
        let is_due = delivery.due().is_some_and(|at| at <= now);
        is_due.then(|| (delivery.clone(), place, record.duplicates))
    };
    let found = shared.look_at(block, |states| claims.iter().map(|claim| find(states, *claim)).collect::<Vec<_>>())?;
    let heads = shared.raw_heads(block)?;
    for (claim, found) in claims.into_iter().zip(found) {
        let Some((delivery, place, duplicates)) = found else {
            shared.claims.free(claim);
            continue;
        };
        let bytes: usize = due.claimed.iter().map(|claimed| claimed.body.len()).sum();
        if bytes >= BYTES_MAX {
            shared.claims.free(claim);
            sooner(&mut due.next, delivery.due().unwrap_or(now));
            continue;
        }
        let loaded = load(shared, &heads, block, place, claim.delivery.event);
        // The block may have been rewritten in between, where others in it were purged.
        let again = |_| load(shared, &shared.raw_heads(block)?, block, place, claim.delivery.event);
        match loaded.or_else(again) {
            Ok((mut event, body)) => {
                event.duplicates = duplicates;
                due.claimed.push(Claimed { claim, delivery, event: Arc::new(event), body });
            }
            // Its claim is kept, so that the lane does not meet it again before the next start.
            Err(error) => {
                shared.damaged.fetch_add(1, Ordering::Relaxed);
                tracing::error!(delivery = %delivery.id, %error, "a delivery cannot be attempted");
            }
        }
    }
    Ok(())
}

fn load(shared: &Shared, heads: &[u8], block: BlockId, place: usize, id: EventId) -> Result<(Event, Bytes), Error> {
    let head = shared.head_in(heads, block, place)?;
    // Never another event's bytes, whatever is damaged.
    if head.event.id != id {
        return Err(Error::Damaged(format!("the head of event {id}")));
    }
    let body = shared.body(block, &head)?;
    Ok((head.event, body))
}

fn pending<'s>(states: &'s States, destination: &'s Name) -> impl Iterator<Item = &'s Delivery> {
    let deliveries = states.events().flat_map(|(_, event)| &event.deliveries).map(|record| &record.delivery);
    deliveries.filter(move |d| d.destination == *destination && d.due().is_some())
}

fn sooner(next: &mut Option<Timestamp>, at: Timestamp) {
    *next = Some(next.map_or(at, |known| known.min(at)));
}
