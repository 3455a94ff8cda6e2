//! Whether one more event may come in, so that whoever is taken is answered in time, and nobody is refused where there is no crowd.
//!
//! Two waits are looked at: the one until an event is durable, foreseen from what waits before it, and the one of everything that is
//! ready for its turn on the processor. Neither needs a setting that fits the machine: a faster one has shorter waits.

use std::time::Duration;

/// So many may be under way at any time, however long they wait: two groups of the store's, one that is written and one that gathers.
/// It keeps bursts from being refused, and a machine that is slow for reasons of its own from refusing everybody.
pub const CROWD: usize = 512;

/// What is ready waits for its turn a few times until an answer is on its way: so many.
const TURNS: u32 = 4;

/// Who is refused is asked to wait so long at least, as `Retry-After` counts whole seconds.
pub const AGAIN_MIN: Duration = Duration::from_secs(1);
/// And so long at most: less comes long before that, or it will not soon, and an event must not wait for a wrong guess.
pub const AGAIN_MAX: Duration = Duration::from_secs(60);
/// Those who are refused at one time come again within a time that is as long at least: what would be one crowd is several small ones.
const SPREAD_MIN: Duration = Duration::from_secs(4);

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
        self.within / TURNS
    }
}

/// How long an event that comes now would wait, by both waits that decide.
pub fn foreseen(wait: Duration, lag: Duration) -> Duration {
    wait.max(lag.saturating_mul(TURNS))
}

/// When somebody shall come again who is refused while so long a wait is foreseen, in whole seconds: when what stands before has been
/// served, and not together with all others, but at some time until as long again has passed.
pub fn come_again(foreseen: Duration, random: u64) -> Duration {
    let soonest = Duration::from_secs(foreseen.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
    let soonest = soonest.clamp(AGAIN_MIN, AGAIN_MAX / 2);
    let spread = soonest.max(SPREAD_MIN).as_secs();
    // Less than `spread + 1`, so it fits.
    let later = ((u128::from(random) * (u128::from(spread) + 1)) >> 64) as u64;
    soonest + Duration::from_secs(later)
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

    #[test]
    fn whoever_is_refused_comes_when_the_rest_is_served_and_not_with_all_others() {
        let again = |foreseen_ms: u32| {
            let seconds = |random| come_again(MS * foreseen_ms, random).as_secs();
            (seconds(0), seconds(u64::MAX))
        };
        assert_eq!([0, 400, 1000].map(again), [(1, 5); 3]);
        assert_eq!([1001, 5000, 12_300].map(again), [(2, 6), (5, 10), (13, 26)]);
        assert_eq!([30_000, 3_000_000].map(again), [(30, 60); 2]);
        assert_eq!(come_again(Duration::MAX, u64::MAX), AGAIN_MAX);
        assert_eq!((foreseen(MS * 800, MS), foreseen(MS * 800, MS * 300)), (MS * 800, MS * 1200));
        assert_eq!(foreseen(MS, Duration::MAX), Duration::MAX);
    }

    #[test]
    fn a_crowd_that_was_refused_comes_back_in_parts() {
        let (mut parts, crowd) = (std::collections::BTreeMap::new(), 1000);
        for n in 0..crowd {
            *parts.entry(come_again(MS * 900, u64::MAX / crowd * n)).or_insert(0) += 1;
        }
        assert_eq!(parts.len(), 5);
        assert!(parts.values().all(|part| (190..=210).contains(part)), "{parts:?}");
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
        /// Never at once, never too late, never before the rest is served as far as that is within the bound, in whole seconds.
        #[test]
        fn a_wish_to_come_again_is_bounded(foreseen_ms in 0u32..200_000, random: u64) {
            let again = come_again(MS * foreseen_ms, random);
            prop_assert!(again >= AGAIN_MIN && again <= AGAIN_MAX && again.subsec_nanos() == 0);
            prop_assert!(again >= (MS * foreseen_ms).min(AGAIN_MAX / 2));
        }
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
