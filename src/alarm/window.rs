//! How much a number changed within the time that just passed. Keeps a bounded number of samples, so the time is true to a part of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// Samples of one window: it is true to a sixtieth of its time.
const SAMPLES_MAX: u32 = 60;

/// What was seen of a number (or several) within a time.
#[derive(Clone, Debug)]
pub(super) struct Window<T> {
    samples: VecDeque<(Timestamp, T)>,
}

impl<T: Copy> Window<T> {
    /// Begins with what was known at that time.
    pub(super) fn new(at: Timestamp, value: T) -> Self {
        Self { samples: VecDeque::from([(at, value)]) }
    }

    /// Takes a new value, and forgets what is older than `within`, but for the last that is: the value at the window's beginning.
    pub(super) fn see(&mut self, now: Timestamp, value: T, within: Duration) {
        let step = within / SAMPLES_MAX;
        if self.samples.back().is_none_or(|(at, _)| now.since(*at) >= step) {
            self.samples.push_back((now, value));
        }
        let begin = now.before(within);
        while self.samples.get(1).is_some_and(|(at, _)| *at <= begin) {
            self.samples.pop_front();
        }
        // More are there only where the window became shorter, or time went backwards.
        while self.samples.len() > SAMPLES_MAX as usize + 2 {
            self.samples.pop_front();
        }
    }

    /// What is known of the window, the oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = T> {
        self.samples.iter().map(|(_, value)| *value)
    }

    /// The value at the window's beginning.
    pub(super) fn first(&self) -> Option<T> {
        self.values().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_is_forgotten() {
        let at = |s: u64| Timestamp::from_ms(s * 1000);
        let within = Duration::from_secs(600);
        let mut window = Window::new(at(0), 0);
        for s in (5..=3000).step_by(5) {
            window.see(at(s), s, within);
            let first = window.first().unwrap();
            let begin = s.saturating_sub(600);
            assert!(first <= begin && begin - first <= 10, "at {s} it begins with {first}");
            assert!(window.values().count() <= 62);
        }
    }
}
