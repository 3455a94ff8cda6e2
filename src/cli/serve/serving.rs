//! What a listener does while it is served: webhooks, a word where HTTPS is, or the admin API. How TLS is spoken there, and the door that
//! listeners of webhooks share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use arc_swap::ArcSwap;
use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::descriptors::Descriptors;
use crate::admin;
use crate::config::settings::{Listener, Serve, Settings, TlsVersion};
use crate::ingest::Line;
use crate::metrics::{LetGo, Metrics};
use crate::net::challenges::Challenges;
use crate::net::client_certificate::{Asked, Asking};
use crate::net::door::{Bounds, Door};
use crate::net::forwarded::Proxies;
use crate::net::listener::{self, Observer, Peer, Setup};
use crate::net::redirect;
use crate::net::threads::Threads;
use crate::net::tls::{self, Certificates};
use crate::pace::overload::Patience;

/// A listener that is served: how to stop it, and a task that ends when its last connection has ended.
pub(super) struct Serving {
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

/// How TLS is spoken: on public listeners, with their callers who are asked for a certificate, and on the admin listener.
pub(super) struct Speech {
    pub(super) public: Arc<ArcSwap<ServerConfig>>,
    pub(super) asking: Arc<Asking>,
    pub(super) admin: Arc<ArcSwap<ServerConfig>>,
    certificates: Arc<Certificates>,
}

impl Speech {
    pub(super) fn new(settings: &Settings, certificates: &Arc<Certificates>) -> Self {
        let [public, asking, admin] = configs(settings.tls_min, certificates);
        let swap = |config| Arc::new(ArcSwap::new(config));
        let asking = Arc::new(Asking::new(asking, asked(settings)));
        Self { public: swap(public), asking, admin: swap(admin), certificates: certificates.clone() }
    }

    /// Handshakes speak these versions from now on. What callers were given to go on with later does not count any more.
    pub(super) fn replace(&self, oldest: TlsVersion) {
        let [public, asking, admin] = configs(oldest, &self.certificates);
        self.public.store(public);
        self.asking.replace_config(asking);
        self.admin.store(admin);
    }
}

fn configs(oldest: TlsVersion, certificates: &Arc<Certificates>) -> [Arc<ServerConfig>; 3] {
    let config = |asks, protocols: &[&[u8]]| tls::server_config_from(oldest, asks, certificates.clone(), protocols);
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    [config(false, both), config(true, both), config(false, &[b"http/1.1"])]
}

/// What connections may do.
pub(super) fn bounds(settings: &Settings) -> Bounds {
    let edge = &settings.limits.edge;
    // Where there are fewer places than asked for, half of those that there are.
    let places = Descriptors::present(settings).connections;
    let half = if places < settings.limits.connections { places.div_ceil(2) } else { usize::MAX };
    Bounds {
        proxies: Proxies::new(settings.listen.trusted_proxies.clone()),
        per_address: edge.connections_per_address.min(half),
        handshakes: edge.handshakes.min(half),
        lag: Patience::new(settings.limits.accept_within).lag_max(),
        header_fields: edge.header_fields,
        streams: edge.http2_streams,
        requests: edge.requests_per_connection,
        age: edge.connection_age,
        idle: edge.keep_alive,
    }
}

/// Who is asked for a certificate: callers of the hosts whose sources want one, and everybody where such a source has no host.
pub(super) fn asked(settings: &Settings) -> Asked {
    let mut hosts = Vec::new();
    for source in settings.sources.iter().filter(|source| source.client_ca.is_some()) {
        match &source.host {
            Some(host) => hosts.push(host.clone()),
            None => return Asked::Everybody,
        }
    }
    if hosts.is_empty() { Asked::Nobody } else { Asked::Hosts(hosts) }
}

/// What serves listeners.
pub(super) struct Service {
    pub(super) door: Arc<Door>,
    pub(super) speech: Speech,
    pub(super) line: Arc<Line>,
    pub(super) metrics: Arc<Metrics>,
    /// What CAs are answered.
    pub(super) challenges: Arc<Challenges>,
    /// Where HTTPS is, for those who come without.
    pub(super) https_port: Arc<AtomicU16>,
    /// What the admin listener answers.
    pub(super) admin: Router,
    /// How many connections it may have at once.
    pub(super) admin_connections: usize,
    /// Where connections of the others are served.
    pub(super) threads: Threads,
}

impl Service {
    /// Serves a listener of webhooks, or one that sends them elsewhere. `listener`: as it is bound.
    pub(super) fn public(&self, listener: &Listener, socket: Arc<TcpListener>) -> Serving {
        let stop = CancellationToken::new();
        let mut setup = Setup::new(None, self.door.clone(), stop.clone(), Arc::new(Counted(self.metrics.clone())));
        setup.tls = listener.is_https.then(|| self.speech.public.clone());
        setup.asking = listener.is_https.then(|| self.speech.asking.clone());
        setup.challenges = listener.is_https.then(|| self.challenges.clone());
        setup.proxy_protocol = listener.proxy_protocol;
        setup.threads = self.threads.clone();
        let task = match listener.serve {
            Serve::Webhooks => {
                setup.trusted_only = !listener.is_https && !listener.address.ip().is_loopback();
                let line = self.line.clone();
                let handle = move |request, peer: Peer| {
                    let line = line.clone();
                    async move { line.handle(request, peer).await }
                };
                tokio::spawn(listener::serve(socket, setup, handle))
            }
            Serve::Redirect => {
                let (challenges, https_port) = (self.challenges.clone(), self.https_port.clone());
                let handle = move |request: Request<Incoming>, _: Peer| {
                    let elsewhere = || redirect::answer(&request, https_port.load(Ordering::Relaxed));
                    let answer = challenges.answer(&request).unwrap_or_else(elsewhere);
                    async move { answer }
                };
                tokio::spawn(listener::serve(socket, setup, handle))
            }
        };
        Serving { stop, task }
    }

    /// Serves the admin listener.
    pub(super) fn admin(&self, speaks_tls: bool, socket: Arc<TcpListener>) -> Serving {
        let stop = CancellationToken::new();
        let door = Door::new(self.admin_connections, Bounds::default());
        let mut setup = Setup::new(None, door, stop.clone(), Arc::new(Uncounted));
        setup.tls = speaks_tls.then(|| self.speech.admin.clone());
        let router = TowerToHyperService::new(self.admin.clone());
        let handle = move |mut request: Request<Incoming>, peer: Peer| {
            let address: IpAddr = peer.address;
            request.extensions_mut().insert(admin::Peer(address));
            let answer = router.call(request);
            async move {
                match answer.await {
                    Ok(answer) => answer,
                    Err(never) => match never {},
                }
            }
        };
        Serving { stop, task: tokio::spawn(listener::serve(socket, setup, handle)) }
    }
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

    fn refused(&self, reason: LetGo) {
        self.0.connection_refused(reason);
    }
}

/// The admin listener's connections are nobody's figures.
struct Uncounted;

impl Observer for Uncounted {
    fn connections(&self, _: i64) {}

    fn handshake(&self, _: bool) {}

    fn refused(&self, _: LetGo) {}
}
