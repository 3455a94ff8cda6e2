//! Traces: what a collector hears of an event's way, and that the relay does not need one.

use std::collections::HashMap;

use hookhold::metrics::Metrics;
use hookhold::net::client::Server;
use hookhold::net::otlp::Exporter;
use hookhold::net::tls;
use hookhold::telemetry::{self, Spans, Trace};
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::world::{Got, OPEN, Reply, Upstream, World, eventually, nowhere};

const EAGER: &str = r#"retry = { schedule = ["50ms", "50ms", "50ms"] }"#;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";

/// Sends traces there. `more`: further settings.
fn to(collector: &Upstream, more: &str) -> String {
    format!("[telemetry]\ntraces = {{ otlp = \"http://{}\"{more} }}\n{OPEN}", collector.address)
}

/// What a collector got.
fn told(collector: &Upstream) -> Vec<ResourceSpans> {
    let read = |got: &Got| {
        assert_eq!((&got.method, got.target.as_str()), (&Method::POST, "/v1/traces"));
        assert_eq!(got.header("content-type"), "application/x-protobuf");
        ExportTraceServiceRequest::decode(got.body.clone()).unwrap().resource_spans
    };
    collector.requests().iter().flat_map(read).collect()
}

fn spans(collector: &Upstream) -> Vec<Span> {
    told(collector).into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
}

/// Waits until a collector got so many spans; by their names, in the order of their starts.
async fn heard(collector: &Upstream, count: usize) -> HashMap<String, Vec<Span>> {
    let mut spans = eventually(async || Some(spans(collector)).filter(|spans| spans.len() >= count)).await;
    assert_eq!(spans.len(), count, "{spans:?}");
    spans.sort_by_key(|span| span.start_time_unix_nano);
    let mut named = HashMap::<_, Vec<_>>::new();
    spans.into_iter().for_each(|span| named.entry(span.name.clone()).or_default().push(span));
    named
}

/// What is known of a span, as text.
fn known(span: &Span, name: &str) -> String {
    let pair = span.attributes.iter().find(|pair| pair.key == name);
    match pair.and_then(|pair| pair.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        None => String::new(),
        other => panic!("{name}: {other:?}"),
    }
}

#[track_caller]
fn knows(span: &Span, all: &[(&str, &str)]) {
    let found: Vec<_> = all.iter().map(|(name, _)| (*name, known(span, name))).collect();
    let wanted: Vec<_> = all.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    assert_eq!(found, wanted, "{}", span.name);
}

/// The one span of a name.
#[track_caller]
fn one<'a>(spans: &'a HashMap<String, Vec<Span>>, name: &str) -> &'a Span {
    let found = spans.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", spans.keys()));
    assert_eq!(found.len(), 1, "{found:?}");
    &found[0]
}

/// The `traceparent` by which an application knows an attempt.
fn parent(span: &Span) -> String {
    format!("00-{}-{}-01", hex::encode(&span.trace_id), hex::encode(&span.span_id))
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

#[tokio::test]
async fn an_event_is_accepted_committed_and_attempted_in_one_trace() {
    let collector = Upstream::start().await;
    let world =
        World::start(EAGER, &to(&collector, ", service = \"hooks\", headers = { x-token = { file = \"secret\" } }")).await;
    let id = world.send("1", b"{}").await.headers["hookhold-event-id"].to_str().unwrap().to_owned();
    let spans = heard(&collector, 3).await;
    let (accept, commit, attempt) = (one(&spans, "accept gh"), one(&spans, "commit"), one(&spans, "attempt app"));
    assert!(accept.parent_span_id.is_empty() && accept.links.is_empty());
    for child in [commit, attempt] {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&accept.trace_id, &accept.span_id));
    }
    assert_eq!([accept.kind(), commit.kind(), attempt.kind()], [SpanKind::Server, SpanKind::Internal, SpanKind::Client]);
    assert!([accept, commit, attempt].iter().all(|span| !is_error(span) && span.flags == 0x101));
    // It is the one that the application was told.
    assert_eq!(world.app.requests()[0].header("traceparent"), parent(attempt));
    let times = |span: &Span| (span.start_time_unix_nano, span.end_time_unix_nano);
    let ((begun, answered), (commits, committed), (attempted, ended)) = (times(accept), times(commit), times(attempt));
    assert!(begun < commits && commits < committed && committed <= answered && begun < attempted && attempted < ended);
    let event = [("hookhold.source", "gh"), ("hookhold.event.id", &id)];
    [accept, commit, attempt].iter().for_each(|span| knows(span, &event));
    let body = [("http.request.body.size", "2"), ("hookhold.outcome", "accepted"), ("http.route", "/in/gh")];
    knows(accept, &[("hookhold.provider", "github"), ("hookhold.event.type", "push"), ("http.response.status_code", "200")]);
    knows(accept, &body);
    let port = world.app.address.port().to_string();
    knows(attempt, &[("server.address", "127.0.0.1"), ("server.port", &port), ("http.request.method", "POST")]);
    knows(attempt, &[("http.response.status_code", "200"), ("hookhold.attempt", "1"), ("hookhold.verdict", "delivered")]);
    knows(attempt, &[("hookhold.destination", "app"), ("hookhold.event.type", "push"), ("http.request.resend_count", "")]);
    assert_eq!(collector.requests()[0].header("x-token"), crate::world::SECRET);
    let service = told(&collector)[0].resource.clone().unwrap().attributes[0].clone();
    assert_eq!(
        (service.key.as_str(), service.value.unwrap().value),
        ("service.name", Some(Value::StringValue("hooks".to_owned())))
    );
    let exported = "hookhold_spans_total{outcome=\"exported\"} 3";
    eventually(async || world.metrics().await.lines().any(|line| line == exported).then_some(())).await;
}

#[tokio::test]
async fn a_senders_trace_goes_on_and_its_word_on_sampling_counts() {
    let collector = Upstream::start().await;
    // None that begins here is recorded.
    let world = World::start(EAGER, &to(&collector, ", sample = 0")).await;
    let came = |flags: &str| format!("00-{TRACE}-{SENDER}-{flags}");
    for headers in [&[][..], &[("traceparent", came("00").as_str())], &[("traceparent", &came("01")), ("tracestate", "a=1")]] {
        assert_eq!(world.post("/in/open", headers, b"{}").await.status, 200);
    }
    let got = world.app.got(3).await;
    let mut flags: Vec<_> = got.iter().map(|got| got.header("traceparent").rsplit('-').next().unwrap().to_owned()).collect();
    flags.sort();
    assert_eq!(flags, ["00", "00", "01"]);
    let spans = heard(&collector, 3).await;
    let (accept, commit, attempt) = (one(&spans, "accept open"), one(&spans, "commit"), one(&spans, "attempt app"));
    assert_eq!((hex::encode(&accept.trace_id), hex::encode(&accept.parent_span_id)), (TRACE.to_owned(), SENDER.to_owned()));
    assert_eq!((accept.flags, commit.flags, attempt.flags), (0x301, 0x101, 0x101));
    for child in [commit, attempt] {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&accept.trace_id, &accept.span_id));
    }
    assert!([accept, commit, attempt].iter().all(|span| span.trace_state == "a=1"));
    assert!(got.iter().any(|got| got.header("traceparent") == parent(attempt)));
}

#[tokio::test]
async fn each_attempt_is_a_child_of_the_one_accept_also_after_a_restart() {
    let collector = Upstream::start().await;
    let mut world = World::start(r#"retry = { schedule = ["50ms", "1h"] }"#, &to(&collector, "")).await;
    world.app.script([Reply::status(503), Reply::status(418)]);
    world.send("1", b"{}").await;
    world.app.got(2).await;
    // What waits goes out at the end, at once.
    world.down().await;
    assert_eq!(spans(&collector).len(), 4);
    world.up().await;
    let waits = world.listed("/deliveries?state=pending", 1).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.admin(Method::POST, &format!("/deliveries/{waits}/retry"), b"").await.status, 202);
    let spans = heard(&collector, 5).await;
    let (accept, attempts) = (one(&spans, "accept gh"), &spans["attempt app"]);
    assert_eq!(attempts.len(), 3);
    let told: Vec<_> = world.app.requests().iter().map(|got| got.header("traceparent").to_owned()).collect();
    assert_eq!(attempts.iter().map(parent).collect::<Vec<_>>(), told);
    for (attempt, (status, verdict, sent)) in
        attempts.iter().zip([("503", "retry", ""), ("418", "retry", "1"), ("200", "delivered", "2")])
    {
        assert_eq!((&attempt.trace_id, &attempt.parent_span_id), (&accept.trace_id, &accept.span_id));
        assert_eq!(is_error(attempt), status != "200");
        knows(
            attempt,
            &[("http.response.status_code", status), ("hookhold.verdict", verdict), ("http.request.resend_count", sent)],
        );
        knows(attempt, &[("error.type", if status == "200" { "" } else { status })]);
    }
    assert_ne!(known(&attempts[0], "hookhold.retry_at"), "");
}

#[tokio::test]
async fn where_no_answer_comes_the_attempt_says_so_and_a_repeat_is_a_span_of_its_own() {
    let collector = Upstream::start().await;
    let world = World::start("timeout = \"100ms\"\nretry = { schedule = [] }", &to(&collector, "")).await;
    world.app.script([Reply { delay: std::time::Duration::from_secs(1), ..Reply::status(200) }]);
    world.send("1", b"{}").await;
    heard(&collector, 3).await;
    world.listed("/deliveries?state=parked", 1).await;
    world.send("1", b"{}").await;
    // The provider's repeat gives what is parked a new budget.
    let spans = heard(&collector, 6).await;
    let attempt = &spans["attempt app"][0];
    knows(attempt, &[("error.type", "timeout"), ("hookhold.verdict", "parked"), ("hookhold.parked.reason", "expired")]);
    assert!(is_error(attempt) && known(attempt, "http.response.status_code").is_empty());
    let accepts = &spans["accept gh"];
    knows(&accepts[1], &[("hookhold.outcome", "duplicate"), ("hookhold.event.id", &known(&accepts[0], "hookhold.event.id"))]);
    assert!(accepts[0].span_id != accepts[1].span_id && accepts[0].trace_id == accepts[1].trace_id);
    assert!(spans["attempt app"].iter().all(|attempt| attempt.parent_span_id == accepts[0].span_id));
}

#[tokio::test]
async fn a_refused_request_is_a_span_without_what_its_sender_wrote() {
    let collector = Upstream::start().await;
    let world = World::start(EAGER, &to(&collector, "")).await;
    let parent = format!("00-{TRACE}-{SENDER}-01");
    let headers = [
        ("x-hub-signature-256", "sha256=5ec4e7"),
        ("x-github-event", "5ec4e7"),
        ("x-github-delivery", "5ec4e7"),
        ("traceparent", &parent),
        ("tracestate", "s=5ec4e7"),
    ];
    assert_eq!(world.post("/in/gh?token=5ec4e7", &headers, b"5ec4e7").await.status, 401);
    assert_eq!(world.request(Method::from_bytes(b"X5EC4E7").unwrap(), "/in/5ec4e7", &headers, b"").await.status, 404);
    let spans = heard(&collector, 2).await;
    let refused = one(&spans, "accept gh");
    assert_eq!((is_error(refused), refused.kind()), (true, SpanKind::Server));
    knows(refused, &[("hookhold.outcome", "bad_signature"), ("error.type", "bad_signature"), ("hookhold.source", "gh")]);
    knows(refused, &[("http.response.status_code", "401"), ("http.request.method", "POST"), ("http.route", "/in/gh")]);
    assert_ne!(known(refused, "hookhold.reason"), "");
    // Strangers do not say which traces are recorded; what they claim is a link.
    assert!(refused.parent_span_id.is_empty() && hex::encode(&refused.trace_id) != TRACE);
    assert_eq!((hex::encode(&refused.links[0].trace_id), hex::encode(&refused.links[0].span_id)), (TRACE.into(), SENDER.into()));
    let unknown = one(&spans, "accept");
    knows(unknown, &[("error.type", "unknown_source"), ("http.request.method", "_OTHER"), ("http.response.status_code", "404")]);
    for got in collector.requests() {
        let text = String::from_utf8_lossy(&got.body).to_lowercase();
        assert!(!text.contains("5ec4e7"), "{text}");
    }
}

#[tokio::test]
async fn a_request_that_leaves_the_quarantine_is_where_its_attempts_begin() {
    let collector = Upstream::start().await;
    let world = World::start(EAGER, &to(&collector, "")).await;
    assert_eq!(world.post("/in/gh", &[("x-github-delivery", "1")], b"{}").await.status, 401);
    let id = world.listed("/quarantine", 1).await[0]["id"].clone();
    let body = format!("{{\"ids\":[{id}],\"force\":true}}");
    let answer = world.admin(Method::POST, "/quarantine/release", body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let spans = heard(&collector, 4).await;
    let (release, commit, attempt) = (one(&spans, "release gh"), one(&spans, "commit"), one(&spans, "attempt app"));
    assert_eq!((release.kind(), known(release, "http.request.method")), (SpanKind::Internal, String::new()));
    for child in [commit, attempt] {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&release.trace_id, &release.span_id));
    }
}

#[tokio::test]
async fn a_reload_begins_and_ends_it() {
    let collector = Upstream::start().await;
    let mut world = World::start(EAGER, "").await;
    world.send("1", b"{}").await;
    world.app.got(1).await;
    let file = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let section = format!("[telemetry.traces]\notlp = 'http://{}/v1/traces'\n", collector.address);
    std::fs::write(&file, format!("{text}\n{section}")).unwrap();
    assert_eq!(world.reload().await.unwrap(), ["telemetry: added"]);
    world.send("2", b"{}").await;
    world.app.got(2).await;
    std::fs::write(&file, text).unwrap();
    assert_eq!(world.reload().await.unwrap(), ["telemetry: removed"]);
    world.send("3", b"{}").await;
    let got = world.app.got(3).await;
    // Of the second all, whichever settings its attempt ended under, and of the others nothing.
    let spans = eventually(async || Some(spans(&collector)).filter(|spans| spans.len() >= 3)).await;
    let ours: Vec<_> = spans.iter().map(|span| hex::encode(&span.trace_id)).collect();
    assert!(ours.iter().all(|trace| got[1].header("traceparent").contains(trace.as_str())), "{spans:?}");
}

#[tokio::test]
async fn a_relay_whose_collector_is_down_takes_and_delivers() {
    let mut world = World::start(EAGER, &format!("[telemetry]\ntraces = {{ otlp = \"http://{}\" }}\n", nowhere())).await;
    for n in 0..5 {
        assert_eq!(world.send(&n.to_string(), b"{}").await.status, 200);
    }
    world.app.got(5).await;
    eventually(async || {
        let metrics = world.metrics().await;
        metrics
            .lines()
            .find_map(|line| line.strip_prefix("hookhold_spans_total{outcome=\"failed\"} ")?.parse().ok())
            .filter(|n: &u64| *n > 0)
    })
    .await;
    world.down().await;
}

#[tokio::test]
async fn spans_that_nobody_takes_are_dropped_and_those_who_record_do_not_wait() {
    const ALL: usize = 10_000;
    let collector = Upstream::start().await;
    collector.script((0..100).map(|_| Reply::status(503)));
    let (metrics, stop) = (Metrics::new(), CancellationToken::new());
    tls::install_provider();
    let url = format!("http://{}/v1/traces", collector.address).parse().unwrap();
    let server = Server::of(&url, tls::client_config(None).unwrap(), false).unwrap();
    let exporter = Exporter::new(server, &url, &[], "hookhold".to_owned(), metrics.spans()).unwrap();
    let (spans, queue) = Spans::wanted(1.0, metrics.spans());
    let running = tokio::spawn(exporter.run(queue, stop.clone()));
    let record = |count: usize| {
        let trace = Trace::anew(1, 2, &spans);
        (0..count).for_each(|_| spans.record(telemetry::Span::of(&trace, [1; 8], telemetry::Kind::Internal, "commit")));
    };
    record(ALL / 2);
    collector.got(1).await;
    record(ALL / 2);
    stop.cancel();
    running.await.unwrap();
    let text = metrics.render();
    let count = |outcome: &str| -> usize {
        let name = format!("hookhold_spans_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
    };
    assert_eq!((count("exported"), count("dropped") + count("failed")), (0, ALL), "{text}");
    assert!(count("dropped") > 0 && count("failed") > 0, "{text}");
}
