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

/// A CA that wants to see its certificate renewed at once is obeyed once in so long, or in a tenth of a lifetime that is shorter than
/// ten days: it may have a reason, and must not be able to have itself asked again and again.
const SOONEST_MAX: Duration = minutes(24 * 60);
/// Of its lifetime so much is left at least when a certificate is renewed, whatever its CA says: a try may fail.
const LEFT_PART: u32 = 10;
/// A CA is asked so often when it wants to see a certificate renewed; between these bounds where it says how often.
const LOOK: Duration = minutes(6 * 60);
const LOOK_MIN: Duration = minutes(10);
const LOOK_MAX: Duration = minutes(24 * 60);
/// After a start all certificates are asked for within this time, not at once.
const LOOKS_AT_START: Duration = minutes(10);

/// When a CA wants to see a certificate renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    /// Later than `from`.
    pub(super) until: Timestamp,
}

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

/// When a certificate that is shown since `shown_since` may be renewed at the soonest, whatever its CA says.
pub(super) fn soonest((from, until): (Timestamp, Timestamp), shown_since: Timestamp) -> Timestamp {
    shown_since.after((until.since(from) / LEFT_PART).clamp(REST, SOONEST_MAX))
}

/// When to renew within the CA's window: at any time of it, so that not all come together. `None` where it makes no sense for a
/// certificate that is valid for so long.
pub(super) fn renew_within(
    Window { from: begin, until: end }: Window,
    (from, until): (Timestamp, Timestamp),
    soonest: Timestamp,
    random: u64,
) -> Option<Timestamp> {
    if begin >= until || end <= from {
        return None;
    }
    let latest = until.before(until.since(from) / LEFT_PART);
    Some(begin.after(share(end.since(begin), random)).min(latest).max(soonest))
}

/// When to ask a CA again, which wants to be asked so often.
pub(super) fn look_after(asked: Option<Duration>) -> Duration {
    asked.map_or(LOOK, |asked| asked.clamp(LOOK_MIN, LOOK_MAX))
}

/// When to ask first after a start.
pub(super) fn first_look_after(random: u64) -> Duration {
    share(LOOKS_AT_START, random)
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
    fn a_cas_window_counts_within_bounds() {
        let days = |n: u64| Timestamp::from_ms(n * 24 * 60 * 60 * 1000);
        let valid = (days(100), days(190));
        let at = |from, until, soonest, random| {
            renew_within(Window { from: days(from), until: days(until) }, valid, days(soonest), random)
        };
        assert_eq!((at(140, 144, 101, 0), at(140, 144, 101, u64::MAX)), (Some(days(140)), Some(days(144))));
        assert_eq!(at(140, 144, 101, 1 << 63), Some(days(142)));
        assert_eq!(at(99, 100, 101, 0), None, "it is over before the certificate begins");
        assert_eq!(at(101, 102, 120, 7), Some(days(120)), "it is past: at once, but no sooner than may be");
        assert_eq!(at(180, 189, 101, u64::MAX), Some(days(181)), "a tenth is left");
        assert_eq!((at(190, 200, 101, 0), at(400, 500, 101, 0)), (None, None), "it has ended by then");
        assert_eq!(soonest(valid, days(100)), days(101));
        let hour = Timestamp::from_ms(3_600_000);
        assert_eq!(soonest((Timestamp::from_ms(0), hour), hour), hour.after(minutes(6)));
        assert_eq!(soonest((hour, hour), hour), hour.after(REST));
    }

    #[test]
    fn a_ca_is_not_asked_all_the_time_and_not_never() {
        assert_eq!(look_after(None), minutes(360));
        assert_eq!([0, 5, 60, 1_000_000].map(|n| look_after(Some(minutes(n)))), [10, 10, 60, 24 * 60].map(minutes));
        assert_eq!((first_look_after(0), first_look_after(u64::MAX)), (Duration::ZERO, LOOKS_AT_START));
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
        /// Whatever a CA says: not before the soonest, and where that allows it with a tenth of the lifetime left.
        #[test]
        fn no_window_leads_astray(from in 0u64..2_000, length in 1u64..2_000, lived in 1u64..500, shown in 0u64..500, random: u64) {
            let minute = |n: u64| Timestamp::from_ms(n * 60_000);
            let valid = (minute(500), minute(500 + lived));
            let soonest = soonest(valid, minute(500 + shown));
            let window = Window { from: minute(from), until: minute(from + length) };
            if let Some(at) = renew_within(window, valid, soonest, random) {
                prop_assert!(at >= soonest);
                prop_assert!(at == soonest || at <= valid.1.before(valid.1.since(valid.0) / LEFT_PART));
            }
        }

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
