//! The line: from a request to a durable event, stage by stage.
//!
//! Never here: anything of delivery, and any answer of 2xx before the store has said that the event is durable.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{Method, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::arming::{Arming, NotTaken};
use super::body::{self, Bounds, Memory};
use super::reply::{self, Refusal};
use crate::config::settings::{Settings, Source, SourcePath};
use crate::metrics::{Metrics, RequestOutcome, SourceMetrics};
use crate::net::published::{Published, Supply};
use crate::record::{EventId, Name, Received};
use crate::route;
use crate::signature::handshake::{HandshakeAnswer, NOT_ARMED, NoAnswer, Reply};
use crate::signature::{Reason, Refused, Secret, Selector, Verified, Verifier};
use crate::store::{self, Appended, Dedupe, Intake, Pausable, Pauses, Store, Valve};
use crate::time::{Clock, Stopwatch, Timestamp};

/// The line that every request goes through.
pub struct Line {
    sources: route::Table<Entry>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    clock: Clock,
    pending_max: Option<u64>,
    published: Published,
    arming: Arc<Arming>,
}

/// Documents that one request can wait for, one after the other: the keys, a newer copy of them, and what another request fetched.
const ROUNDS_MAX: usize = 3;

/// A source and what belongs to it here.
struct Entry {
    source: Arc<Source>,
    bounds: Bounds,
    metrics: Arc<SourceMetrics>,
    valve: watch::Receiver<Valve>,
    /// By what each of its destinations wants events in order; empty where none does.
    order_by: Vec<Option<Selector>>,
}

impl Line {
    /// The line of all sources in `settings`.
    pub fn new(
        settings: &Settings,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        published: Published,
        arming: Arc<Arming>,
        pauses: &Pauses,
        clock: Clock,
    ) -> Self {
        let memory = Memory::new(settings.limits.body_bytes_in_flight);
        let mut sources = route::Table::default();
        for source in &settings.sources {
            let bounds = Bounds {
                bytes_max: source.body_bytes,
                bytes_per_second_min: settings.limits.body_bytes_per_second,
                memory: memory.clone(),
            };
            let valve = pauses.valve(Pausable::Source, &source.name);
            let entry = Entry {
                source: source.clone(),
                bounds,
                metrics: metrics.source(&source.name),
                valve,
                order_by: order_by(settings, source),
            };
            match &source.path {
                SourcePath::Exact(path) => sources.add_exact(source.host.clone(), path, entry),
                SourcePath::Below(path) => sources.add_below(source.host.clone(), path, entry),
            }
        }
        Self { sources, store, metrics, clock, pending_max: settings.limits.pending, published, arming }
    }

    /// Takes one request of `peer` to its end and answers it.
    pub async fn handle(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let is_head = request.method() == Method::HEAD;
        let answer = self.answer(request, peer).await;
        // Over HTTP/2 nobody else takes the body off, and clients take one for a broken stream.
        if is_head { reply::without_body(answer) } else { answer }
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let (at, watch) = (self.clock.now(), Stopwatch::start());
        let (head, mut body) = request.into_parts();
        // HTTP/2 ends the stream, not the connection.
        let close = |rest: Incoming, version: Version| body::drain(rest) && version < Version::HTTP_2;
        let version = head.version;
        let authority = authority(&head);
        let entry = authority.as_deref().and_then(|host| self.sources.find(host, head.uri.path()));
        let (Some(authority), Some(entry)) = (&authority, entry) else {
            return self.without_source(authority.is_some()).answer(close(body, version));
        };
        match self.take(entry, head, authority, &mut body, peer, at).await {
            Ok(Taken::Handshake(answer)) => {
                entry.metrics.count(RequestOutcome::Handshake);
                tracing::info!(source = %entry.source.name, %peer, status = answer.status.as_u16(), "a handshake was answered");
                reply::handshake(answer)
            }
            Ok(Taken::Event(appended, echo)) => {
                let (event, outcome) = known(appended);
                entry.metrics.count(outcome);
                entry.metrics.accepted_in(watch.elapsed());
                entry.metrics.event_at(at);
                tracing::debug!(source = %entry.source.name, %event, outcome = outcome.as_str(), "a webhook is durable");
                reply::accepted(event, &entry.source.answer, echo)
            }
            Err(refusal) => {
                entry.metrics.count(refusal.outcome());
                tracing::debug!(source = %entry.source.name, %peer, outcome = refusal.outcome().as_str(), "a request was refused");
                let answer = refusal.answer(close(body, version));
                let is_empty = refusal == Refusal::BadSignature && entry.source.answer.empty_refusal;
                if is_empty { reply::emptied(answer) } else { answer }
            }
        }
    }

    /// The stages, in order.
    async fn take(
        &self,
        entry: &Entry,
        head: Parts,
        authority: &str,
        body: &mut Incoming,
        peer: IpAddr,
        at: Timestamp,
    ) -> Result<Taken, Refusal> {
        let kind = admit(&entry.source, &head, peer)?;
        // A handshake needs no room, and its provider would give up a source that does not answer it.
        if kind == Kind::Event {
            self.has_room(entry)?;
        }
        let body::Whole { bytes, share } = body::read(body, &entry.bounds).await?;
        let received = received(head, authority, bytes, peer, at);
        let handshakes = &entry.source.handshakes;
        if let Some(brought) = handshakes.brought(&received) {
            return answered(entry, peer, self.take_secret(entry, brought, at).await?);
        }
        if let Some(reply) = handshakes.before_proof(&received) {
            return answered(entry, peer, reply);
        }
        if kind == Kind::Handshake && !handshakes.wait_for_proof(&received.method) {
            return Err(method_not_allowed(&entry.source));
        }
        let verified = self.verify(entry, self.arming.verifier(&entry.source), received).await?;
        if let Some(reply) = handshakes.after_proof(&verified) {
            return answered(entry, peer, reply);
        }
        match kind {
            Kind::Event => {}
            Kind::Either => self.has_room(entry)?,
            Kind::Handshake => return Err(method_not_allowed(&entry.source)),
        }
        let echo = reply::echo(&verified.received().headers, &entry.source.answer);
        let intake = intake(entry, verified);
        let appended = self.store.append(intake).await?;
        drop(share);
        Ok(Taken::Event(appended, echo))
    }

    /// Takes the secret that a request brings, where the source is armed.
    async fn take_secret(
        &self,
        entry: &Entry,
        brought: Result<(Secret, HandshakeAnswer), NoAnswer>,
        at: Timestamp,
    ) -> Result<Reply, Refusal> {
        let (secret, answer) = match brought {
            Ok(brought) => brought,
            Err(refused) => return Ok(Err(refused)),
        };
        let source = &entry.source.name;
        match self.arming.take(source, secret, at).await {
            Ok(()) => {
                tracing::warn!(%source, "a secret was taken from a request, since the source was armed");
                Ok(Ok(answer))
            }
            Err(NotTaken::Store(error)) => {
                tracing::error!(%source, %error, "a secret could not be kept");
                Err(Refusal::StoreFailed)
            }
            Err(NotTaken::Closed | NotTaken::Unusable) => Ok(Err(NOT_ARMED)),
        }
    }

    /// Whether an event is wanted, and could be made durable and delivered.
    fn has_room(&self, entry: &Entry) -> Result<(), Refusal> {
        if entry.valve.borrow().is_paused {
            return Err(Refusal::Paused);
        }
        if self.store.health().is_err() {
            return Err(Refusal::StoreFailed);
        }
        match self.pending_max {
            Some(max) if self.store.counts().pending >= max => Err(Refusal::Overload),
            _ => Ok(()),
        }
    }

    /// Proves who sent it. What the provider publishes is fetched where it is missing, and a newer copy where the request names a key
    /// that is not in it.
    async fn verify(&self, entry: &Entry, verifier: &Verifier, received: Received) -> Result<Verified, Refusal> {
        let mut received = received;
        let mut rounds = 0..ROUNDS_MAX;
        loop {
            let documents = self.published.documents();
            let mut refused = match verifier.verify_with(received, &documents) {
                Ok(verified) => return Ok(verified),
                Err(refused) => *refused,
            };
            let supply = match &refused.needed {
                Some(needed) if rounds.next().is_some() => self.published.supply(needed, &documents).await,
                _ => Supply::Current,
            };
            if supply != Supply::Changed {
                // A key that is not in an old copy may be in the newer one that cannot be had.
                if supply == Supply::Unknown {
                    refused.reason = Reason::KeyUnavailable;
                }
                return Err(refusal(entry, &refused));
            }
            received = refused.received;
        }
    }

    fn without_source(&self, has_host: bool) -> Refusal {
        self.metrics.unknown_source();
        if has_host { Refusal::UnknownSource } else { Refusal::BadRequest }
    }
}

/// What a request became.
enum Taken {
    /// A durable event, and what its answer shows again.
    Event(Appended, Option<reply::Echo>),
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
fn admit(source: &Source, head: &Parts, peer: IpAddr) -> Result<Kind, Refusal> {
    if !source.allow.is_empty() && !source.allow.iter().any(|net| net.contains(&peer)) {
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

/// What became of a handshake, logged where it was refused.
fn answered(entry: &Entry, peer: IpAddr, reply: Reply) -> Result<Taken, Refusal> {
    reply.map(Taken::Handshake).map_err(|NoAnswer { status, reason }| {
        entry.metrics.refused(reason);
        tracing::info!(source = %entry.source.name, %peer, reason, "a handshake was not answered");
        Refusal::Handshake(status)
    })
}

/// The host that the request is for; `None` where it names none, or more than one (RFC 9112 §3.2).
fn authority(head: &Parts) -> Option<String> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return None;
    }
    let host = host.map(|h| h.to_str().ok());
    match (head.uri.authority(), host) {
        (Some(authority), _) => Some(authority.as_str().to_owned()),
        (None, Some(host)) => host.map(str::to_owned),
        // HTTP/1.0 knows no Host.
        (None, None) => (head.version <= Version::HTTP_10).then(String::new),
    }
}

fn received(head: Parts, authority: &str, body: Bytes, peer: IpAddr, at: Timestamp) -> Received {
    let target = head.uri.path_and_query().map_or_else(|| "/".to_owned(), |t| t.as_str().to_owned());
    let method = head.method.as_str().to_owned();
    Received { method, target, authority: authority.to_owned(), headers: head.headers.into(), body, peer, at }
}

fn refusal(entry: &Entry, refused: &Refused) -> Refusal {
    let (peer, reason) = (refused.received.peer, refused.reason.as_str());
    entry.metrics.refused(reason);
    if refused.reason == Reason::KeyUnavailable {
        // It says nothing of the sender, who shall come again.
        tracing::warn!(source = %entry.source.name, %peer, reason, "a request could not be judged");
        return Refusal::KeyUnavailable;
    }
    tracing::info!(source = %entry.source.name, %peer, reason, "a request was not believed");
    Refusal::BadSignature
}

fn intake(entry: &Entry, verified: Verified) -> Intake {
    let source = &entry.source;
    let key = |by: &Option<Selector>| by.as_ref().and_then(|by| by.order_key(verified.received()));
    let order_keys = entry.order_by.iter().map(key).collect();
    let at = verified.received().at;
    let dedupe = source.dedupe.zip(verified.provider_event_id());
    let dedupe = dedupe.map(|(window, key)| Dedupe { key: key.to_owned(), until: at.after(window) });
    Intake::new(verified, source.name.clone(), source.provider.clone(), source.destinations.clone(), dedupe).in_order(order_keys)
}

fn order_by(settings: &Settings, source: &Source) -> Vec<Option<Selector>> {
    let of = |name: &Name| settings.destinations.iter().find(|d| d.name == *name).and_then(|d| d.order_by.clone());
    let order_by: Vec<_> = source.destinations.iter().map(of).collect();
    if order_by.iter().any(Option::is_some) { order_by } else { Vec::new() }
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
            body::Problem::NoMemory => Self::Overload,
            body::Problem::Broken => Self::BadRequest,
        }
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Overloaded => Self::Overload,
            _ => Self::StoreFailed,
        }
    }
}
