//! Keeps the store within what relay.toml lets it take: old events go, and where bytes are many, the oldest that are done.
//!
//! A task of its own, in small steps with pauses, so that whoever sends or delivers does not feel it. Never here: which events may
//! go, and how they are removed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Counts, Error, Purge, Space, Store};
use crate::config::settings::Retention as Rule;
use crate::metrics::Metrics;
use crate::time::{Clock, Stopwatch};

/// How often counts and disk are looked at. What can come in meanwhile must fit into the disk's floor.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How often events that became old are looked for.
const AGE_PAUSE: Duration = Duration::from_secs(60);
/// Between two steps: the writer has other work.
const STEP_PAUSE: Duration = Duration::from_millis(15);

/// The task that removes what is not needed.
#[derive(Debug)]
pub struct Retention {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Keeper {
    rule: Rule,
    store: Arc<dyn Store>,
    space: Arc<Space>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Retention {
    /// Starts it. How the disk stands is known when this returns.
    pub async fn start(rule: Rule, store: Arc<dyn Store>, space: Arc<Space>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let keeper = Keeper { rule, store, space, metrics, clock };
        keeper.look().await;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            // Steps that began come to their end: the store does not wait for whoever asked.
            let _ = stopped.run_until_cancelled(keeper.run()).await;
        });
        Self { stop, task }
    }

    /// Stops it.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

impl Keeper {
    async fn run(self) {
        let mut since_pass: Option<Stopwatch> = None;
        let mut in_vain_at = None;
        loop {
            let counts = self.look().await;
            let is_old = since_pass.is_none_or(|since| since.elapsed() >= AGE_PAUSE);
            // Where nothing could go, nothing can until something changes: looking costs something, too.
            let is_over = self.purge(&counts).is_over(counts.done_bytes) && in_vain_at != Some(counts.done_bytes);
            if is_old || is_over {
                match self.pass().await {
                    Ok(events) => in_vain_at = (events == 0).then_some(counts.done_bytes),
                    Err(error) => tracing::warn!(%error, "old events could not be removed; it is tried again"),
                }
                since_pass = Some(Stopwatch::start());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Looks at store and disk.
    async fn look(&self) -> Counts {
        let counts = self.store.counts();
        let space = self.space.clone();
        let looked = tokio::task::spawn_blocking(move || space.look(&counts)).await;
        if looked.is_err() {
            tracing::warn!("the free space of the disk cannot be told");
        }
        counts
    }

    fn purge(&self, counts: &Counts) -> Purge {
        let now = self.clock.now();
        let done_bytes = self.rule.done_bytes.into_iter().chain(self.space.done_bytes_max(counts)).min();
        let (done_before, parked_before) = (now.before(self.rule.done), now.before(self.rule.parked));
        Purge { done_before, parked_before, done_bytes, after: None }
    }

    /// From the oldest event to the last that may go; gives how many went.
    async fn pass(&self) -> Result<u64, Error> {
        let (mut events, mut bytes, mut after) = (0, 0, None);
        loop {
            let purge = Purge { after, ..self.purge(&self.store.counts()) };
            let step = self.store.purge(purge).await?;
            self.metrics.purged(step.events, step.bytes);
            (events, bytes, after) = (events + step.events, bytes + step.bytes, step.next);
            if after.is_none() {
                break;
            }
            tokio::time::sleep(STEP_PAUSE).await;
            self.look().await;
        }
        if events > 0 {
            tracing::info!(events, bytes, "events that are not needed any more were removed");
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;
    use crate::time::Timestamp;
    use std::path::Path;

    #[test]
    fn the_smaller_bound_counts() {
        let keeper = |done_bytes, max_bytes| Keeper {
            rule: Rule {
                done: Duration::from_millis(300),
                parked: Duration::from_millis(500),
                done_bytes,
                quarantined: Duration::ZERO,
            },
            store: Arc::new(Memory::new()),
            space: Arc::new(Space::new(Path::new("."), max_bytes)),
            metrics: Metrics::new(),
            clock: Clock::following_tokio(Timestamp::from_ms(1000)),
        };
        let counts = Counts { bytes: 3 << 20, done_bytes: 1 << 20, ..Counts::default() };
        let most = |done_bytes, max_bytes| keeper(done_bytes, max_bytes).purge(&counts).done_bytes;
        assert_eq!(most(None, None), None);
        assert_eq!(most(Some(5), None), Some(5));
        assert_eq!(most(Some(5), Some(512 << 20)), Some(5));
        assert!(most(Some(1 << 40), Some(512 << 20)).unwrap() < 128 << 20);
        let purge = keeper(None, None).purge(&counts);
        assert!(purge.done_before >= Timestamp::from_ms(700) && purge.parked_before < purge.done_before);
    }
}
