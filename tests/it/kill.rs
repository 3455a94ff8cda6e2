//! kill -9 of the real program under load, again and again: what was acknowledged is delivered, or due after the restart.
//!
//! This proves nothing about loss of power (the system keeps what a killed process wrote); it proves the order of things.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookhold::net::client::Server;
use hookhold::net::pool::Pool;
use hookhold::net::tls;
use http::Request;
use http_body_util::Full;
use tempfile::TempDir;

use crate::process::{Process, write_config};
use crate::world::{Upstream, eventually, github_signature};

/// Rounds of load and kill where `KILL_ROUNDS` does not say otherwise; more of them find no more kinds of faults, only rarer ones.
const ROUNDS: usize = 12;
/// On a busy machine a relay may be killed before it takes anything: so many times the rounds are tried to have load in all.
const ROUNDS_FACTOR: usize = 5;
/// Senders at once, so that groups of several events are committed.
const SENDERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    tls::install_provider();
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    let rounds = std::env::var("KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let is_loaded = |acknowledged: &Mutex<HashSet<String>>| acknowledged.lock().unwrap().len() > rounds * SENDERS;
    for round in 0..rounds * ROUNDS_FACTOR {
        if round >= rounds && is_loaded(&acknowledged) {
            break;
        }
        let relay = Process::start(folder.path());
        let before = acknowledged.lock().unwrap().len();
        let senders: Vec<_> = (0..SENDERS)
            .map(|n| {
                tokio::spawn(send_until_refused(
                    folder.path().to_owned(),
                    relay.https.clone(),
                    format!("{round}-{n}"),
                    acknowledged.clone(),
                ))
            })
            .collect();
        if round % 2 == 1 {
            // On a busy machine whoever connects may be killed before anything was sent: half of the rounds wait until there is load.
            let is_sent = || acknowledged.lock().unwrap().len() >= before + SENDERS;
            eventually(async || is_sent().then_some(())).await;
        }
        // The moment of the kill is what varies.
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..400))).await;
        drop(relay);
        for sender in senders {
            sender.await.unwrap();
        }
    }
    let relay = Process::start(folder.path());
    eventually(async || (relay.unsettled().await == 0).then_some(())).await;
    let delivered: HashSet<String> = app.requests().iter().map(|r| r.header("x-github-delivery").to_owned()).collect();
    assert!(is_loaded(&acknowledged), "the load was too small to say anything");
    let acknowledged = acknowledged.lock().unwrap().clone();
    println!("kill -9: {} acknowledged events, none lost", acknowledged.len());
    let lost: Vec<_> = acknowledged.difference(&delivered).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged events are lost: {lost:?}", lost.len(), acknowledged.len());
    // What was recorded as delivered stays so: one more kill brings nothing back.
    let got = app.requests().len();
    drop(relay);
    let relay = Process::start(folder.path());
    assert_eq!(relay.unsettled().await, 0);
    assert_eq!(app.requests().len(), got);
}

/// Sends one event after the other on one connection, and notes those that were answered with a 2xx.
async fn send_until_refused(folder: std::path::PathBuf, https: String, name: String, acknowledged: Arc<Mutex<HashSet<String>>>) {
    let trust = tls::client_config_pinning(&folder.join("certs").join(tls::SELF_SIGNED_FILES[0])).unwrap();
    let server = Server::of(&https.parse().unwrap(), trust, false).unwrap();
    let host = server.authority().to_owned();
    let pool = Pool::new(server, 1, Duration::from_secs(60));
    for n in 0.. {
        let (id, body) = (format!("{name}-{n}"), format!("{{\"n\":\"{name}-{n}\"}}"));
        let request = Request::post("/in/gh")
            .header("host", &host)
            .header("x-github-delivery", &id)
            .header("x-hub-signature-256", github_signature("s", body.as_bytes()))
            .body(Full::from(body))
            .unwrap();
        match pool.exchange(request, 0).await {
            Ok(answer) if answer.status.is_success() => acknowledged.lock().unwrap().insert(id),
            _ => return,
        };
    }
}
