//! The outgoing request: what came in, byte for byte, less what belongs to a single hop, plus what the relay adds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use url::{Position, Url};

use crate::net::client::Payload;
use crate::record::{CLIENT, Delivery, DeliveryId, Event, EventId, Headers, Name};
use crate::route::rest_below;
use crate::signature::{NotSigned, Resigner, Unsigned};
use crate::telemetry::{SpanId, Trace};
use crate::time::Timestamp;

/// Fields that belong to one connection (RFC 9110 §7.6.1), and those that the client writes itself.
static HOP_BY_HOP: [HeaderName; 13] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// Fields that a sender could forge to look like the relay, or like another peer.
const FORGEABLE: [&str; 2] = ["forwarded", "x-real-ip"];
const FORGEABLE_PREFIXES: [&str; 2] = ["x-forwarded-", "hookhold-"];
/// Fields that `Connection` cannot take away: the application needs them to read and to trust the body.
static PROTECTED: [HeaderName; 2] = [CONTENT_TYPE, AUTHORIZATION];

/// The relay adds at most so many fields.
const OWN_FIELDS_MAX: usize = 14;
/// Room for the values of these, unless the host's name is very long.
const OWN_BYTES: usize = 512;
/// By which an application knows a request that it has seen.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const EVENT_ID: HeaderName = HeaderName::from_static("hookhold-event-id");
const DELIVERY_ID: HeaderName = HeaderName::from_static("hookhold-delivery-id");
const ATTEMPT: HeaderName = HeaderName::from_static("hookhold-attempt");
const RECEIVED_AT: HeaderName = HeaderName::from_static("hookhold-received-at");
const SOURCE: HeaderName = HeaderName::from_static("hookhold-source");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What of a destination shapes its requests.
#[derive(Debug)]
pub(super) struct Shape {
    /// Where they go.
    pub(super) target: Target,
    /// Its `Host`.
    pub(super) host: HeaderValue,
    /// How it is signed anew.
    pub(super) sign: Option<Arc<Resigner>>,
    /// The headers of signatures, by source: they go where it is signed anew. Names, and whether they only begin so.
    pub(super) signed_in: Arc<HashMap<Name, Vec<(String, bool)>>>,
    /// Fields that are set in place of what came in.
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
    /// Whether the sender's trace goes on, or one begins.
    pub(super) trace: bool,
    /// Whether `Idempotency-Key` is set where none came.
    pub(super) idempotency_key: bool,
}

/// Path and query of a destination's requests.
#[derive(Debug)]
pub(super) struct Target {
    url: Url,
    /// Those of the URL itself.
    own: Uri,
    /// Whether the rest of the path below the source's, and the query, follow.
    appends: bool,
}

/// A delivery that no request can be made of. Points at data that an earlier version accepted.
#[derive(Debug, thiserror::Error)]
#[error("no request can be made of this event: {0}")]
pub(super) enum Unsendable {
    /// It is no request of HTTP.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// It cannot be signed.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
}

/// What a request is made for.
pub(super) struct Making<'a> {
    /// The delivery.
    pub(super) delivery: &'a Delivery,
    /// Its event.
    pub(super) event: &'a Event,
    /// The number of the attempt.
    pub(super) number: u32,
    /// The path of the event's source, where it is a prefix.
    pub(super) below: Option<&'a str>,
    /// The present.
    pub(super) now: Timestamp,
    /// The attempt's span.
    pub(super) span: SpanId,
    /// Its trace, where the request shall tell of it.
    pub(super) trace: Option<&'a Trace>,
}

impl Shape {
    /// The request of an attempt.
    pub(super) fn request(&self, making: &Making<'_>, body: Bytes) -> Result<Request<Payload>, Unsendable> {
        let Making { delivery, event, number, below, now, span, trace } = *making;
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::from_bytes(event.method.as_bytes()).map_err(http::Error::from)?;
        *request.uri_mut() = self.target.of(event, below)?;
        let address = self.sign.as_ref().map(|_| self.address(request.uri()));
        let headers = request.headers_mut();
        headers.reserve(event.headers.len() + OWN_FIELDS_MAX + self.set.len());
        add_all(headers, &self.host, event, delivery.id, number)?;
        if let Some(trace) = trace {
            super::trace::follow(headers, trace, span)?;
        }
        if let (true, Some(id)) = (self.idempotency_key, headers.get(EVENT_ID).cloned()) {
            headers.entry(IDEMPOTENCY_KEY).or_insert(id);
        }
        if let (Some(sign), Some(address)) = (&self.sign, &address) {
            self.sign_anew(sign, event, address, &body, now, headers)?;
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    /// The URL that the application is called by.
    fn address(&self, target: &Uri) -> String {
        format!("{}://{}{target}", self.target.url.scheme(), self.host.to_str().unwrap_or_default())
    }

    /// Puts a new signature in place of the one that came.
    fn sign_anew(
        &self,
        sign: &Resigner,
        event: &Event,
        url: &str,
        body: &[u8],
        now: Timestamp,
        headers: &mut HeaderMap,
    ) -> Result<(), NotSigned> {
        let known = self.signed_in.get(&event.source).map_or(&[][..], Vec::as_slice);
        let is_known = |name: &str| known.iter().any(|(n, begins)| if *begins { name.starts_with(n) } else { name == n });
        let old: Vec<_> = headers.keys().filter(|name| is_signature(name) || is_known(name.as_str())).cloned().collect();
        for name in old {
            headers.remove(name);
        }
        let plain: Headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let id = event.id.to_string();
        let fields = sign.sign(&Unsigned {
            method: &event.method,
            url,
            headers: &plain,
            body,
            now,
            // The same at each attempt, so that the application knows a repeat.
            event_id: Some(event.provider_event_id.as_deref().unwrap_or(&id)),
            kind: event.kind.as_deref(),
        })?;
        for (name, value) in fields {
            headers.insert(name, value);
        }
        Ok(())
    }
}

impl Target {
    /// Of the destination's URL.
    pub(super) fn new(url: Url, appends: bool) -> Result<Self, http::Error> {
        let own = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery])?;
        Ok(Self { url, own, appends })
    }

    fn of(&self, event: &Event, below: Option<&str>) -> Result<Uri, http::Error> {
        if !self.appends {
            return Ok(self.own.clone());
        }
        let mut target = self.url.path().to_owned();
        let (path, query) = match event.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (event.target.as_str(), None),
        };
        if let Some(rest) = below.and_then(|prefix| rest_below(path, prefix)).filter(|rest| !rest.is_empty()) {
            target.truncate(target.trim_end_matches('/').len());
            target.push_str(rest);
        }
        let queries: Vec<&str> = self.url.query().into_iter().chain(query).collect();
        if !queries.is_empty() {
            target.push('?');
            target.push_str(&queries.join("&"));
        }
        Ok(Uri::try_from(target)?)
    }
}

/// The fields of an event that goes elsewhere than to a destination, as one of `number` tries: end to end, with the relay's own. Its
/// delivery has the number 0, which no delivery has.
pub fn forwarded(event: &Event, host: &HeaderValue, number: u32) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::with_capacity(event.headers.len() + OWN_FIELDS_MAX);
    add_all(&mut headers, host, event, DeliveryId { event: event.id, ordinal: 0 }, number)?;
    Ok(headers)
}

/// What came in and goes on, and what the relay adds.
fn add_all(
    headers: &mut HeaderMap,
    host: &HeaderValue,
    event: &Event,
    delivery: DeliveryId,
    number: u32,
) -> Result<(), http::Error> {
    headers.insert(HOST, host.clone());
    copy_end_to_end(&event.headers, headers);
    add_own(headers, delivery, event, number)
}

fn copy_end_to_end(from: &Headers, to: &mut HeaderMap) {
    let nominated: Vec<String> = from
        .all("connection")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
        .collect();
    let is_nominated = |name: &HeaderName| nominated.iter().any(|n| n == name.as_str()) && !is_protected(name);
    for (name, value) in from.iter() {
        if !HOP_BY_HOP.contains(name) && !is_forgeable(name.as_str()) && !is_nominated(name) {
            to.append(name, value.clone());
        }
    }
}

/// Signatures stay whatever `Connection` says: without them the application must refuse what the relay has proved. So does what the relay
/// itself keeps among the fields.
fn is_protected(name: &HeaderName) -> bool {
    PROTECTED.contains(name) || is_signature(name) || name == CLIENT
}

fn is_signature(name: &HeaderName) -> bool {
    name.as_str().contains("signature") || name.as_str().contains("hmac")
}

fn is_forgeable(name: &str) -> bool {
    // The relay's own word, and no sender's.
    let is_own = name == CLIENT;
    !is_own && (FORGEABLE.contains(&name) || FORGEABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

fn add_own(headers: &mut HeaderMap, delivery: DeliveryId, event: &Event, number: u32) -> Result<(), http::Error> {
    let mut values = Values(BytesMut::with_capacity(OWN_BYTES));
    let mut id = [0; EventId::TEXT_BYTES];
    let id = event.id.text(&mut id);
    let (peer, host) = (event.peer.to_string(), plain_host(&event.authority));
    headers.insert(EVENT_ID, values.of(&[id])?);
    headers.insert(DELIVERY_ID, values.written(format_args!("{id}.{}", delivery.ordinal))?);
    headers.insert(ATTEMPT, HeaderValue::from(number));
    headers.insert(RECEIVED_AT, values.written(format_args!("{}", event.received_at))?);
    headers.insert(SOURCE, values.of(&[&event.source])?);
    let (open, close) = if event.peer.is_ipv6() { ("for=\"[", "]\";host=\"") } else { ("for=", ";host=\"") };
    headers.insert(FORWARDED, values.of(&[open, &peer, close, &host, "\";proto=https"])?);
    headers.insert(X_FORWARDED_FOR, values.of(&[&peer])?);
    headers.insert(X_FORWARDED_HOST, values.of(&[&host])?);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    Ok(())
}

/// Values of fields, all written into one piece of memory.
struct Values(BytesMut);

impl Values {
    /// The value that these parts make.
    fn of(&mut self, parts: &[&str]) -> Result<HeaderValue, http::Error> {
        parts.iter().for_each(|part| self.0.extend_from_slice(part.as_bytes()));
        self.next()
    }

    fn written(&mut self, value: fmt::Arguments<'_>) -> Result<HeaderValue, http::Error> {
        // It grows where it must, so writing cannot fail.
        let _ = self.0.write_fmt(value);
        self.next()
    }

    fn next(&mut self) -> Result<HeaderValue, http::Error> {
        Ok(HeaderValue::from_maybe_shared(self.0.split().freeze())?)
    }
}

/// The host that the sender named, without what could end a quoted string early.
fn plain_host(authority: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ',' | ';');
    match authority.chars().all(is_plain) {
        true => Cow::Borrowed(authority),
        false => authority.chars().filter(|c| is_plain(*c)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventIds;

    fn event(target: &str, headers: &[(&'static str, &'static str)]) -> Event {
        let field = |(n, v): &(&'static str, &'static str)| (HeaderName::from_static(n), HeaderValue::from_static(v));
        Event {
            id: EventIds::default().next(Timestamp::from_ms(1_790_000_000_000), 7),
            source: Name::try_new("tw").unwrap(),
            provider: "twilio".into(),
            kind: None,
            provider_event_id: None,
            received_at: Timestamp::from_ms(1_790_000_000_000),
            method: "POST".into(),
            target: target.into(),
            authority: "hooks.example:8443".into(),
            peer: "203.0.113.7".parse().unwrap(),
            headers: headers.iter().map(field).collect(),
            body_bytes: 2,
            duplicates: 0,
        }
    }

    fn sent(url: &str, append_path: bool, event: &Event) -> Request<Payload> {
        let set = vec![(AUTHORIZATION, HeaderValue::from_static("Bearer own"))];
        let (sign, signed_in) = (None, Arc::default());
        let (url, host) = (url.parse().unwrap(), HeaderValue::from_static("app"));
        let target = Target::new(url, append_path).unwrap();
        let shape = Shape { target, host, sign, signed_in, set, trace: true, idempotency_key: true };
        let id = DeliveryId { event: event.id, ordinal: 1 };
        let delivery = Delivery::new(id, event.source.clone(), event.source.clone(), event.received_at);
        let (number, below, now, span, trace) = (3, Some("/in/tw"), event.received_at, [1; 8], None);
        let making = Making { delivery: &delivery, event, number, below, now, span, trace };
        shape.request(&making, Bytes::from_static(b"{}")).unwrap()
    }

    #[test]
    fn single_hop_and_forged_fields_stop_here() {
        let event = event(
            "/in/tw",
            &[
                ("connection", "x-gone, x-hub-signature-256, keep-alive"),
                ("x-gone", "1"),
                ("x-hub-signature-256", "sha256=00"),
                ("te", "trailers"),
                ("x-forwarded-for", "6.6.6.6"),
                ("hookhold-event-id", "forged"),
                ("authorization", "Basic theirs"),
                ("via", "1.1 edge"),
                ("x-twice", "a"),
                ("x-twice", "b"),
            ],
        );
        let request = sent("http://app/hook", false, &event);
        let all = |name: &str| request.headers().get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        for gone in ["connection", "x-gone", "te"] {
            assert_eq!(all(gone), [""; 0], "{gone}");
        }
        assert_eq!(all("x-hub-signature-256"), ["sha256=00"]);
        assert_eq!(all("x-forwarded-for"), ["203.0.113.7"]);
        assert_eq!(all("hookhold-event-id"), [event.id.to_string()]);
        assert_eq!(all("hookhold-attempt"), ["3"]);
        assert_eq!(all("authorization"), ["Bearer own"]);
        assert_eq!(all("x-twice"), ["a", "b"]);
        assert_eq!(all("via"), ["1.1 edge"]);
        assert_eq!(all("idempotency-key"), [event.id.to_string()]);
        assert_eq!(all("forwarded"), ["for=203.0.113.7;host=\"hooks.example:8443\";proto=https"]);
    }

    #[test]
    fn the_target_is_the_urls_and_where_wanted_the_rest_follows() {
        let target = |url, append, event_target| sent(url, append, &event(event_target, &[])).uri().to_string();
        assert_eq!(target("http://app/hook?a=1", false, "/in/tw/x?y=2"), "/hook?a=1");
        assert_eq!(target("http://app/hook?a=1", true, "/in/tw/x%2f/z?y=2&&"), "/hook/x%2f/z?a=1&y=2&&");
        assert_eq!(target("http://app/", true, "/in/tw/x"), "/x");
        assert_eq!(target("http://app", true, "/in/tw?"), "/?");
    }
}
