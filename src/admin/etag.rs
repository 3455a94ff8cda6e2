//! `ETag` and `If-None-Match` (RFC 9110): who has an answer already is told so, and gets no bytes.
//!
//! Answers about events stay `no-store`, with or without a tag: no browser keeps on disk what a webhook brought. The tag is for
//! programs that keep what they fetched.

use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// Bytes of the hash that tells versions apart.
const TAG_BYTES: usize = 12;

/// The tag of these bytes.
pub(super) fn of(bytes: &[u8]) -> HeaderValue {
    quoted(&hex::encode(&Sha256::digest(bytes)[..TAG_BYTES]))
}

/// A tag from an id or a hash.
pub(super) fn quoted(text: &str) -> HeaderValue {
    // Ids and hex: they cannot hold what no header may.
    HeaderValue::try_from(format!("\"{text}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What `make` makes, with its tag; or 304, where the caller has it.
pub(super) fn answer(asked: &HeaderMap, tag: HeaderValue, make: impl FnOnce() -> Response) -> Response {
    let mut answer = if is_known(asked, &tag) { StatusCode::NOT_MODIFIED.into_response() } else { make() };
    answer.headers_mut().insert(ETAG, tag);
    answer
}

/// A value as JSON, with the tag of its bytes.
pub(super) fn json(asked: &HeaderMap, value: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|error| Problem::failed(error.to_string()))?;
    Ok(answer(asked, of(&bytes), || ([(CONTENT_TYPE, "application/json")], bytes).into_response()))
}

/// Whether `If-None-Match` names this tag, weakly compared (RFC 9110, 13.1.2).
pub(super) fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let named = asked.get_all(IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    named.map(<[u8]>::trim_ascii).any(|one| one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list() {
        let asked = |value| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]);
        let known = |value| is_known(&asked(value), &HeaderValue::from_static("\"abc\""));
        for value in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert!(known(value), "{value}");
        }
        for value in ["\"x\"", "abc", "", "\"abcd\"", "\"ab\"\"c\""] {
            assert!(!known(value), "{value}");
        }
    }
}
