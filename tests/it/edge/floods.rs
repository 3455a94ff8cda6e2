//! HTTP/2 as nobody speaks it who means well: each flood ends its own connection, or is no longer read, and everybody else is served.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::raw::{connect, is_ended};
use super::{EAGER, open_source};
use crate::world::World;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;
/// `POST https://h/in/open` (RFC 7541: three indexed fields, two literal ones).
const HEAD: &[u8] = b"\x83\x87\x44\x08/in/open\x41\x01h";
/// A peer that does not read is not read for longer than this many bytes: buffers of both kernels, and the relay's.
const UNREAD_BYTES_MAX: usize = 48 << 20;
/// What a client's kernel holds.
const SENT_BYTES: usize = 64 << 10;
/// A write that waits for so long is not read.
const STALLED: Duration = Duration::from_secs(3);

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn world(limits: &str) -> World {
    World::start_changed(EAGER, &format!("[limits]\n{limits}\n{}", open_source("")), |text| text).await
}

pub(super) async fn begin(world: &World) -> TlsStream<TcpStream> {
    let mut stream = connect(world, &[b"h2"]).await;
    // What was written was read, then, but for little: a kernel that holds megabytes would take a flood that nobody reads.
    SockRef::from(stream.get_ref().0).set_send_buffer_size(SENT_BYTES).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    stream
}

/// The frames that the relay sends until it ends the connection, or for a while: kind, stream and payload.
pub(super) async fn frames(stream: &mut TlsStream<TcpStream>) -> Vec<(u8, u32, Vec<u8>)> {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await;
    parsed(&bytes)
}

/// The frames in these bytes.
fn parsed(bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    while let [a, b, c, kind, _, s0, s1, s2, s3, more @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, more)) = more.split_at_checked(length) else { break };
        frames.push((*kind, u32::from_be_bytes([*s0, *s1, *s2, *s3]), payload.to_vec()));
        rest = more;
    }
    frames
}

pub(super) fn has_gone_away(frames: &[(u8, u32, Vec<u8>)]) -> bool {
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

pub(super) async fn is_served(world: &World) -> bool {
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

/// A rapid reset, as fast as a peer can write: the connection ends with the word for it, long before all of it was read, and everybody
/// else is served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rapid_reset_is_told_to_calm_down() {
    let world = world("").await;
    let (mut reader, mut writer) = tokio::io::split(begin(&world).await);
    let writing = tokio::spawn(async move {
        let mut written = 0;
        for n in (0..100_000u32).step_by(500) {
            let pair = |n| {
                let id = 2 * n + 1;
                [frame(HEADERS, END_HEADERS, id, HEAD), frame(RST_STREAM, 0, id, &8u32.to_be_bytes())].concat()
            };
            let batch: Vec<u8> = (n..n + 500).flat_map(pair).collect();
            if writer.write_all(&batch).await.is_err() {
                return written;
            }
            written += 500;
        }
        written
    });
    let mut heard = Vec::new();
    let reading = tokio::time::timeout(STALLED * 10, reader.read_to_end(&mut heard));
    let (read, served) = tokio::join!(reading, is_served(&world));
    assert!(served && read.is_ok(), "the connection is ended");
    let written = writing.await.unwrap();
    let mut reasons = parsed(&heard).into_iter().filter(|(kind, ..)| *kind == GOAWAY).map(|(.., payload)| payload[4..8].to_vec());
    assert!(reasons.any(|reason| reason == ENHANCE_YOUR_CALM.to_be_bytes()), "after {written} of them");
    assert!(written < 50_000, "{written} were read");
    assert!(is_served(&world).await);
}

/// What the relay wants to say has bounds, too: whoever opens no window for answers gets none, and holds no more than so many streams.
#[tokio::test]
async fn windows_that_are_played_with_end_the_connection() {
    let world = world("").await;
    let too_wide = frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes());
    let by_zero = frame(WINDOW_UPDATE, 0, 0, &[0; 4]);
    let too_large = frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]);
    for bytes in [too_wide, by_zero, too_large] {
        let mut stream = begin(&world).await;
        stream.write_all(&bytes).await.unwrap();
        assert!(has_gone_away(&frames(&mut stream).await), "{bytes:?}");
    }
    assert!(is_served(&world).await);
}

/// Whoever opens no window for answers does not hold its connection for ever.
#[tokio::test]
async fn a_window_that_stays_shut_ends_the_connection() {
    let world = world("keep_alive = '1s'").await;
    let mut stream = begin(&world).await;
    let shut = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    // Answered with a few bytes of text, for which there is no room.
    let head = b"\x83\x87\x44\x08/nowhere\x41\x01h";
    let requests: Vec<u8> = (0..50).flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, head)).collect();
    stream.write_all(&[shut, requests].concat()).await.unwrap();
    assert!(is_ended(&mut stream).await);
    assert!(is_served(&world).await);
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
