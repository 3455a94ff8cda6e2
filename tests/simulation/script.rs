//! A story: what providers, people and accidents do to a relay, as drawn from a seed, and how it ends well.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookhold::chance::Chance;
use hookhold::delivery::{ReplayState, Wanted};
use hookhold::record::{EventId, Name};
use hookhold::store::{DeliveryFilter, EventFilter, Pausable, Purge, Store, Tracked};
use hookhold::time::{Clock, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::application::Application;
use crate::check;
use crate::config::{CAP_MAX, Config, SOURCES};
use crate::life::{Ground, Life, Remains};
use crate::network::pass;
use crate::sender::{Door, Signing, send};
use crate::store::ALL;
use crate::truth::{Truth, Webhook};

/// Things that happen in a story.
const STEPS: usize = 70;
const KEYS: [Option<&str>; 5] = [None, Some("k1"), Some("k1"), Some("k2"), Some("k3")];
/// More than a hand-over holds of one body.
const LARGE_BYTES: usize = 70 * 1024;

/// How a relay can be broken, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// At a crash the store forgets what it answered last.
    ForgetsAGroup,
    /// The store takes no heed of order keys.
    IgnoresOrder,
    /// What came of an attempt gets lost, and its claim with it.
    LosesASettlement,
    /// Lanes do not hear of pauses.
    IgnoresPauses,
    /// Lanes are quicker than is allowed.
    IgnoresRates,
    /// Who waits for an answer hears another one.
    MixesAnswers,
    /// Repeats are not known.
    IgnoresRepeats,
    /// Nobody is asked who they are.
    BelievesAll,
}

impl Fault {
    /// All of them, each with a word of how it is noticed.
    pub(crate) const ALL: [(Self, &str); 8] = [
        (Self::ForgetsAGroup, "was acknowledged and is not there"),
        (Self::IgnoresOrder, "out of order"),
        (Self::LosesASettlement, "stuck"),
        (Self::IgnoresPauses, "while it is paused"),
        (Self::IgnoresRates, "a second"),
        (Self::MixesAnswers, "is told"),
        (Self::IgnoresRepeats, "became an event of its own"),
        (Self::BelievesAll, "forged"),
    ];
}

/// What a person does to one delivery.
#[derive(Clone, Copy, Debug)]
enum Change {
    Retry,
    Cancel,
    Park,
}

/// What came of a story.
pub(crate) struct Story {
    pub(crate) trace: Vec<String>,
    pub(crate) broken: Vec<String>,
    pub(crate) acknowledged: u64,
    pub(crate) attempts: u64,
    pub(crate) crashes: u64,
    pub(crate) passed_on: u64,
    pub(crate) took: Duration,
}

impl Story {
    /// A number for all that happened.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.trace.hash(&mut hasher);
        hasher.finish()
    }

    /// What was broken, and what happened before.
    pub(crate) fn told(&self) -> String {
        let at = self.trace.iter().position(|line| line.contains("BROKEN")).map_or(self.trace.len(), |at| at + 1);
        let from = if std::env::var("SIM_TRACE").is_ok() { 0 } else { at.saturating_sub(40) };
        self.trace[from..at].join("\n")
    }
}

/// Tells the story of a seed.
pub(crate) fn run(seed: u64, fault: Option<Fault>) -> Story {
    told(seed, fault, false)
}

/// The same on the real store, whose threads make that no two runs are the same to the last line.
pub(crate) fn run_on_sled(seed: u64) -> Story {
    told(seed, None, true)
}

fn told(seed: u64, fault: Option<Fault>, on_sled: bool) -> Story {
    hookhold::net::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut scene = Scene::new(seed, fault);
        scene.play(on_sled).await;
        let truth = &scene.ground.truth;
        let (trace, broken) = truth.take();
        let took = truth.took();
        truth.with(|known| Story {
            trace,
            broken,
            acknowledged: known.webhooks.iter().map(|webhook| webhook.events.len() as u64).sum(),
            attempts: known.attempts,
            crashes: known.crashes,
            passed_on: known.passed_on,
            took,
        })
    })
}

struct Scene {
    random: StdRng,
    ground: Ground,
    config: Config,
    life: Option<Life>,
    door: Door,
    /// Providers and people who wait for an answer.
    busy: JoinSet<()>,
    replayed: u64,
}

impl Scene {
    fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let clock = Clock::following_tokio(Timestamp::from_ms(1_790_000_000_000));
        let mut config = Config::draw(&mut random);
        config.knows_repeats = fault != Some(Fault::IgnoresRepeats);
        config.proves = fault != Some(Fault::BelievesAll);
        let applications = ["a", "b", "c"].map(|name| (name, Application::new(random.random())));
        let ground = Ground {
            applications: Arc::new(applications.into()),
            truth: Arc::new(Truth::new(clock)),
            clock,
            chance: Chance::seeded(random.random()),
            fault,
        };
        Self { random, ground, config, life: None, door: Door::default(), busy: JoinSet::new(), replayed: 0 }
    }

    async fn play(&mut self, on_sled: bool) {
        self.begin(Remains::nothing(on_sled));
        for _ in 0..STEPS {
            self.step().await;
            self.let_time_pass().await;
            while self.busy.try_join_next().is_some() {}
            check::all(&self.life().store, &self.truth()).await;
            if self.truth().is_broken() {
                return;
            }
        }
        self.end().await;
    }

    fn truth(&self) -> Arc<Truth> {
        self.ground.truth.clone()
    }

    fn life(&self) -> &Life {
        self.life.as_ref().unwrap()
    }

    fn begin(&mut self, remains: Remains) {
        let life = Life::start(&self.ground, &self.config, remains);
        self.tell_rates();
        self.door.open(&life.line, &life.requests);
        self.life = Some(life);
    }

    /// A relay that is quicker than it may be is one whose rates are thought to be lower.
    fn tell_rates(&self) {
        if self.ground.fault == Some(Fault::IgnoresRates) {
            let mut config = self.config.clone();
            config.apps.iter_mut().for_each(|app| app.per_second = app.per_second.map(|rate| rate / 4.0));
            self.truth().follow(&config);
        }
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..38 => self.send_new(),
            38..48 => self.send_again(),
            48..53 => self.send_forged(),
            53..60 => self.pause(),
            60..63 => self.pause_source(),
            63..70 => self.change_a_delivery().await,
            70..76 => self.replay_an_event().await,
            76..79 => self.replay_many().await,
            79..82 => self.purge(),
            82..87 => self.reload(),
            87..91 => self.crash().await,
            91..93 => self.restart().await,
            // Only time passes.
            _ => {}
        }
    }

    async fn let_time_pass(&mut self) {
        let most_ms = match self.random.random_range(0..100) {
            0..30 => 1,
            30..55 => 50,
            55..78 => 5_000,
            78..90 => 600_000,
            90..96 => 3 * 3_600_000,
            _ => 36 * 3_600_000,
        };
        let time = Duration::from_millis(self.random.random_range(0..most_ms));
        // Who is ready goes first in any case.
        tokio::task::yield_now().await;
        pass(time).await;
    }

    fn webhook(&mut self, is_forged: bool) -> usize {
        let source = SOURCES[self.random.random_range(0..SOURCES.len())].0;
        let key = KEYS[self.random.random_range(0..KEYS.len())];
        let pad = if self.random.random_bool(0.05) { "x".repeat(LARGE_BYTES) } else { String::new() };
        self.truth().with(|known| {
            let number = known.webhooks.len();
            let mut body = serde_json::json!({ "n": number, "pad": pad });
            body["key"] = key.into();
            let body = Bytes::from(body.to_string());
            known.webhooks.push(Webhook { source, key, body, is_forged, events: Vec::new() });
            number
        })
    }

    fn send(&mut self, number: usize, signing: Signing) {
        self.busy.spawn(send(self.truth(), self.door.clone(), number, signing));
    }

    fn send_new(&mut self) {
        let count = [1, 1, 1, 2, 8][self.random.random_range(0..5)];
        for _ in 0..count {
            let number = self.webhook(false);
            self.send(number, Signing::Right);
            if self.random.random_bool(0.1) {
                self.send(number, Signing::Right);
            }
        }
    }

    fn send_again(&mut self) {
        let sent = self.truth().with(|known| known.webhooks.len());
        if sent == 0 {
            return;
        }
        let number = self.random.random_range(0..sent);
        if !self.truth().with(|known| known.webhooks[number].is_forged) {
            self.send(number, Signing::Right);
        }
    }

    fn send_forged(&mut self) {
        let number = self.webhook(true);
        let signing = [Signing::Foreign, Signing::Tampered, Signing::Missing][self.random.random_range(0..3)];
        self.send(number, signing);
    }

    fn some_app(&mut self) -> &'static str {
        let there: Vec<_> = self.config.apps.iter().filter(|app| app.is_there).map(|app| app.name).collect();
        there[self.random.random_range(0..there.len())]
    }

    fn pause(&mut self) {
        let app = self.some_app();
        let is_paused = self.random.random_bool(0.5);
        self.set_paused(app, is_paused);
    }

    fn set_paused(&mut self, app: &'static str, is_paused: bool) {
        let truth = self.truth();
        if self.ground.fault != Some(Fault::IgnoresPauses) {
            self.life().pauses.set(Pausable::Destination, &name(app), is_paused).unwrap();
        }
        truth.tell(|known| {
            match is_paused {
                true => known.paused.entry(app).or_insert(truth.now()),
                false => &mut known.paused.remove(app).unwrap_or_default(),
            };
            format!("a person sets {app} paused: {is_paused}")
        });
    }

    fn pause_source(&mut self) {
        let source = SOURCES[self.random.random_range(0..SOURCES.len())].0;
        let is_paused = self.random.random_bool(0.4);
        self.set_source_paused(source, is_paused);
    }

    fn set_source_paused(&mut self, source: &'static str, is_paused: bool) {
        let truth = self.truth();
        self.life().pauses.set(Pausable::Source, &name(source), is_paused).unwrap();
        truth.tell(|known| {
            match is_paused {
                true => known.sources_paused.entry(source).or_insert(truth.now()),
                false => &mut known.sources_paused.remove(source).unwrap_or_default(),
            };
            format!("a person sets {source} paused: {is_paused}")
        });
    }

    async fn some_delivery(&mut self) -> Option<Tracked> {
        let all = self.life().store.kept().deliveries(&DeliveryFilter::default(), ALL).await.unwrap().items;
        if all.is_empty() {
            return None;
        }
        let place = self.random.random_range(0..all.len());
        all.into_iter().nth(place)
    }

    /// A person retries a delivery, calls it off, or puts it aside.
    async fn change_a_delivery(&mut self) {
        let Some(tracked) = self.some_delivery().await else { return };
        let (id, attempts) = (tracked.delivery.id, tracked.delivery.attempts_made);
        let wanted = [Change::Retry, Change::Retry, Change::Cancel, Change::Park][self.random.random_range(0..4)];
        let (truth, store, now) = (self.truth(), self.life().store.clone(), self.truth().now());
        let ask = truth.with(|known| {
            match wanted {
                Change::Retry => drop(known.cancelled.remove(&id)),
                Change::Park => drop(known.set_aside.insert(id)),
                Change::Cancel => {}
            }
            let asked = known.asked.entry(id).or_default();
            *asked += 1;
            *asked
        });
        self.busy.spawn(async move {
            let done = match wanted {
                Change::Retry => store.retry(id, now).await,
                Change::Cancel => store.cancel(id, now).await,
                Change::Park => store.park(id, now).await,
            };
            truth.tell(|known| {
                let is_last = known.asked.get(&id) == Some(&ask);
                match (&done, wanted) {
                    (Ok(_), Change::Retry) if is_last => drop(known.retried.insert(id, attempts)),
                    (Ok(_), Change::Cancel) if is_last => drop(known.cancelled.insert(id)),
                    _ => {}
                }
                format!("a person changes {}, {wanted:?}: {}", known.name_of(id), word(&done))
            });
        });
    }

    async fn some_event(&mut self) -> Option<EventId> {
        let all = self.life().store.kept().events(&EventFilter::default(), ALL).await.unwrap().items;
        if all.is_empty() {
            return None;
        }
        let place = self.random.random_range(0..all.len());
        Some(all[place].id)
    }

    async fn replay_an_event(&mut self) {
        let Some(event) = self.some_event().await else { return };
        let app = self.some_app();
        let (truth, store, now) = (self.truth(), self.life().store.clone(), self.truth().now());
        self.busy.spawn(async move {
            let made = store.replay(event, &[name(app)], now).await;
            truth.tell(|known| {
                known.seen.extend(made.iter().flatten().copied());
                format!("a person replays {} to {app}: {}", known.name(event), word(&made))
            });
        });
    }

    async fn replay_many(&mut self) {
        let to = if self.random.random_bool(0.5) { vec![name(self.some_app())] } else { Vec::new() };
        let rate_per_s = [None, Some(0.5), Some(10.0)][self.random.random_range(0..3)];
        let age = Duration::from_secs([60, 3600, 86_400][self.random.random_range(0..3)]);
        let filter = EventFilter { since: Some(self.truth().now().before(age)), ..EventFilter::default() };
        let made = self.life().replays.create(Wanted { filter, to, rate_per_s }, serde_json::Value::Null).await.unwrap();
        self.replayed += made.matched;
        self.truth().tell(|_| format!("a person replays {} events at {rate_per_s:?} a second", made.matched));
    }

    fn purge(&mut self) {
        let age = |random: &mut StdRng| Duration::from_secs([3600, 86_400, 3 * 86_400][random.random_range(0..3)]);
        let now = self.truth().now();
        let (done_before, parked_before) = (now.before(age(&mut self.random)), now.before(age(&mut self.random)));
        let (truth, store) = (self.truth(), self.life().store.clone());
        self.busy.spawn(async move {
            let purged = store.purge(Purge { done_before, parked_before, done_bytes: None, after: None }).await;
            truth.tell(|_| format!("what is old is removed: {:?}", purged.map(|purged| purged.events)));
        });
    }

    fn reload(&mut self) {
        self.config.change(&mut self.random);
        self.follow();
    }

    fn follow(&mut self) {
        let (truth, config) = (self.truth(), self.config.clone());
        self.life.as_mut().unwrap().reload(&truth, &config);
        self.tell_rates();
        truth.tell(|_| format!("another configuration: {:?}", config.apps));
    }

    async fn crash(&mut self) {
        let truth = self.truth();
        truth.tell(|known| {
            known.crashes += 1;
            "the relay is killed".to_owned()
        });
        self.door.shut();
        let remains = self.life.take().unwrap().crash(&truth).await;
        self.begin_after_a_while(remains).await;
    }

    async fn restart(&mut self) {
        self.truth().tell(|_| "the relay is stopped".to_owned());
        self.door.shut();
        let remains = self.life.take().unwrap().stop().await;
        self.begin_after_a_while(remains).await;
    }

    async fn begin_after_a_while(&mut self, remains: Remains) {
        let most_ms = [1, 1, 3000, 7_200_000][self.random.random_range(0..4)];
        pass(Duration::from_millis(self.random.random_range(0..most_ms))).await;
        self.begin(remains);
        self.truth().tell(|_| "the relay is up".to_owned());
    }

    /// All is well from now on; whatever is not done then must be done after a while.
    async fn end(&mut self) {
        let truth = self.truth();
        truth.tell(|_| "all is well".to_owned());
        self.ground.applications.iter().for_each(|(_, application)| application.heal());
        self.config.apps.iter_mut().for_each(|app| app.is_there = true);
        self.follow();
        for app in ["a", "b", "c"] {
            if truth.with(|known| known.paused.contains_key(app)) {
                self.set_paused(app, false);
            }
        }
        SOURCES.iter().for_each(|(source, _, _)| self.set_source_paused(source, false));
        // The longest wait of each kind, and as long for each delivery as the slowest rate takes.
        let waiting = check::left(self.life().store.kept()) + 3 * self.replayed;
        let time = 2 * CAP_MAX + Duration::from_secs(300) + Duration::from_secs(6) * u32::try_from(waiting).unwrap();
        let until = truth.now().after(time);
        while truth.now() < until && !self.is_done() {
            pass(Duration::from_secs(30)).await;
        }
        while self.busy.try_join_next().is_some() {}
        if !self.busy.is_empty() && self.ground.fault.is_none() {
            // Who asked a relay that died waits for ever, and is let go.
            self.busy.abort_all();
        }
        let kept = self.life().store.kept();
        check::all(&self.life().store, &truth).await;
        check::end(kept, &truth).await;
        if !self.life().replays.list().iter().all(|replay| replay.state == ReplayState::Done) {
            truth.blame(format!("a replay is stuck: {:?}", self.life().replays.list()));
        }
        truth.tell(|known| format!("the end: {} attempts", known.attempts));
    }

    fn is_done(&self) -> bool {
        let life = self.life();
        check::left(life.store.kept()) == 0 && life.replays.list().iter().all(|replay| replay.state == ReplayState::Done)
    }
}

fn name(text: &str) -> Name {
    Name::try_new(text).unwrap()
}

fn word<T, E: ToString>(result: &Result<T, E>) -> &'static str {
    if result.is_ok() { "done" } else { "not done" }
}
