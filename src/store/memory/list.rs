//! What lists show, in the plainest way: each looks at everything.

use super::Inner;
use crate::record::{Delivery, DeliveryId, Event, StateName};
use crate::store::{Cursor, DeliveryFilter, EventFilter, EventState, Listed, Page};

impl Inner {
    /// Whether an event fits.
    pub(super) fn shows_event(&self, filter: &EventFilter, event: &Event) -> bool {
        let state = || EventState::of(self.of_event(event.id).map(|d| d.state.name()));
        filter.source.as_ref().is_none_or(|s| *s == event.source)
            && filter.text.as_ref().is_none_or(|text| self.has_text(event, text))
            && filter.kind.as_ref().is_none_or(|k| event.kind.as_ref() == Some(k))
            && filter.provider_event_id.as_ref().is_none_or(|p| event.provider_event_id.as_ref() == Some(p))
            && filter.since.is_none_or(|t| event.received_at >= t)
            && filter.until.is_none_or(|t| event.received_at < t)
            && filter.destination.as_ref().is_none_or(|d| self.of_event(event.id).any(|x| x.destination == *d))
            && filter.state.is_none_or(|s| s == state())
    }

    fn has_text(&self, event: &Event, text: &str) -> bool {
        let body = self.events.get(&event.id).map(|(_, body)| body.as_ref()).unwrap_or_default();
        body.windows(text.len().max(1)).any(|part| part == text.as_bytes())
    }

    /// Whether a delivery fits.
    pub(super) fn shows_delivery(&self, filter: &DeliveryFilter, delivery: &Delivery) -> bool {
        let in_flight = self.claims.contains_key(&delivery.id);
        let received_at = self.events.get(&delivery.id.event).map(|(e, _)| e.received_at).unwrap_or_default();
        let state = delivery.state.name();
        filter.state.is_none_or(|s| s == state && !(s == StateName::Pending && in_flight))
            && filter.in_flight.is_none_or(|f| f == in_flight)
            && filter.destination.as_ref().is_none_or(|d| *d == delivery.destination)
            && filter.source.as_ref().is_none_or(|s| *s == delivery.source)
            && filter.event.is_none_or(|e| e == delivery.id.event)
            && filter.since.is_none_or(|t| received_at >= t)
            && filter.until.is_none_or(|t| received_at < t)
    }
}

/// One page of `all`, which is newest first; `id` is where an item stands.
pub(super) fn page_of<T>(all: impl Iterator<Item = T>, page: Page, id: impl Fn(&T) -> DeliveryId) -> Listed<T> {
    let behind = |item: &T| page.after.is_none_or(|after| id(item) < after.0);
    first_of(all.filter(behind), page, &id)
}

/// The page that `behind` the cursor begins.
pub(super) fn first_of<T>(behind: impl Iterator<Item = T>, page: Page, id: impl Fn(&T) -> DeliveryId) -> Listed<T> {
    let limit = page.limit.max(1);
    let mut items: Vec<T> = behind.take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|item| Cursor(id(item))) } else { None };
    Listed { items, next }
}
