//! Lists of events the other way: oldest first, from a cursor on, for whoever follows what comes.
//!
//! As in `list`, a page is a range scan over blocks by the index that fits the filter best, and its work is bounded. It costs the same
//! wherever it begins. Keys that move while it is made may be missed, so who must not miss any looks back.

use memchr::memmem::Finder;

use super::block::{self, Head};
use super::keys::{self, BlockId};
use super::list::{event_index, fits_body, fits_event, fits_record};
use super::shared::Shared;
use super::work::Work;
use crate::record::{DeliveryId, Event, EventId};
use crate::store::{Cursor, Error, EventFilter, Listed, Page};

/// Events that fit, oldest first.
pub(super) fn events(shared: &Shared, filter: &EventFilter, page: Page, work: &mut Work) -> Result<Listed<Event>, Error> {
    let prefix = event_index(filter);
    let first = page.after.map(|cursor| cursor.0.event).max(filter.since.map(EventId::first_at));
    // The block that has it begins before it.
    let start = match first {
        Some(first) => keys::with_block(prefix.clone(), shared.block_of(first)?.unwrap_or(first)),
        None => prefix.clone(),
    };
    let mut list = Gather { page, items: Vec::new(), last: page.after.map(|cursor| cursor.0.event) };
    // Chunked values have two more bytes behind the block.
    let chunked = prefix == [keys::STATES];
    let finder = filter.text.as_ref().map(|text| Finder::new(text.as_bytes()));
    for key in shared.scan_between(start, keys::behind(&prefix), false) {
        let key = key?;
        if chunked && !key.ends_with(&[0, 0]) {
            continue;
        }
        let Some(block) = (if chunked { keys::block_of_chunk(&key) } else { keys::block_at_end(&key) }) else { continue };
        if filter.until.is_some_and(|until| block.made_at() >= until) {
            break;
        }
        if work.is_done() {
            return Ok(Listed { items: list.items, next: list.last.map(at) });
        }
        work.began();
        if !look_at(shared, block, (filter, finder.as_ref()), &mut list, work)? {
            return Ok(Listed { items: list.items, next: list.last.map(at) });
        }
    }
    Ok(Listed { items: list.items, next: None })
}

/// Adds what fits of a block; `false` where the page is full.
fn look_at(
    shared: &Shared,
    block: BlockId,
    (filter, finder): (&EventFilter, Option<&Finder<'_>>),
    list: &mut Gather,
    work: &mut Work,
) -> Result<bool, Error> {
    let states = shared.states(block)?;
    work.looked_at(states.0.len());
    let wanted: Vec<_> = states.events().filter(|(_, record)| list.is_behind(record.id) && fits_record(record, filter)).collect();
    if !wanted.is_empty() {
        let heads = shared.raw_heads(block)?;
        work.read(heads.len());
        let heads: Vec<Option<Head>> = block::frames(&heads).map(|frame| frame.and_then(block::decode)).collect();
        for (place, record) in wanted {
            let Some(Some(head)) = heads.get(place) else { continue };
            let event = Event { duplicates: record.duplicates, ..head.event.clone() };
            let fits = fits_event(&event, filter) && fits_body(shared, block, head, finder, work)?;
            if fits && !list.push(event) {
                return Ok(false);
            }
            // A search may have to end between two events of a block: their bodies are what it reads.
            if finder.is_some() && work.is_done() {
                list.last = list.last.max(Some(record.id));
                return Ok(false);
            }
        }
    }
    let last = states.events().next_back().map_or(block, |(_, record)| record.id);
    list.last = list.last.max(Some(last));
    Ok(true)
}

fn at(event: EventId) -> Cursor {
    Cursor(DeliveryId { event, ordinal: 0 })
}

/// A page as it fills.
struct Gather {
    page: Page,
    items: Vec<Event>,
    /// Up to here all was looked at.
    last: Option<EventId>,
}

impl Gather {
    fn is_behind(&self, event: EventId) -> bool {
        self.page.after.is_none_or(|cursor| event > cursor.0.event)
    }

    fn push(&mut self, event: Event) -> bool {
        if self.items.len() >= self.page.limit {
            return false;
        }
        self.last = Some(event.id);
        self.items.push(event);
        true
    }
}
