//! How late the relay is: how long what is ready waits for its turn.
//!
//! A task that sleeps, and looks how much later it wakes than it should, waits like every connection does. While it has not woken, it
//! is at least as late as it is overdue, so a crowd that came at once is seen at once. Each runtime has one; the latest counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::time::Stopwatch;

/// How often it is looked at: often enough to follow a crowd, seldom enough to cost nothing.
const EVERY: Duration = Duration::from_millis(100);
/// Never due: its task has not begun.
const NEVER: u64 = u64::MAX;

/// How late the relay is. Without a runtime: never.
#[derive(Debug, Default)]
pub struct Lag(Vec<Turn>);

/// How late one runtime is.
#[derive(Debug)]
struct Turn {
    since: Stopwatch,
    /// When the task should wake, in microseconds since then.
    due: AtomicU64,
    /// How late it was the last time, in microseconds.
    last: AtomicU64,
}

impl Lag {
    /// Measures from now on, on these runtimes, for as long as somebody asks.
    pub fn start<'a>(runtimes: impl IntoIterator<Item = &'a Handle>) -> Arc<Self> {
        let runtimes: Vec<_> = runtimes.into_iter().collect();
        let lag = Arc::new(Self(runtimes.iter().map(|_| Turn::new()).collect()));
        for (number, runtime) in runtimes.into_iter().enumerate() {
            runtime.spawn(measure(Arc::downgrade(&lag), number));
        }
        lag
    }

    /// How late it is now, as far as is known.
    pub fn now(&self) -> Duration {
        self.0.iter().map(Turn::now).max().unwrap_or_default()
    }
}

impl Turn {
    fn new() -> Self {
        Self { since: Stopwatch::start(), due: AtomicU64::new(NEVER), last: AtomicU64::new(0) }
    }

    fn now(&self) -> Duration {
        let overdue = micros(self.since.elapsed()).saturating_sub(self.due.load(Ordering::Relaxed));
        Duration::from_micros(overdue.max(self.last.load(Ordering::Relaxed)))
    }

    fn sleeps(&self) {
        self.due.store(micros(self.since.elapsed() + EVERY), Ordering::Relaxed);
    }

    fn woke(&self) {
        let late = micros(self.since.elapsed()).saturating_sub(self.due.load(Ordering::Relaxed));
        // One quick turn among slow ones says little.
        self.last.store(late.max(self.last.load(Ordering::Relaxed) / 2), Ordering::Relaxed);
    }
}

async fn measure(lag: Weak<Lag>, number: usize) {
    let tell = |what: fn(&Turn)| lag.upgrade().and_then(|lag| lag.0.get(number).map(what));
    while tell(Turn::sleeps).is_some() {
        tokio::time::sleep(EVERY).await;
        tell(Turn::woke);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_as_late_as_its_task() {
        assert_eq!(Lag::default().now(), Duration::ZERO);
        let lag = Lag::start([&Handle::current()]);
        // Time is paused: it passes for the task alone, which tells nobody that it had a turn.
        tokio::time::sleep(EVERY * 10).await;
        assert!(lag.now() <= Duration::from_millis(2), "{:?}", lag.now());
        // The task has no turn while this one does not wait.
        tokio::time::advance(EVERY * 5).await;
        assert!(lag.now() >= EVERY * 3, "{:?}", lag.now());
        // One turn of the task.
        tokio::time::sleep(EVERY).await;
        assert!(lag.now() >= EVERY, "{:?}", lag.now());
        // Enough of them to forget.
        tokio::time::sleep(EVERY * 20).await;
        assert!(lag.now() <= Duration::from_millis(2), "{:?}", lag.now());
    }
}
