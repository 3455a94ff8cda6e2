//! Balancers that say for whom they connect before TLS begins.

use http::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::raw::{connect_after, is_ended, trust};
use super::{EAGER, listening, open_source};
use crate::world::{World, eventually};

const ALLOWED: &str = "allow = ['192.0.2.7', '2001:db8::7']";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

async fn world(mode: &str, proxies: &str) -> World {
    let source = open_source(ALLOWED);
    World::start_changed(EAGER, &source, |text| {
        let https = format!("https = {{ address = '127.0.0.1:0', proxy_protocol = '{mode}' }}\ntrusted_proxies = ['{proxies}']");
        text.replace(r#"https = "127.0.0.1:0""#, &https)
    })
    .await
}

/// The status of a webhook after these bytes and with these fields; `None` where the connection is not served.
async fn status(world: &World, before: &[u8], fields: &[(&str, &str)]) -> Option<u16> {
    let stream = connect_after(world.https(), trust(world.folder.path(), &[]), before).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(Method::POST).uri("/in/open").header("host", "relay");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(String::from("x")).unwrap()).await.ok()?;
    Some(answer.status().as_u16())
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

#[tokio::test]
async fn the_address_that_a_balancer_gives_counts() {
    let world = world("required", "127.0.0.1").await;
    assert_eq!(status(&world, b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n", &[]).await, Some(200));
    assert_eq!(status(&world, b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", &[]).await, Some(403));
    let v6 = [&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 20], &[0x01, 0, 2, b'h', b'2']].concat();
    assert_eq!(status(&world, &binary(0x21, 0x21, &v6), &[]).await, Some(200));
    // For itself the balancer may ask, too: then its own word counts, and what it says of others.
    assert_eq!(status(&world, &binary(0x20, 0, &[]), &[]).await, Some(403));
    assert_eq!(status(&world, b"PROXY UNKNOWN\r\n", &[("x-forwarded-for", "192.0.2.7")]).await, Some(200));
    // Whoever is behind it is no proxy for that.
    let client = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n";
    assert_eq!(status(&world, client, &[("x-forwarded-for", "192.0.2.7")]).await, Some(403));
    let events = world.listed("/events?source=open", 3).await;
    let peers: Vec<_> = events.iter().map(|event| event["peer"].as_str().unwrap()).collect();
    assert_eq!(peers, ["192.0.2.7", "2001:db8::7", "192.0.2.7"]);
}

#[tokio::test]
async fn what_is_no_such_header_ends_the_connection_and_is_counted() {
    let world = world("required", "127.0.0.1").await;
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
    let wrong_sum = binary(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0, 1, 0, 2, 3, 0, 4, 1, 2, 3, 4]);
    let bad = [&b""[..], b"PROXY TCP4 192.0.2.7\r\n", b"GET / HTTP/1.1\r\n\r\n", &long, &wrong_sum, &binary(0x21, 0x11, &[0; 3])];
    for before in bad {
        assert_eq!(status(&world, before, &[]).await, None, "{before:?}");
    }
    let counted = format!("hookhold_connections_refused_total{{reason=\"proxy_header\"}} {}", bad.len());
    eventually(async || world.metrics().await.contains(&counted).then_some(())).await;
    // One that says nothing is let go in time.
    let mut silent = TcpStream::connect(world.https()).await.unwrap();
    assert!(is_ended(&mut silent).await);
    let slow = "hookhold_connections_refused_total{reason=\"proxy_slow\"} 1";
    eventually(async || world.metrics().await.contains(slow).then_some(())).await;
}

#[tokio::test]
async fn nobody_else_may_say_it() {
    let header = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";
    let strict = world("required", "10.0.0.0/8").await;
    for before in [&b""[..], header] {
        assert_eq!(status(&strict, before, &[]).await, None);
    }
    let untrusted = "hookhold_connections_refused_total{reason=\"untrusted\"} 2";
    eventually(async || strict.metrics().await.contains(untrusted).then_some(())).await;
    // Both kinds of peers on one listener: a stranger's header is no TLS.
    let mixed = world("from_trusted", "10.0.0.0/8").await;
    assert_eq!(status(&mixed, b"", &[]).await, Some(403));
    assert_eq!(status(&mixed, header, &[]).await, None);
    let trusting = world("from_trusted", "127.0.0.1").await;
    assert_eq!(status(&trusting, header, &[]).await, Some(200));
    assert_eq!(status(&trusting, b"", &[]).await, None);
    // Where it is off, it is no TLS from anybody.
    let off = listening("trusted_proxies = ['127.0.0.1']", "").await;
    assert_eq!(status(&off, header, &[]).await, None);
}
