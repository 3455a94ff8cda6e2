//! Accepts connections, TLS or not, and serves HTTP/1.1 and HTTP/2 on them, within bounds.
//!
//! Every wait on a peer has an end: PROXY header, handshake, head, body (by the service), and an answer that is not taken. The accept loop
//! never stops for a connection's trouble, and goes on after running out of descriptors.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::challenges::{self, Challenges};
use super::client_certificate::{Asking, Shown};
use super::connection::{http1, http2};
use super::door::{Bounds, Door};
use super::moving::Moving;
use super::proxy_protocol::{self, Origin};
use super::threads::Threads;
use crate::config::settings::ProxyProtocol;
use crate::metrics::LetGo;

/// A peer that has not finished its TLS handshake by then is let go.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// A proxy that has not said by then for whom it speaks is let go.
const PROXY_TIME: Duration = Duration::from_secs(5);
/// A CA that has seen its answer has so long to take the end of the connection.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// What a peer has begun when the relay stops, it may end for so long: two ways around the world and a slow machine.
const LAST_TIME: Duration = Duration::from_secs(3);
/// Connections that the kernel may hold until they are accepted.
const BACKLOG: i32 = 4096;
/// How long the accept loop waits after the system refused it a descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Of refused descriptors in a row one in so many is worth a line: one a minute.
const ACCEPT_LINE_EVERY: u64 = 1200;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address, or that for which a trusted proxy opened the connection.
    pub address: IpAddr,
    /// What it showed where it was asked for a certificate.
    pub certificate: Option<Arc<Shown>>,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self { address, certificate: None }
    }
}

/// How one listener is set up.
#[derive(Clone)]
pub struct Setup {
    /// TLS as handshakes speak it from now on, or plain HTTP/1.1 where it is `None`.
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    /// Whom it asks for a certificate, and how.
    pub asking: Option<Arc<Asking>>,
    /// What CAs are answered, where it speaks TLS.
    pub challenges: Option<Arc<Challenges>>,
    /// Who is let in.
    pub door: Arc<Door>,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Whether nobody but trusted proxies and this machine is let in.
    pub trusted_only: bool,
    /// Stop accepting and let requests end.
    pub stop: CancellationToken,
    /// Told of what happens to connections.
    pub observer: Arc<dyn Observer>,
    /// Where they are served.
    pub threads: Threads,
}

impl Setup {
    /// Anybody may come, as far as there is room, and is served where this is called.
    pub fn new(tls: Option<Arc<ServerConfig>>, door: Arc<Door>, stop: CancellationToken, observer: Arc<dyn Observer>) -> Self {
        let (tls, proxy_protocol) = (tls.map(|tls| Arc::new(ArcSwap::new(tls))), ProxyProtocol::Off);
        let threads = Threads::here();
        Self { tls, asking: None, challenges: None, door, proxy_protocol, trusted_only: false, stop, observer, threads }
    }
}

/// Is told of what happens to connections.
pub trait Observer: Send + Sync {
    /// A connection began (+1) or ended (-1).
    fn connections(&self, change: i64);
    /// A TLS handshake ended.
    fn handshake(&self, ok: bool);
    /// A connection was let go.
    fn refused(&self, reason: LetGo);
}

/// Binds a TCP listener; an IPv6 wildcard takes both families, unless it is told to take its own only.
pub fn bind(address: SocketAddr, own_family_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(own_family_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves `service` on every connection until `setup.stop`, and returns when all connections have ended. The socket is let go at the stop:
/// it is closed then, unless somebody else holds it, for whom callers wait in the system's queue.
pub async fn serve<S, F, B>(listener: impl Into<Arc<TcpListener>>, setup: Setup, service: S)
where
    S: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (listener, connections) = (listener.into(), TaskTracker::new());
    let mut failed: u64 = 0;
    loop {
        let room = tokio::select! {
            room = setup.door.room() => room,
            () = setup.stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = setup.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                failed = 0;
                let (setup, service, seat) = (setup.clone(), service.clone(), setup.threads.seat());
                let handle = seat.handle.clone();
                // It leaves this thread's reactor for that of its own.
                let stream = stream.into_std();
                let connection = async move {
                    let stream = match stream.and_then(TcpStream::from_std) {
                        Ok(stream) => stream,
                        Err(error) => return tracing::warn!(%error, "a connection that was accepted cannot be served"),
                    };
                    setup.observer.connections(1);
                    serve_connection(stream, peer.ip().to_canonical(), &setup, service).await;
                    setup.observer.connections(-1);
                    drop((seat, room));
                };
                connections.spawn_on(connection, &handle);
            }
            // A connection that ended before it was accepted is nobody's loss; no descriptors left is worth a pause.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if failed.is_multiple_of(ACCEPT_LINE_EVERY) {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                failed += 1;
                setup.observer.refused(LetGo::Descriptors);
                setup.door.ask();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn serve_connection<S, F, B>(mut stream: TcpStream, peer: IpAddr, setup: &Setup, service: S)
where
    S: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    // Without it small answers wait for the peer's acknowledgement.
    let _ = stream.set_nodelay(true);
    let bounds = setup.door.bounds();
    let refused = |reason: LetGo| {
        setup.observer.refused(reason);
        tracing::debug!(%peer, reason = reason.as_str(), "a connection was let go");
    };
    let address = match address(&mut stream, peer, setup, &bounds).await {
        Ok(address) => address,
        Err(reason) => return refused(reason),
    };
    let Some(_place) = setup.door.place_of(address, &bounds) else { return refused(LetGo::PerAddress) };
    let stream = Moving::new(stream);
    let mut peer = Peer::from(address);
    let Some(config) = &setup.tls else {
        return http1(stream, peer, &bounds, setup, service).await;
    };
    let begun = match setup.door.handshake(&bounds) {
        Ok(begun) => begun,
        Err(reason) => return refused(reason),
    };
    let config = config.load_full();
    let accepted = in_time(HANDSHAKE_TIME, agree(stream, &config, setup), setup).await;
    drop(begun);
    let Some(Ok(stream)) = accepted else {
        setup.observer.handshake(false);
        return tracing::debug!(peer = %peer.address, "a TLS handshake failed");
    };
    setup.observer.handshake(true);
    peer.certificate = Shown::new(stream.get_ref().1.peer_certificates());
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2(stream, peer, &bounds, setup, service).await,
        // A CA has seen what it came for (RFC 8737 §3: the connection is then closed).
        Some(challenges::PROTOCOL) => drop(tokio::time::timeout(CLOSE_TIME, { stream }.shutdown()).await),
        _ => http1(stream, peer, &bounds, setup, service).await,
    }
}

/// What a peer begins may take so long. When the relay stops, whoever was let in has a moment to end it, and is served then.
async fn in_time<T>(time: Duration, begun: impl Future<Output = T>, setup: &Setup) -> Option<T> {
    let parting = async {
        setup.stop.cancelled().await;
        tokio::time::sleep(LAST_TIME).await;
    };
    tokio::select! {
        ended = tokio::time::timeout(time, begun) => ended.ok(),
        () = parting => None,
    }
}

/// The TLS handshake, with the settings for whom the caller asks.
async fn agree<I>(stream: I, config: &Arc<ServerConfig>, setup: &Setup) -> io::Result<TlsStream<I>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let asking = setup.asking.as_deref().filter(|asking| asking.is_on());
    let challenges = setup.challenges.as_deref().filter(|challenges| challenges.is_open());
    if asking.is_none() && challenges.is_none() {
        return TlsAcceptor::from(config.clone()).accept(stream).await;
    }
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let chosen = {
        let hello = start.client_hello();
        let of_a_ca = challenges.and_then(|challenges| challenges.config(&hello));
        of_a_ca.or_else(|| asking.and_then(|asking| asking.config(hello.server_name())))
    };
    start.into_stream(chosen.unwrap_or_else(|| config.clone())).await
}

/// For whom a connection was opened; the reason where it is let go.
async fn address(stream: &mut TcpStream, peer: IpAddr, setup: &Setup, bounds: &Bounds) -> Result<IpAddr, LetGo> {
    if !setup.trusted_only && setup.proxy_protocol == ProxyProtocol::Off {
        return Ok(peer);
    }
    let is_trusted = bounds.proxies.trust(peer);
    if setup.trusted_only && !is_trusted && !peer.is_loopback() {
        return Err(LetGo::Untrusted);
    }
    match setup.proxy_protocol {
        ProxyProtocol::Off => return Ok(peer),
        ProxyProtocol::FromTrusted if !is_trusted => return Ok(peer),
        ProxyProtocol::Required if !is_trusted => return Err(LetGo::Untrusted),
        ProxyProtocol::FromTrusted | ProxyProtocol::Required => {}
    }
    match in_time(PROXY_TIME, proxy_protocol::read(stream), setup).await {
        Some(Ok(Origin::Proxy)) => Ok(peer),
        Some(Ok(Origin::Client(address))) => Ok(address),
        Some(Err(_)) => Err(LetGo::ProxyHeader),
        None => Err(LetGo::ProxySlow),
    }
}
