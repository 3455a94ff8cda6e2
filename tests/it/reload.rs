//! A new configuration while the relay runs: whole or not at all, and nothing that waits is lost.

use std::process::Command;

use hookhold::config;
use hookhold::net::client::{Answer, Payload, Server};
use hookhold::net::pool::Pool;
use hookhold::net::tls;
use http::{Method, Request};
use std::time::Duration;

use crate::process::Process;
use crate::world::{Reply, Upstream, World, eventually};

const EAGER: &str = r#"retry = { schedule = ["50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms"] }"#;

/// The relay.toml of a world, changed.
fn edit(world: &World, change: impl FnOnce(String) -> String) {
    let file = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, change(text)).unwrap();
}

#[tokio::test]
async fn a_secret_is_exchanged_and_what_is_the_same_is_not_named() {
    let mut world = World::start(EAGER, "").await;
    assert_eq!(world.reload().await.unwrap(), [""; 0]);
    assert_eq!(world.send("before", b"{}").await.status, 200);
    std::fs::write(world.folder.path().join("secret"), "another secret").unwrap();
    assert_eq!(world.reload().await.unwrap(), ["sources.gh: changed"]);
    assert_eq!(world.send("after", b"{}").await.status, 401);
    let signature = crate::world::github_signature("another secret", b"{}");
    let headers = [("x-github-delivery", "before"), ("x-hub-signature-256", signature.as_str())];
    // The same id: dedupe goes on.
    assert_eq!(world.post("/in/gh", &headers, b"{}").await.status, 200);
    assert_eq!(world.listed("/events", 1).await[0]["duplicates"], 1);
}

/// Secrets of destinations and of the admin API are read again, too, and those that did not change are not named.
#[tokio::test]
async fn every_secret_of_a_file_is_read_again() {
    let signed = "headers = { x-api-key = { file = 'header' } }\nauth = { bearer = { file = 'bearer' } }\n\
                  sign = { as = 'standard-webhooks', secret = { file = 'sign' } }";
    let mut world = World::start(EAGER, "").await;
    let folder = world.folder.path().to_owned();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    ["header", "bearer"].iter().for_each(|name| write(name, "old"));
    write("sign", "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk");
    write("token", "an-old-token-of-more-than-32-characters");
    edit(&world, |text| text.replace("[destinations.app]", &format!("[destinations.app]\n{signed}")));
    let token = "tokens = [{ name = 'ops', role = 'operator', secret = { file = 'token' } }]";
    edit(&world, |text| text.replace("[admin]", &format!("[admin]\n{token}")));
    world.reload().await.unwrap();
    let status = async |world: &World, token: &str| {
        let (trust, bearer) = (tls::client_config(None).unwrap(), format!("Bearer {token}"));
        let fields = [("authorization", bearer.as_str())];
        crate::world::call(&world.admin_address(), trust, Method::GET, "/api/v1/status", &fields, b"").await.status.as_u16()
    };
    assert_eq!(world.send("one", b"{}").await.status, 200);
    let first = world.app.got(1).await[0].clone();
    assert_eq!((first.header("x-api-key"), first.header("authorization")), ("old", "Bearer old"));
    assert_eq!(status(&world, "an-old-token-of-more-than-32-characters").await, 200);
    ["header", "bearer"].iter().for_each(|name| write(name, "new"));
    write("sign", "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3");
    write("token", "a-newer-token-of-more-than-32-characters");
    assert_eq!(world.reload().await.unwrap(), ["admin: changed", "destinations.app: changed"]);
    assert_eq!(world.send("two", b"{}").await.status, 200);
    let second = world.app.got(2).await[1].clone();
    assert_eq!((second.header("x-api-key"), second.header("authorization")), ("new", "Bearer new"));
    let signed = |got: &crate::world::Got, key: &str| {
        let signed = format!("{}.{}.{{}}", got.header("webhook-id"), got.header("webhook-timestamp"));
        let bare = crate::world::github_signature(key, signed.as_bytes()).replace("sha256=", "");
        format!("v1,{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hex::decode(bare).unwrap()))
    };
    assert_eq!(first.header("webhook-signature"), signed(&first, &"old".repeat(8)));
    assert_eq!(second.header("webhook-signature"), signed(&second, &"new".repeat(8)));
    assert_eq!(status(&world, "an-old-token-of-more-than-32-characters").await, 401);
    assert_eq!(status(&world, "a-newer-token-of-more-than-32-characters").await, 200);
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing() {
    let mut world = World::start(EAGER, "").await;
    let text = std::fs::read_to_string(world.folder.path().join("relay.toml")).unwrap();
    edit(&world, |text| text.replace("/in/gh", "/in/new").replace("[destinations.app]", "[destinations.other]"));
    let problems = world.reload().await.unwrap_err().to_string();
    assert!(problems.contains("\"app\""), "{problems}");
    assert_eq!(world.send("still", b"{}").await.status, 200);
    // It can be read, but not all of it can be used.
    edit(&world, |_| {
        text.replace("[tls]\nself_signed = true", "").replace("self_signed = true", "certificates = [{ cert = 'a', key = 'b' }]")
    });
    assert!(world.reload().await.is_err());
    assert_eq!(world.send("and still", b"{}").await.status, 200);
}

#[tokio::test]
async fn sources_come_and_go() {
    let mut world = World::start(EAGER, "").await;
    edit(&world, |text| text + "[sources.two]\npath = '/in/two'\nprovider = 'none'\n[[routes]]\nfrom = 'two'\nto = ['app']\n");
    assert_eq!(world.reload().await.unwrap(), ["routes: changed", "sources.two: added"]);
    assert_eq!(world.post("/in/two", &[], b"x").await.status, 200);
    assert_eq!(world.app.got(1).await[0].header("hookhold-source"), "two");
    assert_eq!(world.get("/sources").await["items"].as_array().unwrap().len(), 2);
    edit(&world, |text| text.split("[sources.two]").next().unwrap().to_owned());
    world.reload().await.unwrap();
    assert_eq!(world.post("/in/two", &[], b"x").await.status, 404);
    assert_eq!(world.send("one", b"{}").await.status, 200);
}

#[tokio::test]
async fn what_waits_goes_to_the_new_address() {
    let mut world = World::start(EAGER, "").await;
    world.app.script((0..1000).map(|_| Reply::status(503)));
    assert_eq!(world.send("waits", b"{}").await.status, 200);
    world.app.got(1).await;
    let other = Upstream::start().await;
    let (from, to) = (world.app.address.to_string(), other.address.to_string());
    edit(&world, |text| text.replace(&from, &to));
    assert_eq!(world.reload().await.unwrap(), ["destinations.app: changed"]);
    other.got(1).await;
    world.listed("/deliveries?state=delivered", 1).await;
}

#[tokio::test]
async fn a_destination_that_is_gone_keeps_its_backlog() {
    let mut world = World::start(r#"retry = { base = "1s", cap = "1s", for = "1h" }"#, "").await;
    let elsewhere = Upstream::start().await;
    // However often it is tried until then.
    world.app.answers(Reply::status(503));
    assert_eq!(world.send("waits", b"{}").await.status, 200);
    world.app.got(1).await;
    world.listed("/deliveries?state=pending", 1).await;
    let text = std::fs::read_to_string(world.folder.path().join("relay.toml")).unwrap();
    let other = format!("[destinations.other]\nurl = 'http://{}/other'\n", elsewhere.address);
    edit(&world, |text| text.split("[destinations.app]").next().unwrap().replace("to = [\"app\"]", "to = [\"other\"]") + &other);
    let changes = world.reload().await.unwrap();
    let expected = ["destinations.app: removed; 1 delivery waits for it", "destinations.other: added", "routes: changed"];
    assert_eq!(changes, expected);
    assert_eq!(world.send("goes", b"{}").await.status, 200);
    assert_eq!(elsewhere.got(1).await[0].target, "/other");
    world.listed("/deliveries?state=delivered", 1).await;
    world.listed("/deliveries?state=pending", 1).await;
    world.app.answers(Reply::status(200));
    edit(&world, |_| text);
    world.reload().await.unwrap();
    world.listed("/deliveries?state=delivered", 2).await;
    assert!(world.app.requests().iter().all(|got| got.target == "/hook"));
}

#[tokio::test]
async fn pauses_follow_the_configuration_but_for_what_a_person_said() {
    let mut world = World::start(EAGER, "").await;
    let change = async |world: &World, path: &str| world.admin(Method::POST, path, b"").await.status.as_u16();
    let paused = async |world: &World, path: &str| world.get(path).await["paused"].clone();
    // What is new can be paused, from its start and by a person.
    let address = world.app.address;
    let two = format!(
        "[sources.two]\npath = '/in/two'\nprovider = 'none'\n[[routes]]\nfrom = 'two'\nto = ['two']\n\
         [destinations.two]\nurl = 'http://{address}/two'\npaused = true\n"
    );
    let first = std::fs::read_to_string(world.folder.path().join("relay.toml")).unwrap();
    edit(&world, |text| text + &two);
    world.reload().await.unwrap();
    assert_eq!(world.post("/in/two", &[], b"x").await.status, 200);
    world.listed("/deliveries?state=pending", 1).await;
    assert_eq!(paused(&world, "/destinations/two").await, true);
    assert_eq!(change(&world, "/destinations/two/resume").await, 200);
    world.listed("/deliveries?state=delivered", 1).await;
    assert_eq!(change(&world, "/sources/two/pause").await, 200);
    assert_eq!(world.post("/in/two", &[], b"x").await.status, 503);
    // A person said that it goes on; of `app` nobody said anything.
    let pause_app = |text: String| text.replace("/hook\"\n", "/hook\"\npaused = true\n");
    edit(&world, pause_app);
    world.reload().await.unwrap();
    assert_eq!(
        (paused(&world, "/destinations/two").await, paused(&world, "/destinations/app").await),
        (false.into(), true.into())
    );
    assert_eq!(world.send("waits", b"{}").await.status, 200);
    world.listed("/deliveries?state=pending", 1).await;
    edit(&world, |_| first.replace("body = \"100KiB\"", "paused = true"));
    world.reload().await.unwrap();
    world.listed("/deliveries?state=delivered", 2).await;
    assert_eq!(world.send("refused", b"{}").await.status, 503);
    // What is gone cannot be paused any more.
    assert_eq!((change(&world, "/destinations/two/pause").await, change(&world, "/sources/two/resume").await), (404, 404));
    assert_eq!(change(&world, "/sources/gh/resume").await, 200);
    world.reload().await.unwrap();
    assert_eq!(world.send("taken", b"{}").await.status, 200);
    world.down().await;
    edit(&world, |text| text + &two);
    world.up().await;
    assert_eq!(world.post("/in/two", &[], b"x").await.status, 503, "what a person said of it is kept while it is away");
}

#[tokio::test]
async fn a_lane_follows_another_pace_and_another_order() {
    let mut world = World::start("per_second = 0.01\nin_flight = 2", "").await;
    for n in 0..5 {
        assert_eq!(world.send(&n.to_string(), b"{}").await.status, 200);
    }
    world.listed("/deliveries?state=delivered", 1).await;
    edit(&world, |text| text.replace("per_second = 0.01", "order_by = '/k'\nretry = { schedule = ['1h'] }"));
    world.reload().await.unwrap();
    world.listed("/deliveries?state=delivered", 5).await;
    world.app.script([Reply::status(500)]);
    for n in 5..8 {
        assert_eq!(world.send(&n.to_string(), b"{\"k\":1}").await.status, 200);
    }
    eventually(async || (world.get("/destinations/app").await["blocked_keys"] == 1).then_some(())).await;
    world.listed("/deliveries?state=pending", 3).await;
    // To a crawl: a person can still change what waits.
    edit(&world, |text| text.replace("order_by = '/k'", "per_second = 0.01"));
    world.reload().await.unwrap();
    for n in 8..11 {
        assert_eq!(world.send(&n.to_string(), b"{}").await.status, 200);
    }
    world.listed("/deliveries?state=delivered", 6).await;
    let cancel = br#"{"filter": {"destination": "app", "state": "pending"}}"#;
    let answer = world.admin(Method::POST, "/deliveries/cancel", cancel).await;
    let cancelled = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()["cancelled"].as_u64().unwrap();
    // One may be claimed ahead.
    assert!((4..=5).contains(&cancelled), "{cancelled}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_open_connections_go_on() {
    let mut world = World::start(EAGER, "").await;
    let certs = world.folder.path().join("certs");
    let old = std::fs::read(certs.join(tls::SELF_SIGNED_FILES[0])).unwrap();
    let pool = https(&world.https().to_string(), &certs);
    assert_eq!(get(&pool, "/in/gh").await.status, 405);
    tls::SELF_SIGNED_FILES.iter().for_each(|file| std::fs::remove_file(certs.join(file)).unwrap());
    world.reload().await.unwrap();
    assert_ne!(std::fs::read(certs.join(tls::SELF_SIGNED_FILES[0])).unwrap(), old);
    // The pinned old certificate would not do for a new connection.
    assert_eq!(get(&pool, "/in/gh").await.status, 405);
    assert_eq!(world.send("new", b"{}").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_and_the_api_read_the_file_again() {
    tls::install_provider();
    let (folder, app) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    crate::process::write_config(folder.path(), &app);
    let (file, relay) = (folder.path().join("relay.toml"), Process::start(folder.path()));
    let good = std::fs::read_to_string(&file).unwrap();
    let admin = Pool::new(
        Server::of(&relay.admin.parse().unwrap(), tls::client_config(None).unwrap(), false).unwrap(),
        0,
        Duration::ZERO,
    );
    let reload = async || {
        let request = Request::post("/api/v1/reload").header("host", admin.server().authority());
        let answer = admin.exchange(request.body(Payload::default()).unwrap(), 1 << 20).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap())
    };
    std::fs::write(&file, good.replace("/in/gh", "/in/api")).unwrap();
    assert_eq!(reload().await, (200, serde_json::json!({ "changed": ["sources.gh: changed"] })));
    std::fs::write(&file, good.replace("provider", "provdier")).unwrap();
    let (status, problem) = reload().await;
    assert_eq!((status, problem["problems"].as_array().unwrap().is_empty()), (422, false), "{problem}");
    assert!(problem["problems"].to_string().contains("did you mean"), "{problem}");
    let pool = https(relay.https.trim_start_matches("https://"), &folder.path().join("certs"));
    assert_eq!(get(&pool, "/in/api").await.status, 405);
    std::fs::write(&file, good.replace("/in/gh", "/in/signal")).unwrap();
    Command::new("sh").arg("-c").arg(format!("kill -HUP {}", relay.id())).status().unwrap();
    eventually(async || (get(&pool, "/in/signal").await.status == 405).then_some(())).await;
    assert!(config::load(&file).is_ok());
}

fn https(address: &str, certs: &std::path::Path) -> Pool {
    let trust = tls::client_config_pinning(&certs.join(tls::SELF_SIGNED_FILES[0])).unwrap();
    Pool::new(Server::of(&format!("https://{address}").parse().unwrap(), trust, false).unwrap(), 1, Duration::from_secs(60))
}

async fn get(pool: &Pool, path: &str) -> Answer {
    let request = Request::builder().method(Method::GET).uri(path).header("host", pool.server().authority());
    pool.exchange(request.body(Payload::default()).unwrap(), 1 << 16).await.unwrap()
}
