//! What must hold of everything that is stored, at any time, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use hookhold::record::{Delivery, ParkReason, State, StateName};
use hookhold::store::{DeliveryFilter, EventFilter, Store, Tracked};

use crate::config::{Retry, SOURCES};
use crate::store::{ALL, Grouped};
use crate::truth::Truth;

/// Statuses that park at once where relay.toml says nothing.
const REFUSALS: [u16; 5] = [400, 410, 413, 415, 422];

/// Looks at all that is there.
pub(crate) async fn all(store: &Grouped, truth: &Truth) {
    let _still = store.still().await;
    let kept = store.kept();
    let mut events = BTreeSet::new();
    let mut deliveries = BTreeMap::new();
    for event in kept.events(&EventFilter::default(), ALL).await.unwrap().items {
        events.insert(event.id);
        let body = kept.body(event.id).await.unwrap().unwrap();
        let webhook = truth.with(|known| known.webhook_of(event.id).cloned());
        let Some(webhook) = webhook.filter(|webhook| webhook.body == body && webhook.source == &*event.source) else {
            truth.blame(format!("event {} was never sent", event.id));
            continue;
        };
        if webhook.is_forged {
            truth.blame(format!("forged {:?} is stored", webhook.body));
        }
        let of_event = kept.deliveries_of(event.id).await.unwrap();
        if !goes_where_routes_lead(webhook.source, truth.with(|known| known.was_whole), &of_event) {
            truth.blame(format!("event {} of {} goes to {of_event:?}", event.id, webhook.source));
        }
        deliveries.extend(of_event.into_iter().map(|tracked| (tracked.delivery.id, tracked)));
    }
    let problems = truth.with(|known| {
        let mut problems = Vec::new();
        let acknowledged = known.webhooks.iter().flat_map(|webhook| &webhook.events);
        for (event, _) in acknowledged.filter(|(event, _)| !events.contains(event) && !known.purged.contains(event)) {
            problems.push(format!("event {event} was acknowledged and is not there"));
        }
        for id in known.seen.iter().filter(|id| !deliveries.contains_key(id) && !known.purged.contains(&id.event)) {
            problems.push(format!("delivery {id} was stored and is not there"));
        }
        for id in &known.cancelled {
            let state = deliveries.get(id).map(|tracked| tracked.delivery.state.name());
            if state.is_some_and(|state| state != StateName::Cancelled) {
                problems.push(format!("delivery {id} was called off and is {state:?}"));
            }
        }
        known.seen.extend(deliveries.keys());
        problems
    });
    problems.into_iter().for_each(|problem| truth.blame(problem));
    for tracked in deliveries.values() {
        has_reason(&tracked.delivery, truth);
    }
    has_turns(deliveries.values(), truth);
}

/// The first deliveries of an event go where the routes led: everywhere, or where a destination was out of the file, to some.
fn goes_where_routes_lead(source: &str, was_whole: bool, deliveries: &[Tracked]) -> bool {
    let (_, _, routes) = SOURCES.iter().find(|(name, _, _)| *name == source).unwrap();
    let mut to = deliveries.iter().map(|tracked| &*tracked.delivery.destination);
    match was_whole {
        true => to.by_ref().take(routes.len()).eq(routes.iter().copied()),
        false => to.next().is_some_and(|first| routes.contains(&first)),
    }
}

/// What ended, ended for a reason.
fn has_reason(delivery: &Delivery, truth: &Truth) {
    let (answers, config) =
        truth.with(|known| (known.answers.get(&delivery.id).cloned().unwrap_or_default(), known.config.clone().unwrap()));
    let is_fine = match delivery.state {
        State::Delivered { .. } => answers.iter().any(|status| (200..300).contains(status)),
        State::Parked { reason: ParkReason::Refused, .. } => answers.iter().any(|status| REFUSALS.contains(status)),
        State::Parked { reason: ParkReason::Expired, at } => match config.app(&delivery.destination).retry {
            Retry::Backoff { keep_for, .. } => at >= delivery.budget.since.after(keep_for),
            Retry::Schedule { waits } => delivery.budget.attempts > waits,
        },
        State::Parked { reason: ParkReason::Person, .. } => truth.with(|known| known.set_aside.contains(&delivery.id)),
        State::Pending { .. } | State::Cancelled { .. } => true,
    };
    if !is_fine {
        truth.blame(format!("{delivery:?} was answered {answers:?}"));
    }
}

/// Of the pending deliveries with a key the first is due, or one that was on its way when that came back; and one at a time.
fn has_turns<'a>(deliveries: impl Iterator<Item = &'a Tracked>, truth: &Truth) {
    let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for tracked in deliveries.filter(|tracked| tracked.delivery.due().is_some()) {
        if let Some(key) = &tracked.delivery.order_key {
            lines.entry((&tracked.delivery.destination, key)).or_default().push(tracked);
        }
    }
    for ((destination, key), line) in lines {
        let (first, in_flight) = (&line[0], line.iter().filter(|tracked| tracked.in_flight).count());
        if first.delivery.is_held() || in_flight > 1 {
            truth.blame(format!("turns of key {key} at {destination}: {line:#?}"));
        }
    }
}

/// How much is not done yet.
pub(crate) fn left(kept: &dyn Store) -> u64 {
    let counts = kept.counts();
    counts.pending + counts.in_flight
}

/// What must hold when all applications were well for long enough.
pub(crate) async fn end(kept: &dyn Store, truth: &Truth) {
    if left(kept) > 0 {
        let pending = DeliveryFilter { state: Some(StateName::Pending), ..DeliveryFilter::default() };
        let mut stuck = kept.deliveries(&pending, ALL).await.unwrap().items;
        let in_flight = DeliveryFilter { in_flight: Some(true), ..DeliveryFilter::default() };
        stuck.extend(kept.deliveries(&in_flight, ALL).await.unwrap().items);
        truth.blame(format!("stuck, though all is well: {stuck:#?}"));
    }
    let retried = truth.with(|known| std::mem::take(&mut known.retried));
    for (id, attempts) in retried {
        let Some(Tracked { delivery, .. }) = kept.delivery(id).await.unwrap() else { continue };
        let is_off = matches!(delivery.state, State::Cancelled { .. } | State::Parked { reason: ParkReason::Person, .. });
        if delivery.attempts_made <= attempts && !is_off {
            truth.blame(format!("a person asked for {delivery:?}, and it was not attempted"));
        }
    }
}
