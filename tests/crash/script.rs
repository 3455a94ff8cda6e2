//! What a child does on a real store: a few clients, each with its own events, and a report of what is asked and what is answered.
//!
//! The report is a file below the recorded folder, so an answer's place among the writes and syncs is recorded, too.

mod thrown;

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookhold::record::{
    Answer, Attempt, Delivery, DeliveryId, EventId, Headers, Name, Outcome, ParkReason, Received, StateName, Verdict,
};
use hookhold::signature::{Options, Selector, Verifier};
use hookhold::store::{
    Appended, Claimed, Dedupe, DeliveryFilter, Error, EventFilter, EventState, Fresh, Intake, Page, Purge, Settlement, Sled,
    Store,
};
use hookhold::time::Timestamp;
use http::{HeaderName, HeaderValue};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The file of the report, and the folder of the store.
pub(crate) const REPORT: &str = "report";
pub(crate) const STORE: &str = "store";
/// Clients at once, so that groups hold changes of several.
const CLIENTS: usize = 4;
/// A mixed script goes on for so long: checkpoints are made once a second.
const MIXED_TIME: Duration = Duration::from_millis(2400);
/// A short script stores so many events.
const SHORT_EVENTS: usize = 200;
/// Large bodies, so many that the journal uses its files again, once what is in them was purged: after so many of a client's.
const LARGE_EVENTS: usize = 320;
const LARGE_PURGED: usize = 6;
const LARGE_BYTES: usize = 1024 * 1024;

/// Logs of the store on standard error; errors there are alarms.
pub(crate) fn log() {
    let filter = tracing_subscriber::EnvFilter::new("hookhold=info");
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
}

/// Keys by which a client's deliveries are kept in order: few, so that they wait for one another.
const ORDER_KEYS: [&str; 2] = ["first", "second"];

/// What of a delivery is compared. When one with an order key is due depends on those before it.
pub(crate) fn state_of(delivery: &Delivery) -> String {
    if delivery.order_key.is_some() && delivery.due().is_some() {
        return format!("InLine/{}", delivery.attempts_made);
    }
    format!("{:?}/{}", delivery.state, delivery.attempts_made).replace(' ', "")
}

/// The same for the same bytes in every process. Not a cryptographic one: those take most of the time where nothing is optimised.
pub(crate) fn hash(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("{:016x}", hasher.finish())
}

pub(crate) fn name(text: &str) -> Name {
    Name::try_new(text).unwrap()
}

/// The destinations of a client.
fn destinations(client: usize) -> [Name; 3] {
    ["a", "b", "c"].map(|n| name(&format!("client{client}-{n}")))
}

/// All destinations of all clients.
pub(crate) fn all_destinations() -> Vec<Name> {
    (0..CLIENTS).flat_map(destinations).collect()
}

/// A request on its way in.
pub(crate) fn intake(source: &str, key: Option<&str>, body: Bytes, to: Arc<[Name]>, at: Timestamp) -> Intake {
    padded(0, source, key, body, to, at)
}

/// The same with a header of so many bytes.
fn padded(pad: usize, source: &str, key: Option<&str>, body: Bytes, to: Arc<[Name]>, at: Timestamp) -> Intake {
    let mut headers = Headers::default();
    if pad > 0 {
        headers.push(HeaderName::from_static("x-pad"), HeaderValue::from_bytes(&vec![b'x'; pad]).unwrap());
    }
    headers.push(HeaderName::from_static("x-hash"), HeaderValue::from_str(&hash(&body)).unwrap());
    if let Some(key) = key {
        headers.push(HeaderName::from_static("x-id"), HeaderValue::from_str(key).unwrap());
    }
    let received = Received {
        method: "POST".to_owned(),
        target: "/in".to_owned(),
        authority: "hooks.example".to_owned(),
        headers,
        body,
        peer: [203, 0, 113, 7].into(),
        at,
    };
    let options = Options { event_id: Some(Selector::Header("x-id".to_owned())), ..Options::default() };
    let verified = Verifier::trusting(options).verify(received).unwrap();
    let dedupe = key.map(|key| Dedupe { key: key.to_owned(), until: Timestamp::MAX });
    Intake::new(verified, name(source), "none".into(), to, dedupe)
}

/// Runs a script in `root`; `round` is how often a script ran there before.
pub(crate) fn run(root: &Path, round: u64, seed: u64, kind: &str) {
    log();
    let report = Report(Arc::new(Mutex::new(File::options().append(true).create(true).open(root.join(REPORT)).unwrap())));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // A clean end and a new start in the middle.
        for part in 0..2 {
            let store: Arc<Sled> = match Sled::open(&root.join(STORE), Arc::new(|_| {})) {
                Ok(store) => Arc::new(store),
                Err(error) => return report.say(&format!("unopened {error}")),
            };
            if let Err(error) = found(&store, &report).await {
                report.say(&format!("unread {error}"));
            }
            let clients = (0..CLIENTS).map(|number| {
                let random = StdRng::seed_from_u64(seed ^ (round << 20) ^ (part << 16) ^ ((number as u64) << 8));
                let begin = Timestamp::from_ms(1_790_000_000_000 + (2 * round + part) * 1_000_000);
                let fresh = store.handoff(&destinations(number)[0], 2);
                let client = Client {
                    number,
                    random,
                    begin,
                    fresh,
                    since: Instant::now(),
                    store: store.clone(),
                    report: report.clone(),
                    events: Vec::new(),
                    sent: 0,
                    pad: 0,
                };
                tokio::spawn(client.run(kind.to_owned()))
            });
            for client in clients.collect::<Vec<_>>() {
                if let Err(error) = client.await.unwrap() {
                    report.say(&format!("refused {error}"));
                }
            }
            thrown::say_whether_space_is_won(&root.join(STORE), &store, &report);
            report.say(&format!("health {:?}", store.health()));
            let closed = store.close().await;
            report.say(&format!("closed {closed:?}"));
        }
    });
    report.say("end");
}

/// Says what is there: what was read once must not be taken back.
async fn found(store: &Sled, report: &Report) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = store.deliveries(&DeliveryFilter::default(), Page { after, limit: 500 }).await?;
        for tracked in page.items {
            report.say(&format!("is {} {}", tracked.delivery.id, state_of(&tracked.delivery)));
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

#[derive(Clone)]
struct Report(Arc<Mutex<File>>);

impl Report {
    fn say(&self, line: &str) {
        let line = format!("{}\n", line.replace('\n', " "));
        self.0.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

struct Client {
    number: usize,
    random: StdRng,
    begin: Timestamp,
    since: Instant,
    store: Arc<Sled>,
    report: Report,
    fresh: Fresh,
    /// Events of this client and their keys.
    events: Vec<(EventId, Option<String>)>,
    sent: usize,
    /// Bytes of a header of what it sends.
    pad: usize,
}

impl Client {
    fn source(&self) -> String {
        format!("source{}", self.number)
    }

    fn now(&self) -> Timestamp {
        self.begin.after(self.since.elapsed())
    }

    async fn run(mut self, kind: String) -> Result<(), Error> {
        match &*kind {
            "mixed" => {
                while self.since.elapsed() < MIXED_TIME {
                    self.step().await?;
                    // The script must last until checkpoints were made, and not write too much until then.
                    tokio::time::sleep(Duration::from_millis(self.random.random_range(0..90))).await;
                }
            }
            "short" => {
                while self.sent < SHORT_EVENTS / CLIENTS / 2 {
                    self.step().await?;
                }
            }
            "large" => {
                for n in 0..LARGE_EVENTS / CLIENTS / 2 {
                    let body = self.body(LARGE_BYTES);
                    self.append(body).await?;
                    match self.random.random_range(0..4) {
                        0 => self.claim().await?,
                        _ => self.deliver_all().await?,
                    }
                    if n % LARGE_PURGED == LARGE_PURGED - 1 {
                        // What was delivered is old enough then.
                        tokio::time::sleep(2 * SEEN_TIME).await;
                        self.purge().await?;
                    }
                }
            }
            "thrown" => self.throw_away().await?,
            _ => panic!("an unknown script: {kind}"),
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), Error> {
        match self.random.random_range(0..100) {
            0..50 => {
                let size = match self.random.random_range(0..100) {
                    0..8 => 0,
                    8..55 => self.random.random_range(0..1024),
                    55..85 => self.random.random_range(0..20_000),
                    85..97 => self.random.random_range(0..130_000),
                    _ => self.random.random_range(0..=1024 * 1024),
                };
                let body = self.body(size);
                self.append(body).await
            }
            50..60 => self.repeat().await,
            60..80 => self.claim().await,
            80..88 => self.take_fresh().await,
            88..93 => self.change().await,
            93..97 => self.replay().await,
            _ => self.purge().await,
        }
    }

    /// A body of its own: large ones have holes, which cost images no space.
    fn body(&mut self, size: usize) -> Bytes {
        let mut body = vec![0; size];
        let dense = size.min(24 * 1024);
        self.random.fill(&mut body[..dense]);
        for _ in 0..size / (64 * 1024) {
            let at = self.random.random_range(0..size - 600);
            self.random.fill(&mut body[at..at + 600]);
        }
        body.into()
    }

    async fn append(&mut self, body: Bytes) -> Result<(), Error> {
        self.sent += 1;
        let hash = hash(&body);
        self.report.say(&format!("sent {hash}"));
        let (source, now) = (self.source(), self.now());
        let key = self.random.random_bool(0.6).then(|| format!("{source}-{}-{}", now.ms(), self.sent));
        let count = [0, 1, 1, 1, 1, 2, 2, 3][self.random.random_range(0..8)];
        let to: Arc<[Name]> = destinations(self.number)[..count].into();
        let order_key = self.random.random_bool(0.4).then(|| ORDER_KEYS[self.random.random_range(0..2)].to_owned());
        let new = || {
            let new = padded(self.pad, &source, key.as_deref(), body.clone(), to.clone(), now);
            new.in_order(vec![order_key.clone(); count])
        };
        let is_twice = key.is_some() && self.random.random_bool(0.1);
        let (first, second) = if is_twice {
            let (first, second) = tokio::join!(self.store.append(new()), self.store.append(new()));
            (first?, Some(second?))
        } else {
            (self.store.append(new()).await?, None)
        };
        let (id, is_right) = match (first, second) {
            (Appended::Stored(id), None) => (id, true),
            (Appended::Stored(id), Some(other)) => (id, other == Appended::Duplicate(id)),
            (Appended::Duplicate(id), other) => (id, other == Some(Appended::Stored(id))),
        };
        assert!(is_right, "one of two is stored: {first:?} {second:?}");
        let nowhere = DeliveryId { event: id, ordinal: 0 };
        let pending = state_of(&Delivery::new(nowhere, name(&source), name(&source), now).with_order_key(order_key));
        self.report.say(&format!("stored {id} {hash} {source} {} {pending} {count}", key.as_deref().unwrap_or("-")));
        self.events.push((id, key));
        Ok(())
    }

    fn some_event(&mut self) -> Option<(EventId, Option<String>)> {
        if self.events.is_empty() {
            return None;
        }
        let place = self.random.random_range(0..self.events.len());
        Some(self.events[place].clone())
    }

    async fn repeat(&mut self) -> Result<(), Error> {
        let Some((id, Some(key))) = self.some_event() else { return Ok(()) };
        self.wait_until_all_is_seen(id).await?;
        let now = self.now();
        let mut woken = Vec::new();
        for tracked in self.store.deliveries_of(id).await? {
            if tracked.delivery.state.name() == StateName::Parked {
                woken.push(tracked.delivery.retried(now).unwrap());
            }
        }
        self.will(&woken);
        let (source, to) = (self.source(), destinations(self.number)[..1].into());
        let appended = self.store.append(intake(&source, Some(&key), Bytes::from_static(b"again"), to, now)).await?;
        assert_eq!(appended, Appended::Duplicate(id), "a repeat is known");
        self.did(&woken);
        Ok(())
    }

    fn will(&self, deliveries: &[Delivery]) {
        deliveries.iter().for_each(|delivery| self.report.say(&format!("will {} {}", delivery.id, state_of(delivery))));
    }

    fn did(&self, deliveries: &[Delivery]) {
        deliveries.iter().for_each(|delivery| self.report.say(&format!("did {} {}", delivery.id, state_of(delivery))));
    }

    async fn claim(&mut self) -> Result<(), Error> {
        let destination = destinations(self.number)[self.random.random_range(0..3)].clone();
        let limit = self.random.random_range(1..5);
        let due = self.store.claim_due(&destination, self.now(), limit).await?;
        for claimed in due.claimed {
            self.settle(claimed).await?;
        }
        Ok(())
    }

    async fn take_fresh(&mut self) -> Result<(), Error> {
        while let Some(claimed) = self.fresh.ready() {
            self.settle(claimed).await?;
        }
        Ok(())
    }

    async fn settle(&mut self, claimed: Claimed) -> Result<(), Error> {
        let now = self.now();
        if self.random.random_bool(0.1) {
            return self.store.release(claimed.claim).await;
        }
        let (status, verdict) = match self.random.random_range(0..10) {
            0..5 => (200, Verdict::Delivered),
            5..8 => (503, Verdict::RetryAt(now.after(Duration::from_millis(self.random.random_range(0..900))))),
            _ => (410, Verdict::Park(ParkReason::Refused)),
        };
        self.settle_as(claimed, status, verdict, now).await
    }

    async fn settle_as(&mut self, claimed: Claimed, status: u16, verdict: Verdict, now: Timestamp) -> Result<(), Error> {
        let body = vec![b'x'; self.random.random_range(0..Answer::BODY_BYTES_MAX)].into();
        let answer = Answer { status, headers: Vec::new(), body, truncated: false };
        let number = claimed.delivery.attempts_made + 1;
        let attempt = Attempt { number, started_at: now, duration_ms: 1, outcome: Outcome::Answered(answer) };
        let settled = [claimed.delivery.attempted(&attempt, verdict, now).unwrap()];
        self.will(&settled);
        self.store.settle(Settlement { claim: claimed.claim, attempt, verdict, now, word: None }).await?;
        if self.random.random_bool(0.5) {
            self.wait_until_all_is_seen(settled[0].id.event).await?;
            self.did(&settled);
        }
        Ok(())
    }

    /// Nobody waits for what is settled. Changes come in order: an answer shows that all before it are durable and seen. This one finds
    /// nothing to change.
    async fn wait_until_all_is_seen(&self, event: EventId) -> Result<(), Error> {
        let nowhere = DeliveryId { event, ordinal: u16::MAX };
        match self.store.cancel(nowhere, self.now()).await {
            Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => panic!("there is no such delivery"),
        }
    }

    async fn change(&mut self) -> Result<(), Error> {
        let Some((id, _)) = self.some_event() else { return Ok(()) };
        self.wait_until_all_is_seen(id).await?;
        let now = self.now();
        let Some(tracked) = self.store.deliveries_of(id).await?.pop() else { return Ok(()) };
        let is_retry = self.random.random_bool(0.5);
        let delivery = tracked.delivery;
        let Ok(changed) = (if is_retry { delivery.retried(now) } else { delivery.cancelled(now) }) else { return Ok(()) };
        let changed = [changed];
        self.will(&changed);
        let id = changed[0].id;
        let answer = if is_retry { self.store.retry(id, now).await } else { self.store.cancel(id, now).await };
        match answer {
            Ok(_) => self.did(&changed),
            // It may have been purged in between.
            Err(Error::Conflict(_) | Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn replay(&mut self) -> Result<(), Error> {
        let Some((id, _)) = self.some_event() else { return Ok(()) };
        self.wait_until_all_is_seen(id).await?;
        let now = self.now();
        let to = destinations(self.number)[self.random.random_range(0..3)].clone();
        let known = self.store.deliveries_of(id).await?;
        let hurried = known.iter().filter(|t| t.delivery.destination == to && !t.in_flight && t.delivery.due().is_some());
        let hurried: Vec<_> = hurried.map(|tracked| tracked.delivery.clone().retried(now).unwrap()).take(1).collect();
        self.will(&hurried);
        self.report.say(&format!("replays {id}"));
        let made = match self.store.replay(id, std::slice::from_ref(&to), now).await {
            Err(Error::NotFound(_)) => return Ok(()),
            made => made?,
        };
        match known.iter().find(|tracked| tracked.delivery.id == made[0]) {
            None => {
                let earlier = known.iter().rfind(|tracked| tracked.delivery.destination == to);
                let order_key = earlier.and_then(|tracked| tracked.delivery.order_key.clone());
                self.did(&[Delivery::new(made[0], name(&self.source()), to, now).with_order_key(order_key)]);
            }
            Some(_) => self.did(hurried.iter().find(|delivery| delivery.id == made[0]).map_or(&[], std::slice::from_ref)),
        }
        Ok(())
    }
}

/// Settlements that a client made so long ago are seen by everybody.
const SEEN_TIME: Duration = Duration::from_millis(200);

impl Client {
    /// Purges what was done some time ago: that may be gone from now on, whoever stored it.
    async fn purge(&mut self) -> Result<(), Error> {
        let done_before = self.now().before(SEEN_TIME);
        let nowhere = DeliveryId { event: EventId::first_at(self.begin), ordinal: u16::MAX };
        // What was asked for before is seen after this answer.
        assert!(self.store.cancel(nowhere, self.now()).await.is_err(), "there is no such delivery");
        for state in [EventState::Delivered, EventState::Cancelled, EventState::Unrouted] {
            let filter = EventFilter { state: Some(state), ..EventFilter::default() };
            let mut after = None;
            loop {
                let page = self.store.events(&filter, Page { after, limit: 500 }).await?;
                page.items.iter().for_each(|event| self.report.say(&format!("goes {}", event.id)));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        let mut after = None;
        loop {
            let step = self.store.purge(Purge { done_before, after, ..Purge::default() }).await?;
            self.report.say(&format!("purged {}", step.events));
            after = step.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// The ids of all events, newest first.
pub(crate) async fn all_events(store: &Sled) -> Result<Vec<hookhold::record::Event>, Error> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let mut page = store.events(&EventFilter::default(), Page { after, limit: 500 }).await?;
        all.append(&mut page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}
