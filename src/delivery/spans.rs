//! The span of an attempt: a child of the one in which its event was accepted, under the id that its application was told.
//!
//! Says where the application is by host and port only: the rest of its URL may be a secret.

use std::borrow::Cow;
use std::time::Duration;

use super::road::Road;
use crate::record::{Delivery, Event, Outcome, Verdict};
use crate::telemetry::{Kind, Span, SpanId, Spans, TRACEPARENT, TRACESTATE, Trace, accept_span, state};

/// An attempt that has ended.
pub(super) struct Made<'a> {
    /// The delivery.
    pub(super) delivery: &'a Delivery,
    /// Its event.
    pub(super) event: &'a Event,
    /// The attempt's number.
    pub(super) number: u32,
    /// Its span.
    pub(super) span: SpanId,
    /// What came of it.
    pub(super) outcome: &'a Outcome,
    /// What follows from that.
    pub(super) verdict: Verdict,
    /// How long it took.
    pub(super) took: Duration,
}

/// The trace that an event belongs to.
pub(super) fn trace(event: &Event, spans: &Spans) -> Trace {
    Trace::of(event.id, event.headers.all(TRACEPARENT), spans)
}

/// Records an attempt that ended just now, where its trace is recorded.
pub(super) fn record(road: &Road, made: &Made<'_>) {
    let trace = trace(made.event, &road.spans);
    if trace.is_sampled() {
        road.spans.record(span(road, made, &trace));
    }
}

fn span(road: &Road, made: &Made<'_>, trace: &Trace) -> Span {
    let Made { delivery, event, number, span, outcome, verdict, took } = *made;
    let mut span = Span::of(trace, span, Kind::Client, format!("attempt {}", delivery.destination));
    span.parent = Some(accept_span(event.id));
    if trace.sender.is_some() {
        span.state = state(event.headers.all(TRACESTATE));
    }
    span.end_ns = road.clock.now_ns();
    span.start_ns = span.end_ns.saturating_sub(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    span.text("http.request.method", event.method.clone());
    address(road, &mut span);
    if number > 1 {
        span.number("http.request.resend_count", number - 1);
    }
    span.text("hookhold.source", event.source.as_str());
    span.text("hookhold.provider", event.provider.as_ref());
    span.text("hookhold.event.id", event.id.to_string());
    if let Some(kind) = &event.kind {
        span.text("hookhold.event.type", kind.as_str());
    }
    span.text("hookhold.delivery.id", delivery.id.to_string());
    span.text("hookhold.destination", delivery.destination.as_str());
    span.number("hookhold.attempt", number);
    if let Some(replay) = &delivery.replay_id {
        span.text("hookhold.replay.id", replay.as_str());
    }
    came(&mut span, outcome);
    follows(&mut span, verdict);
    span
}

fn address(road: &Road, span: &mut Span) {
    let url = &road.destination.url;
    if let Some(socket) = &road.destination.socket {
        span.text("server.address", socket.display().to_string());
        span.word("network.transport", "unix");
        return;
    }
    span.text("url.scheme", url.scheme());
    if let Some(host) = url.host_str() {
        span.text("server.address", host);
    }
    if let Some(port) = url.port_or_known_default() {
        span.number("server.port", port);
    }
}

fn came(span: &mut Span, outcome: &Outcome) {
    match outcome {
        Outcome::Answered(answer) => {
            span.number("http.response.status_code", answer.status);
            if !answer.is_success() {
                span.text("error.type", answer.status.to_string());
                span.error = Some(Cow::Owned(format!("answered {}", answer.status)));
            }
        }
        Outcome::Failed { failure, detail } => {
            span.word("error.type", failure.as_str());
            span.error = Some(Cow::Owned(detail.clone()));
        }
    }
}

fn follows(span: &mut Span, verdict: Verdict) {
    match verdict {
        Verdict::Delivered => span.word("hookhold.verdict", "delivered"),
        Verdict::RetryAt(due) => {
            span.word("hookhold.verdict", "retry");
            span.text("hookhold.retry_at", due.to_string());
        }
        Verdict::Park(reason) => {
            span.word("hookhold.verdict", "parked");
            span.word("hookhold.parked.reason", reason.as_str());
        }
    }
}
