//! Challenges of providers over real TLS: answered by the relay itself, never an event, and nothing that a stranger could use.

use std::time::{SystemTime, UNIX_EPOCH};

use hookhold::net::client::Answer;
use http::Method;
use serde_json::{Value, json};

use crate::world::{Reply, SECRET, World, github_signature};

const SOURCES: &str = r#"
    [sources.zoom]
    path = "/in/zoom"
    provider = "zoom"
    secrets = [{ file = "secret" }]
    [sources.meta]
    path = "/in/meta"
    provider = "meta"
    secrets = [{ file = "secret" }]
    verify_token = { file = "secret" }
    [sources.trello]
    path = "/in/trello"
    provider = "trello"
    secrets = [{ file = "secret" }]
    [sources.cloud]
    path = "/in/cloud"
    provider = "cloudevents"
    secrets = [{ file = "secret" }]
    allowed_origins = ["events.example.com"]
    [sources.adobe]
    path = "/in/adobe"
    provider = "adobe-sign"
    secrets = [{ file = "secret" }]
    [sources.asana]
    path = "/in/asana"
    provider = "asana"
    [sources.notion]
    path = "/in/notion"
    provider = "notion"
    [sources.drive]
    path = "/in/drive"
    provider = "google-channels"
    secrets = [{ file = "secret" }]
    channel_ids = ["c1", "c2"]
    [sources.graph]
    path = "/in/graph"
    provider = "ms-graph"
    secrets = [{ file = "secret" }]
"#;

fn sources() -> String {
    let names = ["zoom", "meta", "trello", "cloud", "adobe", "asana", "notion", "graph", "drive"];
    let routes: String = names.iter().map(|name| format!("[[routes]]\nfrom = \"{name}\"\nto = \"app\"\n")).collect();
    format!("{SOURCES}\n{routes}")
}

/// A request as Zoom signs it.
async fn zoom(world: &World, secret: &str, body: &Value) -> Answer {
    let (body, now) = (body.to_string(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string());
    let tag = github_signature(secret, format!("v0:{now}:{body}").as_bytes()).replace("sha256=", "v0=");
    world.post("/in/zoom", &[("x-zm-request-timestamp", &now), ("x-zm-signature", &tag)], body.as_bytes()).await
}

fn validation(token: &Value) -> Value {
    json!({"event": "endpoint.url_validation", "payload": {"plainToken": token}})
}

fn said(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_challenge_is_answered_counted_and_never_an_event() {
    let world = World::start("", &sources()).await;
    let answer = zoom(&world, SECRET, &validation(&json!("qgg8vlvZRS6UYooatFL8Aw"))).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let tag = github_signature(SECRET, b"qgg8vlvZRS6UYooatFL8Aw").replace("sha256=", "");
    assert_eq!(said(&answer), (200, format!(r#"{{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"{tag}"}}"#)));
    assert_eq!(zoom(&world, "another secret", &validation(&json!("a"))).await.status, 401);
    for token in [json!("v0:1:{\"event\":\"x\"}"), json!(7), json!(["a"]), json!(""), json!("a".repeat(65))] {
        assert_eq!(said(&zoom(&world, SECRET, &validation(&token)).await), (400, "refused\n".to_owned()), "{token}");
    }
    assert_eq!(zoom(&world, SECRET, &json!({"event": "meeting.started"})).await.status, 200);
    assert_eq!(world.app.got(1).await[0].body, r#"{"event":"meeting.started"}"#);
    world.listed("/events", 1).await;
    let metrics = world.metrics().await;
    for line in [
        r#"hookhold_requests_total{source="zoom",outcome="handshake"} 1"#,
        r#"hookhold_requests_total{source="zoom",outcome="bad_request"} 5"#,
        r#"hookhold_requests_total{source="zoom",outcome="accepted"} 1"#,
        r#"hookhold_verification_failures_total{source="zoom",reason="handshake_value"} 5"#,
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_challenge_is_answered_while_nothing_else_fits() {
    let world = World::start(r#"retry = { schedule = ["1h"] }"#, &format!("[limits]\npending = 1\n{}", sources())).await;
    world.app.script([Reply::status(500)]);
    assert_eq!(world.send("d-1", b"{}").await.status, 200);
    world.app.got(1).await;
    let refused = zoom(&world, SECRET, &json!({"event": "meeting.started"})).await;
    let again = refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
    assert!(refused.status == 503 && (10..=20).contains(&again), "{refused:?}");
    assert_eq!(zoom(&world, SECRET, &validation(&json!("a"))).await.status, 200);
    assert_eq!(world.request(Method::HEAD, "/in/trello", &[], b"").await.status, 200);
}

#[tokio::test]
async fn other_methods_are_for_challenges_only() {
    let world = World::start("", &sources()).await;
    let get = async |target: &str| world.request(Method::GET, target, &[], b"").await;
    let token = SECRET.replace(' ', "+");
    let good = get(&format!("/in/meta?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=%3Cb%3E1")).await;
    assert_eq!(said(&good), (200, "<b>1".to_owned()));
    let expected =
        [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff"), ("cache-control", "no-store")];
    expected.iter().for_each(|(name, value)| assert_eq!(good.headers[*name], *value));
    let wrong = get("/in/meta?hub.mode=subscribe&hub.verify_token=x&hub.challenge=1").await;
    assert_eq!(said(&wrong), (403, "refused\n".to_owned()));
    let none = get("/in/meta").await;
    assert_eq!((none.status.as_u16(), &none.headers["allow"]), (405, &"POST, GET".parse().unwrap()));
    let none = get("/in/gh").await;
    assert_eq!((none.status.as_u16(), &none.headers["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(get("/in/graph?validationToken=a").await.status, 405);
    assert_eq!(said(&world.post("/in/graph?validationToken=a%20b", &[], b"").await), (200, "a b".to_owned()));
    let secret = world.post("/in/asana", &[("x-hook-secret", "mine-for-ever-and-ever")], b"{}").await;
    assert_eq!(secret.status, 401);
    assert!(!secret.headers.contains_key("x-hook-secret"));
    world.listed("/events", 0).await;
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_over_http_2() {
    let world = World::start("", &sources()).await;
    for (target, status) in [("/in/trello", 200), ("/in/meta", 405), ("/in/nowhere", 404)] {
        let answer = world.request_h2(Method::HEAD, target).await;
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (status, &b""[..]), "{target}");
    }
}

#[tokio::test]
async fn headers_are_answered_to_those_who_are_known() {
    let world = World::start("", &sources()).await;
    let ask = async |origin: &str| world.request(Method::OPTIONS, "/in/cloud", &[("webhook-request-origin", origin)], b"").await;
    let allowed = ask("events.example.com").await;
    assert_eq!(
        (allowed.status.as_u16(), &allowed.headers["webhook-allowed-origin"]),
        (200, &"events.example.com".parse().unwrap())
    );
    assert_eq!(allowed.headers["webhook-allowed-rate"], "*");
    assert_eq!(allowed.headers["allow"], "POST, OPTIONS");
    let refused = ask("evil.example").await;
    assert_eq!(refused.status, 403);
    assert!(!refused.headers.contains_key("webhook-allowed-origin"));
    // Adobe wants its header again, in the challenge and in each event's answer.
    let id = [("x-adobesign-clientid", SECRET)];
    let event = world.post("/in/adobe", &id, br#"{"webhookNotificationId":"1"}"#).await;
    assert_eq!((event.status.as_u16(), &event.headers["x-adobesign-clientid"]), (200, &SECRET.parse().unwrap()));
    let foreign = world.request(Method::GET, "/in/adobe", &[("x-adobesign-clientid", "other")], b"").await;
    assert_eq!(foreign.status, 401);
    assert!(!foreign.headers.contains_key("x-adobesign-clientid"));
    world.listed("/events", 1).await;
}

#[tokio::test]
async fn a_secret_is_taken_once_and_only_while_a_person_waits_for_it() {
    let mut world = World::start("", &sources()).await;
    const FIRST: &str = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81";
    let bring = async |world: &World, secret: &str| world.post("/in/asana", &[("x-hook-secret", secret)], b"{}").await;
    let event = async |world: &World, secret: &str| {
        let tag = github_signature(secret, br#"{"events":[]}"#).replace("sha256=", "");
        world.post("/in/asana", &[("x-hook-signature", &tag)], br#"{"events":[]}"#).await.status.as_u16()
    };
    let arm = async |world: &World, source: &str, ms: u64| {
        let body = json!({ "for_ms": ms }).to_string();
        world.admin(Method::POST, &format!("/sources/{source}/arm"), body.as_bytes()).await.status.as_u16()
    };
    assert_eq!(bring(&world, FIRST).await.status, 401);
    assert_eq!(event(&world, FIRST).await, 401);
    for (source, ms, status) in [("gh", 1000, 409), ("nobody", 1000, 404), ("asana", 0, 400), ("asana", 3_600_001, 400)] {
        assert_eq!(arm(&world, source, ms).await, status, "{source} {ms}");
    }
    assert_eq!(arm(&world, "asana", 600_000).await, 200);
    let disarm = async |world: &World, source: &str| {
        let answer = world.admin(Method::POST, &format!("/sources/{source}/disarm"), b"").await;
        (answer.status.as_u16(), serde_json::from_slice::<Value>(&answer.body).unwrap()["was_armed"].as_bool())
    };
    assert_eq!(disarm(&world, "asana").await, (200, Some(true)));
    assert_eq!(bring(&world, FIRST).await.status, 401);
    assert_eq!(disarm(&world, "asana").await, (200, Some(false)));
    assert_eq!([disarm(&world, "gh").await.0, disarm(&world, "nobody").await.0], [409, 404]);
    assert_eq!(arm(&world, "asana", 600_000).await, 200);
    assert_eq!(bring(&world, "short").await.status, 400);
    let taken = bring(&world, FIRST).await;
    assert_eq!((taken.status.as_u16(), taken.headers["x-hook-secret"].to_str().unwrap()), (200, FIRST));
    let file = world.folder.path().join("data/secrets/asana");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), FIRST);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap()) & 0o777, 0o600);
    let another = FIRST.replace('b', "c");
    let refused = bring(&world, &another).await;
    assert_eq!(refused.status, 401);
    assert!(!refused.headers.contains_key("x-hook-secret"));
    assert_eq!(arm(&world, "asana", 600_000).await, 409);
    assert_eq!((event(&world, FIRST).await, event(&world, &another).await), (200, 401));
    world.down().await;
    world.up().await;
    assert_eq!((event(&world, FIRST).await, event(&world, &another).await), (200, 401));
    // Notion's token comes in the body, and nothing goes back.
    let token = json!({"verification_token": "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}).to_string();
    assert_eq!(world.post("/in/notion", &[], token.as_bytes()).await.status, 401);
    assert_eq!(arm(&world, "notion", 600_000).await, 200);
    assert_eq!(said(&world.post("/in/notion", &[], token.as_bytes()).await), (200, String::new()));
    world.listed("/events", 2).await;
}

/// A list of what is ours counts in events as in challenges.
#[tokio::test]
async fn what_is_not_ours_is_no_event_and_no_challenge() {
    let world = World::start("", &sources()).await;
    let send = async |channel: &str, state: &str| {
        let headers = [("x-goog-channel-token", SECRET), ("x-goog-channel-id", channel), ("x-goog-resource-state", state)];
        world.post("/in/drive", &headers, b"").await.status.as_u16()
    };
    assert_eq!([send("c1", "sync").await, send("c2", "update").await], [200, 200]);
    assert_eq!([send("c3", "sync").await, send("c3", "update").await], [401, 401]);
    world.listed("/events", 1).await;
    let metrics = world.metrics().await;
    let line = r#"hookhold_verification_failures_total{source="drive",reason="other_recipient"} 2"#;
    assert!(metrics.lines().any(|known| known == line), "{metrics}");
}
