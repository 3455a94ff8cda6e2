//! What happened in the last day, in steps of five minutes: how much was accepted, delivered, refused, and how often attempts failed.
//!
//! It is for looking, not for accounts: the counts are those of `metrics`, looked at every few seconds, so one may fall into the
//! step beside its own. At most [`STEPS_MAX`] steps are kept in memory, and a copy of them in one small file of the store's folder,
//! so that a restart does not empty the charts. The file is written when a step has ended and when the relay stops, and is not
//! synced: a kill loses what was counted since the last step ended, a loss of power may lose all of it. Steps in which the relay did
//! not run are not there, which is something else than zero. Never here: anything of an event.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::metrics::{Metrics, Totals};
use crate::time::{Clock, Timestamp};

/// How long a step is: fine enough to see when something began, coarse enough that a day is a picture.
pub const STEP: Duration = Duration::from_secs(300);
/// A day of them.
pub const STEPS_MAX: usize = 288;
/// How often counts are looked at, so that each falls into its own step but for the edges.
const LOOK_PAUSE: Duration = Duration::from_secs(10);
/// Its name in the store's folder, and that of one which is not whole yet.
const FILE: &str = "history.json";
const UNFINISHED: &str = "history.part";

/// What happened in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Its beginning: a whole number of steps since the epoch.
    pub at: Timestamp,
    /// Requests that became events.
    pub accepted: u64,
    /// Requests that the provider had sent before.
    pub duplicates: u64,
    /// Requests that were not taken.
    pub refused: u64,
    /// Deliveries that an application took.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Deliveries that gave up, or were put aside.
    pub parked: u64,
}

/// The last day.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    metrics: Arc<Metrics>,
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    steps: VecDeque<Step>,
    /// What was counted when they were brought up to date.
    counted: Totals,
    /// Whether a step has ended since the file was written.
    is_unwritten: bool,
}

/// The task that keeps the history up to date.
#[derive(Debug)]
pub struct Keeping {
    history: Arc<History>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl History {
    /// With what is in the store's folder. A file that cannot be read is no reason not to start: the day begins anew.
    pub fn open(folder: &Path, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let steps = match read(&folder.join(FILE)) {
            Ok(steps) => steps,
            Err(error) => {
                tracing::warn!(%error, "what happened before the start cannot be read; charts begin anew");
                VecDeque::new()
            }
        };
        let kept = Kept { steps, counted: metrics.totals(), is_unwritten: false };
        Self { folder: folder.to_path_buf(), metrics, clock, kept: Mutex::new(kept) }
    }

    /// The steps of the last day, oldest first, with what was counted up to now.
    pub fn steps(&self) -> Vec<Step> {
        self.look();
        self.lock().steps.iter().copied().collect()
    }

    /// Adds what was counted since the last look.
    fn look(&self) {
        let mut kept = self.lock();
        let (totals, now) = (self.metrics.totals(), self.clock.now());
        let grown = since(kept.counted, totals);
        kept.counted = totals;
        kept.is_unwritten |= kept.add(grown, now);
    }

    /// Writes the file, whole or not at all.
    fn write(&self) {
        let steps = {
            let mut kept = self.lock();
            kept.is_unwritten = false;
            kept.steps.clone()
        };
        let unfinished = self.folder.join(UNFINISHED);
        let written = serde_json::to_vec(&steps).map_err(std::io::Error::from).and_then(|text| {
            std::fs::write(&unfinished, text)?;
            std::fs::rename(&unfinished, self.folder.join(FILE))
        });
        if let Err(error) = written {
            tracing::warn!(%error, "what happened in the last minutes could not be kept for charts");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Adds counts to the step of `now`; whether it is a new one.
    fn add(&mut self, grown: Totals, now: Timestamp) -> bool {
        let length = u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX);
        let at = Timestamp::from_ms(now.ms() - now.ms() % length);
        // A clock that was set back adds to what is there.
        let is_new = self.steps.back().is_none_or(|last| last.at < at);
        if is_new {
            self.steps.push_back(Step { at, ..Step::default() });
        }
        if let Some(step) = self.steps.back_mut() {
            step.accepted += grown.accepted;
            step.duplicates += grown.duplicates;
            step.refused += grown.refused;
            step.delivered += grown.delivered;
            step.failed_attempts += grown.failed_attempts;
            step.parked += grown.parked;
        }
        let first = at.before(STEP * (STEPS_MAX as u32 - 1));
        while self.steps.front().is_some_and(|step| step.at < first) || self.steps.len() > STEPS_MAX {
            self.steps.pop_front();
        }
        is_new
    }
}

/// How much each count has grown.
fn since(before: Totals, now: Totals) -> Totals {
    Totals {
        accepted: now.accepted.saturating_sub(before.accepted),
        duplicates: now.duplicates.saturating_sub(before.duplicates),
        refused: now.refused.saturating_sub(before.refused),
        delivered: now.delivered.saturating_sub(before.delivered),
        failed_attempts: now.failed_attempts.saturating_sub(before.failed_attempts),
        parked: now.parked.saturating_sub(before.parked),
    }
}

/// The steps of a file, in order; none where there is no file.
fn read(file: &Path) -> std::io::Result<VecDeque<Step>> {
    let text = match std::fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(VecDeque::new()),
        read => read?,
    };
    let mut steps: Vec<Step> = serde_json::from_slice(&text)?;
    steps.sort_by_key(|step| step.at);
    steps.dedup_by_key(|step| step.at);
    let over = steps.len().saturating_sub(STEPS_MAX);
    Ok(steps.into_iter().skip(over).collect())
}

impl Keeping {
    /// Looks at the counts from now on.
    pub fn start(history: Arc<History>) -> Self {
        let stop = CancellationToken::new();
        let (stopped, own) = (stop.clone(), history.clone());
        let task = tokio::spawn(async move {
            let _ = stopped.run_until_cancelled(run(own)).await;
        });
        Self { history, stop, task }
    }

    /// Stops looking, and keeps what was counted.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
        self.history.look();
        let history = self.history;
        let _ = tokio::task::spawn_blocking(move || history.write()).await;
    }
}

async fn run(history: Arc<History>) {
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        history.look();
        if history.lock().is_unwritten {
            let own = history.clone();
            // Who stops meanwhile writes again.
            let _ = tokio::task::spawn_blocking(move || own.write()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::RequestOutcome;
    use crate::record::Name;
    use tempfile::TempDir;

    const START: Timestamp = Timestamp::from_ms(1_790_000_100_000);

    fn accept(metrics: &Metrics, times: usize) {
        let source = metrics.source(&Name::try_new("gh").unwrap());
        (0..times).for_each(|_| source.count(RequestOutcome::Accepted));
    }

    fn accepted(history: &History) -> Vec<u64> {
        history.steps().iter().map(|step| step.accepted).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_is_kept_in_steps_and_a_restart_keeps_it() {
        let (folder, metrics) = (TempDir::new().unwrap(), Metrics::new());
        let history = Arc::new(History::open(folder.path(), metrics.clone(), Clock::following_tokio(START)));
        let watch = Keeping::start(history.clone());
        accept(&metrics, 3);
        assert_eq!(accepted(&history), [3]);
        tokio::time::advance(STEP).await;
        accept(&metrics, 2);
        assert_eq!(accepted(&history), [3, 2]);
        assert_eq!(history.steps()[1].at.since(history.steps()[0].at), STEP);
        watch.stop().await;

        // Another process counts from zero, two hours later: the time between is a gap.
        let metrics = Metrics::new();
        let later = Clock::following_tokio(START.after(Duration::from_secs(7200)));
        let history = History::open(folder.path(), metrics.clone(), later);
        accept(&metrics, 5);
        assert_eq!(accepted(&history), [3, 2, 5]);

        // A day later nothing of it is left.
        tokio::time::advance(STEP * STEPS_MAX as u32).await;
        accept(&metrics, 1);
        assert_eq!(accepted(&history), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_steps_are_bounded_and_the_clock_may_go_back() {
        let mut kept = Kept { steps: VecDeque::new(), counted: Totals::default(), is_unwritten: false };
        let one = Totals { accepted: 1, ..Totals::default() };
        for n in 0..2 * STEPS_MAX as u32 {
            kept.add(one, START.after(STEP * n));
        }
        assert_eq!(kept.steps.len(), STEPS_MAX);
        assert!(!kept.add(one, START));
        assert_eq!((kept.steps.len(), kept.steps.back().unwrap().accepted), (STEPS_MAX, 2));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_no_reason_not_to_start() {
        let folder = TempDir::new().unwrap();
        for text in ["", "{", "[1]", "\u{0}\u{0}"] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert!(read(&folder.path().join(FILE)).is_err(), "{text}");
            let history = History::open(folder.path(), Metrics::new(), Clock::system());
            assert_eq!(history.steps().len(), 1);
        }
    }
}
