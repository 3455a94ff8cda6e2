//! What begins, lasts and ends: the states of alarms, damped, so that nobody is told twice of what changes from moment to moment.
//!
//! An alarm is told when it began, again after `repeat` while it lasts, and once when it is over. What nobody was told of ends
//! without a word.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Alarm, Damping, Finding, Kind, Notice, State, Subject, Word};
use crate::time::Timestamp;

/// Alarms that are over and still shown.
pub const ENDED_MAX: usize = 100;

type Key = (Kind, Subject);

/// All alarms. Bounded by what can be wrong: one alarm for each kind and subject, and those that ended lately.
#[derive(Debug, Default)]
pub struct Board {
    open: BTreeMap<Key, Open>,
    /// The newest last.
    ended: VecDeque<Alarm>,
    /// When each was last told to begin or last, as long as that matters.
    told: BTreeMap<Key, Timestamp>,
    last_number: u64,
}

#[derive(Debug)]
struct Open {
    alarm: Alarm,
    /// Since when nothing is wrong any more.
    clear_since: Option<Timestamp>,
    /// Whether somebody was told of it.
    is_told: bool,
}

impl Board {
    /// Takes what a look found; gives what must be told. `damping` may be another one at each look.
    pub fn step(&mut self, found: Vec<Finding>, damping: &Damping, now: Timestamp) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut clear: BTreeSet<Key> = self.open.keys().cloned().collect();
        for finding in found {
            let key = (finding.kind, finding.subject.clone());
            clear.remove(&key);
            notices.extend(self.hold(key, finding, damping, now));
        }
        for key in clear {
            notices.extend(self.release(&key, damping, now));
        }
        let kept = damping.cool_down.max(damping.repeat);
        self.told.retain(|_, at| now.since(*at) < kept);
        notices
    }

    /// Every alarm, the newest first.
    pub fn alarms(&self) -> Vec<Alarm> {
        let mut all: Vec<Alarm> = self.open.values().map(|open| &open.alarm).chain(&self.ended).cloned().collect();
        all.sort_by_key(|alarm| std::cmp::Reverse(alarm.number));
        all
    }

    /// Whether this alarm has begun and is not over.
    pub fn is_firing(&self, kind: Kind, subject: &Subject) -> bool {
        self.open.get(&(kind, subject.clone())).is_some_and(|open| open.alarm.state == State::Firing)
    }

    fn hold(&mut self, key: Key, finding: Finding, damping: &Damping, now: Timestamp) -> Option<Notice> {
        let Finding { kind, subject, since, begins_at, detail } = finding;
        let last_number = &mut self.last_number;
        let new = || {
            // Milliseconds, so that no number comes again after a restart.
            *last_number = now.ms().max(*last_number + 1);
            let alarm = Alarm {
                number: *last_number,
                kind,
                subject,
                state: State::Pending,
                since,
                began_at: None,
                ended_at: None,
                last_sent_at: None,
                detail: String::new(),
            };
            Open { alarm, clear_since: None, is_told: false }
        };
        let open = self.open.entry(key.clone()).or_insert_with(new);
        (open.alarm.detail, open.clear_since) = (detail, None);
        if open.alarm.state == State::Pending && now >= begins_at {
            (open.alarm.state, open.alarm.began_at) = (State::Firing, Some(now));
        }
        let told = self.told.get(&key).copied();
        let is_quiet = |time| told.is_none_or(|at| now.since(at) >= time);
        let word = match (open.alarm.state, open.is_told) {
            (State::Firing, false) if is_quiet(damping.cool_down) => Word::Began,
            (State::Firing, true) if is_quiet(damping.repeat) => Word::Lasts,
            _ => return None,
        };
        (open.is_told, open.alarm.last_sent_at) = (true, Some(now));
        self.told.insert(key, now);
        Some(Notice { word, alarm: open.alarm.clone(), at: now })
    }

    fn release(&mut self, key: &Key, damping: &Damping, now: Timestamp) -> Option<Notice> {
        let open = self.open.get_mut(key)?;
        let clear_since = *open.clear_since.get_or_insert(now);
        if open.alarm.state == State::Firing && now.since(clear_since) < damping.end_after {
            return None;
        }
        let Open { mut alarm, is_told, .. } = self.open.remove(key)?;
        if alarm.state == State::Pending {
            return None;
        }
        (alarm.state, alarm.ended_at) = (State::Ended, Some(now));
        if is_told {
            alarm.last_sent_at = Some(now);
        }
        if self.ended.len() == ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(alarm.clone());
        is_told.then_some(Notice { word: Word::Ended, alarm, at: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Name;
    use proptest::prelude::*;
    use std::time::Duration;

    const STEP: u64 = 5;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_ms(1_790_000_000_000 + seconds * 1000)
    }

    fn finding(subject: &str, first: u64, hold: u64) -> Finding {
        let subject = Subject::Destination(Name::try_new(subject).unwrap());
        let (since, begins_at) = (at(first), at(first + hold));
        Finding { kind: Kind::DestinationFailing, subject, since, begins_at, detail: "d".to_owned() }
    }

    fn damping(end_after: u64, cool_down: u64, repeat: u64) -> Damping {
        let [begin_after, end_after, cool_down, repeat] = [0, end_after, cool_down, repeat].map(Duration::from_secs);
        Damping { begin_after, end_after, repeat, cool_down }
    }

    /// Runs a story: at each step the condition holds or not, and must hold for `hold` seconds. Gives what was told, and when.
    fn told(story: &[bool], hold: u64, damping: &Damping) -> (Vec<(u64, Word)>, Board) {
        let (mut board, mut first, mut told) = (Board::default(), None, Vec::new());
        for (n, is_bad) in story.iter().enumerate() {
            let now = n as u64 * STEP;
            first = is_bad.then(|| first.unwrap_or(now));
            let found = first.map(|first| finding("a", first, hold)).into_iter().collect();
            told.extend(board.step(found, damping, at(now)).into_iter().map(|notice| (now, notice.word)));
        }
        (told, board)
    }

    fn story(parts: &[(bool, usize)]) -> Vec<bool> {
        parts.iter().flat_map(|(is_bad, steps)| std::iter::repeat_n(*is_bad, *steps)).collect()
    }

    #[test]
    fn an_alarm_begins_lasts_and_ends_once() {
        let damping = damping(20, 60, 100);
        let (told, board) = told(&story(&[(false, 2), (true, 40), (false, 10)]), 30, &damping);
        assert_eq!(told, [(40, Word::Began), (140, Word::Lasts), (230, Word::Ended)]);
        let alarms = board.alarms();
        assert_eq!((alarms.len(), alarms[0].state), (1, State::Ended));
        assert_eq!((alarms[0].since, alarms[0].began_at, alarms[0].ended_at), (at(10), Some(at(40)), Some(at(230))));
    }

    #[test]
    fn what_does_not_hold_for_its_time_is_nothing() {
        let (told, board) = told(&story(&[(true, 5), (false, 1), (true, 5), (false, 5)]), 30, &damping(20, 60, 100));
        assert_eq!((told, board.alarms()), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_comes_back_within_its_end_goes_on_without_a_word() {
        let (told, _) = told(&story(&[(true, 5), (false, 3), (true, 5), (false, 9)]), 0, &damping(20, 10, 1000));
        assert_eq!(told, [(0, Word::Began), (85, Word::Ended)]);
        // The second one is told when the cool-down is over, in the middle of its flickering.
        let flickers = story(&[(true, 26), (false, 9), (true, 9), (false, 2), (true, 7), (false, 9)]);
        let (told, _) = super::tests::told(&flickers, 5, &damping(6, 211, 1000));
        assert_eq!(told, [(5, Word::Began), (140, Word::Ended), (230, Word::Began), (275, Word::Ended)]);
    }

    #[test]
    fn what_comes_back_after_its_end_is_told_after_the_cool_down() {
        let (told, _) = told(&story(&[(true, 2), (false, 6), (true, 40), (false, 9)]), 0, &damping(20, 100, 1000));
        assert_eq!(told, [(0, Word::Began), (30, Word::Ended), (100, Word::Began), (260, Word::Ended)]);
        let shown = super::tests::told(&story(&[(true, 2), (false, 6), (true, 3), (false, 9)]), 0, &damping(20, 100, 1000));
        assert_eq!(shown.0, [(0, Word::Began), (30, Word::Ended)], "what nobody was told of ends without a word");
        assert_eq!(shown.1.alarms().len(), 2, "and it is shown");
    }

    #[test]
    fn what_ended_is_kept_for_a_while_and_numbers_rise() {
        let (mut board, damping) = (Board::default(), damping(0, 0, 1000));
        for n in 0..(ENDED_MAX as u64 + 20) {
            board.step(vec![finding(&format!("d{n}"), n, 0)], &damping, at(n));
        }
        board.step(Vec::new(), &damping, at(1000));
        let numbers: Vec<_> = board.alarms().iter().map(|alarm| alarm.number).collect();
        assert_eq!(numbers.len(), ENDED_MAX);
        assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
        assert!(board.told.len() <= ENDED_MAX + 20 && board.open.is_empty());
        board.step(Vec::new(), &damping, at(5000));
        assert!(board.told.is_empty());
    }

    proptest! {
        /// Whatever happens: nothing is told that did not hold for its time or that was gone for long enough since, never twice within the cool-down or the time of repeating,
        /// each end once and after its beginning, and what is over for long enough was told to be.
        #[test]
        fn nobody_is_told_too_often_or_too_little(
            parts in prop::collection::vec((any::<bool>(), 1..60usize), 1..30),
            hold in 0..60u64, end_after in 0..60u64, cool_down in 0..300u64, more in 0..300u64,
        ) {
            let repeat = cool_down + more + STEP;
            let damping = damping(end_after, cool_down, repeat);
            let calm = (end_after / STEP + 2) as usize;
            let whole = story(&[&parts[..], &[(false, calm)]].concat());
            let has_held = |step: usize| whole[step.saturating_sub((hold / STEP) as usize)..=step].iter().all(|bad| *bad);
            let is_gone = |run: &[bool]| !run.is_empty() && (run.len() as u64 - 1) * STEP >= end_after;
            let (told, board) = told(&whole, hold, &damping);
            let mut last = None;
            for (n, (now, word)) in told.iter().enumerate() {
                let before = n.checked_sub(1).map(|n| told[n].1);
                match word {
                    Word::Began => {
                        prop_assert!(matches!(before, None | Some(Word::Ended)));
                        let step = (now / STEP) as usize;
                        let held = (0..=step).rev().find(|step| has_held(*step));
                        prop_assert!(held.is_some_and(|held| !whole[held..=step].split(|bad| *bad).any(is_gone)));
                        prop_assert!(last.is_none_or(|last| now - last >= cool_down));
                    }
                    Word::Lasts => {
                        prop_assert!(matches!(before, Some(Word::Began | Word::Lasts)));
                        prop_assert!(last.is_some_and(|last| now - last >= repeat));
                    }
                    Word::Ended => {
                        prop_assert!(matches!(before, Some(Word::Began | Word::Lasts)));
                        let step = (now / STEP) as usize;
                        prop_assert!(whole[step - (end_after / STEP) as usize..=step].iter().all(|bad| !*bad));
                    }
                }
                if *word != Word::Ended {
                    last = Some(*now);
                }
            }
            prop_assert!(told.last().is_none_or(|(_, word)| *word == Word::Ended));
            prop_assert!(board.open.is_empty());
        }

        /// What goes on for ever is told, at the latest when the cool-down is over, and again and again.
        #[test]
        fn what_lasts_is_told(
            parts in prop::collection::vec((any::<bool>(), 1..30usize), 0..10),
            hold in 0..60u64, cool_down in 0..100u64, more in 0..100u64,
        ) {
            let repeat = cool_down + more + STEP;
            let before: usize = parts.iter().map(|(_, steps)| steps).sum();
            let steps = ((hold + cool_down + 3 * repeat) / STEP + 5) as usize;
            let whole = story(&[&parts[..], &[(true, steps)]].concat());
            let (told, board) = told(&whole, hold, &damping(0, cool_down, repeat));
            let lasts = told.iter().filter(|(now, word)| *now / STEP >= before as u64 && *word == Word::Lasts).count();
            prop_assert!(lasts >= 2, "{told:?}");
            prop_assert!(board.is_firing(Kind::DestinationFailing, &finding("a", 0, 0).subject));
        }
    }
}
