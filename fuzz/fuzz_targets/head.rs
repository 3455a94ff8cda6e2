//! Heads of HTTP/1.1 as hyper reads them and `ingest` judges them: what passes has one reading, and nothing is read behind a request that
//! must be the last one of its connection.
#![no_main]

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use libfuzzer_sys::fuzz_target;

/// What a sender wrote, all of it at once; what it is answered goes nowhere.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fuzz_target!(|data: &[u8]| {
    let was_last = Cell::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        assert!(!was_last.get(), "a request behind the last one");
        let head = request.into_parts().0;
        let mut answer = Response::new(Full::<Bytes>::default());
        if let Some((host, is_last)) = hookhold::ingest::judged_head(&head, 100) {
            judge(&head, &host, is_last);
            if is_last {
                was_last.set(true);
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut connection = pin!(http1::Builder::new().max_buf_size(32 * 1024).serve_connection(Wire(data), service));
    let mut context = Context::from_waker(Waker::noop());
    // All bytes are there: a connection is at its end, or yields a few times before it is.
    for _ in 0..64 {
        if connection.as_mut().poll(&mut context).is_ready() {
            return;
        }
    }
});

fn judge(head: &http::request::Parts, host: &str, is_last: bool) {
    let fields = &head.headers;
    for (name, value) in fields {
        assert!(!value.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)), "{name}: {value:?}");
        assert!(!name.as_str().contains([' ', ':', '\r', '\n']), "{name}");
    }
    assert!(fields.get_all(HOST).iter().count() <= 1 && !host.contains(['/', '@', ' ', '"', '\r', '\n']), "{host:?}");
    let target = head.uri.to_string();
    assert!(!target.contains([' ', '\r', '\n', '\0', '\t']), "{target:?}");
    let lengths: Vec<_> = fields.get_all(CONTENT_LENGTH).iter().map(|value| value.as_bytes().to_vec()).collect();
    assert!(lengths.iter().all(|length| *length == lengths[0] && length.iter().all(u8::is_ascii_digit)), "{lengths:?}");
    let is_chunked = fields.contains_key(TRANSFER_ENCODING);
    assert!(!is_chunked || lengths.is_empty(), "two lengths");
    assert_eq!(is_last, is_chunked && head.version < Version::HTTP_2);
    assert!(!is_chunked || head.version == Version::HTTP_11, "chunks of HTTP/1.0");
}
