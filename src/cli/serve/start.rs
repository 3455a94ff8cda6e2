//! Brings the relay up: store, lanes, listeners, in this order, so that nothing is accepted that could not be delivered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::audit_log;
use super::descriptors::Descriptors;
use super::handed::Handed;
use super::listeners::{Listeners, Sockets};
use super::reload::{Changing, watch_certificates};
use super::serving::{Service, Speech, bounds};
use super::traces::Traces;
use crate::acme::{self, Acme};
use crate::admin::history::{History, Keeping};
use crate::admin::{self, Configuration, Reload, Told};
use crate::chance::Chance;
use crate::cli::private;
use crate::config::Loaded;
use crate::config::settings::{Listener, Settings, Tls};
use crate::delivery::{Lanes, Replays, Surroundings};
use crate::ingest::{Arming, Gate, Line, Outside};
use crate::metrics::Metrics;
use crate::net::challenges::Challenges;
use crate::net::confirm::Confirmer;
use crate::net::door::Door;
use crate::net::fetch::{Fetcher, Host, host_of};
use crate::net::lag::Lag;
use crate::net::published::Published;
use crate::net::threads::Threads;
use crate::net::tls::{self, Certificates};
use crate::record::Name;
use crate::store::{AuditLog, Brought, Pauses, Quarantine, QuarantineBounds, Retention, Sled, Space, Store};
use crate::time::Clock;
use crate::watch::{Asked, Watch};

/// Wishes for a new configuration that may wait: one is served at a time, and each takes the newest.
const RELOADS_MAX: usize = 16;

/// What is told where the words of people about pauses cannot be read.
pub(super) const PAUSES_UNREADABLE: &str = "what was paused cannot be read";

/// A relay that runs.
pub struct Relay {
    pub(super) listeners: Listeners,
    pub(super) store: Arc<dyn Store>,
    pub(super) lanes: Lanes,
    pub(super) replays: Arc<Replays>,
    pub(super) retention: Retention,
    pub(super) watching: JoinHandle<()>,
    pub(super) history: Keeping,
    pub(super) changing: Changing,
    pub(super) traces: Traces,
    /// Wishes that the configuration is read again.
    pub(super) reloads: mpsc::Receiver<Reload>,
}

impl Relay {
    /// Where webhooks come in, as bound: the first of such listeners. There is one, as the settings are proven.
    pub fn https(&self) -> SocketAddr {
        self.listeners.first().unwrap_or(self.admin())
    }

    /// All listeners but the admin API's, as bound.
    pub fn bound(&self) -> Vec<Listener> {
        self.listeners.bound()
    }

    /// Where the admin API is, as bound.
    pub fn admin(&self) -> SocketAddr {
        self.listeners.admin()
    }
}

/// Starts everything that the configuration names.
pub async fn start(loaded: Loaded, clock: Clock) -> anyhow::Result<Relay> {
    start_on(loaded, clock, Handed::default()).await
}

/// The same on sockets that were handed over, as far as they fit.
pub(super) async fn start_on(loaded: Loaded, clock: Clock, handed: Handed) -> anyhow::Result<Relay> {
    let Loaded { settings, imprint, warnings, shown } = loaded;
    let (settings, metrics) = (Arc::new(settings), Metrics::new());
    let certificates = Arc::new(Certificates::load(&pairs(&settings.tls)?)?);
    let speech = Speech::new(&settings, &certificates);
    // Ports first: a port that is taken must not cost the time of opening a large store.
    let sockets = Sockets::bind(&settings, handed)?;
    let store = open_store(&settings, &metrics).await?;
    let space = Arc::new(Space::new(&settings.store.path, settings.store.max_bytes));
    let retention = Retention::start(settings.store.retention, store.clone(), space.clone(), metrics.clone(), clock).await;
    let pauses = Arc::new(Pauses::open(&settings.store.path, &settings).context(PAUSES_UNREADABLE)?);
    let arming = Arc::new(arming(&settings)?);
    let told = Arc::new(Told::new(settings.clone(), arming.clone()));
    let configuration = Arc::new(Configuration::new(shown, warnings, certificates.clone(), clock));
    let history = Arc::new(History::open(&settings.store.path, metrics.clone(), clock));
    let replays = open_replays(&settings, &store, told.clone(), clock)?;
    let mut traces = Traces::default();
    traces.follow(Traces::prepare(settings.traces.as_ref(), &metrics)?);
    let surroundings = Surroundings { spans: traces.spans().clone(), ..Surroundings::of_system(clock) };
    let lanes = Lanes::start(&settings, store.clone(), (pauses.clone(), replays.clone()), metrics.clone(), surroundings)?;

    let fetcher = fetcher(&settings)?;
    let published = Published::start(fetcher.clone(), known(&settings), clock);
    let outside = Outside { published, confirmer: Confirmer::new(fetcher, clock) };
    let gate = Gate::new(&settings, &metrics, outside, (arming.clone(), &pauses), None).traced(traces.spans().clone());
    let quarantine = open_quarantine(&settings, clock).await?;
    let ((threads, lag), stored) = (start_threads()?, (store.clone(), space.clone()));
    let line = Arc::new(Line::new(gate, stored, quarantine.clone(), metrics.clone(), clock).watching(lag.clone()));
    let (door, admin_connections) = open_door(&settings, lag);
    let audit = audit_log::open(&settings, clock).await?;
    let (acme, challenges) = start_acme(&settings, &certificates, &metrics, &audit, clock).await?;
    let ((wishes, reloads), started_at) = (mpsc::channel(RELOADS_MAX), clock.now());
    let asked = Asked {
        store: store.clone(),
        space: space.clone(),
        pauses: pauses.clone(),
        metrics: metrics.clone(),
        certificates: certificates.clone(),
        clock,
        started_at,
    };
    let watch = Arc::new(Watch::new(asked, settings.clone())?);
    let context = admin::Context {
        store: store.clone(),
        space,
        line: line.clone(),
        replays: replays.clone(),
        quarantine: quarantine.clone(),
        told: told.clone(),
        configuration: configuration.clone(),
        history: history.clone(),
        metrics: metrics.clone(),
        watch: watch.clone(),
        audit: audit.clone(),
        pauses: pauses.clone(),
        reloads: wishes,
        clock,
        started_at,
    };
    let (admin, https_port) = (admin::router(Arc::new(context)), Arc::default());
    let (counts, handles) = (metrics.clone(), line.clone());
    let service =
        Service { door, speech, line: handles, metrics: counts, challenges, https_port, admin, admin_connections, threads };
    let listeners = Listeners::serve(sockets, service);
    watch_certificates(&certificates, &told, &audit);
    let watching = tokio::spawn(watch.clone().run());
    let history = Keeping::start(history);
    let changing = Changing { imprint, line, quarantine, told, configuration, pauses, acme, metrics, watch, audit };
    Ok(Relay { listeners, store, lanes, replays, retention, watching, history, changing, traces, reloads })
}

/// The threads that senders are served on, and how late they and the others are.
fn start_threads() -> anyhow::Result<(Threads, Arc<Lag>)> {
    let threads = Threads::start().context("the threads for connections cannot be started")?;
    let lag = Lag::start(threads.handles().chain([&Handle::current()]));
    Ok((threads, lag))
}

/// The door of all listeners of webhooks, and how many connections the admin listener may have.
fn open_door(settings: &Settings, lag: Arc<Lag>) -> (Arc<Door>, usize) {
    let descriptors = Descriptors::present(settings);
    if let Some(shortage) = descriptors.shortage(settings) {
        tracing::warn!("{shortage}");
    }
    (Door::watching(lag, descriptors.connections, bounds(settings)), descriptors.admin)
}

/// The sources whose secret comes in a request, with what was taken before.
pub(super) fn arming(settings: &Settings) -> anyhow::Result<Arming> {
    Arming::new(settings, Brought::below(&settings.store.path)).context("a secret that was taken cannot be read")
}

/// The files of the listeners' certificates.
pub(super) fn pairs(tls: &Tls) -> Result<Vec<(PathBuf, PathBuf)>, tls::Error> {
    match tls {
        Tls::SelfSigned { folder } => Ok(vec![tls::self_signed(folder)?]),
        Tls::Certificates(files) => Ok(files.iter().map(|f| (f.cert.clone(), f.key.clone())).collect()),
    }
}

/// What asks the sources' providers for keys and confirmations. Hosts that a source names itself may be private, and have roots and
/// credentials of their own.
pub(super) fn fetcher(settings: &Settings) -> Result<Fetcher, tls::Error> {
    let web = tls::client_config(None)?;
    let mut hosts = HashMap::new();
    for fetch in settings.sources.iter().flat_map(|source| [&source.confirm_fetch, &source.key_fetch]) {
        for address in &fetch.addresses {
            let tls = if fetch.ca.is_some() { tls::client_config(fetch.ca.as_deref())? } else { web.clone() };
            let (headers, members) = (fetch.headers.clone(), fetch.members.clone());
            hosts.insert(host_of(address), Host { tls, may_be_private: fetch.is_own, headers, members });
        }
    }
    Ok(Fetcher::new(web, hosts))
}

/// What every request of some source needs.
pub(super) fn known(settings: &Settings) -> Vec<String> {
    settings.sources.iter().flat_map(|source| source.verifier.published()).collect()
}

/// Certificates of a CA. What is kept is shown at once; what is not is asked for when the listeners, which are bound, serve.
async fn start_acme(
    settings: &Settings,
    certificates: &Arc<Certificates>,
    metrics: &Arc<Metrics>,
    audit: &Arc<AuditLog>,
    clock: Clock,
) -> Result<(Acme, Arc<Challenges>), tls::Error> {
    let challenges = Arc::new(Challenges::default());
    let around = acme::Surroundings {
        store: settings.store.path.clone(),
        certificates: certificates.clone(),
        challenges: challenges.clone(),
        metrics: metrics.clone(),
        audit: audit.clone(),
        clock,
        chance: Chance::system(),
    };
    Ok((Acme::start(Acme::prepare(settings)?, around).await, challenges))
}

async fn open_store(settings: &Settings, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<dyn Store>> {
    let (path, metrics) = (settings.store.path.clone(), metrics.clone());
    let observer =
        Arc::new(move |report: crate::store::CommitReport| metrics.committed(report.records, report.bytes, report.sync));
    let opened = tokio::task::spawn_blocking(move || {
        let store = Sled::open(&path, observer);
        private::close_folder(&path);
        store
    });
    let store = opened.await??;
    Ok(Arc::new(store))
}

/// Where events of a source are replayed to is what the routes say at that time.
fn open_replays(settings: &Settings, store: &Arc<dyn Store>, told: Arc<Told>, clock: Clock) -> anyhow::Result<Arc<Replays>> {
    let sources = move |name: &Name| told.settings().sources.iter().find(|source| source.name == *name).cloned();
    let replays = Replays::open(&settings.store.path, store.clone(), Arc::new(sources), clock);
    replays.map(Arc::new).context("the replays of the store cannot be read")
}

/// What is kept of a source's requests that were not believed.
pub(super) fn quarantine_bounds(settings: &Settings) -> QuarantineBounds {
    QuarantineBounds { age: settings.store.retention.quarantined, ..QuarantineBounds::default() }
}

async fn open_quarantine(settings: &Settings, clock: Clock) -> anyhow::Result<Arc<Quarantine>> {
    let path = settings.store.path.clone();
    let bounds = quarantine_bounds(settings);
    let opened = tokio::task::spawn_blocking(move || Quarantine::open(&path, bounds, clock)).await?;
    Ok(Arc::new(opened.context("the quarantine cannot be opened")?))
}
