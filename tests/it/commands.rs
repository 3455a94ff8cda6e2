//! The command line against a running relay: what people do with destinations, sources, deliveries and replays.

use serde_json::Value;

use crate::process::{Ended, run};
use crate::world::{OPEN, Reply, World};

/// Runs a command for this relay, with `--json`. The relay lives in this process, so the call must not hold its thread.
async fn command(world: &World, arguments: &[&str]) -> Ended {
    let mut all = vec!["--admin".to_owned(), world.admin_address(), "--json".to_owned()];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let folder = world.folder.path().to_owned();
    let ended = tokio::task::spawn_blocking(move || run(&folder, &all.iter().map(String::as_str).collect::<Vec<_>>()));
    ended.await.unwrap()
}

async fn json(world: &World, arguments: &[&str]) -> Value {
    command(world, arguments).await.json()
}

const HELD: &str = r#"
    [sources.held]
    path = "/in/held"
    provider = "none"
    paused = true
    [[routes]]
    from = "held"
    to = ["app"]
"#;

#[tokio::test]
async fn destinations_and_sources_are_paused_and_go_on() {
    let world = World::start("", HELD).await;
    let listed = json(&world, &["sources", "list"]).await;
    let paused = |listed: &Value| listed["items"].as_array().unwrap().iter().map(|one| one["paused"].clone()).collect::<Vec<_>>();
    assert_eq!(paused(&listed), [false, true], "as relay.toml says: {listed}");
    assert_eq!(world.post("/in/held", &[], b"{}").await.status, 503);
    assert_eq!(paused(&json(&world, &["sources", "resume", "held"]).await), [false]);
    assert_eq!(world.post("/in/held", &[], b"{}").await.status, 200);
    world.listed("/deliveries?state=delivered", 1).await;
    assert_eq!(paused(&json(&world, &["sources", "pause", "gh"]).await), [true]);
    assert_eq!(world.send("d-1", b"{}").await.status, 503);

    assert_eq!(paused(&json(&world, &["destinations", "pause", "app"]).await), [true]);
    assert_eq!(world.post("/in/held", &[], b"{}").await.status, 200);
    world.listed("/deliveries?state=pending", 1).await;
    assert_eq!(paused(&json(&world, &["destinations", "list"]).await), [true]);
    assert_eq!(paused(&json(&world, &["destinations", "resume", "app"]).await), [false]);
    world.listed("/deliveries?state=delivered", 2).await;
    assert_eq!(command(&world, &["destinations", "pause", "none"]).await.code, 4);
}

#[tokio::test]
async fn one_delivery_is_parked_tried_again_and_called_off() {
    let world = World::start("retry = { schedule = [\"1h\"] }", "").await;
    world.app.script([Reply::status(500), Reply::status(500)]);
    world.send("d-1", b"{}").await;
    world.app.got(1).await;
    // The attempt is recorded a moment after the application has it.
    let waits = "/deliveries?state=pending";
    let id = world.listed(waits, 1).await[0]["id"].as_str().unwrap().to_owned();
    let parked = json(&world, &["park", &id]).await;
    assert_eq!([&parked["state"], &parked["reason"]], ["parked", "person"]);
    let again = command(&world, &["park", &id]).await;
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.said.contains("a delivery that is parked cannot be parked"), "{again:?}");
    let shown = json(&world, &["destinations", "show", "app"]).await;
    assert_eq!([&shown["parked"], &shown["blocked_keys"]], [1, 0]);
    assert_eq!(json(&world, &["retry", "--destination", "app", "--since", "2999-01-01T00:00:00Z"]).await["retried"], 0);
    assert_eq!(command(&world, &["retry"]).await.code, 2, "all of them is not said by saying nothing");
    assert_eq!(json(&world, &["retry", "--destination", "app", "--source", "gh"]).await["retried"], 1);
    world.app.got(2).await;
    world.listed(waits, 1).await;
    assert_eq!(json(&world, &["cancel", &id]).await["state"], "cancelled");
    world.send("d-2", b"{}").await;
    world.listed("/deliveries?state=delivered", 1).await;
    assert_eq!(json(&world, &["cancel", "--destination", "app"]).await["cancelled"], 0);
}

#[tokio::test]
async fn events_are_replayed_by_filter() {
    let world = World::start("", "").await;
    for n in 0..3 {
        world.send(&n.to_string(), b"{}").await;
    }
    world.listed("/deliveries?state=delivered", 3).await;
    assert_eq!(json(&world, &["replay", "--source", "gh", "--dry-run"]).await["matched"], 3);
    assert_eq!(world.app.requests().len(), 3);
    let done = json(&world, &["replay", "--type", "push", "--to", "app", "--rate", "100"]).await;
    assert_eq!([&done["state"], &done["delivered"], &done["failed"]], [&Value::from("done"), &3.into(), &0.into()], "{done}");
    assert_eq!(world.app.requests().len(), 6);
    let held = json(&world, &["replay", "--source", "gh", "--rate", "0.01", "--detach"]).await;
    let id = held["id"].as_str().unwrap();
    assert_eq!(json(&world, &["replays", "pause", id]).await["state"], "paused");
    assert_eq!(json(&world, &["replays", "resume", id]).await["state"], "running");
    assert_eq!(json(&world, &["replays", "cancel", id]).await["state"], "cancelled");
    assert_eq!(json(&world, &["replays", "list"]).await["items"].as_array().unwrap().len(), 2);
    assert_eq!(json(&world, &["replays", "--limit", "1"]).await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn lists_are_filtered_with_their_word_and_without_it() {
    let world = World::start("", OPEN).await;
    world.send("d-1", b"{}").await;
    for source in ["gh", "open"] {
        // What has no signature is kept aside, where one is asked for.
        world.post(&format!("/in/{source}"), &[], b"{}").await;
    }
    world.listed("/deliveries?state=delivered", 2).await;
    world.listed("/quarantine", 1).await;
    for (command, all) in [("events", 2), ("deliveries", 2), ("quarantine", 1)] {
        let count = async |arguments: &[&str]| {
            let arguments = [&[command], arguments].concat();
            json(&world, &arguments).await["items"].as_array().unwrap().len()
        };
        let counts = [count(&[]).await, count(&["--source", "gh"]).await, count(&["--source", "none"]).await];
        assert_eq!(counts, [all, 1, 0], "{command}");
        assert_eq!(count(&["list", "--source", "gh"]).await, 1, "{command}");
    }
}
