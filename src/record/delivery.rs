//! One event for one destination, and the legal changes of its state, all in this file.
//!
//! ```text
//!              attempt, try again
//!                  +------+
//!                  v      |
//!   made --> pending -----+--> delivered
//!              ^ |  |
//!        retry | |  +--------> parked ----> cancelled
//!              | +---------------------------^
//!              +--- parked, cancelled
//! ```
//!
//! A pending delivery with an order key is held while an earlier one with its key is pending; then its turn comes. `in_flight` is not a state of the record: it is a claim that a store holds on a pending delivery.

use serde::{Deserialize, Serialize};

use super::{Attempt, DeliveryId, Name};
use crate::time::Timestamp;

/// One event for one destination: the unit that is retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id, which holds its event's.
    pub id: DeliveryId,
    /// The event's source.
    pub source: Name,
    /// Where it goes.
    pub destination: Name,
    /// When it was made: with its event, or by a replay.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// All attempts so far.
    pub attempts_made: u32,
    /// What it has used of its present budget.
    pub budget: Budget,
    /// The replay that made it.
    pub replay_id: Option<String>,
    /// Deliveries to one destination with the same key go in order.
    pub order_key: Option<String>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Waits for its next attempt.
    Pending {
        /// When the next attempt may begin.
        due: Timestamp,
    },
    /// The application took it with a 2xx.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// Gave up, or was refused for good; kept until a person acts.
    Parked {
        /// When.
        at: Timestamp,
        /// Why.
        reason: ParkReason,
    },
    /// A person called it off.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// The name of a [`State`]; the order is that of the store's index and must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// See [`State::Pending`].
    Pending = 0,
    /// See [`State::Delivered`].
    Delivered = 1,
    /// See [`State::Parked`].
    Parked = 2,
    /// See [`State::Cancelled`].
    Cancelled = 3,
}

/// Why a delivery is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// Its budget of time or attempts was used up.
    Expired,
    /// The application answered with a status of `park_on`.
    Refused,
    /// A person parked it.
    Person,
}

/// What counts against a delivery's retry rule: begins anew when a person, or the provider, asks for it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// When it began.
    pub since: Timestamp,
    /// Attempts made since then, those that the relay itself cut off not counted.
    pub attempts: u32,
}

/// What the retry rule says after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The application has it.
    Delivered,
    /// Again at that time.
    RetryAt(Timestamp),
    /// No more, until a person acts.
    Park(ParkReason),
}

/// When a delivery that is held is due: no other one is due so late.
const NOT_YET: Timestamp = Timestamp::MAX;

/// A change that the delivery's state does not allow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a delivery that is {} cannot be {wanted}", .from.as_str())]
pub struct IllegalChange {
    /// The state it is in.
    pub from: StateName,
    /// What was asked for, as a participle.
    pub wanted: &'static str,
}

impl Delivery {
    /// A new delivery, due at once.
    pub fn new(id: DeliveryId, source: Name, destination: Name, now: Timestamp) -> Self {
        Self {
            id,
            source,
            destination,
            created_at: now,
            state: State::Pending { due: now },
            attempts_made: 0,
            budget: Budget { since: now, attempts: 0 },
            replay_id: None,
            order_key: None,
        }
    }

    /// The same with a key: deliveries to one destination with the same key go one at a time, in the order of their events.
    pub fn with_order_key(self, order_key: Option<String>) -> Self {
        Self { order_key, ..self }
    }

    /// Whether it waits until an earlier one with its key has ended.
    pub fn is_held(&self) -> bool {
        self.order_key.is_some() && self.due() == Some(NOT_YET)
    }

    /// When the next attempt may begin; `None` where none is to come.
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            State::Pending { due } => Some(due),
            _ => None,
        }
    }

    /// When it was settled; `None` while it is pending.
    pub fn settled_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Pending { .. } => None,
            State::Delivered { at } | State::Parked { at, .. } | State::Cancelled { at } => Some(at),
        }
    }

    /// After an attempt that ended at `now`.
    pub fn attempted(mut self, attempt: &Attempt, verdict: Verdict, now: Timestamp) -> Result<Self, IllegalChange> {
        if self.due().is_none() {
            return Err(self.illegal("attempted"));
        }
        self.attempts_made = attempt.number;
        // A relay that ends during an attempt must not use up a step of the application's schedule.
        self.budget.attempts += u32::from(!attempt.is_interrupted());
        self.state = match verdict {
            Verdict::Delivered => State::Delivered { at: now },
            Verdict::RetryAt(due) => State::Pending { due },
            Verdict::Park(reason) => State::Parked { at: now, reason },
        };
        Ok(self)
    }

    /// Due now, with a new budget.
    pub fn retried(mut self, now: Timestamp) -> Result<Self, IllegalChange> {
        if matches!(self.state, State::Delivered { .. }) {
            return Err(self.illegal("retried"));
        }
        self.state = State::Pending { due: now };
        self.budget = Budget { since: now, attempts: 0 };
        Ok(self)
    }

    /// Parked by a person.
    pub fn parked(mut self, now: Timestamp) -> Result<Self, IllegalChange> {
        if self.due().is_none() {
            return Err(self.illegal("parked"));
        }
        self.state = State::Parked { at: now, reason: ParkReason::Person };
        Ok(self)
    }

    /// Called off by a person.
    pub fn cancelled(mut self, now: Timestamp) -> Result<Self, IllegalChange> {
        if !matches!(self.state, State::Pending { .. } | State::Parked { .. }) {
            return Err(self.illegal("cancelled"));
        }
        self.state = State::Cancelled { at: now };
        Ok(self)
    }

    /// Waits until an earlier one with its key has ended. Only what is pending and has a key can.
    pub fn held(mut self) -> Result<Self, IllegalChange> {
        if self.due().is_none() || self.order_key.is_none() {
            return Err(self.illegal("held"));
        }
        self.state = State::Pending { due: NOT_YET };
        Ok(self)
    }

    /// Its turn has come: what was held is due now, and its budget begins, since it could not use it before.
    pub fn in_turn(mut self, now: Timestamp) -> Result<Self, IllegalChange> {
        if !self.is_held() {
            return Err(self.illegal("given its turn"));
        }
        self.state = State::Pending { due: now };
        self.budget = Budget { since: now, attempts: 0 };
        Ok(self)
    }

    fn illegal(&self, wanted: &'static str) -> IllegalChange {
        IllegalChange { from: self.state.name(), wanted }
    }
}

impl State {
    /// The state's name.
    pub fn name(&self) -> StateName {
        match self {
            Self::Pending { .. } => StateName::Pending,
            Self::Delivered { .. } => StateName::Delivered,
            Self::Parked { .. } => StateName::Parked,
            Self::Cancelled { .. } => StateName::Cancelled,
        }
    }
}

impl StateName {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Parked, Self::Cancelled];

    /// The word for it in the API, in logs and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
        }
    }
}

impl ParkReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Expired, Self::Refused, Self::Person];

    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Person => "person",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EventIds, Failure, Outcome};

    fn pending() -> Delivery {
        let event = EventIds::default().next(Timestamp::from_ms(5), 1);
        let name = |n| Name::try_new(n).unwrap();
        Delivery::new(DeliveryId { event, ordinal: 1 }, name("s"), name("d"), Timestamp::from_ms(5))
    }

    fn attempt(number: u32) -> Attempt {
        let outcome = Outcome::Failed { failure: Failure::Connect, detail: String::new() };
        Attempt { number, started_at: Timestamp::from_ms(5), duration_ms: 1, outcome }
    }

    #[test]
    fn what_has_a_key_can_be_held_and_gets_its_turn_with_a_whole_budget() {
        let now = Timestamp::from_ms(9);
        assert!(pending().held().is_err() && pending().in_turn(now).is_err());
        let keyed = pending().with_order_key(Some("c1".to_owned()));
        assert!(!keyed.is_held() && keyed.clone().in_turn(now).is_err());
        let held = keyed.clone().held().unwrap();
        assert!(held.is_held());
        let turn = held.in_turn(now).unwrap();
        assert_eq!((turn.due(), turn.budget), (Some(now), Budget { since: now, attempts: 0 }));
        assert!(keyed.attempted(&attempt(1), Verdict::Delivered, now).unwrap().held().is_err());
    }

    #[test]
    fn only_a_pending_delivery_is_attempted() {
        let now = Timestamp::from_ms(9);
        let done = pending().attempted(&attempt(1), Verdict::Delivered, now).unwrap();
        assert_eq!((done.state, done.attempts_made, done.settled_at()), (State::Delivered { at: now }, 1, Some(now)));
        let again = done.attempted(&attempt(2), Verdict::Delivered, now);
        assert_eq!(again.unwrap_err().to_string(), "a delivery that is delivered cannot be attempted");
    }

    #[test]
    fn an_interrupted_attempt_is_counted_but_costs_no_budget() {
        let now = Timestamp::from_ms(9);
        let outcome = Outcome::Failed { failure: Failure::Interrupted, detail: String::new() };
        let interrupted = Attempt { outcome, ..attempt(1) };
        let again = pending().attempted(&interrupted, Verdict::RetryAt(now), now).unwrap();
        assert_eq!((again.attempts_made, again.budget.attempts), (1, 0));
        let failed = again.attempted(&attempt(2), Verdict::RetryAt(now), now).unwrap();
        assert_eq!((failed.attempts_made, failed.budget.attempts), (2, 1));
    }

    #[test]
    fn a_retry_begins_a_new_budget_and_keeps_counting_attempts() {
        let now = Timestamp::from_ms(9);
        let parked = pending().attempted(&attempt(1), Verdict::Park(ParkReason::Refused), now).unwrap();
        let again = parked.retried(now).unwrap();
        assert_eq!((again.due(), again.attempts_made, again.budget), (Some(now), 1, Budget { since: now, attempts: 0 }));
    }

    #[test]
    fn a_person_parks_what_is_pending_and_nothing_else() {
        let now = Timestamp::from_ms(9);
        let parked = pending().parked(now).unwrap();
        assert_eq!(parked.state, State::Parked { at: now, reason: ParkReason::Person });
        assert!(parked.clone().parked(now).is_err() && pending().cancelled(now).unwrap().parked(now).is_err());
        assert_eq!(parked.retried(now).unwrap().due(), Some(now));
    }

    #[test]
    fn what_is_delivered_stays_delivered() {
        let now = Timestamp::from_ms(9);
        let done = pending().attempted(&attempt(1), Verdict::Delivered, now).unwrap();
        assert!(done.clone().parked(now).is_err() && done.clone().cancelled(now).is_err() && done.retried(now).is_err());
        assert!(pending().cancelled(now).unwrap().retried(now).is_ok());
    }
}
