//! The listeners: what they are bound to, what each of them serves, and the door that those of webhooks share.

use std::net::{IpAddr, SocketAddr};
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

use super::descriptors::Descriptors;
use crate::admin;
use crate::config::settings::{Listen, Listener, Serve, Settings};
use crate::ingest::Line;
use crate::metrics::Metrics;
use crate::net::client_certificate::{Asked, Asking};
use crate::net::door::{Bounds, Door};
use crate::net::forwarded::Proxies;
use crate::net::listener::{self, Observer, Peer, Setup};
use crate::net::redirect;
use crate::net::tls::{self, Certificates};
use crate::pace::overload::Patience;

/// A listener that serves: how to stop it, and a task that ends when its last connection has ended.
pub(super) struct Serving {
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

/// A listener that is bound, and not served yet.
pub(super) struct Bound {
    listener: Listener,
    tcp: TcpListener,
}

/// Binds all that take webhooks, or send them elsewhere.
pub(super) fn bind_public(listen: &Listen) -> anyhow::Result<Vec<Bound>> {
    let bind_one = |listener: &Listener| {
        let setting = if listener.is_https { "listen.https" } else { "listen.http" };
        let tcp = bind(listener.address, setting, listen.has_both_families(listener.address))?;
        // Port 0 is known now.
        Ok(Bound { listener: Listener { address: tcp.local_addr()?, ..*listener }, tcp })
    };
    listen.listeners.iter().map(bind_one).collect()
}

pub(super) fn bind(address: SocketAddr, setting: &str, own_family_only: bool) -> anyhow::Result<TcpListener> {
    listener::bind(address, own_family_only).with_context(|| format!("{setting}: {address} cannot be listened on"))
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

/// The first that takes webhooks, as bound.
pub(super) fn first(listeners: &[Listener]) -> Option<SocketAddr> {
    listeners.iter().find(|listener| listener.serve == Serve::Webhooks).map(|listener| listener.address)
}

/// How TLS is spoken: on public listeners, on the admin listener, and with callers who are asked for a certificate.
pub(super) fn tls(
    settings: &Settings,
    certificates: &Arc<Certificates>,
) -> (Arc<ServerConfig>, Option<Arc<ServerConfig>>, Arc<Asking>) {
    let config = |asks, protocols: &[&[u8]]| tls::server_config_from(settings.tls_min, asks, certificates.clone(), protocols);
    let [public, asking] = [false, true].map(|asks| config(asks, &[b"h2", b"http/1.1"]));
    let admin = settings.admin.tls.then(|| config(false, &[b"http/1.1"]));
    (public, admin, Arc::new(Asking::new(asking, asked(settings))))
}

/// Serves all of them; where each is, and what takes it down.
pub(super) fn serve_public(
    bound: Vec<Bound>,
    door: &Arc<Door>,
    (tls, asking): (&Arc<ServerConfig>, &Arc<Asking>),
    line: &Arc<Line>,
    metrics: &Arc<Metrics>,
) -> (Vec<Listener>, Vec<Serving>) {
    let https_port = bound.iter().find(|bound| bound.listener.is_https).map_or(0, |bound| bound.listener.address.port());
    let observer: Arc<dyn Observer> = Arc::new(Counted(metrics.clone()));
    let serve = |Bound { listener, tcp }| {
        let stop = CancellationToken::new();
        let tls = listener.is_https.then(|| tls.clone());
        let mut setup = Setup::new(tls, door.clone(), stop.clone(), observer.clone());
        setup.proxy_protocol = listener.proxy_protocol;
        setup.asking = listener.is_https.then(|| asking.clone());
        let task = match listener.serve {
            Serve::Webhooks => {
                setup.trusted_only = !listener.is_https && !listener.address.ip().is_loopback();
                let line = line.clone();
                let handle = move |request, peer: Peer| {
                    let line = line.clone();
                    async move { line.handle(request, peer).await }
                };
                tokio::spawn(listener::serve(tcp, setup, handle))
            }
            Serve::Redirect => {
                let handle = move |request: Request<Incoming>, _: Peer| {
                    let answer = redirect::answer(&request, https_port);
                    async move { answer }
                };
                tokio::spawn(listener::serve(tcp, setup, handle))
            }
        };
        (listener, Serving { stop, task })
    };
    bound.into_iter().map(serve).unzip()
}

pub(super) fn serve_admin(
    listener: TcpListener,
    connections_max: usize,
    tls: Option<Arc<ServerConfig>>,
    context: admin::Context,
) -> Serving {
    let stop = CancellationToken::new();
    let door = Door::new(connections_max, Bounds::default());
    let setup = Setup::new(tls, door, stop.clone(), Arc::new(Uncounted));
    let router = TowerToHyperService::new(admin::router(Arc::new(context)));
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

    fn refused(&self, reason: &'static str) {
        self.0.connection_refused(reason);
    }
}

/// The admin listener's connections are nobody's figures.
struct Uncounted;

impl Observer for Uncounted {
    fn connections(&self, _: i64) {}

    fn handshake(&self, _: bool) {}

    fn refused(&self, _: &'static str) {}
}
