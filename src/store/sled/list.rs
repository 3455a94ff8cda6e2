//! Lists: a range scan over blocks from a cursor, newest first, by the index that fits the filter best.
//!
//! The work of a page is bounded (see [`Work`]), whatever the filter. Where few events fit, or none, it may be short, or empty, and
//! still have a next one, which goes on where it ended.

use memchr::memmem::Finder;

use super::block::{self, EventRecord, Head, UNROUTED};
use super::keys::{self, BlockId, Key};
use super::shared::Shared;
use super::work::Work;
use crate::record::{DeliveryId, Event, EventId, StateName};
use crate::store::{Cursor, DeliveryFilter, Error, EventFilter, EventState, Listed, Page, Tracked};
use crate::time::Timestamp;

/// Events that fit, newest first.
pub(super) fn events(shared: &Shared, filter: &EventFilter, page: Page, work: &mut Work) -> Result<Listed<Event>, Error> {
    let found = walk_events(shared, filter, page, work)?;
    // Nothing on the way so far: the dedupe index may know where to look on.
    if let (true, Some(next), Some(id)) = (found.items.is_empty(), found.next, &filter.provider_event_id)
        && let Some(newest) = newest_of(shared, id)?.filter(|newest| *newest < next.0.event)
    {
        let just_behind = Cursor(DeliveryId { event: newest, ordinal: 1 });
        *work = work.again();
        return walk_events(shared, filter, Page { after: Some(just_behind), ..page }, work);
    }
    Ok(found)
}

fn walk_events(shared: &Shared, filter: &EventFilter, page: Page, work: &mut Work) -> Result<Listed<Event>, Error> {
    let prefix = event_index(filter);
    let mut list = Gather::new(page);
    let finder = filter.text.as_ref().map(|text| Finder::new(text.as_bytes()));
    walk(shared, prefix, filter.until.map(EventId::first_at), page, work, |at_block, work| {
        let states = shared.states(at_block)?;
        work.looked_at(states.0.len());
        let is_behind =
            |record: &EventRecord| page.after.is_none_or(|after| DeliveryId { event: record.id, ordinal: 0 } < after.0);
        let fitting: Vec<_> =
            states.events().rev().filter(|(_, record)| is_behind(record) && fits_record(record, filter)).collect();
        if fitting.is_empty() {
            return Ok(list.passed(at_block, filter.since));
        }
        let heads = shared.raw_heads(at_block)?;
        work.read(heads.len());
        let heads: Vec<Option<Head>> = block::frames(&heads).map(|frame| frame.and_then(block::decode)).collect();
        for (place, record) in fitting {
            let Some(Some(head)) = heads.get(place) else { continue };
            let at = DeliveryId { event: record.id, ordinal: 0 };
            let event = Event { duplicates: record.duplicates, ..head.event.clone() };
            let fits = fits_event(&event, filter) && fits_body(shared, at_block, head, finder.as_ref(), work)?;
            if fits && !list.push(at, event) {
                return Ok(Step::Full);
            }
            // A search may have to end between two events of a block: their bodies are what it reads.
            if finder.is_some() && work.is_done() {
                list.last = Some(at);
                return Ok(Step::Full);
            }
        }
        Ok(list.passed(at_block, filter.since))
    })
    .map(|ended| list.finish(ended))
}

/// Whether the text that is looked for is in a body, where one is looked for. A body that cannot be read does not fit; that it cannot
/// is counted where somebody reads it.
pub(super) fn fits_body(
    shared: &Shared,
    block: BlockId,
    head: &Head,
    finder: Option<&Finder<'_>>,
    work: &mut Work,
) -> Result<bool, Error> {
    let Some(finder) = finder else { return Ok(true) };
    work.read(usize::try_from(head.event.body_bytes).unwrap_or(usize::MAX));
    match shared.body(block, head) {
        Ok(body) => Ok(finder.find(&body).is_some()),
        Err(Error::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deliveries that fit, newest event first.
pub(super) fn deliveries(
    shared: &Shared,
    filter: &DeliveryFilter,
    page: Page,
    work: &mut Work,
) -> Result<Listed<Tracked>, Error> {
    let mut list = Gather::new(page);
    if let Some(id) = filter.event {
        let record = shared.record(id)?;
        let ended = record.is_none_or(|record| push_deliveries(shared, &record, filter, &mut list));
        return Ok(list.finish(ended));
    }
    walk(shared, delivery_index(filter), filter.until.map(EventId::first_at), page, work, |block, work| {
        let states = shared.states(block)?;
        work.looked_at(states.0.len());
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
    work: &mut Work,
    mut visit: impl FnMut(BlockId, &mut Work) -> Result<Step, Error>,
) -> Result<bool, Error> {
    let newest = EventId::from_bytes([0xff; 16]);
    let start = page.after.map_or(newest, |cursor| cursor.0.event).min(before.unwrap_or(newest));
    // Chunked values have two more bytes behind the block.
    let chunked = prefix == [keys::STATES];
    let mut last = start.to_bytes().to_vec();
    last.extend_from_slice(if chunked { &[0xff; 2] } else { &[] });
    for entry in shared.scan(&prefix, Some(&last), true) {
        let key = entry?;
        if chunked && !key.ends_with(&[0, 0]) {
            continue;
        }
        let block = if chunked { keys::block_of_chunk(&key) } else { keys::block_at_end(&key) };
        // Only where there is another one: a walk that is through has no next page.
        if work.is_done() {
            return Ok(false);
        }
        work.began();
        match block.map_or(Ok(Step::On), |block| visit(block, work))? {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::record::{Headers, Name, Received};
    use crate::signature::{Options, Verifier};
    use crate::store::{Dedupe, Intake, Sled, Store};

    /// More than what one page may begin in these tests.
    const EVENTS: u64 = 60;
    const BLOCKS: usize = 10;
    /// So many deliveries fill a block, so each event has one of its own.
    const DELIVERIES: u64 = 48;

    fn name(text: &str) -> Name {
        Name::try_new(text).unwrap()
    }

    /// An event of the source `s`, in a block of its own.
    async fn append(store: &Sled, n: u64) {
        let body = Bytes::from(format!("{{\"number\": {n}}}"));
        let (method, target, authority) = ("POST".to_owned(), "/".to_owned(), "h".to_owned());
        let at = Timestamp::from_ms(1_790_000_000_000 + n);
        let received = Received { method, target, authority, headers: Headers::default(), body, peer: [127, 0, 0, 1].into(), at };
        let verified = Verifier::trusting(Options::default()).verify(received).unwrap();
        let destinations = (0..DELIVERIES).map(|n| name(&format!("d{n}"))).collect();
        let dedupe = Dedupe { key: format!("key{n}"), until: Timestamp::MAX };
        store.append(Intake::new(verified, name("s"), "none".into(), destinations, Some(dedupe))).await.unwrap();
    }

    fn page(after: Option<Cursor>) -> Page {
        Page { after, limit: 5 }
    }

    /// All pages of a list, each within its bounds; the number of pages, and what was found.
    fn whole<T>(list: impl Fn(Page, &mut Work) -> Listed<T>, most: Work) -> (usize, Vec<T>) {
        let (mut pages, mut found, mut after) = (0, Vec::new(), None);
        loop {
            let mut work = most;
            let listed = list(page(after), &mut work);
            assert!(work.blocks <= BLOCKS && work.events <= BLOCKS, "a page read {work:?}");
            pages += 1;
            found.extend(listed.items);
            assert!(listed.next != after || listed.next.is_none(), "a page leads to itself");
            after = listed.next;
            if after.is_none() {
                return (pages, found);
            }
        }
    }

    #[tokio::test]
    async fn a_page_reads_little_whatever_fits() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sled::open(folder.path(), Arc::new(|_| {})).unwrap();
        for n in 0..EVENTS {
            append(&store, n).await;
        }
        let shared = store.shared().unwrap();
        let all = EventFilter::default;
        let text = |text: &str| EventFilter { text: Some(text.to_owned()), ..all() };
        let since = Timestamp::from_ms(1_790_000_000_000 + EVENTS - 10);
        let until = Timestamp::from_ms(1_790_000_000_010);
        for (filter, fitting) in [
            (all(), EVENTS),
            (EventFilter { provider_event_id: Some("none".to_owned()), ..all() }, 0),
            (EventFilter { source: Some(name("other")), ..all() }, 0),
            (EventFilter { kind: Some("none".to_owned()), ..all() }, 0),
            (EventFilter { state: Some(EventState::Parked), ..all() }, 0),
            (EventFilter { state: Some(EventState::Pending), source: Some(name("other")), ..all() }, 0),
            (EventFilter { destination: Some(name("d0")), kind: Some("none".to_owned()), ..all() }, 0),
            (EventFilter { since: Some(since), ..all() }, 10),
            (EventFilter { until: Some(until), ..all() }, 10),
            (text("number"), EVENTS),
            (text("\"number\": 3}"), 1),
            (text("Number"), 0),
        ] {
            let list = |page, work: &mut Work| events(&shared, &filter, page, work).unwrap();
            let (_, found) = whole(list, Work::bounded(BLOCKS, usize::MAX, usize::MAX));
            assert_eq!(found.len() as u64, fitting, "{filter:?}");
            assert!(found.is_sorted_by(|a, b| a.id > b.id), "{filter:?}");
        }
        for (filter, fitting) in [
            (DeliveryFilter::default(), EVENTS * DELIVERIES),
            (DeliveryFilter { destination: Some(name("d0")), ..DeliveryFilter::default() }, EVENTS),
            (DeliveryFilter { state: Some(StateName::Parked), ..DeliveryFilter::default() }, 0),
            (DeliveryFilter { destination: Some(name("d0")), source: Some(name("other")), ..DeliveryFilter::default() }, 0),
            (DeliveryFilter { until: Some(until), ..DeliveryFilter::default() }, 10 * DELIVERIES),
        ] {
            let list = |page, work: &mut Work| deliveries(&shared, &filter, page, work).unwrap();
            let (_, found) = whole(list, Work::bounded(BLOCKS, usize::MAX, usize::MAX));
            assert_eq!(found.len() as u64, fitting, "{filter:?}");
        }
        drop(shared);
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_page_costs_the_same_at_any_depth_and_bytes_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sled::open(folder.path(), Arc::new(|_| {})).unwrap();
        for n in 0..EVENTS {
            append(&store, n).await;
        }
        let shared = store.shared().unwrap();
        let (mut costs, mut after) = (Vec::new(), None);
        loop {
            let mut work = Work::default();
            let listed = events(&shared, &EventFilter::default(), page(after), &mut work).unwrap();
            costs.push(work.blocks);
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        // The block at the cursor is begun again, and one more tells that the page is full.
        assert!(costs.iter().all(|blocks| *blocks <= 7) && costs.len() == 12, "{costs:?}");
        // A search that may read one body a page sees them all, page by page.
        let filter = EventFilter { text: Some("number".to_owned()), ..EventFilter::default() };
        let list = |page, work: &mut Work| events(&shared, &filter, page, work).unwrap();
        let (pages, found) = whole(list, Work::bounded(BLOCKS, usize::MAX, 1));
        // The last page finds that nothing is left.
        assert_eq!((pages as u64, found.len() as u64), (EVENTS + 1, EVENTS));
        drop(shared);
        store.close().await.unwrap();
    }
}
