//! The network of a story: pipes in memory, from a relay to applications and from senders to the relay. A dead relay's pipes are dead.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use hookhold::net::dial::{Dial, NotDialed, Stream};
use hookhold::record::{DeliveryId, Name, StateName};
use hookhold::store::DeliveryFilter;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::application::{Application, Fate, Said, Welcome};
use crate::store::{ALL, Grouped};
use crate::truth::Truth;

/// What a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// The applications, by name.
pub(crate) type Applications = Arc<Vec<(&'static str, Application)>>;

/// The network as one life of the relay sees it.
pub(crate) struct Wire {
    pub(crate) applications: Applications,
    pub(crate) truth: Arc<Truth>,
    pub(crate) store: Arc<Grouped>,
    pub(crate) is_alive: Arc<AtomicBool>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

/// A connection: which attempt is on it, and whether the relay has let it go.
struct Connection {
    app: &'static str,
    at: usize,
    truth: Arc<Truth>,
    state: Mutex<Held>,
}

struct Held {
    /// The life of the relay that made it.
    life: u64,
    attempt: Option<u64>,
    is_gone: bool,
}

impl Connection {
    /// The attempt on it ended.
    fn end(&self) {
        let attempt = self.state.lock().unwrap().attempt.take();
        attempt.into_iter().for_each(|attempt| self.truth.end(attempt));
    }

    fn is_gone(&self) -> bool {
        self.state.lock().unwrap().is_gone
    }
}

/// The relay's end of a connection, from the time at which it is wanted.
struct Near {
    connection: Arc<Connection>,
    is_alive: Arc<AtomicBool>,
    io: Option<DuplexStream>,
}

impl Drop for Near {
    fn drop(&mut self) {
        self.connection.state.lock().unwrap().is_gone = true;
        self.connection.end();
    }
}

#[async_trait]
impl Dial for Wire {
    async fn dial(&self, host: &str, _: u16, _: Duration) -> Result<Box<dyn Stream>, NotDialed> {
        if !self.is_alive.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let name = host.strip_suffix(".example").unwrap();
        let at = self.applications.iter().position(|(other, _)| *other == name).unwrap();
        let (app, application) = &self.applications[at];
        let attempt = self.truth.begin(app);
        let state = Mutex::new(Held { life: self.truth.with(|known| known.life), attempt: Some(attempt), is_gone: false });
        let connection = Arc::new(Connection { app, at, truth: self.truth.clone(), state });
        let mut near = Near { connection: connection.clone(), is_alive: self.is_alive.clone(), io: None };
        let welcome = application.welcome(self.truth.now());
        self.truth.tell(|_| format!("{app} is dialed: {welcome:?}"));
        match welcome {
            Welcome::In(after) => {
                pass(after).await;
                let (io, far) = tokio::io::duplex(PIPE_BYTES);
                near.io = Some(io);
                let (applications, store) = (self.applications.clone(), self.store.clone());
                let service = service_fn(move |request| {
                    let (applications, store, connection) = (applications.clone(), store.clone(), connection.clone());
                    async move { serve(&applications[connection.at].1, &store, &connection, request).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(far), service));
                Ok(Box::new(near))
            }
            Welcome::Refused(after) => {
                pass(after).await;
                Err(NotDialed::Connect(io::ErrorKind::ConnectionRefused.into()))
            }
            Welcome::NoName => Err(NotDialed::Dns(io::ErrorKind::NotFound.into())),
            Welcome::Nothing => std::future::pending().await,
        }
    }
}

/// One request at an application.
async fn serve(
    application: &Application,
    store: &Grouped,
    connection: &Arc<Connection>,
    request: Request<Incoming>,
) -> io::Result<Response<Said>> {
    let (truth, app) = (&connection.truth, connection.app);
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if connection.is_gone() {
        // What was on its way when the relay gave up, or died.
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let open = connection.state.lock().unwrap().attempt;
    let attempt = open.unwrap_or_else(|| truth.begin(app));
    connection.state.lock().unwrap().attempt = Some(attempt);
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let delivery: DeliveryId = header("hookhold-delivery-id").parse().unwrap();
    let fate = application.fate(truth.now());
    truth.tell(|known| format!("{app} gets {}, attempt {}: {fate:?}", known.name_of(delivery), header("hookhold-attempt")));
    let number = header("x-github-delivery").strip_prefix("id-").and_then(|number| number.parse::<usize>().ok());
    match number.filter(|n| truth.with(|known| known.webhooks.get(*n).is_some_and(|sent| sent.body == body))) {
        Some(webhook) => judge(truth, store, app, attempt, delivery, webhook).await,
        None => truth.blame(format!("{app} gets what nobody sent: {body:?}")),
    }
    answer(truth, connection, delivery, fate).await
}

/// Whether this request may come now.
async fn judge(truth: &Truth, store: &Grouped, app: &str, attempt: u64, delivery: DeliveryId, webhook: usize) {
    if truth.with(|known| known.webhooks[webhook].is_forged) {
        truth.blame(format!("{app} gets forged webhook {webhook}"));
    }
    let _still = store.still().await;
    let kept = store.kept();
    match kept.delivery(delivery).await.unwrap() {
        Some(tracked) if tracked.in_flight && tracked.delivery.state.name() == StateName::Pending => {}
        other => truth.blame(format!("{app} gets {delivery}, which is {other:?}")),
    }
    let destination = Name::try_new(app).ok();
    let waiting =
        DeliveryFilter { state: Some(StateName::Pending), destination: destination.clone(), ..DeliveryFilter::default() };
    let in_flight = DeliveryFilter { in_flight: Some(true), destination, ..DeliveryFilter::default() };
    let mut pending = Vec::new();
    for filter in [waiting, in_flight] {
        let listed = kept.deliveries(&filter, ALL).await.unwrap();
        pending.extend(listed.items.into_iter().map(|tracked| tracked.delivery.id));
    }
    truth.arrive(attempt, delivery, webhook, &pending);
}

async fn answer(truth: &Truth, connection: &Connection, delivery: DeliveryId, fate: Fate) -> io::Result<Response<Said>> {
    let begun = truth.now();
    match fate {
        Fate::Answered { status, retry_after, after, is_whole } => {
            pass(after).await;
            if connection.is_gone() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            truth.with(|known| {
                known.answers.entry(delivery).or_default().insert(status);
                let timeout = known.config.as_ref().unwrap().app(connection.app).timeout;
                // Near its timeout, and the time that a connection may take, the relay may have stopped waiting.
                let is_heard = truth.now().since(begun) + Duration::from_millis(100) < timeout;
                if (200..300).contains(&status) && is_whole && is_heard {
                    known.taken.insert(delivery, connection.state.lock().unwrap().life);
                }
            });
            if is_whole {
                connection.end();
            }
            Ok(Said::answer(status, retry_after, is_whole, delivery.to_string()))
        }
        Fate::Reset(after) => {
            pass(after).await;
            connection.end();
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Fate::Nothing => std::future::pending().await,
    }
}

/// Lets time pass, where there is some.
pub(crate) async fn pass(time: Duration) {
    if !time.is_zero() {
        // The story's time, which is not that of the test.
        tokio::time::sleep(time).await;
    }
}

impl Near {
    /// A dead relay does nothing more.
    fn io(&mut self) -> Option<Pin<&mut DuplexStream>> {
        let io = self.io.as_mut().filter(|_| self.is_alive.load(Ordering::SeqCst));
        io.map(Pin::new)
    }
}

impl AsyncRead for Near {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io().map_or(Poll::Pending, |io| io.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Near {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io().map_or(Poll::Pending, |io| io.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().map_or(Poll::Pending, |io| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().map_or(Poll::Pending, |io| io.poll_shutdown(cx))
    }
}
