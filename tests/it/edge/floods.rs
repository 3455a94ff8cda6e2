//! HTTP/2 as nobody speaks it who means well: each flood ends its own connection, or is no longer read, and everybody else is served.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::raw::connect;
use super::{EAGER, open_source};
use crate::world::World;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
/// `POST https://h/in/open` (RFC 7541: three indexed fields, two literal ones).
const HEAD: &[u8] = b"\x83\x87\x44\x08/in/open\x41\x01h";
/// A peer that does not read is not read for longer than this many bytes: buffers of both kernels, and the relay's.
const UNREAD_BYTES_MAX: usize = 48 << 20;
/// A write that waits for so long is not read.
const STALLED: Duration = Duration::from_secs(3);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn world(limits: &str) -> World {
    World::start_changed(EAGER, &format!("[limits]\n{limits}\n{}", open_source("")), |text| text).await
}

async fn begin(world: &World) -> TlsStream<TcpStream> {
    let mut stream = connect(world, &[b"h2"]).await;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    stream
}

/// The frames that the relay sends until it ends the connection, or for a while: kind, stream and payload.
async fn frames(stream: &mut TlsStream<TcpStream>) -> Vec<(u8, u32, Vec<u8>)> {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await;
    let (mut frames, mut rest) = (Vec::new(), &bytes[..]);
    while let [a, b, c, kind, _, s0, s1, s2, s3, more @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, more)) = more.split_at_checked(length) else { break };
        frames.push((*kind, u32::from_be_bytes([*s0, *s1, *s2, *s3]), payload.to_vec()));
        rest = more;
    }
    frames
}

fn has_gone_away(frames: &[(u8, u32, Vec<u8>)]) -> bool {
    frames.iter().any(|(kind, ..)| *kind == GOAWAY)
}

/// Writes the same bytes until the relay ends the connection or reads no more; how many went out.
async fn flood(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < UNREAD_BYTES_MAX {
        match tokio::time::timeout(STALLED, stream.write_all(bytes)).await {
            Ok(Ok(())) => written += bytes.len(),
            Ok(Err(_)) | Err(_) => return written,
        }
    }
    written
}

async fn is_served(world: &World) -> bool {
    world.post("/in/open", &[], b"x").await.status == 200
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let world = world("requests_per_connection = 500").await;
    let mut stream = begin(&world).await;
    let mut ended = false;
    for n in 0..5000u32 {
        let id = 2 * n + 1;
        let request = [frame(HEADERS, END_HEADERS, id, HEAD), frame(RST_STREAM, 0, id, &8u32.to_be_bytes())].concat();
        if stream.write_all(&request).await.is_err() {
            ended = true;
            break;
        }
    }
    assert!(has_gone_away(&frames(&mut stream).await) || ended);
    assert!(is_served(&world).await);
    assert!(world.get("/events").await["items"].as_array().unwrap().len() == 1, "none of them was a whole request");
}

#[tokio::test]
async fn a_head_without_an_end_ends_the_connection() {
    let world = world("").await;
    let mut stream = begin(&world).await;
    stream.write_all(&frame(HEADERS, 0, 1, HEAD)).await.unwrap();
    // A literal field without an index: its bytes may not even be kept.
    let field = [&b"\x00\x01a\x7f\x80\x7e"[..], &[b'x'; 16_255]].concat();
    let written = flood(&mut stream, &frame(CONTINUATION, 0, 1, &field)).await;
    assert!(written < 4 << 20, "{written} bytes of one head were read");
    let written = {
        let mut stream = begin(&world).await;
        stream.write_all(&frame(HEADERS, 0, 1, HEAD)).await.unwrap();
        flood(&mut stream, &frame(CONTINUATION, 0, 1, &[])).await
    };
    assert!(written < 4 << 20, "{written} bytes of empty frames were read");
    assert!(is_served(&world).await);
}

#[tokio::test]
async fn pings_and_settings_whose_answers_nobody_reads_are_not_read_for_ever() {
    let world = world("").await;
    let ping = frame(PING, 0, 0, &[0; 8]).repeat(1000);
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(1000);
    for bytes in [ping, settings] {
        let written = flood(&mut begin(&world).await, &bytes).await;
        assert!(written < UNREAD_BYTES_MAX, "all of it was read");
        assert!(is_served(&world).await);
    }
}

#[tokio::test]
async fn a_connection_has_so_many_streams() {
    let world = world("http2_streams = 2").await;
    let mut stream = begin(&world).await;
    for id in [1, 3, 5] {
        stream.write_all(&frame(HEADERS, END_HEADERS, id, HEAD)).await.unwrap();
    }
    let heard = frames(&mut stream).await;
    let refused = heard.iter().filter(|(kind, _, payload)| *kind == RST_STREAM && *payload == REFUSED_STREAM.to_be_bytes());
    assert_eq!(refused.map(|(_, id, _)| *id).collect::<Vec<_>>(), [5], "{heard:?}");
    assert!(is_served(&world).await);
}

#[tokio::test]
async fn a_connection_has_so_many_requests() {
    let world = world("requests_per_connection = 2").await;
    let mut stream = begin(&world).await;
    for id in [1, 3] {
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, HEAD)).await.unwrap();
    }
    let heard = frames(&mut stream).await;
    let answered = heard.iter().filter(|(kind, ..)| *kind == HEADERS).count();
    assert!(has_gone_away(&heard) && answered == 2, "{heard:?}");
    world.listed("/events", 2).await;
}
