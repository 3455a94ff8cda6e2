//! Places the new events of a group: packs them into blocks, and hands their deliveries to lanes that have room.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::block::{self, DeliveryRecord, EventRecord, States};
use super::bodies::Bodies;
use super::dedupe::DedupeEntry;
use super::group::{Fresh, Group};
use super::keys;
use super::shared::Shared;
use crate::record::{Delivery, DeliveryId};
use crate::store::Claimed;

/// Deliveries in a block: rewriting a block's states for one of them must stay cheap.
const BLOCK_DELIVERIES_MAX: usize = 48;
/// Bytes of the bodies in a block, unless it holds one event only.
const BLOCK_BODY_BYTES_MAX: usize = 1024 * 1024;

impl Shared {
    /// Writes the group's new events as blocks.
    pub(super) fn place_new(&self, group: &mut Group) {
        let mut new = std::mem::take(&mut group.new).into_iter().peekable();
        while let Some(first) = new.next() {
            let (mut deliveries, mut bytes) = (first.new.destinations.len(), first.new.body.len());
            let mut block = vec![first];
            while let Some(next) = new.next_if(|next| {
                deliveries += next.new.destinations.len().max(1);
                bytes += next.new.body.len();
                deliveries <= BLOCK_DELIVERIES_MAX && bytes <= BLOCK_BODY_BYTES_MAX
            }) {
                block.push(next);
            }
            self.write_block(block, group);
        }
    }

    fn write_block(&self, events: Vec<Fresh>, group: &mut Group) {
        let Some(block) = events.first().map(|first| first.id) else { return };
        let (mut heads, mut bodies, mut states) = (block::first_byte(), Bodies::default(), States::default());
        // Events of a block mostly share source and type.
        let mut index = BTreeSet::new();
        for mut fresh in events {
            fresh.new.event.id = fresh.id;
            block::place(&mut fresh.new.head, fresh.id, bodies.length());
            block::push_frame(&mut heads, &fresh.new.head);
            bodies.push(fresh.new.body.clone());
            let event = &fresh.new.event;
            index.insert(keys::by_source(&event.source));
            index.extend(event.kind.as_deref().map(keys::by_type));
            if let Some(dedupe) = &fresh.new.dedupe {
                let entry = DedupeEntry { event: fresh.id, until: dedupe.until };
                group.batch.insert(keys::dedupe(&event.source, &dedupe.key), &entry.encode()[..]);
            }
            states.0.push(Some(self.first_deliveries(fresh, group)));
        }
        for prefix in index {
            group.batch.insert(keys::with_block(prefix, block), &[]);
        }
        group.bytes += heads.len();
        group.put_long(keys::HEADS, block, heads);
        group.put_bodies(block, &bodies);
        group.blocks.insert(block, (States::default(), states));
    }

    /// The deliveries of a new event; those for which a lane has room are claimed, and handed over once they are durable.
    fn first_deliveries(&self, fresh: Fresh, group: &mut Group) -> EventRecord {
        let Fresh { new, id, duplicates } = fresh;
        let event = Arc::new(new.event);
        let mut deliveries = Vec::with_capacity(new.destinations.len());
        for (place, destination) in new.destinations.into_iter().enumerate() {
            let ordinal = u16::try_from(place + 1).unwrap_or(u16::MAX);
            let delivery =
                Delivery::new(DeliveryId { event: id, ordinal }, event.source.clone(), destination.clone(), event.received_at);
            match self.handoffs.room(&destination, new.body.len()) {
                Some(room) => {
                    let claim = self.claims.take(&delivery);
                    let claimed = Claimed { claim, delivery: delivery.clone(), event: event.clone(), body: new.body.clone() };
                    group.handovers.push(Box::new(move || room.put(claimed)));
                }
                None => group.nudges.push(destination),
            }
            deliveries.push(DeliveryRecord::new(delivery));
        }
        EventRecord { id, duplicates, deliveries }
    }
}
