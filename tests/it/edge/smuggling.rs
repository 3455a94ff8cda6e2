//! Requests within requests: whatever a sender writes, what it hides in a body or behind one is never taken for a request, and what
//! HTTP/2 says never becomes two lines of HTTP/1.1.

use tokio::io::AsyncWriteExt;

use super::EAGER;
use super::floods::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, begin, frame, frames, is_served};
use super::http::{Sink, ambiguous};
use super::raw::{exchange, statuses};
use crate::world::{World, eventually};

/// What must not be taken for a request, wherever it stands.
const HIDDEN: &str = "POST /in/open HTTP/1.1\r\nHost: h\r\nX-Hidden: 1\r\nContent-Length: 6\r\n\r\nHIDDEN";
const DATA: u8 = 0;
/// A request without a source: whatever is before it must not make it another one.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Transfer codings as they are written to be read by one and overlooked by another.
const CODINGS: &[&str] = &[
    "Transfer-Encoding: chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding:chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "X-A: 1\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding\r\n : chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: 'chunked'",
    "Transfer-Encoding: chunked;a=b",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\x0b",
    "Transfer-Encoding: \x0cchunked",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding: chunk\0ed",
    "Transfer\x00-Encoding: chunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding\x0b: chunked",
    "X-A: 1\nTransfer-Encoding: chunked",
    "X-A: 1\rTransfer-Encoding: chunked",
    "X-A: 1\r\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: CHUNKED",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked chunked",
    "Transfer-Encoding: chunked\r\nConnection: transfer-encoding",
    "Connection: content-length\r\nTransfer-Encoding: chunked",
    "Foo: bar\r\n\rTransfer-Encoding: chunked",
    "Transfer-Encodin\u{e7}: chunked",
];

/// Bodies in chunks that two readers could end in different places.
const CHUNKS: &[&str] = &[
    "0x1\r\na\r\n0\r\n\r\n",
    "1 \r\na\r\n0\r\n\r\n",
    " 1\r\na\r\n0\r\n\r\n",
    "1\t\r\na\r\n0\r\n\r\n",
    "-1\r\na\r\n0\r\n\r\n",
    "+1\r\na\r\n0\r\n\r\n",
    "1_0\r\na\r\n0\r\n\r\n",
    "\r\n1\r\na\r\n0\r\n\r\n",
    "ffffffffffffffff1\r\na\r\n0\r\n\r\n",
    "10000000000000001\r\na\r\n0\r\n\r\n",
    "fffffffffffffffe\r\na\r\n0\r\n\r\n",
    "00000000000000000000000000000001\r\na\r\n0\r\n\r\n",
    "1;\r\na\r\n0\r\n\r\n",
    "1;a\r\na\r\n0\r\n\r\n",
    "1;a=\"\r\n\"\r\na\r\n0\r\n\r\n",
    "1;\na\r\n0\r\n\r\n",
    "1;\ra\r\n0\r\n\r\n",
    "1\ra\r\n0\r\n\r\n",
    "1\r\na\n0\r\n\r\n",
    "1\r\naX0\r\n\r\n",
    "1\r\na0\r\n\r\n",
    "1\r\na\r\n0\n\n",
    "1\r\na\r\n0\r\n\n",
    "1\r\na\r\n0\r\nX: 1\n\r\n",
    "1\r\na\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "1\r\na\r\n0\r\nX : 1\r\n\r\n",
    "1\r\na\r\n0\r\n X: 1\r\n\r\n",
    "0\r\n\r\n",
    "0;a\r\n\r\n",
    "000\r\n\r\n",
    "G\r\na\r\n0\r\n\r\n",
    "\r\n\r\n",
];

/// Lengths beside which another reader would find another one.
const LENGTHS: &[&str] = &[
    "Content-Length: 0\r\nContent-Length: {n}",
    "Content-Length: {n}\r\nContent-Length: 0",
    "Content-Length: 0, {n}",
    "Content-Length: {n}, {n}",
    "Content-Length: +{n}",
    "Content-Length: 0x0",
    "Content-Length: 0{n}",
    "Content-Length: {n} 0",
    "Content-Length : {n}",
    "Content-Length:\x0b{n}",
    "Content-Length: {n}\x0c",
    "Content-Length: {n}.0",
    "Content-Length: {n}e0",
    "Content-Length: \"{n}\"",
    "Content-Length: 18446744073709551616",
    "Content-Length: 99999999999999999999999999",
    "Content_Length: {n}",
    "X-A: 1\nContent-Length: {n}",
    "X-A: 1\rContent-Length: {n}",
    "Content-Length:\r\n {n}",
    "Content-Length: {n}\0",
    "Content-Length: \u{0661}",
];

struct Probed {
    world: World,
    sink: Sink,
}

impl Probed {
    async fn start() -> Self {
        let sink = Sink::start().await;
        let source = format!(
            "[sources.open]\npath = '/in/open'\nprovider = 'none'\n[[routes]]\nfrom = 'open'\nto = ['sink']\n\
             [destinations.sink]\nurl = 'http://127.0.0.1:{}/sink'\nin_flight = 1\n",
            sink.port
        );
        Self { world: World::start(EAGER, &source).await, sink }
    }

    /// What is wrong with what came of these bytes, on a connection that nothing else is on.
    async fn problems(&self, bytes: &str) -> Vec<String> {
        let heard = exchange(&self.world, bytes.as_bytes()).await;
        let told = statuses(&heard);
        let taken = told.iter().filter(|status| **status == 200).count();
        let mut problems = Vec::new();
        // Whoever is refused is not heard any further; whoever is taken may send one more, which is the last.
        let may_follow = told.first() == Some(&200);
        if told.len() > 1 + usize::from(may_follow) || told.iter().any(|status| ![200, 400, 404, 408, 431, 501].contains(status))
        {
            problems.push(format!("{told:?}"));
        }
        let mut got = Vec::new();
        eventually(async || {
            got.extend(self.sink.take());
            (got.len() >= taken).then_some(())
        })
        .await;
        for request in &got {
            problems.extend(ambiguous(request));
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            if head.to_ascii_lowercase().contains("x-hidden") || body == "HIDDEN" {
                problems.push("what was hidden was taken for a request".to_owned());
            }
        }
        if got.len() != taken {
            problems.push(format!("{} requests for {taken} answers", got.len()));
        }
        problems
    }

    async fn all(&self, probes: impl IntoIterator<Item = String>) {
        let (mut failures, mut count) = (Vec::new(), 0);
        for probe in probes {
            count += 1;
            failures.extend(self.problems(&probe).await.into_iter().map(|why| format!("{probe:?}: {why}")));
        }
        assert!(failures.is_empty() && count > 10, "{count} probes\n{}", failures.join("\n"));
        assert!(is_served(&self.world).await);
    }
}

#[tokio::test]
async fn nothing_is_hidden_behind_a_coding() {
    let probed = Probed::start().await;
    // By the length the hidden request is in the body; by the chunks it is behind it, where nothing more is read.
    let by_length = |coding: &&str| {
        let body = format!("0\r\n\r\n{HIDDEN}");
        format!("POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{coding}\r\n\r\n{body}{LAST}", body.len())
    };
    // By the chunks it is in the body; by the length it is behind it.
    let by_chunks = |coding: &&str| {
        let size = format!("{:x}\r\n", HIDDEN.len());
        format!(
            "POST /in/open HTTP/1.1\r\nHost: h\r\n{coding}\r\nContent-Length: {}\r\n\r\n{size}{HIDDEN}\r\n0\r\n\r\n{LAST}",
            size.len()
        )
    };
    // Where a coding is no coding, and a length is a length, a sender says that another request follows: that one is no smuggler.
    let is_plain = |coding: &&&str| !["Transfer_Encoding: chunked"].contains(*coding);
    probed.all(CODINGS.iter().map(by_length).chain(CODINGS.iter().filter(is_plain).map(by_chunks))).await;
}

#[tokio::test]
async fn nothing_is_hidden_behind_chunks_or_lengths() {
    let probed = Probed::start().await;
    let chunked =
        |chunks: &&str| format!("POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{HIDDEN}{LAST}");
    let with_length = |length: &&str| {
        let length = length.replace("{n}", &HIDDEN.len().to_string());
        format!("POST /in/open HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{length}\r\n\r\n{HIDDEN}{LAST}")
    };
    probed.all(CHUNKS.iter().map(chunked).chain(LENGTHS.iter().map(with_length))).await;
}

#[tokio::test]
async fn lines_have_one_end() {
    let probed = Probed::start().await;
    let bare = ["\r", "\r\r\n", "\u{b}\r\n", "\0\r\n", "\r\n "];
    let within =
        |end: &str| format!("POST /in/open HTTP/1.1\r\nHost: h{end}X-A: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let first = |end: &str| format!("POST /in/open HTTP/1.1{end}Host: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let last = |end: &str| format!("POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0{end}\r\n{HIDDEN}");
    let mut failures = Vec::new();
    for bytes in bare.iter().flat_map(|end| [within(end), first(end), last(end)]) {
        let told = statuses(&exchange(&probed.world, bytes.as_bytes()).await);
        if told != [400] {
            failures.push(format!("{bytes:?}: {told:?}"));
        }
    }
    assert!(failures.is_empty() && probed.sink.take().is_empty(), "\n{}", failures.join("\n"));
    // A line may end with LF alone in a head (RFC 9112 §2.2); what goes on has CR and LF at each end.
    for bytes in [within("\n"), first("\n")] {
        assert_eq!(probed.problems(&bytes).await, Vec::<String>::new());
        assert_eq!(statuses(&exchange(&probed.world, bytes.as_bytes()).await), [200], "{bytes:?}");
        eventually(async || (!probed.sink.take().is_empty()).then_some(())).await;
    }
}

/// A field as HPACK writes it without an index (RFC 7541 §6.2.2).
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap();
    [&[0, length(name)], name, &[length(value)], value].concat()
}

#[tokio::test]
async fn what_http_2_says_is_one_request_or_none() {
    let probed = Probed::start().await;
    let pseudo: &[(&[u8], &[u8])] =
        &[(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/in/open"), (b":authority", b"h")];
    let of =
        |more: &[(&[u8], &[u8])]| pseudo.iter().chain(more).flat_map(|(name, value)| field(name, value)).collect::<Vec<u8>>();
    let without = |gone: &[u8], more: &[(&[u8], &[u8])]| {
        let kept = pseudo.iter().filter(|(name, _)| *name != gone).chain(more);
        kept.flat_map(|(name, value)| field(name, value)).collect::<Vec<u8>>()
    };
    let refused: Vec<Vec<u8>> = vec![
        of(&[(b"transfer-encoding", b"chunked")]),
        of(&[(b"connection", b"close")]),
        of(&[(b"keep-alive", b"1")]),
        of(&[(b"proxy-connection", b"close")]),
        of(&[(b"upgrade", b"h2c")]),
        of(&[(b"te", b"gzip")]),
        of(&[(b"X-Upper", b"1")]),
        of(&[(b"x-a", b"1\r\nx-hidden: 1")]),
        of(&[(b"x-a", b"1\nx-hidden: 1")]),
        of(&[(b"x-a", b"1\rx-hidden: 1")]),
        of(&[(b"x-a", b"1\0")]),
        of(&[(b"x a", b"1")]),
        of(&[(b"x-a: 1\r\nx-hidden", b"1")]),
        of(&[(b"", b"1")]),
        of(&[(b":method", b"GET")]),
        of(&[(b":path", b"/other")]),
        of(&[(b":status", b"200")]),
        of(&[(b":protocol", b"websocket")]),
        of(&[(b"x-a", b"1"), (b":authority", b"h")]),
        without(b":authority", &[(b"x-a", b"1"), (b":authority", b"h")]),
        without(b":method", &[]),
        without(b":path", &[]),
        without(b":path", &[(b":path", b"")]),
        without(b":path", &[(b":path", b"/in/open HTTP/1.1\r\nX-Hidden: 1")]),
        without(b":method", &[(b":method", b"POST /in/open HTTP/1.1")]),
        without(b":authority", &[(b":authority", b"h\r\nx-hidden: 1")]),
        of(&[(b"content-length", b"3")]),
        of(&[(b"content-length", b"-1")]),
        of(&[(b"content-length", b"1"), (b"content-length", b"2")]),
        of(&[(b"host", b"a"), (b"host", b"b")]),
    ];
    let mut failures = Vec::new();
    for head in &refused {
        let mut stream = begin(&probed.world).await;
        // A body of one byte: no length but 1 fits.
        let goodbye = frame(GOAWAY, 0, 0, &[0; 8]);
        let request = [frame(HEADERS, END_HEADERS, 1, head), frame(DATA, END_STREAM, 1, b"x"), goodbye].concat();
        let _ = stream.write_all(&request).await;
        let heard = frames(&mut stream).await;
        // 200 is the eighth entry of HPACK's table.
        if heard.iter().any(|(kind, _, payload)| *kind == HEADERS && payload.contains(&0x88)) {
            failures.push(format!("{:?} was taken", String::from_utf8_lossy(head)));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(is_served(&probed.world).await);
    let got = eventually(async || Some(probed.sink.take()).filter(|got| !got.is_empty())).await;
    assert!(got.len() == 1 && got[0].ends_with("\r\n\r\nx"), "{got:?}");
}
