//! Serves one connection that was let in, until its peer, its age, or a stop ends it.
//!
//! What h2 bounds by itself, and floods in `tests/it/edge` try: the bytes and the number of `CONTINUATION` frames of a head; streams that are
//! reset before they are taken (20 wait, then the connection ends), while those that were taken end with their request and count for
//! `requests`; and pings and settings whose answers nobody reads, after which it reads nothing more.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::door::Bounds;
use super::listener::{Peer, Setup};
use crate::metrics::LetGo;
use crate::time::Stopwatch;

/// A peer that has not sent a whole head by then is let go; idle time between requests counts, too.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// The head of a request, all fields together.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// What hyper takes without memory of its own for it.
const HEADER_FIELDS_AT_HAND: usize = 100;
/// What an HTTP/2 stream, and a whole connection, may send before it is read: bounds memory per connection.
const H2_STREAM_WINDOW: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How often a quiet HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const H2_PING: Duration = Duration::from_secs(20);
/// When a connection is at its end and no request is under way, its peer may read what is left for so long.
const LINGER: Duration = Duration::from_secs(10);
/// A connection that nobody has used for so long gives its place to somebody who waits for one.
const REST: Duration = Duration::from_secs(1);
/// And has so long to say goodbye.
const FAREWELL: Duration = Duration::from_millis(500);

/// When a listener stops, a connection of HTTP/1.1 may ask once more for so long, and hears with the answer that the connection ends. One
/// that is closed at once loses the request that is on its way.
const PARTING: Duration = Duration::from_secs(1);

/// What happened on a connection.
struct Use {
    since: Stopwatch,
    begun: AtomicU64,
    running: AtomicU64,
    /// When the last request ended, in milliseconds since the connection began.
    ended_ms: AtomicU64,
    /// It has had as many requests as it may.
    full: Notify,
}

/// A request that is under way, until it is dropped.
struct Running(Arc<Use>);

impl Use {
    fn new() -> Arc<Self> {
        let [begun, running, ended_ms] = [(); 3].map(|()| AtomicU64::new(0));
        Arc::new(Self { since: Stopwatch::start(), begun, running, ended_ms, full: Notify::new() })
    }

    fn begin(self: &Arc<Self>, requests_max: u64) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        if self.begun.fetch_add(1, Ordering::Relaxed) + 1 >= requests_max {
            self.full.notify_one();
        }
        Running(self.clone())
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    /// Whether nothing has happened for a while.
    fn rests(&self) -> bool {
        self.is_idle() && self.age_ms().saturating_sub(self.ended_ms.load(Ordering::Relaxed)) >= REST.as_millis() as u64
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended_ms.store(self.0.age_ms(), Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves HTTP/1.1.
pub(super) async fn http1<I, S, F, B>(io: I, peer: Peer, bounds: &Bounds, setup: &Setup, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, Peer) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let used = Use::new();
    let answer = service_fn(|request| {
        let running = used.begin(bounds.requests);
        // On the heap at once: hyper moves it several times.
        let answer = Box::pin(service(request, peer.clone()));
        async {
            let mut answer = answer.await;
            drop(running);
            if setup.stop.is_cancelled() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES_MAX);
    if bounds.header_fields != HEADER_FIELDS_AT_HAND {
        builder.max_headers(bounds.header_fields);
    }
    let connection = builder.serve_connection(TokioIo::new(io), answer);
    until_ended(connection, &peer, bounds, setup, (&used, PARTING)).await;
}

/// Serves HTTP/2.
pub(super) async fn http2<I, S, F, B>(io: I, peer: Peer, bounds: &Bounds, setup: &Setup, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (used, requests_max) = (Use::new(), bounds.requests);
    let (begun, who) = (used.clone(), peer.clone());
    let answer = service_fn(move |request| {
        let (running, answer) = (begun.begin(requests_max), service(request, who.clone()));
        async {
            let answer = answer.await;
            drop(running);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING)
        .serve_connection(TokioIo::new(io), answer);
    // Its peer hears at once which of its requests are still taken.
    until_ended(connection, &peer, bounds, setup, (&used, Duration::ZERO)).await;
}

/// Drives a connection to its end. Once it is over, or `setup.stop` is set and it had time to part, it takes no further request.
async fn until_ended<C>(connection: C, peer: &Peer, bounds: &Bounds, setup: &Setup, (used, parting): (&Use, Duration))
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = std::pin::pin!(connection);
    let stopped = async {
        setup.stop.cancelled().await;
        tokio::time::sleep(parting).await;
    };
    let lingers = tokio::select! {
        // First what has come: a request that is here is not lost to a clock.
        biased;
        ended = connection.as_mut() => Err(ended),
        linger = over(bounds, used, setup.door.part()) => Ok(linger),
        () = stopped => Ok(PARTING),
    };
    let ended = match lingers {
        Err(ended) => ended,
        Ok(linger) => {
            connection.as_mut().graceful_shutdown();
            loop {
                tokio::select! {
                    ended = connection.as_mut() => break ended,
                    // Requests that are under way have bounds of their own.
                    () = tokio::time::sleep(linger) => if used.is_idle() { break Ok(()) },
                }
            }
        }
    };
    if let Err(error) = ended {
        if error.is_parse() {
            setup.observer.refused(LetGo::Malformed);
        }
        tracing::debug!(peer = %peer.address, %error, "a connection ended with an error");
    }
}

/// Ends when a connection is too old, unused, or used up, or somebody else `wants` its place: how long its peer may read then.
async fn over(bounds: &Bounds, used: &Use, wants: &Notify) -> Duration {
    let unused = async {
        loop {
            let before = used.begun();
            tokio::time::sleep(bounds.idle).await;
            if used.is_idle() && used.begun() == before {
                return;
            }
        }
    };
    let wanted = async {
        loop {
            wants.notified().await;
            if used.rests() {
                return;
            }
        }
    };
    tokio::select! {
        () = tokio::time::sleep(bounds.age) => LINGER,
        () = unused => LINGER,
        () = used.full.notified() => LINGER,
        () = wanted => FAREWELL,
    }
}
