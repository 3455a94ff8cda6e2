//! Pausing a destination or a source: what waits is kept, what is under way ends, and a restart changes nothing.

use http::Method;

use crate::world::{Reply, World, eventually};

const EAGER: &str = r#"retry = { schedule = ["1ms", "1ms", "1ms"] }"#;

async fn change(world: &World, path: &str) -> serde_json::Value {
    let answer = world.admin(Method::POST, path, b"").await;
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_paused_destination_keeps_what_comes_and_lets_attempts_end() {
    let mut world = World::start(EAGER, "").await;
    let held = world.app.holds();
    world.send("under way", b"{}").await;
    world.app.got(1).await;
    assert_eq!(change(&world, "/destinations/app/pause").await["paused"], true);
    drop(held);
    world.listed("/deliveries?state=delivered", 1).await;
    for n in 0..5 {
        assert_eq!(world.send(&n.to_string(), b"{}").await.status, 200);
    }
    world.listed("/deliveries?state=pending", 5).await;
    world.down().await;
    world.up().await;
    let paused = world.get("/destinations/app").await;
    assert_eq!((&paused["paused"], &paused["pending"], &paused["in_flight"]), (&true.into(), &5.into(), &0.into()));
    assert_eq!(world.app.requests().len(), 1);
    assert_eq!(change(&world, "/destinations/app/resume").await["paused"], false);
    world.listed("/deliveries?state=delivered", 6).await;
    world.down().await;
    world.up().await;
    assert_eq!(world.get("/destinations/app").await["paused"], false);
    assert_eq!(world.admin(Method::POST, "/destinations/none/pause", b"").await.status, 404);
}

#[tokio::test]
async fn a_destination_can_begin_paused() {
    let world = World::start("paused = true", "").await;
    world.send("d-1", b"{}").await;
    world.listed("/deliveries?state=pending", 1).await;
    change(&world, "/destinations/app/resume").await;
    world.listed("/deliveries?state=delivered", 1).await;
}

#[tokio::test]
async fn a_paused_source_asks_to_come_again() {
    let mut world = World::start(EAGER, "").await;
    assert_eq!(change(&world, "/sources/gh/pause").await["paused"], true);
    let refused = world.send("d-1", b"{}").await;
    assert_eq!((refused.status.as_u16(), refused.headers["retry-after"].to_str().unwrap()), (503, "10"));
    world.down().await;
    world.up().await;
    assert_eq!(world.send("d-1", b"{}").await.status, 503);
    let counted = r#"hookhold_requests_total{source="gh",outcome="paused"} 1"#;
    assert!(world.metrics().await.contains(counted));
    change(&world, "/sources/gh/resume").await;
    assert_eq!(world.send("d-1", b"{}").await.status, 200);
    eventually(async || Some(world.app.requests()).filter(|got| got.len() == 1)).await;
}

/// What is closed while its sender still writes is reset, and a sender that writes all before it reads sees no answer then.
#[tokio::test]
async fn who_sends_much_hears_the_refusal() {
    let big = "[sources.big]\npath = '/in/big'\nprovider = 'none'\nbody = '16MiB'\n[[routes]]\nfrom = 'big'\nto = 'app'";
    let world = World::start(EAGER, big).await;
    change(&world, "/sources/big/pause").await;
    let body = vec![b'x'; 16 << 20];
    for _ in 0..10 {
        assert_eq!(world.post("/in/big", &[], &body).await.status, 503);
    }
}

#[tokio::test]
async fn resuming_ends_a_rest() {
    let world = World::start(r#"retry = { schedule = ["1ms"], cap = "1h" }"#, "").await;
    world.app.script([Reply { headers: vec![("retry-after", "3600".to_owned())], ..Reply::status(503) }]);
    world.send("d-1", b"{}").await;
    eventually(async || Some(()).filter(|()| world.app.requests().len() == 1)).await;
    world.send("d-2", b"{}").await;
    eventually(async || Some(world.get("/destinations/app").await).filter(|app| !app["rests_until"].is_null())).await;
    change(&world, "/destinations/app/resume").await;
    // What asked for the rest is due when it asked; the other one goes.
    world.listed("/deliveries?state=delivered", 1).await;
    assert_eq!(world.get("/destinations/app").await["rests_until"], serde_json::Value::Null);
}

#[tokio::test]
async fn what_fits_a_filter_is_called_off() {
    let world = World::start("paused = true", "").await;
    for n in 0..7 {
        world.send(&n.to_string(), b"{}").await;
    }
    world.listed("/deliveries?state=pending", 7).await;
    let cancel = async |filter: &str| {
        let answer = world.admin(Method::POST, "/deliveries/cancel", format!("{{\"filter\": {filter}}}").as_bytes()).await;
        (answer.status.as_u16(), serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap())
    };
    for (filter, field) in [("{}", "filter"), (r#"{"state": "delivered"}"#, "state"), (r#"{"event": "x"}"#, "event")] {
        let (status, problem) = cancel(filter).await;
        assert_eq!((status, &problem["field"]), (400, &field.into()), "{filter}");
    }
    assert_eq!(cancel(r#"{"colour": "red"}"#).await.0, 400);
    assert_eq!(cancel(r#"{"destination": "other"}"#).await, (202, serde_json::json!({"cancelled": 0, "more": false})));
    assert_eq!(cancel(r#"{"destination": "app", "source": "gh"}"#).await.1["cancelled"], 7);
    world.listed("/deliveries?state=cancelled", 7).await;
    assert!(world.metrics().await.contains(r#"hookhold_deliveries_total{destination="app",outcome="cancelled"} 7"#));
}
