//! Order by key: of the pending deliveries of a destination with the same key, only the first may be due; the others are held.
//!
//! The writer keeps it so: what comes behind a pending one is stored as held, and whatever ends the first one gives the next its
//! turn, in the same group. Lanes never meet what is held, as it is not in the index of due times. Two more indexes lead from a key
//! to the blocks with its pending deliveries, and to those with held ones. So each change costs a look at one end of a range.
//!
//! After a torn group two of a key may be due, never none: turns are written before the ends that they follow. Claims look again.
//! Damage may cost a turn; it is given when a lane starts, or when the next one of its key comes.

use std::collections::BTreeSet;

use super::block::States;
use super::group::{Group, Touched};
use super::keys::{self, BlockId};
use super::ledger::SledLedger;
use super::shared::Shared;
use crate::record::{Delivery, DeliveryId, EventId, Name};
use crate::store::{Blocked, Error, Tracked};
use crate::time::Timestamp;

/// Keys of the index that one look at what is blocked reads.
const BLOCKED_KEYS_READ_MAX: usize = 4096;

/// Deliveries that go one at a time: those of a destination with the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Line {
    pub(super) destination: Name,
    pub(super) key: String,
}

impl Line {
    /// The one that a delivery stands in.
    pub(super) fn of(delivery: &Delivery) -> Option<Self> {
        let key = delivery.order_key.clone()?;
        Some(Self { destination: delivery.destination.clone(), key })
    }

    fn has(&self, delivery: &Delivery) -> bool {
        delivery.order_key.as_deref() == Some(&self.key) && delivery.destination == self.destination
    }
}

/// A line in which a delivery is about to change.
pub(super) struct Changing {
    line: Line,
    id: DeliveryId,
    /// The first of the line before.
    before: Option<DeliveryId>,
}

/// The pending deliveries of some states, in order.
fn pending(states: &States) -> impl Iterator<Item = &Delivery> {
    let deliveries = states.events().flat_map(|(_, event)| &event.deliveries).map(|record| &record.delivery);
    deliveries.filter(|delivery| delivery.due().is_some())
}

impl Shared {
    /// The first pending delivery of a line that `fits`, which must not read the store.
    pub(super) fn first_in_line(&self, line: &Line, fits: impl Fn(&Delivery) -> bool) -> Result<Option<Delivery>, Error> {
        for key in self.scan(&keys::order(keys::ORDER, &line.destination, Some(&line.key)), None, false) {
            let Some(block) = keys::block_at_end(&key?) else { continue };
            let first = self.look_at(block, |states| pending(states).find(|d| line.has(d) && fits(d)).cloned())?;
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }

    /// See [`crate::store::Store::blocked`].
    pub(super) fn blocked(&self, destination: &Name, limit: usize) -> Result<Blocked, Error> {
        let mut blocked = Blocked::default();
        let (mut lines, mut last_hash) = (BTreeSet::new(), None);
        for key in self.scan(&keys::order(keys::HELD, destination, None), None, false).take(BLOCKED_KEYS_READ_MAX) {
            let key = key?;
            let (hash, Some(block)) = (keys::order_hash(&key), keys::block_at_end(&key)) else { continue };
            if hash == last_hash {
                continue;
            }
            last_hash = hash;
            blocked.keys += 1;
            if lines.len() < limit {
                lines.extend(self.held_line(destination, hash, block)?);
            }
        }
        for line in lines {
            let first = self.first_in_line(&line, |_| true)?;
            blocked.by.extend(first.map(|delivery| Tracked { in_flight: self.claims.has(delivery.id), delivery }));
        }
        Ok(blocked)
    }
}

impl Shared {
    /// Deliveries to `destination` that are held though they are the first of their line.
    pub(super) fn lost_turns(&self, destination: &Name) -> Result<Vec<DeliveryId>, Error> {
        let (mut lost, mut last_hash) = (Vec::new(), None);
        for key in self.scan(&keys::order(keys::HELD, destination, None), None, false) {
            let key = key?;
            let hash = keys::order_hash(&key);
            if hash != last_hash
                && let Some(block) = keys::block_at_end(&key)
                && let Some(line) = self.held_line(destination, hash, block)?
            {
                lost.extend(self.first_in_line(&line, |_| true)?.filter(Delivery::is_held).map(|delivery| delivery.id));
            }
            last_hash = hash;
        }
        Ok(lost)
    }

    /// The line of a held delivery whose key has this hash.
    fn held_line(&self, destination: &Name, hash: Option<u64>, block: BlockId) -> Result<Option<Line>, Error> {
        let held = |d: &&Delivery| d.is_held() && d.destination == *destination && keys::hash_of(d) == hash;
        self.look_at(block, |states| pending(states).find(held).and_then(Line::of))
    }
}

impl Group {
    /// A delivery as the group leaves it, where the group has it, and whether it is pending.
    fn stands(&self, id: DeliveryId) -> Option<Standing> {
        if let Some(touched) = self.touched.get(&id.event) {
            return Some(touched.now.delivery(id).map_or(Standing::Ended, |record| Standing::of(&record.delivery)));
        }
        let place = self.new.binary_search_by_key(&id.event, |new| new.id).ok()?;
        let is_held = self.new[place].held.contains(&id.ordinal);
        Some(if is_held { Standing::Held } else { Standing::Due })
    }
}

/// How a delivery stands in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Due,
    Held,
    Ended,
}

impl Standing {
    fn of(delivery: &Delivery) -> Self {
        match delivery.due() {
            None => Self::Ended,
            Some(_) if delivery.is_held() => Self::Held,
            Some(_) => Self::Due,
        }
    }
}

impl SledLedger {
    /// The first of a line as the group leaves it, and whether it is held.
    fn first_of(&self, line: &Line, group: &Group) -> Result<Option<(DeliveryId, Standing)>, Error> {
        let is_pending = |id| group.stands(id).is_none_or(|standing| standing != Standing::Ended);
        let stored = self.shared.first_in_line(line, |delivery| is_pending(delivery.id))?;
        let stored = stored.map(|delivery| (delivery.id, group.stands(delivery.id).unwrap_or(Standing::of(&delivery))));
        let added = group.lines.get(line).into_iter().flatten().copied().find(|id| is_pending(*id));
        let added = added.and_then(|id| Some((id, group.stands(id)?)));
        Ok(stored.into_iter().chain(added).min_by_key(|(id, _)| *id))
    }

    /// A new delivery joins its line. Gives whether it must wait.
    pub(super) fn join(&self, line: Line, id: DeliveryId, now: Timestamp, group: &mut Group) -> Result<bool, Error> {
        let first = self.first_of(&line, group)?;
        // Not so after whole groups; damage may have cost a turn.
        if let Some((first, Standing::Held)) = first {
            self.turn(first, now, group)?;
            group.nudges.push(line.destination.clone());
        }
        group.lines.entry(line).or_default().insert(id);
        Ok(first.is_some())
    }

    /// Brings a line in order after `changed` was changed; `before` was its first one then.
    pub(super) fn reorder(
        &self,
        line: &Line,
        changed: DeliveryId,
        before: Option<DeliveryId>,
        now: Timestamp,
        group: &mut Group,
    ) -> Result<(), Error> {
        group.lines.entry(line.clone()).or_default().insert(changed);
        let Some((first, standing)) = self.first_of(line, group)? else { return Ok(()) };
        let others = before.filter(|id| *id != changed && !self.shared.claims.has(*id)).into_iter().chain([changed]);
        for other in others.filter(|id| *id != first) {
            self.hold(other, group)?;
        }
        if standing == Standing::Held {
            self.turn(first, now, group)?;
        }
        // It may be due already and have waited for the one in flight.
        group.nudges.push(line.destination.clone());
        Ok(())
    }

    /// Holds a delivery that a lane met before its turn, if that is so still.
    pub(super) fn hold_back(&self, id: DeliveryId, group: &mut Group) -> Result<(), Error> {
        let Some(Touched { now, .. }) = self.load(id.event, group)? else { return Ok(()) };
        let Some(line) = now.delivery(id).and_then(|record| Line::of(&record.delivery)) else { return Ok(()) };
        match self.first_of(&line, group)? {
            Some((first, _)) if first != id && !self.shared.claims.has(id) => self.hold(id, group),
            _ => Ok(()),
        }
    }

    /// Gives a delivery its turn that was held when nothing was before it any more, if that is so still.
    pub(super) fn let_go(&self, id: DeliveryId, now: Timestamp, group: &mut Group) -> Result<(), Error> {
        let Some(touched) = self.load(id.event, group)? else { return Ok(()) };
        let Some(line) = touched.now.delivery(id).and_then(|record| Line::of(&record.delivery)) else { return Ok(()) };
        if self.first_of(&line, group)? == Some((id, Standing::Held)) {
            tracing::warn!(delivery = %id, "what this delivery waited for is not there any more: its turn has come");
            self.turn(id, now, group)?;
            group.nudges.push(line.destination);
        }
        Ok(())
    }

    /// The lines of those deliveries of an event that `fit`, each with its first one.
    pub(super) fn lines_before(
        &self,
        event: EventId,
        fit: impl Fn(&Delivery) -> bool,
        group: &mut Group,
    ) -> Result<Vec<Changing>, Error> {
        let Some(Touched { now, .. }) = self.load(event, group)? else { return Ok(Vec::new()) };
        let deliveries = now.deliveries.iter().map(|record| &record.delivery).filter(|delivery| fit(delivery));
        let lines: Vec<_> = deliveries.filter_map(|delivery| Some((Line::of(delivery)?, delivery.id))).collect();
        let changing = |(line, id): (Line, _)| Ok(Changing { before: self.first_of(&line, group)?.map(|(id, _)| id), line, id });
        lines.into_iter().map(changing).collect()
    }

    /// The lines of deliveries that were made, or hurried, of an event whose lines stood so.
    pub(super) fn lines_of(&self, made: &[DeliveryId], before: &[Changing], group: &Group) -> Vec<Changing> {
        let line = |id: &DeliveryId| {
            let record = group.touched.get(&id.event)?.now.delivery(*id)?;
            let line = Line::of(&record.delivery)?;
            let before = before.iter().find(|changing| changing.line == line).and_then(|changing| changing.before);
            Some(Changing { line, id: *id, before })
        };
        made.iter().filter_map(line).collect()
    }

    /// Brings these lines in order.
    pub(super) fn reorder_all(&self, lines: Vec<Changing>, now: Timestamp, group: &mut Group) -> Result<(), Error> {
        lines.into_iter().try_for_each(|Changing { line, id, before }| self.reorder(&line, id, before, now, group))
    }

    fn hold(&self, id: DeliveryId, group: &mut Group) -> Result<(), Error> {
        self.rewrite(id, group, |delivery| delivery.held())
    }

    fn turn(&self, id: DeliveryId, now: Timestamp, group: &mut Group) -> Result<(), Error> {
        if let Ok(place) = group.new.binary_search_by_key(&id.event, |new| new.id) {
            group.new[place].held.retain(|ordinal| *ordinal != id.ordinal);
            return Ok(());
        }
        self.rewrite(id, group, |delivery| delivery.in_turn(now))
    }

    fn rewrite<E>(
        &self,
        id: DeliveryId,
        group: &mut Group,
        change: impl FnOnce(Delivery) -> Result<Delivery, E>,
    ) -> Result<(), Error> {
        let Some(Touched { now, is_changed, .. }) = self.load(id.event, group)? else { return Ok(()) };
        let Some(record) = now.delivery_mut(id) else { return Ok(()) };
        // What is not as it was thought to be stays as it is.
        if let Ok(changed) = change(record.delivery.clone()) {
            record.delivery = changed;
            *is_changed = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sled;
    use super::super::entry::Change;
    use super::super::layers::Lifted;
    use super::super::overlay::Place;
    use super::*;
    use crate::record::{Headers, Received};
    use crate::signature::{Options, Verifier};
    use crate::store::{Appended, Intake, Store};
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);

    fn intake(destination: &Name) -> Intake {
        let received = Received {
            method: "POST".into(),
            target: "/".into(),
            authority: "h".into(),
            headers: Headers::default(),
            body: "{}".into(),
            peer: [127, 0, 0, 1].into(),
            at: NOW,
        };
        let verified = Verifier::trusting(Options::default()).verify(received).unwrap();
        let destinations = [destination.clone()].into();
        Intake::new(verified, destination.clone(), "none".into(), destinations, None).in_order(vec![Some("k".to_owned())])
    }

    /// Writes a delivery as damage, or a torn group, might have left it.
    fn spoil(shared: &Shared, id: DeliveryId, spoilt: impl FnOnce(Delivery) -> Delivery) {
        let Lifted::There(block, mut record) = shared.lift(id.event).unwrap() else { panic!("it is not there") };
        let delivery = &mut record.delivery_mut(id).unwrap().delivery;
        *delivery = spoilt(delivery.clone());
        shared.apply([(shared.number(), Place::In(block), Change { record, attempts: Vec::new(), arrival: None })]);
    }

    #[tokio::test]
    async fn what_damage_left_out_of_order_is_mended() {
        let (folder, name) = (tempfile::tempdir().unwrap(), Name::try_new("d").unwrap());
        let store = Sled::open(folder.path(), Arc::new(|_| {})).unwrap();
        let mut ids = Vec::new();
        for _ in 0..3 {
            let Appended::Stored(event) = store.append(intake(&name)).await.unwrap() else { panic!("a duplicate") };
            ids.push(DeliveryId { event, ordinal: 1 });
        }
        let shared = store.shared().unwrap();
        let due =
            async || store.claim_due(&name, NOW, 9).await.unwrap().claimed.iter().map(|c| c.delivery.id).collect::<Vec<_>>();
        // A turn was lost: all wait for nobody.
        spoil(&shared, ids[0], |delivery| delivery.held().unwrap());
        assert_eq!(due().await, []);
        store.mend_order(&name, NOW).await.unwrap();
        // Whatever is answered now comes after it.
        store.cancel(ids[2], NOW).await.unwrap();
        // A torn group gave a turn and lost the end before it: one too many is due.
        spoil(&shared, ids[1], |delivery| delivery.in_turn(NOW).unwrap());
        assert_eq!(due().await, ids[..1]);
        store.retry(ids[2], NOW).await.unwrap();
        assert!(store.delivery(ids[1]).await.unwrap().unwrap().delivery.is_held());
        drop(shared);
        store.close().await.unwrap();
    }
}
