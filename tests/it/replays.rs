//! Replays by filter: a stored job that delivers old events again, oldest first, at a rate, over restarts.

use http::Method;
use serde_json::{Value, json};

use crate::world::{Reply, World, eventually};

const EAGER: &str = r#"retry = { schedule = ["1ms"] }"#;

async fn call(world: &World, path: &str, body: Value) -> (u16, Value) {
    let answer = world.admin(Method::POST, path, body.to_string().as_bytes()).await;
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
}

/// The replay, once `fits` says so.
async fn once(world: &World, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(async || Some(world.get(&format!("/replays/{id}")).await).filter(&fits)).await
}

async fn delivered(count: usize) -> World {
    let world = World::start(EAGER, "").await;
    for n in 0..count {
        assert_eq!(world.send(&format!("id-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await.status, 200);
        world.app.got(n + 1).await;
    }
    world.listed("/deliveries?state=delivered&limit=500", count).await;
    world
}

#[tokio::test]
async fn what_was_delivered_is_delivered_again_oldest_first() {
    let world = delivered(5).await;
    assert_eq!(
        call(&world, "/replays", json!({ "filter": { "source": "gh" }, "dry_run": true })).await,
        (200, json!({ "matched": 5 }))
    );
    assert_eq!(world.app.requests().len(), 5, "a dry run makes nothing");
    let (status, made) = call(&world, "/replays", json!({ "filter": { "state": "delivered" } })).await;
    assert_eq!((status, &made["matched"], &made["filter"]), (202, &json!(5), &json!({ "state": "delivered" })), "{made}");
    let id = made["id"].as_str().unwrap();
    let done = once(&world, id, |replay| replay["delivered"] == 5).await;
    assert_eq!(
        (&done["state"], &done["created"], &done["failed"], &done["through"]),
        (&json!("done"), &json!(5), &json!(0), &json!(5))
    );
    let again: Vec<_> = world.app.got(10).await[5..].iter().map(|got| got.header("x-github-delivery").to_owned()).collect();
    assert_eq!(again.len(), 5);
    // The count is told a moment before the store shows it.
    world.listed("/deliveries?state=delivered", 10).await;
    let linked = &world.listed("/events", 5).await[0]["deliveries"][1];
    assert_eq!((&linked["replay_id"], &linked["state"]), (&made["id"], &json!("delivered")), "{linked}");
    assert_eq!(world.get("/replays").await["items"][0]["id"], made["id"]);
}

#[tokio::test]
async fn a_rate_a_pause_a_restart_and_an_end() {
    let mut world = delivered(6).await;
    let (_, made) = call(&world, "/replays", json!({ "filter": {}, "rate_per_s": 1 })).await;
    let id = made["id"].as_str().unwrap().to_owned();
    world.app.got(7).await;
    let (status, paused) = call(&world, &format!("/replays/{id}/pause"), json!({})).await;
    assert_eq!((status, &paused["state"]), (200, &json!("paused")));
    let through = once(&world, &id, |replay| replay["through"].as_u64() > Some(0)).await["through"].as_u64().unwrap();
    assert!(through < 6, "at this rate it takes five seconds");
    world.down().await;
    world.up().await;
    let found = world.get(&format!("/replays/{id}")).await;
    assert_eq!((&found["state"], found["through"].as_u64() >= Some(through)), (&json!("paused"), true), "{found}");
    call(&world, &format!("/replays/{id}/resume"), json!({})).await;
    let done = once(&world, &id, |replay| replay["state"] == "done").await;
    assert_eq!(done["through"], 6);
    world.app.got(12).await;
    assert_eq!(call(&world, &format!("/replays/{id}/cancel"), json!({})).await.0, 409);
}

#[tokio::test]
async fn a_large_replay_does_not_hold_up_new_events() {
    const OLD: usize = 90;
    let mut world = delivered(OLD).await;
    let file = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace(EAGER, &format!("{EAGER}\nper_second = 25"));
    std::fs::write(&file, text).unwrap();
    world.reload().await.unwrap();
    assert_eq!(call(&world, "/destinations/app/pause", json!({})).await.0, 200);
    let (_, made) = call(&world, "/replays", json!({ "filter": { "destination": "app", "type": "push" } })).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["matched"], OLD);
    // No more than its share is under way, however much it covers.
    once(&world, id, |replay| replay["created"] == 64).await;
    world.listed("/deliveries?state=pending&limit=100", 64).await;
    assert_eq!(call(&world, "/destinations/app/resume", json!({})).await.0, 200);
    world.app.got(OLD + 1).await;
    world.send("new", b"{}").await;
    let before = world.app.requests().len();
    let place = async || world.app.requests().iter().position(|got| got.header("x-github-delivery") == "new");
    let number = eventually(place).await;
    assert!(number < before + 32, "it came as number {number}, after {before}: behind what the replay had made before");
    once(&world, id, |replay| replay["delivered"] == OLD).await;
}

#[tokio::test]
async fn a_replay_covers_a_time_and_leaves_repeats_out() {
    let world = delivered(2).await;
    assert_eq!(world.send("id-1", b"{\"n\":1}").await.status, 200);
    let events = world.listed("/events", 2).await;
    let newest = events[0]["received_at"].as_str().unwrap();
    let matched =
        async |filter: Value| call(&world, "/replays", json!({ "filter": filter, "dry_run": true })).await.1["matched"].clone();
    assert_eq!(events[0]["duplicates"], 1);
    assert_eq!(matched(json!({})).await, 2, "a repeat is no event");
    assert_eq!((matched(json!({ "since": newest })).await, matched(json!({ "until": newest })).await), (json!(1), json!(1)));
    for none in [
        json!({ "type": "other" }),
        json!({ "destination": "other" }),
        json!({ "source": "other" }),
        json!({ "state": "parked" }),
    ] {
        assert_eq!(matched(none.clone()).await, 0, "{none}");
    }
}

#[tokio::test]
async fn a_replay_that_is_called_off_makes_no_more() {
    let world = delivered(3).await;
    let (_, made) = call(&world, "/replays", json!({ "filter": {}, "rate_per_s": 0.01 })).await;
    let id = made["id"].as_str().unwrap();
    world.app.got(4).await;
    let (status, cancelled) = call(&world, &format!("/replays/{id}/cancel"), json!({})).await;
    assert_eq!((status, &cancelled["state"]), (200, &json!("cancelled")));
    // Longer than anything that was to be made at once would take.
    let sent = world.send("another", b"{}").await;
    assert_eq!(sent.status, 200);
    assert_eq!(world.app.got(5).await[4].header("x-github-delivery"), "another");
}

#[tokio::test]
async fn it_goes_where_it_is_told_and_what_fails_is_counted() {
    let mut world = delivered(2).await;
    let file = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap()
        + &format!("[destinations.staging]\nurl = 'http://{}/staging'\nretry = {{ schedule = ['1ms'] }}\n", world.app.address);
    std::fs::write(&file, text).unwrap();
    world.reload().await.unwrap();
    world.app.script([Reply::status(410), Reply::status(200)]);
    let (status, made) = call(&world, "/replays", json!({ "filter": { "source": "gh" }, "to": ["staging"] })).await;
    assert_eq!(status, 202, "{made}");
    let id = made["id"].as_str().unwrap();
    let done = once(&world, id, |replay| replay["failed"] == 1 && replay["delivered"] == 1).await;
    assert_eq!((&done["created"], &done["to"]), (&json!(2), &json!(["staging"])));
    assert!(world.app.got(4).await[2..].iter().all(|got| got.target == "/staging"));
    for (wrong, field) in [
        (json!({ "filter": {}, "to": ["nowhere"] }), "to"),
        (json!({ "filter": { "state": "odd" } }), "filter.state"),
        (json!({ "filter": {}, "rate_per_s": 0 }), "rate_per_s"),
    ] {
        let (status, problem) = call(&world, "/replays", wrong).await;
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{problem}");
    }
    assert_eq!(world.get("/replays").await["items"].as_array().unwrap().len(), 1);
}
