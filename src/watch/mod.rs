//! Watches over the relay: asks the facts every few seconds, lets the rules of `alarm` judge them, and tells who should know.
//!
//! ```text
//! facts  what the store, the metrics and the pauses say
//! alarm  rules: which alarm begins, lasts, ends
//! post   one a receiver: what waits to be told, and a task that tells it
//! ```
//!
//! Nothing waits for it: a receiver that does not answer holds up no request and no delivery. Never here: a secret, an address of a
//! receiver, or anything of a body in a message or a log line.

mod facts;
mod message;
mod post;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::alarm::{Alarm, Board, Judge, Kind, Rules, Subject, Word};
use crate::config::settings::{Alerts, Settings};
use crate::metrics::Metrics;
use crate::net::tls::{Certificates, Error};
use crate::record::Name;
use crate::store::{Pauses, Space, Store};
use crate::time::{Clock, Timestamp};
use post::{How, Post};
pub use post::{Standing, Tried};

/// What is asked.
pub struct Asked {
    /// What waits, and what there was before the start.
    pub store: Arc<dyn Store>,
    /// Whether there is room.
    pub space: Arc<Space>,
    /// What a person holds.
    pub pauses: Arc<Pauses>,
    /// What was counted since the start. Alarms are counted there, too.
    pub metrics: Arc<Metrics>,
    /// What is shown to providers.
    pub certificates: Arc<Certificates>,
    /// The present.
    pub clock: Clock,
    /// When the relay started.
    pub started_at: Timestamp,
}

/// Watches over the relay.
pub struct Watch {
    asked: Asked,
    told: Mutex<Told>,
    minds: Mutex<(Judge, Board)>,
    /// When each source had its last event before the start, as far as somebody asked.
    before: Mutex<HashMap<Name, Option<Timestamp>>>,
    heard_before: Mutex<Option<Option<Timestamp>>>,
    changed: Notify,
    stop: CancellationToken,
}

/// What the watch was told last.
struct Told {
    settings: Arc<Settings>,
    posts: Vec<Arc<Post>>,
}

/// Another configuration, ready to be followed.
pub struct Prepared {
    settings: Arc<Settings>,
    ways: Vec<How>,
}

impl Watch {
    /// Over a relay with these settings. It begins with [`Self::run`].
    pub fn new(asked: Asked, settings: Arc<Settings>) -> Result<Self, Error> {
        let watch = Self {
            asked,
            told: Mutex::new(Told { settings: settings.clone(), posts: Vec::new() }),
            minds: Mutex::default(),
            before: Mutex::default(),
            heard_before: Mutex::default(),
            changed: Notify::new(),
            stop: CancellationToken::new(),
        };
        watch.replace(Self::prepare(settings)?);
        Ok(watch)
    }

    /// Makes everything that can fail of another configuration. Nothing changes yet.
    pub fn prepare(settings: Arc<Settings>) -> Result<Prepared, Error> {
        let to = settings.alerts.iter().flat_map(|alerts| &alerts.to);
        let ways = to.map(|receiver| How::new(receiver.clone(), named(&settings))).collect::<Result<_, _>>()?;
        Ok(Prepared { settings, ways })
    }

    /// Follows another configuration from the next look on. What is firing goes on, and what waits for a receiver that is still there
    /// is told as that wants it now. Must be called within a runtime where there are receivers.
    pub fn replace(&self, Prepared { settings, ways }: Prepared) {
        let mut told = lock(&self.told);
        let mut before = std::mem::take(&mut told.posts);
        for how in ways {
            let same = before.iter().position(|post| post.is_for(&how));
            let post = match same {
                Some(at) => {
                    let post = before.swap_remove(at);
                    post.follow(how);
                    post
                }
                None => Post::start(how, self.asked.metrics.clone(), self.asked.clock),
            };
            told.posts.push(post);
        }
        before.iter().for_each(|gone| gone.stop());
        let is_there = |name: &Name| settings.sources.iter().any(|source| source.name == *name);
        lock(&self.before).retain(|name, _| is_there(name));
        told.settings = settings;
        drop(told);
        self.changed.notify_one();
    }

    /// Looks every few seconds until [`Self::stop`].
    pub async fn run(self: Arc<Self>) {
        // Nothing that it does must come to its end.
        let _ = self.stop.run_until_cancelled(self.looks()).await;
    }

    /// Ends it, and what waits to be told.
    pub fn stop(&self) {
        self.stop.cancel();
        lock(&self.told).posts.iter().for_each(|post| post.stop());
    }

    /// Every alarm, the newest first.
    pub fn alarms(&self) -> Vec<Alarm> {
        lock(&self.minds).1.alarms()
    }

    /// How each receiver stands; `None` where nothing alarms.
    pub fn receivers(&self) -> Option<Vec<Standing>> {
        let told = lock(&self.told);
        told.settings.alerts.as_ref().map(|_| told.posts.iter().map(|post| post.standing()).collect())
    }

    /// Tells each receiver that this is a test, at once and once; gives what came of it.
    pub async fn test(&self) -> Vec<Tried> {
        let posts = lock(&self.told).posts.clone();
        let now = self.asked.clock.now();
        let tries: Vec<_> = posts.into_iter().map(|post| tokio::spawn(async move { post.test(now).await })).collect();
        let mut tried = Vec::with_capacity(tries.len());
        for one in tries {
            tried.extend(one.await);
        }
        tried
    }

    /// Brings what is shown of certificates up to date.
    pub fn show_certificates(&self) {
        self.asked.metrics.alerts().set_certificates(self.asked.certificates.ends());
    }

    fn alerts(&self) -> Option<Arc<Alerts>> {
        lock(&self.told).settings.alerts.clone()
    }

    /// Nothing alarms any more.
    fn forget(&self) {
        *lock(&self.minds) = <(Judge, Board)>::default();
        self.asked.metrics.alerts().set_firing([]);
    }

    async fn looks(&self) {
        loop {
            let Some(alerts) = self.alerts() else {
                self.forget();
                self.changed.notified().await;
                continue;
            };
            self.look(&alerts).await;
            tokio::select! {
                () = tokio::time::sleep(alerts.look_every) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// One look: asks, judges, and tells.
    async fn look(&self, alerts: &Alerts) {
        let settings = lock(&self.told).settings.clone();
        let facts = self.facts(&settings).await;
        let notices = {
            let (judge, board) = &mut *lock(&self.minds);
            let found = judge.look(&facts, &alerts.rules);
            let notices = board.step(found, &alerts.rules.damping, facts.now);
            let possible = possible(&settings, &alerts.rules, &self.asked.certificates);
            let series = possible.map(|(kind, subject)| (kind.as_str(), subject.to_string(), board.is_firing(kind, &subject)));
            self.asked.metrics.alerts().set_firing(series);
            notices
        };
        if notices.is_empty() {
            return;
        }
        let posts = lock(&self.told).posts.clone();
        for notice in notices {
            let (kind, subject, since) = (notice.alarm.kind.as_str(), &notice.alarm.subject, notice.alarm.since);
            match notice.word {
                Word::Began => tracing::warn!(kind, %subject, %since, detail = notice.alarm.detail, "an alarm begins"),
                Word::Lasts => tracing::warn!(kind, %subject, %since, detail = notice.alarm.detail, "an alarm lasts"),
                Word::Ended => tracing::info!(kind, %subject, %since, "an alarm is over"),
            }
            posts.iter().for_each(|post| post.push(notice.clone()));
        }
    }
}

/// All that can alarm.
fn possible(settings: &Settings, rules: &Rules, certificates: &Certificates) -> impl Iterator<Item = (Kind, Subject)> {
    let mut all = Vec::new();
    for source in &settings.sources {
        let subject = Subject::Source(source.name.clone());
        all.extend(source.expect_every.map(|_| (Kind::SourceSilent, subject.clone())));
        all.extend(rules.bad_signatures.map(|_| (Kind::BadSignatures, subject)));
    }
    let is_tried = rules.destination_failing.is_some() || rules.breaker_open.is_some();
    for destination in &settings.destinations {
        let subject = || Subject::Destination(destination.name.clone());
        all.extend(is_tried.then(|| (Kind::DestinationFailing, subject())));
        all.extend(rules.deliveries_overdue.map(|_| (Kind::DeliveriesOverdue, subject())));
        all.extend(rules.deliveries_parked.map(|_| (Kind::DeliveriesParked, subject())));
    }
    if rules.certificate_expiring.is_some() {
        let ends = certificates.ends().into_iter();
        all.extend(ends.map(|(file, _)| (Kind::CertificateExpiring, Subject::Certificate(file))));
    }
    if rules.certificate_not_issued.is_some() {
        let hosts = settings.acme.iter().flat_map(|acme| &acme.hosts);
        all.extend(hosts.map(|host| (Kind::CertificateNotIssued, Subject::Host(host.as_str().into()))));
    }
    let of_store = [
        (Kind::QuotaNear, rules.quota_near.is_some() && settings.store.max_bytes.is_some()),
        (Kind::DiskNearlyFull, rules.disk_nearly_full.is_some()),
        (Kind::StoreNotReady, rules.store_not_ready.is_some()),
        (Kind::StoreDamaged, rules.store_damaged.is_some()),
    ];
    all.extend(of_store.into_iter().filter(|(_, can)| *can).map(|(kind, _)| (kind, Subject::Store)));
    all.into_iter()
}

/// What the relay is called in messages.
fn named(settings: &Settings) -> String {
    let name = settings.alerts.as_ref().and_then(|alerts| alerts.name.as_ref());
    name.map_or_else(|| "hookhold".to_owned(), |name| format!("hookhold {name}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
