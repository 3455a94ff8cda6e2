//! What a relay does with what it needs no more, and where there is no room for more.

use http::Method;

use crate::world::{Reply, SMALL_STORE, World, eventually};

#[tokio::test]
async fn the_oldest_delivered_events_go_and_are_still_known() {
    let more = r#"
        [store]
        retention = { delivered_bytes = "1MiB" }
    "#;
    let world = World::start("", more).await;
    let mut ids = Vec::new();
    for n in 0..30 {
        let answer = world.send(&format!("d-{n}"), &[b'x'; 100 * 1024]).await;
        assert_eq!(answer.status, 200);
        ids.push(answer.headers["hookhold-event-id"].to_str().unwrap().to_owned());
    }
    world.app.got(30).await;
    let left = eventually(async || {
        let items = world.get("/events?limit=100").await["items"].as_array().unwrap().clone();
        (items.len() <= 10).then_some(items)
    })
    .await;
    assert!(left.len() >= 9, "{} are left", left.len());
    assert!(left.iter().map(|event| event["id"].as_str().unwrap()).eq(ids.iter().rev().take(left.len())));
    let gone = world.admin(Method::GET, &format!("/events/{}", ids[0]), b"").await;
    assert_eq!(gone.status, 404);
    let again = world.send("d-0", &[b'x'; 100 * 1024]).await;
    assert_eq!((again.status.as_u16(), again.headers["hookhold-event-id"].to_str().unwrap()), (200, &*ids[0]));
    world.send("new", b"{}").await;
    let got = world.app.got(31).await;
    assert_eq!(got.iter().filter(|got| got.header("x-github-delivery") == "d-0").count(), 1, "a repeat is not delivered");
    assert!(world.metrics().await.lines().any(|line| line == "hookhold_store_full 0"));
    // They are counted after they are gone.
    eventually(async || {
        let metrics = world.metrics().await;
        let purged = metrics.lines().find_map(|line| line.strip_prefix("hookhold_store_purged_total ")).unwrap();
        (purged.parse::<u64>().unwrap() >= 20).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_store_refuses_delivers_and_recovers() {
    let world = World::start(r#"retry = { schedule = ["1h"] }"#, SMALL_STORE).await;
    world.app.script((0..100).map(|_| Reply::status(503)));
    let body = vec![b'x'; 16 << 20];
    let refused = eventually(async || {
        let answer = world.post("/in/big", &[], &body).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!((refused.status.as_u16(), refused.headers["retry-after"].to_str().unwrap()), (503, "10"));
    let ready = world.ready().await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.starts_with(b"store full: "), "{:?}", ready.body);
    let status = world.get("/status").await;
    assert!(status["ready"] == false && status["store"]["full"].as_str().unwrap().starts_with("store full: "));
    let metrics = world.metrics().await;
    assert!(metrics.lines().any(|line| line == "hookhold_store_full 1"));
    assert!(metrics.contains(r#"hookhold_requests_total{source="big",outcome="store_full"}"#));

    // Small ones are refused as well; what is there goes on, and nothing that is pending was removed.
    assert_eq!(world.send("small", b"{}").await.status, 503);
    let events = status["store"]["events"].as_u64().unwrap();
    let pending = world.listed("/deliveries?state=pending&limit=100", usize::try_from(events).unwrap()).await;
    // How many got in before the store saw that it is full depends on how fast they came.
    for delivery in &pending[3..] {
        let path = format!("/deliveries/{}/cancel", delivery["id"].as_str().unwrap());
        assert_eq!(world.admin(Method::POST, &path, b"").await.status, 202);
    }
    let taken = eventually(async || Some(world.send("small", b"{}").await).filter(|answer| answer.status == 200)).await;
    assert!(taken.headers.contains_key("hookhold-event-id"));
    assert_eq!(world.ready().await.status, 200);
    // One came, and at least one went.
    let left = world.get("/status").await["store"]["events"].as_u64().unwrap();
    assert!(left <= events, "{left} of {events}");
}
