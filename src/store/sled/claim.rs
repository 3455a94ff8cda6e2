//! What a lane takes from the index: deliveries that are due, the longest due first.

use std::sync::Arc;

use bytes::Bytes;

use super::block::States;
use super::keys::{self, BlockId};
use super::shared::{Shared, failed};
use crate::record::{Delivery, Event, Name};
use crate::store::{Claimed, Due, Error};
use crate::time::Timestamp;

/// Blocks that one call looks at: a lane waits for it.
const BLOCKS_MAX: usize = 1024;

/// See [`crate::store::Store::claim_due`].
pub(super) fn claim_due(shared: &Shared, destination: &Name, now: Timestamp, limit: usize) -> Result<Due, Error> {
    let mut due = Due::default();
    for (number, entry) in shared.tree.scan_prefix(keys::due_of(destination)).enumerate() {
        let (key, _) = entry.map_err(failed)?;
        let (Some(block), Some(first_due)) = (keys::block_at_end(&key), keys::due_time(&key)) else { continue };
        if first_due > now {
            sooner(&mut due.next, first_due);
            break;
        }
        let is_full = due.claimed.len() >= limit;
        if is_full && due.next.is_some_and(|next| next <= now) {
            break;
        }
        if number >= BLOCKS_MAX {
            sooner(&mut due.next, now);
            break;
        }
        // A block that is not durable yet: the lane is nudged once it is.
        if !shared.is_held_back(block) {
            claim_in(shared, block, destination, now, limit, &mut due)?;
        }
    }
    Ok(due)
}

fn claim_in(
    shared: &Shared,
    block: BlockId,
    destination: &Name,
    now: Timestamp,
    limit: usize,
    due: &mut Due,
) -> Result<(), Error> {
    let mut claims = Vec::new();
    let states = shared.states(block)?;
    for delivery in pending(&states, destination).filter(|d| !shared.claims.has(d.id)) {
        let at = delivery.due().unwrap_or(now);
        if at > now || due.claimed.len() + claims.len() >= limit {
            sooner(&mut due.next, at);
        } else {
            claims.extend(shared.claims.try_take(delivery));
        }
    }
    if claims.is_empty() {
        return Ok(());
    }
    // An attempt that ended in between has given its claim back after its outcome was written: what is read now is true.
    let states = shared.states(block)?;
    let heads = shared.raw_heads(block)?;
    for claim in claims {
        let still = pending(&states, destination).find(|d| d.id == claim.delivery && d.due().is_some_and(|at| at <= now));
        let found = still.and_then(|delivery| Some((delivery.clone(), states.find(claim.delivery.event)?)));
        let Some((delivery, (place, record))) = found else {
            shared.claims.free(claim);
            continue;
        };
        match load(shared, &heads, block, place) {
            Ok((mut event, body)) => {
                event.duplicates = record.duplicates;
                due.claimed.push(Claimed { claim, delivery, event: Arc::new(event), body });
            }
            // Its claim is kept, so that the lane does not meet it again before the next start.
            Err(error) => tracing::error!(delivery = %delivery.id, %error, "a delivery cannot be attempted"),
        }
    }
    Ok(())
}

fn load(shared: &Shared, heads: &[u8], block: BlockId, place: usize) -> Result<(Event, Bytes), Error> {
    let head = shared.head_in(heads, block, place)?;
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
