//! Routes with conditions: what comes to one source goes where its type, its headers and its body say, and nowhere else.

use http::Method;
use serde_json::json;

use crate::world::{SECRET, World, eventually, github_signature};

/// A source of GitHub with a route by type, one by header, one by body, and one for the rest; and one without the last.
const ROUTES: &str = r#"
    [sources.by]
    path = "/in/by"
    provider = "github"
    secrets = [{ file = "secret" }]
    [sources.some]
    path = "/in/some"
    provider = "github"
    secrets = [{ file = "secret" }]
    [[routes]]
    from = ["by", "some"]
    to = ["type"]
    when = { type = ["pull_request*", "push"] }
    [[routes]]
    from = "by"
    to = ["header", "both"]
    when = { header = { "X-Region" = { in = ["eu", "uk"] } }, method = "POST" }
    [[routes]]
    from = "by"
    to = ["body", "both"]
    when = { body = { "/amount" = { gt = 9007199254740992 }, "/livemode" = true } }
    [[routes]]
    from = "by"
    to = ["rest"]
    otherwise = true
    [destinations.type]
    url = "http://{app}/type"
    [destinations.header]
    url = "http://{app}/header"
    order_by = "x-key"
    [destinations.both]
    url = "http://{app}/both"
    [destinations.body]
    url = "http://{app}/body"
    order_by = "/key"
    [destinations.rest]
    url = "http://{app}/rest"
"#;

/// An event's type, more headers, and body; and where it goes.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);

/// Sends an event with this type and these headers to a source; its id.
async fn send(world: &World, path: &str, kind: &str, more: &[(&str, &str)], body: &str) -> String {
    let signature = github_signature(SECRET, body.as_bytes());
    let mut headers = vec![("x-github-event", kind), ("x-hub-signature-256", &signature)];
    headers.extend_from_slice(more);
    let answer = world.post(path, &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 200);
    answer.headers["hookhold-event-id"].to_str().unwrap().to_owned()
}

/// Where the deliveries of an event went, and their keys.
async fn went(world: &World, id: &str) -> Vec<(String, serde_json::Value)> {
    let event = world.get(&format!("/events/{id}")).await;
    let of = |d: &serde_json::Value| (d["destination"].as_str().unwrap().to_owned(), d["order_key"].clone());
    event["deliveries"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn events_go_where_they_should_and_nowhere_else() {
    let world = World::start("", ROUTES).await;
    let live = r#"{"amount":9007199254740993,"livemode":true,"key":"k"}"#;
    let cases: [Case; 8] = [
        ("push", &[], "{}", &["type"]),
        ("pull_request_review", &[], "no JSON", &["type"]),
        ("ping", &[("x-region", "us"), ("x-region", "uk"), ("x-key", "h")], "{}", &["header", "both"]),
        ("ping", &[], live, &["both", "body"]),
        // Several fit: each destination once.
        ("push", &[("x-region", "eu")], live, &["type", "header", "both", "body"]),
        ("ping", &[], r#"{"amount":9007199254740992,"livemode":true}"#, &["rest"]),
        ("ping", &[], r#"amount=9007199254740993&livemode=true"#, &["rest"]),
        ("", &[("x-region", "EU")], "", &["rest"]),
    ];
    let mut expected = Vec::new();
    for (n, (kind, headers, body, to)) in cases.iter().enumerate() {
        let id = n.to_string();
        let headers: Vec<_> = headers.iter().copied().chain([("x-github-delivery", id.as_str())]).collect();
        let event = send(&world, "/in/by", kind, &headers, body).await;
        let names: Vec<_> = went(&world, &event).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, *to, "{kind} {body}");
        expected.extend(to.iter().map(|name| (format!("/{name}"), id.clone())));
    }
    world.listed("/deliveries?state=delivered&limit=100", expected.len()).await;
    let got = world.app.requests();
    let mut got: Vec<_> = got.iter().map(|got| (got.target.clone(), got.header("x-github-delivery").to_owned())).collect();
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn keys_of_order_are_those_of_the_chosen_destinations() {
    let world = World::start("", ROUTES).await;
    let id = send(&world, "/in/by", "ping", &[("x-key", "h")], r#"{"amount":1e30,"livemode":true,"key":"k"}"#).await;
    let expected = [("both".to_owned(), json!(null)), ("body".to_owned(), json!("k"))];
    assert_eq!(went(&world, &id).await, expected);
    let id = send(&world, "/in/by", "push", &[("x-key", "h"), ("x-region", "eu")], r#"{"key":"k"}"#).await;
    let expected = [("type", json!(null)), ("header", json!("h")), ("both", json!(null))];
    assert_eq!(went(&world, &id).await, expected.map(|(name, key)| (name.to_owned(), key)));
}

#[tokio::test]
async fn what_no_route_takes_is_kept_counted_and_routed_by_a_replay_later() {
    let mut world = World::start("", ROUTES).await;
    let id = send(&world, "/in/some", "ping", &[("x-github-delivery", "1")], "{}").await;
    send(&world, "/in/some", "ping", &[("x-github-delivery", "1")], "{}").await;
    send(&world, "/in/some", "push", &[("x-github-delivery", "2")], "{}").await;
    let unrouted = world.listed("/events?state=unrouted", 1).await;
    assert_eq!((&unrouted[0]["id"], &unrouted[0]["state"]), (&json!(id), &json!("unrouted")));
    let metrics = world.metrics().await;
    // The repeat is no second event.
    assert!(metrics.contains(r#"hookhold_events_unrouted_total{source="some"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"hookhold_requests_total{source="some",outcome="accepted"} 2"#), "{metrics}");
    let replay = format!("/events/{id}/replay");
    assert_eq!(world.admin(Method::POST, &replay, b"").await.status, 400);
    // Rules are replaced with the rest of the configuration, for what comes and for what is replayed.
    let path = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(r#"["pull_request*", "push"]"#, r#"["ping", "issues"]"#)).unwrap();
    world.reload().await.unwrap();
    let pushed = send(&world, "/in/some", "push", &[("x-github-delivery", "3")], "{}").await;
    assert_eq!(went(&world, &pushed).await, []);
    assert_eq!(world.admin(Method::POST, &replay, b"").await.status, 202);
    assert_eq!(went(&world, &id).await, [("type".to_owned(), json!(null))]);
    // All of them by a filter: only what a route takes now is made anew.
    world.listed("/deliveries?state=delivered", 2).await;
    let filter = json!({ "filter": { "source": "some" } }).to_string();
    let made = world.admin(Method::POST, "/replays", filter.as_bytes()).await;
    let made: serde_json::Value = serde_json::from_slice(&made.body).unwrap();
    let done = eventually(async || {
        let replay = world.get(&format!("/replays/{}", made["id"].as_str().unwrap())).await;
        (replay["state"] == "done").then_some(replay)
    });
    let done = done.await;
    assert_eq!((&done["matched"], &done["created"]), (&json!(3), &json!(1)), "{done}");
}

#[tokio::test]
async fn what_is_released_from_quarantine_is_routed_alike() {
    let world = World::start("", ROUTES).await;
    for (kind, body) in [("push", "{}"), ("ping", r#"{"amount":1e16,"livemode":true}"#), ("ping", "{}")] {
        let headers = [("x-github-event", kind), ("x-hub-signature-256", "sha256=00")];
        assert_eq!(world.post("/in/by", &headers, body.as_bytes()).await.status, 401);
    }
    let ids: Vec<_> = world.listed("/quarantine", 3).await.iter().rev().map(|kept| kept["id"].clone()).collect();
    let answer =
        world.admin(Method::POST, "/quarantine/release", json!({ "ids": ids, "force": true }).to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let events = world.listed("/events", 3).await;
    let mut all = Vec::new();
    for event in events.iter().rev() {
        all.push(went(&world, event["id"].as_str().unwrap()).await.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    assert_eq!(all, [&["type"][..], &["both", "body"], &["rest"]]);
}
