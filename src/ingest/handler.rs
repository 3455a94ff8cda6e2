//! The line: from a request to a durable event, stage by stage.
//!
//! Never here: anything of delivery, and any answer of 2xx before the store has said that the event is durable.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;

use super::body;
use super::challenge;
use super::gate::{Entry, Gate};
use super::head;
use super::overload::Overload;
use super::proof::verify;
use super::reply::{self, Refusal};
use super::spans::Noted;
use super::upstream::{Listening, Said};
use crate::config::settings::{Ack, Source};
use crate::metrics::{Metrics, RequestOutcome};
use crate::net::client_certificate::Shown;
use crate::net::forwarded::Client;
use crate::net::lag::Lag;
use crate::net::listener::Peer;
use crate::record::{CLIENT, EventId, Received};
use crate::route::filter::Facts;
use crate::signature::handshake::HandshakeAnswer;
use crate::signature::{Reason, Refused, Selector, Verified};
use crate::store::{self, Appended, Dedupe, Intake, Quarantine, Space, Store};
use crate::time::{Clock, Stopwatch, Timestamp};

/// The line that every request goes through.
pub struct Line {
    gate: ArcSwap<Gate>,
    pub(super) store: Arc<dyn Store>,
    space: Arc<Space>,
    pub(super) quarantine: Arc<Quarantine>,
    metrics: Arc<Metrics>,
    clock: Clock,
    uptime: Stopwatch,
    overload: Overload,
}

/// Where the names of a sender's certificate are kept.
const CLIENT_FIELD: HeaderName = HeaderName::from_static(CLIENT);

impl Line {
    /// A line behind this gate.
    pub fn new(
        gate: Gate,
        (store, space): (Arc<dyn Store>, Arc<Space>),
        quarantine: Arc<Quarantine>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let (gate, uptime, overload) = (ArcSwap::from_pointee(gate), Stopwatch::start(), Overload::default());
        Self { gate, store, space, quarantine, metrics, clock, uptime, overload }
    }

    /// The same, which also refuses events where everything is late.
    pub fn watching(self, lag: Arc<Lag>) -> Self {
        Self { overload: Overload::new(lag), ..self }
    }

    /// The present gate.
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.load_full()
    }

    /// The present.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How late everything is that is ready, as far as is known.
    pub fn lag(&self) -> Duration {
        self.overload.lag()
    }

    /// The present, in nanoseconds.
    pub(super) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Judges requests by this gate from now on.
    pub fn replace(&self, gate: Gate) {
        self.gate.store(Arc::new(gate));
    }

    /// Takes one request of `peer` to its end and answers it.
    pub async fn handle(&self, request: Request<Incoming>, peer: impl Into<Peer>) -> Response<Full<Bytes>> {
        let (is_head, is_last) = (request.method() == Method::HEAD, head::is_last(request.version(), request.headers()));
        let mut answer = self.answer(request, peer.into()).await;
        if is_last {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // Over HTTP/2 nobody else takes the body off, and clients take one for a broken stream.
        if is_head { reply::without_body(answer) } else { answer }
    }

    async fn answer(&self, request: Request<Incoming>, Peer { address: peer, certificate }: Peer) -> Response<Full<Bytes>> {
        let (at, watch) = (self.clock.now(), Stopwatch::start());
        let (mut head, mut body) = request.into_parts();
        head.headers.remove(CLIENT);
        let (version, waits) = (head.version, head.headers.contains_key(EXPECT));
        let gate = self.gate.load_full();
        let client = gate.proxies.client(peer, &head.headers);
        let authority = head::authority(&head).map(|named| client.host.clone().unwrap_or(named));
        let peer = client.address;
        let mut noted = Noted::begin(&gate.spans, &head, peer, watch);
        let entry = authority.as_deref().and_then(|host| gate.sources.find(host, head.uri.path()));
        let let_in = self.let_in((&gate, entry), &mut head, &client, certificate.as_deref(), at);
        let (Some(authority), Some(entry), Ok(())) = (&authority, entry, &let_in) else {
            if let (Some(noted), Err(refusal)) = (&mut noted, &let_in) {
                noted.refused(refusal);
            }
            let refusal = let_in.err().unwrap_or_else(|| self.without_source(authority.is_some()));
            let answer = refusal.answer(closes(&refusal, (body, entry), version, waits).await);
            self.noted(noted, &gate, entry.map(|entry| &*entry.source), &answer);
            return answer;
        };
        let taken = self.take((&gate, entry), (head, authority), &mut body, (&client, at), &mut noted).await;
        if let Some(noted) = &mut noted {
            noted.became(&taken);
        }
        let answer = match taken {
            Ok(Taken::Handshake(answer)) => {
                entry.metrics.count(RequestOutcome::Handshake);
                tracing::info!(source = %entry.source.name, %peer, status = answer.status.as_u16(), "a handshake was answered");
                reply::handshake(answer)
            }
            Ok(Taken::Event(appended, echo, listening)) => {
                let (event, outcome) = known(appended);
                entry.metrics.count(outcome);
                entry.metrics.accepted_in(watch.elapsed());
                entry.metrics.event_at(at);
                tracing::debug!(source = %entry.source.name, %event, outcome = outcome.as_str(), "a webhook is durable");
                match listening {
                    None => reply::accepted(event, &entry.source.answer, echo),
                    Some(listening) => self.passed_on(entry, *listening, (appended, echo), watch).await,
                }
            }
            Err(refusal) => {
                entry.metrics.count(refusal.outcome());
                tracing::debug!(source = %entry.source.name, %peer, outcome = refusal.outcome().as_str(), "a request was refused");
                let answer = refusal.answer(closes(&refusal, (body, Some(entry)), version, waits).await);
                let is_empty = refusal == Refusal::BadSignature && entry.source.answer.empty_refusal;
                if is_empty { reply::emptied(answer) } else { answer }
            }
        };
        self.noted(noted, &gate, Some(&entry.source), &answer);
        answer
    }

    /// What is asked of each request before its body is read: that there are not too many, a sound head, and a certificate where its source
    /// wants one, whose names go with it then.
    fn let_in(
        &self,
        (gate, entry): (&Gate, Option<&Entry>),
        head: &mut Parts,
        client: &Client,
        certificate: Option<&Shown>,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        gate.admits(client.address, || self.uptime_ns()).map_err(|wait| self.limited(entry, wait))?;
        let sound = head::prove(head, gate.header_fields_max);
        let Some(entry) = entry else { return sound };
        sound.inspect_err(|refusal| entry.metrics.count(refusal.outcome()))?;
        let Some(roots) = &entry.source.client_ca else { return Ok(()) };
        let Some(shown) = certificate.filter(|shown| shown.is_of(roots, at)) else {
            entry.metrics.count(RequestOutcome::Forbidden);
            tracing::info!(source = %entry.source.name, peer = %client.address, "a sender without the certificate that is wanted");
            return Err(Refusal::Forbidden);
        };
        let names = shown.names();
        let fields = names.iter().filter_map(|name| Some((CLIENT_FIELD, HeaderValue::from_bytes(name.as_bytes()).ok()?)));
        head.headers.extend(fields);
        Ok(())
    }

    /// A request is answered: records its spans, where they are wanted.
    fn noted(&self, noted: Option<Box<Noted>>, gate: &Gate, source: Option<&Source>, answer: &Response<Full<Bytes>>) {
        if let Some(noted) = noted {
            noted.answered(&gate.spans, source, Some(answer.status()), self.now_ns());
        }
    }

    /// The answer of the application, where there is one.
    async fn passed_on(
        &self,
        entry: &Entry,
        listening: Listening,
        (appended, echo): (Appended, Option<reply::Echo>),
        watch: Stopwatch,
    ) -> Response<Full<Bytes>> {
        let ((event, _), source) = (known(appended), &entry.source);
        // On the heap: whoever does not wait need not have room for it.
        let said = Box::pin(self.heard(listening, appended, watch)).await;
        entry.metrics.heard(said.as_str());
        tracing::debug!(source = %source.name, %event, said = said.as_str(), "what the application says was waited for");
        match said {
            Said::Passed(answer) => reply::passed(event, answer),
            Said::Nothing(_, status) if matches!(source.ack, Ack::Upstream(_)) => reply::unanswered(event, status),
            Said::Stored | Said::Nothing(..) => reply::accepted(event, &source.answer, echo),
        }
    }

    /// The stages, in order.
    async fn take(
        &self,
        (gate, entry): (&Gate, &Entry),
        (head, authority): (Parts, &str),
        body: &mut Incoming,
        (client, at): (&Client, Timestamp),
        noted: &mut Option<Box<Noted>>,
    ) -> Result<Taken, Refusal> {
        let kind = admit(&entry.source, &head, client)?;
        let peer = client.address;
        // A handshake needs no room, and its provider would give up a source that does not answer it.
        if kind == Kind::Event {
            self.has_room(gate, entry)?;
        }
        let body::Whole { bytes, mut share } = body::read(body, &entry.bounds).await?;
        let received = received(head, authority, bytes, peer, at);
        let handshakes = &entry.source.handshakes;
        if let Some(brought) = handshakes.brought(&received) {
            let reply = challenge::take_secret(gate, entry, brought, at).await?;
            return challenge::answer(gate, entry, peer, reply).await.map(Taken::Handshake);
        }
        if let Some(reply) = handshakes.before_proof(&received) {
            return challenge::answer(gate, entry, peer, reply).await.map(Taken::Handshake);
        }
        if kind == Kind::Handshake && !handshakes.wait_for_proof(&received.method) {
            return Err(method_not_allowed(&entry.source));
        }
        let verified = match verify(gate, entry, received, &mut share).await {
            Ok(verified) => verified,
            Err(refused) => {
                noted.iter_mut().for_each(|noted| noted.not_believed(refused.reason.as_str()));
                return Err(self.refuse(entry, kind, refused));
            }
        };
        noted.iter_mut().for_each(|noted| noted.proved(&verified));
        if let Some(reply) = handshakes.after_proof(&verified) {
            return challenge::answer(gate, entry, peer, reply).await.map(Taken::Handshake);
        }
        match kind {
            Kind::Event => {}
            Kind::Either => self.has_room(gate, entry)?,
            Kind::Handshake => return Err(method_not_allowed(&entry.source)),
        }
        // Only what was proved counts: nobody else can use up what a provider may send.
        if let Some(rate) = &entry.rate {
            rate.take(self.uptime_ns()).map_err(Refusal::RateLimited)?;
        }
        let echo = reply::echo(&verified.received().headers, &entry.source.answer);
        let (intake, listening) = self.listen(&entry.source, intake(entry, verified))?;
        noted.iter_mut().for_each(|noted| noted.commits());
        let appended = self.append_in_time(gate, entry, intake).await;
        noted.iter_mut().for_each(|noted| noted.committed());
        let appended = appended?;
        drop(share);
        Ok(Taken::Event(appended, echo, listening.map(Box::new)))
    }

    /// Makes it durable, unless that takes too long by now.
    async fn append_in_time(&self, gate: &Gate, entry: &Entry, intake: Intake) -> Result<Appended, Refusal> {
        let under_way = self.overload.begin(gate.patience, || self.store.wait()).ok_or_else(|| self.overloaded())?;
        let appended = self.append(entry, intake).await;
        drop(under_way);
        Ok(appended?)
    }

    /// Makes it durable, and counts it where no route took it.
    pub(super) async fn append(&self, entry: &Entry, intake: Intake) -> Result<Appended, store::Error> {
        let is_unrouted = intake.destinations().is_empty();
        let appended = self.store.append(intake).await?;
        if let (true, Appended::Stored(event)) = (is_unrouted, &appended) {
            entry.metrics.unrouted();
            tracing::debug!(source = %entry.source.name, %event, "no route takes this event");
        }
        Ok(appended)
    }

    /// Whether an event is wanted, and could be made durable and delivered.
    fn has_room(&self, gate: &Gate, entry: &Entry) -> Result<(), Refusal> {
        if entry.valve.borrow().is_paused {
            return Err(Refusal::Paused);
        }
        if let Some(rate) = &entry.rate {
            rate.look(self.uptime_ns()).map_err(Refusal::RateLimited)?;
        }
        if self.store.health().is_err() {
            return Err(Refusal::StoreFailed);
        }
        if self.space.is_full() {
            return Err(Refusal::StoreFull);
        }
        if gate.pending_max.is_some_and(|max| self.store.counts().pending >= max) {
            return Err(Refusal::OVERFULL);
        }
        if self.overload.takes(gate.patience, || self.store.wait()) { Ok(()) } else { Err(self.overloaded()) }
    }

    /// More comes than can be made durable in time.
    fn overloaded(&self) -> Refusal {
        Refusal::Overload(self.overload.refused(self.uptime_ns(), self.store.wait()))
    }

    /// A request that was not believed: what it is answered, and whether it is kept aside.
    fn refuse(&self, entry: &Entry, kind: Kind, refused: Refused) -> Refusal {
        let (source, peer, reason) = (&entry.source.name, refused.received.peer, refused.reason.as_str());
        entry.metrics.refused(reason);
        if refused.reason == Reason::KeyUnavailable {
            // It says nothing of the sender, who shall come again.
            tracing::warn!(%source, %peer, reason, "a request could not be judged");
            return Refusal::KeyUnavailable;
        }
        let quarantined =
            kind != Kind::Handshake && entry.source.quarantines && self.quarantine.keep(source, reason, refused.received);
        tracing::info!(%source, %peer, reason, quarantined, "a request was not believed");
        Refusal::BadSignature
    }

    /// An address sent too much.
    fn limited(&self, entry: Option<&Entry>, wait: Duration) -> Refusal {
        match entry {
            Some(entry) => entry.metrics.count(RequestOutcome::RateLimited),
            None => self.metrics.rate_limited(),
        }
        Refusal::RateLimited(wait)
    }

    /// What rates are counted by.
    fn uptime_ns(&self) -> u64 {
        u64::try_from(self.uptime.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn without_source(&self, has_host: bool) -> Refusal {
        self.metrics.unknown_source();
        if has_host { Refusal::UnknownSource } else { Refusal::BadRequest }
    }
}

/// Whether a connection must end with a refusal, as what is left of the request is not read. `waits`: its sender sends a body only once
/// it is asked to.
async fn closes(refusal: &Refusal, (mut rest, entry): (Incoming, Option<&Entry>), version: Version, waits: bool) -> bool {
    let comes_again = refusal.asks_to_come_again();
    if comes_again && !waits && body::skip(&mut rest).await {
        return false;
    }
    let wanted = entry.filter(|_| comes_again).map_or(0, |entry| entry.bounds.bytes_max);
    // HTTP/2 ends the stream, not the connection.
    body::drain(rest, wanted) && version < Version::HTTP_2
}

/// What a request became.
pub(super) enum Taken {
    /// A durable event, what its answer shows again, and whether its application is to be heard.
    Event(Appended, Option<reply::Echo>, Option<Box<Listening>>),
    /// Nothing: the relay answers it by itself.
    Handshake(HandshakeAnswer),
}

/// What a request can be by its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Event,
    Handshake,
    Either,
}

/// What can be said before the body is read.
fn admit(source: &Source, head: &Parts, client: &Client) -> Result<Kind, Refusal> {
    if !source.admits(client.address, client.is_known) {
        return Err(Refusal::Forbidden);
    }
    match (source.methods.contains(&head.method), source.handshakes.take(&head.method)) {
        (true, false) => Ok(Kind::Event),
        (true, true) => Ok(Kind::Either),
        (false, true) => Ok(Kind::Handshake),
        (false, false) => Err(method_not_allowed(source)),
    }
}

fn method_not_allowed(source: &Source) -> Refusal {
    let more = source.handshakes.methods().into_iter().filter(|method| !source.methods.contains(method));
    Refusal::Method(source.methods.iter().cloned().chain(more).collect())
}

fn received(head: Parts, authority: &str, body: Bytes, peer: IpAddr, at: Timestamp) -> Received {
    let target = head.uri.path_and_query().map_or_else(|| "/".to_owned(), |t| t.as_str().to_owned());
    let method = head.method.as_str().to_owned();
    Received { method, target, authority: authority.to_owned(), headers: head.headers.into(), body, peer, at }
}

/// What becomes of a request that is believed.
pub(super) fn intake(entry: &Entry, verified: Verified) -> Intake {
    let source = &entry.source;
    let chosen = source.choose(facts(&verified));
    let key = |by: &Option<Selector>| by.as_ref().and_then(|by| by.order_key(verified.received()));
    let order_keys = chosen.of(&entry.order_by).map(key).collect();
    let at = verified.received().at;
    let dedupe = source.dedupe.zip(verified.provider_event_id());
    let dedupe = dedupe.map(|(window, key)| Dedupe { key: key.to_owned(), until: at.after(window) });
    let destinations = chosen.names(&source.destinations);
    Intake::new(verified, source.name.clone(), source.provider.clone(), destinations, dedupe).in_order(order_keys)
}

/// What routes look at.
fn facts(verified: &Verified) -> Facts<'_> {
    let Received { method, headers, body, .. } = verified.received();
    Facts { kind: verified.kind(), method, headers, body }
}

fn known(appended: Appended) -> (EventId, RequestOutcome) {
    match appended {
        Appended::Stored(event) => (event, RequestOutcome::Accepted),
        Appended::Duplicate(event) => (event, RequestOutcome::Duplicate),
    }
}

impl From<body::Problem> for Refusal {
    fn from(problem: body::Problem) -> Self {
        match problem {
            body::Problem::TooLarge => Self::TooLarge,
            body::Problem::TooSlow => Self::Timeout,
            body::Problem::NoMemory => Self::OVERFULL,
            body::Problem::Broken => Self::BadRequest,
        }
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Overloaded => Self::OVERFULL,
            _ => Self::StoreFailed,
        }
    }
}
