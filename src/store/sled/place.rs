//! What becomes of a group's new events: their records, and the hand-over of their deliveries to lanes that have room.

use std::sync::Arc;

use super::block::{self, DeliveryRecord, EventRecord};
use super::dedupe::DedupeEntry;
use super::entry::{Arrival, Change};
use super::group::{Fresh, Group};
use super::shared::Shared;
use crate::record::{Delivery, DeliveryId};
use crate::store::{Claimed, Fact, Tracked};

impl Shared {
    /// The changes that the group's new events are.
    pub(super) fn place_new(&self, group: &mut Group) -> Vec<Change> {
        std::mem::take(&mut group.new).into_iter().map(|fresh| self.place(fresh, group)).collect()
    }

    /// The deliveries of a new event; those for which a lane has room are claimed, and handed over once they are durable.
    fn place(&self, fresh: Fresh, group: &mut Group) -> Change {
        let Fresh { mut new, id, duplicates, held } = fresh;
        new.event.id = id;
        block::place(&mut new.head, id, 0);
        let event = Arc::new(new.event);
        let mut deliveries = Vec::with_capacity(new.destinations.len());
        let mut tracked = group.facts.as_ref().map(|_| Vec::with_capacity(new.destinations.len()));
        for (place, destination) in new.destinations.iter().enumerate() {
            let ordinal = u16::try_from(place + 1).unwrap_or(u16::MAX);
            let order_key = new.order_keys.get_mut(place).and_then(Option::take);
            let delivery =
                Delivery::new(DeliveryId { event: id, ordinal }, event.source.clone(), destination.clone(), event.received_at)
                    .with_order_key(order_key);
            if held.contains(&ordinal) {
                // It has a key: only what has one is held.
                let delivery = delivery.clone().held().unwrap_or(delivery);
                tracked.iter_mut().for_each(|all| all.push(Tracked { delivery: delivery.clone(), in_flight: false }));
                deliveries.push(DeliveryRecord::new(delivery));
                continue;
            }
            let room = self.handoffs.room(destination, new.body.len());
            let in_flight = room.is_some();
            tracked.iter_mut().for_each(|all| all.push(Tracked { delivery: delivery.clone(), in_flight }));
            match room {
                Some(room) => {
                    let claim = self.claims.take(&delivery);
                    let claimed = Claimed { claim, delivery: delivery.clone(), event: event.clone(), body: new.body.clone() };
                    group.handovers.push(Box::new(move || room.put(claimed)));
                }
                None => group.nudges.push(destination.clone()),
            }
            deliveries.push(DeliveryRecord::new(delivery));
        }
        if let (Some(facts), Some(tracked)) = (&mut group.facts, tracked) {
            facts.push(Fact::event(&event, duplicates, tracked));
        }
        let dedupe = new.dedupe.map(|(key, until)| (key, DedupeEntry { event: id, until }));
        let bytes = event.stored_bytes();
        let arrival = Arrival { event, head: new.head, body: new.body, spot: None, dedupe };
        Change { record: EventRecord { id, duplicates, bytes, deliveries }, attempts: Vec::new(), arrival: Some(arrival) }
    }
}
