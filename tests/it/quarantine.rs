//! Requests that were not believed: kept aside, judged again, and let out once they are believed.

use http::Method;
use serde_json::json;

use crate::world::{Reply, SECRET, World, eventually, github_signature};

async fn quarantined(world: &World, count: usize) -> Vec<serde_json::Value> {
    world.listed("/quarantine", count).await
}

async fn release(world: &World, what: serde_json::Value) -> (u16, serde_json::Value) {
    let answer = world.admin(Method::POST, "/quarantine/release", what.to_string().as_bytes()).await;
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn a_night_with_a_wrong_secret_costs_no_event() {
    let mut world = World::start("", "").await;
    let secret = world.folder.path().join("secret");
    std::fs::write(&secret, "a wrong one").unwrap();
    world.reload().await.unwrap();
    for n in 0..3 {
        assert_eq!(world.send(&format!("id-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await.status, 401);
    }
    let forged = github_signature("forged", b"{}");
    let headers = [("x-github-delivery", "forged"), ("x-hub-signature-256", forged.as_str())];
    assert_eq!(world.post("/in/gh", &headers, b"{}").await.status, 401);
    let kept = quarantined(&world, 4).await;
    assert_eq!((&kept[3]["source"], &kept[3]["reason"], &kept[3]["body_bytes"]), (&json!("gh"), &json!("mismatch"), &json!(7)));
    // The right secret is not there yet, and a restart changes nothing.
    assert_eq!(release(&world, json!({})).await, (200, json!({ "released": 0, "still_refused": 4 })));
    world.down().await;
    world.up().await;
    std::fs::write(&secret, SECRET).unwrap();
    world.reload().await.unwrap();
    assert_eq!(release(&world, json!({ "source": "gh" })).await, (200, json!({ "released": 3, "still_refused": 1 })));
    let events = world.listed("/events?state=delivered", 3).await;
    assert_eq!(events[2]["received_at"], kept[3]["received_at"], "the time at which it came");
    let got: Vec<_> = world.app.got(3).await.iter().map(|got| got.header("x-github-delivery").to_owned()).collect();
    assert_eq!(got.len(), 3);
    // The provider sends one again: it is known.
    assert_eq!(world.send("id-1", b"{\"n\":1}").await.status, 200);
    assert_eq!(world.listed("/events", 3).await.iter().map(|event| event["duplicates"].as_u64().unwrap()).sum::<u64>(), 1);
    assert_eq!(world.get("/status").await["counts"]["quarantined"], 1);
}

#[tokio::test]
async fn one_request_is_shown_vouched_for_or_dropped() {
    let world = World::start("", "").await;
    for body in [&b"\0one"[..], b"two"] {
        world.post("/in/gh", &[("x-github-event", "push"), ("x-github-delivery", "x")], body).await;
    }
    let kept = quarantined(&world, 2).await;
    let [two, one] = [0, 1].map(|n| kept[n]["id"].as_str().unwrap().to_owned());
    let shown = world.get(&format!("/quarantine/{one}")).await;
    assert_eq!(
        (&shown["reason"], &shown["method"], &shown["target"]),
        (&json!("missing_header"), &json!("POST"), &json!("/in/gh"))
    );
    assert!(shown["headers"].as_array().unwrap().contains(&json!(["x-github-event", "push"])), "{shown}");
    assert_eq!(&world.admin(Method::GET, &format!("/quarantine/{one}/body"), b"").await.body[..], b"\0one");
    let (status, problem) = release(&world, json!({ "source": "gh", "force": true })).await;
    assert_eq!((status, &problem["field"]), (400, &json!("force")));
    assert_eq!(release(&world, json!({ "ids": [two] })).await, (200, json!({ "released": 0, "still_refused": 1 })));
    assert_eq!(
        release(&world, json!({ "ids": [one], "force": true })).await,
        (200, json!({ "released": 1, "still_refused": 0 }))
    );
    assert_eq!(&world.app.got(1).await[0].body[..], b"\0one");
    assert_eq!(world.admin(Method::DELETE, &format!("/quarantine/{two}"), b"").await.status, 204);
    assert_eq!(world.admin(Method::DELETE, &format!("/quarantine/{two}"), b"").await.status, 404);
    assert_eq!(quarantined(&world, 0).await.len(), 0);
}

#[tokio::test]
async fn who_shows_a_secret_or_says_so_is_not_kept() {
    let more = r#"
        [sources.gl]
        path = "/in/gl"
        provider = "gitlab"
        secrets = [{ file = "secret" }]
        [sources.no]
        path = "/in/no"
        provider = "github"
        secrets = [{ file = "secret" }]
        on_bad_signature = "reject"
    "#;
    let world = World::start("", more).await;
    assert_eq!(world.post("/in/gl", &[("x-gitlab-token", "wrong")], b"{}").await.status, 401);
    assert_eq!(world.post("/in/no", &[("x-hub-signature-256", "sha256=00")], b"{}").await.status, 401);
    assert_eq!(world.post("/in/gh", &[("x-hub-signature-256", "sha256=00")], b"{}").await.status, 401);
    quarantined(&world, 1).await;
    let sources = world.get("/sources").await;
    let counts: Vec<_> = sources["items"].as_array().unwrap().iter().map(|s| s["quarantined"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 0, 0]);
    eventually(async || world.metrics().await.contains("outcome=\"bad_signature\"} 1").then_some(())).await;
}

#[tokio::test]
async fn what_is_released_goes_in_order_of_its_key() {
    // One attempt at a time, so that the first one is the one that fails.
    let mut world = World::start("in_flight = 1\norder_by = \"/k\"\nretry = { schedule = [\"1h\"] }", "").await;
    world.app.script([Reply::status(500)]);
    let secret = world.folder.path().join("secret");
    std::fs::write(&secret, "a wrong one").unwrap();
    world.reload().await.unwrap();
    for (id, body) in [("1", "{\"k\":\"a\"}"), ("2", "{\"k\":\"a\"}"), ("3", "{\"k\":\"b\"}")] {
        assert_eq!(world.send(id, body.as_bytes()).await.status, 401);
    }
    quarantined(&world, 3).await;
    std::fs::write(&secret, SECRET).unwrap();
    world.reload().await.unwrap();
    assert_eq!(release(&world, json!({})).await.1["released"], 3);
    world.listed("/deliveries?state=delivered", 1).await;
    let pending = world.listed("/deliveries?state=pending", 2).await;
    assert_eq!([&pending[0]["order_key"], &pending[1]["order_key"]], ["a", "a"]);
    assert_eq!(world.get("/destinations/app").await["blocked_keys"], 1);
}
