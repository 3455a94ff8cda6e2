//! Limits: whoever asks for too much gets less, and nobody else notices.

use std::time::Duration;

use hookhold::net::client::Answer;
use hookhold::net::tls;
use http::Method;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::raw::{connect, connect_after, is_ended, statuses, talk, trust};
use super::{EAGER, listening, open_source, with_lines};
use crate::process::Process;
use crate::world::{Upstream, World, eventually, github_signature};

/// A world whose `[limits]` has these lines.
async fn limited(lines: &str, more: &str) -> World {
    World::start_changed(EAGER, &format!("[limits]\n{lines}\n{more}"), |text| text).await
}

/// Waits until this is counted.
async fn counted(world: &World, line: &str) {
    eventually(async || world.metrics().await.lines().any(|l| l == line).then_some(())).await;
}

fn is_limited(answer: &Answer) -> bool {
    let seconds = answer.headers.get("retry-after").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    answer.status == 429 && (1..=101).contains(&seconds)
}

#[tokio::test]
async fn a_source_takes_so_many_events_a_second_and_what_is_not_proved_uses_up_nothing() {
    let limit = |text: String| with_lines(&text, "[sources.gh]", "per_second = { rate = 0.01, burst = 3 }");
    let mut world = World::start_changed(EAGER, "", limit).await;
    for _ in 0..10 {
        assert_eq!(world.post("/in/gh", &[], b"{}").await.status, 401);
    }
    for id in ["1", "2", "3"] {
        assert_eq!(world.send(id, b"{}").await.status, 200);
    }
    assert!(is_limited(&world.send("4", b"{}").await));
    assert!(is_limited(&world.post("/in/gh", &[], b"{}").await), "refused before anything is read");
    // A reload forgives nothing.
    world.reload().await.unwrap();
    assert!(is_limited(&world.send("4", b"{}").await));
    counted(&world, r#"hookhold_requests_total{source="gh",outcome="rate_limited"} 3"#).await;
    world.listed("/events", 3).await;
}

#[tokio::test]
async fn an_address_sends_so_many_requests_a_second() {
    let limits = "[limits]\nper_second_per_address = { rate = 0.01, burst = 2 }\n";
    let world = listening("trusted_proxies = ['127.0.0.1']", &format!("{}{limits}", open_source(""))).await;
    let from = async |address: &str, path: &str| world.post(path, &[("x-forwarded-for", address)], b"x").await;
    assert_eq!(from("192.0.2.1", "/in/open").await.status, 200);
    assert_eq!(from("192.0.2.1", "/nowhere").await.status, 404);
    assert!(is_limited(&from("192.0.2.1", "/nowhere").await) && is_limited(&from("192.0.2.1", "/in/open").await));
    assert_eq!(from("192.0.2.2", "/in/open").await.status, 200);
    for (address, status) in [("2001:db8::1", 200), ("2001:db8::2", 200), ("2001:db8::3", 429), ("2001:db8:0:1::3", 200)] {
        assert_eq!(from(address, "/in/open").await.status, status, "{address}");
    }
    counted(&world, r#"hookhold_requests_total{source="",outcome="rate_limited"} 1"#).await;
    counted(&world, r#"hookhold_requests_total{source="open",outcome="rate_limited"} 2"#).await;
    world.listed("/events", 5).await;
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let world = limited("connections_per_address = 2", &open_source("")).await;
    let (one, _two) = (connect(&world, &[]).await, connect(&world, &[]).await);
    let mut third = TcpStream::connect(world.https()).await.unwrap();
    assert!(is_ended(&mut third).await);
    counted(&world, r#"hookhold_connections_refused_total{reason="per_address"} 1"#).await;
    drop(one);
    counted(&world, "hookhold_connections 1").await;
    assert_eq!(world.post("/in/open", &[], b"x").await.status, 200);
}

#[tokio::test]
async fn handshakes_that_hang_leave_room_for_whoever_is_in() {
    let world = limited("handshakes = 2", &open_source("")).await;
    let mut open = connect(&world, &[b"http/1.1"]).await;
    // A caller has done its part of a handshake before the relay has.
    counted(&world, r#"hookhold_tls_handshakes_total{outcome="ok"} 1"#).await;
    let hanging = (TcpStream::connect(world.https()).await.unwrap(), TcpStream::connect(world.https()).await.unwrap());
    counted(&world, "hookhold_connections 3").await;
    let mut third = TcpStream::connect(world.https()).await.unwrap();
    assert!(is_ended(&mut third).await);
    counted(&world, r#"hookhold_connections_refused_total{reason="handshakes"} 1"#).await;
    let request = b"POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    assert_eq!(statuses(&talk(&mut open, request).await), [200]);
    drop(hanging);
    counted(&world, "hookhold_connections 0").await;
    assert_eq!(world.post("/in/open", &[], b"x").await.status, 200);
}

#[tokio::test]
async fn a_connection_is_used_so_often_and_for_so_long() {
    let world = limited("requests_per_connection = 3\nconnection_age = '6s'", &open_source("")).await;
    let mut stream = connect(&world, &[b"http/1.1"]).await;
    let request = "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    let heard = talk(&mut stream, request.repeat(5).as_bytes()).await;
    assert_eq!(statuses(&heard), [200; 3], "{heard}");
    assert_eq!(heard.matches("connection: close").count(), 1, "{heard}");
    // One that is never used, and answers no ping, either.
    let mut old = connect(&world, &[b"h2"]).await;
    old.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert!(is_ended(&mut old).await);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let world = limited("keep_alive = '1s'", &open_source("")).await;
    let mut quiet = connect(&world, &[b"h2"]).await;
    quiet.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert!(is_ended(&mut quiet).await);
    let mut quiet = connect(&world, &[b"http/1.1"]).await;
    assert!(is_ended(&mut quiet).await);
}

#[tokio::test]
async fn a_head_has_so_many_fields() {
    let world = limited("header_fields = 12", &open_source("")).await;
    let fields = |count: usize| "X-A: 1\r\n".repeat(count);
    for (count, status) in [(9, 200), (10, 431), (1000, 431)] {
        let head =
            format!("POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n{}\r\n", fields(count));
        assert_eq!(statuses(&super::raw::exchange(&world, head.as_bytes()).await), [status], "{count}");
    }
    world.listed("/events", 1).await;
}

/// Peers hold more connections than there are descriptors: whoever is in is served, the store stores, applications get what is theirs,
/// and the admin API answers; when the peers go, all is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_out_of_descriptors_ends_nothing() {
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    tls::install_provider();
    let text = format!(
        "[listen]\nhttps = '127.0.0.1:0'\n[tls]\nself_signed = true\n[admin]\nlisten = '127.0.0.1:0'\n\
         [sources.gh]\npath = '/in/gh'\nprovider = 'github'\nsecrets = [{{ file = 's' }}]\n\
         [[routes]]\nfrom = 'gh'\nto = 'app'\n[destinations.app]\nurl = 'http://{}/'\n",
        app.address
    );
    std::fs::write(folder.path().join("relay.toml"), text).unwrap();
    std::fs::write(folder.path().join("s"), "s").unwrap();
    let relay = Process::start_with_descriptors(folder.path(), 96);
    assert_eq!(relay.send("before", b"{}").await.status, 200);
    let address = relay.https.trim_start_matches("https://").parse().unwrap();
    let trust = || trust(folder.path(), &[b"http/1.1"]);
    let mut inside = connect_after(address, trust(), b"").await.unwrap();
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", relay.id())).unwrap().count();
    let quiet = open_files();
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    // Half of its places are for handshakes that hang; the others of the crowd are let go.
    eventually(async || (open_files() >= quiet + 20).then_some(())).await;
    let signature = github_signature("s", b"{}");
    for n in 0..20 {
        let request = format!(
            "POST /in/gh HTTP/1.1\r\nHost: h\r\nX-GitHub-Delivery: full-{n}\r\nX-GitHub-Event: push\r\n\
             X-Hub-Signature-256: {signature}\r\nContent-Length: 2\r\n{}\r\n{{}}",
            if n == 19 { "Connection: close\r\n" } else { "" }
        );
        inside.write_all(request.as_bytes()).await.unwrap();
    }
    assert_eq!(statuses(&talk(&mut inside, b"").await), [200; 20]);
    assert_eq!(relay.admin(Method::GET, "/status").await.status, 200);
    app.got(21).await;
    assert!(open_files() < 96, "some are left");
    drop(held);
    // Some of its connections to the application are kept for a while.
    eventually(async || (open_files() <= quiet + 8).then_some(())).await;
    assert_eq!(relay.send("after", b"{}").await.status, 200);
    assert_eq!(relay.get("/events").await["items"].as_array().unwrap().len(), 22);
    // Time for the store to write what it has where it may have found no descriptor.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(relay.send("later", b"{}").await.status, 200);
    app.got(23).await;
}

/// All places are taken by connections on which nothing happens: whoever comes gets one of theirs.
#[tokio::test]
async fn a_connection_that_nobody_uses_makes_room() {
    let world = limited("connections = 10\nconnections_per_address = 10", &open_source("")).await;
    let mut quiet = Vec::new();
    // One place is kept by the loop that accepts.
    for n in 0..9 {
        let protocol: &[u8] = if n % 2 == 0 { b"http/1.1" } else { b"h2" };
        let mut stream = connect(&world, &[protocol]).await;
        if n % 2 == 1 {
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        }
        quiet.push(stream);
    }
    counted(&world, "hookhold_connections 9").await;
    let start = tokio::time::Instant::now();
    for _ in 0..3 {
        // Each keeps its place for a while: the client's pool ends with the call, the relay's connection soon after.
        assert_eq!(world.post("/in/open", &[], b"x").await.status, 200);
    }
    let more =
        [connect(&world, &[b"http/1.1"]).await, connect(&world, &[b"http/1.1"]).await, connect(&world, &[b"http/1.1"]).await];
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    drop((more, quiet));
    assert_eq!(world.post("/in/open", &[], b"x").await.status, 200);
}
