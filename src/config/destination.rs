//! `[destinations.NAME]`: an application and how to treat it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{StatusCode, header};

use super::auth::{self, Auth};
use super::file::Named;
use super::key::{Key, Kind, Others, Table};
use super::settings::{Destination, OAuth2};
use super::table::Section;
use super::value::Value;
use super::{certificates, secret, sign, web};
use crate::pace::bucket::Bucket;
use crate::pace::retry::Rule;
use crate::signature::Selector;

/// A longer attempt holds a place of its lane for nothing.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Attempts at once: an application that takes more has several addresses.
const IN_FLIGHT: RangeInclusive<u64> = 1..=1024;
const IN_FLIGHT_DEFAULT: usize = 16;
/// Short enough that a service that moved is found.
const CONNECTION_AGE_DEFAULT: Duration = Duration::from_secs(60);
const CONNECTION_AGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);
/// A system gives a connection up by itself within minutes.
const CONNECT_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Less than the 5 s after which common servers (Node.js, Apache, uvicorn) close an idle connection: hardly ever does a request
/// leave in the very moment in which the server gives up waiting for it, and nobody can tell whether it was seen.
const CONNECTION_IDLE_DEFAULT: Duration = Duration::from_secs(4);
/// Zero: no connection is used twice.
const CONNECTION_IDLE: RangeInclusive<Duration> = Duration::ZERO..=*CONNECTION_AGE.end();
/// Statuses that say that the same request will never be taken.
const PARK_ON_DEFAULT: [StatusCode; 5] = [
    StatusCode::BAD_REQUEST,
    StatusCode::GONE,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::UNPROCESSABLE_ENTITY,
];
/// One wait between two attempts.
const WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * 86_400);
/// A bound of zero would be no pause at all.
const BOUND: RangeInclusive<Duration> = Duration::from_millis(10)..=*WAIT.end();
const KEEP_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
/// More entries than anybody writes by hand.
const SCHEDULE_MAX: usize = 100;
/// Fields of one connection (RFC 9110 §7.6.1), and those that the relay must set itself.
const NOT_SETTABLE: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// Statuses of which one can say what becomes of them. A 2xx delivers, whatever stands here.
const STATUS: RangeInclusive<u64> = 300..=599;

/// What the value of a header field is: a text, or where a secret is.
pub(super) static HEADER: Kind = Kind::Either(&[Kind::Text, Kind::Table(&secret::LASTING)]);

pub(super) static KEYS: Table = Table {
    name: "[destinations.NAME]",
    tells: "An application and how to treat it. Each has its own queue. [DESTINATIONS.md](DESTINATIONS.md) tells more.",
    example: r#"
[destinations.billing]
url = "http://billing.internal:8080/webhooks/stripe"
timeout = "10s"
in_flight = 8
per_second = 50
order_by = "/data/object/customer"
headers = { x-tenant = "one", x-token = { env = "BILLING_TOKEN" } }
"#,
    keys: &[
        Key::needed(
            "url",
            Kind::Text,
            "`http://`, `https://`, or `unix:/run/app.sock:/path`. A user in it is sent as `Authorization: Basic`.",
        ),
        Key::new("timeout", Kind::Duration(TIMEOUT), "For the whole of one attempt.").or("\"30s\""),
        Key::new("in_flight", Kind::Integer(IN_FLIGHT), "Attempts at once.").or("16"),
        Key::new(
            "per_second",
            Kind::Number(Bucket::PER_SECOND_MIN..=Bucket::PER_SECOND_MAX),
            "Attempts in a second, evenly spread, without bursts.",
        )
        .or_else("as many as there are"),
        Key::new(
            "order_by",
            Kind::Text,
            "A JSON pointer into the body, or a header's name: deliveries with the same value go one at a time, in order.",
        ),
        Key::new("retry", Kind::Table(&RETRY), "When a delivery is tried again."),
        Key::new("sign", Kind::Table(&sign::KEYS), "Signs each attempt anew.").or_else("the signature that came"),
        Key::new(
            "headers",
            Kind::Named(&HEADER),
            "Header fields that are set on each attempt, in place of what came: a text, or where a secret is.",
        ),
        Key::new("auth", Kind::Table(&auth::KEYS), "As whom the relay calls; sets `Authorization`."),
        Key::new(
            "paused",
            Kind::Boolean,
            "Sends nothing until `hookhold destinations resume NAME`. What a person said last counts.",
        )
        .or("false"),
        Key::new("ca", Kind::Text, "A file with the only roots that are trusted.").or_else("those of the web"),
        Key::new("client_certificate", Kind::Table(&certificates::PAIR), "What is shown to a server that asks who calls."),
        Key::new("http2", Kind::Boolean, "Offers HTTP/2 to an `https` application, beside HTTP/1.1.").or("false"),
        Key::new(
            "connect_timeout",
            Kind::Duration(CONNECT_TIMEOUT),
            "For each step of a new connection: to resolve the name, to reach each address, to agree on TLS.",
        )
        .or("\"10s\""),
        Key::new(
            "connection_idle",
            Kind::Duration(CONNECTION_IDLE),
            "A connection that nothing uses is closed. `\"0s\"`: each request has its own.",
        )
        .or("\"4s\""),
        Key::new(
            "connection_age",
            Kind::Duration(CONNECTION_AGE),
            "No connection is used for longer, so that a service that moved is found.",
        )
        .or("\"60s\""),
        Key::new("append_path", Kind::Boolean, "What follows a source's `/*`, and the query, follow the URL.").or("false"),
        Key::new("header_case", Kind::Choice(&["title"]), "Header names leave as `Content-Type`, over HTTP/1.1.")
            .or_else("lower case"),
        Key::new("trace_context", Kind::Boolean, "Goes on with the sender's trace (`traceparent`), or begins one.").or("true"),
        Key::new("idempotency_key", Kind::Boolean, "Sets `Idempotency-Key` to the event's id where the sender gave none.")
            .or("true"),
    ],
    later: &[],
    others: Others::None,
};

static RETRY: Table = Table {
    name: "retry",
    tells: "In a destination: when a delivery is tried again. Waits are random up to a bound that doubles from `base` to `cap`, or those of \
            `schedule`.",
    example: r#"
[destinations.billing]
url = "http://billing.internal:8080/webhooks/stripe"
retry = { base = "2s", cap = "10m", for = "7d", retry_on = [422] }

[destinations.slow]
url = "http://slow.internal:8080/"
retry = { schedule = ["5s", "5m", "1h"], park_on = [404, 410] }
"#,
    keys: &[
        Key::new("base", Kind::Duration(BOUND), "The bound of the first wait.").or("\"2s\""),
        Key::new("cap", Kind::Duration(BOUND), "The bound of every wait, and of what `Retry-After` asks for.").or("\"10m\""),
        Key::new("for", Kind::Duration(KEEP_FOR), "From the event's acceptance; then the delivery is parked.").or("\"7d\""),
        Key::new(
            "schedule",
            Kind::List(&Kind::Duration(WAIT)),
            "Every wait by hand, exactly, in place of `base` and `for`; after the last one the delivery is parked.",
        ),
        Key::new("park_on", Kind::List(&Kind::Integer(STATUS)), "Statuses that park a delivery at once.")
            .or("[400, 410, 413, 415, 422]"),
        Key::new("retry_on", Kind::List(&Kind::Integer(STATUS)), "Statuses that are taken out of that list.").or("[]"),
    ],
    later: &[],
    others: Others::None,
};

/// Proves a destination.
pub(super) fn prove(written: Named<'_>) -> Option<Destination> {
    let Named { name, mut section } = written;
    let url = section.require("url", "write url = \"http://127.0.0.1:3000/webhooks\"");
    let place = url.and_then(|value| web::application(&value));
    let timeout = section.or("timeout", TIMEOUT_DEFAULT, |value| value.duration(TIMEOUT));
    let in_flight =
        section.or("in_flight", IN_FLIGHT_DEFAULT, |value| value.integer(IN_FLIGHT).and_then(|n| usize::try_from(n).ok()));
    let per_second = section.take("per_second").and_then(|value| rate(&value));
    let (retry, park_on) = section.or("retry", (default_rule(), PARK_ON_DEFAULT.into()), |value| retry(&value));
    let connect_timeout = section.or("connect_timeout", CONNECT_TIMEOUT_DEFAULT, |value| value.duration(CONNECT_TIMEOUT));
    let connection_idle = section.or("connection_idle", CONNECTION_IDLE_DEFAULT, |value| value.duration(CONNECTION_IDLE));
    let connection_age = section.or("connection_age", CONNECTION_AGE_DEFAULT, |value| value.duration(CONNECTION_AGE));
    let append_path = section.or("append_path", false, |value| value.boolean());
    let trace_context = section.or("trace_context", true, |value| value.boolean());
    let idempotency_key = section.or("idempotency_key", true, |value| value.boolean());
    let title_case_headers = section.or("header_case", false, |value| value.choice(&[("title", true)]));
    let order_by = section.take("order_by").and_then(|value| order_by(&value));
    let sign = section.take("sign").and_then(|value| sign::prove(&value)).map(Arc::new);
    let paused = section.or("paused", false, |value| value.boolean());
    let ca = of_tls(&mut section, "ca", place.as_ref()).and_then(|value| certificates::roots(&value));
    let own = of_tls(&mut section, "client_certificate", place.as_ref());
    let client_certificate = own.and_then(|value| certificates::pair(&value));
    let http2 = of_tls(&mut section, "http2", place.as_ref()).and_then(|value| value.boolean()).unwrap_or(false);
    let of_url = place.as_ref().and_then(|place| place.authorization.clone());
    let (authorization, oauth2) = authorization(&mut section, of_url);
    let headers = headers(&mut section, authorization);
    section.finish();
    let web::Place { url, socket, .. } = place?;
    Some(Destination {
        name,
        url,
        socket,
        timeout,
        in_flight,
        per_second,
        order_by,
        retry,
        park_on,
        sign,
        headers,
        oauth2,
        ca,
        client_certificate,
        http2,
        connect_timeout,
        connection_age,
        connection_idle,
        append_path,
        trace_context,
        idempotency_key,
        title_case_headers,
        paused,
    })
}

const fn default_rule() -> Rule {
    Rule::Backoff { base: Rule::BASE, cap: Rule::CAP, keep_for: Rule::KEEP_FOR }
}

fn rate(value: &Value<'_>) -> Option<Bucket> {
    let per_second = value.number(Bucket::PER_SECOND_MIN..=Bucket::PER_SECOND_MAX)?;
    Bucket::try_new(per_second).map_or_else(|bad| value.error(&bad.to_string()), Some)
}

fn order_by(value: &Value<'_>) -> Option<Selector> {
    let wrong = || value.error("must be a JSON pointer into the body, such as \"/data/id\", or a header's name");
    Selector::order_by(value.text()?).or_else(wrong)
}

fn retry(value: &Value<'_>) -> Option<(Rule, Vec<StatusCode>)> {
    let mut section = value.inner()?;
    let park_on = park_on(&mut section);
    let cap = section.take("cap").map_or(Some(Rule::CAP), |value| value.duration(BOUND));
    let (base, keep_for) = (section.take("base"), section.take("for"));
    let rule = match section.take("schedule") {
        Some(schedule) => {
            for other in [base, keep_for].into_iter().flatten() {
                other.error::<()>("does not go together with a schedule, which says every wait itself");
            }
            schedule_of(&schedule).zip(cap).map(|(waits, cap)| Rule::Schedule { waits, cap })
        }
        None => backoff(base.as_ref(), cap, keep_for.as_ref()),
    };
    section.finish();
    Some((rule?, park_on))
}

fn backoff(base: Option<&Value<'_>>, cap: Option<Duration>, keep_for: Option<&Value<'_>>) -> Option<Rule> {
    let keep_for = keep_for.map_or(Some(Rule::KEEP_FOR), |value| value.duration(KEEP_FOR));
    let base_or_default = base.map_or(Some(Rule::BASE), |value| value.duration(BOUND));
    let (keep_for, cap) = (keep_for?, cap?);
    match (base, base_or_default?) {
        (Some(value), written) if written > cap => value.error("is more than retry.cap"),
        (_, base) => Some(Rule::Backoff { base: base.min(cap), cap, keep_for }),
    }
}

fn schedule_of(value: &Value<'_>) -> Option<Vec<Duration>> {
    let items = value.list()?;
    if items.len() > SCHEDULE_MAX {
        return value.error(&format!("has more than {SCHEDULE_MAX} entries"));
    }
    Some(items.iter().filter_map(|item| item.duration(WAIT)).collect())
}

/// What parks at once: `park_on`, or what stands for it where nothing is said, less `retry_on`. A status is in one of them only.
fn park_on(section: &mut Section<'_>) -> Vec<StatusCode> {
    let (parks, retried) = (section.take("park_on"), section.take("retry_on"));
    let is_written = parks.is_some();
    let parks = parks.map_or_else(|| PARK_ON_DEFAULT.into(), |value| statuses(&value));
    let retried = retried.map(|value| value.list().unwrap_or_default()).unwrap_or_default();
    let retried = retried.iter().filter_map(|item| Some((item, status(item)?))).collect::<Vec<_>>();
    for (item, _) in retried.iter().filter(|(_, status)| is_written && parks.contains(status)) {
        item.error::<()>("is in retry.park_on, too: a status is parked or tried again");
    }
    parks.into_iter().filter(|status| retried.iter().all(|(_, other)| other != status)).collect()
}

fn statuses(value: &Value<'_>) -> Vec<StatusCode> {
    value.list().unwrap_or_default().iter().filter_map(status).collect()
}

fn status(item: &Value<'_>) -> Option<StatusCode> {
    StatusCode::from_u16(u16::try_from(item.integer(STATUS)?).ok()?).ok()
}

/// A setting that says something only where TLS is spoken.
fn of_tls<'a>(section: &mut Section<'a>, key: &str, place: Option<&web::Place>) -> Option<Value<'a>> {
    let value = section.take(key)?;
    if place.is_some_and(|place| place.url.scheme() == "http") {
        value.warn("has no effect: the URL is not https", None);
    }
    Some(value)
}

/// Where `Authorization` comes from, if not from `headers`.
pub(super) struct Authorization {
    /// What `headers.authorization` would be beside it.
    otherwise: &'static str,
    /// It, where it is always the same.
    value: Option<HeaderValue>,
}

/// What `auth` says, or the URL.
fn authorization(section: &mut Section<'_>, of_url: Option<HeaderValue>) -> (Option<Authorization>, Option<Arc<OAuth2>>) {
    let by_url = of_url.map(|value| Authorization { otherwise: "is what the user in the URL is sent as", value: Some(value) });
    let Some(written) = section.take("auth") else { return (by_url, None) };
    if by_url.is_some() {
        written.error::<()>("is there beside a user in the URL: one of them must go");
    }
    let by_auth = |value| Some(Authorization { otherwise: "is there beside auth: one of them must go", value });
    match auth::prove(&written) {
        Some(Auth::Fixed(value)) => (by_auth(Some(value)), None),
        Some(Auth::Token(oauth2)) => (by_auth(None), Some(oauth2)),
        None => (by_auth(None), None),
    }
}

/// The fields that are set on each attempt. `authorization`: the one that comes from elsewhere.
pub(super) fn headers(section: &mut Section<'_>, authorization: Option<Authorization>) -> Vec<(HeaderName, HeaderValue)> {
    let otherwise = authorization.as_ref().map(|authorization| authorization.otherwise);
    let own = authorization.and_then(|authorization| authorization.value);
    let mut headers: Vec<_> = own.map(|value| (AUTHORIZATION, value)).into_iter().collect();
    let Some(table) = section.take("headers").and_then(|value| value.inner()) else { return headers };
    for (key, value) in table.entries() {
        let Some(name) = header_name(&table, key) else { continue };
        match otherwise.filter(|_| name == AUTHORIZATION) {
            Some(otherwise) => drop(value.error::<()>(otherwise)),
            None if headers.iter().any(|(other, _)| *other == name) => drop(value.error::<()>("is there twice")),
            None => {}
        }
        headers.extend(header_value(&value).map(|content| (name, content)));
    }
    headers
}

fn header_name(table: &Section<'_>, key: &str) -> Option<HeaderName> {
    let Ok(name) = HeaderName::try_from(key) else {
        return table.key_error(key, &format!("headers: {key:?} is not a header's name"));
    };
    let own = ["keep-alive", "proxy-connection"].contains(&name.as_str()) || name.as_str().starts_with("hookhold-");
    if own || NOT_SETTABLE.contains(&name) {
        return table.key_error(key, &format!("headers: {name} is set by the relay itself"));
    }
    Some(name)
}

fn header_value(value: &Value<'_>) -> Option<HeaderValue> {
    let content = match value.node().get_ref().as_str() {
        Some(text) => HeaderValue::from_str(text),
        None => HeaderValue::from_bytes(secret::read_lasting(value)?.expose()),
    };
    let Ok(mut content) = content else { return value.error("has characters that no header can hold") };
    // A plain value may be a secret, too: it is masked as those are.
    content.set_sensitive(true);
    Some(content)
}
