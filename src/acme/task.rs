//! The task that has certificates: whose turn it is, and what came of it. One for all hosts, so a CA hears one wish at a time.
//!
//! It ends with the relay and at no other time: whatever a CA says, the next try has its time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::call::Caller;
use super::folder::Folder;
use super::order::{self, Trouble, Wanted};
use super::plan::Window;
use super::renewal::{self, Said};
use super::{account, plan};
use crate::chance::Chance;
use crate::config::settings::{self, Settings};
use crate::metrics::{AcmeFailing, AcmeHost, Metrics};
use crate::net::challenges::Challenges;
use crate::net::issued::Issued;
use crate::net::tls::{self, Certificates};
use crate::store::{AuditLog, AuditOutcome, Deed};
use crate::time::{Clock, Timestamp};

/// For one order, all its waits included.
const ORDER_TIME: Duration = Duration::from_secs(300);
/// The task looks at the clock so often: it may be set while nothing is due.
const LOOK: Duration = Duration::from_secs(3600);

/// Who did it, in the audit log, and what.
const WHO: &str = "acme";
const ISSUED: &str = "certificates.issue";
const RENEWED: &str = "certificates.renew";

/// What the task works with.
pub struct Surroundings {
    /// The store's folder.
    pub store: PathBuf,
    /// Where certificates are shown.
    pub certificates: Arc<Certificates>,
    /// Where CAs are answered.
    pub challenges: Arc<Challenges>,
    /// Where orders are counted.
    pub metrics: Arc<Metrics>,
    /// Where it is written down that other certificates are shown.
    pub audit: Arc<AuditLog>,
    /// The present.
    pub clock: Clock,
    /// Random numbers.
    pub chance: Chance,
}

/// What a configuration says of this, ready to be used.
#[derive(Clone, Debug)]
pub struct Prepared(Option<Told>);

#[derive(Clone, Debug)]
struct Told {
    settings: Arc<settings::Acme>,
    tls: Arc<ClientConfig>,
}

/// The task, from outside.
pub struct Acme {
    certificates: Arc<Certificates>,
    told: watch::Sender<Prepared>,
    task: JoinHandle<()>,
}

/// What is known of one host.
#[derive(Debug)]
struct Host {
    name: Arc<str>,
    issued: Option<Arc<Issued>>,
    /// Since when it is wanted.
    wanted_since: Timestamp,
    /// When a certificate is asked for.
    due: Timestamp,
    /// What came of the orders in a row that came to nothing.
    failing: Option<AcmeFailing>,
    /// When the CA is asked what it wants; it is while there is a certificate, and no trouble.
    look_at: Timestamp,
    /// When the certificate may be renewed at the soonest, whatever the CA wants.
    soonest: Timestamp,
    /// What the CA wants, and when within that it is done.
    window: Option<Window>,
    /// A wish to try at once counts from then on.
    rest_until: Timestamp,
}

struct Task {
    around: Surroundings,
    told: Option<(Told, Folder)>,
    hosts: Vec<Host>,
}

impl Acme {
    /// What can fail of taking a configuration.
    pub fn prepare(settings: &Settings) -> Result<Prepared, tls::Error> {
        let told = |acme: &Arc<settings::Acme>| {
            Ok::<_, tls::Error>(Told { settings: acme.clone(), tls: tls::client_config(acme.ca.as_deref())? })
        };
        settings.acme.as_ref().map(told).transpose().map(Prepared)
    }

    /// Shows what is kept, and asks for the rest as soon as listeners can answer.
    pub async fn start(prepared: Prepared, around: Surroundings) -> Self {
        let (told, changes) = watch::channel(prepared.clone());
        let certificates = around.certificates.clone();
        let mut task = Task { around, told: None, hosts: Vec::new() };
        task.take(prepared).await;
        Self { certificates, told, task: tokio::spawn(task.run(changes)) }
    }

    /// Where they are shown, with those of files.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Has the certificates of another configuration. Hosts that are in trouble are tried again at once: somebody may have helped.
    pub fn replace(&self, prepared: Prepared) {
        // Nobody hears it where the task has ended with the relay.
        let _ = self.told.send(prepared);
    }

    /// Ends. What a CA was asked for is asked for again at the next start.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Host {
    /// `now` and when it is due; when its CA is asked, and the soonest that it may be renewed.
    fn new(
        name: Arc<str>,
        issued: Option<Arc<Issued>>,
        (wanted_since, due): (Timestamp, Timestamp),
        (look_at, soonest): (Timestamp, Timestamp),
    ) -> Self {
        Self { name, issued, wanted_since, due, look_at, soonest, window: None, failing: None, rest_until: wanted_since }
    }

    /// When the CA is asked what it wants; `None` where there is no certificate, or trouble, which has its own times.
    fn look_due(&self) -> Option<Timestamp> {
        (self.issued.is_some() && self.failing.is_none()).then_some(self.look_at)
    }

    /// The CA wants to see it renewed within this, or says nothing that makes sense. What is not new changes nothing: each draw would be
    /// another chance to be early.
    fn wanted(&mut self, issued: &Issued, window: Option<Window>, random: u64) {
        let at = window.and_then(|window| plan::renew_within(window, issued.valid(), self.soonest, random));
        let window = window.filter(|_| at.is_some());
        if window == self.window {
            return;
        }
        self.window = window;
        self.due = at.unwrap_or_else(|| plan::renew_at(issued.valid(), random).max(self.soonest));
        let renewed_at = self.due;
        match window {
            Some(Window { from, until }) => {
                tracing::info!(host = &*self.name, %from, %until, %renewed_at, "the CA says when it wants a certificate renewed");
            }
            None => {
                tracing::info!(host = &*self.name, %renewed_at, "the CA does not say any more when it wants a certificate renewed")
            }
        }
    }

    fn failures(&self) -> u32 {
        self.failing.as_ref().map_or(0, |failing| failing.tries)
    }

    /// There is a certificate. In words: until when, and how it was proved.
    fn has(&mut self, issued: Issued, how: settings::Challenge, now: Timestamp, random: u64) -> String {
        self.due = plan::renew_issued_at(issued.valid(), now, random);
        (self.soonest, self.look_at, self.window) = (plan::soonest(issued.valid(), now), now, None);
        let (until, next, by) = (issued.valid().1, self.due, order::word(how));
        tracing::info!(host = &*self.name, %until, renewed_at = %next, by, "a certificate was issued");
        (self.issued, self.failing) = (Some(Arc::new(issued)), None);
        format!("until {until}, by {by}")
    }

    /// There is none. In words: why not. `asked`: how long the CA wants to be left alone.
    fn failed(&mut self, trouble: &Trouble, asked: Option<Duration>, now: Timestamp, random: u64) -> String {
        let (since, tries) = (self.failing.as_ref().map_or(now, |failing| failing.since), self.failures().saturating_add(1));
        let error = trouble.to_string();
        self.failing = Some(AcmeFailing { since, tries, error: error.clone() });
        self.due = now.after(plan::again_after(tries, asked, random));
        self.rest_until = now.after(plan::REST.max(asked.unwrap_or_default()));
        let shown_until = self.issued.as_ref().map_or("none is shown".to_owned(), |issued| issued.valid().1.to_string());
        let (host, next) = (&*self.name, self.due);
        tracing::error!(host, %error, shown_until, next_try = %next, "a certificate cannot be had");
        error
    }

    fn standing(&self) -> AcmeHost {
        let ends_at = self.issued.as_ref().map(|issued| issued.valid().1);
        AcmeHost { host: self.name.clone(), wanted_since: self.wanted_since, ends_at, failing: self.failing.clone() }
    }
}

impl Task {
    async fn run(mut self, mut changes: watch::Receiver<Prepared>) {
        loop {
            let now = self.around.clock.now();
            let next = self.hosts.iter().map(|host| host.look_due().map_or(host.due, |look_at| look_at.min(host.due))).min();
            let wait = next.map_or(LOOK, |due| due.since(now).min(LOOK));
            tokio::select! {
                biased;
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let prepared = changes.borrow_and_update().clone();
                    self.take(prepared).await;
                }
                () = tokio::time::sleep(wait) => {
                    self.try_next().await;
                    self.look_next().await;
                }
            }
        }
    }

    /// Takes a configuration. Hosts of the same CA keep what is known of them.
    async fn take(&mut self, Prepared(told): Prepared) {
        let now = self.around.clock.now();
        let told = told.map(|told| {
            let folder = Folder::of(&self.around.store, &told.settings.directory);
            (told, folder)
        });
        let is_same_ca = self.told.as_ref().map(|(_, folder)| folder) == told.as_ref().map(|(_, folder)| folder);
        let mut before = std::mem::take(&mut self.hosts);
        for name in told.iter().flat_map(|(told, _)| &told.settings.hosts) {
            let at = before.iter().position(|host| *host.name == **name);
            let known = at.map(|at| before.swap_remove(at));
            let host = match (known, &told) {
                (Some(mut known), _) if is_same_ca => {
                    if known.failing.is_some() {
                        known.due = known.due.min(known.rest_until.max(now));
                    }
                    known
                }
                (known, Some((_, folder))) => {
                    let kept = load(folder, name).await;
                    let due = kept.as_ref().map_or(now, |kept| plan::renew_at(kept.valid(), self.around.chance.draw()));
                    // What another CA gave is shown until there is something of this one.
                    let issued = kept.map(Arc::new).or_else(|| known.and_then(|known| known.issued));
                    let look_at = now.after(plan::first_look_after(self.around.chance.draw()));
                    let soonest = issued.as_ref().map_or(now, |issued| plan::soonest(issued.valid(), issued.valid().0));
                    let name = name.as_str().into();
                    let of_ca = (look_at, soonest);
                    Host::new(name, issued, (now, due), of_ca)
                }
                (_, None) => continue,
            };
            self.hosts.push(host);
        }
        self.told = told;
        self.show();
    }

    fn show(&self) {
        self.around.certificates.issue(self.hosts.iter().filter_map(|host| host.issued.clone()).collect());
        self.around.metrics.set_acme_hosts(self.hosts.iter().map(Host::standing).collect());
    }

    /// Asks for the certificate that is due first, if one is.
    async fn try_next(&mut self) {
        let now = self.around.clock.now();
        let due = self.hosts.iter().enumerate().filter(|(_, host)| host.due <= now).min_by_key(|(_, host)| host.due);
        let (Some((at, host)), Some((told, folder))) = (due, &self.told) else { return };
        let ways = &told.settings.challenges;
        // Where one way fails, the other is next. There is one at least.
        let failures = usize::try_from(host.failures()).unwrap_or(usize::MAX);
        let Some(how) = ways.get(failures % ways.len().max(1)).copied() else { return };
        let caller = Caller::new(told.tls.clone(), self.around.clock);
        let known = host.issued.as_ref().and_then(|issued| issued.renewal_id());
        let replaces = known.filter(|_| host.window.is_some() && host.failing.is_none());
        let ordered = self.order(&told.settings, folder, &caller, Wanted { host: &host.name, how, replaces });
        let came = tokio::time::timeout(ORDER_TIME, ordered).await.unwrap_or(Err(Trouble::Time));
        self.around.metrics.acme_order(came.is_ok());
        let (now, random) = (self.around.clock.now(), self.around.chance.draw());
        let host = &mut self.hosts[at];
        let (action, is_news) = (if host.issued.is_some() { RENEWED } else { ISSUED }, came.is_ok() || host.failing.is_none());
        let (status, detail) = match came {
            Ok(issued) => (200, host.has(issued, how, now, random)),
            Err(trouble) => (502, host.failed(&trouble, caller.asked(), now, random)),
        };
        // Of failures in a row the first is news. The log has them all, and must not push out what people did.
        let deed = Deed { who: Some(WHO.into()), action: action.into(), target: Some(host.name.to_string()), ..Deed::default() };
        self.show();
        if is_news {
            self.note(deed, AuditOutcome { status, detail: Some(detail) }).await;
        }
    }

    /// Asks the CA what it wants to see of the certificate that is to be looked at first, if one is.
    async fn look_next(&mut self) {
        let now = self.around.clock.now();
        let due = self.hosts.iter().enumerate().filter_map(|(at, host)| Some((at, host.look_due()?)));
        let next = due.filter(|(_, look_at)| *look_at <= now).min_by_key(|(_, look_at)| *look_at);
        let (Some((at, _)), Some((told, _))) = (next, &self.told) else { return };
        let host = &mut self.hosts[at];
        let Some(issued) = host.issued.clone() else { return };
        let caller = Caller::new(told.tls.clone(), self.around.clock);
        let said = match issued.renewal_id() {
            Some((key, serial)) => renewal::ask(&caller, &told.settings.directory, &format!("{key}.{serial}")).await,
            None => Ok(Said::Nothing),
        };
        let (now, random) = (self.around.clock.now(), self.around.chance.draw());
        host.look_at = now.after(plan::look_after(caller.asked()));
        match said {
            Ok(Said::Window(window)) => host.wanted(&issued, Some(window), random),
            Ok(Said::Nothing | Said::Nonsense) => host.wanted(&issued, None, random),
            // What it said before counts on.
            Err(error) => tracing::debug!(host = &*host.name, %error, "the CA does not say when it wants a certificate renewed"),
        }
    }

    /// Writes down what is done already. A log that cannot be written holds nothing up: senders need the certificate.
    async fn note(&self, deed: Deed, outcome: AuditOutcome) {
        let audit = self.around.audit.clone();
        let noted = tokio::task::spawn_blocking(move || audit.note(deed, outcome)).await;
        if let Err(error) = noted.unwrap_or_else(|stopped| Err(stopped.into())) {
            tracing::error!(who = WHO, %error, "what was done cannot be written to the audit log");
        }
    }

    /// One certificate, whole and kept.
    async fn order(
        &self,
        settings: &settings::Acme,
        folder: &Folder,
        caller: &Caller,
        wanted: Wanted<'_>,
    ) -> Result<Issued, Trouble> {
        let host = wanted.host;
        let (account, is_old) = account::open(folder, settings, caller).await?;
        let challenges = &self.around.challenges;
        let ordered = match order::order((&account, caller), wanted, challenges).await {
            Err(trouble) if is_old && trouble.is_unknown_account() => {
                tracing::warn!(account = account.id(), "the CA does not know the account any more; the relay makes a new one");
                account::set_aside(folder).await?;
                let (account, _) = account::open(folder, settings, caller).await?;
                order::order((&account, caller), wanted, challenges).await
            }
            ordered => ordered,
        };
        let pem = ordered?;
        let issued = Issued::read(host, &folder.certificate(host), pem.as_bytes())?;
        if issued.valid().1 <= self.around.clock.now() {
            return Err(Trouble::Ended);
        }
        let (folder, name) = (folder.clone(), host.to_owned());
        let kept = tokio::task::spawn_blocking(move || folder.keep(&name, pem.as_bytes())).await;
        if let Err(error) = kept.unwrap_or_else(|stopped| Err(stopped.into())) {
            // It is good all the same: without it senders would be turned away.
            tracing::error!(host, %error, "a certificate cannot be kept: it is shown, and asked for again after a restart");
        }
        Ok(issued)
    }
}

/// What is kept for a host; what cannot be used is told, and asked for anew.
async fn load(folder: &Folder, host: &str) -> Option<Issued> {
    let (folder, name) = (folder.clone(), host.to_owned());
    let loaded = tokio::task::spawn_blocking(move || folder.load(&name)).await.ok()?;
    loaded
        .inspect_err(|error| tracing::error!(host, %error, "a certificate that was kept cannot be used; it is asked for anew"))
        .ok()
        .flatten()
}
