//! When a certificate is asked for: pure rules. Random numbers are arguments, so that relays that started together do not ask together.

use std::time::Duration;

use crate::time::Timestamp;

/// Of a certificate's lifetime so much is over when it is renewed, and so much less by chance.
const RENEW_AFTER: (u32, u32) = (2, 3);
const JITTER_PART: u32 = 20;

/// After each failure in a row, the wait until the next try; the last one for all that follow. A CA of the web counts failed tries for
/// a host by the hour, and five are too many.
const WAITS: [Duration; 6] = [minutes(2), minutes(8), minutes(20), minutes(45), minutes(120), minutes(360)];
/// A wait is longer by chance, by so much at most.
const WAIT_JITTER_PART: u32 = 4;
/// However long a CA wants to be left alone, it is asked again after a day: a certificate must not end for a wrong word.
const WAIT_MAX: Duration = minutes(24 * 60);
/// A wish to try at once (a reload) counts after so long.
pub(super) const REST: Duration = Duration::from_secs(10);

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

/// When to renew what is valid for so long.
pub(super) fn renew_at((from, until): (Timestamp, Timestamp), random: u64) -> Timestamp {
    let lifetime = until.since(from);
    let (part, of) = RENEW_AFTER;
    from.after(lifetime * part / of).before(share(lifetime / JITTER_PART, random))
}

/// When to renew what was issued just now. Where clocks differ, or lifetimes make no sense, that is not at once: a CA must not be asked
/// again and again.
pub(super) fn renew_issued_at((from, until): (Timestamp, Timestamp), now: Timestamp, random: u64) -> Timestamp {
    let soonest = now.after(REST.max(until.since(from) / 10));
    renew_at((from, until), random).max(soonest)
}

/// How long to wait after so many failures in a row, one at least. `asked`: how long the CA wants to be left alone.
pub(super) fn again_after(failures: u32, asked: Option<Duration>, random: u64) -> Duration {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(WAITS.len() - 1);
    let wait = WAITS[index].max(asked.unwrap_or_default());
    (wait + share(WAITS[index] / WAIT_JITTER_PART, random)).min(WAIT_MAX)
}

/// A part of `bound`, uniform.
fn share(bound: Duration, random: u64) -> Duration {
    let ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    let part = (u128::from(random) * (u128::from(ms) + 1)) >> 64;
    Duration::from_millis(u64::try_from(part).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_third_is_left_at_least() {
        let days = |n: u64| Timestamp::from_ms(n * 24 * 60 * 60 * 1000);
        assert_eq!(renew_at((days(100), days(190)), 0), days(160));
        let earliest = renew_at((days(100), days(190)), u64::MAX);
        assert_eq!(earliest, Timestamp::from_ms(days(160).ms() - days(90).ms() / 20));
        assert_eq!(renew_at((days(5), days(5)), 7), days(5));
        assert_eq!(renew_at((days(9), days(5)), 7), days(9), "nonsense is renewed at some time");
    }

    #[test]
    fn what_was_issued_just_now_is_not_renewed_at_once() {
        let days = |n: u64| Timestamp::from_ms(n * 24 * 60 * 60 * 1000);
        assert_eq!(renew_issued_at((days(100), days(190)), days(100), 0), days(160));
        assert_eq!(renew_issued_at((days(100), days(190)), days(185), 0), days(194), "the clock is wrong");
        assert_eq!(renew_issued_at((days(5), days(5)), days(5), 0), days(5).after(REST));
    }

    #[test]
    fn four_tries_in_the_first_hour() {
        let mut at = Duration::ZERO;
        let tries = (1..).take_while(|failures| {
            at += again_after(*failures, None, 0);
            at < minutes(60)
        });
        assert_eq!(1 + tries.count(), 4);
    }

    proptest! {
        #[test]
        fn waits_grow_and_end(failures in 1u32.., random: u64, asked in 0u64..10_000_000) {
            let wait = again_after(failures, None, random);
            prop_assert!(wait >= WAITS[0] && wait <= minutes(450));
            prop_assert!(again_after(failures.saturating_add(1), None, 0) >= again_after(failures, None, 0));
            let asked = Duration::from_secs(asked);
            prop_assert!(again_after(failures, Some(asked), random) >= asked.min(WAIT_MAX));
        }
    }
}
