//! A lane: takes one destination's due deliveries, so many at once, and records what came of each.
//!
//! Deliveries that were just stored come through the hand-over without a read; the rest is claimed from the store's index.
//! The two take turns, so that neither new events nor an old backlog starve. One lane's trouble stays in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attempt;
use super::road::Road;
use crate::record::{Attempt, EventId, Failure, Outcome, StateName, Verdict};
use crate::store::{Claim, Claimed, Fresh, Settlement, Store};
use crate::time::{Stopwatch, Timestamp};

/// A lane looks at the clock at least so often, since the wall clock may be set.
const NAP_MAX: Duration = Duration::from_secs(60);
/// What is claimed from the index at a time, at least: a read costs about as much for one delivery as for a block of them.
const CLAIMED_MIN: usize = 48;
/// After the store could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// One destination's lane.
pub(super) struct Lane {
    road: Arc<Road>,
    /// Where another road comes from, when the configuration is another one.
    roads: watch::Receiver<Arc<Road>>,
    fresh: Fresh,
    running: JoinSet<()>,
    /// Claimed from the index and not started yet: a backlog is read in batches.
    waiting: VecDeque<Claimed>,
    /// When the index may have something due; `None` while nothing is known to wait there.
    look_at: Option<Timestamp>,
    /// Whether the index goes before the hand-over when both have something.
    index_first: bool,
}

impl Lane {
    pub(super) fn new(mut roads: watch::Receiver<Arc<Road>>, fresh: Fresh) -> Self {
        let road = roads.borrow_and_update().clone();
        Self { road, roads, fresh, running: JoinSet::new(), waiting: VecDeque::new(), look_at: None, index_first: false }
    }

    /// Works until `stop`; then lets attempts end until `cut`, and returns when all have.
    pub(super) async fn run(mut self, stop: CancellationToken, cut: CancellationToken) {
        while !stop.is_cancelled() {
            self.fill(&cut).await;
            let room = self.running.len() < self.road.destination.in_flight;
            let nap = self.nap();
            tokio::select! {
                () = stop.cancelled() => {}
                arrived = self.fresh.arrival(room) => arrived.into_iter().for_each(|claimed| self.start(claimed, &cut)),
                Some(_) = self.running.join_next() => {}
                Ok(()) = self.roads.changed() => self.road = self.roads.borrow_and_update().clone(),
                () = tokio::time::sleep(nap), if room && self.look_at.is_some() => {}
            }
        }
        while self.running.join_next().await.is_some() {}
        for Claimed { claim, .. } in self.waiting {
            // It fails only where the store has ended, and every claim with it.
            let _ = self.road.store.release(claim).await;
        }
    }

    /// Starts what can be started now.
    async fn fill(&mut self, cut: &CancellationToken) {
        while self.running.len() < self.road.destination.in_flight {
            self.index_first = !self.index_first;
            let next = match self.index_first {
                true => self.due_next().await.or_else(|| self.fresh.ready()),
                false => match self.fresh.ready() {
                    Some(claimed) => Some(claimed),
                    None => self.due_next().await,
                },
            };
            let Some(claimed) = next else { return };
            self.start(claimed, cut);
        }
    }

    /// The next delivery that is due in the index, if any is.
    async fn due_next(&mut self) -> Option<Claimed> {
        if self.waiting.is_empty() {
            self.claim().await;
        }
        self.waiting.pop_front()
    }

    /// Claims what is due in the index, if something may be.
    async fn claim(&mut self) {
        let now = self.road.clock.now();
        if !self.fresh.take_behind() && self.look_at.is_none_or(|at| now < at) {
            return;
        }
        let limit = self.road.destination.in_flight.max(CLAIMED_MIN);
        match self.road.store.claim_due(&self.road.destination.name, now, limit).await {
            Ok(due) => {
                self.look_at = due.next;
                self.waiting.extend(due.claimed);
            }
            Err(error) => {
                tracing::error!(destination = %self.road.destination.name, %error, "due deliveries cannot be read");
                self.look_at = Some(now.after(STORE_PAUSE));
            }
        }
    }

    fn start(&mut self, claimed: Claimed, cut: &CancellationToken) {
        let (road, cut) = (self.road.clone(), cut.clone());
        self.running.spawn(async move { deliver(&road, claimed, &cut).await });
    }

    fn nap(&self) -> Duration {
        let at = self.look_at.unwrap_or(Timestamp::MAX);
        at.since(self.road.clock.now()).min(NAP_MAX)
    }
}

/// Makes one attempt, judges it, and records it.
async fn deliver(road: &Road, claimed: Claimed, cut: &CancellationToken) {
    let Claimed { claim, delivery, event, body } = claimed;
    let mut held = Held { store: road.store.clone(), claim: Some(claim) };
    let (started_at, watch) = (road.clock.now(), Stopwatch::start());
    let number = delivery.attempts_made + 1;
    let below = road.prefixes.get(&event.source).map(String::as_str);
    let outcome = match road.shape.request(&delivery, &event, body, number, below) {
        Ok(request) => attempt::run(&road.pool, request, road.destination.timeout, cut).await,
        Err(error) => Outcome::Failed { failure: Failure::Protocol, detail: error.to_string() },
    };
    let (now, took) = (road.clock.now(), watch.elapsed());
    let verdict = match &outcome {
        // It is not the application's fault: again, as soon as the relay is back.
        Outcome::Failed { failure: Failure::Interrupted, .. } => Verdict::RetryAt(now),
        _ => road.destination.retry.after(&outcome, &road.destination.park_on, delivery.budget, now, rand::random()),
    };
    note(road, event.id, number, &outcome, verdict, took, now);
    let attempt = Attempt { number, started_at, duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX), outcome };
    held.claim = None;
    if let Err(error) = road.store.settle(Settlement { claim, attempt, verdict, now }).await {
        tracing::error!(delivery = %delivery.id, %error, "an attempt could not be recorded; it will be repeated");
    }
}

/// A claim that is given back where its attempt ends without an outcome (a fault of ours): the delivery must not be stuck.
struct Held {
    store: Arc<dyn Store>,
    claim: Option<Claim>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            let store = self.store.clone();
            tokio::spawn(async move { store.release(claim).await });
        }
    }
}

/// Metrics and the log line of an attempt.
fn note(road: &Road, event: EventId, number: u32, outcome: &Outcome, verdict: Verdict, took: Duration, now: Timestamp) {
    let (word, detail) = match outcome {
        Outcome::Answered(answer) => (class(answer.status), format!("answered {}", answer.status)),
        Outcome::Failed { failure, detail } => (failure.as_str(), detail.clone()),
    };
    road.metrics.attempt(took, word);
    let destination = &road.destination.name;
    match verdict {
        Verdict::Delivered => {
            road.metrics.settled(StateName::Delivered);
            road.metrics.succeeded_at(now);
            tracing::debug!(%destination, %event, number, "delivered");
        }
        Verdict::RetryAt(due) => {
            road.metrics.failed(detail.clone());
            tracing::info!(%destination, %event, number, outcome = word, detail, %due, "an attempt failed");
        }
        Verdict::Park(reason) => {
            road.metrics.settled(StateName::Parked);
            road.metrics.failed(detail.clone());
            tracing::warn!(%destination, %event, number, outcome = word, detail, reason = reason.as_str(), "a delivery is parked");
        }
    }
}

/// The class of a status, for metrics.
fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
