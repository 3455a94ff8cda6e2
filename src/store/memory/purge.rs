//! What goes, in the plainest way: each step looks at everything.

use std::ops::Bound;

use super::Inner;
use crate::record::Event;
use crate::store::purge::Class;
use crate::store::{Purge, Purged};

/// Events that one step of removing takes.
const PURGED_MAX: u64 = 100;

impl Inner {
    /// The bytes of all events whose class fits.
    pub(super) fn bytes_of(&self, fits: impl Fn(Class) -> bool) -> u64 {
        let of = |event: &Event| Class::of(self.of_event(event.id).map(|delivery| delivery.state.name()));
        self.events.values().filter(|(event, _)| fits(of(event))).map(|(event, _)| event.stored_bytes()).sum()
    }

    /// See [`crate::store::Store::purge`].
    pub(super) fn purge(&mut self, purge: &Purge) -> Purged {
        let mut purged = Purged::default();
        let mut done_bytes = self.bytes_of(|class| class == Class::Done);
        let start = purge.after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids: Vec<_> = self.events.range((start, Bound::Unbounded)).map(|(id, _)| *id).collect();
        for id in ids {
            if purged.events == PURGED_MAX {
                return purged;
            }
            purged.next = Some(id);
            let deliveries: Vec<_> = self.of_event(id).cloned().collect();
            let Some(class) = purge.lets_go(id, deliveries.iter(), done_bytes) else { continue };
            let Some((event, _)) = self.events.remove(&id) else { continue };
            for delivery in deliveries {
                self.deliveries.remove(&delivery.id);
                self.attempts.remove(&delivery.id);
            }
            let bytes = event.stored_bytes();
            done_bytes -= if class == Class::Done { bytes } else { 0 };
            purged.events += 1;
            purged.bytes += bytes;
        }
        Purged { next: None, ..purged }
    }
}
