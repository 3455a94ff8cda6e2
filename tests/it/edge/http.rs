//! Requests that two readers could read in two ways: refused, or read as RFC 9112 says, and what the application gets has one reading.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::raw::{exchange, statuses};
use super::{EAGER, open_source};
use crate::world::{World, eventually};

/// Bytes sent, the statuses that come back, and the bodies that the application gets.
type Probe = (&'static str, &'static str, &'static [u16], &'static [&'static str]);

const PROBES: &[Probe] = &[
    // Framing.
    (
        "both lengths",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        &[200],
        &[""],
    ),
    (
        "both, in the other order",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nX",
        &[200],
        &[""],
    ),
    ("two lengths", "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", &[400], &[]),
    (
        "one length twice",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
        &[200],
        &["a"],
    ),
    ("a list of lengths", "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\nConnection: close\r\n\r\na", &[400], &[]),
    ("a length with a sign", "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na", &[400], &[]),
    ("a negative length", "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na", &[400], &[]),
    ("a hexadecimal length", "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\na", &[400], &[]),
    ("a length that is none", "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n", &[400], &[]),
    ("a length too large", "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\na", &[400], &[]),
    (
        "chunks",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        &[200],
        &["abc"],
    ),
    ("chunks by another name", "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", &[400], &[]),
    (
        "chunked is not last",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "a coding besides",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\n\r\n",
        &[501],
        &[],
    ),
    (
        "chunked twice",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\n\r\n",
        &[501],
        &[],
    ),
    (
        "a size that is none",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\na\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "a size with a sign",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "a size too large",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\na\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "a chunk without its end",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "a chunk line with a bare LF",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "a chunk extension",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1;a=\"b\"\r\nx\r\n0\r\n\r\n",
        &[200],
        &["x"],
    ),
    (
        "an extension with a bare LF",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    (
        "trailers",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Hub-Signature-256\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\nX-Hub-Signature-256: forged\r\nContent-Length: 7\r\n\r\n",
        &[200],
        &["x"],
    ),
    (
        "chunks of HTTP/1.0",
        "POST /in/open HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    // Lines and fields.
    ("a folded line", "POST /in/open HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("a space before the colon", "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length : 1\r\n\r\nx", &[400], &[]),
    ("a space before the name", "POST /in/open HTTP/1.1\r\n Host: h\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("a name that is none", "POST /in/open HTTP/1.1\r\nHost: h\r\nX(A): 1\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("no name", "POST /in/open HTTP/1.1\r\nHost: h\r\n: 1\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("no colon", "POST /in/open HTTP/1.1\r\nHost: h\r\nX-A\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("a NUL in a value", "POST /in/open HTTP/1.1\r\nHost: h\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("a NUL in a name", "POST /in/open HTTP/1.1\r\nHost: h\r\nX\0A: a\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    (
        "a bare CR in a value",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nX-A: a\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        &[400],
        &[],
    ),
    ("a bare CR in the first line", "POST /in/open\rx HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("a line too long", "", &[431], &[]),
    // Targets and hosts.
    (
        "an absolute target",
        "POST http://other.example/in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
        &[200],
        &["x"],
    ),
    ("two hosts", "POST /in/open HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", &[400], &[]),
    ("no host", "POST /in/open HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", &[400], &[]),
    ("a host that is none", "POST /in/open HTTP/1.1\r\nHost: a b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", &[400], &[]),
    ("HTTP/1.0", "POST /in/open HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", &[200], &["x"]),
    ("HTTP/0.9", "POST /in/open\r\n", &[400], &[]),
    ("HTTP/1.2", "POST /in/open HTTP/1.2\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("two spaces", "POST  /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    ("one target in another", "POST /in/open HTTP/1.1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &[400], &[]),
    // Methods, and other protocols.
    ("TRACE", "TRACE /in/open HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &[405], &[]),
    ("CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nConnection: close\r\n\r\n", &[404], &[]),
    ("OPTIONS of all", "OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &[404], &[]),
    (
        "an upgrade to HTTP/2",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nConnection: upgrade, http2-settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 1\r\n\r\nx",
        &[200],
        &["x"],
    ),
    (
        "an upgrade to WebSocket",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
        &[200],
        &["x"],
    ),
    ("HTTP/2 without a word", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[], &[]),
    // One behind the other.
    (
        "two at once",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\naPOST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nb",
        &[200, 200],
        &["a", "b"],
    ),
    (
        "a body that looks like a request",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 34\r\nConnection: close\r\n\r\nGET /in/open HTTP/1.1\r\nHost: h\r\n\r\n",
        &[200],
        &["GET /in/open HTTP/1.1\r\nHost: h\r\n\r\n"],
    ),
    (
        "one behind a refused one",
        "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nPOST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        &[404],
        &[],
    ),
    (
        "an empty line before",
        "\r\nPOST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
        &[200],
        &["x"],
    ),
    // What a client lists in `Connection`.
    (
        "a signature in Connection",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nX-Hub-Signature-256: sha256=00\r\nConnection: close, x-hub-signature-256, hookhold-event-id, content-length, host, content-type, authorization, x-forwarded-for, x-gone\r\nContent-Type: a/b\r\nAuthorization: Bearer x\r\nX-Gone: 1\r\nContent-Length: 1\r\n\r\nx",
        &[200],
        &["x"],
    ),
    (
        "TE and Expect",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTE: trailers, deflate\r\nConnection: TE, close\r\nContent-Length: 1\r\n\r\nx",
        &[200],
        &["x"],
    ),
];

/// An application that keeps the bytes of each request as they came.
pub(super) struct Sink {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Sink {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    while !is_whole(&bytes) && stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
                    kept.lock().unwrap().push(bytes);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                });
            }
        });
        Self { port, seen }
    }

    pub(super) fn take(&self) -> Vec<String> {
        self.seen.lock().unwrap().drain(..).map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }
}

/// The value of the one field of this name.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let of_name = |line: &&str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
    let mut lines = head.lines().filter(of_name);
    let line = lines.next();
    assert_eq!(lines.next(), None, "{head}");
    line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    body.len() >= field(head, "content-length").map_or(0, |length| length.parse().unwrap())
}

#[tokio::test]
async fn each_request_has_one_reading() {
    let sink = Sink::start().await;
    let source = format!(
        "[sources.open]\npath = '/in/open'\nprovider = 'none'\n[[routes]]\nfrom = 'open'\nto = ['sink']\n\
         [destinations.sink]\nurl = 'http://127.0.0.1:{}/sink'\nin_flight = 1\n",
        sink.port
    );
    let world = World::start(EAGER, &source).await;
    let mut failures = Vec::new();
    for (name, bytes, expected, bodies) in PROBES {
        let long = format!("POST /in/open HTTP/1.1\r\nHost: h\r\nX-A: {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(40_000));
        let bytes = if bytes.is_empty() { &long } else { *bytes };
        let heard = exchange(&world, bytes.as_bytes()).await;
        let told = statuses(&heard);
        if told != *expected {
            failures.push(format!("{name}: {told:?} instead of {expected:?}"));
        }
        let accepted = told.iter().filter(|status| **status == 200).count();
        let got = eventually(async || {
            let seen = sink.seen.lock().unwrap().len();
            (seen >= accepted).then(|| sink.take())
        });
        let got = got.await;
        failures.extend(got.iter().flat_map(|request| ambiguous(request)).map(|why| format!("{name}: {why}")));
        let seen: Vec<_> = got.iter().map(|request| request.split_once("\r\n\r\n").unwrap().1).collect();
        if seen != *bodies {
            failures.push(format!("{name}: {seen:?} was delivered"));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// What of a request that the application got could be read in two ways, or should not be there.
pub(super) fn ambiguous(request: &str) -> Vec<String> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut problems = Vec::new();
    let length = field(head, "content-length").map(|length| length.parse().unwrap());
    // Without a length, and without chunks, there is no body.
    if length.unwrap_or(0) != body.len() {
        problems.push(format!("a length of {length:?} for {} bytes", body.len()));
    }
    for gone in
        ["transfer-encoding", "connection", "te", "trailer", "upgrade", "http2-settings", "keep-alive", "expect", "x-gone"]
    {
        if field(head, gone).is_some() {
            problems.push(format!("{gone} was passed on"));
        }
    }
    for there in ["host", "hookhold-event-id", "hookhold-delivery-id", "forwarded", "x-forwarded-for"] {
        if field(head, there).is_none() {
            problems.push(format!("{there} is missing"));
        }
    }
    if !head.starts_with("POST /sink HTTP/1.1\r\n")
        || head.bytes().any(|byte| byte == 0)
        || head.replace("\r\n", "").contains(['\r', '\n'])
    {
        problems.push(format!("a strange head: {head:?}"));
    }
    problems
}

#[tokio::test]
async fn what_a_client_lists_never_takes_away_what_counts() {
    let world = World::start(EAGER, &open_source("")).await;
    let probe = PROBES.iter().find(|(name, ..)| *name == "a signature in Connection").unwrap();
    assert_eq!(statuses(&exchange(&world, probe.1.as_bytes()).await), [200]);
    let got = &world.app.got(1).await[0];
    assert_eq!(got.header("x-hub-signature-256"), "sha256=00");
    assert_eq!((got.header("content-type"), got.header("authorization"), got.header("x-gone")), ("a/b", "Bearer x", ""));
    assert_eq!((got.header("x-forwarded-for"), got.header("hookhold-event-id").len()), ("127.0.0.1", 36));
}
