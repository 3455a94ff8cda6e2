//! The same random operations on several stores; ids differ, so what is compared is ordinal numbers and shapes.

use std::time::Duration;

use hookhold::record::{DeliveryId, EventId, ParkReason, StateName, Verdict};
use hookhold::store::{
    Appended, Backlog, Claimed, Counts, DeliveryFilter, Error, EventFilter, EventState, Fresh, Page, Purge, Store,
};

use super::purging::purge_all;
use super::world::{World, at, attempt, body, intake, name, release, settle};

const STEPS: usize = 250;
const SOURCES: [&str; 3] = ["s", "t", "u"];
const DESTINATIONS: [&str; 3] = ["d", "e", "f"];
const KINDS: [&str; 2] = ["paid", "refunded"];

/// One store under test with what the test knows of it.
struct Subject {
    world: World,
    events: Vec<EventId>,
    held: Vec<Claimed>,
    lane: Option<Fresh>,
}

/// Random numbers that a seed repeats (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// One operation, in words that mean the same for every store.
#[derive(Clone, Debug)]
enum Step {
    Append {
        source: &'static str,
        destinations: Vec<&'static str>,
        size: usize,
        key: Option<(String, u64)>,
        kind: &'static str,
        order: Option<&'static str>,
    },
    Take,
    Claim {
        destination: &'static str,
        limit: usize,
    },
    Settle {
        held: usize,
        verdict: usize,
        wait: u64,
    },
    Release {
        held: usize,
    },
    Replay {
        event: usize,
        destinations: Vec<&'static str>,
    },
    Retry {
        event: usize,
        ordinal: u16,
    },
    Cancel {
        event: usize,
        ordinal: u16,
    },
    OpenLane {
        capacity: usize,
    },
    CloseLane,
    Purge {
        done: u64,
        parked: u64,
        bytes: Option<u64>,
    },
    Look,
    Reopen,
}

/// Runs one random sequence on all stores and compares every answer.
pub(crate) async fn agree<const N: usize>(seed: u64, worlds: [World; N]) {
    let mut random = Random(seed);
    let mut subjects = worlds.map(|world| Subject { world, events: Vec::new(), held: Vec::new(), lane: None });
    let mut now = 0;
    for n in 0..STEPS {
        now += random.below(40) as u64;
        let step = step(&mut random, now);
        let mut answers = Vec::new();
        for subject in &mut subjects {
            answers.push((subject.world.kind, subject.run(&step, now).await));
        }
        for pair in answers.windows(2) {
            assert_eq!(pair[0].1, pair[1].1, "seed {seed}, step {n}: {step:?} on {:?} and {:?}", pair[0].0, pair[1].0);
        }
    }
}

fn step(random: &mut Random, now: u64) -> Step {
    let event = random.below(40);
    let ordinal = random.below(4) as u16 + 1;
    match random.below(40) {
        0..=11 => Step::Append {
            source: random.of(&SOURCES),
            destinations: some(random),
            size: random.of(&[0, 1, 100, 2048, 2049, 16_384, 16_385, 150_000]),
            key: (!random.one_in(3)).then(|| (format!("key{}", random.below(12)), now + random.below(800) as u64)),
            kind: random.of(&KINDS),
            order: (!random.one_in(3)).then(|| random.of(&["k", "l", "m"])),
        },
        12..=13 => Step::Take,
        14..=17 => Step::Claim { destination: random.of(&DESTINATIONS), limit: random.below(5) },
        18..=24 => Step::Settle { held: random.below(8), verdict: random.below(4), wait: random.below(200) as u64 },
        25 => Step::Release { held: random.below(8) },
        26..=27 => Step::Replay { event, destinations: some(random) },
        28..=29 => Step::Retry { event, ordinal },
        30 => Step::Cancel { event, ordinal },
        31 => Step::OpenLane { capacity: random.below(4) },
        32 => Step::CloseLane,
        33 => Step::Reopen,
        34 => Step::Purge {
            done: now.saturating_sub(random.below(3000) as u64),
            parked: now.saturating_sub(random.below(3000) as u64),
            bytes: random.one_in(3).then(|| random.below(1_000_000) as u64),
        },
        _ => Step::Look,
    }
}

fn some(random: &mut Random) -> Vec<&'static str> {
    DESTINATIONS.into_iter().filter(|_| !random.one_in(3)).collect()
}

impl Subject {
    fn store(&self) -> &dyn Store {
        &*self.world.store
    }

    fn event(&self, n: usize) -> EventId {
        self.events.get(n % self.events.len().max(1)).copied().unwrap_or(EventId::first_at(at(0)))
    }

    /// Which event it is, counted in the order of appends.
    fn number(&self, id: EventId) -> usize {
        self.events.iter().position(|e| *e == id).unwrap_or(usize::MAX)
    }

    fn shape(&self, id: DeliveryId) -> String {
        format!("{}.{}", self.number(id.event), id.ordinal)
    }

    async fn run(&mut self, step: &Step, now: u64) -> String {
        let moment = at(now);
        match step {
            Step::Append { .. } => self.append(step, now).await,
            Step::Take => match self.lane.as_mut().and_then(Fresh::ready) {
                Some(claimed) => self.hold(vec![claimed]),
                None => "nothing".to_owned(),
            },
            Step::Claim { destination, limit } => {
                let due = self.store().claim_due(&name(destination), moment, *limit).await.unwrap();
                format!("{} next {:?}", self.hold(due.claimed), due.next)
            }
            Step::Settle { held, verdict, wait } => {
                if self.held.is_empty() {
                    return String::new();
                }
                let claimed = self.held.remove(held % self.held.len());
                let verdict = [
                    Verdict::Delivered,
                    Verdict::RetryAt(moment.after(Duration::from_millis(*wait))),
                    Verdict::Park(ParkReason::Expired),
                    Verdict::Park(ParkReason::Refused),
                ][*verdict];
                settle(self.store(), attempt(&claimed, 500, verdict, moment)).await;
                format!("{:?}", self.store().attempts(claimed.delivery.id).await.unwrap())
            }
            Step::Release { held } => {
                if !self.held.is_empty() {
                    let claimed = self.held.remove(held % self.held.len());
                    release(self.store(), claimed.claim).await;
                }
                String::new()
            }
            Step::Replay { event, destinations } => {
                let destinations: Vec<_> = destinations.iter().map(|d| name(d)).collect();
                let made = self.store().replay(self.event(*event), &destinations, moment).await;
                made.map(|ids| ids.into_iter().map(|id| self.shape(id)).collect::<Vec<_>>().join(" ")).unwrap_or_else(class)
            }
            Step::Retry { event, ordinal } => {
                let id = DeliveryId { event: self.event(*event), ordinal: *ordinal };
                self.store().retry(id, moment).await.map(|d| format!("{:?} {:?}", d.state, d.budget)).unwrap_or_else(class)
            }
            Step::Cancel { event, ordinal } => {
                let id = DeliveryId { event: self.event(*event), ordinal: *ordinal };
                self.store().cancel(id, moment).await.map(|d| format!("{:?} {:?}", d.state, d.budget)).unwrap_or_else(class)
            }
            Step::OpenLane { capacity } => {
                self.lane = Some(self.store().handoff(&name("d"), *capacity));
                String::new()
            }
            Step::CloseLane => {
                self.lane = None;
                String::new()
            }
            Step::Purge { done, parked, bytes } => {
                let rule = Purge { done_before: at(*done), parked_before: at(*parked), done_bytes: *bytes, after: None };
                format!("{:?}", purge_all(self.store(), rule).await)
            }
            Step::Look => self.look(now).await,
            Step::Reopen => self.reopen().await,
        }
    }

    async fn append(&mut self, step: &Step, now: u64) -> String {
        let Step::Append { source, destinations, size, key, kind, order } = step else { return String::new() };
        let mut draft = intake(source, destinations).at(now).body(body(*size)).kind(kind);
        if let Some(order) = order {
            draft = draft.key(order);
        }
        if let Some((key, until)) = key {
            draft = draft.dedupe(key, *until);
        }
        match self.store().append(draft.build()).await.unwrap() {
            Appended::Stored(id) => {
                self.events.push(id);
                "stored".to_owned()
            }
            Appended::Duplicate(id) => format!("duplicate of {}", self.number(id)),
        }
    }

    fn hold(&mut self, claimed: Vec<Claimed>) -> String {
        let shape = |c: &Claimed| {
            let id = self.shape(c.delivery.id);
            format!("{id} {:?} {:?} {}", c.delivery.state, c.delivery.budget, c.body == body(c.event.body_bytes as usize))
        };
        let shapes: Vec<String> = claimed.iter().map(shape).collect();
        self.held.extend(claimed);
        shapes.join(", ")
    }

    /// Everything held is released first, because claims die with a process; a store in memory does as if.
    async fn reopen(&mut self) -> String {
        self.lane = None;
        for claimed in self.held.drain(..) {
            release(&*self.world.store, claimed.claim).await;
        }
        self.world.reopen().await;
        format!("{:?}", Counts { damaged: 0, ..self.store().counts() })
    }

    async fn look(&self, now: u64) -> String {
        let mut seen = format!("{:?}\n", Counts { damaged: 0, ..self.store().counts() });
        for destination in DESTINATIONS {
            let blocked = self.store().blocked(&name(destination), 50).await.unwrap();
            let mut by: Vec<_> = blocked.by.iter().map(|t| format!("{} {}", self.shape(t.delivery.id), t.in_flight)).collect();
            by.sort();
            seen += &format!("{} {by:?}\n", blocked.keys);
            let Backlog { pending, in_flight, parked, oldest_due_at } = self.store().backlog(&name(destination)).await.unwrap();
            seen += &format!("{destination} {pending} {in_flight} {parked} {oldest_due_at:?}\n");
        }
        for (n, id) in self.events.iter().enumerate() {
            let Some(event) = self.store().event(*id).await.unwrap() else {
                assert_eq!((self.store().body(*id).await, self.store().deliveries_of(*id).await), (Ok(None), Ok(vec![])));
                seen += &format!("{n} is gone\n");
                continue;
            };
            seen += &format!("{n} {} {} {}\n", event.source, event.duplicates, event.body_bytes);
            assert!(self.store().body(*id).await.unwrap().unwrap() == body(event.body_bytes as usize));
        }
        for filter in event_filters(now) {
            seen += &format!("{filter:?}: {:?}\n", self.all_events(&filter).await);
        }
        for filter in self.delivery_filters(now) {
            seen += &format!("{:?}\n", self.all_deliveries(&filter).await);
        }
        seen
    }

    async fn all_events(&self, filter: &EventFilter) -> Vec<usize> {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = self.store().events(filter, Page { after, limit: 7 }).await.unwrap();
            seen.extend(page.items.iter().map(|e| self.number(e.id)));
            after = page.next;
            if after.is_none() {
                return seen;
            }
        }
    }

    async fn all_deliveries(&self, filter: &DeliveryFilter) -> Vec<String> {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = self.store().deliveries(filter, Page { after, limit: 7 }).await.unwrap();
            let shapes =
                page.items.iter().map(|t| format!("{} {:?} {}", self.shape(t.delivery.id), t.delivery.state, t.in_flight));
            seen.extend(shapes);
            after = page.next;
            if after.is_none() {
                return seen;
            }
        }
    }

    fn delivery_filters(&self, now: u64) -> Vec<DeliveryFilter> {
        let all = DeliveryFilter::default;
        vec![
            all(),
            DeliveryFilter { state: Some(StateName::Pending), ..all() },
            DeliveryFilter { state: Some(StateName::Parked), destination: Some(name("d")), ..all() },
            DeliveryFilter { state: Some(StateName::Delivered), source: Some(name("s")), ..all() },
            DeliveryFilter { state: Some(StateName::Cancelled), ..all() },
            DeliveryFilter { in_flight: Some(true), ..all() },
            DeliveryFilter { in_flight: Some(false), destination: Some(name("e")), ..all() },
            DeliveryFilter { source: Some(name("t")), since: Some(at(now / 2)), ..all() },
            DeliveryFilter { event: Some(self.event(now as usize)), ..all() },
            DeliveryFilter { until: Some(at(now / 2)), in_flight: Some(false), ..all() },
        ]
    }
}

fn event_filters(now: u64) -> Vec<EventFilter> {
    let all = EventFilter::default;
    let mut filters = vec![
        all(),
        EventFilter { source: Some(name("s")), ..all() },
        EventFilter { kind: Some("paid".to_owned()), ..all() },
        EventFilter { kind: Some("paid".to_owned()), source: Some(name("t")), ..all() },
        EventFilter { provider_event_id: Some("key3".to_owned()), ..all() },
        EventFilter { provider_event_id: Some("key4".to_owned()), source: Some(name("u")), ..all() },
        EventFilter { destination: Some(name("e")), since: Some(at(now / 3)), until: Some(at(now / 2)), ..all() },
        EventFilter { state: Some(EventState::Parked), source: Some(name("s")), ..all() },
    ];
    let states = [EventState::Pending, EventState::Parked, EventState::Delivered, EventState::Cancelled, EventState::Unrouted];
    filters.extend(states.map(|state| EventFilter { state: Some(state), ..all() }));
    filters
}

fn class(error: Error) -> String {
    match error {
        Error::NotFound(_) => "not found".to_owned(),
        Error::Conflict(_) => "conflict".to_owned(),
        other => panic!("{other}"),
    }
}
