//! HTTP exchanges with a server, whole or failed: connect, send, and read the answer within bounds.
//!
//! Over HTTP/1.1 a connection has one exchange at a time; [`h2`](super::h2) has many on one. Redirects are not followed, content is not decoded, and an answer's bytes beyond what is kept are read only as far as it
//! pays to keep the connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::uri::Authority;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use url::Url;

use super::dial::{CONNECT_TIME, Dial, Network, NotDialed, Stream};
use super::driver::Driver;
use super::hearing::{Deaf, Hearing};
use super::{h2, tls};

/// The head of an answer; a longer one is an error.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// An answer's body is read so far in order to keep the connection; beyond it the connection is closed instead.
pub(super) const READ_BYTES_MAX: usize = 256 * 1024;

/// A connection that was used is ready for the next request as soon as its task has run.
const FREE_TIME: Duration = Duration::from_millis(100);

/// The body type of requests.
pub type Payload = Full<Bytes>;

/// Where a server is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Server {
    host: String,
    port: u16,
    authority: Authority,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    title_case_headers: bool,
    connect_time: Duration,
    network: Arc<dyn Dial>,
}

/// A URL that names no server.
#[derive(Debug, thiserror::Error)]
#[error("the URL names no host that can be connected to")]
pub struct BadServer;

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host's name has no address.
    #[error("the host's name cannot be resolved: {0}")]
    Dns(io::Error),
    /// No address of the host took the connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The connection ended before the answer did.
    #[error("the connection ended before the answer did: {0}")]
    Reset(#[source] hyper::Error),
    /// The answer is not HTTP, or its head is too large.
    #[error("the answer is not valid HTTP: {0}")]
    Protocol(#[source] hyper::Error),
}

/// A whole answer, or as much of it as was asked for.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The first bytes of the body.
    pub body: Bytes,
    /// Whether there was more.
    pub truncated: bool,
}

/// A connection, ready for one exchange at a time.
pub struct Connection {
    sender: SendRequest<Payload>,
    driver: Driver,
    is_deaf: Deaf,
}

/// A new connection, as its server wants to speak.
pub(super) enum Spoken {
    /// HTTP/1.1.
    One(Connection),
    /// HTTP/2.
    Many(h2::Connection),
}

/// A connection that ended before a request went out on it.
pub struct Ended {
    error: Option<hyper::Error>,
    driver: Driver,
}

/// What came of an exchange.
pub enum Exchanged {
    /// An answer, and the connection where it can be used again.
    Answered(Answer, Option<Connection>),
    /// The connection was closed before a byte of the request was written; the request is given back.
    NotSent(Request<Payload>, Ended),
    /// The request may have been seen, and no whole answer came.
    Failed(Error),
}

impl Server {
    /// The server of `url` (`http` or `https`).
    pub fn of(url: &Url, config: Arc<ClientConfig>, title_case_headers: bool) -> Result<Self, BadServer> {
        let host = url.host_str().ok_or(BadServer)?;
        let port = url.port_or_known_default().ok_or(BadServer)?;
        let tls = match url.scheme() {
            "https" => Some((config, tls::server_name(host).ok_or(BadServer)?)),
            _ => None,
        };
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let authority = authority.parse().map_err(|_| BadServer)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (connect_time, network) = (CONNECT_TIME, Arc::new(Network::whole()));
        Ok(Self { host, port, authority, tls, title_case_headers, connect_time, network })
    }

    /// The same, but it is not connected to where its name leads to an address that is not public.
    pub fn only_public(self) -> Self {
        self.over(Arc::new(Network::only_public()))
    }

    /// The same, reached over this network.
    pub fn over(self, network: Arc<dyn Dial>) -> Self {
        Self { network, ..self }
    }

    /// The same, but each step of a new connection may take `time`: to resolve the name, to reach each address, to agree on TLS.
    pub fn connecting_within(self, time: Duration) -> Self {
        Self { connect_time: time, ..self }
    }

    /// What belongs into the `Host` field.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Whether a connection may be shared by many exchanges at once.
    pub(super) fn may_share(&self) -> bool {
        self.tls.as_ref().is_some_and(|(config, _)| config.alpn_protocols.iter().any(|offered| offered == tls::H2))
    }

    /// A new connection for one exchange at a time.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let (stream, is_deaf, _) = self.stream().await?;
        self.speak(stream, is_deaf).await
    }

    /// A new connection of the kind that the server prefers.
    pub(super) async fn reach(&self) -> Result<Spoken, Error> {
        let (stream, is_deaf, is_h2) = self.stream().await?;
        match is_h2 {
            false => self.speak(stream, is_deaf).await.map(Spoken::One),
            true => h2::Connection::on(stream, self.authority.clone()).await.map(Spoken::Many),
        }
    }

    /// A new stream of bytes, what tells whether the server reads on, and whether it wants to hear HTTP/2 there.
    async fn stream(&self) -> Result<(Box<dyn Stream>, Deaf, bool), Error> {
        let (stream, is_deaf) = Hearing::on(self.network.dial(&self.host, self.port, self.connect_time).await?);
        let Some((config, name)) = &self.tls else { return Ok((Box::new(stream), is_deaf, false)) };
        let connector = TlsConnector::from(config.clone());
        let agreed = tokio::time::timeout(self.connect_time, connector.connect(name.clone(), stream)).await;
        let stream = agreed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Error::Tls)?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(tls::H2);
        Ok((Box::new(stream), is_deaf, is_h2))
    }

    async fn speak(&self, stream: Box<dyn Stream>, is_deaf: Deaf) -> Result<Connection, Error> {
        let (sender, connection) = Builder::new()
            .title_case_headers(self.title_case_headers)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Error::Reset)?;
        Ok(Connection { sender, driver: Driver::start(connection), is_deaf })
    }
}

impl Error {
    /// The same trouble, for somebody else who waited for the same connection. Only what comes before a request can be told twice.
    pub(super) fn told_again(&self) -> Self {
        let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        match self {
            Self::Dns(error) => Self::Dns(again(error)),
            Self::Connect(error) => Self::Connect(again(error)),
            Self::Tls(error) => Self::Tls(again(error)),
            Self::Reset(error) | Self::Protocol(error) => Self::Connect(io::Error::other(error.to_string())),
        }
    }
}

impl From<NotDialed> for Error {
    fn from(error: NotDialed) -> Self {
        match error {
            NotDialed::Dns(error) => Self::Dns(error),
            NotDialed::Connect(error) => Self::Connect(error),
        }
    }
}

impl Connection {
    /// Whether it is still open, as far as is known without waiting.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed() && !self.is_deaf.is_so()
    }

    /// Whether it takes a request at once. One whose server answers without reading still sends the request before.
    pub(super) async fn is_free(&mut self) -> bool {
        // Where it has ended, the exchange finds that.
        tokio::time::timeout(FREE_TIME, self.sender.ready()).await.is_ok()
    }

    /// Sends `request` and gives its answer as soon as its head is there, for whoever reads a body of any length piece by piece.
    pub async fn open(mut self, request: Request<Payload>) -> Result<Response<Incoming>, Error> {
        self.sender.ready().await.map_err(failure)?;
        let opened = self.sender.send_request(request).await.map_err(failure)?;
        self.driver.leave();
        Ok(opened)
    }

    /// Sends `request` and reads its answer, keeping at most `keep` bytes of the body.
    pub async fn exchange(self, request: Request<Payload>, keep: usize) -> Exchanged {
        let Self { mut sender, driver, is_deaf } = self;
        if let Err(error) = sender.ready().await {
            let ended = Ended { error: None, driver };
            return if error.is_closed() { Exchanged::NotSent(request, ended) } else { Exchanged::Failed(failure(error)) };
        }
        let (head, body) = match sender.try_send_request(request).await {
            Ok(response) => response.into_parts(),
            Err(mut error) => {
                return match (error.take_message(), error.into_error()) {
                    (Some(request), error) => Exchanged::NotSent(request, Ended { error: Some(error), driver }),
                    (None, error) => Exchanged::Failed(failure(error)),
                };
            }
        };
        match read(body, keep).await {
            Ok((body, truncated, whole)) => {
                let reusable = whole && !closes(&head) && !is_deaf.is_so();
                let answer = Answer { status: head.status, headers: head.headers, body, truncated };
                Exchanged::Answered(answer, reusable.then_some(Self { sender, driver, is_deaf }))
            }
            Err(error) => Exchanged::Failed(failure(error)),
        }
    }
}

impl Ended {
    /// Why nobody could send anything on it.
    pub async fn cause(self) -> Error {
        let ended = self.driver.end().await;
        // A server may take the handshake back once it has seen the client's certificate.
        let tls = self.error.iter().chain(&ended).find_map(of_tls);
        tls.unwrap_or_else(|| {
            let closed = io::Error::new(io::ErrorKind::ConnectionReset, "the server closed the connection at once");
            Error::Connect(closed)
        })
    }
}

/// The first `keep` bytes of a body, whether there was more, and whether all of it was read.
pub(super) async fn read(mut body: Incoming, keep: usize) -> Result<(Bytes, bool, bool), hyper::Error> {
    let (mut kept, mut seen) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        seen += data.len();
        kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
        if seen > READ_BYTES_MAX.max(keep) {
            return Ok((kept.freeze(), true, false));
        }
    }
    let truncated = seen > kept.len();
    Ok((kept.freeze(), truncated, true))
}

/// Whether nothing may follow on the connection: its server wants it so, or its answer could be read in two ways (RFC 9112 §6.3).
fn closes(head: &Parts) -> bool {
    if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH) {
        return true;
    }
    let asked = head.headers.get_all(http::header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    asked.flat_map(|v| v.split(',')).any(|token| token.trim().eq_ignore_ascii_case("close"))
}

pub(super) fn failure(error: hyper::Error) -> Error {
    if let Some(error) = of_tls(&error) {
        return error;
    }
    if error.is_parse() || error.is_parse_too_large() || is_framed_wrong(&error) || h2::is_senseless(&error) {
        Error::Protocol(error)
    } else {
        Error::Reset(error)
    }
}

/// The trouble with TLS that an error comes from.
fn of_tls(error: &hyper::Error) -> Option<Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(Error::Tls(io::Error::other(tls.clone())));
        }
        cause = error.source();
    }
    None
}

/// Whether the body of an answer is not framed as its head says.
fn is_framed_wrong(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}
