//! Accepts connections, TLS or not, and serves HTTP/1.1 and HTTP/2 on them, within bounds.
//!
//! Every wait on a peer has an end: handshake, head, body (by the service), and an answer that is not taken. The accept loop never stops for a connection's
//! trouble, and goes on after running out of descriptors.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::moving::Moving;

/// A peer that has not finished its TLS handshake by then is let go.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// A peer that has not sent a whole head by then is let go; idle time between requests counts, too.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// The head of a request, all fields together.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Requests at once on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 100;
/// What an HTTP/2 stream, and a whole connection, may send before it is read: bounds memory per connection.
const H2_STREAM_WINDOW: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How often a quiet HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const H2_PING: Duration = Duration::from_secs(20);
/// Connections that the kernel may hold until they are accepted.
const BACKLOG: i32 = 4096;
/// How long the accept loop waits after the system refused it a descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How one listener is set up.
#[derive(Clone)]
pub struct Setup {
    /// TLS, or plain HTTP/1.1 where it is `None`.
    pub tls: Option<Arc<ServerConfig>>,
    /// Connections at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Stop accepting and let requests end.
    pub stop: CancellationToken,
    /// Told of what happens to connections.
    pub observer: Arc<dyn Observer>,
}

/// Is told of what happens to connections.
pub trait Observer: Send + Sync {
    /// A connection began (+1) or ended (-1).
    fn connections(&self, change: i64);
    /// A TLS handshake ended.
    fn handshake(&self, ok: bool);
}

/// Binds a TCP listener; an IPv6 wildcard takes both families.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves `service` on every connection until `setup.stop`, and returns when all connections have ended.
pub async fn serve<S, F, B>(listener: TcpListener, setup: Setup, service: S)
where
    S: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(setup.connections_max));
    let connections = TaskTracker::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = setup.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (setup, service) = (setup.clone(), service.clone());
                connections.spawn(async move {
                    setup.observer.connections(1);
                    serve_connection(stream, peer.ip().to_canonical(), &setup, service).await;
                    setup.observer.connections(-1);
                    drop(permit);
                });
            }
            // A connection that ended before it was accepted is nobody's loss; no descriptors left is worth a pause.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn serve_connection<S, F, B>(stream: TcpStream, peer: IpAddr, setup: &Setup, service: S)
where
    S: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    // Without it small answers wait for the peer's acknowledgement.
    let _ = stream.set_nodelay(true);
    let stream = Moving::new(stream);
    let Some(config) = &setup.tls else {
        return http1_connection(stream, peer, setup, service).await;
    };
    let handshake = TlsAcceptor::from(config.clone()).accept(stream);
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_TIME, handshake) => accepted,
        () = setup.stop.cancelled() => return,
    };
    let Ok(Ok(stream)) = accepted else {
        setup.observer.handshake(false);
        return tracing::debug!(%peer, "a TLS handshake failed");
    };
    setup.observer.handshake(true);
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2_connection(stream, peer, setup, service).await,
        _ => http1_connection(stream, peer, setup, service).await,
    }
}

async fn http1_connection<I, S, F, B>(io: I, peer: IpAddr, setup: &Setup, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, IpAddr) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let answer = service_fn(|request| {
        // On the heap at once: hyper moves it several times.
        let answer = Box::pin(service(request, peer));
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(io), answer);
    until_ended(connection, peer, setup).await;
}

async fn http2_connection<I, S, F, B>(io: I, peer: IpAddr, setup: &Setup, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, IpAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let answer = service_fn(move |request| {
        let answer = service(request, peer);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING)
        .serve_connection(TokioIo::new(io), answer);
    until_ended(connection, peer, setup).await;
}

/// Drives a connection to its end; once `setup.stop` is set it takes no further request.
async fn until_ended<C: GracefulConnection<Error = hyper::Error>>(connection: C, peer: IpAddr, setup: &Setup) {
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = setup.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended with an error");
    }
}
