//! Lists: a range scan over blocks from a cursor, newest first, by the index that fits the filter best.
//!
//! A page looks at a bounded number of blocks. Where few of them fit, it may be short and still have a next one.

use super::block::{EventRecord, UNROUTED};
use super::keys::{self, BlockId, Key};
use super::shared::Shared;
use crate::record::{DeliveryId, Event, EventId, StateName};
use crate::store::{Cursor, DeliveryFilter, Error, EventFilter, EventState, Listed, Page, Tracked};
use crate::time::Timestamp;

/// Blocks that one page looks at.
pub(super) const BLOCKS_MAX: usize = 4096;

/// Events that fit, newest first.
pub(super) fn events(shared: &Shared, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
    let found = walk_events(shared, filter, page)?;
    // Nothing on the way so far: the dedupe index may know where to look on.
    if let (true, Some(next), Some(id)) = (found.items.is_empty(), found.next, &filter.provider_event_id)
        && let Some(newest) = newest_of(shared, id)?.filter(|newest| *newest < next.0.event)
    {
        let just_behind = Cursor(DeliveryId { event: newest, ordinal: 1 });
        return walk_events(shared, filter, Page { after: Some(just_behind), ..page });
    }
    Ok(found)
}

fn walk_events(shared: &Shared, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error> {
    let prefix = event_index(filter);
    let mut list = Gather::new(page);
    walk(shared, prefix, filter.until.map(EventId::first_at), page, |block| {
        let states = shared.states(block)?;
        let fitting: Vec<_> = states.events().rev().filter(|(_, record)| fits_record(record, filter)).collect();
        if fitting.is_empty() {
            return Ok(list.passed(block, filter.since));
        }
        let heads = shared.heads(block)?;
        for (place, record) in fitting {
            let Some(Some(head)) = heads.get(place) else { continue };
            let event = Event { duplicates: record.duplicates, ..head.event.clone() };
            if fits_event(&event, filter) && !list.push(DeliveryId { event: event.id, ordinal: 0 }, event) {
                return Ok(Step::Full);
            }
        }
        Ok(list.passed(block, filter.since))
    })
    .map(|ended| list.finish(ended))
}

/// Deliveries that fit, newest event first.
pub(super) fn deliveries(shared: &Shared, filter: &DeliveryFilter, page: Page) -> Result<Listed<Tracked>, Error> {
    let mut list = Gather::new(page);
    if let Some(id) = filter.event {
        let record = shared.record(id)?;
        let _ = record.is_none_or(|record| push_deliveries(shared, &record, filter, &mut list));
        return Ok(list.finish(true));
    }
    walk(shared, delivery_index(filter), filter.until.map(EventId::first_at), page, |block| {
        let states = shared.states(block)?;
        for (_, record) in states.events().rev() {
            if !push_deliveries(shared, record, filter, &mut list) {
                return Ok(Step::Full);
            }
        }
        Ok(list.passed(block, filter.since))
    })
    .map(|ended| list.finish(ended))
}

fn push_deliveries(shared: &Shared, record: &EventRecord, filter: &DeliveryFilter, list: &mut Gather<Tracked>) -> bool {
    if !in_range(record.id, filter.since, filter.until) {
        return true;
    }
    record.deliveries.iter().rev().all(|record| {
        let delivery = &record.delivery;
        let in_flight = delivery.due().is_some() && shared.claims.has(delivery.id);
        let fits = filter.state.is_none_or(|state| record.is(state) && !in_flight)
            && filter.in_flight.is_none_or(|wanted| wanted == in_flight)
            && filter.destination.as_ref().is_none_or(|d| *d == delivery.destination)
            && filter.source.as_ref().is_none_or(|s| *s == delivery.source);
        !fits || list.push(delivery.id, Tracked { delivery: delivery.clone(), in_flight })
    })
}

/// The index that leads to the fewest blocks, as far as is known without counting.
pub(super) fn event_index(filter: &EventFilter) -> Key {
    let by_state = filter.state.filter(|s| *s != EventState::Delivered).map(|s| keys::by_state(state_number(s)));
    by_state
        .or_else(|| filter.destination.as_ref().map(|d| keys::by_destination(d)))
        .or_else(|| filter.kind.as_deref().map(keys::by_type))
        .or_else(|| filter.source.as_ref().map(|s| keys::by_source(s)))
        .or_else(|| filter.state.map(|s| keys::by_state(state_number(s))))
        .unwrap_or_else(|| vec![keys::STATES])
}

fn delivery_index(filter: &DeliveryFilter) -> Key {
    let pending = filter.in_flight.filter(|wanted| *wanted).map(|_| StateName::Pending);
    let state = filter.state.or(pending);
    let by_state = state.filter(|s| *s != StateName::Delivered).map(|s| keys::by_state(s as u8));
    by_state
        .or_else(|| filter.destination.as_ref().map(|d| keys::by_destination(d)))
        .or_else(|| filter.source.as_ref().map(|s| keys::by_source(s)))
        .or_else(|| state.map(|s| keys::by_state(s as u8)))
        .unwrap_or_else(|| vec![keys::STATES])
}

fn state_number(state: EventState) -> u8 {
    match state {
        EventState::Pending => StateName::Pending as u8,
        EventState::Delivered => StateName::Delivered as u8,
        EventState::Parked => StateName::Parked as u8,
        EventState::Cancelled => StateName::Cancelled as u8,
        EventState::Unrouted => UNROUTED,
    }
}

/// What comes after a block.
enum Step {
    /// The next older block.
    On,
    /// The page is full.
    Full,
    /// No older block can fit.
    Done,
}

/// Calls `visit` for the blocks under `prefix`, newest first, from the page's start. Gives whether all that can fit were seen.
fn walk(
    shared: &Shared,
    prefix: Key,
    before: Option<EventId>,
    page: Page,
    mut visit: impl FnMut(BlockId) -> Result<Step, Error>,
) -> Result<bool, Error> {
    let newest = EventId::from_bytes([0xff; 16]);
    let start = page.after.map_or(newest, |cursor| cursor.0.event).min(before.unwrap_or(newest));
    // Chunked values have two more bytes behind the block.
    let chunked = prefix == [keys::STATES];
    let mut last = start.to_bytes().to_vec();
    last.extend_from_slice(if chunked { &[0xff; 2] } else { &[] });
    for (number, entry) in shared.scan(&prefix, Some(&last), true).enumerate() {
        let key = entry?;
        if chunked && !key.ends_with(&[0, 0]) {
            continue;
        }
        let block = if chunked { keys::block_of_chunk(&key) } else { keys::block_at_end(&key) };
        if number >= BLOCKS_MAX {
            return Ok(false);
        }
        match block.map_or(Ok(Step::On), &mut visit)? {
            Step::On => {}
            Step::Full => return Ok(false),
            Step::Done => return Ok(true),
        }
    }
    Ok(true)
}

/// The newest event with this id of the provider, as far as the dedupe index still knows it.
fn newest_of(shared: &Shared, id: &str) -> Result<Option<EventId>, Error> {
    Ok(shared.dedupe_of(id)?.iter().map(|known| known.event).max())
}

pub(super) fn fits_record(record: &EventRecord, filter: &EventFilter) -> bool {
    in_range(record.id, filter.since, filter.until)
        && filter.state.is_none_or(|state| record.state() == state)
        && filter.destination.as_ref().is_none_or(|d| record.deliveries.iter().any(|r| r.delivery.destination == *d))
}

pub(super) fn fits_event(event: &Event, filter: &EventFilter) -> bool {
    filter.source.as_ref().is_none_or(|source| *source == event.source)
        && filter.kind.as_ref().is_none_or(|kind| Some(kind) == event.kind.as_ref())
        && filter.provider_event_id.as_ref().is_none_or(|id| Some(id) == event.provider_event_id.as_ref())
}

fn in_range(id: EventId, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    since.is_none_or(|since| id.made_at() >= since) && until.is_none_or(|until| id.made_at() < until)
}

/// A page as it fills.
struct Gather<T> {
    page: Page,
    items: Vec<T>,
    last: Option<DeliveryId>,
}

impl<T> Gather<T> {
    fn new(page: Page) -> Self {
        Self { page, items: Vec::new(), last: None }
    }

    /// Adds an item behind the cursor; `false` where the page is full.
    fn push(&mut self, at: DeliveryId, item: T) -> bool {
        if self.page.after.is_some_and(|cursor| at >= cursor.0) {
            return true;
        }
        if self.items.len() >= self.page.limit {
            return false;
        }
        self.last = Some(at);
        self.items.push(item);
        true
    }

    /// After a block that was seen to its start.
    fn passed(&mut self, block: BlockId, since: Option<Timestamp>) -> Step {
        self.last = Some(DeliveryId { event: block, ordinal: 0 });
        if since.is_none_or(|since| block.made_at() >= since) { Step::On } else { Step::Done }
    }

    fn finish(self, ended: bool) -> Listed<T> {
        let next = if ended { None } else { self.last.map(Cursor) };
        Listed { items: self.items, next }
    }
}
