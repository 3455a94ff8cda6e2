//! The JSON shapes of the API. Fields may be added; none is removed or renamed. What of them a caller may see, [`Sight`] decides:
//! no shape of what came from outside can be made without one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use std::sync::Arc;
use url::Url;
use utoipa::ToSchema;

use super::openapi::schema::{DeliveryState, IN_FLIGHT};
use super::sight::{Named, Sight, Veil};
use crate::config::settings::Destination;
use crate::record::{
    Attempt, Delivery, DeliveryId, Event, EventId, Failure, Headers, Name, Outcome, ParkReason, Received, State,
};
use crate::signature::Reason;
use crate::store::{EventState, Quarantined, Tracked};
use crate::time::Timestamp;

/// What stands before the path of a URL whose server is a Unix socket.
const AT_SOCKET: &str = "http://localhost";

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct List<T: ToSchema> {
    /// The items, newest first or by name; maybe none, where a next page goes on.
    pub(super) items: Vec<T>,
    /// The `cursor` of the next page; `null` at the end.
    #[schema(required)]
    pub(super) next: Option<String>,
}

/// An event; `headers` and its deliveries' `attempts` only where one event is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventView {
    id: EventId,
    source: Name,
    #[schema(value_type = String)]
    provider: Arc<str>,
    /// The provider's word for what happened.
    #[schema(required)]
    r#type: Option<String>,
    /// The provider's id of it.
    #[schema(required)]
    provider_event_id: Option<String>,
    received_at: Timestamp,
    method: String,
    /// Path and query, as they came.
    target: String,
    /// The address that it came from; `***` for those who may not see it.
    peer: String,
    body_bytes: u64,
    #[schema(required)]
    content_type: Option<String>,
    /// How often the provider sent it again.
    duplicates: u32,
    #[schema(value_type = EventState)]
    state: &'static str,
    /// Whether this caller sees masks in place of credentials, signatures or what relay.toml hides; where one event is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    is_masked: Option<bool>,
    /// Name and value of each header field, in order; where one event is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    headers: Option<Vec<(String, FieldValue)>>,
    /// Oldest first.
    deliveries: Vec<DeliveryView>,
}

/// A request in quarantine; `method` and what follows only where one is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Quarantined)]
pub(super) struct QuarantinedView {
    id: EventId,
    source: Name,
    received_at: Timestamp,
    #[schema(value_type = Reason)]
    reason: Arc<str>,
    peer: String,
    body_bytes: u64,
    /// The reason as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    method: Option<String>,
    /// Path and query, as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    target: Option<String>,
    /// Name and value of each header field, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    headers: Option<Vec<(String, FieldValue)>>,
}

impl QuarantinedView {
    pub(super) fn new(sight: &Sight, found: Quarantined) -> Self {
        let Quarantined { id, source, reason, at, peer, body_bytes, .. } = found;
        let (detail, method, target, headers) = (None, None, None, None);
        let peer = sight.of(&source).peer(peer);
        Self { id, source, received_at: at, reason, peer, body_bytes, detail, method, target, headers }
    }

    /// With the request but its body.
    pub(super) fn with_request(self, sight: &Sight, received: &Received, detail: Option<String>) -> Self {
        let veil = sight.of(&self.source);
        let (method, target) = (Some(received.method.clone()), Some(veil.target(received.target.clone())));
        let headers = Some(fields(&veil, &received.headers));
        Self { detail, method, target, headers, ..self }
    }
}

fn fields(veil: &Veil<'_>, headers: &Headers) -> Vec<(String, FieldValue)> {
    headers.iter().map(|(name, value)| (name.to_string(), FieldValue::new(veil, name.as_str(), value))).collect()
}

/// A header field's value: text, or base64 where it is not UTF-8.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum FieldValue {
    Text(String),
    Bytes {
        /// The value's bytes.
        base64: String,
    },
}

/// A delivery; `attempts` only where it is shown by itself or in its event.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryView {
    id: DeliveryId,
    event_id: EventId,
    source: Name,
    destination: Name,
    /// Where its destination is now; where one delivery is shown, and there is such a destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    url: Option<String>,
    #[schema(value_type = DeliveryState)]
    state: &'static str,
    attempts_made: u32,
    /// `null` while an attempt is under way, too, and while an earlier delivery with its `order_key` is pending.
    #[schema(required)]
    next_attempt_at: Option<Timestamp>,
    created_at: Timestamp,
    /// When it ended.
    #[schema(required)]
    settled_at: Option<Timestamp>,
    /// Where it is parked.
    #[schema(required, value_type = Option<ParkReason>)]
    reason: Option<&'static str>,
    /// The replay by filter that made it.
    #[schema(required)]
    replay_id: Option<String>,
    /// Those with the same one go in order.
    #[schema(required)]
    order_key: Option<String>,
    /// Oldest first; where one delivery, or one event, is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    attempts: Option<Vec<AttemptView>>,
}

/// One attempt: an answer's `status`, or the `error` in its place and a `detail` for people.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptView {
    /// From 1 over the delivery's whole life.
    number: u32,
    started_at: Timestamp,
    duration_ms: u64,
    #[schema(required)]
    status: Option<u16>,
    #[schema(required, value_type = Option<Failure>)]
    error: Option<&'static str>,
    #[schema(required)]
    detail: Option<String>,
    response_headers: Vec<(String, String)>,
    /// Its beginning; what is not UTF-8 is replaced.
    #[schema(required)]
    response_body: Option<String>,
    /// Whether headers or body were cut.
    response_truncated: bool,
}

impl EventView {
    /// As in lists.
    pub(super) fn new(sight: &Sight, event: Event, deliveries: Vec<Tracked>) -> Self {
        let veil = sight.of(&event.source);
        let state = EventState::of(deliveries.iter().map(|d| d.delivery.state.name())).as_str();
        let content_type = event.headers.first("content-type").map(|value| {
            let hidden = veil.header("content-type", value);
            hidden.unwrap_or_else(|| String::from_utf8_lossy(value).into_owned())
        });
        Self {
            id: event.id,
            provider: event.provider,
            r#type: veil.named(Named::Kind, event.kind),
            provider_event_id: veil.named(Named::Id, event.provider_event_id),
            received_at: event.received_at,
            method: event.method,
            target: veil.target(event.target),
            peer: veil.peer(event.peer),
            body_bytes: event.body_bytes,
            content_type,
            duplicates: event.duplicates,
            state,
            is_masked: None,
            headers: None,
            deliveries: deliveries.into_iter().map(|delivery| DeliveryView::new(sight, delivery)).collect(),
            source: event.source,
        }
    }

    /// With the event's header fields.
    pub(super) fn with_headers(mut self, sight: &Sight, headers: &Headers) -> Self {
        let veil = sight.of(&self.source);
        let is_hidden = |(name, value): &(HeaderName, HeaderValue)| veil.header(name.as_str(), value.as_bytes()).is_some();
        self.is_masked =
            Some(!veil.is_open() && (headers.iter().any(is_hidden) || !veil.shows_bodies() || self.target.contains('?')));
        self.headers = Some(fields(&veil, headers));
        self
    }

    /// With these deliveries in place of those that it was made of.
    pub(super) fn with_deliveries(self, deliveries: Vec<DeliveryView>) -> Self {
        Self { deliveries, ..self }
    }
}

impl FieldValue {
    fn new(veil: &Veil<'_>, name: &str, value: &HeaderValue) -> Self {
        if let Some(hidden) = veil.header(name, value.as_bytes()) {
            return Self::Text(hidden);
        }
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { base64: STANDARD.encode(value.as_bytes()) },
        }
    }
}

impl DeliveryView {
    /// As in lists.
    pub(super) fn new(sight: &Sight, Tracked { delivery, in_flight }: Tracked) -> Self {
        let veil = sight.of(&delivery.source);
        Self {
            state: if in_flight { IN_FLIGHT } else { delivery.state.name().as_str() },
            next_attempt_at: delivery.due().filter(|_| !in_flight && !delivery.is_held()),
            settled_at: delivery.settled_at(),
            reason: reason(&delivery),
            id: delivery.id,
            event_id: delivery.id.event,
            destination: delivery.destination,
            url: None,
            attempts_made: delivery.attempts_made,
            created_at: delivery.created_at,
            replay_id: delivery.replay_id,
            order_key: veil.order_key(delivery.order_key),
            attempts: None,
            source: delivery.source,
        }
    }

    /// With its attempts, oldest first.
    pub(super) fn with_attempts(mut self, sight: &Sight, attempts: Vec<Attempt>) -> Self {
        let veil = sight.of(&self.source);
        self.attempts = Some(attempts.into_iter().map(|attempt| AttemptView::new(&veil, attempt)).collect());
        self
    }

    /// With where its destination is now, where there is such a destination.
    pub(super) fn with_url(mut self, destination: Option<&Destination>) -> Self {
        self.url = destination.map(shown);
        self
    }
}

fn reason(delivery: &Delivery) -> Option<&'static str> {
    match delivery.state {
        State::Parked { reason, .. } => Some(reason.as_str()),
        _ => None,
    }
}

impl AttemptView {
    fn new(veil: &Veil<'_>, attempt: Attempt) -> Self {
        let Attempt { number, started_at, duration_ms, outcome } = attempt;
        let view = Self { number, started_at, duration_ms, ..Self::default() };
        match outcome {
            Outcome::Failed { failure, detail } => Self { error: Some(failure.as_str()), detail: Some(detail), ..view },
            Outcome::Answered(answer) => Self {
                status: Some(answer.status),
                response_headers: answer.headers.into_iter().map(|field| shown_field(veil, field)).collect(),
                response_body: Some(veil.answer(&answer.body)),
                response_truncated: answer.truncated,
                ..view
            },
        }
    }
}

fn shown_field(veil: &Veil<'_>, (name, value): (String, String)) -> (String, String) {
    let hidden = veil.header(&name.to_ascii_lowercase(), value.as_bytes());
    (name, hidden.unwrap_or(value))
}

/// Where a destination is, for people.
pub(super) fn shown(destination: &Destination) -> String {
    let url = masked(&destination.url);
    match &destination.socket {
        Some(socket) => format!("unix:{}:{}", socket.display(), url.strip_prefix(AT_SOCKET).unwrap_or(&url)),
        None => url,
    }
}

/// User, password and query of a URL can be secrets, so none of them shows.
fn masked(url: &Url) -> String {
    let mut shown = url.clone();
    // Only a URL that cannot have a user fails here, and then there is none.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    if shown.query().is_some() {
        shown.set_query(Some("***"));
    }
    shown.set_fragment(None);
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_no_secret() {
        let shown = |text: &str| masked(&Url::parse(text).unwrap());
        assert_eq!(shown("http://app.internal:8080/hook"), "http://app.internal:8080/hook");
        assert_eq!(shown("https://u:p@app.internal/hook?token=abc#x"), "https://app.internal/hook?***");
    }

    #[test]
    fn a_value_that_is_not_text_shows_as_base64() {
        let shown = |bytes: &[u8]| {
            serde_json::to_string(&FieldValue::new(&Veil::none(), "x-a", &HeaderValue::from_bytes(bytes).unwrap())).unwrap()
        };
        assert_eq!(shown("grün".as_bytes()), "\"grün\"");
        assert_eq!(shown(b"\xff\xfe"), r#"{"base64":"//4="}"#);
    }
}
