//! `GET /live?source=&destination=`: what happens, as server-sent events, for as long as somebody reads.
//!
//! ```text
//! event: event      data: an event, as in lists
//! event: attempt    data: a delivery with just that attempt in `attempts`
//! event: state      data: a delivery that was delivered, parked, called off, retried, or made by a replay
//! event: missed     data: {"count": N}: so many went by unseen, of all sources and destinations; null where nobody counted
//! ```
//!
//! Each but `missed` has an `id`: `Last-Event-ID` goes on behind it. A comment comes where nothing else does. Lossy: the lists are the
//! truth. Never here: waiting for somebody who does not read; the listener ends connections that do not move.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::auth::{Caller, Standing};
use crate::admin::openapi::answers::StoreTrouble;
use crate::admin::openapi::parameters::query;
use crate::admin::parameters::Parameters;
use crate::admin::problem::Problem;
use crate::admin::sight::Sight;
use crate::admin::view::{DeliveryView, EventView};
use crate::record::Name;
use crate::store::{Fact, Missed, News, Place, Reader};
use crate::time::Stopwatch;

/// Where nothing happens, a comment comes so often: proxies close what is quiet, and who reads knows that the relay is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// So often it is looked whether who reads still may.
const LOOK: Duration = Duration::from_secs(5);
/// Between two pieces there is so much time: what comes fast goes together, so that a reader costs the same whatever the rate.
const BREATH: Duration = Duration::from_millis(40);
/// How long a browser waits before it comes back.
const RETRY_MS: u64 = 2000;
/// Where the last stream of who comes back ended.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(watch))
}

/// What a stream shows.
struct LiveParameters;

impl IntoParams for LiveParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![query::<Name>("source", "Of this source."), query::<Name>("destination", "Of deliveries to this destination.")]
    }
}

/// What happens, for as long as somebody reads.
///
/// Server-sent events: `event` (an event, as in lists), `attempt` (a delivery with just that attempt), `state` (a delivery that was
/// delivered, parked, called off, retried or made by a replay), and `missed` (`{"count": N}`). `Last-Event-ID` goes on behind one.
#[utoipa::path(
    get, path = "/live", operation_id = "watch", tag = "relay",
    params(LiveParameters),
    responses((status = 200, description = "A stream without an end.", body = String, content_type = "text/event-stream"), StoreTrouble)
)]

async fn watch(
    State(context): State<Arc<Context>>,
    Extension(standing): Extension<Standing>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    let (source, destination) = (parameters.name("source")?, parameters.name("destination")?);
    parameters.finish()?;
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse::<Place>().ok());
    let reader = context.store.feed().open(last).map_err(|error| Problem::unavailable(&error.to_string()))?;
    let stream = Stream { reader, source, destination, standing, context, caller, quiet: Duration::ZERO, sent: None };
    // At once: until then a browser does not know that it is connected.
    let hello = Bytes::from(format!("retry: {RETRY_MS}\n: watching\n\n"));
    let body = Pieces(Box::pin(async move { Some((hello, stream)) }));
    Ok((
        [(header::CONTENT_TYPE, "text/event-stream"), (header::HeaderName::from_static("x-accel-buffering"), "no")],
        Body::new(body),
    ))
}

/// Somebody who reads, and what they want.
struct Stream {
    reader: Reader,
    source: Option<Name>,
    destination: Option<Name>,
    standing: Standing,
    context: Arc<Context>,
    caller: Caller,
    /// For how long nothing was sent.
    quiet: Duration,
    /// Since the last piece.
    sent: Option<Stopwatch>,
}

impl Stream {
    /// The next piece of text; `None` at the end.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if let Some(sent) = self.sent {
            tokio::time::sleep(BREATH.saturating_sub(sent.elapsed())).await;
        }
        let mut look = std::pin::pin!(tokio::time::sleep(LOOK));
        loop {
            let text = tokio::select! {
                biased;
                () = look.as_mut() => {
                    look.set(tokio::time::sleep(LOOK));
                    self.quiet += LOOK;
                    String::new()
                }
                news = self.reader.news() => self.written(&news?),
            };
            if !self.standing.lasts() {
                return None;
            }
            if !text.is_empty() {
                (self.quiet, self.sent) = (Duration::ZERO, Some(Stopwatch::start()));
                return Some((text.into(), self));
            }
            if self.quiet >= HEARTBEAT {
                self.quiet = Duration::ZERO;
                return Some((Bytes::from_static(b":\n\n"), self));
            }
        }
    }

    /// What of the news is wanted.
    fn written(&self, news: &News) -> String {
        let mut text = String::new();
        if let Some(missed) = news.missed {
            let count = match missed {
                Missed::Count(count) => Some(count),
                Missed::Unknown => None,
            };
            text.push_str(&format!("event: missed\ndata: {}\n\n", json!({ "count": count })));
        }
        // By the masks of now: a reload may have changed them.
        let sight = Sight::new(self.context.settings(), &self.caller);
        for (place, fact) in &news.facts {
            if fact.is_of(self.source.as_ref(), self.destination.as_ref())
                && let Ok((kind, data)) = shown(&sight, fact)
            {
                text.push_str(&format!("id: {place}\nevent: {kind}\ndata: {data}\n\n"));
            }
        }
        text
    }
}

/// The word for a fact, and its JSON, which has no line breaks.
fn shown(sight: &Sight, fact: &Fact) -> serde_json::Result<(&'static str, String)> {
    Ok(match fact {
        Fact::Event(event, deliveries) => {
            ("event", serde_json::to_string(&EventView::new(sight, event.clone(), deliveries.clone()))?)
        }
        Fact::Attempt(delivery, attempt) => {
            let view = DeliveryView::new(sight, delivery.clone()).with_attempts(sight, vec![attempt.clone()]);
            ("attempt", serde_json::to_string(&view)?)
        }
        Fact::State(delivery) => ("state", serde_json::to_string(&DeliveryView::new(sight, delivery.clone()))?),
    })
}

/// What comes next: a piece, and the stream behind it.
type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Stream)>> + Send>>;

/// A stream as the body of an answer. A piece is made when the last one was taken, so nothing gathers for who does not read.
struct Pieces(Next);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((piece, stream)) = ready!(self.0.as_mut().poll(task)) else {
            self.0 = Box::pin(std::future::ready(None));
            return Poll::Ready(None);
        };
        self.0 = Box::pin(stream.next());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}
