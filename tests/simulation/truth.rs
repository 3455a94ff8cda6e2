//! What is known of a story from outside the relay: what was sent and answered, which attempts run, and what was broken.
//!
//! What an attempt must not do is judged here, in the moment in which it begins or arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use hookhold::record::{DeliveryId, EventId};
use hookhold::time::{Clock, Timestamp};

use crate::config::Config;

/// So much earlier than its turn an attempt may begin after one that was late.
const LATE_MAX: Duration = Duration::from_millis(10);
/// Beginnings that are looked back at.
const BEGINNINGS: usize = 64;

/// A webhook, as its provider has it.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) source: &'static str,
    pub(crate) key: Option<&'static str>,
    pub(crate) body: Bytes,
    pub(crate) is_forged: bool,
    /// The events that it became, as its provider heard, each with the status of the answer. More than one where its
    /// repeats were no longer known.
    pub(crate) events: Vec<(EventId, u16)>,
}

/// The number of a webhook, as its body says it.
fn number_in(body: &[u8]) -> Option<usize> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    usize::try_from(body.get("n")?.as_u64()?).ok()
}

/// An attempt that runs, as seen by the application.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) app: &'static str,
    /// Once its request is there.
    pub(crate) arrived: Option<(DeliveryId, Option<&'static str>)>,
}

#[derive(Default)]
pub(crate) struct Known {
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) config: Option<Config>,
    /// Whether every destination was in the file all the time.
    pub(crate) was_whole: bool,
    /// Which life of the relay it is.
    pub(crate) life: u64,
    pub(crate) paused: BTreeMap<&'static str, Timestamp>,
    pub(crate) sources_paused: BTreeMap<&'static str, Timestamp>,
    pub(crate) running: BTreeMap<u64, Attempt>,
    pub(crate) purged: BTreeSet<EventId>,
    /// The events that each webhook became, and when its request came.
    pub(crate) stored: BTreeMap<usize, Vec<(EventId, Timestamp)>>,
    /// Deliveries that were seen in the store.
    pub(crate) seen: BTreeSet<DeliveryId>,
    /// Replays to where their events never went: nothing was there to take a key from.
    pub(crate) keyless: BTreeSet<DeliveryId>,
    /// How often a person asked for something to be done with a delivery.
    pub(crate) asked: BTreeMap<DeliveryId, u64>,
    /// Deliveries that a person called off, and nobody asked for since.
    pub(crate) cancelled: BTreeSet<DeliveryId>,
    /// Deliveries that a person wanted parked.
    pub(crate) set_aside: BTreeSet<DeliveryId>,
    /// Deliveries that a person wants retried, and the attempts that each had then.
    pub(crate) retried: BTreeMap<DeliveryId, u32>,
    /// The statuses that each delivery was answered.
    pub(crate) answers: BTreeMap<DeliveryId, BTreeSet<u16>>,
    /// Deliveries that the relay must have heard 2xx for, and in which life.
    pub(crate) taken: BTreeMap<DeliveryId, u64>,
    pub(crate) attempts: u64,
    pub(crate) crashes: u64,
    /// Answers of applications that senders heard.
    pub(crate) passed_on: u64,
    beginnings: BTreeMap<&'static str, Vec<Timestamp>>,
    /// When the configuration changed last: what a lane does in that very moment goes by either.
    followed_at: Timestamp,
    /// Which webhook each event is.
    webhook_numbers: BTreeMap<EventId, usize>,
    /// When each delivery became pending, and was claimed last, in steps.
    revived: BTreeMap<DeliveryId, u64>,
    claimed: BTreeMap<DeliveryId, u64>,
    steps: u64,
    broken: Vec<String>,
    trace: Vec<String>,
    names: BTreeMap<EventId, usize>,
}

pub(crate) struct Truth {
    clock: Clock,
    begin: Timestamp,
    known: Mutex<Known>,
}

impl Truth {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, begin: clock.now(), known: Mutex::new(Known { was_whole: true, ..Known::default() }) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Looks at what is known, or changes it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap())
    }

    /// Writes down what happens.
    pub(crate) fn tell(&self, what: impl FnOnce(&mut Known) -> String) {
        let at = self.now().since(self.begin);
        self.with(|known| {
            let what = what(known);
            known.trace.push(format!("{:>12.3} {what}", at.as_secs_f64()));
        });
    }

    /// Something that must not be.
    pub(crate) fn blame(&self, what: String) {
        self.tell(|known| {
            known.broken.push(what.clone());
            format!("BROKEN: {what}")
        });
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.with(|known| !known.broken.is_empty())
    }

    /// All that was told, and what was broken.
    pub(crate) fn take(&self) -> (Vec<String>, Vec<String>) {
        self.with(|known| (std::mem::take(&mut known.trace), std::mem::take(&mut known.broken)))
    }

    pub(crate) fn took(&self) -> Duration {
        self.now().since(self.begin)
    }

    /// The relay is another one now: nothing runs, nothing is claimed.
    pub(crate) fn new_life(&self) {
        self.with(|known| {
            known.life += 1;
            known.running.clear();
            known.claimed.clear();
            known.beginnings.clear();
        });
    }

    pub(crate) fn revived(&self, delivery: DeliveryId) {
        self.with(|known| {
            known.steps += 1;
            known.revived.insert(delivery, known.steps);
        });
    }

    pub(crate) fn claimed(&self, delivery: DeliveryId) {
        self.with(|known| {
            known.steps += 1;
            known.claimed.insert(delivery, known.steps);
        });
    }

    pub(crate) fn purged(&self, event: EventId) {
        self.tell(|known| {
            known.purged.insert(event);
            format!("{} is removed", known.name(event))
        });
    }

    /// Another configuration is in force; what it says of paces counts from now on.
    pub(crate) fn follow(&self, config: &Config) {
        self.with(|known| {
            known.was_whole &= config.apps.iter().all(|app| app.is_there);
            known.config = Some(config.clone());
            known.beginnings.clear();
            known.followed_at = self.now();
        });
    }

    /// A webhook is in the store, as a new event.
    pub(crate) fn stored(&self, event: EventId, body: &[u8], at: Timestamp) {
        let Some(number) = number_in(body) else { return self.blame(format!("event {event} was never sent")) };
        let is_known = self.with(|known| {
            known.webhook_numbers.insert(event, number);
            let window = known.config.as_ref().unwrap().window;
            let before = known.stored.entry(number).or_default();
            let is_known = before.iter().any(|(_, stored_at)| at < stored_at.after(window));
            before.push((event, at));
            is_known
        });
        self.tell(|known| format!("webhook {number} is {}", known.name(event)));
        if is_known {
            self.blame(format!("a repeat of webhook {number} became an event of its own"));
        }
    }

    /// An attempt begins.
    pub(crate) fn begin(&self, app: &'static str) -> u64 {
        let now = self.now();
        let (id, problems) = self.with(|known| {
            known.attempts += 1;
            let mut problems = Vec::new();
            if known.paused.get(app).is_some_and(|at| *at < now) {
                problems.push(format!("an attempt for {app} while it is paused"));
            }
            let at_once = known.running.values().filter(|attempt| attempt.app == app).count() + 1;
            let config = known.config.as_ref().unwrap().app(app).clone();
            if now == known.followed_at {
                known.running.insert(known.attempts, Attempt { app, arrived: None });
                return (known.attempts, problems);
            }
            if at_once > config.in_flight {
                problems.push(format!("{at_once} attempts at once for {app}, where {} may be", config.in_flight));
            }
            let beginnings = known.beginnings.entry(app).or_default();
            beginnings.push(now);
            let from = beginnings.len().saturating_sub(BEGINNINGS);
            for (place, first) in beginnings.iter().enumerate().skip(from) {
                let (count, time) = (beginnings.len() - place, now.since(*first) + LATE_MAX);
                // Beginnings are known to the millisecond.
                let most = config.per_second.map_or(f64::MAX, |rate| rate * (time.as_secs_f64() + 0.002) + 1.0);
                if count as f64 > most {
                    problems.push(format!("{count} attempts for {app} within {time:?}, at {:?} a second", config.per_second));
                }
            }
            known.running.insert(known.attempts, Attempt { app, arrived: None });
            (known.attempts, problems)
        });
        problems.into_iter().for_each(|problem| self.blame(problem));
        id
    }

    /// An attempt ends, or ended before.
    pub(crate) fn end(&self, attempt: u64) {
        self.with(|known| known.running.remove(&attempt));
    }

    /// The request of an attempt is at its application. `pending`: what is pending for the application now.
    pub(crate) fn arrive(&self, attempt: u64, delivery: DeliveryId, webhook: usize, pending: &[DeliveryId]) {
        let problems = self.with(|known| {
            let Some(running) = known.running.get(&attempt).cloned() else { return Vec::new() };
            let mut problems = Vec::new();
            let config = known.config.as_ref().unwrap().app(running.app);
            let key = known.webhooks[webhook].key.filter(|_| config.is_ordered && !known.keyless.contains(&delivery));
            let others = known.running.values().filter(|other| other.app == running.app);
            for (other, other_key) in others.filter_map(|other| other.arrived) {
                if other == delivery || (key.is_some() && other_key == key) {
                    problems.push(format!("overlap at {}: {delivery} beside {other}, key {key:?}", running.app));
                }
            }
            let claimed = known.claimed.get(&delivery);
            let earlier = pending.iter().filter(|earlier| **earlier < delivery && !known.keyless.contains(earlier));
            for earlier in earlier.filter(|_| key.is_some()) {
                let is_like = known.webhook_of(earlier.event).is_some_and(|webhook| webhook.key == key);
                if is_like && known.revived.get(earlier) < claimed {
                    problems.push(format!("out of order at {}: {delivery} before {earlier}, key {key:?}", running.app));
                }
            }
            if known.taken.get(&delivery) == Some(&known.life) {
                problems.push(format!("{} was taken already, and is sent again: {delivery}", running.app));
            }
            if let Some(running) = known.running.get_mut(&attempt) {
                running.arrived = Some((delivery, key));
            }
            problems
        });
        problems.into_iter().for_each(|problem| self.blame(problem));
    }
}

impl Known {
    /// A name of an event that is the same in every run.
    pub(crate) fn name(&mut self, event: EventId) -> String {
        let next = self.names.len();
        format!("event {}", self.names.entry(event).or_insert(next))
    }

    /// The name of a delivery.
    pub(crate) fn name_of(&mut self, delivery: DeliveryId) -> String {
        format!("{}.{}", self.name(delivery.event), delivery.ordinal)
    }

    pub(crate) fn webhook_of(&self, event: EventId) -> Option<&Webhook> {
        self.webhooks.get(*self.webhook_numbers.get(&event)?)
    }
}
