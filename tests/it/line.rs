//! The straight line: a signed request over TLS becomes a durable event and reaches the application.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::world::{Reply, SECRET, Upstream, World, eventually, github_signature};

/// Tries again at once, so that tests need not wait.
const EAGER: &str = r#"retry = { schedule = ["1ms", "1ms", "1ms"] }"#;

#[tokio::test]
async fn bytes_in_are_bytes_out() {
    let world = World::start(EAGER, "").await;
    let body = b"{ \"zen\":\"caf\\u00e9 \xe2\x98\x83\", \"n\": 1.0e2,\r\n\0\xff }\n";
    let answer = world.send("d-1", body).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b""[..]));
    let got = &world.app.got(1).await[0];
    assert_eq!((&got.method, got.target.as_str(), &got.body[..]), (&Method::POST, "/hook", &body[..]));
    assert_eq!(got.header("x-github-delivery"), "d-1");
    assert_eq!(got.header("host"), world.app.address.to_string());
    assert_eq!(got.header("hookhold-source"), "gh");
    assert_eq!(got.header("hookhold-attempt"), "1");
    assert_eq!(got.header("hookhold-event-id"), answer.headers["hookhold-event-id"]);
    let event = &world.listed("/events?state=delivered", 1).await[0];
    let stored = world.admin(Method::GET, &format!("/events/{}/body", event["id"].as_str().unwrap()), b"").await;
    assert_eq!(&stored.body[..], body);
}

#[tokio::test]
async fn what_is_not_verified_goes_nowhere() {
    let world = World::start(EAGER, "").await;
    let wrong = github_signature("another secret", b"{}");
    for headers in [&[][..], &[("x-hub-signature-256", "")], &[("x-hub-signature-256", wrong.as_str())]] {
        let answer = world.post("/in/gh", headers, b"{}").await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (401, &b"unauthorized\n"[..]), "{headers:?}");
    }
    assert_eq!(world.post("/in/other", &[], b"{}").await.status, 404);
    assert_eq!(world.send("big", &[b'x'; 100 * 1024 + 1]).await.status, 413);
    assert_eq!(world.send("fits", &[b'x'; 100 * 1024]).await.status, 200);
    assert_eq!(world.app.got(1).await.len(), 1);
    world.listed("/events", 1).await;
}

#[tokio::test]
async fn a_large_body_is_judged_like_any_other() {
    let large = r#"
        [sources.large]
        path = "/in/large"
        provider = "github"
        secrets = [{ file = "secret" }]
        body = "16MiB"
        [[routes]]
        from = "large"
        to = "app"
    "#;
    let world = World::start(EAGER, large).await;
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let right = github_signature(SECRET, &body);
    let mut changed = body.clone();
    changed[4_999_999] ^= 1;
    let headers = [("x-hub-signature-256", right.as_str()), ("x-github-delivery", "d-1")];
    assert_eq!(world.post("/in/large", &headers, &changed).await.status, 401);
    assert_eq!(world.post("/in/large", &headers, &body).await.status, 200);
    assert!(world.app.got(1).await[0].body == body);
    let kept = world.listed("/quarantine", 1).await;
    let kept = world.admin(Method::GET, &format!("/quarantine/{}/body", kept[0]["id"].as_str().unwrap()), b"").await;
    assert!(kept.body == changed, "what was not believed is kept as it came");
}

#[tokio::test]
async fn a_provider_hears_what_it_wants_to_hear() {
    let sign = r#"
        [sources.sign]
        path = "/in/sign"
        provider = "dropbox-sign"
        secrets = [{ file = "secret" }]
        [sources.quiet]
        path = "/in/quiet"
        provider = "xero"
        secrets = [{ file = "secret" }]
        [[routes]]
        from = "sign"
        to = ["app"]
    "#;
    let world = World::start(EAGER, sign).await;
    let hash = github_signature(SECRET, b"1789999990signed").replace("sha256=", "");
    let json = format!(r#"{{"event":{{"event_time":"1789999990","event_type":"signed","event_hash":"{hash}"}}}}"#);
    let body = format!("--b\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{json}\r\n--b--\r\n");
    let form = [("content-type", "multipart/form-data; boundary=b")];
    let answer = world.post("/in/sign", &form, body.as_bytes()).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"Hello API Event Received"[..]));
    assert_eq!(answer.headers["content-type"], "text/plain");
    let forged = body.replace("signed", "agreed");
    assert_eq!(world.post("/in/sign", &form, forged.as_bytes()).await.status, 401);
    let refused = world.post("/in/quiet", &[], b"{}").await;
    assert_eq!((refused.status.as_u16(), &refused.body[..]), (401, &b""[..]));
    assert_eq!(world.app.got(1).await[0].body, body);
    assert_eq!(world.listed("/events", 1).await[0]["type"], "signed");
}

#[tokio::test]
async fn a_repeat_is_answered_counted_and_not_delivered_again() {
    let world = World::start(EAGER, "").await;
    let first = world.send("same", b"1").await;
    let again = world.send("same", b"1").await;
    assert_eq!(again.status, 200);
    assert_eq!(first.headers["hookhold-event-id"], again.headers["hookhold-event-id"]);
    world.send("other", b"2").await;
    assert_eq!(world.app.got(2).await.len(), 2);
    let events = world.listed("/events?state=delivered", 2).await;
    assert_eq!(events.iter().map(|e| e["duplicates"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_failing_application_is_tried_again_until_it_takes_the_event() {
    let world = World::start(EAGER, "").await;
    let busy = Reply { status: 503, headers: vec![("x-why", "busy".into())], body: b"later".to_vec(), delay: Duration::ZERO };
    world.app.script([busy, Reply::status(302)]);
    world.send("d-1", b"{}").await;
    let got = world.app.got(3).await;
    assert_eq!(got.iter().map(|r| r.header("hookhold-attempt")).collect::<Vec<_>>(), ["1", "2", "3"]);
    let delivery = &world.listed("/deliveries?state=delivered", 1).await[0];
    let delivery = world.get(&format!("/deliveries/{}", delivery["id"].as_str().unwrap())).await;
    let attempts = delivery["attempts"].as_array().unwrap();
    assert_eq!(attempts.iter().map(|a| a["status"].as_u64().unwrap()).collect::<Vec<_>>(), [503, 302, 200]);
    assert_eq!(attempts[0]["response_body"], "later");
    let headers = attempts[0]["response_headers"].as_array().unwrap();
    assert!(headers.iter().any(|h| h[0] == "x-why" && h[1] == "busy"), "{headers:?}");
}

#[tokio::test]
async fn a_refused_delivery_is_parked_and_a_person_can_retry_it() {
    let world = World::start(EAGER, "").await;
    world.app.script([Reply::status(410)]);
    world.send("d-1", b"{}").await;
    let parked = &world.listed("/deliveries?state=parked", 1).await[0];
    assert_eq!((&parked["reason"], &parked["attempts_made"]), (&Value::from("refused"), &Value::from(1)));
    let retry = format!("/deliveries/{}/retry", parked["id"].as_str().unwrap());
    assert_eq!(world.admin(Method::POST, &retry, b"").await.status, 202);
    world.listed("/deliveries?state=delivered", 1).await;
    assert_eq!(world.admin(Method::POST, &retry, b"").await.status, 409);
}

#[tokio::test]
async fn what_is_in_retry_on_is_tried_again_and_the_rest_of_the_list_parks() {
    let world = World::start(r#"retry = { schedule = ["1ms", "1ms"], retry_on = [422] }"#, "").await;
    world.app.script([Reply::status(422), Reply::status(422)]);
    world.send("d-1", b"{}").await;
    assert_eq!(world.listed("/deliveries?state=delivered", 1).await[0]["attempts_made"], 3);
    world.app.script([Reply::status(400)]);
    world.send("d-2", b"{}").await;
    assert_eq!(world.listed("/deliveries?state=parked", 1).await[0]["attempts_made"], 1);
}

#[tokio::test]
async fn a_delivered_event_can_be_replayed() {
    let world = World::start(EAGER, "").await;
    let answer = world.send("d-1", b"{}").await;
    let id = answer.headers["hookhold-event-id"].to_str().unwrap();
    world.listed("/deliveries?state=delivered", 1).await;
    assert_eq!(world.admin(Method::POST, &format!("/events/{id}/replay"), b"{}").await.status, 202);
    let got = world.app.got(2).await;
    assert_eq!(got[0].header("hookhold-event-id"), got[1].header("hookhold-event-id"));
    assert_ne!(got[0].header("hookhold-delivery-id"), got[1].header("hookhold-delivery-id"));
    world.listed("/deliveries?state=delivered", 2).await;
}

#[tokio::test]
async fn what_waits_survives_a_restart() {
    let mut world = World::start(r#"retry = { schedule = ["1h"] }"#, "").await;
    world.app.script([Reply::status(500)]);
    world.send("d-1", b"{}").await;
    let waits = eventually(async || {
        let items = world.get("/deliveries?state=pending").await["items"].clone();
        items.get(0).filter(|d| d["attempts_made"] == 1).cloned()
    });
    let id = waits.await["id"].as_str().unwrap().to_owned();
    world.down().await;
    world.up().await;
    assert_eq!(world.listed("/deliveries?state=pending", 1).await[0]["id"], id.as_str());
    assert_eq!(world.admin(Method::POST, &format!("/deliveries/{id}/retry"), b"").await.status, 202);
    assert_eq!(world.app.got(2).await[1].header("hookhold-attempt"), "2");
}

#[tokio::test]
async fn one_hanging_destination_does_not_slow_another() {
    let hanging = r#"
        [sources.slow]
        path = "/in/slow"
        provider = "none"
        [destinations.hangs]
        url = "http://{app}/hangs"
        in_flight = 1
        timeout = "1h"
        [[routes]]
        from = "slow"
        to = ["hangs"]
    "#;
    let world = World::start(EAGER, hanging).await;
    world.app.script([Reply { delay: Duration::from_secs(3600), ..Reply::status(200) }]);
    assert_eq!(world.post("/in/slow", &[], b"hang").await.status, 200);
    world.app.got(1).await;
    for n in 0..20 {
        world.send(&n.to_string(), b"{}").await;
    }
    world.listed("/deliveries?destination=app&state=delivered", 20).await;
    world.listed("/deliveries?destination=hangs&state=in_flight", 1).await;
}

#[tokio::test]
async fn a_destination_speaks_tls_and_only_its_roots_are_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let secure = Upstream::start_tls(folder.path()).await;
    let root = folder.path().join(hookhold::net::tls::SELF_SIGNED_FILES[0]);
    let more = format!(
        r#"
        [sources.s]
        path = "/in/s"
        provider = "none"
        [destinations.trusted]
        url = "https://{address}/"
        ca = {root:?}
        [destinations.stranger]
        url = "https://{address}/"
        retry = {{ schedule = ["1h"] }}
        [[routes]]
        from = "s"
        to = ["trusted", "stranger"]
        "#,
        address = secure.address,
    );
    let world = World::start(EAGER, &more).await;
    assert_eq!(world.post("/in/s", &[], b"over TLS").await.status, 200);
    world.listed("/deliveries?destination=trusted&state=delivered", 1).await;
    assert_eq!(&secure.got(1).await[0].body[..], b"over TLS");
    let failed = eventually(async || {
        let items = world.get("/deliveries?destination=stranger").await["items"].clone();
        items.get(0).filter(|d| d["attempts_made"] == 1).cloned()
    });
    let id = failed.await["id"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&format!("/deliveries/{id}")).await["attempts"][0]["error"], "tls");
}
