//! The spans of a request: that it was accepted, or refused, and within it that it was made durable.
//!
//! Of a request that was not believed there is nothing that its sender wrote. Such a one, and a handshake, begins a trace of its own:
//! no stranger says which traces are recorded. What it claims to belong to is a link.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Version};

use super::handler::Taken;
use super::reply::Refusal;
use crate::chance::Chance;
use crate::config::settings::{Source, SourcePath};
use crate::metrics::RequestOutcome;
use crate::record::EventId;
use crate::signature::Verified;
use crate::store::Appended;
use crate::telemetry::{
    Kind, Link, Span, SpanId, Spans, TRACEPARENT, TRACESTATE, Trace, accept_span, commit_span, span_id, state,
};
use crate::time::Stopwatch;

/// What is noted of a request for its spans. There is none where nobody wants spans.
pub(super) struct Noted {
    /// Since its head was there.
    watch: Stopwatch,
    /// `None` where it came before, and was quarantined.
    request: Option<Request>,
    came: Option<Trace>,
    state: String,
    /// What its proof showed.
    proved: Option<Proved>,
    /// Why it was not believed.
    reason: Option<&'static str>,
    /// When its commit began and ended.
    commit: Option<(Duration, Duration)>,
    became: Option<Became>,
}

struct Request {
    method: &'static str,
    version: &'static str,
    peer: IpAddr,
}

struct Proved {
    kind: Option<String>,
    body_bytes: usize,
}

/// What became of a request.
#[derive(Clone, Copy)]
enum Became {
    Event(EventId),
    Repeat(EventId),
    Handshake,
    Refused(&'static str),
}

impl Became {
    fn of(appended: &Appended) -> Self {
        match appended {
            Appended::Stored(event) => Self::Event(*event),
            Appended::Duplicate(event) => Self::Repeat(*event),
        }
    }
}

impl Noted {
    /// Of the request with this head, whose time runs on `watch`.
    pub(super) fn begin(spans: &Spans, head: &Parts, peer: IpAddr, watch: Stopwatch) -> Option<Box<Self>> {
        spans.are_wanted().then(|| {
            let all = |name| head.headers.get_all(name).iter().map(HeaderValue::as_bytes);
            let request = Request { method: method(&head.method), version: version(head.version), peer };
            Box::new(Self::new(watch, Some(request), all(TRACEPARENT), all(TRACESTATE)))
        })
    }

    /// Of a request that leaves the quarantine.
    pub(super) fn again(spans: &Spans, verified: &Verified) -> Option<Box<Self>> {
        spans.are_wanted().then(|| {
            let headers = &verified.received().headers;
            let (parents, states) = (headers.all(TRACEPARENT), headers.all(TRACESTATE));
            let mut noted = Self::new(Stopwatch::start(), None, parents, states);
            noted.proved(verified);
            Box::new(noted)
        })
    }

    fn new<'a>(
        watch: Stopwatch,
        request: Option<Request>,
        parents: impl Iterator<Item = &'a [u8]>,
        states: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        let came = Trace::came(parents);
        let state = came.map_or_else(String::new, |_| state(states));
        Self { watch, request, came, state, proved: None, reason: None, commit: None, became: None }
    }

    /// It is proved who sent it.
    pub(super) fn proved(&mut self, verified: &Verified) {
        let kind = verified.kind().map(str::to_owned);
        self.proved = Some(Proved { kind, body_bytes: verified.received().body.len() });
    }

    /// It was not believed.
    pub(super) fn not_believed(&mut self, reason: &'static str) {
        self.reason = Some(reason);
    }

    /// Its commit begins.
    pub(super) fn commits(&mut self) {
        let now = self.watch.elapsed();
        self.commit = Some((now, now));
    }

    /// Its commit has ended.
    pub(super) fn committed(&mut self) {
        let now = self.watch.elapsed();
        self.commit.iter_mut().for_each(|(_, end)| *end = now);
    }

    /// It is known what became of it.
    pub(super) fn became(&mut self, taken: &Result<Taken, Refusal>) {
        self.became = Some(match taken {
            Ok(Taken::Event(appended, ..)) => Became::of(appended),
            Ok(Taken::Handshake(_)) => Became::Handshake,
            Err(refusal) => Became::Refused(refusal.outcome().as_str()),
        });
    }

    /// It was not let in.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.became = Some(Became::Refused(refusal.outcome().as_str()));
    }

    /// It left the quarantine, just now.
    pub(super) fn released(&mut self, spans: &Spans, source: &Source, appended: &Appended, now_ns: u64) {
        self.became = Some(Became::of(appended));
        self.answered(spans, Some(source), None, now_ns);
    }

    /// It is answered, at `now_ns`: records its spans. `source`: where one was found.
    pub(super) fn answered(&self, spans: &Spans, source: Option<&Source>, status: Option<StatusCode>, now_ns: u64) {
        let no_source =
            if status == Some(StatusCode::NOT_FOUND) { "unknown_source" } else { RequestOutcome::BadRequest.as_str() };
        let became = self.became.unwrap_or(Became::Refused(no_source));
        let (trace, id) = self.place(became, spans);
        if !trace.is_sampled() {
            return;
        }
        let start_ns = now_ns.saturating_sub(nanos(self.watch.elapsed()));
        let (kind, done) = if self.request.is_some() { (Kind::Server, "accept") } else { (Kind::Internal, "release") };
        let name = source.map_or_else(|| done.to_owned(), |source| format!("{done} {}", source.name));
        let mut span = Span::of(&trace, id, kind, name);
        (span.start_ns, span.end_ns) = (start_ns, now_ns);
        match became {
            Became::Event(_) | Became::Repeat(_) => {
                (span.parent, span.is_parent_remote) = (trace.sender, trace.sender.is_some());
                span.state.clone_from(&self.state);
            }
            Became::Handshake | Became::Refused(_) => {
                span.link = self.came.and_then(|came| Some(Link { trace: came.id, span: came.sender? }));
            }
        }
        self.describe(&mut span, source, status);
        result(&mut span, became, self.reason);
        let is_stranger = self.proved.is_none();
        let commit = self.commit.map(|within| commit(&span, became, within));
        let all = commit.into_iter().chain([span]);
        all.for_each(|span| if is_stranger { spans.record_of_stranger(span) } else { spans.record(span) });
    }

    /// Its trace and its own span.
    fn place(&self, became: Became, spans: &Spans) -> (Trace, SpanId) {
        let chance = Chance::system();
        let trace = |event| self.came.unwrap_or_else(|| Trace::of(event, [], spans));
        match became {
            Became::Event(event) => (trace(event), accept_span(event)),
            // The event's own ids are taken.
            Became::Repeat(event) => (trace(event), span_id(chance.draw())),
            Became::Handshake | Became::Refused(_) => (Trace::anew(chance.draw(), chance.draw(), spans), span_id(chance.draw())),
        }
    }

    fn describe(&self, span: &mut Span, source: Option<&Source>, status: Option<StatusCode>) {
        if let Some(Request { method, version, peer }) = self.request {
            span.word("http.request.method", method);
            span.word("url.scheme", "https");
            span.word("network.protocol.name", "http");
            span.word("network.protocol.version", version);
            span.text("client.address", peer.to_string());
        }
        if let Some(status) = status {
            span.number("http.response.status_code", status.as_u16());
        }
        let Some(source) = source else { return };
        match &source.path {
            SourcePath::Exact(path) => span.text("http.route", path.as_str()),
            SourcePath::Below(path) => span.text("http.route", format!("{path}/*")),
        }
        if let Some(host) = &source.host {
            span.text("server.address", host.as_str());
        }
        span.text("hookhold.source", source.name.as_str());
        span.text("hookhold.provider", source.provider.as_ref());
        let Some(proved) = &self.proved else { return };
        span.number("http.request.body.size", u64::try_from(proved.body_bytes).unwrap_or(u64::MAX));
        if let Some(kind) = &proved.kind {
            span.text("hookhold.event.type", kind.as_str());
        }
    }
}

fn result(span: &mut Span, became: Became, reason: Option<&'static str>) {
    let outcome = match became {
        Became::Event(_) => RequestOutcome::Accepted.as_str(),
        Became::Repeat(_) => RequestOutcome::Duplicate.as_str(),
        Became::Handshake => RequestOutcome::Handshake.as_str(),
        Became::Refused(outcome) => outcome,
    };
    span.word("hookhold.outcome", outcome);
    match became {
        Became::Event(event) | Became::Repeat(event) => span.text("hookhold.event.id", event.to_string()),
        Became::Handshake => {}
        Became::Refused(outcome) => {
            span.word("error.type", outcome);
            span.error = Some(Cow::Borrowed(reason.unwrap_or(outcome)));
        }
    }
    if let Some(reason) = reason {
        span.word("hookhold.reason", reason);
    }
}

/// The commit within `accept`, from and until these times after its start.
fn commit(accept: &Span, became: Became, (from, until): (Duration, Duration)) -> Span {
    let id = match became {
        Became::Event(event) => commit_span(event),
        Became::Repeat(_) | Became::Handshake | Became::Refused(_) => span_id(Chance::system().draw()),
    };
    let mut span = Span {
        id,
        parent: Some(accept.id),
        is_parent_remote: false,
        link: None,
        kind: Kind::Internal,
        name: "commit".to_owned(),
        start_ns: accept.start_ns.saturating_add(nanos(from)),
        end_ns: accept.start_ns.saturating_add(nanos(until)),
        attributes: Vec::new(),
        ..accept.clone()
    };
    let told = ["hookhold.source", "hookhold.event.id", "hookhold.outcome", "error.type"];
    span.attributes = accept.attributes.iter().filter(|(name, _)| told.contains(name)).cloned().collect();
    span
}

/// Methods that everybody knows; a sender may write any other word.
fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    known.into_iter().find(|known| method == *known).unwrap_or("_OTHER")
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
