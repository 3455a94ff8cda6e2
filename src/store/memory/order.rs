//! Order by key, in the plainest way: of the pending deliveries of a destination with the same key only the first may be due.

use std::collections::BTreeMap;

use super::Inner;
use crate::record::{Delivery, DeliveryId, IllegalChange, Name};
use crate::store::{Blocked, Error, Tracked};
use crate::time::Timestamp;

/// What came of a change that a person wants.
pub(super) type Change = Result<Delivery, IllegalChange>;

impl Inner {
    /// The first pending delivery with the key of this one, which may be itself.
    pub(super) fn first_like(&self, like: &Delivery) -> Option<DeliveryId> {
        self.in_line(like).map(|delivery| delivery.id).next()
    }

    /// By key, the only delivery to `destination` that may be in flight: the one that is, or else the first.
    pub(super) fn turns(&self, destination: &Name) -> BTreeMap<&String, DeliveryId> {
        let mut turns = BTreeMap::new();
        for delivery in self.deliveries.values().filter(|d| d.destination == *destination && d.due().is_some()) {
            let Some(key) = &delivery.order_key else { continue };
            if self.claims.contains_key(&delivery.id) {
                turns.insert(key, delivery.id);
            } else {
                turns.entry(key).or_insert(delivery.id);
            }
        }
        turns
    }

    fn in_line<'a>(&'a self, like: &'a Delivery) -> impl Iterator<Item = &'a Delivery> {
        let is_like = |d: &&Delivery| d.order_key == like.order_key && d.destination == like.destination && d.due().is_some();
        self.deliveries.values().filter(|_| like.order_key.is_some()).filter(is_like)
    }

    /// A new delivery with a key: held where another one comes first.
    pub(super) fn joined(&self, delivery: Delivery) -> Delivery {
        match self.first_like(&delivery) {
            Some(_) => delivery.clone().held().unwrap_or(delivery),
            None => delivery,
        }
    }

    /// Brings the deliveries with this one's key in order after it was changed; `before` was the first of them then. Gives where
    /// somebody must look again.
    pub(super) fn reorder(&mut self, changed: &Delivery, before: Option<DeliveryId>, now: Timestamp) -> Option<Name> {
        let first = self.first_like(changed)?;
        let others = before.filter(|id| *id != changed.id && !self.claims.contains_key(id)).into_iter().chain([changed.id]);
        for other in others.filter(|id| *id != first) {
            self.rewrite(other, Delivery::held);
        }
        self.rewrite(first, |delivery| delivery.in_turn(now));
        Some(changed.destination.clone())
    }

    /// Ends a delivery so, as a person wants it. Gives where somebody must look again, too.
    pub(super) fn end(
        &mut self,
        id: DeliveryId,
        end: impl FnOnce(Delivery) -> Change,
        now: Timestamp,
    ) -> Result<(Delivery, Option<Name>), Error> {
        let before = self.changeable(id)?;
        let first = self.first_like(&before);
        let changed = end(before).map_err(|e| Error::Conflict(e.to_string()))?;
        self.deliveries.insert(id, changed.clone());
        let woken = self.reorder(&changed, first, now);
        Ok((changed, woken))
    }

    fn rewrite<E>(&mut self, id: DeliveryId, change: impl FnOnce(Delivery) -> Result<Delivery, E>) {
        let changed = self.deliveries.get(&id).cloned().and_then(|delivery| change(delivery).ok());
        self.deliveries.extend(changed.map(|delivery| (id, delivery)));
    }

    /// See [`crate::store::Store::blocked`].
    pub(super) fn blocked(&self, destination: &Name, limit: usize) -> Blocked {
        let held = self.deliveries.values().filter(|d| d.destination == *destination && d.is_held());
        let firsts: std::collections::BTreeSet<_> = held.filter_map(|d| self.first_like(d)).collect();
        let by = firsts.iter().take(limit).filter_map(|id| self.deliveries.get(id));
        let by = by.map(|delivery| Tracked { delivery: delivery.clone(), in_flight: self.claims.contains_key(&delivery.id) });
        Blocked { keys: firsts.len() as u64, by: by.collect() }
    }
}
