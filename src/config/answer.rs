//! `answer` of a source: what its provider hears when an event is durable.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::key::{Key, Kind, Others, Table};
use super::table::Section;
use super::value::Value;
use crate::signature::preset::Answer;

/// Bytes of an answer's body: providers want a word or two, or a short document that tells them what to do.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Fields of an answer, and the bytes of each one's value.
const HEADERS_MAX: usize = 16;
const HEADER_VALUE_BYTES_MAX: usize = 1024;
/// Statuses that no body can follow (RFC 9110 §6.4.1 and §15.3.6).
const WITHOUT_BODY: [u64; 2] = [204, 205];
/// Fields of one connection (RFC 9110 §7.6.1), and those that the relay sets itself.
const NOT_SETTABLE: [HeaderName; 8] =
    [CONNECTION, CONTENT_LENGTH, DATE, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Statuses that say that an event is taken.
const STATUS: RangeInclusive<u64> = 200..=299;

pub(super) static KEYS: Table = Table {
    name: "answer",
    tells: "In a source: what its provider hears when an event is durable.",
    example: r#"
[sources.sms]
path = "/in/sms"
provider = "twilio"
secrets = [{ env = "TWILIO_AUTH_TOKEN" }]
answer = { status = 200, body = "<Response/>", headers = { Content-Type = "text/xml" } }
"#,
    keys: &[
        Key::new("status", Kind::Integer(STATUS), "The status.").or("200"),
        Key::new("body", Kind::Text, "The body; up to 16 KiB.").or("\"\""),
        Key::new("headers", Kind::Named(&Kind::Text), "Header fields, up to 16, each of up to 1024 bytes."),
        Key::new("empty_refusal", Kind::Boolean, "A refusal has no body.").or("false"),
        Key::new("echo", Kind::Text, "A header of the request that the answer shows again."),
    ],
    later: &[],
    others: Others::None,
};

/// What is written, or `default`.
pub(super) fn read(section: &mut Section<'_>, default: Answer) -> Answer {
    section.or("answer", default, |value| {
        let mut section = value.inner()?;
        let status = section.or("status", 200, |value| value.integer(STATUS));
        let written = section.take("body");
        let body = written.as_ref().and_then(body).unwrap_or_default();
        if let Some(written) = written.filter(|_| !body.is_empty() && WITHOUT_BODY.contains(&status)) {
            written.error::<()>(&format!("cannot follow the status {status}, which has none"));
        }
        let headers = section.take("headers").and_then(|value| value.inner()).map_or_else(BTreeMap::new, |table| headers(&table));
        let empty_refusal = section.or("empty_refusal", false, |value| value.boolean());
        let echo = section.take("echo").and_then(|value| {
            let name = value.text()?;
            HeaderName::try_from(name).map_or_else(|_| value.error("is not a header's name"), |_| Some(name.to_owned()))
        });
        section.finish();
        Some(Answer { status: u16::try_from(status).unwrap_or(200), body: body.to_owned(), headers, empty_refusal, echo })
    })
}

fn body<'a>(value: &Value<'a>) -> Option<&'a str> {
    let text = value.node().get_ref().as_str();
    text.filter(|text| text.len() <= BODY_BYTES_MAX).or_else(|| value.error("must be a short text"))
}

fn headers(table: &Section<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (key, value) in table.entries() {
        let (Some(name), Some(text)) = (name(table, key), text(&value)) else { continue };
        if headers.len() == HEADERS_MAX {
            value.error::<()>(&format!("is one too many: there may be {HEADERS_MAX}"));
            break;
        }
        if headers.insert(name.as_str().to_owned(), text.to_owned()).is_some() {
            value.error::<()>("is there twice");
        }
    }
    headers
}

fn name(table: &Section<'_>, key: &str) -> Option<HeaderName> {
    let Ok(name) = HeaderName::try_from(key) else {
        return table.key_error(key, &format!("answer.headers: {key:?} is not a header's name"));
    };
    let own = name.as_str() == "keep-alive" || name.as_str() == "proxy-connection" || name.as_str().starts_with("hookhold-");
    if own || NOT_SETTABLE.contains(&name) {
        return table.key_error(key, &format!("answer.headers: {name} is set by the relay itself"));
    }
    Some(name)
}

fn text<'a>(value: &Value<'a>) -> Option<&'a str> {
    let text = value.text()?;
    if text.len() > HEADER_VALUE_BYTES_MAX || HeaderValue::from_str(text).is_err() {
        return value.error("must be a short text of characters that a header can hold");
    }
    Some(text)
}
