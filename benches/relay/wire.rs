//! Raw HTTP/1.1 over TLS, as little of it as a load generator needs: signed requests ready to send, and answers' status lines.
//!
//! A full client would cost more CPU than the servers that are measured. It knows `Content-Length` framing only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;

use crate::trust::AnyCertificate;

/// Signed GitHub webhooks, ready to send but for their delivery id.
#[derive(Debug)]
pub(crate) struct Requests {
    pool: Vec<Template>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    /// Where the id's last twelve digits are.
    id_at: usize,
}

impl Requests {
    /// Enough that no cache sees only one body, few enough to stay small with large bodies.
    const POOL: u64 = 64;
    const ID_DIGITS: usize = 12;
    /// The first number of those that are followed on their way.
    const WATCHED_FROM: u64 = 1 << 40;

    /// A pool of requests for `path` whose bodies have `body_bytes` bytes. GitHub's signature covers the body only, so one signature serves
    /// every delivery id.
    pub(crate) fn signed(path: &str, body_bytes: usize, secret: &str) -> Result<Self> {
        let pool = (0..Self::POOL).map(|n| Template::new(path, &body(n, body_bytes), secret)).collect::<Result<_>>()?;
        Ok(Self { pool, next: AtomicU64::new(0) })
    }

    /// The same with delivery ids that are followed: see [`Journeys`](crate::journeys::Journeys).
    pub(crate) fn watched(path: &str, body_bytes: usize, secret: &str) -> Result<Self> {
        Ok(Self { next: AtomicU64::new(Self::WATCHED_FROM), ..Self::signed(path, body_bytes, secret)? })
    }

    /// Whether an event with this number is followed.
    pub(crate) fn is_watched(number: u64) -> bool {
        number >= Self::WATCHED_FROM
    }

    /// Puts the next request into `buffer`; its delivery id was never used before. Gives the number in it.
    pub(crate) fn put_next(&self, buffer: &mut Vec<u8>) -> u64 {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let template = &self.pool[(n % Self::POOL) as usize];
        buffer.clear();
        buffer.extend_from_slice(&template.bytes);
        for place in 0..Self::ID_DIGITS {
            let digit = (n >> (4 * place)) & 0xf;
            buffer[template.id_at + Self::ID_DIGITS - 1 - place] = b"0123456789abcdef"[digit as usize];
        }
        n
    }
}

impl Template {
    fn new(path: &str, body: &[u8], secret: &str) -> Result<Self> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("the secret is no HMAC key")?;
        mac.update(body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let before_id = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/bench\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-"
        );
        let after_id = format!("\r\nX-Hub-Signature-256: sha256={signature}\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut bytes = before_id.as_bytes().to_vec();
        bytes.resize(bytes.len() + Requests::ID_DIGITS, b'0');
        bytes.extend_from_slice(after_id.as_bytes());
        bytes.extend_from_slice(body);
        Ok(Self { bytes, id_at: before_id.len() })
    }
}

/// A JSON body of that length, or the shortest that there is.
fn body(n: u64, length: usize) -> Vec<u8> {
    let (start, end) = (format!("{{\"n\":{n},\"filling\":\""), "\"}");
    let filling = length.saturating_sub(start.len() + end.len());
    let letters = (0..filling).map(|i| b"abcdefghijklmnopqrstuvwxyz012345"[(i * 7 + n as usize) % 32]);
    start.bytes().chain(letters).chain(end.bytes()).collect()
}

/// One keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    input: Vec<u8>,
}

impl Connection {
    /// Connects to loopback and ends the handshake.
    pub(crate) async fn open(port: u16, config: &Arc<ClientConfig>) -> Result<Self> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(config.clone()).connect("localhost".try_into()?, tcp).await?;
        Ok(Self { stream, input: Vec::with_capacity(1024) })
    }

    /// Sends a request and reads its whole answer; the answer's status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        loop {
            if let Some(head) = Head::of(&self.input)? {
                let total = head.bytes + head.content_length;
                if self.input.len() >= total {
                    let status = head.status()?;
                    self.input.drain(..total);
                    return Ok(status);
                }
            }
            ensure!(self.stream.read_buf(&mut self.input).await? > 0, "the connection ended before the answer did");
        }
    }
}

/// The head of a message: how long it is, and how long its body is.
#[derive(Debug)]
pub(crate) struct Head {
    first_line: String,
    /// With the empty line at its end.
    pub(crate) bytes: usize,
    pub(crate) content_length: usize,
    /// The number in GitHub's delivery id, where there is one.
    pub(crate) number: Option<u64>,
}

impl Head {
    /// More than any head of a peer that is measured; bounds the buffer.
    const BYTES_MAX: usize = 64 * 1024;

    /// The head at the start of `input`; `None` while it is not complete.
    pub(crate) fn of(input: &[u8]) -> Result<Option<Self>> {
        let Some(end) = input.windows(4).position(|w| w == b"\r\n\r\n") else {
            ensure!(input.len() <= Self::BYTES_MAX, "the head is too long");
            return Ok(None);
        };
        let text = std::str::from_utf8(&input[..end]).context("the head is not text")?;
        let mut lines = text.split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let (mut content_length, mut number) = (0, None);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                content_length = value.trim().parse().context("Content-Length is no number")?;
            } else if name.eq_ignore_ascii_case("x-github-delivery") {
                number = value.rsplit('-').next().and_then(|digits| u64::from_str_radix(digits, 16).ok());
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("chunked messages are not understood here");
            }
        }
        Ok(Some(Self { first_line, bytes: end + 4, content_length, number }))
    }

    fn status(&self) -> Result<u16> {
        let word = self.first_line.split(' ').nth(1).context("the answer has no status")?;
        word.parse().context("the status is no number")
    }
}

/// TLS as a provider speaks it, but trusting any certificate: the servers make their own.
pub(crate) fn tls_config() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
