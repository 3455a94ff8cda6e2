//! The application on this machine: an event as the relay received it, sent there, and what it answered.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::delivery::forwarded;
use crate::net::client::{Error, Payload, Server};
use crate::net::pool::Pool;
use crate::net::tls;
use crate::record::{Event, EventId, Headers, Name};
use crate::time::{Stopwatch, Timestamp};

/// Connections that are kept: one event goes at a time.
const CONNECTIONS_MAX: usize = 1;
/// No connection is kept for longer.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are counted; nobody shows them.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An application.
pub(super) struct Local {
    pool: Pool,
    url: Url,
    host: HeaderValue,
    timeout: Duration,
}

/// What came of sending an event.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) took: Duration,
    pub(super) answer: Answer,
}

/// The answer, or why there is none.
#[derive(Debug)]
pub(super) enum Answer {
    /// It answered.
    Answered { status: u16, bytes: usize },
    /// It cannot be reached: it has seen nothing.
    Unreached(String),
    /// It may have seen the event; the connection ended before its answer did.
    Cut(String),
    /// It did not answer in time.
    Late,
}

/// What the API shows of an event.
#[derive(Deserialize)]
struct Shown {
    id: EventId,
    source: Name,
    provider: String,
    r#type: Option<String>,
    provider_event_id: Option<String>,
    received_at: Timestamp,
    method: String,
    target: String,
    peer: std::net::IpAddr,
    body_bytes: u64,
    duplicates: u32,
    headers: Vec<(String, Value)>,
}

/// Whether the API showed masks in place of something.
pub(super) fn is_masked(shown: &[u8]) -> bool {
    serde_json::from_slice::<Value>(shown).is_ok_and(|shown| shown["is_masked"] == true)
}

/// From what the API shows of one event.
pub(super) fn event(shown: &[u8]) -> anyhow::Result<Event> {
    let shown: Shown = serde_json::from_slice(shown).context("the relay's answer is not an event")?;
    let headers = shown.headers.iter().map(|(name, value)| field(name, value)).collect::<anyhow::Result<Headers>>()?;
    Ok(Event {
        id: shown.id,
        source: shown.source,
        provider: shown.provider.into(),
        kind: shown.r#type,
        provider_event_id: shown.provider_event_id,
        received_at: shown.received_at,
        method: shown.method,
        target: shown.target,
        authority: headers.text("host").unwrap_or_default().to_owned(),
        peer: shown.peer,
        headers,
        body_bytes: shown.body_bytes,
        duplicates: shown.duplicates,
    })
}

/// A header field: its value is text, or base64 where it is none.
fn field(name: &str, value: &Value) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let bytes = match value {
        Value::String(text) => text.as_bytes().to_vec(),
        other => STANDARD.decode(other["base64"].as_str().context("a header's value is no text")?)?,
    };
    Ok((name.parse()?, HeaderValue::from_bytes(&bytes)?))
}

impl Local {
    /// The one at `url`; `ca`: the roots that it is trusted by.
    pub(super) fn at(url: &Url, ca: Option<&Path>, timeout: Duration) -> anyhow::Result<Self> {
        ensure!(matches!(url.scheme(), "http" | "https"), "--to must begin with http:// or https://");
        let server = Server::of(url, tls::client_config(ca)?, false)?;
        let host = HeaderValue::from_str(server.authority())?;
        Ok(Self { pool: Pool::new(server, CONNECTIONS_MAX, CONNECTION_AGE), url: url.clone(), host, timeout })
    }

    /// Sends an event: its method, its body byte for byte, and its fields but those of a single hop.
    pub(super) async fn send(&self, event: &Event, body: Bytes, number: u32) -> anyhow::Result<Came> {
        let request = self.request(event, body, number)?;
        let watch = Stopwatch::start();
        let sent = tokio::time::timeout(self.timeout, self.pool.exchange(request, ANSWER_BYTES_MAX)).await;
        let took = watch.elapsed();
        let answer = match sent {
            Err(_) => Answer::Late,
            Ok(Ok(answer)) => Answer::Answered { status: answer.status.as_u16(), bytes: answer.body.len() },
            Ok(Err(error @ (Error::Dns(_) | Error::Connect(_) | Error::Tls(_)))) => Answer::Unreached(error.to_string()),
            Ok(Err(error)) => Answer::Cut(error.to_string()),
        };
        Ok(Came { took, answer })
    }

    fn request(&self, event: &Event, body: Bytes, number: u32) -> anyhow::Result<Request<Payload>> {
        let target = match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::from_bytes(event.method.as_bytes())?;
        *request.uri_mut() = target.parse()?;
        *request.headers_mut() = forwarded(event, &self.host, number)?;
        Ok(request)
    }
}
