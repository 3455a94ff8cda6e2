//! The meter: whether one more may pass, so that no more than so many a second do for long, and no more than a burst at once.
//!
//! The generic cell rate algorithm: its whole state is one time. Times are those of a clock that only goes forward, in nanoseconds
//! counted from any start. Where somebody waits for a turn, `bucket` is the rule.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Lets so many a second pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    interval_ns: u64,
    /// By so much the state may be ahead of the present when another one passes.
    ahead_ns: u64,
}

/// A rate that no meter can have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rate is between {} and {} a second, and a burst between 1 and {}",
    Meter::PER_SECOND_MIN,
    Meter::PER_SECOND_MAX,
    Meter::BURST_MAX
)]
pub struct BadRate;

impl Meter {
    /// One a minute or so: slower than that is what pausing is for.
    pub const PER_SECOND_MIN: f64 = 0.01;
    /// More than one relay can take.
    pub const PER_SECOND_MAX: f64 = 1_000_000.0;
    /// As much as is taken in a second at most.
    pub const BURST_MAX: u32 = 1_000_000;

    /// Lets `per_second` pass, and after a rest `burst` at once.
    pub fn try_new(per_second: f64, burst: u32) -> Result<Self, BadRate> {
        let is_right =
            (Self::PER_SECOND_MIN..=Self::PER_SECOND_MAX).contains(&per_second) && (1..=Self::BURST_MAX).contains(&burst);
        // A float that does not fit becomes the nearest number that does.
        let interval_ns = (1e9 / per_second) as u64;
        is_right
            .then_some(Self { interval_ns, ahead_ns: interval_ns.saturating_mul(u64::from(burst.saturating_sub(1))) })
            .ok_or(BadRate)
    }

    /// The state after one more has passed at `now`; where none may, how long it is until one may.
    pub fn after(&self, state: u64, now: u64) -> Result<u64, Duration> {
        let ahead = state.saturating_sub(now);
        match ahead.checked_sub(self.ahead_ns) {
            None | Some(0) => Ok(state.max(now).saturating_add(self.interval_ns)),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }
}

/// One meter and its state, for many threads.
#[derive(Debug)]
pub struct Metered {
    meter: Meter,
    state: AtomicU64,
}

impl Metered {
    /// At rest, or as `before` stands.
    pub fn new(meter: Meter, before: Option<&Self>) -> Self {
        Self { meter, state: AtomicU64::new(before.map_or(0, |before| before.state.load(Ordering::Relaxed))) }
    }

    /// Whether one may pass, which is not taken yet.
    pub fn look(&self, now: u64) -> Result<(), Duration> {
        self.meter.after(self.state.load(Ordering::Relaxed), now).map(drop)
    }

    /// One passes.
    pub fn take(&self, now: u64) -> Result<(), Duration> {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let next = self.meter.after(state, now)?;
            match self.state.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(newer) => state = newer,
            }
        }
    }
}

/// A meter for each of many addresses, in bounded memory: who is at rest is forgotten, and where too many are not, those who are
/// nearest to it. So a flood of addresses costs nobody else anything.
#[derive(Debug)]
pub struct Crowd {
    meter: Meter,
    members_max: usize,
    states: HashMap<IpAddr, u64>,
}

impl Crowd {
    /// With nobody in it.
    pub fn new(meter: Meter, members_max: usize) -> Self {
        Self { meter, members_max: members_max.max(1), states: HashMap::new() }
    }

    /// One of `address` passes.
    pub fn take(&mut self, address: IpAddr, now: u64) -> Result<(), Duration> {
        let member = member(address);
        let state = self.states.get(&member).copied().unwrap_or_default();
        let next = self.meter.after(state, now)?;
        if self.states.len() >= self.members_max && !self.states.contains_key(&member) {
            self.forget(now);
        }
        self.states.insert(member, next);
        Ok(())
    }

    /// Follows another rate from now on.
    pub fn follow(&mut self, meter: Meter) {
        self.meter = meter;
    }

    /// Makes room for an eighth, so that this is not done for every newcomer.
    fn forget(&mut self, now: u64) {
        self.states.retain(|_, state| *state > now);
        let keep = self.members_max - self.members_max.div_ceil(8);
        let Some(over) = self.states.len().checked_sub(keep).filter(|over| *over > 0) else { return };
        let mut states: Vec<u64> = self.states.values().copied().collect();
        let (_, last, _) = states.select_nth_unstable(over - 1);
        let last = *last;
        let mut left = over;
        self.states.retain(|_, state| {
            let goes = left > 0 && *state <= last;
            left -= usize::from(goes);
            !goes
        });
    }
}

/// Who is counted as one: an address, and of IPv6 the network that one customer has.
pub fn member(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_the_rate() {
        let metered = Metered::new(Meter::try_new(10.0, 5).unwrap(), None);
        let passed = |now| (0..100).filter(|_| metered.take(now).is_ok()).count();
        assert_eq!([passed(S), passed(S), passed(S + S / 10), passed(S + S / 2), passed(60 * S)], [5, 0, 1, 4, 5]);
        assert_eq!(metered.take(60 * S), Err(Duration::from_millis(100)));
        assert_eq!(metered.look(60 * S), Err(Duration::from_millis(100)));
        assert_eq!((metered.look(61 * S), metered.look(61 * S)), (Ok(()), Ok(())));
        let slower = Metered::new(Meter::try_new(1.0, 1).unwrap(), Some(&metered));
        assert!(slower.take(60 * S).is_err() && slower.take(62 * S).is_ok(), "what was taken counts");
        for (rate, burst) in [(0.001, 1), (f64::NAN, 1), (2e6, 1), (1.0, 0), (1.0, 1_000_001)] {
            assert_eq!(Meter::try_new(rate, burst), Err(BadRate));
        }
    }

    #[test]
    fn each_address_has_its_own_and_a_network_of_ipv6_is_one() {
        let mut crowd = Crowd::new(Meter::try_new(1.0, 1).unwrap(), 100);
        let mut takes = |address: &str| crowd.take(address.parse().unwrap(), S).is_ok();
        assert_eq!(["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(&mut takes), [true, false, true]);
        assert_eq!(["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(&mut takes), [true, false, true]);
        assert!(!takes("::ffff:192.0.2.2"));
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_forgives_nobody_who_is_far_ahead() {
        let mut crowd = Crowd::new(Meter::try_new(1.0, 10).unwrap(), 1000);
        let busy: IpAddr = "192.0.2.1".parse().unwrap();
        while crowd.take(busy, S).is_ok() {}
        for n in 0..100_000u32 {
            assert!(crowd.take(IpAddr::from(n.to_be_bytes()), S).is_ok());
            assert!(crowd.states.len() <= 1000);
        }
        assert!(crowd.take(busy, S).is_err(), "it is not the one that is forgotten");
        for n in 0..1000u32 {
            crowd.take(IpAddr::from(n.to_be_bytes()), 100 * S).unwrap();
        }
        assert!(crowd.take(busy, 100 * S).is_ok());
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(rate in 1u32..1000, burst in 1u32..50, steps in prop::collection::vec(0u64..50_000_000, 1..300)) {
            let metered = Metered::new(Meter::try_new(f64::from(rate), burst).unwrap(), None);
            let (mut now, mut passed) = (S, 0u64);
            for step in steps {
                now += step;
                passed += u64::from(metered.take(now).is_ok());
                let bound = u64::from(burst) + (now - S) * u64::from(rate) / S + 1;
                prop_assert!(passed <= bound, "{passed} > {bound}");
            }
        }
    }
}
