//! Brings the relay up: store, lanes, listeners, in this order, so that nothing is accepted that could not be delivered.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::config::settings::{Settings, Tls};
use crate::delivery::Lanes;
use crate::ingest::{Arming, Line};
use crate::metrics::Metrics;
use crate::net::listener::{self, Observer, Setup};
use crate::net::published::{Host, Published, host_of};
use crate::net::tls;
use crate::store::{Brought, Pauses, Sled, Store};
use crate::time::Clock;

/// Connections of the admin listener at once.
const ADMIN_CONNECTIONS_MAX: usize = 256;

/// A relay that runs.
pub struct Relay {
    /// Where webhooks come in, as bound.
    pub https: SocketAddr,
    /// Where the admin API is, as bound.
    pub admin: SocketAddr,
    pub(super) store: Arc<dyn Store>,
    pub(super) lanes: Lanes,
    pub(super) public: Serving,
    pub(super) private: Serving,
}

/// A listener that serves: how to stop it, and a task that ends when its last connection has ended.
pub(super) struct Serving {
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

/// Starts everything that `settings` name.
pub async fn start(settings: Arc<Settings>, clock: Clock) -> anyhow::Result<Relay> {
    let metrics = Metrics::new();
    let pairs = certificates(&settings.tls)?;
    let public_tls = tls::server_config(&pairs, &[b"h2", b"http/1.1"])?;
    // Ports first: a port that is taken must not cost the time of opening a large store.
    let public = bind(settings.listen.https, "listen.https")?;
    let private = bind(settings.admin.listen, "admin.listen")?;
    let store = open_store(&settings, &metrics).await?;
    let pauses = Arc::new(Pauses::open(&settings.store.path, &settings).context("what was paused cannot be read")?);
    let lanes = Lanes::start(&settings, &store, &pauses, &metrics, clock)?;

    let (https, admin) = (public.local_addr()?, private.local_addr()?);
    let admin_tls = if settings.admin.tls { Some(tls::server_config(&pairs, &[b"http/1.1"])?) } else { None };
    let arming =
        Arc::new(Arming::new(&settings, Brought::below(&settings.store.path)).context("a secret that was taken cannot be read")?);
    let line = Line::new(&settings, store.clone(), metrics.clone(), published(&settings, clock)?, arming.clone(), &pauses, clock);
    let public = serve_webhooks(public, public_tls, line, settings.limits.connections, metrics.clone());
    let context = admin::Context { store: store.clone(), settings, metrics, arming, pauses, clock, started_at: clock.now() };
    let private = serve_admin(private, admin_tls, context);
    Ok(Relay { https, admin, store, lanes, public, private })
}

fn certificates(tls: &Tls) -> Result<Vec<(PathBuf, PathBuf)>, tls::Error> {
    match tls {
        Tls::SelfSigned { folder } => Ok(vec![tls::self_signed(folder)?]),
        Tls::Certificates(files) => Ok(files.iter().map(|f| (f.cert.clone(), f.key.clone())).collect()),
    }
}

/// What the sources' providers publish. Hosts that a source names itself may be private, and have roots and credentials of their own.
fn published(settings: &Settings, clock: Clock) -> Result<Published, tls::Error> {
    let web = tls::client_config(None)?;
    let mut hosts = HashMap::new();
    for source in &settings.sources {
        let fetch = &source.key_fetch;
        for address in &fetch.addresses {
            let tls = if fetch.ca.is_some() { tls::client_config(fetch.ca.as_deref())? } else { web.clone() };
            let (headers, members) = (fetch.headers.clone(), fetch.members.clone());
            hosts.insert(host_of(address), Host { tls, may_be_private: fetch.is_own, headers, members });
        }
    }
    let known = settings.sources.iter().flat_map(|source| source.verifier.published()).collect();
    Ok(Published::start(web, hosts, known, clock))
}

fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    listener::bind(address).with_context(|| format!("{setting}: {address} cannot be listened on"))
}

async fn open_store(settings: &Settings, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<dyn Store>> {
    let (path, metrics) = (settings.store.path.clone(), metrics.clone());
    let observer =
        Arc::new(move |report: crate::store::CommitReport| metrics.committed(report.records, report.bytes, report.sync));
    let store = tokio::task::spawn_blocking(move || Sled::open(&path, observer)).await??;
    Ok(Arc::new(store))
}

fn serve_webhooks(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    line: Line,
    connections_max: usize,
    metrics: Arc<Metrics>,
) -> Serving {
    let stop = CancellationToken::new();
    let setup = Setup { tls: Some(tls), connections_max, stop: stop.clone(), observer: Arc::new(Counted(metrics)) };
    let line = Arc::new(line);
    let handle = move |request, peer| {
        let line = line.clone();
        async move { line.handle(request, peer).await }
    };
    Serving { stop, task: tokio::spawn(listener::serve(listener, setup, handle)) }
}

fn serve_admin(listener: TcpListener, tls: Option<Arc<ServerConfig>>, context: admin::Context) -> Serving {
    let stop = CancellationToken::new();
    let setup = Setup { tls, connections_max: ADMIN_CONNECTIONS_MAX, stop: stop.clone(), observer: Arc::new(Uncounted) };
    let router = TowerToHyperService::new(admin::router(Arc::new(context)));
    let handle = move |request: Request<Incoming>, _: IpAddr| {
        let answer = router.call(request);
        async move {
            match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        }
    };
    Serving { stop, task: tokio::spawn(listener::serve(listener, setup, handle)) }
}

/// Counts what happens to connections.
struct Counted(Arc<Metrics>);

impl Observer for Counted {
    fn connections(&self, change: i64) {
        self.0.connections().inc_by(change);
    }

    fn handshake(&self, ok: bool) {
        self.0.tls_handshake(ok);
    }
}

/// The admin listener's connections are nobody's figures.
struct Uncounted;

impl Observer for Uncounted {
    fn connections(&self, _: i64) {}

    fn handshake(&self, _: bool) {}
}
