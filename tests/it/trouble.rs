//! Alarms of the relay as a whole, heard by real receivers, with their end: a certificate near its end, a store that is nearly full and
//! then full, and one whose writes fail.

use std::path::Path;
use std::time::{Duration, SystemTime};

use hookhold::net::tls;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alerts::{SIGNING, alerts, is_signed, slack, texts, told};
use crate::process::{Process, write_config};
use crate::world::{Got, Reply, SMALL_STORE, Upstream, World, eventually};

const DAY: Duration = Duration::from_secs(86_400);

/// A receiver of signed documents; its secret is in a file.
fn signed(folder: &Path, ops: &Upstream) -> String {
    std::fs::write(folder.join("signing"), SIGNING).unwrap();
    format!("{{ url = 'http://{}/hooks', form = 'standard-webhooks', secret = {{ file = 'signing' }} }}", ops.address)
}

/// A certificate and its key, for so long from now on.
fn certificate(folder: &Path, lasts: Duration) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(1970, 1, 1) + since_1970 + lasts);
    std::fs::write(folder.join("hooks.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join("hooks-key.pem"), key.serialize_pem()).unwrap();
}

/// What a receiver of signed documents was told of this kind; each document can be believed.
fn documents(got: &[Got], kind: &str) -> Vec<Value> {
    assert!(got.iter().all(is_signed), "{got:?}");
    let read = got.iter().map(|got| serde_json::from_slice::<Value>(&got.body).unwrap());
    read.filter(|document| document["data"]["alert"]["kind"] == kind).collect()
}

/// Waits until the receiver was told so of an alarm of this kind.
async fn document(ops: &Upstream, kind: &str, word: &str) -> Value {
    let kind_of = format!("hookhold.alert.{word}");
    eventually(async || documents(&ops.requests(), kind).into_iter().find(|document| document["type"] == *kind_of)).await
}

#[tokio::test]
async fn a_certificate_near_its_end_is_told_and_its_successor() {
    let (chat, ops) = (Upstream::start().await, Upstream::start().await);
    let mut world = World::start("", "").await;
    let folder = world.folder.path().to_owned();
    certificate(&folder, 3 * DAY);
    let receivers = alerts(&format!("{}, {}", slack(&chat), signed(&folder, &ops)), "certificate_expiring = '14d'");
    let shown = "certificates = [{ cert = 'hooks.pem', key = 'hooks-key.pem' }]";
    let text = std::fs::read_to_string(folder.join("relay.toml")).unwrap();
    std::fs::write(folder.join("relay.toml"), format!("{}\n{receivers}", text.replace("self_signed = true", shown))).unwrap();
    world.down().await;
    world.up().await;

    let begin = told(&chat, "ALARM").await;
    assert!(begin.contains("hooks.pem") && begin.contains("it ends in 2"), "{begin}");
    let began = document(&ops, "certificate_expiring", "began").await;
    let alert = &began["data"]["alert"];
    assert!(alert["subject"]["certificate"].as_str().unwrap().ends_with("hooks.pem"), "{began}");
    let metrics = world.metrics().await;
    assert!(metrics.contains(r#"hookhold_alert_firing{kind="certificate_expiring""#), "{metrics}");
    assert_eq!(world.listed("/alerts?state=firing", 1).await[0]["id"], alert["id"]);

    // Its successor is there: it is read as soon as somebody says so, or by itself.
    certificate(&folder, 90 * DAY);
    world.reload().await.unwrap();
    told(&chat, "OVER").await;
    let ended = document(&ops, "certificate_expiring", "ended").await;
    assert_eq!(ended["data"]["alert"]["id"], alert["id"], "{ended}");
    world.listed("/alerts?state=firing", 0).await;
}

#[tokio::test]
async fn a_store_that_fills_is_told_before_it_is_full_and_when_it_is() {
    let (chat, ops) = (Upstream::start().await, Upstream::start().await);
    let mut world = World::start(r#"retry = { schedule = ["1h"] }"#, SMALL_STORE).await;
    let folder = world.folder.path().to_owned();
    let rules = "quota_near = 0.4\nstore_not_ready = '0s'\ndeliveries_overdue = 'off'\ndestination_failing = 'off'";
    let receivers = alerts(&format!("{}, {}", slack(&chat), signed(&folder, &ops)), rules);
    let text = std::fs::read_to_string(folder.join("relay.toml")).unwrap();
    std::fs::write(folder.join("relay.toml"), format!("{text}\n{receivers}")).unwrap();
    world.reload().await.unwrap();
    world.app.script((0..100).map(|_| Reply::status(503)));
    let body = vec![b'x'; 16 << 20];
    // 512 MiB leave 64 to events: two are 50 %.
    for _ in 0..2 {
        assert_eq!(world.post("/in/big", &[], &body).await.status, 200);
    }
    let near = told(&chat, "must be kept take").await;
    assert!(near.contains("32 MiB of 64 MiB"), "{near}");
    let began = document(&ops, "quota_near", "began").await;
    assert!(documents(&ops.requests(), "store_not_ready").is_empty(), "it takes events still");

    eventually(async || (world.post("/in/big", &[], &body).await.status == 503).then_some(())).await;
    let full = told(&chat, "store full: its events take").await;
    assert!(full.contains("ALARM"), "{full}");
    document(&ops, "store_not_ready", "began").await;

    // What is called off need not be kept: there is room again, and both are over.
    let cancelled = world.admin(Method::POST, "/deliveries/cancel", br#"{"filter":{"destination":"app"}}"#).await;
    assert_eq!(cancelled.status, 202);
    document(&ops, "store_not_ready", "ended").await;
    let ended = document(&ops, "quota_near", "ended").await;
    assert_eq!(ended["data"]["alert"]["id"], began["data"]["alert"]["id"]);
    eventually(async || {
        let over = texts(&chat.requests()).concat();
        (over.matches("OVER").count() >= 2).then_some(())
    })
    .await;
    assert_eq!(world.ready().await.status, 200);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_writes_fail_is_told_and_a_start_mends_it() {
    tls::install_provider();
    let (folder, chat, ops, app) =
        (TempDir::new().unwrap(), Upstream::start().await, Upstream::start().await, Upstream::start().await);
    write_config(folder.path(), &app);
    let receivers = alerts(&format!("{}, {}", slack(&chat), signed(folder.path(), &ops)), "store_not_ready = '0s'");
    let text = std::fs::read_to_string(folder.path().join("relay.toml")).unwrap() + &receivers;
    std::fs::write(folder.path().join("relay.toml"), text).unwrap();
    let relay = Process::start_without_signal(folder.path());
    assert_eq!(relay.send("kept", b"{}").await.status, 200);
    app.got(1).await;
    assert!(chat.requests().is_empty(), "{:?}", texts(&chat.requests()));

    relay.writes_nothing_more();
    // More than a file of the journal has room for that is there already.
    eventually(async || (relay.send("lost", &vec![b'x'; 100 << 10]).await.status == 503).then_some(())).await;
    let begin = told(&chat, "ALARM").await;
    let began = document(&ops, "store_not_ready", "began").await;
    assert_eq!(began["data"]["alert"]["subject"], json!({ "part": "store" }), "{began}");
    assert!(begin.contains("File too large") || begin.contains("os error 27"), "it says what failed: {begin}");
    assert_eq!(relay.get("/status").await["ready"], false);

    // Its disk is well again, and it is started anew: what was taken is there, and nothing alarms.
    drop(relay);
    let relay = Process::start(folder.path());
    eventually(async || (relay.get("/status").await["ready"] == true).then_some(())).await;
    assert_eq!(relay.send("again", b"{}").await.status, 200);
    let events = relay.get("/events?limit=500").await["items"].as_array().unwrap().clone();
    assert!(events.iter().any(|event| event["provider_event_id"] == "kept"), "{events:?}");
    assert_eq!(relay.get("/alerts?state=firing").await["items"], json!([]));
}
