//! What the relay adds to a request, and what it leaves alone.

use std::collections::HashSet;

use crate::world::{Got, OPEN, Reply, World};

const EAGER: &str = r#"retry = { schedule = ["1ms", "1ms", "1ms"] }"#;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Trace, span and flags.
fn trace(got: &Got) -> (String, String, String) {
    let parts: Vec<_> = got.header("traceparent").split('-').collect();
    assert_eq!((parts[0], parts.len()), ("00", 4), "{parts:?}");
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}

#[tokio::test]
async fn a_trace_goes_on_and_each_attempt_is_a_span_of_it() {
    let world = World::start(EAGER, OPEN).await;
    world.app.script([Reply::status(500), Reply::status(500)]);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "a=1, b=2"), ("tracestate", "c=3")];
    world.post("/in/open", &headers, b"{}").await;
    let got = world.app.got(3).await;
    let spans: HashSet<_> = got.iter().map(|got| trace(got).1).collect();
    assert_eq!(spans.len(), 3);
    for got in &got {
        let (id, span, flags) = trace(got);
        assert!(id == TRACE && flags == "01" && span != "00f067aa0ba902b7");
        assert_eq!(got.headers.get_all("tracestate").iter().collect::<Vec<_>>(), ["a=1, b=2", "c=3"]);
    }
}

#[tokio::test]
async fn where_there_is_none_a_trace_begins_and_a_key_is_set() {
    let world = World::start(EAGER, OPEN).await;
    world.app.script([Reply::status(500)]);
    let answer = world.post("/in/open", &[("traceparent", "00-no-trace-01"), ("tracestate", "a=1")], b"{}").await;
    let got = world.app.got(2).await;
    let [(first, one, flags), (second, other, _)] = [trace(&got[0]), trace(&got[1])];
    assert!(first == second && one != other && flags == "01");
    assert_eq!((got[0].header("tracestate"), got[0].headers.contains_key("tracestate")), ("", false));
    let id = answer.headers["hookhold-event-id"].to_str().unwrap();
    assert_eq!((got[0].header("idempotency-key"), got[1].header("idempotency-key")), (id, id));
    world.post("/in/open", &[("idempotency-key", "the sender's")], b"{}").await;
    let got = world.app.got(3).await;
    assert_eq!(got[2].headers.get_all("idempotency-key").iter().collect::<Vec<_>>(), ["the sender's"]);
    assert_ne!(trace(&got[2]).0, first);
}

#[tokio::test]
async fn both_can_be_switched_off() {
    let world = World::start("trace_context = false\nidempotency_key = false", OPEN).await;
    world.post("/in/open", &[("traceparent", "as it came"), ("tracestate", "a=1")], b"{}").await;
    world.post("/in/open", &[], b"{}").await;
    let got = world.app.got(2).await;
    let names = ["traceparent", "tracestate", "idempotency-key"];
    let mut shown: Vec<_> = got.iter().map(|got| names.map(|name| got.header(name))).collect();
    shown.sort();
    assert_eq!(shown, [["", "", ""], ["as it came", "a=1", ""]]);
}
