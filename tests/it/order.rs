//! Order by key through the whole relay: the application sees each key's events one at a time, in order, over failures and restarts.

use std::collections::HashMap;

use crate::world::{Reply, World};

/// Nothing is parked: which requests fail depends on how the keys interleave, and so how often one delivery does.
const ORDERED: &str = "order_by = \"/key\"\nretry = { base = \"50ms\", cap = \"50ms\" }";

fn body(key: &str, n: usize) -> Vec<u8> {
    format!(r#"{{"key":"{key}","n":{n}}}"#).into_bytes()
}

#[tokio::test]
async fn the_application_sees_each_key_in_order() {
    let mut world = World::start(ORDERED, "").await;
    // Every third request fails.
    let replies = (0..120).map(|n| Reply::status(if n % 3 == 1 { 500 } else { 200 }));
    world.app.script(replies);
    for n in 0..40 {
        assert_eq!(world.send(&n.to_string(), &body(["a", "b", "c"][n % 3], n)).await.status, 200);
        if n == 20 {
            world.down().await;
            world.up().await;
        }
    }
    world.listed("/deliveries?state=delivered&limit=100", 40).await;
    // What was seen last of each key never goes back, though it may come again.
    let mut last: HashMap<String, u64> = HashMap::new();
    for got in world.app.requests() {
        let seen: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        let (key, n) = (seen["key"].as_str().unwrap().to_owned(), seen["n"].as_u64().unwrap());
        let before = last.insert(key.clone(), n);
        assert!(before.is_none_or(|before| n == before || n == before + 3), "{key}: {n} after {before:?}");
    }
}

#[tokio::test]
async fn a_failing_key_waits_is_shown_and_other_keys_go_on() {
    let world = World::start("order_by = \"X-Key\"\nretry = { schedule = [\"1h\"] }", "").await;
    world.app.script([Reply::status(500)]);
    let send = async |id: &str, key: &str| {
        let signature = crate::world::github_signature(crate::world::SECRET, b"{}");
        let headers = [("x-github-delivery", id), ("x-hub-signature-256", signature.as_str()), ("x-key", key)];
        world.post("/in/gh", &headers, b"{}").await
    };
    send("1", "bad").await;
    world.app.got(1).await;
    for n in 2..6 {
        send(&n.to_string(), if n == 3 { "good" } else { "bad" }).await;
    }
    world.listed("/deliveries?state=delivered", 1).await;
    let app = world.get("/destinations/app").await;
    assert_eq!((&app["blocked_keys"], &app["pending"]), (&1.into(), &4.into()), "{app}");
    let head = &app["blocked_by"][0];
    assert_eq!((&head["order_key"], &head["attempts_made"]), (&"bad".into(), &1.into()));
    let waiting = world.get("/deliveries?state=pending&limit=1").await["items"][0].clone();
    assert_eq!((&waiting["order_key"], &waiting["next_attempt_at"]), (&"bad".into(), &serde_json::Value::Null));
    // A person puts the first one aside: the others go, in order.
    let park = format!("/deliveries/{}/park", head["id"].as_str().unwrap());
    assert_eq!(world.admin(http::Method::POST, &park, b"").await.status, 202);
    world.listed("/deliveries?state=delivered", 4).await;
    assert_eq!(world.listed("/deliveries?state=parked", 1).await[0]["reason"], "person");
    assert_eq!(world.admin(http::Method::POST, &park, b"").await.status, 409);
    let ids: Vec<_> = world.app.requests().iter().map(|got| got.header("x-github-delivery").to_owned()).collect();
    assert_eq!(ids, ["1", "3", "2", "4", "5"]);
    let parked = r#"hookhold_deliveries_total{destination="app",outcome="parked"} 1"#;
    assert!(world.metrics().await.contains(parked));
    let app = world.get("/destinations/app").await;
    assert_eq!((&app["blocked_keys"], &app["blocked_by"]), (&0.into(), &serde_json::json!([])), "{app}");
}
