//! Sends spans to a collector by [OTLP](https://opentelemetry.io/docs/specs/otlp/) over HTTP: in batches, again where that may help,
//! and never for so long that more than a bounded number of spans is kept for it.
//!
//! Whoever records a span hears nothing of it. Never logged: a header's value, or what a collector says.

mod encode;
mod messages;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use super::client::{self, Payload, Server};
use super::pool::Pool;
use crate::metrics::SpanMetrics;
use crate::telemetry::Span;

/// Spans of one request: as many as the protocol's own exporters send.
const BATCH_MAX: usize = 512;
/// A span waits so long for others to go with it.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// For one exchange.
const EXCHANGE_TIME: Duration = Duration::from_secs(10);
/// Waits before a batch goes out again; after the last one it is given up, since newer spans wait behind it.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// A collector that asks for more waits in vain.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// A connection to the collector is not used for longer, so that one that moved is found.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// Bytes of an answer: it says how many spans were not taken, and perhaps why.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Sends spans to one collector.
pub struct Exporter {
    pool: Pool,
    /// Without a body.
    request: Request<()>,
    service: String,
    metrics: Arc<SpanMetrics>,
    /// Whether the last batch was not taken: that is logged once, not for each.
    is_failing: bool,
}

/// A collector that cannot be asked for.
#[derive(Debug, thiserror::Error)]
#[error("no request to the collector can be made: {0}")]
pub struct BadCollector(#[from] http::Error);

/// Why a batch was not taken.
enum NotTaken {
    /// The same may be taken later; after this time, where the collector says so.
    Now(String, Option<Duration>),
    /// Not even later.
    Ever(String),
}

impl Exporter {
    /// For the collector at `server`, which takes spans at `url`, with these header fields. `service`: as whom the relay is known there.
    pub fn new(
        server: Server,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        service: String,
        metrics: Arc<SpanMetrics>,
    ) -> Result<Self, BadCollector> {
        let target = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).map_err(http::Error::from)?;
        let mut request = Request::builder().method(Method::POST).uri(target).body(())?;
        let fields = request.headers_mut();
        fields.insert(USER_AGENT, HeaderValue::from_static(concat!("hookhold/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in headers {
            fields.insert(name, value.clone());
        }
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        fields.insert(HOST, HeaderValue::try_from(server.authority()).map_err(http::Error::from)?);
        Ok(Self { pool: Pool::new(server, 1, CONNECTION_AGE), request, service, metrics, is_failing: false })
    }

    /// Sends what comes until nobody can send any more, or until `stop`; then what is there goes out, once.
    pub async fn run(mut self, mut spans: mpsc::Receiver<Span>, stop: CancellationToken) {
        loop {
            let batch = gather(&mut spans, &stop).await;
            if batch.is_empty() {
                return;
            }
            self.export(batch, &stop).await;
        }
    }

    async fn export(&mut self, batch: Vec<Span>, stop: &CancellationToken) {
        let count = batch.len() as u64;
        let body = Bytes::from(encode::request(&self.service, batch));
        let mut waits = WAITS.into_iter();
        let why = loop {
            let (why, asked) = match self.exchange(body.clone()).await {
                Ok(rejected) => return self.taken(count, rejected.min(count)),
                Err(NotTaken::Ever(why)) => break why,
                Err(NotTaken::Now(why, asked)) => (why, asked),
            };
            let Some(wait) = waits.next() else { break why };
            let wait = asked.map_or(wait, |asked| asked.clamp(wait, WAIT_MAX));
            tokio::select! {
                biased;
                () = stop.cancelled() => break why,
                () = tokio::time::sleep(wait) => {}
            }
        };
        self.metrics.failed(count);
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(why, "spans are not taken by the collector; the relay goes on without");
        }
    }

    fn taken(&mut self, count: u64, rejected: u64) {
        self.metrics.exported(count - rejected);
        self.metrics.failed(rejected);
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!("the collector takes spans again");
        }
        if rejected > 0 {
            tracing::debug!(rejected, "the collector did not want some spans");
        }
    }

    /// Posts a batch; how many of its spans the collector did not want.
    async fn exchange(&self, body: Bytes) -> Result<u64, NotTaken> {
        let mut request = Request::new(Full::new(body)) as Request<Payload>;
        *request.method_mut() = self.request.method().clone();
        *request.uri_mut() = self.request.uri().clone();
        *request.headers_mut() = self.request.headers().clone();
        match tokio::time::timeout(EXCHANGE_TIME, self.pool.exchange(request, ANSWER_BYTES_MAX)).await {
            Err(_) => Err(NotTaken::Now(format!("no answer within {EXCHANGE_TIME:?}"), None)),
            Ok(Err(error)) => Err(NotTaken::Now(error.to_string(), None)),
            Ok(Ok(answer)) => judge(&answer),
        }
    }
}

/// What an answer says: how many spans were not wanted, or why none was taken.
fn judge(answer: &client::Answer) -> Result<u64, NotTaken> {
    let why = || format!("status {}", answer.status.as_u16());
    match answer.status {
        status if status.is_success() => {
            // One that says nothing, or nothing that can be read, took all.
            let said = messages::Answer::decode(&answer.body[..]).unwrap_or_default();
            Ok(said.partial_success.map_or(0, |part| u64::try_from(part.rejected_spans).unwrap_or(0)))
        }
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Err(NotTaken::Now(why(), after.map(Duration::from_secs)))
        }
        _ => Err(NotTaken::Ever(why())),
    }
}

/// The next batch: full, or as much as came within its time. Empty where there is none any more.
async fn gather(spans: &mut mpsc::Receiver<Span>, stop: &CancellationToken) -> Vec<Span> {
    let mut batch = Vec::new();
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        _ = spans.recv_many(&mut batch, BATCH_MAX) => {}
    }
    let time = tokio::time::sleep(BATCH_TIME);
    tokio::pin!(time);
    while !batch.is_empty() && batch.len() < BATCH_MAX {
        let room = BATCH_MAX - batch.len();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = &mut time => break,
            more = spans.recv_many(&mut batch, room) => if more == 0 { break },
        }
    }
    // At the end nothing is waited for.
    while batch.len() < BATCH_MAX && stop.is_cancelled() {
        let Ok(span) = spans.try_recv() else { break };
        batch.push(span);
    }
    batch
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::metrics::Metrics;
    use crate::telemetry::{Kind, Spans, Trace};
    use crate::time::Stopwatch;

    fn answer(status: u16, headers: &[(HeaderName, &'static str)], body: Vec<u8>) -> client::Answer {
        let headers: HeaderMap = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        client::Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into(), truncated: false }
    }

    #[test]
    fn an_answer_says_what_to_do() {
        let partial = messages::Answer { partial_success: Some(messages::PartialSuccess { rejected_spans: 3 }) }.encode_to_vec();
        assert!(matches!(judge(&answer(200, &[], partial)), Ok(3)));
        assert!(matches!(judge(&answer(200, &[], b"{}".to_vec())), Ok(0)));
        assert!(matches!(judge(&answer(202, &[], Vec::new())), Ok(0)));
        for status in [429, 502, 503, 504] {
            assert!(matches!(judge(&answer(status, &[], Vec::new())), Err(NotTaken::Now(_, None))));
        }
        let asked = answer(503, &[(RETRY_AFTER, "7")], Vec::new());
        assert!(matches!(judge(&asked), Err(NotTaken::Now(_, Some(wait))) if wait == Duration::from_secs(7)));
        for status in [301, 400, 401, 404, 500] {
            assert!(matches!(judge(&answer(status, &[], Vec::new())), Err(NotTaken::Ever(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_full_or_its_time_is_over() {
        let (spans, mut queue) = Spans::wanted(1.0, Metrics::new().spans());
        let stop = CancellationToken::new();
        let record = |count| {
            let span = || Span::of(&Trace::anew(1, 2, &spans), [1; 8], Kind::Internal, "commit");
            (0..count).for_each(|_| spans.record(span()));
        };
        record(BATCH_MAX + 5);
        let watch = Stopwatch::start();
        assert_eq!(gather(&mut queue, &stop).await.len(), BATCH_MAX);
        assert_eq!(watch.elapsed(), Duration::ZERO);
        assert_eq!(gather(&mut queue, &stop).await.len(), 5);
        assert_eq!(watch.elapsed(), BATCH_TIME);
        record(7);
        stop.cancel();
        assert_eq!(gather(&mut queue, &stop).await.len(), 7);
        assert_eq!((gather(&mut queue, &stop).await.len(), watch.elapsed()), (0, BATCH_TIME));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_last_who_could_record() {
        let (spans, mut queue) = Spans::wanted(1.0, Metrics::new().spans());
        spans.record(Span::of(&Trace::anew(1, 2, &spans), [1; 8], Kind::Internal, "commit"));
        drop(spans);
        let stop = CancellationToken::new();
        assert_eq!(gather(&mut queue, &stop).await.len(), 1);
        assert_eq!(gather(&mut queue, &stop).await.len(), 0);
    }
}
