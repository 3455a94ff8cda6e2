//! Whether a lane may begin an attempt now, and if not, what it waits for: the rules of `pace`, asked in order.
//!
//! Holds no permit of anybody: who waits here waits alone.

use std::time::Duration;

use crate::pace::breaker::{Breaker, Sign};
use crate::pace::bucket::Bucket;
use crate::record::BreakerState;

/// What stands between a lane and its destination. Times are since the lane's start.
pub(super) struct Gate {
    breaker: Breaker,
    bucket: Option<Bucket>,
    /// The application asked to be left alone until then.
    rest_until: Duration,
    is_paused: bool,
}

/// Whether an attempt may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It may.
    Now,
    /// After this time.
    In(Duration),
    /// When one that is under way has ended.
    AfterOne,
    /// When a person says so.
    Paused,
}

/// What an attempt said about its application.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// Whether it was the breaker's probe.
    pub(super) was_probe: bool,
    /// Whether the application is there.
    pub(super) sign: Sign,
    /// How long it wants to be left alone.
    pub(super) rest: Option<Duration>,
}

impl Gate {
    pub(super) fn new(in_flight: usize, bucket: Option<Bucket>) -> Self {
        Self { breaker: Breaker::new(in_flight), bucket, rest_until: Duration::ZERO, is_paused: false }
    }

    /// Other settings: so many at once, at this rate. What is known of the application stays.
    pub(super) fn follow(&mut self, in_flight: usize, bucket: Option<&Bucket>) {
        self.breaker.resize(in_flight);
        match (&mut self.bucket, bucket) {
            (Some(present), Some(bucket)) => present.follow(bucket),
            (present, bucket) => *present = bucket.cloned(),
        }
    }

    /// Whether one more attempt may begin beside those that run.
    pub(super) fn leave(&mut self, running: usize, now: Duration) -> Leave {
        if self.is_paused {
            return Leave::Paused;
        }
        if now < self.rest_until {
            return Leave::In(self.rest_until - now);
        }
        if let Some(at) = self.breaker.probe_at().filter(|at| now < *at) {
            return Leave::In(at - now);
        }
        if !self.breaker.allows(running, now) {
            return Leave::AfterOne;
        }
        match self.bucket.as_mut().map(|bucket| bucket.wait(now)) {
            Some(wait) if !wait.is_zero() => Leave::In(wait),
            _ => Leave::Now,
        }
    }

    /// Whether the lane makes attempts, or will in a moment, so that it may have work ready. In a ramp it does, too: what just came
    /// would otherwise wait behind the whole backlog of an application that is back.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        !self.is_paused && self.breaker.state() == BreakerState::Closed && now + AHEAD_TIME >= self.rest_until
    }

    /// How many deliveries it makes sense to have ready beside those that run, up to `most`: few where the next answers decide
    /// whether there will be more.
    pub(super) fn ahead(&self, running: usize, most: usize, now: Duration) -> usize {
        if !self.is_open(now) || !self.breaker.is_closed() {
            return self.breaker.at_once(now).saturating_sub(running).max(1);
        }
        self.bucket.as_ref().map_or(most, |bucket| most.min(bucket.turns_in(AHEAD_TIME)))
    }

    /// An attempt begins. Gives whether it is the breaker's probe.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
        self.breaker.begin()
    }

    /// An attempt ended.
    pub(super) fn end(&mut self, ended: Ended, now: Duration) {
        self.breaker.end(ended.was_probe, ended.sign, now);
        if let Some(rest) = ended.rest {
            self.rest_until = self.rest_until.max(now + rest);
        }
    }

    /// A person pauses the destination, or lets it go on.
    pub(super) fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// A person says that the application is ready.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.breaker.hurry(now);
        self.rest_until = now;
    }

    /// The breaker's state, and how long it is until its next probe.
    pub(super) fn breaker(&self, now: Duration) -> (BreakerState, Option<Duration>) {
        (self.breaker.state(), self.breaker.probe_at().map(|at| at.saturating_sub(now)))
    }

    /// How long the application wants to be left alone still.
    pub(super) fn rest(&self, now: Duration) -> Option<Duration> {
        Some(self.rest_until.saturating_sub(now)).filter(|rest| !rest.is_zero())
    }
}

/// What is claimed ahead of a slow rate is claimed for no longer than this, since nobody else can change it meanwhile.
pub(super) const AHEAD_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const ANSWERED: Ended = Ended { was_probe: false, sign: Sign::Alive, rest: None };

    #[test]
    fn each_rule_can_hold_an_attempt_back() {
        let mut gate = Gate::new(2, Some(Bucket::try_new(1.0).unwrap()));
        assert_eq!(gate.leave(0, S), Leave::Now);
        gate.begin(S);
        assert_eq!((gate.leave(1, S), gate.leave(2, S)), (Leave::In(S), Leave::AfterOne));
        gate.end(Ended { rest: Some(5 * S), ..ANSWERED }, 2 * S);
        gate.end(Ended { rest: Some(S), ..ANSWERED }, 3 * S);
        assert_eq!((gate.leave(0, 3 * S), gate.is_open(3 * S), gate.rest(3 * S)), (Leave::In(4 * S), false, Some(4 * S)));
        assert_eq!((gate.leave(0, 6 * S), gate.is_open(6 * S)), (Leave::In(S), true), "what comes now goes in a moment");
        assert_eq!((gate.leave(0, 7 * S), gate.is_open(7 * S), gate.rest(7 * S)), (Leave::Now, true, None));
    }

    #[test]
    fn other_settings_are_followed_and_what_is_known_stays() {
        let rate = |per_second| Bucket::try_new(per_second).unwrap();
        let mut gate = Gate::new(2, Some(rate(1.0)));
        gate.begin(S);
        gate.follow(1, Some(&rate(0.1)));
        assert_eq!((gate.leave(0, 2 * S), gate.leave(1, 2 * S)), (Leave::In(9 * S), Leave::AfterOne));
        gate.follow(1, Some(&rate(0.5)));
        assert_eq!(gate.leave(0, 2 * S), Leave::In(S));
        gate.follow(3, None);
        assert_eq!((gate.leave(2, 2 * S), gate.leave(3, 2 * S)), (Leave::Now, Leave::AfterOne));
        (0..10).for_each(|_| gate.end(Ended { sign: Sign::Dead, ..ANSWERED }, 2 * S));
        gate.follow(16, Some(&rate(1.0)));
        assert_eq!((gate.leave(0, 2 * S), gate.breaker(2 * S).0), (Leave::In(S), BreakerState::Open));
        assert!(gate.begin(3 * S));
        gate.end(Ended { was_probe: true, ..ANSWERED }, 3 * S);
        assert_eq!((gate.leave(1, 5 * S), gate.ahead(0, 48, 5 * S)), (Leave::AfterOne, 1), "it comes up slowly");
        assert!(gate.is_open(5 * S), "what just came does not go behind a backlog");
        gate.follow(1, None);
        assert_eq!(gate.ahead(0, 48, 5 * S), 48, "as many as there may be");
    }

    #[test]
    fn little_is_ready_where_little_can_begin() {
        let mut gate = Gate::new(16, Some(Bucket::try_new(5.0).unwrap()));
        assert_eq!(gate.ahead(3, 48, S), 5);
        assert_eq!(Gate::new(16, None).ahead(3, 48, S), 48);
        (0..10).for_each(|_| gate.end(Ended { sign: Sign::Dead, ..ANSWERED }, S));
        assert_eq!((gate.leave(0, S), gate.breaker(S)), (Leave::In(S), (BreakerState::Open, Some(S))));
        assert_eq!((gate.is_open(2 * S), gate.ahead(0, 48, 2 * S)), (false, 1));
        gate.pause(true);
        assert_eq!((gate.leave(0, 2 * S), gate.is_open(2 * S)), (Leave::Paused, false));
        gate.pause(false);
        assert_eq!(gate.leave(0, S), Leave::In(S));
        gate.hurry(S);
        assert_eq!(gate.leave(0, S), Leave::Now);
    }
}
