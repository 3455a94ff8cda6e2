//! Certificates by ACME, from a real CA's own test server (Pebble, of Let's Encrypt), by a relay in a process of its own.
//!
//! Without Pebble these tests do nothing, unless `CI` is set: then it must be there.

mod pebble;
mod relay;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use hookhold::net::issued::Issued;
use http::Method;

use crate::process::run;
use crate::world::{eventually, free_port};
use pebble::{Ca, here};
use relay::{Relay, Setup};
use serde_json::Value;

/// What a certificate lives. It is renewed when two thirds are over: on a busy machine an order takes some seconds.
const LIFETIME_S: u32 = 75;
/// More than its renewal takes.
const RENEWAL_TIME: Duration = Duration::from_secs(180);
/// Seconds of a lifetime of which two thirds are not over within `SOON`.
const LONG_LIFETIME: u32 = 150;
/// More than a renewal takes that its CA wants at once: it is not made before a tenth of the lifetime has passed.
const SOON: Duration = Duration::from_secs(80);

#[tokio::test(flavor = "multi_thread")]
async fn certificates_come_over_tls_alone_and_a_restart_asks_nothing() {
    if !here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::start(folder.path(), &pebble::Options { tls_port: free_port(), ..Default::default() }).await;
    let setup = Setup { https: ca.options.tls_port, hosts: "'a.example', 'b.example'", ..Setup::of(&ca) };
    let relay = Relay::start(folder.path(), &setup);
    let roots = ca.roots().await;
    for host in ["a.example", "b.example"] {
        relay.shows(host, &roots).await;
    }
    assert_eq!(relay.post("a.example", &roots).await, Some(200));
    assert_eq!(relay.metric("hookhold_acme_orders_total{outcome=\"issued\"}").await, "2");
    relay.is_counted("hookhold_acme_failing", "0").await;
    // Who asks as a CA does and is none sees nothing: no question is open.
    assert!(relay.handshake("a.example", &roots, &[b"acme-tls/1"]).await.is_none());
    let kept = private(&folder.path().join("data/acme"));
    assert_eq!(kept, ["a.example.pem", "account.json", "b.example.pem"]);
    let shown = relay.process.get("/config").await;
    let files: Vec<_> = shown["certificates"].as_array().unwrap().iter().map(|c| c["file"].as_str().unwrap()).collect();
    assert_eq!(files.iter().map(|file| file.rsplit('/').next().unwrap()).collect::<Vec<_>>(), ["a.example.pem", "b.example.pem"]);
    let expiry = relay.lines("hookhold_certificate_expiry_timestamp_seconds{").await;
    assert_eq!(expiry.len(), 2, "{expiry:?}");
    let noted = relay.process.get("/audit?who=acme").await;
    let said = |entry: &Value| ["action", "target", "result"].map(|field| entry[field].as_str().unwrap().to_owned());
    let noted: Vec<_> = noted["items"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(noted, [["certificates.issue", "b.example", "done"], ["certificates.issue", "a.example", "done"]]);
    let serial = relay.shows("a.example", &roots).await;

    drop(relay);
    drop(ca);
    let relay = Relay::start(folder.path(), &setup);
    assert_eq!(relay.shows("a.example", &roots).await, serial, "the same certificate");
    assert_eq!(relay.lines("hookhold_acme_orders_total").await.iter().filter(|line| !line.ends_with(" 0")).count(), 0);
    // The program finds the relay by the certificate that is kept.
    let sent = run(folder.path(), &["send", "demo"]);
    assert_eq!(sent.code, 0, "{sent:?}");
}

/// The names of files in the one folder below `folder`; nobody else may read any of it.
fn private(folder: &Path) -> Vec<String> {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let below = |path: &Path| {
        let mut found: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    };
    let [of_ca] = &below(folder)[..] else { panic!("not one folder") };
    assert_eq!((mode(folder), mode(of_ca)), (0o700, 0o700));
    below(of_ca).iter().for_each(|file| assert_eq!(mode(file), 0o600, "{}", file.display()));
    below(of_ca).iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_come_over_plain_http_and_everything_else_is_redirected() {
    if !here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = pebble::Options { http_port: free_port(), knows_customers: true, ..Default::default() };
    let ca = Ca::start(folder.path(), &options).await;
    let setup = Setup { http: Some(ca.options.http_port), more: "challenge = 'http-01'", ..Setup::of(&ca) };
    // Without what the CA gave its customers it gives no account.
    let relay = Relay::start(folder.path(), &setup);
    relay.is_counted("hookhold_acme_orders_total{outcome=\"failed\"}", "1").await;
    assert!(relay.handshake("a.example", &ca.roots().await, &[b"http/1.1"]).await.is_none(), "there is nothing to show");
    std::fs::write(folder.path().join("eab"), pebble::CUSTOMER_KEY).unwrap();
    let more = format!("{}\nexternal_account = {{ key_id = '{}', key = {{ file = 'eab' }} }}", setup.more, pebble::CUSTOMER);
    relay.reload(&Setup { more: &more, ..setup }).await;
    relay.shows("a.example", &ca.roots().await).await;
    let redirected = |path: &'static str| {
        let base = format!("http://127.0.0.1:{}", ca.options.http_port);
        async move {
            let trust = hookhold::net::tls::client_config(None).unwrap();
            crate::world::call(&base, trust, Method::GET, path, &[], b"").await.status.as_u16()
        }
    };
    assert_eq!(redirected("/.well-known/acme-challenge/token").await, 308, "no question is open");
    assert_eq!(redirected("/in/demo").await, 308);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_before_it_ends_and_without_a_gap() {
    if !here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = pebble::Options { tls_port: free_port(), lifetime: Some(LIFETIME_S), ..Default::default() };
    let ca = Ca::start(folder.path(), &options).await;
    let setup = Setup { https: ca.options.tls_port, ..Setup::of(&ca) };
    let relay = Relay::start(folder.path(), &setup);
    let roots = ca.roots().await;
    let first = relay.shows("a.example", &roots).await;
    let renewed = async {
        loop {
            // Every handshake of the whole time succeeds with what is valid at that moment.
            let shown = relay.handshake("a.example", &roots, &[b"http/1.1"]).await.expect("a handshake failed");
            if shown != first {
                return shown;
            }
            // Only time makes a certificate old.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let second = tokio::time::timeout(RENEWAL_TIME, renewed).await.expect("it was not renewed in time");
    assert_eq!(relay.metric("hookhold_acme_orders_total{outcome=\"issued\"}").await, "2");
    // What is kept is the new one.
    drop(relay);
    let relay = Relay::start(folder.path(), &setup);
    assert_eq!(relay.shows("a.example", &roots).await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_when_its_ca_wants_that() {
    if !here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = pebble::Options { tls_port: free_port(), lifetime: Some(LONG_LIFETIME), ..Default::default() };
    let ca = Ca::start(folder.path(), &options).await;
    // Mostly past, so it is renewed as soon as may be.
    let suggesting = pebble::Suggesting::start(folder.path(), &ca, (-3600, 2)).await;
    let directory = format!("https://localhost:{}/dir", suggesting.port);
    let setup = Setup { https: ca.options.tls_port, directory: Some(&directory), ..Setup::of(&ca) };
    let relay = Relay::start(folder.path(), &setup);
    let roots = ca.roots().await;
    let first = relay.shows("a.example", &roots).await;
    let kept = std::fs::read_dir(folder.path().join("data/acme")).unwrap().next().unwrap().unwrap().path().join("a.example.pem");
    let issued = Issued::read("a.example", &kept, &std::fs::read(&kept).unwrap()).unwrap();
    let (key, serial) = issued.renewal_id().unwrap();
    eventually(async || Some(suggesting.asked()).filter(|asked| !asked.is_empty())).await;
    assert_eq!(suggesting.asked()[0], format!("{key}.{serial}"));
    let renewed = async {
        while relay.metric("hookhold_acme_orders_total{outcome=\"issued\"}").await != "2" {
            // Only time makes a certificate old enough.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, renewed).await.expect("it was not renewed when its CA wanted that");
    assert_ne!(relay.shows("a.example", &roots).await, first);
    // Pebble does not say again what is replaced, and still the order is not lost.
    assert_eq!(relay.metric("hookhold_acme_orders_total{outcome=\"failed\"}").await, "0");
    let renewals = relay.process.get("/audit?action=certificates.renew").await;
    assert_eq!((&renewals["items"][0]["target"], &renewals["items"][0]["result"]), (&"a.example".into(), &"done".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_down_then_forgets_everybody_costs_nothing_but_time() {
    if !here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = pebble::Options { tls_port: free_port(), ..Default::default() };
    let ca = Ca::prepare(folder.path(), &options);
    let setup = Setup { https: ca.options.tls_port, ..Setup::of(&ca) };
    let relay = Relay::start(folder.path(), &setup);
    relay.is_counted("hookhold_acme_orders_total{outcome=\"failed\"}", "1").await;
    relay.is_counted("hookhold_acme_failing", "1").await;
    relay.is_counted("hookhold_acme_missing", "1").await;
    let alarm = relay.alarm("firing").await;
    assert_eq!((&alarm["kind"], &alarm["subject"]["host"]), (&"certificate_not_issued".into(), &"a.example".into()), "{alarm}");
    let detail = alarm["detail"].as_str().unwrap();
    assert!(detail.starts_with("none is shown; 1 try failed in a row, the last one: the CA cannot be reached"), "{detail}");
    // It is there again, and somebody says so.
    let ca = ca.run().await;
    relay.reload(&setup).await;
    let roots = ca.roots().await;
    let first = relay.shows("a.example", &roots).await;
    relay.is_counted("hookhold_acme_failing", "0").await;
    relay.is_counted("hookhold_acme_missing", "0").await;
    assert_eq!(relay.alarm("ended").await["id"], alarm["id"]);
    let noted = relay.process.get("/audit?who=acme").await;
    let results: Vec<_> = noted["items"].as_array().unwrap().iter().map(|entry| entry["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["done", "failed"]);

    // It lost its memory, and a host is new: the relay makes another account.
    drop(ca);
    let ca = setup.ca.clone().run().await;
    relay.reload(&Setup { hosts: "'a.example', 'c.example'", ..setup.clone() }).await;
    relay.shows("c.example", &ca.roots().await).await;
    assert_eq!(relay.shows("a.example", &roots).await, first, "it was not asked for again");
    // One that is not wanted any more is not shown any more.
    relay.reload(&Setup { hosts: "'c.example'", ..setup }).await;
    eventually(async || Some(relay.lines("hookhold_certificate_expiry_timestamp_seconds{").await).filter(|l| l.len() == 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_the_disk_is_asked_for_anew() {
    if !here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = pebble::Options { tls_port: free_port(), ..Default::default() };
    let ca = Ca::start(folder.path(), &options).await;
    let setup = Setup { https: ca.options.tls_port, ..Setup::of(&ca) };
    let roots = ca.roots().await;
    let first = {
        let relay = Relay::start(folder.path(), &setup);
        relay.shows("a.example", &roots).await
    };
    let kept = std::fs::read_dir(folder.path().join("data/acme")).unwrap().next().unwrap().unwrap().path();
    let pem = std::fs::read(kept.join("a.example.pem")).unwrap();
    std::fs::write(kept.join("a.example.pem"), &pem[..pem.len() / 2]).unwrap();
    std::fs::write(kept.join("account.json"), "{").unwrap();
    let relay = Relay::start(folder.path(), &setup);
    assert_ne!(relay.shows("a.example", &roots).await, first);
    assert!(kept.join("account.unusable").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_sees_no_answer_is_tried_another_way_and_one_that_talks_nonsense_is_left_alone() {
    if !here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // It comes to a port of TLS at which nobody listens.
    let options = pebble::Options { http_port: free_port(), tls_port: free_port(), ..Default::default() };
    let ca = Ca::start(folder.path(), &options).await;
    let setup = Setup { http: Some(ca.options.http_port), ..Setup::of(&ca) };
    let relay = Relay::start(folder.path(), &setup);
    relay.is_counted("hookhold_acme_orders_total{outcome=\"failed\"}", "1").await;
    relay.reload(&setup).await;
    let roots = ca.roots().await;
    let first = relay.shows("a.example", &roots).await;
    // Another CA that is none: the certificate stays, and it is not asked again and again.
    let nonsense = pebble::Nonsense::start(folder.path()).await;
    let directory = format!("https://localhost:{}/dir", nonsense.port);
    relay.reload(&Setup { directory: Some(&directory), ..setup }).await;
    relay.is_counted("hookhold_acme_orders_total{outcome=\"failed\"}", "2").await;
    assert_eq!(relay.shows("a.example", &roots).await, first);
    assert_eq!(nonsense.asked(), 1);
}
