//! The providers of a story: they send, hear an answer or none, and send again.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hookhold::ingest::Line;
use hookhold::net::client::{Answer, Server};
use hookhold::net::dial::{Dial, NotDialed, Stream};
use hookhold::net::pool::Pool;
use hookhold::net::tls;
use hookhold::record::{DeliveryId, EventId};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::task::JoinSet;

use crate::config::{ASKING, SOURCES};
use crate::truth::Truth;

/// What a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;
/// So long a provider waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the relay takes webhooks in, while there is one.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<Mutex<Option<Open>>>);

struct Open {
    line: Arc<Line>,
    requests: Arc<Mutex<JoinSet<()>>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

impl Door {
    pub(crate) fn open(&self, line: &Arc<Line>, requests: &Arc<Mutex<JoinSet<()>>>) {
        *self.0.lock().unwrap() = Some(Open { line: line.clone(), requests: requests.clone() });
    }

    pub(crate) fn shut(&self) {
        self.0.lock().unwrap().take();
    }
}

#[async_trait]
impl Dial for Door {
    async fn dial(&self, _: &str, _: u16, _: Duration) -> Result<Box<dyn Stream>, NotDialed> {
        let door = self.0.lock().unwrap();
        let Some(Open { line, requests }) = &*door else {
            return Err(NotDialed::Connect(io::ErrorKind::ConnectionRefused.into()));
        };
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let (line, peer) = (line.clone(), IpAddr::from(Ipv4Addr::new(203, 0, 113, 7)));
        let service = service_fn(move |request| {
            let line = line.clone();
            async move { Ok::<_, std::convert::Infallible>(line.handle(request, peer).await) }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(far), service);
        requests.lock().unwrap().spawn(async move { drop(connection.await) });
        Ok(Box::new(near))
    }
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    Right,
    /// With the secret of another source.
    Foreign,
    /// For another body.
    Tampered,
    Missing,
}

/// Sends a webhook once, and takes down what is heard.
pub(crate) async fn send(truth: Arc<Truth>, door: Door, number: usize, signing: Signing) {
    let (source, body) = truth.with(|known| (known.webhooks[number].source, known.webhooks[number].body.clone()));
    let (life, paused) = truth.with(|known| (known.life, known.sources_paused.get(source).copied()));
    let begun = truth.now();
    let server = Server::of(&"http://hooks.example/".parse().unwrap(), trust(), false).unwrap();
    let request = request(source, number, &body, signing);
    let pool = Pool::new(server.over(Arc::new(door)), 0, PATIENCE);
    let Ok(answer) = tokio::time::timeout(PATIENCE, pool.exchange(request, 1024)).await else {
        if truth.with(|known| known.life == life) {
            truth.blame(format!("webhook {number} is not answered by a relay that lives"));
        }
        return truth.tell(|_| format!("nobody answers webhook {number} in time"));
    };
    let Ok(answer) = answer else {
        return truth.tell(|_| format!("nobody answers webhook {number}"));
    };
    let event = answer.headers.get("hookhold-event-id").map(|id| id.to_str().unwrap().parse::<EventId>().unwrap());
    truth.tell(|known| {
        let event = event.map(|event| known.name(event));
        format!("webhook {number} ({signing:?}) is answered {} {event:?}", answer.status)
    });
    if source == ASKING {
        event.into_iter().for_each(|event| told(&truth, number, event, &answer));
    }
    match event.filter(|_| answer.status.is_success()) {
        Some(event) => acknowledged(&truth, number, event, answer.status),
        None if answer.status.is_success() => truth.blame(format!("webhook {number} is acknowledged and no event")),
        None => {}
    }
    let is_still = |known: &mut crate::truth::Known| known.life == life && known.sources_paused.get(source).copied() == paused;
    if paused.is_some_and(|at| at < begun) && truth.with(is_still) && answer.status != StatusCode::SERVICE_UNAVAILABLE {
        truth.blame(format!("webhook {number} is answered {} while {source} is paused", answer.status));
    }
}

/// The roots of the web. Nobody here speaks TLS, but every client has them ready, and reading them takes time.
pub(crate) fn trust() -> Arc<ClientConfig> {
    static TRUST: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    TRUST.get_or_init(|| tls::client_config(None).unwrap()).clone()
}

/// What its application is said to have answered, it has answered to an attempt of that very event; else it is the relay's own word.
fn told(truth: &Truth, number: usize, event: EventId, answer: &Answer) {
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let status = answer.status.as_u16();
    let is_true = match text.parse::<DeliveryId>() {
        Ok(delivery) => {
            let answers = truth.with(|known| known.answers.get(&delivery).cloned().unwrap_or_default());
            truth.with(|known| known.passed_on += 1);
            delivery.event == event && answers.contains(&status)
        }
        Err(_) if status == 204 => true,
        Err(_) => {
            let is_upstream = truth.with(|known| known.config.as_ref().unwrap().ack == "upstream");
            (status == 200 && text.is_empty()) || (is_upstream && [502, 503, 504].contains(&status) && text.starts_with("stored"))
        }
    };
    if !is_true {
        truth.blame(format!("webhook {number} is told {status} {text:?} of event {event}"));
    }
}

fn acknowledged(truth: &Truth, number: usize, event: EventId, status: StatusCode) {
    let problem = truth.with(|known| {
        let webhook = &mut known.webhooks[number];
        let before = webhook.events.iter().find(|(known, _)| *known == event).map(|(_, status)| *status);
        webhook.events.push((event, status.as_u16()));
        let is_its_own = known.stored.get(&number).is_some_and(|events| events.iter().any(|(other, _)| *other == event));
        if webhook.is_forged {
            Some(format!("forged webhook {number} is acknowledged"))
        } else if !is_its_own {
            Some(format!("webhook {number} is answered with event {event}, which is not its own"))
        } else {
            // What an application says may change, and what of it is known.
            let other = before.filter(|before| *before != status.as_u16() && webhook.source != ASKING)?;
            Some(format!("a repeat of webhook {number} is answered {status}, and before {other}"))
        }
    });
    problem.into_iter().for_each(|problem| truth.blame(problem));
}

fn request(source: &str, number: usize, body: &Bytes, signing: Signing) -> Request<Full<Bytes>> {
    let secret = |name: &str| SOURCES.iter().find(|(other, _, _)| *other == name).unwrap().1;
    let foreign = SOURCES.iter().find(|(other, _, _)| *other != source).unwrap().0;
    let signature = match signing {
        Signing::Right => Some(signature(secret(source), body)),
        Signing::Foreign => Some(signature(secret(foreign), body)),
        Signing::Tampered => Some(signature(secret(source), b"{}")),
        Signing::Missing => None,
    };
    let mut request = Request::post(format!("/in/{source}")).header("host", "hooks.example");
    request = request.header("x-github-delivery", format!("id-{number}")).header("x-github-event", "push");
    if let Some(signature) = signature {
        request = request.header("x-hub-signature-256", signature);
    }
    request.body(Full::new(body.clone())).unwrap()
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
