//! Listeners that come, go and change while the relay runs, and what of the edge a new configuration takes.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use hookhold::net::tls;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{connect_after, is_ended, trust};
use super::{EAGER, open_source};
use crate::world::{World, call, eventually, free_port};

/// The listener that every world has.
const FIRST: &str = r#"https = "127.0.0.1:0""#;

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A relay that listens so, and its relay.toml.
async fn listening(listen: &str) -> (World, String) {
    let lines = format!("{FIRST}\n{listen}");
    let world = World::start_changed(EAGER, &open_source(""), |text| text.replace(FIRST, &lines)).await;
    let text = std::fs::read_to_string(world.folder.path().join("relay.toml")).unwrap();
    (world, text)
}

async fn reload(world: &mut World, text: String) -> Result<Vec<String>, String> {
    std::fs::write(world.folder.path().join("relay.toml"), text).unwrap();
    world.reload().await.map_err(|error| format!("{error:#}"))
}

async fn posted(world: &World, address: SocketAddr) -> u16 {
    let secure = trust(world.folder.path(), &[b"http/1.1"]);
    call(&format!("https://{address}"), secure, Method::POST, "/in/open", &[], b"x").await.status.as_u16()
}

/// A request of HTTP/1.1 that leaves its connection open; the head of the answer.
async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> String {
    let request = b"POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx";
    stream.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    head
}

#[tokio::test]
async fn listeners_come_and_go_and_those_that_stay_keep_their_connections() {
    let (port, plain) = (free_port(), free_port());
    let (mut world, text) = listening("").await;
    let stays = world.https();
    let secure = trust(world.folder.path(), &[b"http/1.1"]);
    let mut open = connect_after(stays, secure.clone(), b"").await.unwrap();
    assert!(ask(&mut open).await.starts_with("http/1.1 200"));

    let lines = format!("https = [\"127.0.0.1:0\", \"127.0.0.1:{port}\"]\nhttp = \"127.0.0.1:{plain}\"");
    let more = text.replace(FIRST, &lines);
    let changes = reload(&mut world, more).await.unwrap();
    let expected = [
        "listen: changed".to_owned(),
        format!("listen.https 127.0.0.1:{port}: added"),
        format!("listen.http 127.0.0.1:{plain}: added"),
    ];
    assert_eq!(changes, expected);
    assert_eq!(world.https(), stays);
    assert_eq!((posted(&world, stays).await, posted(&world, at(port)).await), (200, 200));
    let answer =
        call(&format!("http://127.0.0.1:{plain}"), tls::client_config(None).unwrap(), Method::POST, "/in/open", &[], b"x").await;
    assert_eq!(answer.headers["location"].to_str().unwrap(), format!("https://127.0.0.1:{}/in/open", stays.port()));
    assert_eq!(world.listeners().len(), 3);

    let mut leaving = connect_after(at(port), secure.clone(), b"").await.unwrap();
    assert!(!ask(&mut leaving).await.contains("connection: close"));
    let changes = reload(&mut world, text).await.unwrap();
    assert_eq!(
        changes[1..],
        [format!("listen.https 127.0.0.1:{port}: removed"), format!("listen.http 127.0.0.1:{plain}: removed")]
    );
    // What was open may ask once more, and hears that it was the last time. First: it may for a moment only.
    assert!(ask(&mut leaving).await.contains("connection: close"));
    assert!(is_ended(&mut leaving).await);
    for gone in [port, plain] {
        eventually(async || TcpStream::connect(at(gone)).await.is_err().then_some(())).await;
    }
    assert!(!ask(&mut open).await.contains("connection: close"));
    assert_eq!(posted(&world, stays).await, 200);
    world.down().await;
}

#[tokio::test]
async fn a_port_that_cannot_be_had_changes_nothing() {
    let (mut world, text) = listening("").await;
    let (taken, free) = (TcpListener::bind("127.0.0.1:0").unwrap(), free_port());
    let port = taken.local_addr().unwrap().port();
    let more = text
        .replace("/in/open", "/in/moved")
        .replace("[tls]", &format!("http = [\"127.0.0.1:{free}\", \"127.0.0.1:{port}\"]\n[tls]"));
    let problem = reload(&mut world, more.clone()).await.unwrap_err();
    assert!(problem.contains(&format!("listen.http: 127.0.0.1:{port} cannot be listened on")), "{problem}");
    assert_eq!(posted(&world, world.https()).await, 200);
    assert!(TcpStream::connect(at(free)).await.is_err());
    assert_eq!(world.listeners().len(), 1);
    drop(taken);
    // A program that another test is about to start has a copy of the socket for a moment.
    let changes = eventually(async || reload(&mut world, more.clone()).await.ok()).await;
    assert_eq!(changes.len(), 4);
    assert_eq!(posted(&world, world.https()).await, 404);
}

/// The port is the relay's own, so nobody else can have it, and the relay neither while it listens there.
#[tokio::test]
async fn an_address_that_the_relay_itself_holds_needs_a_restart() {
    let (mut world, text) = listening("").await;
    let own = world.https().port();
    let problem = reload(&mut world, text.replace("[tls]", &format!("http = \"0.0.0.0:{own}\"\n[tls]"))).await.unwrap_err();
    assert!(problem.contains("the relay itself listens on 127.0.0.1") && problem.contains("only a restart"), "{problem}");
    assert_eq!(posted(&world, world.https()).await, 200);
}

#[tokio::test]
async fn a_listener_serves_something_else_on_the_same_socket() {
    let plain = free_port();
    let (mut world, text) = listening(&format!("http = {{ address = \"127.0.0.1:{plain}\" }}")).await;
    let base = format!("http://127.0.0.1:{plain}");
    let post = async || call(&base, tls::client_config(None).unwrap(), Method::POST, "/in/open", &[], b"x").await.status.as_u16();
    assert_eq!(post().await, 308);
    let changes =
        reload(&mut world, text.replace(&format!("{plain}\" }}"), &format!("{plain}\", serve = \"webhooks\" }}"))).await.unwrap();
    assert_eq!(changes, ["listen: changed".to_owned(), format!("listen.http 127.0.0.1:{plain}: serves what it says now")]);
    assert_eq!(post().await, 200);
}

#[tokio::test]
async fn the_admin_listener_moves() {
    let port = free_port();
    let (mut world, text) = listening("").await;
    let before = world.admin_address();
    let moved = text.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"127.0.0.1:{port}\"\ntls = true"));
    let changes = reload(&mut world, moved).await.unwrap();
    assert_eq!(
        changes,
        ["admin: changed", "admin.listen 127.0.0.1:0: removed", &format!("admin.listen 127.0.0.1:{port}: added")]
    );
    let base = format!("https://127.0.0.1:{port}");
    let secure = trust(world.folder.path(), &[b"http/1.1"]);
    assert_eq!(call(&base, secure.clone(), Method::GET, "/healthz", &[], b"").await.status, 200);
    let gone: SocketAddr = before.trim_start_matches("http://").parse().unwrap();
    eventually(async || TcpStream::connect(gone).await.is_err().then_some(())).await;
    // Without TLS, at the same place.
    let text = std::fs::read_to_string(world.folder.path().join("relay.toml")).unwrap();
    let changes = reload(&mut world, text.replace("tls = true", "tls = false")).await.unwrap();
    assert_eq!(changes[1], format!("admin.listen 127.0.0.1:{port}: does not speak TLS"));
    let plain = format!("http://127.0.0.1:{port}");
    assert_eq!(call(&plain, tls::client_config(None).unwrap(), Method::GET, "/healthz", &[], b"").await.status, 200);
    assert!(connect_after(at(port), secure, b"").await.is_err());
}

#[tokio::test]
async fn versions_of_tls_and_room_for_connections_follow() {
    let (mut world, text) = listening("").await;
    let older = trust(world.folder.path(), &[b"http/1.1"]);
    let only = |version: &'static rustls::SupportedProtocolVersion| {
        let file = world.folder.path().join("certs").join(tls::SELF_SIGNED_FILES[0]);
        let cert = <rustls::pki_types::CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_file(file).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert).unwrap();
        std::sync::Arc::new(
            rustls::ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots).with_no_client_auth(),
        )
    };
    let (https, tls12) = (world.https(), only(&rustls::version::TLS12));
    connect_after(https, tls12.clone(), b"").await.unwrap();
    let mut open = connect_after(https, older.clone(), b"").await.unwrap();
    let stricter = text
        .replace("[tls]", "[limits]\nconnections = 1\nconnections_per_address = 9\nhandshakes = 9\n[tls]\nmin_version = \"1.3\"");
    assert_eq!(reload(&mut world, stricter).await.unwrap(), ["limits: added", "tls: changed"]);
    assert!(ask(&mut open).await.starts_with("http/1.1 200"));
    // The listener had a place at hand for one more. Then there is no room.
    let ahead = connect_after(https, older.clone(), b"").await.unwrap();
    let beside = connect_after(https, older.clone(), b"");
    assert!(tokio::time::timeout(Duration::from_millis(300), beside).await.is_err());
    drop((open, ahead));
    let mut next = connect_after(https, older, b"").await.unwrap();
    assert!(ask(&mut next).await.starts_with("http/1.1 200"));
    drop(next);
    assert!(connect_after(https, tls12.clone(), b"").await.is_err());
    reload(&mut world, text).await.unwrap();
    connect_after(https, tls12, b"").await.unwrap();
}

/// Of a listener that goes, a request that is under way is answered.
#[tokio::test]
async fn what_is_under_way_at_a_listener_that_goes_is_answered() {
    let port = free_port();
    let (mut world, text) = listening("").await;
    let more = text.replace(FIRST, &format!("https = [\"127.0.0.1:0\", \"127.0.0.1:{port}\"]"));
    reload(&mut world, more).await.unwrap();
    let secure = trust(world.folder.path(), &[b"http/1.1"]);
    let mut slow = connect_after(at(port), secure, b"").await.unwrap();
    slow.write_all(b"POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab").await.unwrap();
    slow.flush().await.unwrap();
    // The relay reads the head before it is told.
    eventually(async || world.metrics().await.contains("hookhold_connections 1").then_some(())).await;
    reload(&mut world, text).await.unwrap();
    eventually(async || TcpStream::connect(at(port)).await.is_err().then_some(())).await;
    slow.write_all(b"cd").await.unwrap();
    let mut heard = String::new();
    // A peer that closes without a word of TLS is no trouble.
    let _ = slow.read_to_string(&mut heard).await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    world.app.got(1).await;
}
