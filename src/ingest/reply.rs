//! The answers to providers: short, the same for every cause of a refusal, and never an echo of the request,
//! unless that is a handshake: see `signature::handshake`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, ALT_SVC, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use crate::chance::Chance;
use crate::metrics::RequestOutcome;
use crate::pace::overload;
use crate::record::{EventId, Headers};
use crate::signature::handshake::HandshakeAnswer;
use crate::signature::preset::Answer;
use crate::store::Passed;

/// What a provider is asked to wait where the relay cannot take an event now.
const RETRY_AFTER_TIME: Duration = Duration::from_secs(10);

/// Tells the sender which event its request became: for `send`, and for people who look into a provider's delivery log.
const EVENT_ID: HeaderName = HeaderName::from_static("hookhold-event-id");

/// What the relay itself says begins so.
const OWN_PREFIX: &str = "hookhold-";

/// Fields of an application's answer that are not passed on: those of its connection (RFC 9110 §7.6.1) and of its framing, which the
/// listener writes anew; where else it can be reached; and cookies, which are for browsers and may be somebody's session.
const NOT_PASSED: [HeaderName; 11] = [
    ALT_SVC,
    CONNECTION,
    CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Bytes of a header that is shown again: ids, not texts.
const ECHO_BYTES_MAX: usize = 256;

/// Why a request did not become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The head makes no sense, or the body ended early.
    BadRequest,
    /// No source has this host and path.
    UnknownSource,
    /// The client is not in the source's `allow`, or in its `deny`.
    Forbidden,
    /// The source does not take this method; it takes these.
    Method(Vec<Method>),
    /// The body is too large.
    TooLarge,
    /// The body came too slowly.
    Timeout,
    /// It is not proved who sent it.
    BadSignature,
    /// What proves who sent it cannot be had now.
    KeyUnavailable,
    /// It is a handshake that is not answered; the status says what its provider understands.
    Handshake(StatusCode),
    /// It is a handshake whose provider did not take the confirmation: it shall come again.
    Unconfirmed,
    /// More is on its way than the relay may hold; what stands before takes so long, as far as that can be foreseen.
    Overload(Duration),
    /// The store cannot make it durable.
    StoreFailed,
    /// The store has no space for it.
    StoreFull,
    /// A person has paused the source.
    Paused,
    /// More came than may in a second; one more may after this time.
    RateLimited(Duration),
    /// The head has more fields, or more bytes, than it may.
    LargeHead,
    /// The body has a transfer coding that is not taken off here.
    UnknownCoding,
}

impl Refusal {
    /// More is on its way than there is room for, and nobody can foresee when there is again.
    pub(super) const OVERFULL: Self = Self::Overload(RETRY_AFTER_TIME);

    /// The word for it in the metrics.
    pub(super) fn outcome(&self) -> RequestOutcome {
        match self {
            Self::BadRequest | Self::UnknownSource => RequestOutcome::BadRequest,
            Self::Forbidden => RequestOutcome::Forbidden,
            Self::Method(_) => RequestOutcome::MethodNotAllowed,
            Self::TooLarge => RequestOutcome::TooLarge,
            Self::Timeout => RequestOutcome::Timeout,
            Self::KeyUnavailable => RequestOutcome::KeyUnavailable,
            Self::BadSignature | Self::Handshake(StatusCode::UNAUTHORIZED) => RequestOutcome::BadSignature,
            Self::Handshake(StatusCode::BAD_REQUEST) => RequestOutcome::BadRequest,
            Self::Handshake(_) => RequestOutcome::Forbidden,
            Self::Unconfirmed => RequestOutcome::Unconfirmed,
            Self::Overload(_) => RequestOutcome::Overload,
            Self::StoreFailed => RequestOutcome::StoreFailed,
            Self::StoreFull => RequestOutcome::StoreFull,
            Self::Paused => RequestOutcome::Paused,
            Self::RateLimited(_) => RequestOutcome::RateLimited,
            Self::LargeHead | Self::UnknownCoding => RequestOutcome::BadRequest,
        }
    }

    /// Whether an honest sender comes again, soon and often: what it has, it shall keep.
    pub(super) fn asks_to_come_again(&self) -> bool {
        matches!(self, Self::Overload(_) | Self::StoreFailed | Self::StoreFull | Self::Paused | Self::RateLimited(_))
    }

    /// The answer to it. `close`: what is left of the request must not be taken for the next one.
    pub(super) fn answer(&self, close: bool) -> Response<Full<Bytes>> {
        let mut answer = match self {
            Self::BadRequest => plain(StatusCode::BAD_REQUEST, "bad request\n"),
            Self::UnknownSource => plain(StatusCode::NOT_FOUND, "not found\n"),
            Self::Forbidden => plain(StatusCode::FORBIDDEN, "forbidden\n"),
            Self::Method(_) => plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
            Self::TooLarge => plain(StatusCode::PAYLOAD_TOO_LARGE, "too large\n"),
            Self::Timeout => plain(StatusCode::REQUEST_TIMEOUT, "too slow\n"),
            Self::BadSignature => plain(StatusCode::UNAUTHORIZED, "unauthorized\n"),
            Self::Overload(_) | Self::StoreFailed | Self::StoreFull | Self::Paused | Self::KeyUnavailable | Self::Unconfirmed => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "try again later\n")
            }
            Self::Handshake(status) => plain(*status, "refused\n"),
            Self::RateLimited(_) => plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n"),
            Self::LargeHead => plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too large\n"),
            Self::UnknownCoding => plain(StatusCode::NOT_IMPLEMENTED, "unknown transfer coding\n"),
        };
        let headers = answer.headers_mut();
        match self {
            Self::Method(methods) => {
                let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                headers.extend(HeaderValue::try_from(allow).ok().map(|allow| (ALLOW, allow)));
            }
            Self::Overload(foreseen) => {
                let again = overload::come_again(*foreseen, Chance::system().draw());
                headers.insert(RETRY_AFTER, HeaderValue::from(again.as_secs()));
            }
            Self::StoreFailed | Self::StoreFull | Self::Paused | Self::KeyUnavailable | Self::Unconfirmed => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_TIME.as_secs()));
            }
            Self::RateLimited(wait) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            }
            _ => {}
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// A header of a request that its answer shows again.
pub(super) type Echo = (HeaderName, HeaderValue);

/// That header, where its provider wants it and it is short and plain.
pub(super) fn echo(headers: &Headers, wanted: &Answer) -> Option<Echo> {
    let name = HeaderName::try_from(wanted.echo.as_deref()?).ok()?;
    let value = headers.text(name.as_str()).filter(|value| value.len() <= ECHO_BYTES_MAX)?;
    Some((name, HeaderValue::from_str(value).ok()?))
}

/// The answer to an event that is durable: what its provider wants to hear, which is mostly nothing.
pub(super) fn accepted(event: EventId, wanted: &Answer, echo: Option<Echo>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(wanted.body.clone()));
    *answer.status_mut() = StatusCode::from_u16(wanted.status).unwrap_or(StatusCode::OK);
    if !wanted.body.is_empty() {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    for (name, value) in &wanted.headers {
        // Both were proved when they were read.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer.headers_mut().extend(echo);
    with_id(answer, event)
}

/// The application's own answer to an event that is durable, less what belongs to its connection or to nobody but the relay.
pub(super) fn passed(event: EventId, answer: Passed) -> Response<Full<Bytes>> {
    let Passed { status, mut headers, body } = answer;
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| HeaderName::try_from(token.trim()).ok())
        // Without it the body cannot be read.
        .filter(|name| *name != CONTENT_TYPE)
        .collect();
    let own = headers.keys().filter(|name| name.as_str().starts_with(OWN_PREFIX)).cloned().collect::<Vec<_>>();
    for name in NOT_PASSED.into_iter().chain(nominated).chain(own) {
        headers.remove(name);
    }
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    with_id(answer, event)
}

/// The answer to an event that is durable, and of which its application said nothing yet. `status`: why.
pub(super) fn unanswered(event: EventId, status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = plain(status, "stored; no answer of the application\n");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_TIME.as_secs()));
    with_id(answer, event)
}

/// The answer to a handshake.
pub(super) fn handshake(answer: HandshakeAnswer) -> Response<Full<Bytes>> {
    let HandshakeAnswer { status, headers, body } = answer;
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().extend(headers);
    answer
}

/// An answer without its body, for providers that test whether there is none.
pub(super) fn emptied(mut answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    answer.headers_mut().remove(CONTENT_TYPE);
    without_body(answer)
}

/// An answer to `HEAD`.
pub(super) fn without_body(mut answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    *answer.body_mut() = Full::default();
    answer
}

fn with_id(mut answer: Response<Full<Bytes>>, event: EventId) -> Response<Full<Bytes>> {
    answer.headers_mut().extend(HeaderValue::try_from(event.to_string()).ok().map(|id| (EVENT_ID, id)));
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}
