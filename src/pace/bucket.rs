//! The rate rule: when the next attempt of a destination may begin, so that no more than so many begin in a second.
//!
//! A token bucket that holds one token: after a pause there is no burst to catch up with. Times are those of a clock that only
//! goes forward, counted from any start.

use std::time::Duration;

/// So much later than its turn somebody who waited may come without losing the next one: timers are this coarse. Without it a
/// thousand a second would become five hundred.
const LATE_MAX: Duration = Duration::from_millis(10);

/// Gives out turns at a rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    interval: Duration,
    /// When the next turn is; the first is at once.
    next: Duration,
    /// Whether somebody asked for that turn already and was told to wait.
    is_awaited: bool,
}

/// A rate that no bucket can have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is between {} and {} a second", Bucket::PER_SECOND_MIN, Bucket::PER_SECOND_MAX)]
pub struct BadRate;

impl Bucket {
    /// One a minute or so: slower than that is what pausing is for.
    pub const PER_SECOND_MIN: f64 = 0.01;
    /// More than one relay can send.
    pub const PER_SECOND_MAX: f64 = 100_000.0;

    /// Gives out so many turns a second.
    pub fn try_new(per_second: f64) -> Result<Self, BadRate> {
        if !(Self::PER_SECOND_MIN..=Self::PER_SECOND_MAX).contains(&per_second) {
            return Err(BadRate);
        }
        Ok(Self { interval: Duration::from_secs_f64(1.0 / per_second), next: Duration::ZERO, is_awaited: false })
    }

    /// The rate, as near as people want to know it.
    pub fn per_second(&self) -> f64 {
        (1e6 / self.interval.as_secs_f64()).round() / 1e6
    }

    /// Gives out turns at the rate of `other` from now on; what was taken counts.
    pub fn follow(&mut self, other: &Self) {
        self.next = (self.next + other.interval).saturating_sub(self.interval);
        self.interval = other.interval;
    }

    /// How long it is until the next turn; zero where that is now. Whoever asks is taken to wait for it.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let wait = self.next.saturating_sub(now);
        self.is_awaited |= !wait.is_zero();
        wait
    }

    /// Takes a turn at `now`, which [`Self::wait`] has said is there.
    pub fn take(&mut self, now: Duration) {
        let keeps_step = self.is_awaited && now <= self.next + LATE_MAX;
        let turn = if keeps_step { self.next } else { now.max(self.next) };
        self.next = turn + self.interval;
        // Behind still: the turn after it was awaited as well.
        self.is_awaited = keeps_step && self.next <= now;
    }

    /// Turns in the next `time`, at least one: how much it makes sense to have ready.
    pub fn turns_in(&self, time: Duration) -> usize {
        let turns = time.as_secs_f64() / self.interval.as_secs_f64();
        // A float that is too large becomes the largest number.
        (turns as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    /// When turns begin within `time`, for somebody who always wants one and whose timer is late by what `late` says.
    fn turns(per_second: f64, time: Duration, mut late: impl FnMut() -> Duration) -> Vec<Duration> {
        let (mut bucket, mut now, mut turns) = (Bucket::try_new(per_second).unwrap(), Duration::ZERO, Vec::new());
        while now < time {
            let wait = bucket.wait(now);
            if wait.is_zero() {
                bucket.take(now);
                turns.push(now);
            } else {
                now += wait + late();
            }
        }
        turns
    }

    #[test]
    fn a_late_timer_does_not_make_it_slower() {
        for (per_second, expected) in [(1.0, 60), (50.0, 3000), (1000.0, 60_000), (0.5, 30)] {
            let found = turns(per_second, 60 * S, || MS + MS / 2).len();
            assert!(found.abs_diff(expected) <= 1, "{per_second} a second: {found} in a minute");
        }
    }

    #[test]
    fn there_is_no_burst_after_a_pause() {
        let mut bucket = Bucket::try_new(50.0).unwrap();
        bucket.take(Duration::ZERO);
        // Somebody waited for the turn and did not take it.
        bucket.wait(MS);
        bucket.take(3600 * S);
        assert_eq!(bucket.wait(3600 * S), 20 * MS);
    }

    #[test]
    fn rates_have_bounds() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9, 0.001] {
            assert_eq!(Bucket::try_new(bad).unwrap_err(), BadRate, "{bad}");
        }
        assert_eq!(Bucket::try_new(1000.0).unwrap().turns_in(S), 1000);
        assert_eq!(Bucket::try_new(0.1).unwrap().turns_in(S), 1);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_rate(
            per_second in 0.5f64..2000.0,
            lates in prop::collection::vec(0u64..40_000, 1..50),
            from in 0usize..100,
            count in 1usize..100,
        ) {
            let mut at = 0;
            let late = || {
                at += 1;
                Duration::from_micros(lates[at % lates.len()])
            };
            let turns = turns(per_second, 3 * S, late);
            let window: Vec<_> = turns.iter().skip(from).take(count).collect();
            if let (Some(first), Some(last)) = (window.first(), window.last()) {
                let most = ((**last - **first) + LATE_MAX).as_secs_f64() * per_second + 1.0;
                // Intervals are whole nanoseconds.
                prop_assert!(window.len() as f64 <= most + 1e-3, "{} in {:?}", window.len(), **last - **first);
            }
        }
    }
}
