//! What holds a lane back: its rate, an application that asks for rest, and one that does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::world::{Reply, World, eventually, nowhere};

const EAGER: &str = r#"retry = { schedule = ["1ms", "1ms", "1ms"] }"#;

async fn app(world: &World) -> Value {
    world.get("/destinations/app").await
}

#[tokio::test]
async fn a_rate_is_kept_and_what_waits_can_be_changed() {
    let world = Arc::new(World::start("per_second = 2", "").await);
    let began = Instant::now();
    // All at once: then most of them wait, however slow the machine is.
    let send = |n: u32| {
        let world = world.clone();
        async move { assert_eq!(world.send(&n.to_string(), b"{}").await.status, 200) }
    };
    (0..20).map(send).collect::<JoinSet<_>>().join_all().await;
    // No more than a second's worth is claimed ahead.
    let seen = app(&world).await;
    assert!(seen["in_flight"].as_u64().unwrap() <= 4, "{seen}");
    let last = &world.get("/deliveries?state=pending&limit=1").await["items"][0]["id"];
    let cancel = format!("/deliveries/{}/cancel", last.as_str().unwrap());
    assert_eq!(world.admin(Method::POST, &cancel, b"").await.status, 202);
    world.listed("/deliveries?state=delivered", 19).await;
    // 18 intervals of 500 ms lie between 19 attempts.
    assert!(began.elapsed() >= Duration::from_millis(8980), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_high_rate_is_reached() {
    let world = World::start("per_second = 1000", "").await;
    let began = Instant::now();
    world.app.script((0..200).map(|_| Reply::status(200)));
    let sends = (0..200).map(|n| {
        let world = &world;
        async move { world.send(&n.to_string(), b"{}").await }
    });
    for send in sends {
        assert_eq!(send.await.status, 200);
    }
    world.app.got(200).await;
    assert!(began.elapsed() >= Duration::from_millis(180), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_application_that_asks_for_rest_gets_it() {
    let world = World::start(r#"retry = { schedule = ["1ms"], cap = "3s" }"#, "").await;
    world.app.script([Reply { headers: vec![("retry-after", "3600".to_owned())], ..Reply::status(429) }]);
    world.send("first", b"{}").await;
    let resting = eventually(async || Some(app(&world).await).filter(|app| !app["rests_until"].is_null())).await;
    world.send("second", b"{}").await;
    assert_eq!((&resting["breaker"], &resting["last_error"]), (&"closed".into(), &"answered 429".into()));
    world.listed("/deliveries?state=delivered", 2).await;
    // The cap bounds the hour that it asked for; until then it gets nothing, neither what is due nor what is new.
    let got = world.app.requests();
    let rest = got[1].at - got[0].at;
    assert!(rest >= Duration::from_secs(3) && rest < Duration::from_secs(600), "{rest:?}");
    assert_eq!(got.len(), 3);
    assert_eq!(app(&world).await["rests_until"], Value::Null);
}

#[tokio::test]
async fn too_many_without_a_time_slows_the_whole_lane() {
    let world = World::start(r#"retry = { schedule = ["1ms"] }"#, "").await;
    world.app.script([Reply::status(429)]);
    let began = Instant::now();
    world.send("first", b"{}").await;
    world.app.got(1).await;
    world.send("second", b"{}").await;
    world.app.got(2).await;
    // Neither the one that was refused, though it is due, nor another one comes within the second.
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    world.listed("/deliveries?state=delivered", 2).await;
    assert_eq!(world.app.requests().len(), 3);
}

/// A destination `dead` at an address where nobody listens yet, and its source at `/in/dead`.
fn dead(more: &str) -> (std::net::SocketAddr, String) {
    let address = nowhere();
    let text = format!(
        r#"
        [sources.dead]
        path = "/in/dead"
        provider = "none"
        [destinations.dead]
        url = "http://{address}/"
        {more}
        [[routes]]
        from = "dead"
        to = ["dead"]
        "#
    );
    (address, text)
}

/// Enough to open the breaker by one delivery.
const MANY_RETRIES: &str = r#"retry = { schedule = ["1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms"] }"#;

#[tokio::test]
async fn what_comes_while_a_backlog_drains_takes_turns_with_it() {
    const OLD: usize = 60;
    // At this rate the ramp after the probe lasts some seconds, and the backlog fifteen.
    let (address, text) = dead(&format!("per_second = 4\n{MANY_RETRIES}"));
    let world = World::start(EAGER, &text).await;
    world.post("/in/dead", &[("x-n", "old")], b"{}").await;
    let opened = async || world.get("/destinations/dead").await["breaker"] == "open";
    eventually(async || opened().await.then_some(())).await;
    for _ in 1..OLD {
        world.post("/in/dead", &[("x-n", "old")], b"{}").await;
    }
    let back = crate::world::Upstream::start_at(address).await;
    assert_eq!(world.admin(Method::POST, "/destinations/dead/resume", b"").await.status, 200);
    // The probe is there: it is the first step of the ramp.
    back.got(1).await;
    world.post("/in/dead", &[("x-n", "new")], b"{}").await;
    let got = eventually(async || {
        let got = back.requests();
        got.iter().any(|got| got.header("x-n") == "new").then_some(got)
    });
    let before = got.await.len();
    assert!(before < OLD, "it came as number {before}, behind {OLD} old ones");
}

#[tokio::test]
async fn an_application_that_is_gone_is_probed_and_nobody_loses_a_budget() {
    let (address, text) = dead(MANY_RETRIES);
    let world = World::start(EAGER, &text).await;
    let began = Instant::now();
    world.post("/in/dead", &[], b"{}").await;
    let dead = async || world.get("/destinations/dead").await;
    let open = eventually(async || Some(dead().await).filter(|dead| dead["breaker"] == "open")).await;
    assert!(open["next_probe_at"].is_string() && open["last_error"].as_str().unwrap().contains("no connection"), "{open}");
    // While it is open, what comes stays in the index: nothing is in flight.
    for _ in 0..20 {
        world.post("/in/dead", &[], b"{}").await;
    }
    let seen = eventually(async || Some(dead().await).filter(|dead| dead["in_flight"] == 0)).await;
    assert_eq!(seen["pending"], 21);
    // The first probe fails, and only it costs an attempt. There is one a second at most.
    let tried = eventually(async || {
        let items = world.get("/deliveries?destination=dead&limit=100").await["items"].clone();
        let tried: Vec<u64> = items.as_array().unwrap().iter().map(|d| d["attempts_made"].as_u64().unwrap()).collect();
        Some(tried).filter(|tried| tried.iter().sum::<u64>() >= 11)
    });
    let tried = tried.await.iter().sum::<u64>();
    assert!(tried <= 11 + began.elapsed().as_secs(), "{tried} attempts in {:?}", began.elapsed());
    let gauge = r#"hookhold_destination_breaker{destination="dead",state="open"} 1"#;
    let text = eventually(async || Some(world.metrics().await).filter(|text| text.contains(gauge))).await;
    let opened = text.lines().find_map(|l| l.strip_prefix(r#"hookhold_destination_breaker_opened_total{destination="dead"} "#));
    assert!(opened.unwrap().parse::<u64>().unwrap() >= 1, "{text}");
    // It comes back: all is delivered without anybody's help.
    let back = crate::world::Upstream::start_at(address).await;
    world.listed("/deliveries?destination=dead&state=delivered&limit=100", 21).await;
    assert_eq!(back.got(21).await.len(), 21);
    assert_eq!(dead().await["breaker"], "closed");
    world.send("healthy", b"{}").await;
    world.listed("/deliveries?destination=app&state=delivered", 1).await;
}
