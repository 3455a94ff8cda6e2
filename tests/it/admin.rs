//! The admin listener as its callers see it: shapes, filters, changes, errors, and who may call.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod audit;
mod dashboard;
mod openapi;
mod tokens;
mod world;

use hookhold::metrics::RequestOutcome;
use hookhold::record::{EventId, ParkReason, Verdict};
use hookhold::store::Store;
use http::{Method, StatusCode};
use serde_json::json;

use world::{BODY, START, World, name};

#[tokio::test]
async fn an_event_shows_what_was_received_and_what_became_of_it() {
    let world = World::open();
    let id = world.stored("stripe", &["billing", "audit"], 123).await;
    world.attempted("billing", None, Verdict::RetryAt(START)).await;
    world.attempted("billing", Some(503), Verdict::Park(ParkReason::Expired)).await;
    let event = world.json(&format!("/api/v1/events/{id}")).await;
    let shown = |field: &str| event[field].clone();
    assert_eq!(shown("id"), json!(id.to_string()));
    assert_eq!(shown("received_at"), json!("2026-09-21T14:13:20.123Z"));
    assert_eq!([shown("source"), shown("provider"), shown("state")], [json!("stripe"), json!("stripe"), json!("pending")]);
    assert_eq!([shown("method"), shown("target"), shown("peer")], [json!("POST"), json!("/in/stripe?x=1"), json!("203.0.113.7")]);
    assert_eq!([shown("body_bytes"), shown("duplicates")], [json!(BODY.len()), json!(0)]);
    assert_eq!(shown("content_type"), json!("application/json"));
    assert!(event.as_object().unwrap().contains_key("type") && event.as_object().unwrap().contains_key("provider_event_id"));
    let headers =
        json!([["content-type", "application/json"], ["x-odd", {"base64": "//4="}], ["x-twice", "1"], ["x-twice", "2"]]);
    assert_eq!(shown("headers"), headers);
    assert_eq!(event["deliveries"][0]["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(event["deliveries"][1]["attempts"], json!([]));
    let listed = world.json("/api/v1/events").await;
    assert_eq!(listed["next"], json!(null));
    assert_eq!(listed["items"][0]["deliveries"][0]["state"], json!("parked"));
    assert!(listed["items"][0].get("headers").is_none() && listed["items"][0]["deliveries"][0].get("attempts").is_none());
}

#[tokio::test]
async fn a_delivery_shows_its_attempts_oldest_first() {
    let world = World::open();
    let event = world.stored("stripe", &["billing"], 0).await;
    world.attempted("billing", None, Verdict::RetryAt(START)).await;
    let id = world.attempted("billing", Some(503), Verdict::Park(ParkReason::Expired)).await;
    let delivery = world.json(&format!("/api/v1/deliveries/{id}")).await;
    let expected = json!({
        "id": id.to_string(), "event_id": event.to_string(), "source": "stripe", "destination": "billing",
        "url": "http://billing.internal:8080/hooks?***", "state": "parked", "attempts_made": 2, "next_attempt_at": null,
        "created_at": START.to_string(), "settled_at": START.to_string(), "reason": "expired", "replay_id": null, "order_key": null,
        "attempts": [
            {"number": 1, "started_at": START.to_string(), "duration_ms": 12, "status": null, "error": "connect",
             "detail": "nobody listens", "response_headers": [], "response_body": null, "response_truncated": false},
            {"number": 2, "started_at": START.to_string(), "duration_ms": 12, "status": 503, "error": null, "detail": null,
             "response_headers": [["retry-after", "5"]], "response_body": "busy", "response_truncated": false},
        ],
    });
    assert_eq!(delivery, expected);
}

#[tokio::test]
async fn a_body_is_served_as_bytes_that_nobody_interprets() {
    let world = World::open();
    let id = world.stored("stripe", &["billing"], 0).await;
    let reply = world.get(&format!("/api/v1/events/{id}/body")).await;
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, BODY));
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert!(reply.header("content-disposition").starts_with("attachment"));
}

#[tokio::test]
async fn lists_show_what_the_filter_names() {
    let world = World::open();
    let first = world.stored("stripe", &["billing"], 0).await.to_string();
    world.attempted("billing", Some(200), Verdict::Delivered).await;
    let second = world.stored("stripe", &["billing", "audit"], 1000).await.to_string();
    world.claimed("audit").await;
    let third = world.stored("other", &[], 2000).await.to_string();
    for (query, expected) in [
        ("", vec![&third, &second, &first]),
        ("source=stripe", vec![&second, &first]),
        ("source=&type=", vec![&third, &second, &first]),
        ("state=delivered", vec![&first]),
        ("state=pending", vec![&second]),
        ("state=unrouted", vec![&third]),
        ("destination=audit", vec![&second]),
        ("since=2026-09-21T16:13:21%2B02:00", vec![&third, &second]),
        ("until=2026-09-21T14:13:21Z", vec![&first]),
        ("type=none.such", vec![]),
        ("provider_event_id=evt_1", vec![]),
    ] {
        let ids = world.ids(&format!("/api/v1/events?{query}")).await;
        assert_eq!(ids.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let of = |event: &str, ordinal: u8| format!("{event}.{ordinal}");
    for (query, expected) in [
        ("state=pending", vec![of(&second, 1)]),
        ("state=in_flight", vec![of(&second, 2)]),
        ("state=delivered", vec![of(&first, 1)]),
        ("destination=audit&source=stripe", vec![of(&second, 2)]),
        (&format!("event={first}"), vec![of(&first, 1)]),
        ("until=2026-09-21T14:13:21Z", vec![of(&first, 1)]),
    ] {
        assert_eq!(world.ids(&format!("/api/v1/deliveries?{query}")).await, expected, "{query}");
    }
    let in_flight = world.json("/api/v1/deliveries?state=in_flight").await;
    assert_eq!([&in_flight["items"][0]["state"], &in_flight["items"][0]["next_attempt_at"]], [&json!("in_flight"), &json!(null)]);
}

#[tokio::test]
async fn pages_join() {
    let world = World::open();
    for n in 0..5 {
        world.stored("stripe", &["billing", "audit"], n).await;
    }
    for list in ["events", "deliveries"] {
        let (all, mut joined, mut cursor) = (world.ids(&format!("/api/v1/{list}")).await, Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/{list}?limit=2&cursor={cursor}");
            joined.extend(world.ids(&path).await);
            match world.json(&path).await["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(joined, all, "{list}");
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let world = World::open();
    let id = world.stored("stripe", &["billing"], 0).await;
    for (path, field) in [
        ("events?colour=red", "colour"),
        ("events?q=x", "since"),
        ("events?state=in_flight", "state"),
        ("events?source=a/b", "source"),
        ("events?since=yesterday", "since"),
        ("events?limit=501", "limit"),
        ("events?cursor=x", "cursor"),
        ("events?source=a&source=b", "source"),
        (&format!("events/{id}?x=1"), "x"),
        ("deliveries?event=x", "event"),
        ("deliveries?state=unrouted", "state"),
        ("destinations?x=1", "x"),
        ("sources?cursor=a/b", "cursor"),
        ("status?x=1", "x"),
    ] {
        assert_eq!(world.get(&format!("/api/v1/{path}")).await.problem(400).as_deref(), Some(field), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let world = World::open();
    let unknown = EventId::first_at(START);
    for path in ["api/v1", "api/v1/nothing", "api/v1/events/x", "api/v1/events/%ff", "api/v1/destinations/x", "events"] {
        assert_eq!(world.get(&format!("/{path}")).await.problem(404), None, "{path}");
    }
    for path in [format!("events/{unknown}"), format!("events/{unknown}/body"), format!("deliveries/{unknown}.1")] {
        assert_eq!(world.get(&format!("/api/v1/{path}")).await.problem(404), None, "{path}");
    }
    for path in
        [format!("events/{unknown}/replay"), format!("deliveries/{unknown}.1/retry"), format!("deliveries/{unknown}.1/cancel")]
    {
        assert_eq!(world.post(&format!("/api/v1/{path}"), "").await.problem(404), None, "{path}");
    }
    let wrong = world.post("/api/v1/events", "").await;
    wrong.problem(405);
    assert_eq!(wrong.header("allow"), "GET,HEAD");
    world.post("/metrics", "").await.problem(405);
}

#[tokio::test]
async fn a_replay_makes_deliveries_where_it_is_told() {
    let world = World::open();
    let id = world.stored("stripe", &["billing"], 0).await;
    world.attempted("billing", Some(200), Verdict::Delivered).await;
    let path = format!("/api/v1/events/{id}/replay");
    let replayed = |reply: &world::Reply| {
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
        reply.json()["deliveries"].clone()
    };
    assert_eq!(replayed(&world.post(&path, r#"{"destinations": ["audit", "audit"]}"#).await), json!([format!("{id}.2")]));
    assert_eq!(
        replayed(&world.post(&path, "{}").await),
        json!([format!("{id}.3"), format!("{id}.2")]),
        "audit's is pending still"
    );
    assert_eq!(world.post(&path, r#"{"destinations": ["nowhere"]}"#).await.problem(400).as_deref(), Some("destinations"));
    assert_eq!(world.post(&path, r#"{"destinations": []}"#).await.problem(400).as_deref(), Some("destinations"));
    for bad in ["{", "[]x", r#"{"destination": ["audit"]}"#, r#"{"destinations": "audit"}"#] {
        world.post(&path, bad).await.problem(400);
    }
    world.post(&path, &" ".repeat(100_000)).await.problem(413);
}

#[tokio::test]
async fn a_replay_of_a_source_that_is_gone_goes_where_the_event_went() {
    let world = World::open();
    let event = world.stored("former", &["audit", "gone"], 0).await;
    let reply = world.post(&format!("/api/v1/events/{event}/replay"), "").await;
    assert_eq!((reply.status, reply.json()), (StatusCode::ACCEPTED, json!({"deliveries": [format!("{event}.1")]})));
    let lost = world.stored("former", &["gone"], 0).await;
    let reply = world.post(&format!("/api/v1/events/{lost}/replay"), "").await;
    assert_eq!(reply.problem(400).as_deref(), Some("destinations"));
}

#[tokio::test]
async fn a_person_retries_and_cancels_what_the_state_allows() {
    let world = World::open();
    world.stored("stripe", &["billing"], 0).await;
    let id = world.attempted("billing", Some(503), Verdict::Park(ParkReason::Refused)).await;
    let path = |what: &str| format!("/api/v1/deliveries/{id}/{what}");
    let retried = world.post(&path("retry"), "{}").await;
    assert_eq!(retried.status, StatusCode::ACCEPTED);
    let delivery = retried.json();
    assert_eq!(
        [&delivery["state"], &delivery["reason"], &delivery["attempts_made"]],
        [&json!("pending"), &json!(null), &json!(1)]
    );
    assert!(delivery["next_attempt_at"].is_string() && delivery["attempts"][0]["status"] == json!(503));
    let claimed = world.claimed("billing").await;
    world.post(&path("cancel"), "").await.problem(409);
    world.store.release(claimed.claim).await.unwrap();
    let cancelled = world.post(&path("cancel"), "").await;
    assert_eq!((cancelled.status, cancelled.json()["state"].clone()), (StatusCode::ACCEPTED, json!("cancelled")));
    world.post(&path("cancel"), "").await.problem(409);
    let metrics = world.get("/metrics").await;
    let line = r#"hookhold_deliveries_total{destination="billing",outcome="cancelled"} 1"#;
    assert!(String::from_utf8_lossy(&metrics.body).lines().any(|l| l == line));
}

#[tokio::test]
async fn destinations_and_sources_tell_how_they_stand() {
    let world = World::open();
    world.stored("stripe", &["billing"], 0).await;
    world.stored("stripe", &["billing"], 1).await;
    world.claimed("billing").await;
    world.metrics.source(&name("stripe")).count(RequestOutcome::Accepted);
    world.metrics.source(&name("stripe")).event_at(START);
    world.metrics.destination(&name("billing")).failed("connect: nobody listens".to_owned(), START);
    let expected = json!({
        "name": "billing", "url": "http://billing.internal:8080/hooks?***", "paused": false, "standing": "failing",
        "breaker": "closed", "in_flight": 1,
        "pending": 1, "parked": 0, "oldest_due_at": null, "last_success_at": null, "last_error": "connect: nobody listens",
        "last_error_at": START.to_string(), "next_probe_at": null, "rests_until": null, "delivered": 0, "in_flight_max": 16,
        "per_second": null, "is_ordered": false, "blocked_keys": 0, "blocked_by": [],
    });
    let mut shown = world.json("/api/v1/destinations/billing").await;
    assert!(shown["oldest_due_at"].take().is_string());
    assert_eq!(shown, expected);
    let page = world.json("/api/v1/destinations?limit=1").await;
    assert_eq!([&page["items"][0]["name"], &page["next"]], [&json!("audit"), &json!("audit")]);
    let rest = world.json("/api/v1/destinations?limit=1&cursor=audit").await;
    assert_eq!([&rest["items"][0]["name"], &rest["next"]], [&json!("billing"), &json!(null)]);
    let source = json!({
        "name": "stripe", "host": null, "path": "/in/stripe/*", "provider": "stripe", "takes_secret": false, "paused": false,
        "ack": "stored",
        "accepted": 1, "rejected": 0, "duplicates": 0, "quarantined": 0, "last_event_at": START.to_string(),
    });
    assert_eq!(world.json("/api/v1/sources").await, json!({"items": [source], "next": null, "total": 1}));

    // Those that need a look come first, and how many are how is told beside them.
    let first = world.json("/api/v1/destinations?order=trouble&limit=1").await;
    assert_eq!([&first["items"][0]["name"], &first["next"], &first["total"]], [&json!("billing"), &json!("billing"), &json!(2)]);
    assert_eq!(first["standing"], json!({"failing": 1, "ok": 1}));
    let rest = world.json("/api/v1/destinations?order=trouble&limit=1&cursor=billing").await;
    assert_eq!([&rest["items"][0]["name"], &rest["next"], &rest["total"]], [&json!("audit"), &json!(null), &json!(2)]);
    assert!(page.get("standing").is_none() && page["total"] == 2, "{page}");
    let part = world.json("/api/v1/destinations?name=ill").await;
    assert_eq!((part["items"].as_array().unwrap().len(), &part["total"], &part["next"]), (1, &json!(1), &json!(null)));
    assert_eq!(world.json("/api/v1/sources?order=latest&name=nothing").await, json!({"items": [], "next": null, "total": 0}));
    for path in ["destinations?order=latest", "sources?order=trouble", "sources?order=x"] {
        assert_eq!(world.get(&format!("/api/v1/{path}")).await.problem(400).as_deref(), Some("order"), "{path}");
    }
}

#[tokio::test]
async fn events_with_very_many_deliveries_end_their_page() {
    let world = World::open();
    let many: Vec<String> = (0..2000).map(|n| format!("d{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut ids = Vec::new();
    for (ms, to) in [(0, &["billing"][..]), (1, &many), (2, &["billing"])] {
        ids.push(world.stored("stripe", to, ms).await.to_string());
    }
    let shown = |list: &serde_json::Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    for (order, expected) in [("newest", [2, 1, 0]), ("oldest", [0, 1, 2])] {
        let path = format!("/api/v1/events?order={order}");
        let (first, expected) = (world.json(&path).await, expected.map(|n: usize| ids[n].clone()));
        assert_eq!(shown(&first), expected[..2], "{order}");
        let rest = world.json(&format!("{path}&cursor={}", first["next"].as_str().unwrap())).await;
        assert_eq!((shown(&rest), &rest["next"]), (vec![expected[2].clone()], &json!(null)), "{order}");
    }
}

#[tokio::test]
async fn status_counts_each_delivery_once() {
    let world = World::open();
    world.stored("stripe", &["billing", "audit"], 0).await;
    world.claimed("audit").await;
    let status = world.json("/api/v1/status").await;
    assert_eq!(status["version"], json!(env!("CARGO_PKG_VERSION")));
    assert_eq!(
        [&status["started_at"], &status["ready"], &status["store"]["events"]],
        [&json!(START.to_string()), &json!(true), &json!(1)]
    );
    assert_eq!(status["store"]["format"], json!(hookhold::store::FORMAT));
    let counts = json!({"pending": 1, "in_flight": 1, "parked": 0, "delivered": 0, "cancelled": 0, "quarantined": 0});
    assert_eq!(status["counts"], counts);
}

#[tokio::test]
async fn readiness_follows_the_store_and_life_does_not() {
    let world = World::open();
    assert_eq!(world.get("/readyz").await.status, StatusCode::OK);
    world.store.fail("the disk is full");
    let ready = world.get("/readyz").await;
    assert_eq!((ready.status, &ready.body[..]), (StatusCode::SERVICE_UNAVAILABLE, &b"the disk is full\n"[..]));
    assert_eq!(world.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(world.json("/api/v1/status").await["ready"], json!(false));
    let metrics = world.get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).lines().any(|l| l == "hookhold_store_ready 0"));
}

#[tokio::test]
async fn a_store_that_cannot_is_503() {
    let world = World::open();
    world.stored("stripe", &["billing"], 0).await;
    let id = world.attempted("billing", Some(503), Verdict::Park(ParkReason::Refused)).await;
    world.store.fail("the disk is full");
    world.post(&format!("/api/v1/deliveries/{id}/retry"), "").await.problem(503);
    world.store.close().await.unwrap();
    world.get("/api/v1/events").await.problem(503);
}

#[tokio::test(start_paused = true)]
async fn metrics_show_the_backlog_at_the_scrape() {
    let world = World::open();
    world.stored("stripe", &["billing"], 0).await;
    tokio::time::advance(std::time::Duration::from_millis(2500)).await;
    let reply = world.get("/metrics").await;
    assert!(reply.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    for line in [
        r#"hookhold_deliveries_pending{destination="billing"} 1"#,
        r#"hookhold_oldest_due_age_seconds{destination="billing"} 2.5"#,
        r#"hookhold_deliveries_pending{destination="audit"} 0"#,
        r#"hookhold_requests_total{source="stripe",outcome="accepted"} 0"#,
        "hookhold_store_events 1",
        "hookhold_start_time_seconds 1790000000.0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_tokens_only_health_and_the_empty_page_are_open() {
    let world = World::guarded();
    let id = world.stored("stripe", &["billing"], 0).await;
    let retry = format!("/api/v1/deliveries/{id}.1/retry");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.get(path).await.status, StatusCode::OK);
    }
    for path in ["/api/v1/events", "/api/v1/status", "/metrics", "/nothing", "/assetsx"] {
        let reply = world.get(path).await;
        reply.problem(401);
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
    }
    world.post(&retry, "").await.problem(401);
    for wrong in ["Bearer wrong", "Bearer operator-toke", "Bearer ", "Basic operator-token", "Bearer former-token"] {
        world.call(Method::GET, "/api/v1/events", &[("authorization", wrong)], "").await.problem(401);
    }
    let viewer = [("authorization", "Bearer viewer-token")];
    assert_eq!(world.call(Method::GET, "/metrics", &viewer, "").await.status, StatusCode::OK);
    world.call(Method::POST, &retry, &viewer, "").await.problem(403);
    let operator = [("authorization", "bearer operator-token"), ("host", "relay.internal:9443")];
    assert_eq!(world.call(Method::POST, &retry, &operator, "").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_backup_is_for_those_who_may_act() {
    let world = World::guarded();
    let call = async |fields: &[(&'static str, &str)], path: &str| world.call(Method::GET, path, fields, "").await;
    call(&[], "/api/v1/backup").await.problem(401);
    call(&[("authorization", "Bearer viewer-token")], "/api/v1/backup").await.problem(403);
    let operator = ("authorization", "Bearer operator-token");
    call(&[operator, ("sec-fetch-site", "cross-site")], "/api/v1/backup").await.problem(403);
    assert_eq!(call(&[operator], "/api/v1/backup?x=1").await.problem(400).as_deref(), Some("x"));
    // This store is one in memory.
    call(&[operator], "/api/v1/backup").await.problem(409);
}

#[tokio::test]
async fn another_site_cannot_act_or_look_through_a_browser() {
    let world = World::open();
    let id = world.stored("stripe", &["billing"], 0).await;
    let cancel = format!("/api/v1/deliveries/{id}.1/cancel");
    for host in ["rebound.example:9443", "127.0.0.1.evil.example"] {
        world.call(Method::GET, "/api/v1/events", &[("host", host)], "").await.problem(403);
    }
    for field in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        world.call(Method::POST, &cancel, &[field], "").await.problem(403);
    }
    let own = [("host", "localhost:9443"), ("origin", "http://localhost:9443"), ("sec-fetch-site", "same-origin")];
    assert_eq!(world.call(Method::POST, &cancel, &own, "").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let world = World::guarded();
    let operator = [("authorization", "Bearer operator-token")];
    for (path, fields) in
        [("/healthz", &operator[..0]), ("/api/v1/events", &[]), ("/api/v1/events", &operator), ("/x", &operator)]
    {
        let reply = world.call(Method::GET, path, fields, "").await;
        assert_eq!([reply.header("x-content-type-options"), reply.header("cache-control")], ["nosniff", "no-store"], "{path}");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
    }
}
