//! The outgoing request: what came in, byte for byte, less what belongs to a single hop, plus what the relay adds.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use url::Url;

use crate::net::client::Payload;
use crate::record::{CLIENT, Delivery, DeliveryId, Event, Headers, Name};
use crate::route::rest_below;
use crate::signature::{NotSigned, Resigner, Unsigned};
use crate::telemetry::{SpanId, Trace};
use crate::time::Timestamp;

/// Fields that belong to one connection (RFC 9110 §7.6.1), and those that the client writes itself.
const HOP_BY_HOP: [HeaderName; 13] = [
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
const PROTECTED: [HeaderName; 2] = [CONTENT_TYPE, AUTHORIZATION];

/// The relay adds at most so many fields.
const OWN_FIELDS_MAX: usize = 14;
/// Room for the values of these, unless the host's name is very long.
const OWN_BYTES: usize = 512;
/// By which an application knows a request that it has seen.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What of a destination shapes its requests.
#[derive(Debug)]
pub(super) struct Shape {
    /// The destination's URL.
    pub(super) url: Url,
    /// Its `Host`.
    pub(super) host: HeaderValue,
    /// How it is signed anew.
    pub(super) sign: Option<Arc<Resigner>>,
    /// The headers of signatures, by source: they go where it is signed anew. Names, and whether they only begin so.
    pub(super) signed_in: Arc<HashMap<Name, Vec<(String, bool)>>>,
    /// Fields that are set in place of what came in.
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
    /// Whether the rest of the path below the source's, and the query, follow the URL.
    pub(super) append_path: bool,
    /// Whether the sender's trace goes on, or one begins.
    pub(super) trace: bool,
    /// Whether `Idempotency-Key` is set where none came.
    pub(super) idempotency_key: bool,
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
        *request.uri_mut() = self.target(event, below)?;
        let target = request.uri().clone();
        let headers = request.headers_mut();
        headers.reserve(event.headers.len() + OWN_FIELDS_MAX + self.set.len());
        add_all(headers, &self.host, event, delivery.id, number)?;
        if let Some(trace) = trace {
            super::trace::follow(headers, trace, span)?;
        }
        if self.idempotency_key && !headers.contains_key(IDEMPOTENCY_KEY) {
            headers.insert(IDEMPOTENCY_KEY, HeaderValue::try_from(event.id.to_string()).map_err(http::Error::from)?);
        }
        if let Some(sign) = &self.sign {
            let host = self.host.to_str().unwrap_or_default();
            let address = format!("{}://{host}{target}", self.url.scheme());
            self.sign_anew(sign, event, &address, &body, now, headers)?;
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        Ok(request)
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

    fn target(&self, event: &Event, below: Option<&str>) -> Result<Uri, http::Error> {
        let mut target = self.url.path().to_owned();
        let own_query = self.url.query();
        let mut queries: Vec<&str> = own_query.into_iter().collect();
        if self.append_path {
            let (path, query) = match event.target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (event.target.as_str(), None),
            };
            if let Some(rest) = below.and_then(|prefix| rest_below(path, prefix)).filter(|rest| !rest.is_empty()) {
                target.truncate(target.trim_end_matches('/').len());
                target.push_str(rest);
            }
            queries.extend(query);
        }
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
    let mut values = Values::new();
    let mut add = |name: &'static str, value: fmt::Arguments<'_>| -> Result<(), http::Error> {
        headers.insert(HeaderName::from_static(name), values.next(value)?);
        Ok(())
    };
    add("hookhold-event-id", format_args!("{}", event.id))?;
    add("hookhold-delivery-id", format_args!("{delivery}"))?;
    add("hookhold-attempt", format_args!("{number}"))?;
    add("hookhold-received-at", format_args!("{}", event.received_at))?;
    add("hookhold-source", format_args!("{}", event.source))?;
    let peer = event.peer;
    let host = plain_host(&event.authority);
    match peer {
        IpAddr::V4(_) => add("forwarded", format_args!("for={peer};host=\"{host}\";proto=https"))?,
        IpAddr::V6(_) => add("forwarded", format_args!("for=\"[{peer}]\";host=\"{host}\";proto=https"))?,
    }
    add("x-forwarded-for", format_args!("{peer}"))?;
    add("x-forwarded-host", format_args!("{host}"))?;
    add("x-forwarded-proto", format_args!("https"))
}

/// Values of fields, all written into one piece of memory.
struct Values(BytesMut);

impl Values {
    fn new() -> Self {
        Self(BytesMut::with_capacity(OWN_BYTES))
    }

    fn next(&mut self, value: fmt::Arguments<'_>) -> Result<HeaderValue, http::Error> {
        // It grows where it must, so writing cannot fail.
        let _ = self.0.write_fmt(value);
        Ok(HeaderValue::from_maybe_shared(self.0.split().freeze())?)
    }
}

/// The host that the sender named, without what could end a quoted string early.
fn plain_host(authority: &str) -> String {
    authority.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ',' | ';')).collect()
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
        let shape = Shape { url, host, sign, signed_in, set, append_path, trace: true, idempotency_key: true };
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
