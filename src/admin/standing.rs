//! How a destination stands, in a word: the same in the API, the dashboard and the command line. Trouble comes first where they are
//! ordered by it.

use std::time::Duration;

use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::openapi::schema::words;
use crate::metrics::DestinationMetrics;
use crate::record::BreakerState;
use crate::store::Backlog;
use crate::time::Timestamp;

/// What has been due for so long waits for others.
const LATE: Duration = Duration::from_secs(5);

/// How a destination stands. The order is that of how much it needs a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// No answer came for so long that it is only probed.
    NotAnswering,
    /// Its last attempt failed.
    Failing,
    /// It is tried with one delivery after it did not answer.
    Probing,
    /// More is due than it takes.
    Behind,
    /// It asked to be left alone for a while.
    Resting,
    /// All is well but for deliveries that wait for their next attempt.
    Retrying,
    /// A person holds it.
    Paused,
    /// All is well.
    Ok,
}

impl Standing {
    /// All, by how much they need a look.
    pub(super) const ALL: [Self; 8] =
        [Self::NotAnswering, Self::Failing, Self::Probing, Self::Behind, Self::Resting, Self::Retrying, Self::Paused, Self::Ok];

    /// The word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnswering => "not_answering",
            Self::Failing => "failing",
            Self::Probing => "probing",
            Self::Behind => "behind",
            Self::Resting => "resting",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Ok => "ok",
        }
    }

    /// Of what is known of a destination at `now`.
    pub(super) fn of(is_paused: bool, metrics: &DestinationMetrics, backlog: &Backlog, now: Timestamp) -> Self {
        let failed_at = metrics.last_error().map(|(at, _)| at);
        match metrics.breaker().0 {
            _ if is_paused => Self::Paused,
            BreakerState::Open => Self::NotAnswering,
            BreakerState::HalfOpen => Self::Probing,
            // Whatever went well before: what came last is what it does.
            BreakerState::Closed if failed_at > metrics.last_success_at() => Self::Failing,
            BreakerState::Closed if metrics.rests_until().is_some_and(|until| until > now) => Self::Resting,
            BreakerState::Closed => Self::by_what_is_due(backlog, now),
        }
    }

    fn by_what_is_due(backlog: &Backlog, now: Timestamp) -> Self {
        match backlog.oldest_due_at.filter(|_| backlog.pending > backlog.in_flight) {
            // What is due goes out at once; what is due later has failed before.
            Some(due) if due > now => Self::Retrying,
            Some(due) if now.since(due) >= LATE => Self::Behind,
            _ => Self::Ok,
        }
    }
}

impl ToSchema for Standing {}
impl PartialSchema for Standing {
    fn schema() -> RefOr<Schema> {
        words("How it stands, in a word: the first that holds.", Self::ALL.map(Self::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_tells_who_is_behind() {
        let now = Timestamp::from_ms(1_790_000_000_000);
        let of = |pending, in_flight, due| {
            Standing::by_what_is_due(&Backlog { pending, in_flight, parked: 9, oldest_due_at: due }, now)
        };
        assert_eq!(of(0, 0, None), Standing::Ok);
        assert_eq!(of(2, 1, Some(now.before(Duration::from_secs(4)))), Standing::Ok);
        assert_eq!(of(2, 1, Some(now.before(LATE))), Standing::Behind);
        assert_eq!(of(1, 1, Some(now.before(LATE))), Standing::Ok, "it is under way");
        assert_eq!(of(1, 0, Some(now.after(LATE))), Standing::Retrying);
        assert!(Standing::ALL.is_sorted());
    }
}
