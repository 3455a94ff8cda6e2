//! What a source answers: its application's own answer, or its own where there is none in time.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::world::{Reply, Upstream, World, eventually, nowhere};

const EAGER: &str = r#"retry = { schedule = ["1ms", "1ms", "1ms"] }"#;
/// Attempts after the first only where somebody asks for them.
const ONCE: &str = r#"retry = { schedule = ["1h"] }"#;
/// Longer than any of these tests waits: who hears something before does not hear it because the time is over.
const LONG: &str = "300s";

/// A world with a source `/in/up` that passes answers of `app` on.
async fn world(ack: &str, within: &str, destination: &str) -> World {
    let more = format!(
        r#"
        [sources.up]
        path = "/in/up"
        provider = "none"
        methods = ["POST", "HEAD"]
        dedupe = {{ header = "X-Id", for = "1h" }}
        ack = {{ mode = "{ack}", within = "{within}" }}
        answer = {{ status = 202, body = "<ok/>", headers = {{ Content-Type = "text/xml", X-Own = "1" }} }}
        [[routes]]
        from = "up"
        to = ["app"]
        "#
    );
    World::start(destination, &more).await
}

fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply { body: body.into(), ..Reply::status(status) }
}

fn slow(by: Duration, reply: Reply) -> Reply {
    Reply { delay: by, ..reply }
}

impl World {
    async fn ask(&self, id: &str) -> hookhold::net::client::Answer {
        self.post("/in/up", &[("x-id", id)], b"{}").await
    }
}

#[tokio::test]
async fn an_answer_is_passed_on_byte_for_byte() {
    let world = world("upstream", LONG, EAGER).await;
    let body: Vec<u8> = (0..600 * 1024_u32).map(|n| (n * 7 + n / 251) as u8).collect();
    let fields = [
        ("x-made", "caf\u{e9}"),
        ("content-type", "application/x-thing"),
        ("content-encoding", "gzip"),
        ("location", "/things/7"),
        ("set-cookie", "session=hush"),
        ("connection", "x-hop, keep-alive"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("alt-svc", "h3=\":443\""),
        ("hookhold-event-id", "forged"),
    ];
    let headers = fields.map(|(name, value)| (name, value.to_owned()));
    let twice = ("x-twice", "a".to_owned());
    let headers = headers.into_iter().chain([twice.clone(), (twice.0, "b".to_owned())]).collect();
    world.app.script([Reply { headers, ..reply(201, body.clone()) }]);
    let answer = world.ask("1").await;
    assert_eq!(answer.status, 201);
    assert!(answer.body == body, "{} bytes", answer.body.len());
    let all = |name: &str| answer.headers.get_all(name).iter().map(|v| v.as_bytes().to_vec()).collect::<Vec<_>>();
    for (name, value) in &fields[..4] {
        assert_eq!(all(name), [value.as_bytes()], "{name}");
    }
    assert_eq!(all("x-twice"), [b"a", b"b"]);
    assert_eq!(all("content-length"), [body.len().to_string().into_bytes()]);
    for name in ["set-cookie", "connection", "x-hop", "keep-alive", "alt-svc", "x-own"] {
        assert!(all(name).is_empty(), "{name}");
    }
    let event = &world.listed("/events?state=delivered", 1).await[0];
    assert_eq!(answer.headers["hookhold-event-id"], event["id"].as_str().unwrap());
    // The record keeps as little as of any other attempt.
    let delivery = &world.listed("/deliveries?state=delivered", 1).await[0];
    let delivery = world.get(&format!("/deliveries/{}", delivery["id"].as_str().unwrap())).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["status"], &attempt["response_truncated"]), (&Value::from(201), &Value::from(true)), "{attempt}");
    assert!(world.metrics().await.contains(r#"hookhold_upstream_answers_total{source="up",outcome="passed"} 1"#));
}

#[tokio::test]
async fn statuses_without_a_body_and_those_that_are_no_success_are_passed_on() {
    let world = world("upstream", LONG, EAGER).await;
    for (n, (status, is_parked)) in [(204, false), (304, false), (410, true), (503, false)].into_iter().enumerate() {
        let body: &[u8] = if status > 400 { b"why" } else { b"" };
        world.app.script([Reply { headers: vec![("retry-after", "0".to_owned())], ..reply(status, body) }]);
        let answer = world.ask(&n.to_string()).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, body));
        assert_eq!(answer.headers["retry-after"], "0");
        let state = if is_parked { "parked" } else { "delivered" };
        let event = answer.headers["hookhold-event-id"].to_str().unwrap();
        eventually(async || (world.get(&format!("/events/{event}")).await["state"] == state).then_some(())).await;
    }
    // 204 and 410 at the first attempt; 304 and 503 are tried again.
    assert_eq!(world.app.requests().len(), 6);
}

#[tokio::test]
async fn an_answer_is_passed_on_whole_or_not_at_all() {
    let world = world("upstream", LONG, ONCE).await;
    let most = vec![b'x'; hookhold::store::PASSED_BYTES_MAX];
    world.app.script([reply(200, most.clone()), reply(200, [&most[..], b"x"].concat())]);
    let answer = world.ask("fits").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, most.len()));
    let answer = world.ask("does not").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (502, &"10".parse().unwrap()));
    world.listed("/deliveries?state=delivered", 2).await;
    // The application has taken both; what it said then is not known whole any more.
    for id in ["fits", "does not"] {
        let answer = world.ask(id).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (202, &b"<ok/>"[..]), "{id}");
    }
    assert_eq!(world.app.requests().len(), 2);
}

#[tokio::test]
async fn a_repeat_hears_what_was_answered() {
    let world = world("upstream", LONG, ONCE).await;
    world.app.script([Reply { headers: vec![("x-made", "7".into())], ..reply(201, "made") }]);
    let first = world.ask("1").await;
    world.listed("/deliveries?state=delivered", 1).await;
    let again = world.ask("1").await;
    assert_eq!((again.status, &again.body, &again.headers["x-made"]), (first.status, &first.body, &first.headers["x-made"]));
    assert_eq!(again.headers["hookhold-event-id"], first.headers["hookhold-event-id"]);
    // One that comes while the attempt is under way waits for it.
    world.app.script([reply(200, "late")]);
    let held = world.app.holds();
    let (first, again, ()) = tokio::join!(
        world.ask("2"),
        async {
            world.app.got(2).await;
            world.ask("2").await
        },
        async {
            // It is counted as a repeat before it waits.
            let counted = r#"hookhold_requests_total{source="up",outcome="duplicate"} 2"#;
            eventually(async || world.metrics().await.contains(counted).then_some(())).await;
            drop(held);
        }
    );
    assert_eq!((&first.body[..], &again.body[..]), (&b"late"[..], &b"late"[..]));
    // One that comes before an attempt is due need not wait for it.
    world.app.script([reply(500, "broken")]);
    assert_eq!(world.ask("3").await.status, 500);
    eventually(async || (world.get("/deliveries?state=pending").await["items"][0]["attempts_made"] == 1).then_some(())).await;
    let again = world.ask("3").await;
    assert_eq!((again.status.as_u16(), again.headers.contains_key("retry-after")), (503, true));
    // One that parks makes the delivery due, and waits for that attempt.
    world.app.script([reply(422, "no"), reply(200, "yes")]);
    assert_eq!(world.ask("4").await.status, 422);
    world.listed("/deliveries?state=parked", 1).await;
    assert_eq!(&world.ask("4").await.body[..], b"yes");
    assert_eq!(world.app.requests().len(), 5);
}

#[tokio::test]
async fn what_a_person_called_off_is_stored_and_no_more() {
    let world = world("upstream", LONG, ONCE).await;
    world.app.script([reply(500, "broken")]);
    assert_eq!(world.ask("1").await.status, 500);
    let waits = eventually(async || {
        let items = world.get("/deliveries?state=pending").await["items"].clone();
        items.get(0).filter(|d| d["attempts_made"] == 1).cloned()
    });
    let id = waits.await["id"].as_str().unwrap().to_owned();
    assert!(world.admin(Method::POST, &format!("/deliveries/{id}/cancel"), b"").await.status.is_success());
    assert_eq!(world.ask("1").await.status, 202);
}

#[tokio::test]
async fn an_application_that_is_down_is_told_and_gets_the_event_later() {
    for (ack, status) in [("upstream", 502), ("upstream-else-stored", 202)] {
        let address = nowhere();
        let more = format!(
            r#"
            [sources.up]
            path = "/in/up"
            provider = "none"
            dedupe = {{ header = "X-Id", for = "1h" }}
            ack = {{ mode = "{ack}", within = "{LONG}" }}
            answer = {{ status = 202 }}
            [destinations.down]
            url = "http://{address}/hook"
            retry = {{ base = "10ms", cap = "50ms" }}
            [[routes]]
            from = "up"
            to = ["down"]
            "#
        );
        let world = World::start(EAGER, &more).await;
        let answer = world.ask("1").await;
        assert_eq!(answer.status.as_u16(), status, "{ack}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 502);
        let event = answer.headers["hookhold-event-id"].to_str().unwrap().to_owned();
        // Once its breaker is open nobody waits for it.
        let breaker =
            async || world.get("/destinations").await["items"].as_array().unwrap().iter().any(|d| d["breaker"] == "open");
        eventually(async || breaker().await.then_some(())).await;
        let answer = world.ask("2").await;
        assert_eq!(answer.status.as_u16(), if status == 502 { 503 } else { 202 }, "{ack}");
        let app = Upstream::start_at(address).await;
        let got = app.got(2).await;
        assert!(got.iter().any(|got| got.header("hookhold-event-id") == event), "{ack}");
        world.listed("/deliveries?state=delivered", 2).await;
        assert_eq!(world.ask("1").await.status, 200, "{ack}: what the application said");
    }
}

#[tokio::test]
async fn a_slow_application_is_not_waited_for_and_gets_the_event_once() {
    for (ack, status) in [("upstream", 504), ("upstream-else-stored", 202)] {
        let world = world(ack, "3s", ONCE).await;
        world.app.script([reply(201, "slow")]);
        // It answers after the sender was answered.
        let held = world.app.holds();
        let begun = Instant::now();
        let answer = world.ask("1").await;
        assert_eq!(answer.status.as_u16(), status, "{ack}");
        assert!(begun.elapsed() >= Duration::from_secs(3), "{ack}: {:?}", begun.elapsed());
        drop(held);
        if ack == "upstream-else-stored" {
            assert_eq!(
                (&answer.body[..], &answer.headers["content-type"], &answer.headers["x-own"]),
                (&b"<ok/>"[..], &"text/xml".parse().unwrap(), &"1".parse().unwrap())
            );
        }
        world.listed("/deliveries?state=delivered", 1).await;
        let again = world.ask("1").await;
        assert_eq!((again.status.as_u16(), &again.body[..]), (201, &b"slow"[..]), "{ack}");
        assert_eq!(world.app.requests().len(), 1, "{ack}");
        let metrics = world.metrics().await;
        assert!(metrics.contains(r#"hookhold_upstream_answers_total{source="up",outcome="late"} 1"#), "{metrics}");
        assert!(metrics.contains(r#"hookhold_requests_total{source="up",outcome="accepted"} 1"#));
        assert!(metrics.contains(r#"hookhold_requests_total{source="up",outcome="duplicate"} 1"#));
        // The application's time is not the relay's.
        let sum = metrics.lines().find_map(|line| line.strip_prefix(r#"hookhold_accept_seconds_sum{source="up"} "#));
        assert!(sum.unwrap().parse::<f64>().unwrap() < 3.0, "{sum:?}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_destination_that_is_paused() {
    let world = world("upstream", LONG, "paused = true").await;
    let answer = world.ask("1").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (503, &"10".parse().unwrap()));
    world.listed("/deliveries?state=pending", 1).await;
    assert_eq!(world.admin(Method::POST, "/destinations/app/resume", b"").await.status, 200);
    world.listed("/deliveries?state=delivered", 1).await;
    // It is open: the next one hears its application.
    world.app.script([reply(201, "made")]);
    assert_eq!(&world.ask("2").await.body[..], b"made");
    // Who waits while somebody pauses it hears so, but for the one whose attempt is under way.
    world.app.script([reply(201, "under way")]);
    let held = world.app.holds();
    let (first, ()) = tokio::join!(world.ask("3"), async {
        world.app.got(3).await;
        assert_eq!(world.admin(Method::POST, "/destinations/app/pause", b"").await.status, 200);
        assert_eq!(world.ask("4").await.status, 503);
        drop(held);
    });
    assert_eq!(&first.body[..], b"under way");
}

#[tokio::test]
async fn a_sender_that_goes_away_costs_nothing() {
    let world = world("upstream", LONG, ONCE).await;
    world.app.script([reply(201, "made")]);
    let held = world.app.holds();
    tokio::select! {
        answer = world.ask("1") => panic!("{:?}", answer.status),
        _ = world.app.got(1) => {}
    }
    // The application answers once the relay knows that nobody waits any more.
    eventually(async || world.metrics().await.lines().any(|line| line == "hookhold_connections 0").then_some(())).await;
    drop(held);
    world.listed("/deliveries?state=delivered", 1).await;
    assert_eq!(&world.ask("1").await.body[..], b"made");
    assert_eq!(world.app.requests().len(), 1);
    assert!(world.metrics().await.contains(r#"hookhold_upstream_answers_total{source="up",outcome="passed"} 1"#));
}

#[tokio::test]
async fn head_and_http2_are_answered_as_ever() {
    let world = world("upstream", LONG, ONCE).await;
    let reply = || Reply { headers: vec![("x-made", "7".into())], ..Reply::status(203) };
    world.app.script([reply(), reply()]);
    let one = world.request(Method::HEAD, "/in/up", &[("x-id", "1")], b"").await;
    assert_eq!((one.status.as_u16(), &one.headers["x-made"], &one.body[..]), (203, &"7".parse().unwrap(), &b""[..]));
    let two = world.request_h2(Method::HEAD, "/in/up").await;
    assert_eq!((two.status().as_u16(), &two.headers()["x-made"], &two.body()[..]), (203, &"7".parse().unwrap(), &b""[..]));
    world.app.script([Reply {
        body: b"made".to_vec(),
        headers: vec![("connection", "close".into()), ("keep-alive", "x".into())],
        ..Reply::status(201)
    }]);
    let three = world.request_h2(Method::POST, "/in/up").await;
    assert_eq!(
        (three.status().as_u16(), &three.body()[..], three.headers().contains_key("keep-alive")),
        (201, &b"made"[..], false)
    );
    assert_eq!(
        world.app.requests().iter().map(|got| got.method.clone()).collect::<Vec<_>>(),
        [Method::HEAD, Method::HEAD, Method::POST]
    );
}

#[tokio::test]
async fn a_relay_that_stops_lets_nobody_wait() {
    let mut world = world("upstream", LONG, "in_flight = 1").await;
    world.app.script([reply(201, "under way")]);
    let held = world.app.holds();
    let trust = hookhold::net::tls::client_config_pinning(
        &world.folder.path().join("certs").join(hookhold::net::tls::SELF_SIGNED_FILES[0]),
    )
    .unwrap();
    let send = |id: &'static str| {
        let (base, trust) = (format!("https://{}", world.https()), trust.clone());
        tokio::spawn(async move { crate::world::call(&base, trust, Method::POST, "/in/up", &[("x-id", id)], b"{}").await })
    };
    let first = send("1");
    world.app.got(1).await;
    let second = send("2");
    world.listed("/events", 2).await;
    let ((), ()) = tokio::join!(world.down(), async {
        assert_eq!(second.await.unwrap().status, 503);
        drop(held);
        assert_eq!(&first.await.unwrap().body[..], b"under way");
    });
}

#[tokio::test]
async fn a_kill_while_somebody_waits_loses_nothing() {
    hookhold::net::tls::install_provider();
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    crate::process::write_config(folder.path(), &app);
    let path = folder.path().join("relay.toml");
    let text =
        std::fs::read_to_string(&path).unwrap().replace(r#"provider = "github","#, r#"provider = "github", ack = "upstream","#);
    std::fs::write(&path, text).unwrap();
    app.script([slow(Duration::from_secs(60), reply(201, "never heard")), reply(201, "made")]);
    let relay = Process::start(folder.path());
    tokio::select! {
        answer = relay.send("1", b"{}") => panic!("{:?}", answer.status),
        _ = app.got(1) => {}
    }
    drop(relay);
    let relay = Process::start(folder.path());
    let answer = relay.send("1", b"{}").await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (201, &b"made"[..]));
    let got = app.requests();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].header("hookhold-event-id"), got[1].header("hookhold-event-id"));
}
