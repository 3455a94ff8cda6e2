//! The retry rule: what becomes of a delivery after an attempt.
//!
//! Exponential back-off with full jitter (each wait is drawn from zero to the present bound), or a schedule set by hand;
//! bounded by a budget of time that counts from acceptance. `Retry-After` of the application is honoured up to `cap`.

use std::time::Duration;

use crate::record::{Budget, Outcome, ParkReason, Verdict};
use crate::time::Timestamp;

/// When a delivery is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Exponential with full jitter.
    Backoff {
        /// The bound of the first wait; doubles with every attempt.
        base: Duration,
        /// The bound of every wait, `Retry-After` included.
        cap: Duration,
        /// From the start of the budget; what outlives it is parked.
        keep_for: Duration,
    },
    /// One wait a retry, exact; parked after the last.
    Schedule {
        /// The waits.
        waits: Vec<Duration>,
        /// The bound of `Retry-After`.
        cap: Duration,
    },
}

impl Rule {
    /// The bound of the first wait where nothing is said.
    pub const BASE: Duration = Duration::from_secs(2);
    /// The bound of every wait where nothing is said.
    pub const CAP: Duration = Duration::from_secs(600);
    /// How long a delivery is tried where nothing is said.
    pub const KEEP_FOR: Duration = Duration::from_secs(7 * 86_400);

    /// What becomes of a delivery after an attempt that ended at `now`.
    ///
    /// `budget` counts the attempts before this one. `park_on`: statuses that park at once. `random`: uniform over all of
    /// `u64`; decides the jitter.
    pub fn after(&self, outcome: &Outcome, park_on: &[http::StatusCode], budget: Budget, now: Timestamp, random: u64) -> Verdict {
        let asked = match outcome {
            Outcome::Answered(answer) if answer.is_success() => return Verdict::Delivered,
            Outcome::Answered(answer) if park_on.iter().any(|s| s.as_u16() == answer.status) => {
                return Verdict::Park(ParkReason::Refused);
            }
            Outcome::Answered(answer) => retry_after(&answer.headers, now),
            Outcome::Failed { .. } => None,
        };
        match self {
            Self::Backoff { base, cap, keep_for } => {
                let bound = base.saturating_mul(1 << budget.attempts.min(Self::DOUBLINGS_MAX)).min(*cap);
                let wait = jittered(bound, random).max(asked.unwrap_or_default().min(*cap));
                let (due, end) = (now.after(wait), budget.since.after(*keep_for));
                match due {
                    _ if now >= end => Verdict::Park(ParkReason::Expired),
                    due => Verdict::RetryAt(due.min(end)),
                }
            }
            Self::Schedule { waits, cap } => match waits.get(budget.attempts as usize) {
                None => Verdict::Park(ParkReason::Expired),
                Some(wait) => Verdict::RetryAt(now.after((*wait).max(asked.unwrap_or_default().min(*cap)))),
            },
        }
    }

    /// How long the whole application is to be left alone, up to the cap: `Retry-After` with a 429 or a 503; a 429 that does not say
    /// how long means a moment.
    pub fn rest(&self, outcome: &Outcome, now: Timestamp) -> Option<Duration> {
        let (Self::Backoff { cap, .. } | Self::Schedule { cap, .. }) = self;
        let Outcome::Answered(answer) = outcome else { return None };
        let asked = match answer.status {
            429 => retry_after(&answer.headers, now).or(Some(Self::TOO_MANY_REST)),
            503 => retry_after(&answer.headers, now),
            _ => None,
        };
        asked.map(|asked| asked.min(*cap))
    }

    /// An application that has too much asks for less, not for an end: in one second's steps it is never flooded.
    const TOO_MANY_REST: Duration = Duration::from_secs(1);

    /// More doublings than any cap needs; keeps the multiplication small.
    const DOUBLINGS_MAX: u32 = 20;
}

fn jittered(bound: Duration, random: u64) -> Duration {
    let ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    // The high half of the product is uniform over 0..=ms without a division.
    let part = (u128::from(random) * (u128::from(ms) + 1)) >> 64;
    Duration::from_millis(u64::try_from(part).unwrap_or(u64::MAX))
}

/// How long the application asked to wait: `Retry-After` in seconds or as a date (RFC 9110 §10.2.3); nonsense is no wish.
fn retry_after(headers: &[(String, String)], now: Timestamp) -> Option<Duration> {
    let (_, value) = headers.iter().find(|(name, _)| name == "retry-after")?;
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    Some(Timestamp::from_system(httpdate::parse_http_date(value).ok()?).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Answer, Failure};
    use proptest::prelude::*;

    fn answered(status: u16, retry_after: Option<&str>) -> Outcome {
        let headers = retry_after.map(|v| ("retry-after".to_owned(), v.to_owned())).into_iter().collect();
        Outcome::Answered(Answer { status, headers, body: bytes::Bytes::new(), truncated: false })
    }

    fn failed() -> Outcome {
        Outcome::Failed { failure: Failure::Connect, detail: String::new() }
    }

    const S: Duration = Duration::from_secs(1);
    const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);

    fn backoff() -> Rule {
        Rule::Backoff { base: 2 * S, cap: 600 * S, keep_for: 7 * 86_400 * S }
    }

    fn budget(attempts: u32) -> Budget {
        Budget { since: NOW, attempts }
    }

    fn wait(rule: &Rule, outcome: &Outcome, attempts: u32, random: u64) -> Duration {
        match rule.after(outcome, &[], budget(attempts), NOW, random) {
            Verdict::RetryAt(due) => due.since(NOW),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_2xx_delivers_and_park_on_parks() {
        let park = [http::StatusCode::GONE];
        let verdict = |o: &Outcome| backoff().after(o, &park, budget(0), NOW, 0);
        assert_eq!(verdict(&answered(204, None)), Verdict::Delivered);
        assert_eq!(verdict(&answered(410, Some("5"))), Verdict::Park(ParkReason::Refused));
        assert!(matches!(verdict(&answered(302, None)), Verdict::RetryAt(_)));
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let bounds: Vec<_> = [0, 1, 2, 8, 9, 60].map(|n| wait(&backoff(), &failed(), n, u64::MAX).as_secs()).into();
        assert_eq!(bounds, [2, 4, 8, 512, 600, 600]);
    }

    #[test]
    fn retry_after_counts_in_both_forms_up_to_the_cap() {
        let asked = |text: &str| wait(&backoff(), &answered(503, Some(text)), 0, 0).as_secs();
        assert_eq!(asked("7"), 7);
        assert_eq!(asked(&httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(NOW.seconds() + 9))), 9);
        assert_eq!(asked("86400"), 600);
        assert_eq!(asked("99999999999999999999999"), 600);
        for nonsense in ["", "soon", "-5", "1.5"] {
            assert_eq!(asked(nonsense), 0, "{nonsense:?}");
        }
    }

    #[test]
    fn an_application_that_is_busy_is_left_alone() {
        let rest = |status, text| backoff().rest(&answered(status, text), NOW).map(|rest| rest.as_secs());
        assert_eq!([rest(429, Some("7")), rest(503, Some("86400"))], [Some(7), Some(600)]);
        assert_eq!([rest(429, None), rest(429, Some("soon")), rest(429, Some("0"))], [Some(1), Some(1), Some(0)]);
        assert_eq!([rest(500, Some("7")), rest(200, Some("7")), rest(503, None), rest(503, Some("soon"))], [None; 4]);
        assert_eq!(backoff().rest(&failed(), NOW), None);
    }

    #[test]
    fn a_delivery_gets_its_last_attempt_at_the_end_of_its_budget() {
        let spent =
            |age: Duration| backoff().after(&failed(), &[], Budget { since: NOW.before(age), attempts: 40 }, NOW, u64::MAX);
        assert_eq!(spent(7 * 86_400 * S - S), Verdict::RetryAt(NOW.after(S)));
        assert_eq!(spent(7 * 86_400 * S), Verdict::Park(ParkReason::Expired));
    }

    #[test]
    fn a_schedule_is_exact_and_ends() {
        let rule = Rule::Schedule { waits: vec![S, 5 * S], cap: 60 * S };
        assert_eq!(wait(&rule, &failed(), 0, u64::MAX), S);
        assert_eq!(wait(&rule, &answered(429, Some("30")), 1, 0), 30 * S);
        assert_eq!(rule.after(&failed(), &[], budget(2), NOW, 0), Verdict::Park(ParkReason::Expired));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_beyond_the_cap(attempts in 0u32..10_000, random: u64, asked in 0u64..1 << 40) {
            prop_assert!(wait(&backoff(), &answered(503, Some(&asked.to_string())), attempts, random) <= 600 * S);
        }
    }
}
