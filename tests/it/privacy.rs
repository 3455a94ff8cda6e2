//! Who may see what: masks for those who need not see it, and nothing of anybody's in logs, metrics and the audit log.

use std::process::{Command, Stdio};

use hookhold::net::client::Answer;
use hookhold::net::tls;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::world::{Reply, SECRET, World, call, eventually, github_signature};

const OPS: &str = "hhk_ops-0123456789abcdefghij";
const DASH: &str = "hhk_dash-0123456789abcdefghij";
const NIGHT: &str = "hhk_night-0123456789abcdefghij";
const WALL: &str = "hhk_wall-0123456789abcdefghij";

/// Values that stand nowhere else.
const BODY: &str = r#"{"card":{"number":"BODYMARK","bank":"shown"},"user":{"email":"MAILMARK"},"id":7}"#;

/// Beside [`OPS`], a viewer, an operator who sees masks and a viewer who does not; and with these masks.
async fn guard(world: &mut World) {
    let folder = world.folder.path();
    for (name, token) in [("ops", OPS), ("dash", DASH), ("night", NIGHT)] {
        std::fs::write(folder.join(name), token).unwrap();
    }
    let wall = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(WALL.as_bytes()));
    let tokens = format!(
        r#"[admin]
        mask = {{ headers = ["X-Internal-*"], body = ["/card/number"] }}
        tokens = [
            {{ name = "ops", role = "operator", secret = {{ file = "ops" }} }},
            {{ name = "dash", role = "viewer", secret = {{ file = "dash" }} }},
            {{ name = "night", role = "operator", secret = {{ file = "night" }}, unmasked = false }},
            {{ name = "wall", role = "viewer", sha256 = "{wall}", unmasked = true, until = 2100-01-01T00:00:00Z }},
        ]"#
    );
    change(world, "[admin]", &tokens).await;
    change(world, "body = \"100KiB\"", "body = \"100KiB\"\nmask = { body = [\"/user/email\"], peer = true }").await;
}

async fn change(world: &mut World, from: &str, to: &str) {
    let path = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    world.reload().await.unwrap();
}

async fn as_token(world: &World, token: &str, method: Method, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str())];
    call(&world.admin_address(), tls::client_config(None).unwrap(), method, &format!("/api/v1{path}"), &fields, b"").await
}

async fn get(world: &World, token: &str, path: &str) -> Answer {
    as_token(world, token, Method::GET, path).await
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

async fn json_of(world: &World, token: &str, path: &str) -> Value {
    serde_json::from_slice(&get(world, token, path).await.body).unwrap()
}

/// Sends a request as GitHub would, with values that viewers need not see.
async fn send(world: &World, secret: &str, body: &str) -> u16 {
    let signature = github_signature(secret, body.as_bytes());
    let fields = [
        ("x-github-delivery", "d-1"),
        ("x-github-event", "push"),
        ("x-hub-signature-256", &*signature),
        ("authorization", "Bearer HDRMARK1"),
        ("cookie", "s=HDRMARK2"),
        ("x-internal-id", "HDRMARK3"),
        ("x-plain", "plain"),
    ];
    world.post("/in/gh?token=QRYMARK&x=", &fields, body.as_bytes()).await.status.as_u16()
}

/// A relay with one delivered event that was answered with 500 first, and one request in quarantine.
async fn told() -> (World, String) {
    let mut world = World::start("retry = { schedule = [\"10ms\"] }\norder_by = \"/user/email\"", "").await;
    let cookie = ("set-cookie", "s=RSPMARK1".to_owned());
    let reply = Reply {
        status: 500,
        headers: vec![cookie, ("x-seen", "yes".to_owned())],
        body: b"no RSPMARK2".to_vec(),
        ..Reply::default()
    };
    world.app.script([reply]);
    assert_eq!(send(&world, SECRET, BODY).await, 200);
    world.listed("/deliveries?state=delivered", 1).await;
    assert_eq!(send(&world, "wrong", BODY).await, 401);
    world.listed("/quarantine", 1).await;
    let id = world.get("/events").await["items"][0]["id"].as_str().unwrap().to_owned();
    guard(&mut world).await;
    (world, id)
}

#[tokio::test]
async fn an_id_or_a_type_from_what_is_hidden_is_hidden_too() {
    let more = r#"
        [sources.open]
        path = "/in/open"
        provider = "none"
        dedupe = { pointer = "/order/id", for = "1h" }
        mask = { body = ["/order"] }
        [[routes]]
        from = "open"
        to = ["app"]
    "#;
    let mut world = World::start("", more).await;
    guard(&mut world).await;
    change(&mut world, "mask = { body = [\"/user/email\"], peer = true }", "mask = { headers = [\"X-GitHub-*\"] }").await;
    assert_eq!(world.post("/in/open", &[], br#"{"order":{"id":"IDMARK"},"a":1}"#).await.status, 200);
    assert_eq!(send(&world, SECRET, "{}").await, 200);
    // `World` has no token, and nobody without one is let in any more.
    eventually(async || {
        let done = json_of(&world, OPS, "/deliveries?state=delivered").await;
        (done["items"].as_array()?.len() == 2).then_some(())
    })
    .await;
    let named = async |token: &str| {
        let listed = json_of(&world, token, "/events?order=oldest").await;
        let of = |event: &Value| [&event["provider_event_id"], &event["type"]].map(|value| value.as_str().map(str::to_owned));
        listed["items"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(named(OPS).await, [[text("IDMARK"), None], [text("d-1"), text("push")]]);
    for token in [DASH, NIGHT] {
        assert_eq!(named(token).await, [[text("***"), None], [text("***"), text("***")]]);
    }
    for (path, seen, masked) in [
        ("/events?provider_event_id=IDMARK", 200, 403),
        ("/events?source=open&provider_event_id=IDMARK", 200, 403),
        ("/events?type=push", 200, 403),
        ("/events?type=push&source=gh", 200, 403),
        ("/events?type=push&source=open", 200, 200),
        ("/events?source=gh", 200, 200),
    ] {
        assert_eq!(get(&world, OPS, path).await.status, seen, "{path}");
        assert_eq!(get(&world, DASH, path).await.status, masked, "{path}");
    }
    let refused = text_of_problem(&get(&world, DASH, "/events?type=push").await);
    assert!(refused.contains("`type` comes from a part of requests that this token may not see"), "{refused}");
    // Counting what a replay would take tells as much.
    for (token, status) in [(OPS, 200), (NIGHT, 403)] {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let wish = br#"{"filter":{"type":"push"},"dry_run":true}"#;
        let trust = tls::client_config(None).unwrap();
        let answer = call(&world.admin_address(), trust, Method::POST, "/api/v1/replays", &fields, wish).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

fn text_of_problem(answer: &Answer) -> String {
    serde_json::from_slice::<Value>(&answer.body).unwrap()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masks_are_not_forwarded() {
    let (world, id) = told().await;
    let forward = |token: &'static str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookhold"));
        let admin = world.admin_address();
        command.args(["--admin", &admin, "forward", "--source", "gh", "--to", "http://127.0.0.1:1/", "--cursor", token]);
        command.env("HOOKHOLD_TOKEN", token).current_dir(world.folder.path());
        command
    };
    for token in [DASH, NIGHT] {
        let mut command = forward(token);
        let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("masks are not forwarded") && said.contains("`unmasked = true`"), "{said}");
        assert!(!said.contains("forwarding gh"), "{said}");
        assert_eq!(json_of(&world, token, &format!("/events/{id}")).await["is_masked"], true);
    }
    // Who sees all is not refused.
    let mut child = forward(WALL).stderr(Stdio::piped()).spawn().unwrap();
    let (mut said, begins) = (String::new(), "forwarding gh to");
    let mut from = std::io::BufReader::new(child.stderr.take().unwrap());
    tokio::task::block_in_place(|| {
        while !said.contains(begins) && std::io::BufRead::read_line(&mut from, &mut said).unwrap() > 0 {}
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains(begins), "{said}");
    assert_eq!(json_of(&world, OPS, &format!("/events/{id}")).await["is_masked"], false);
}

#[tokio::test]
async fn masks_are_for_those_who_need_not_see() {
    let (world, id) = told().await;
    let quarantined = json_of(&world, OPS, "/quarantine").await["items"][0]["id"].as_str().unwrap().to_owned();
    let paths = [
        "/events".to_owned(),
        format!("/events/{id}"),
        format!("/events/{id}/body"),
        "/deliveries".to_owned(),
        format!("/deliveries/{id}.1"),
        "/destinations/app".to_owned(),
        "/sources".to_owned(),
        "/quarantine".to_owned(),
        format!("/quarantine/{quarantined}"),
        format!("/quarantine/{quarantined}/body"),
    ];
    let (mut masked, mut whole) = (String::new(), String::new());
    for path in &paths {
        for token in [DASH, NIGHT, OPS, WALL] {
            let answer = get(&world, token, path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            let all = if [DASH, NIGHT].contains(&token) { &mut masked } else { &mut whole };
            all.push_str(&text(&answer));
        }
    }
    for mark in ["HDRMARK1", "HDRMARK2", "HDRMARK3", "BODYMARK", "MAILMARK", "QRYMARK", "RSPMARK1", "RSPMARK2", "sha256="] {
        assert!(!masked.contains(mark), "{mark} is in {masked}");
        assert!(whole.contains(mark), "{mark} is not in {whole}");
    }
    let event = json_of(&world, DASH, &format!("/events/{id}")).await;
    assert_eq!([&event["target"], &event["peer"]], ["/in/gh?token=***&x=", "***"]);
    let headers = event["headers"].as_array().unwrap();
    for field in
        [json!(["authorization", "*** (15 bytes)"]), json!(["x-internal-id", "*** (8 bytes)"]), json!(["x-plain", "plain"])]
    {
        assert!(headers.contains(&field), "{field} is not in {event}");
    }
    let delivery = &event["deliveries"][0];
    assert_eq!([&delivery["order_key"], &delivery["attempts"][0]["response_body"]], ["***", "***"]);
    assert!(delivery["attempts"][0]["response_headers"].as_array().unwrap().contains(&json!(["x-seen", "yes"])), "{delivery}");
    let body = get(&world, DASH, &format!("/events/{id}/body")).await;
    assert_eq!(text(&body), BODY.replace("BODYMARK", "***").replace("MAILMARK", "***"));
    assert_eq!(body.headers.get("hookhold-masked").unwrap(), "2");
    assert_eq!(text(&get(&world, WALL, &format!("/events/{id}/body")).await), BODY);
}

#[tokio::test]
async fn what_cannot_be_masked_is_not_shown() {
    let (mut world, id) = told().await;
    send(&world, "wrong", "card=BODYMARK").await;
    let listed = eventually(async || {
        let listed = json_of(&world, OPS, "/quarantine").await;
        (listed["items"].as_array().unwrap().len() == 2).then_some(listed)
    });
    let path = format!("/quarantine/{}/body", listed.await["items"][0]["id"].as_str().unwrap());
    let refused = get(&world, DASH, &path).await;
    assert!(refused.status == 403 && !text(&refused).contains("BODYMARK"), "{refused:?}");
    assert_eq!(text(&get(&world, OPS, &path).await), "card=BODYMARK");
    assert_eq!(get(&world, NIGHT, "/backup").await.status, 403);
    assert_eq!(get(&world, WALL, "/backup").await.status, 403);
    assert_eq!(get(&world, OPS, "/backup").await.status, 200);
    // With its source goes what is to be masked.
    let path = world.folder.path().join("relay.toml");
    let without = std::fs::read_to_string(&path).unwrap().replace("[sources.gh]", "[sources.other]");
    std::fs::write(path, without.replace("from = \"gh\"", "from = \"other\"")).unwrap();
    world.reload().await.unwrap();
    assert_eq!(get(&world, DASH, &format!("/events/{id}/body")).await.status, 403);
    let event = get(&world, DASH, &format!("/events/{id}")).await;
    assert!(!text(&event).contains("MARK"), "{}", text(&event));
    assert_eq!(text(&get(&world, OPS, &format!("/events/{id}/body")).await), BODY);
}

#[tokio::test]
async fn the_command_line_shows_what_its_token_may_see() {
    let (world, id) = told().await;
    let run = async |token: &'static str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookhold"));
        command.args(["--admin", &world.admin_address()]).args(arguments).env("HOOKHOLD_TOKEN", token).stdin(Stdio::null());
        let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (ended.status.code().unwrap(), String::from_utf8(ended.stdout).unwrap())
    };
    for arguments in [&["events", "show", &id][..], &["events", "show", &id, "--json"], &["events", "body", &id], &["quarantine"]]
    {
        let (code, shown) = run(DASH, arguments).await;
        assert!(code == 0 && !shown.contains("MARK"), "{arguments:?}: {shown}");
    }
    assert!(run(OPS, &["events", "show", &id]).await.1.contains("HDRMARK1"));
    assert_eq!(run(OPS, &["retry", &format!("{id}.1")]).await.0, 1, "it is delivered");
    let (code, audit) = run(OPS, &["audit", "--json", "--action", "deliveries"]).await;
    let audit: Value = serde_json::from_str(&audit).unwrap();
    let entry = &audit["items"][0];
    assert_eq!(code, 0);
    assert_eq!(
        [&entry["who"], &entry["peer"], &entry["action"], &entry["result"]],
        ["ops", "127.0.0.1", "deliveries.retry", "refused"]
    );
    assert_eq!((&entry["status"], &entry["target"]), (&json!(409), &json!(format!("{id}.1"))));
    assert!(run(OPS, &["audit"]).await.1.contains("deliveries.retry"));
    assert_eq!(run(DASH, &["audit"]).await.0, 1);
}

#[test]
fn a_new_token_comes_with_its_line() {
    let folder = TempDir::new().unwrap();
    let made = crate::process::run(folder.path(), &["token", "new", "--name", "wall", "--role", "viewer", "--json"]).json();
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("hhk_") && token.len() == 47, "{token}");
    let line = made["line"].as_str().unwrap();
    assert!(line.contains("name = \"wall\", role = \"viewer\", sha256 = ") && !line.contains(token));
    assert_eq!(made["sha256"], hex::encode(<sha2::Sha256 as sha2::Digest>::digest(token.as_bytes())));
    let another = crate::process::run(folder.path(), &["token", "new", "--json"]).json();
    assert_ne!(another["token"], made["token"]);
}

/// The relay.toml of a real process that logs all that it can.
const TALKATIVE: &str = r#"
    [listen]
    https = "127.0.0.1:0"
    [tls]
    self_signed = true
    [log]
    level = "trace"
    [admin]
    listen = "127.0.0.1:0"
    mask = { body = ["/card", "/user"] }
    tokens = [
        { name = "ops", role = "operator", secret = { file = "ops" } },
        { name = "dash", role = "viewer", secret = { file = "dash" } },
    ]
    [sources.gh]
    path = "/in/gh"
    provider = "github"
    secrets = [{ file = "secret" }]
    [destinations.app]
    url = "http://u:URLMARK1@127.0.0.1:1/hook?k=URLMARK2"
    headers = { x-key = { file = "key" } }
    retry = { schedule = ["1h"] }
    [[routes]]
    from = "gh"
    to = ["app"]
"#;

/// Sends a request that is full of unusual values.
async fn marked(relay: &Process, folder: &TempDir, secret: &str) -> u16 {
    let trust = tls::client_config_pinning(&folder.path().join("certs").join(tls::SELF_SIGNED_FILES[0])).unwrap();
    let signature = github_signature(secret, BODY.as_bytes());
    let fields = [
        ("x-github-delivery", "d-1"),
        ("x-hub-signature-256", &*signature),
        ("authorization", "Bearer HDRMARK1"),
        ("cookie", "HDRMARK2"),
        ("x-odd", "HDRMARK3"),
    ];
    call(&relay.https, trust, Method::POST, "/in/gh?token=QRYMARK", &fields, BODY.as_bytes()).await.status.as_u16()
}

#[tokio::test]
async fn nothing_of_anybody_is_in_logs_metrics_and_the_audit_log() {
    tls::install_provider();
    let folder = TempDir::new().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    [("ops", OPS), ("dash", DASH), ("secret", "s3cr3t-SECMARK"), ("key", "KEYMARK"), ("relay.toml", TALKATIVE)]
        .into_iter()
        .for_each(|(name, content)| write(name, content));
    let log = folder.path().join("log");
    let relay = Process::start_logging(folder.path(), std::fs::File::create(&log).unwrap().into());
    for (secret, status) in [("s3cr3t-SECMARK", 200), ("wrong", 401)] {
        assert_eq!(marked(&relay, &folder, secret).await, status);
    }
    let admin = async |token: &str, method: Method, path: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str()), ("cookie", "hookhold-0=COOKMARK")];
        call(&relay.admin, tls::client_config(None).unwrap(), method, path, &fields, body.as_bytes()).await
    };
    let mut seen = String::new();
    let events = eventually(async || {
        let events: Value = serde_json::from_slice(&admin(OPS, Method::GET, "/api/v1/events", "").await.body).unwrap();
        (events["items"][0]["deliveries"][0]["attempts_made"] == 1).then_some(events)
    });
    let id = events.await["items"][0]["id"].as_str().unwrap().to_owned();
    admin("TOKMARK-wrong", Method::GET, "/api/v1/events?x=ADMMARK1", "").await;
    admin("TOKMARK-wrong", Method::POST, "/api/v1/replays", "{\"filter\":{\"source\":\"ADMMARK2\"}}").await;
    admin(DASH, Method::POST, "/api/v1/replays", "{\"filter\":{\"source\":\"ADMMARK3\"}}").await;
    admin("", Method::POST, "/login", "{\"token\":\"TOKMARK-login\"}").await;
    admin(OPS, Method::POST, &format!("/api/v1/deliveries/{id}.1/retry"), "{\"password\":\"ADMMARK4\"}").await;
    admin(OPS, Method::POST, "/api/v1/quarantine/release", "{}").await;
    admin(OPS, Method::POST, "/api/v1/reload", "{}").await;
    admin(OPS, Method::GET, "/api/v1/backup", "").await;
    for path in ["/metrics", "/api/v1/audit"] {
        seen.push_str(&text(&admin(OPS, Method::GET, path, "").await));
    }
    let (body, delivery) = (format!("events/{id}/body"), format!("deliveries/{id}.1"));
    for path in ["events", "deliveries", "destinations", "sources", "quarantine", "status", &body, &delivery] {
        seen.push_str(&text(&admin(DASH, Method::GET, &format!("/api/v1/{path}"), "").await));
    }
    let shown = text(&admin(DASH, Method::GET, &format!("/api/v1/events/{id}"), "").await);
    // Only header fields that nobody called secret are shown.
    assert!(shown.contains("HDRMARK3"), "{shown}");
    seen.push_str(&shown.replace("HDRMARK3", ""));
    drop(relay);
    let lines = std::fs::read_to_string(log).unwrap();
    assert!(lines.contains("an attempt failed") && lines.contains("admin change"), "it says little: {lines}");
    for entry in std::fs::read_dir(folder.path().join("data/audit")).unwrap() {
        seen.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    assert!(seen.contains("quarantine.release") && seen.contains("hookhold_requests_total"));
    for mark in ["MARK", "s3cr3t", OPS, DASH, "sha256="] {
        for (place, text) in [("the log", &lines), ("what is shown", &seen)] {
            let at = text.find(mark).map(|at| &text[at.saturating_sub(100)..(at + 50).min(text.len())]);
            assert_eq!(at, None, "{mark} is in {place}");
        }
    }
}
