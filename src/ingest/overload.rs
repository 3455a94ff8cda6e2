//! Overload: refuses events while more come than can be made durable in time, so that those that are taken are answered in time.
//!
//! While few are under way this costs one look at a number, and nobody is refused. The rules are `pace/overload.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::net::lag::Lag;
use crate::pace::overload::{self, CROWD, Patience};

/// While it lasts, people are told so often.
const LINE_EVERY_NS: u64 = 10_000_000_000;

/// Who is under way, and how late the relay is.
#[derive(Debug, Default)]
pub(super) struct Overload {
    lag: Arc<Lag>,
    /// Events that are whole, and not answered.
    under_way: AtomicUsize,
    /// Refused since the last line.
    refused: AtomicU64,
    /// When the next line may be written.
    line_at: AtomicU64,
}

/// An event that is under way, until it is dropped.
pub(super) struct UnderWay<'a>(&'a Overload);

impl Overload {
    /// With what tells how late the relay is.
    pub(super) fn new(lag: Arc<Lag>) -> Self {
        Self { lag, ..Self::default() }
    }

    /// Whether to take an event of which only the head is there. `wait`: for it to be durable.
    pub(super) fn takes(&self, patience: Patience, wait: impl FnOnce() -> Duration) -> bool {
        self.under_way.load(Ordering::Relaxed) < CROWD || patience.takes(wait(), self.lag.now())
    }

    /// Begins to make one durable; `None` where it would come too late.
    pub(super) fn begin(&self, patience: Patience, wait: impl FnOnce() -> Duration) -> Option<UnderWay<'_>> {
        let under_way = UnderWay(self);
        let others = self.under_way.fetch_add(1, Ordering::Relaxed);
        (others < CROWD || patience.keeps(wait())).then_some(under_way)
    }

    /// How late the relay is.
    pub(super) fn lag(&self) -> Duration {
        self.lag.now()
    }

    /// One was refused at `now`, with the wait that is foreseen; people are told now and then. Gives the wait that decides.
    pub(super) fn refused(&self, now_ns: u64, wait: Duration) -> Duration {
        self.told(now_ns, wait);
        overload::foreseen(wait, self.lag())
    }

    fn told(&self, now_ns: u64, wait: Duration) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let line_at = self.line_at.load(Ordering::Relaxed);
        if now_ns < line_at {
            return;
        }
        let next = now_ns.saturating_add(LINE_EVERY_NS);
        if self.line_at.compare_exchange(line_at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let refused = self.refused.swap(0, Ordering::Relaxed);
            let (wait_ms, lag_ms) = (wait.as_millis(), self.lag().as_millis());
            tracing::warn!(refused, wait_ms, lag_ms, "more events come than can be stored in time; some are refused");
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_refused_where_there_is_no_crowd_and_places_are_given_back() {
        let (overload, patience) = (Overload::default(), Patience::new(Duration::from_secs(1)));
        let (short, long) = (|| Duration::from_millis(500), || Duration::from_millis(1001));
        let held: Vec<_> = (0..CROWD).map(|_| overload.begin(patience, long).unwrap()).collect();
        assert!(!overload.takes(patience, long) && overload.takes(patience, short));
        assert!(overload.begin(patience, long).is_none() && overload.begin(patience, short).is_some());
        assert!(!overload.takes(patience, || Duration::from_millis(501)), "half of the time is kept");
        drop(held);
        assert!(overload.takes(patience, long));
        assert_eq!(overload.under_way.load(Ordering::Relaxed), 0);
    }
}
