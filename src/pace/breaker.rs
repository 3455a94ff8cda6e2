//! The breaker's rule: whether a destination is worth an attempt now, and how many at once.
//!
//! ```text
//! closed --10 in a row without an answer--> open --after 1 s, 2 s, .. 30 s--> half open (one probe)
//!   ^                                        ^ |                                |            |
//!   |                                        | +<-------- no answer ------------+            |
//!   +-- as many at once as allowed -- ramp --+ no answer (as often as it allows at once)     |
//!                                       ^---------------------- answer ----------------------+
//! ```
//!
//! An answer of any status shows that the application is there. In the ramp each answer allows one more at once, which doubles
//! them each round. Times are those of a clock that only goes forward, counted from any start.

use std::time::Duration;

use crate::record::{BreakerState, Failure, Outcome};

/// Attempts in a row without an answer that open it.
const OPENS_AFTER: usize = 10;
/// The first wait before a probe; doubles with every probe that fails.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait before a probe: an application that is back is found within it.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What an attempt said about the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered.
    Alive,
    /// There was no connection, or no answer in time.
    Dead,
    /// Nothing: the relay itself ended the attempt, or could not make it.
    Nothing,
}

/// A destination's breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    in_flight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: usize },
    Open { until: Duration, wait: Duration },
    HalfOpen { wait: Duration },
    Ramp { at_once: usize, failures: usize, wait: Duration },
}

impl Sign {
    /// What an outcome says.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered(_) => Self::Alive,
            Outcome::Failed { failure: Failure::Interrupted, .. } => Self::Nothing,
            Outcome::Failed { .. } => Self::Dead,
        }
    }
}

impl Breaker {
    /// A closed one, for a destination that takes so many attempts at once.
    pub fn new(in_flight: usize) -> Self {
        Self { state: State::Closed { failures: 0 }, in_flight: in_flight.max(1) }
    }

    /// The destination takes so many attempts at once from now on.
    pub fn resize(&mut self, in_flight: usize) {
        self.in_flight = in_flight.max(1);
        if let State::Ramp { at_once, failures, wait } = self.state {
            self.state = self.ramp(at_once, wait);
            if let State::Ramp { failures: before, .. } = &mut self.state {
                *before = failures;
            }
        }
    }

    /// How many attempts may be under way at `now`.
    pub fn at_once(&self, now: Duration) -> usize {
        match self.state {
            State::Closed { .. } => self.in_flight,
            State::Ramp { at_once, .. } => at_once,
            State::Open { until, .. } if now < until => 0,
            State::Open { .. } | State::HalfOpen { .. } => 1,
        }
    }

    /// Whether one more attempt may begin beside those that run. Those that began before it opened do not hold the probe up.
    pub fn allows(&self, running: usize, now: Duration) -> bool {
        let at_once = match self.state {
            State::Open { until, .. } if now >= until => self.in_flight,
            State::HalfOpen { .. } => 0,
            _ => self.at_once(now),
        };
        running < at_once
    }

    /// When an attempt may be made again, where none may be now.
    pub fn probe_at(&self) -> Option<Duration> {
        if let State::Open { until, .. } = self.state { Some(until) } else { None }
    }

    /// Whether all is as it should be: no probe, no ramp.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Its state in a word. The ramp is closed: attempts are made.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } | State::Ramp { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// An attempt begins. Gives whether it is the probe.
    pub fn begin(&mut self) -> bool {
        let State::Open { wait, .. } = self.state else { return false };
        self.state = State::HalfOpen { wait };
        true
    }

    /// An attempt ended at `now`. Attempts that began before it opened say nothing when they fail, too.
    pub fn end(&mut self, was_probe: bool, sign: Sign, now: Duration) {
        self.state = match (sign, self.state) {
            (Sign::Alive, state) => self.alive(state),
            (Sign::Dead, state) => self.dead(state, was_probe, now),
            // The probe told nothing: the next attempt is one.
            (Sign::Nothing, State::HalfOpen { wait }) if was_probe => State::Open { until: now, wait },
            (Sign::Nothing, state) => state,
        };
    }

    /// A person says that the application is back: the next attempt is a probe.
    pub fn hurry(&mut self, now: Duration) {
        if let State::Open { .. } = self.state {
            self.state = State::Open { until: now, wait: WAIT_MIN };
        }
    }

    fn alive(&self, state: State) -> State {
        match state {
            State::Closed { .. } => State::Closed { failures: 0 },
            State::Open { wait, .. } | State::HalfOpen { wait } => self.ramp(1, wait),
            State::Ramp { at_once, wait, .. } => self.ramp(at_once + 1, wait),
        }
    }

    fn ramp(&self, at_once: usize, wait: Duration) -> State {
        if at_once >= self.in_flight { State::Closed { failures: 0 } } else { State::Ramp { at_once, failures: 0, wait } }
    }

    fn dead(&self, state: State, was_probe: bool, now: Duration) -> State {
        let open = |wait| State::Open { until: now + wait, wait };
        let longer = |wait: Duration| (wait * 2).min(WAIT_MAX);
        match state {
            State::Closed { failures } if failures + 1 >= OPENS_AFTER => open(WAIT_MIN),
            State::Closed { failures } => State::Closed { failures: failures + 1 },
            State::Ramp { at_once, failures, wait } if failures + 1 >= at_once.min(OPENS_AFTER) => open(longer(wait)),
            State::Ramp { at_once, failures, wait } => State::Ramp { at_once, failures: failures + 1, wait },
            State::HalfOpen { wait } if was_probe => open(longer(wait)),
            State::HalfOpen { .. } | State::Open { .. } => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: Duration = Duration::from_secs(1);

    fn fail(breaker: &mut Breaker, times: usize, now: Duration) {
        (0..times).for_each(|_| {
            let is_probe = breaker.begin();
            breaker.end(is_probe, Sign::Dead, now);
        });
    }

    #[test]
    fn ten_in_a_row_open_it_and_an_answer_begins_anew() {
        let mut breaker = Breaker::new(16);
        fail(&mut breaker, 9, S);
        breaker.end(false, Sign::Alive, S);
        fail(&mut breaker, 9, S);
        assert_eq!((breaker.state(), breaker.at_once(S)), (BreakerState::Closed, 16));
        breaker.end(false, Sign::Nothing, S);
        fail(&mut breaker, 1, S);
        assert_eq!((breaker.state(), breaker.at_once(S), breaker.probe_at()), (BreakerState::Open, 0, Some(2 * S)));
    }

    #[test]
    fn one_probe_at_a_time_with_doubling_waits() {
        let mut breaker = Breaker::new(16);
        fail(&mut breaker, 10, Duration::ZERO);
        // Those that began before fail, too.
        (0..6).for_each(|_| breaker.end(false, Sign::Dead, S / 2));
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..7 {
            let at = breaker.probe_at().unwrap();
            waits.push((at - now).as_secs());
            now = at;
            assert_eq!((breaker.at_once(now), breaker.begin(), breaker.state()), (1, true, BreakerState::HalfOpen));
            breaker.end(false, Sign::Dead, now);
            assert_eq!(breaker.state(), BreakerState::HalfOpen, "only the probe counts");
            breaker.end(true, Sign::Dead, now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn an_application_that_is_back_is_not_flooded() {
        let mut breaker = Breaker::new(8);
        fail(&mut breaker, 10, Duration::ZERO);
        let is_probe = breaker.begin();
        breaker.end(is_probe, Sign::Alive, S);
        let mut rounds = Vec::new();
        while !breaker.is_closed() {
            rounds.push(breaker.at_once(S));
            (0..breaker.at_once(S)).for_each(|_| breaker.end(false, Sign::Alive, S));
        }
        assert_eq!(rounds, [1, 2, 4]);
        assert_eq!(breaker.at_once(S), 8);
    }

    #[test]
    fn a_ramp_that_meets_nothing_opens_again_for_longer() {
        let mut breaker = Breaker::new(8);
        fail(&mut breaker, 10, Duration::ZERO);
        let is_probe = breaker.begin();
        breaker.end(is_probe, Sign::Alive, S);
        breaker.end(false, Sign::Alive, S);
        fail(&mut breaker, 1, S);
        assert_eq!(breaker.at_once(S), 2, "one of two may be the event's own fault");
        fail(&mut breaker, 1, S);
        assert_eq!(breaker.probe_at(), Some(3 * S));
    }

    #[test]
    fn a_probe_that_tells_nothing_is_made_again() {
        let mut breaker = Breaker::new(8);
        fail(&mut breaker, 10, Duration::ZERO);
        assert_eq!([(7, S / 2), (7, S), (8, S)].map(|(running, now)| breaker.allows(running, now)), [false, true, false]);
        let is_probe = breaker.begin();
        assert!(!breaker.allows(0, S));
        breaker.end(is_probe, Sign::Nothing, 2 * S);
        assert_eq!((breaker.at_once(2 * S), breaker.begin()), (1, true));
    }

    #[test]
    fn a_person_can_hurry_it() {
        let mut breaker = Breaker::new(8);
        fail(&mut breaker, 10, S);
        breaker.hurry(S);
        assert_eq!(breaker.at_once(S), 1);
    }

    proptest! {
        /// Whatever happens: never more at once than allowed, never a longer wait than the longest, and never stuck.
        #[test]
        fn it_never_stays_open(in_flight in 1usize..40, signs in prop::collection::vec((0usize..3, any::<bool>()), 0..200)) {
            let (mut breaker, mut now) = (Breaker::new(in_flight), Duration::ZERO);
            for (sign, is_later) in signs {
                let sign = [Sign::Alive, Sign::Dead, Sign::Nothing][sign];
                if breaker.at_once(now) == 0 || is_later {
                    now = breaker.probe_at().unwrap_or(now + S).max(now);
                }
                let is_probe = breaker.begin();
                breaker.end(is_probe, sign, now);
                prop_assert!(breaker.at_once(now) <= in_flight);
                prop_assert!(breaker.probe_at().is_none_or(|at| at <= now + WAIT_MAX));
                prop_assert!(breaker.at_once(now + WAIT_MAX) >= 1);
                prop_assert!(breaker.state() != BreakerState::HalfOpen);
            }
            for _ in 0..=in_flight {
                now += WAIT_MAX;
                let is_probe = breaker.begin();
                breaker.end(is_probe, Sign::Alive, now);
            }
            prop_assert!(breaker.is_closed());
        }
    }
}
