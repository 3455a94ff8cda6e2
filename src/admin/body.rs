//! Reads a request's body as JSON: an object, of a type that says so, within the bound.
//!
//! A list is not taken for an object, though serde would fill a struct's fields from it in order: [`Object`] takes maps only, at
//! the top and where it stands inside.

use std::fmt;
use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::problem::Problem;

/// The body, which must be there.
pub(super) struct JsonBody<T>(pub(super) T);

/// The body, or what nothing said means.
pub(super) struct MaybeJson<T>(pub(super) T);

/// A `T` that is written as a JSON object.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = bytes(request, state).await?;
        read(&bytes).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { read(&bytes).map(Self) }
    }
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let is_json = is_json(request.headers());
    let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::large_body(),
        _ => Problem::bad_body("the body could not be read"),
    })?;
    if is_json || bytes.is_empty() { Ok(bytes) } else { Err(Problem::unsupported_body()) }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let said = |error: &serde_json::Error| format!("the body is not what is expected: {error}");
    let read = serde_path_to_error::deserialize::<_, Object<T>>(&mut text).map_err(|error| {
        let (field, detail) = (error.path().to_string(), said(error.inner()));
        // A dot stands for the whole body.
        if field == "." { Problem::bad_body(detail) } else { Problem::field(field, detail) }
    });
    let Object(value) = read?;
    text.end().map_err(|error| Problem::bad_body(said(&error)))?;
    Ok(value)
}

/// Whether the body says that it is JSON (RFC 8259, RFC 6839), or says nothing.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// For a field that may be left out, and is not `null`: where what is left out means much, nobody says so by accident.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A whole number, also where it is written as `60.0`: JSON has one kind of numbers.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    // Up to 2^53, where each whole number is one.
    let plain =
        |number: f64| (number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number)).then_some(number as u64);
    let whole = number.as_u64().or_else(|| number.as_f64().and_then(plain));
    whole.ok_or_else(|| serde::de::Error::custom(format!("{number} is not a whole number from 0 on")))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfMap(PhantomData))
    }
}

struct OfMap<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Outer {
        inner: Object<Inner>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        n: u8,
    }

    #[test]
    fn a_list_is_no_object() {
        let n = |text: &str| read::<Outer>(text.as_bytes()).ok().map(|outer| outer.inner.0.n);
        assert_eq!([n(r#"{"inner": {"n": 3}}"#), n("{}")], [Some(3), Some(0)]);
        assert_eq!([n("[]"), n(r#"{"inner": []}"#), n(r#"{"inner": [3]}"#), n("null"), n("{} x")], [None; 5]);
    }

    #[tokio::test]
    async fn white_space_is_not_nothing() {
        for (body, taken) in [("", true), ("{}", true), (" ", false), ("\r", false), ("\n", false)] {
            let read = MaybeJson::<Outer>::from_request(Request::new(body.into()), &()).await;
            assert_eq!(read.is_ok(), taken, "{body:?}");
        }
    }

    #[test]
    fn a_whole_number_is_written_in_several_ways() {
        #[derive(Deserialize)]
        struct Number(#[serde(deserialize_with = "whole")] u64);
        let number = |text: &str| serde_json::from_str::<Number>(text).ok().map(|Number(n)| n);
        assert_eq!([number("60"), number("60.0"), number("6e1"), number("0")], [Some(60), Some(60), Some(60), Some(0)]);
        assert_eq!([number("60.5"), number("-1"), number("1e99"), number("\"60\""), number("null")], [None; 5]);
    }

    #[test]
    fn json_is_named_in_several_ways() {
        let is_json = |kind| is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]));
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"] {
            assert!(is_json(kind), "{kind}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "text/json+x", ""] {
            assert!(!is_json(kind), "{kind}");
        }
    }
}
