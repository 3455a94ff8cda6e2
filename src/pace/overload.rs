//! Whether one more event may come in, so that whoever is taken is answered in time, and nobody is refused where there is no crowd.
//!
//! Two waits are looked at: the one until an event is durable, foreseen from what waits before it, and the one of everything that is
//! ready for its turn on the processor. Neither needs a setting that fits the machine: a faster one has shorter waits.

use std::time::Duration;

/// So many may be under way at any time, however long they wait: two groups of the store's, one that is written and one that gathers.
/// It keeps bursts from being refused, and a machine that is slow for reasons of its own from refusing everybody.
pub const CROWD: usize = 512;

/// What stands before somebody who joins now, where groups are served one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Whole groups, of those that have not begun or are not at their end.
    pub groups: usize,
    /// What a group takes, as of late.
    pub group: Duration,
    /// How long the one that is served has taken so far; zero where none is.
    pub running: Duration,
}

impl Ahead {
    /// How long it is until whoever joins now has been served, as far as can be foreseen.
    pub fn wait(&self) -> Duration {
        // What takes longer than all before it: nobody knows, and as long again is the best guess.
        let present = if self.running > self.group { self.running } else { self.group.saturating_sub(self.running) };
        let groups = u32::try_from(self.groups).unwrap_or(u32::MAX);
        // With the group that whoever joins is in.
        present.saturating_add(self.group.saturating_mul(groups.saturating_add(1)))
    }
}

/// What a group takes, after one more took `last`. It follows at once where groups become slower, and with patience where they become
/// quicker: small ones are quicker than those of a crowd.
pub fn smoothed(group: Duration, last: Duration) -> Duration {
    if last > group { (group + last) / 2 } else { group - (group - last) / 4 }
}

/// What whoever is taken may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    within: Duration,
}

impl Patience {
    /// From a request's head until it is answered.
    pub const fn new(within: Duration) -> Self {
        Self { within }
    }

    /// Whether to take an event of which only the head is there. Half of the time is kept for what cannot be foreseen.
    pub fn takes(&self, wait: Duration, lag: Duration) -> bool {
        wait <= self.within / 2 && lag <= self.lag_max()
    }

    /// Whether to make one durable that is there as a whole, and has cost that much already.
    pub fn keeps(&self, wait: Duration) -> bool {
        wait <= self.within
    }

    /// What is ready may wait so long for its turn: it takes a few of them until an answer is on its way.
    pub fn lag_max(&self) -> Duration {
        self.within / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_wait_is_that_of_all_groups_before_and_ones_own() {
        let wait = |groups, group: u32, running: u32| Ahead { groups, group: MS * group, running: MS * running }.wait();
        assert_eq!(wait(0, 10, 0), MS * 20);
        assert_eq!(wait(0, 10, 4), MS * 16);
        assert_eq!(wait(3, 10, 10), MS * 40);
        assert_eq!(wait(3, 10, 900), MS * 940, "one that hangs");
        assert_eq!(Ahead { groups: usize::MAX, group: Duration::MAX, running: Duration::MAX }.wait(), Duration::MAX);
        assert_eq!(Ahead::default().wait(), Duration::ZERO);
    }

    #[test]
    fn slower_is_noticed_sooner_than_quicker() {
        let after = |group: Duration, last: Duration, times| (0..times).fold(group, |group, _| smoothed(group, last));
        assert!(after(MS, MS * 400, 3) > MS * 300);
        assert!(after(MS * 400, MS, 3) > MS * 100 && after(MS * 400, MS, 30) < MS * 2);
    }

    /// What the store takes into a group.
    const GROUP: usize = 256;

    /// Events come at `per_ms` for a while and then no more; the server takes groups in `group`, of which `known` is known at first.
    /// When those came that were taken and what they waited, and how many were refused.
    fn run(group: Duration, known: Duration, per_ms: usize, for_ms: u32) -> (Vec<(Duration, Duration)>, usize) {
        let (patience, mut known) = (Patience::new(MS * 1000), known);
        let (mut line, mut waits, mut refused) = (std::collections::VecDeque::new(), Vec::new(), 0);
        let mut served: Option<(Vec<Duration>, Duration)> = None;
        for ms in 0.. {
            let now = MS * ms;
            if let Some((of, began)) = served.take_if(|(_, began)| now - *began >= group) {
                waits.extend(of.into_iter().map(|came| (came, now - came)));
                known = smoothed(known, now - began);
            }
            if served.is_none() && !line.is_empty() {
                served = Some((line.drain(..line.len().min(GROUP)).collect(), now));
            }
            let running = served.as_ref().map_or(Duration::ZERO, |(_, began)| now - *began);
            for _ in 0..if ms < for_ms { per_ms } else { 0 } {
                let waiting = line.len() + served.as_ref().map_or(0, |(of, _)| of.len());
                let ahead = Ahead { groups: waiting / GROUP, group: known, running };
                if waiting < CROWD || patience.takes(ahead.wait(), Duration::ZERO) {
                    line.push_back(now);
                } else {
                    refused += 1;
                }
            }
            if line.is_empty() && served.is_none() && ms >= for_ms {
                break;
            }
        }
        (waits, refused)
    }

    #[test]
    fn a_burst_at_a_quick_disk_is_taken_whole() {
        let (waits, refused) = run(MS * 5, MS * 2, 3000, 2);
        assert_eq!((waits.len(), refused), (6000, 0));
    }

    #[test]
    fn a_disk_that_is_slower_than_the_patience_still_takes_a_group() {
        let (waits, refused) = run(MS * 3000, MS * 3000, 1, 60_000);
        assert!(waits.len() >= GROUP * 19 && refused > 0, "{} {refused}", waits.len());
        assert!(waits.iter().all(|(_, wait)| *wait <= MS * 9001));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Whatever comes, what is taken is served in time and the server never rests. A disk that was quick until then is known for
        /// what it is now soon after.
        #[test]
        fn whoever_is_taken_is_served_in_time(group_ms in 2u32..160, times in 2usize..20, was_quick: bool) {
            let (group, for_ms) = (MS * group_ms, 5_000);
            let per_ms = (GROUP * times).div_ceil(group_ms as usize);
            let (waits, _) = run(group, if was_quick { MS } else { group }, per_ms, for_ms);
            let known_from = if was_quick { group * 4 } else { Duration::ZERO };
            let late: Vec<_> = waits.iter().filter(|(came, wait)| *came >= known_from && *wait > MS * 1000).collect();
            prop_assert!(late.is_empty(), "{} of {}, first {:?}", late.len(), waits.len(), late[0]);
            let most = GROUP * for_ms as usize / group_ms as usize;
            prop_assert!(waits.len() * 10 >= most * 9, "{} of {most}", waits.len());
        }
    }
}
