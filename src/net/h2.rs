//! Many exchanges at once on one HTTP/2 connection, with the same promises as over HTTP/1.1.
//!
//! A request goes out again only where its server says, or cannot have seen, that it was not processed (RFC 9113 §8.7).

use std::sync::Arc;

use ::h2::{Error as Cause, Reason};
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Uri, Version};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::client::{Answer, Error, HEAD_BYTES_MAX, Payload, READ_BYTES_MAX, failure, read};
use super::dial::Stream;
use super::driver::Driver;

/// What a server may send of one answer before it was read: as much as is read of it at all.
const STREAM_WINDOW_BYTES: u32 = READ_BYTES_MAX as u32;
/// The same for all answers of a connection together. It is this much memory that a destination can take.
const CONNECTION_WINDOW_BYTES: u32 = 4 * STREAM_WINDOW_BYTES;
/// What of a body waits for a server that does not read.
const SEND_BYTES_MAX: usize = 256 * 1024;
/// A frame is no larger than this, the least that every server and client must take.
const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// A connection, for many exchanges at once. Clones are the same connection; it ends with the last of them.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Payload>,
    authority: Authority,
    /// Ends with the last of the clones.
    _driver: Arc<Driver>,
}

/// What came of an exchange.
pub(super) enum Exchanged {
    /// An answer.
    Answered(Answer),
    /// The server did nothing with the request, and takes others.
    Refused(Error),
    /// The server did nothing with the request, and takes no others on this connection.
    Left(Error),
    /// The request may have been seen, and no whole answer came.
    Failed(Error),
}

impl Connection {
    /// Begins to speak on a stream to the server `authority`.
    pub(super) async fn on(stream: Box<dyn Stream>, authority: Authority) -> Result<Self, Error> {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .max_send_buf_size(SEND_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failure)?;
        Ok(Self { sender, authority, _driver: Arc::new(Driver::start(connection)) })
    }

    /// Whether requests can still be sent, as far as is known without waiting.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends `request` and reads its answer, keeping at most `keep` bytes of the body.
    pub(super) async fn exchange(&mut self, request: Request<Payload>, keep: usize) -> Exchanged {
        let request = self.addressed(request);
        let (head, body) = match self.sender.try_send_request(request).await {
            Ok(response) => response.into_parts(),
            Err(mut error) => {
                let is_given_back = error.take_message().is_some();
                return judged(error.into_error(), is_given_back);
            }
        };
        match read(body, keep).await {
            Ok((body, truncated, _)) => {
                Exchanged::Answered(Answer { status: head.status, headers: head.headers, body, truncated })
            }
            Err(error) => Exchanged::Failed(failure(error)),
        }
    }

    /// The request with its server in the address, where HTTP/2 has it, in place of `Host`.
    fn addressed(&self, mut request: Request<Payload>) -> Request<Payload> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        // Never fails: a request that leaves has a path.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
        request
    }
}

/// What an error says about its request. `is_given_back`: nothing of it was sent.
fn judged(error: hyper::Error, is_given_back: bool) -> Exchanged {
    let by_server = cause(&error).filter(|cause| cause.is_remote());
    // Of requests that it may have seen, a connection that goes away says nothing: their error is another one.
    let has_left = is_given_back || by_server.is_some_and(Cause::is_go_away);
    let is_refused = by_server.is_some_and(|cause| cause.is_reset() && cause.reason() == Some(Reason::REFUSED_STREAM));
    let error = failure(error);
    match (has_left, is_refused) {
        (true, _) => Exchanged::Left(error),
        (false, true) => Exchanged::Refused(error),
        (false, false) => Exchanged::Failed(error),
    }
}

/// Whether what the server sent is no HTTP/2.
pub(super) fn is_senseless(error: &hyper::Error) -> bool {
    cause(error).is_some_and(Cause::is_library)
}

fn cause(error: &hyper::Error) -> Option<&Cause> {
    std::error::Error::source(error)?.downcast_ref()
}
