//! Which events may go from a store: those for which nothing is to be done any more, by age and by bytes.
//!
//! Rules only. What is pending or in flight never goes, whatever the rule says.

use crate::record::{Delivery, EventId, StateName};
use crate::time::Timestamp;

use super::EventState;

/// A step of removing what is not needed any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Events that are done (delivered, cancelled, or never routed) go, where they were settled before this time.
    pub done_before: Timestamp,
    /// Events with parked deliveries go, where they were settled before this time.
    pub parked_before: Timestamp,
    /// Events that are done go, whatever their age, the oldest first, until the others have at most so many bytes.
    pub done_bytes: Option<u64>,
    /// Only events behind this one are looked at; `None`: from the oldest on.
    pub after: Option<EventId>,
}

/// What a step of removing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Events that are gone.
    pub events: u64,
    /// What they took, as counted by [`Event::stored_bytes`](crate::record::Event::stored_bytes).
    pub bytes: u64,
    /// Where the next step begins; `None` where all that could go was seen.
    pub next: Option<EventId>,
}

/// What an event waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// For an attempt.
    Pending = 0,
    /// For a person.
    Parked = 1,
    /// For nothing.
    Done = 2,
}

impl Class {
    /// The class of an event with deliveries in these states.
    pub(super) fn of(states: impl IntoIterator<Item = StateName>) -> Self {
        match EventState::of(states) {
            EventState::Pending => Self::Pending,
            EventState::Parked => Self::Parked,
            EventState::Delivered | EventState::Cancelled | EventState::Unrouted => Self::Done,
        }
    }
}

impl Purge {
    /// Whether an event may go, while all that are done have `done_bytes`.
    pub(super) fn lets_go<'d>(
        &self,
        id: EventId,
        deliveries: impl Iterator<Item = &'d Delivery> + Clone,
        done_bytes: u64,
    ) -> Option<Class> {
        let class = Class::of(deliveries.clone().map(|delivery| delivery.state.name()));
        let settled = deliveries.filter_map(Delivery::settled_at).chain([id.made_at()]).max().unwrap_or(Timestamp::MAX);
        let may_go = match class {
            Class::Pending => false,
            Class::Parked => settled < self.parked_before,
            Class::Done => settled < self.done_before || self.is_over(done_bytes),
        };
        may_go.then_some(class)
    }

    /// Whether events that are done have too many bytes.
    pub(super) fn is_over(&self, done_bytes: u64) -> bool {
        self.done_bytes.is_some_and(|most| done_bytes > most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DeliveryId, Name, ParkReason, State};

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn goes(states: &[State], purge: Purge, done_bytes: u64) -> bool {
        let event = EventId::first_at(at(10));
        let name = |text| Name::try_new(text).unwrap();
        let delivery = |(n, state): (usize, &State)| {
            let id = DeliveryId { event, ordinal: n as u16 + 1 };
            Delivery { state: *state, ..Delivery::new(id, name("s"), name("d"), at(10)) }
        };
        let deliveries: Vec<_> = states.iter().enumerate().map(delivery).collect();
        purge.lets_go(event, deliveries.iter(), done_bytes).is_some()
    }

    #[test]
    fn the_newest_end_of_all_deliveries_counts() {
        let rule = Purge { done_before: at(100), parked_before: at(50), done_bytes: Some(1000), after: None };
        let (delivered, parked) =
            (|ms| State::Delivered { at: at(ms) }, |ms| State::Parked { at: at(ms), reason: ParkReason::Expired });
        assert!(goes(&[], rule, 0) && goes(&[delivered(99)], rule, 0) && goes(&[State::Cancelled { at: at(99) }], rule, 0));
        assert!(!goes(&[delivered(20), delivered(100)], rule, 0));
        assert!(goes(&[parked(49), delivered(20)], rule, 0));
        assert!(!goes(&[parked(50)], rule, 9999) && !goes(&[parked(20), delivered(60)], rule, 9999));
        assert!(!goes(&[], Purge { done_before: at(10), ..rule }, 0), "the time of its arrival counts, too");
    }

    #[test]
    fn bytes_are_those_of_events_that_are_done() {
        let rule = Purge { done_bytes: Some(1000), ..Purge::default() };
        let delivered = State::Delivered { at: at(500) };
        assert!(goes(&[delivered], rule, 1001) && !goes(&[delivered], rule, 1000));
    }

    #[test]
    fn what_is_pending_never_goes() {
        let rule = Purge { done_before: Timestamp::MAX, parked_before: Timestamp::MAX, done_bytes: Some(0), after: None };
        for other in [State::Delivered { at: at(1) }, State::Parked { at: at(1), reason: ParkReason::Refused }] {
            assert!(!goes(&[other, State::Pending { due: at(1) }], rule, 1));
        }
    }
}
