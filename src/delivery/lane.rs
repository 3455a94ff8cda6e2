//! A lane: takes one destination's due deliveries, so many at once, and records what came of each.
//!
//! Deliveries that were just stored come through the hand-over without a read; the rest is claimed from the store's index.
//! The two take turns, so that neither new events nor an old backlog starve. One lane's trouble stays in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::attempt;
use super::gate::{AHEAD_TIME, Ended, Gate, Leave};
use super::prepare::Making;
use super::road::Road;
use super::spans::{self, Made};
use crate::config::settings::Destination;
use crate::net::client;
use crate::pace::breaker::Sign;
use crate::record::{Answer, Attempt, BreakerState, EventId, Failure, Outcome, StateName, Verdict};
use crate::store::{Claim, Claimed, Fresh, Heard, PASSED_BYTES_MAX, Settlement, Store, Valve, Waiters};
use crate::telemetry::span_id;
use crate::time::{Stopwatch, Timestamp};

/// A lane looks at the clock at least so often, since the wall clock may be set.
const NAP_MAX: Duration = Duration::from_secs(60);
/// What is claimed from the index at a time, at least: a read costs about as much for one delivery as for a block of them.
const CLAIMED_MIN: usize = 48;
/// After the store could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Just stored deliveries that may wait for a lane, for each attempt that it may make at once: a whole commit group comes at a
/// time, and what finds no room costs a read.
const HANDOVERS_PER_ATTEMPT: usize = 64;

/// One destination's lane.
pub(super) struct Lane {
    road: Arc<Road>,
    /// Where another road comes from, when the configuration is another one.
    roads: watch::Receiver<Arc<Road>>,
    fresh: Fresh,
    running: JoinSet<Ended>,
    /// Claimed and not started yet: a backlog is read in batches.
    waiting: VecDeque<Claimed>,
    /// When the index may have something due; `None` while nothing is known to wait there.
    look_at: Option<Timestamp>,
    /// Whether the index goes before the hand-over when both have something.
    index_first: bool,
    gate: Gate,
    /// The gate's clock.
    watch: Stopwatch,
    valve: watch::Receiver<Valve>,
    /// Resumes that were seen.
    resumed: u64,
}

/// What a lane that has ended knew of its application.
pub(super) struct Left {
    gate: Gate,
    watch: Stopwatch,
}

/// What the lane waits for, beside the end of an attempt and a person's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Something new, or the time at which something is due.
    Work(Option<Duration>),
    /// A time at which an attempt may begin; there is work.
    Leave(Duration),
    /// Nothing else.
    AnEnd,
}

impl Lane {
    pub(super) fn new(mut roads: watch::Receiver<Arc<Road>>, fresh: Fresh, valve: watch::Receiver<Valve>) -> Self {
        let road = roads.borrow_and_update().clone();
        let gate = Gate::new(road.destination.in_flight, road.destination.per_second.clone());
        Self {
            road,
            roads,
            fresh,
            running: JoinSet::new(),
            waiting: VecDeque::new(),
            look_at: None,
            index_first: false,
            gate,
            watch: Stopwatch::start(),
            valve,
            resumed: 0,
        }
    }

    /// Goes on with what an earlier lane of the same destination knew.
    pub(super) fn after(self, left: Left) -> Self {
        let Left { mut gate, watch } = left;
        gate.follow(self.road.destination.in_flight, self.road.destination.per_second.as_ref());
        Self { gate, watch, ..self }
    }

    /// Works until `stop`; then lets attempts end until `cut`, and returns when all have.
    pub(super) async fn run(mut self, stop: CancellationToken, cut: CancellationToken) -> Left {
        let destination = &self.road.destination.name;
        if let Err(error) = self.road.store.mend_order(destination, self.road.clock.now()).await {
            tracing::error!(%destination, %error, "whether each order key has its turn could not be seen");
        }
        while !stop.is_cancelled() {
            self.obey();
            let leave = self.fill(&cut).await;
            self.shutter().await;
            let wait = self.wait(leave);
            let time = match wait {
                Wait::Work(time) => time,
                Wait::Leave(time) => Some(time),
                Wait::AnEnd => None,
            };
            tokio::select! {
                // What people say goes first; what work there is, `fill` looks at in any case.
                biased;
                () = stop.cancelled() => {}
                Ok(()) = self.valve.changed() => {}
                Ok(()) = self.roads.changed() => self.turn().await,
                Some(ended) = self.running.join_next() => self.end_all(ended),
                arrived = hear(&mut self.fresh, wait) => self.waiting.extend(arrived),
                () = tokio::time::sleep(time.unwrap_or_default()), if time.is_some() => {}
            }
        }
        // Whoever waits for what is not under way hears that it will not be.
        self.fresh.shut();
        while let Some(ended) = self.running.join_next().await {
            self.end(ended);
        }
        self.release_waiting().await;
        Left { gate: self.gate, watch: self.watch }
    }

    /// Takes another road; what is known of the application stays.
    async fn turn(&mut self) {
        let road = self.roads.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.road, road);
        let (before, destination) = (&before.destination, &self.road.destination);
        if before.in_flight == destination.in_flight && before.per_second == destination.per_second {
            return;
        }
        self.gate.follow(destination.in_flight, destination.per_second.as_ref());
        // As much is held ready as the new pace takes. What was held goes back to the index, and the new hand-over looks there.
        self.fresh = self.road.store.handoff(&destination.name, handovers(destination));
        self.release_waiting().await;
        self.show();
    }

    /// All of what was claimed and not started is in the index again.
    async fn release_waiting(&mut self) {
        for Claimed { claim, .. } in std::mem::take(&mut self.waiting) {
            // It fails only where the store has ended, and every claim with it.
            let _ = self.road.store.release(claim).await;
        }
    }

    /// Does what a person said last.
    fn obey(&mut self) {
        let valve = *self.valve.borrow_and_update();
        self.gate.pause(valve.is_paused);
        if std::mem::replace(&mut self.resumed, valve.resumed) != valve.resumed {
            self.gate.hurry(self.watch.elapsed());
            self.show();
        }
    }

    /// Starts what can be started now. Gives why it went no further: for want of leave, or ([`Leave::Now`]) of work.
    async fn fill(&mut self, cut: &CancellationToken) -> Leave {
        loop {
            let leave = self.gate.leave(self.running.len(), self.watch.elapsed());
            if leave != Leave::Now {
                return leave;
            }
            self.index_first = !self.index_first;
            let next = match self.index_first {
                true => self.due_next().await.or_else(|| self.fresh.ready()),
                false => match self.fresh.ready() {
                    Some(claimed) => Some(claimed),
                    None => self.due_next().await,
                },
            };
            let Some(claimed) = next else { return Leave::Now };
            self.start(claimed, cut);
        }
    }

    /// Where no attempts may be made for a while, the lane holds nothing: all of it is in the index, for people to see and change.
    async fn shutter(&mut self) {
        if self.gate.is_open(self.watch.elapsed()) {
            self.fresh.open();
            return;
        }
        self.fresh.shut();
        self.release_waiting().await;
    }

    /// What to wait for. Without work there is no timer, so a thousand idle or dead destinations cost nothing.
    fn wait(&self, leave: Leave) -> Wait {
        match leave {
            Leave::AfterOne | Leave::Paused => Wait::AnEnd,
            Leave::In(time) if self.has_work() => Wait::Leave(time),
            Leave::In(_) => Wait::Work(None),
            Leave::Now => Wait::Work(self.look_at.map(|at| at.since(self.road.clock.now()).min(NAP_MAX))),
        }
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.look_at.is_some() || self.fresh.has_any()
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
        let most = self.road.destination.in_flight.max(CLAIMED_MIN);
        let limit = self.gate.ahead(self.running.len(), most, self.watch.elapsed());
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
        let was_probe = self.gate.begin(self.watch.elapsed());
        if was_probe {
            self.show();
        }
        let (road, cut) = (self.road.clone(), cut.clone());
        let attempt = async move {
            let (sign, rest) = deliver(&road, claimed, &cut).await;
            Ended { was_probe, sign, rest }
        };
        // On the heap at once: a task is moved several times before and after it runs.
        self.running.spawn(Box::pin(attempt));
    }

    /// An attempt ended, and maybe others with it.
    fn end_all(&mut self, first: Result<Ended, JoinError>) {
        let mut next = Some(first);
        while let Some(ended) = next {
            self.end(ended);
            next = self.running.try_join_next();
        }
    }

    /// An attempt ended: the gate hears of it.
    fn end(&mut self, ended: Result<Ended, JoinError>) {
        // One that failed unexpectedly may have been the probe.
        let ended = ended.unwrap_or(Ended { was_probe: true, sign: Sign::Nothing, rest: None });
        let (before, _) = self.gate.breaker(self.watch.elapsed());
        self.gate.end(ended, self.watch.elapsed());
        let (after, wait) = self.gate.breaker(self.watch.elapsed());
        let destination = &self.road.destination.name;
        match (before, after) {
            (BreakerState::Closed, BreakerState::Open) => {
                tracing::warn!(%destination, "the application does not answer: no attempts until a probe finds it");
            }
            (BreakerState::HalfOpen, BreakerState::Open) => {
                tracing::debug!(%destination, next_ms = wait.unwrap_or_default().as_millis(), "a probe found no application");
            }
            (BreakerState::HalfOpen | BreakerState::Open, BreakerState::Closed) => {
                tracing::info!(%destination, "the application answers again");
            }
            _ => {}
        }
        if let Some(rest) = ended.rest {
            tracing::info!(%destination, rest_ms = rest.as_millis(), "the application asked to be left alone");
        }
        if after != before || after == BreakerState::Open || ended.rest.is_some() {
            self.show();
        }
    }

    /// Tells the metrics, and with them the admin API, what holds attempts back.
    fn show(&self) {
        let (now, clock) = (self.watch.elapsed(), self.road.clock.now());
        let (state, wait) = self.gate.breaker(now);
        self.road.metrics.set_breaker(state, wait.map(|wait| clock.after(wait)));
        self.road.metrics.set_rest(self.gate.rest(now).map(|rest| clock.after(rest)));
    }
}

/// How many just stored deliveries may wait for the lane: no more than a slow rate takes in a short while.
pub(super) fn handovers(destination: &Destination) -> usize {
    let most = destination.in_flight * HANDOVERS_PER_ATTEMPT;
    destination.per_second.as_ref().map_or(most, |bucket| most.min(bucket.turns_in(AHEAD_TIME)))
}

/// Waits for what comes from the store while the lane waits so; gives a just stored delivery where the lane has room for it.
async fn hear(fresh: &mut Fresh, wait: Wait) -> Option<Claimed> {
    match wait {
        Wait::Work(_) => fresh.arrival(true).await,
        Wait::Leave(_) | Wait::AnEnd if fresh.is_shut() => {
            fresh.straggler().await;
            None
        }
        Wait::Leave(_) | Wait::AnEnd => std::future::pending().await,
    }
}

/// Makes one attempt, judges it, and records it. Gives what it said about the application, and how long that wants to rest.
async fn deliver(road: &Road, claimed: Claimed, cut: &CancellationToken) -> (Sign, Option<Duration>) {
    let Claimed { claim, delivery, event, body } = claimed;
    let mut held = Held { store: road.store.clone(), claim: Some(claim) };
    let (started_at, watch) = (road.clock.now(), Stopwatch::start());
    let number = delivery.attempts_made + 1;
    let span = span_id(road.chance.draw());
    let request = {
        let below = road.prefixes.get(&event.source).map(String::as_str);
        let trace = road.shape.trace.then(|| spans::trace(&event, &road.spans));
        let trace = trace.as_ref();
        road.shape.request(&Making { delivery: &delivery, event: &event, number, below, now: started_at, span, trace }, body)
    };
    let passing = road.passing.contains(&event.source).then(|| road.store.waiters().begin(event.id, &delivery.destination));
    let keep = if passing.is_some() { PASSED_BYTES_MAX } else { Answer::BODY_BYTES_MAX };
    let (outcome, answer, sign) = match request {
        Ok(request) => {
            let (outcome, answer) = attempt::run(road, request, keep, cut).await;
            let sign = Sign::of(&outcome);
            (outcome, answer, sign)
        }
        Err(error) => (Outcome::Failed { failure: Failure::Protocol, detail: error.to_string() }, None, Sign::Nothing),
    };
    let word = passing.as_ref().map(|passing| passing.word(heard(passing.waiters(), &outcome, answer)));
    let (now, took) = (road.clock.now(), watch.elapsed());
    let rest = road.destination.retry.rest(&outcome, now);
    let verdict = match &outcome {
        // It is not the application's fault: again, as soon as the relay is back.
        Outcome::Failed { failure: Failure::Interrupted, .. } => Verdict::RetryAt(now),
        _ => road.destination.retry.after(&outcome, &road.destination.park_on, delivery.budget, now, road.chance.draw()),
    };
    note(road, event.id, number, &outcome, verdict, took, now);
    if road.spans.are_wanted() {
        let (delivery, event, outcome) = (&delivery, &event, &outcome);
        spans::record(road, &Made { delivery, event, number, span, outcome, verdict, took });
    }
    let attempt = Attempt { number, started_at, duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX), outcome };
    held.claim = None;
    if let Err(error) = road.store.settle(Settlement { claim, attempt, verdict, now, word }).await {
        tracing::error!(delivery = %delivery.id, %error, "an attempt could not be recorded; it will be repeated");
    }
    if let Some(replay) = &delivery.replay_id {
        road.replays.settled(replay, verdict);
    }
    (sign, rest)
}

/// What those hear who wait for an attempt.
fn heard(waiters: &Waiters, outcome: &Outcome, answer: Option<client::Answer>) -> Heard {
    match (outcome, answer) {
        (Outcome::Failed { failure, .. }, _) => Heard::Failed(*failure),
        (Outcome::Answered(_), Some(answer)) if !answer.truncated => {
            waiters.passed(answer.status, answer.headers, answer.body).map_or(Heard::Unfit, Heard::Answer)
        }
        (Outcome::Answered(_), _) => Heard::Unfit,
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
    let word = match outcome {
        Outcome::Answered(answer) => class(answer.status),
        Outcome::Failed { failure, .. } => failure.as_str(),
    };
    let detail = || match outcome {
        Outcome::Answered(answer) => format!("answered {}", answer.status),
        Outcome::Failed { detail, .. } => detail.clone(),
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
            let detail = detail();
            tracing::info!(%destination, %event, number, outcome = word, detail, %due, "an attempt failed");
            road.metrics.failed(detail, now);
        }
        Verdict::Park(reason) => {
            road.metrics.settled(StateName::Parked);
            let detail = detail();
            tracing::warn!(%destination, %event, number, outcome = word, detail, reason = reason.as_str(), "a delivery is parked");
            road.metrics.failed(detail, now);
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
