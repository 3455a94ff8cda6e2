//! Where a value stands in a request: a header, a JSON pointer into the body or into the claims of its token, a field of a form, or
//! several of them together. Written `header:NAME`, `json:/POINTER`, `claim:/POINTER`, `form:NAME`, with ` + ` between several.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pointer::{self, Scalar};
use crate::record::Headers;

/// Bytes of an event's id or type: longer ones would make a store's keys large, and no provider has them.
pub const EVENT_ID_BYTES_MAX: usize = 1024;

/// Between several, as text.
const BETWEEN: &str = " + ";

/// Where a value stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A header's value; lower-case name.
    Header(String),
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(String),
    /// A JSON pointer into what was signed, where that is not the body: the claims of a token.
    Claim(String),
    /// A field of a form body.
    Form(String),
    /// All of these together: what only they name without doubt.
    All(Vec<Selector>),
}

/// Text that is no [`Selector`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write \"header:NAME\", \"json:/POINTER\", \"claim:/POINTER\" or \"form:NAME\", with \" + \" between several")]
pub struct BadSelector;

impl Selector {
    /// A header of that name, in any case.
    pub fn header(name: &str) -> Result<Self, BadSelector> {
        HeaderName::try_from(name).map(|n| Self::Header(n.as_str().to_owned())).map_err(|_| BadSelector)
    }

    /// It, or what it is made of.
    pub fn parts(&self) -> &[Self] {
        if let Self::All(parts) = self { parts } else { std::slice::from_ref(self) }
    }

    /// A JSON pointer.
    pub fn pointer(pointer: &str) -> Result<Self, BadSelector> {
        pointer::tokens(pointer).map(|_| Self::Pointer(pointer.to_owned())).map_err(|_| BadSelector)
    }
}

/// The one header of that name as a value that can be an id.
pub(super) fn from_header(headers: &Headers, name: &str) -> Option<String> {
    let mut lines = headers.all(name);
    let line = lines.next()?;
    lines.next().is_none().then_some(())?;
    std::str::from_utf8(line).ok().filter(|text| is_usable(text)).map(str::to_owned)
}

/// What a pointer led to as a value that can be an id.
pub(super) fn from_scalar(found: Scalar) -> Option<String> {
    match found {
        Scalar::Text(text) => Some(text).filter(|text| is_usable(text)),
        // As an id it would make all events two.
        Scalar::Bool(_) => None,
    }
}

/// Whether a text can be an event's id or type.
pub(super) fn is_usable(text: &str) -> bool {
    (1..=EVENT_ID_BYTES_MAX).contains(&text.len())
}

impl FromStr for Selector {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        if text.contains(BETWEEN) {
            return text.split(BETWEEN).map(str::parse).collect::<Result<_, _>>().map(Self::All);
        }
        match text.split_once(':') {
            Some(("header", name)) => Self::header(name),
            Some(("json", pointer)) => Self::pointer(pointer),
            Some(("claim", pointer)) => {
                pointer::tokens(pointer).map(|_| Self::Claim(pointer.to_owned())).map_err(|_| BadSelector)
            }
            Some(("form", name)) if !name.is_empty() => Ok(Self::Form(name.to_owned())),
            _ => Err(BadSelector),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Pointer(pointer) => write!(f, "json:{pointer}"),
            Self::Claim(pointer) => write!(f, "claim:{pointer}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::All(parts) => {
                parts.iter().enumerate().try_for_each(|(i, part)| write!(f, "{}{part}", if i == 0 { "" } else { BETWEEN }))
            }
        }
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        assert_eq!("header:X-Id".parse(), Ok(Selector::Header("x-id".into())));
        assert_eq!("json:/a/0".parse(), Ok(Selector::Pointer("/a/0".into())));
        let several = "json:/a + header:x-id + form:b";
        assert_eq!(several.parse::<Selector>().unwrap().to_string(), several);
        for bad in ["", "x-id", "header:", "header:a b", "json:a", "form:", "json:/a + x", "query:x"] {
            assert_eq!(bad.parse::<Selector>(), Err(BadSelector), "{bad}");
        }
    }

    #[test]
    fn ids_are_single_short_and_not_empty() {
        let headers = |fields: &[(&str, &str)]| -> Headers {
            fields.iter().map(|(n, v)| (HeaderName::try_from(*n).unwrap(), v.parse().unwrap())).collect()
        };
        assert_eq!(from_header(&headers(&[("x-id", "1")]), "x-id").as_deref(), Some("1"));
        assert_eq!(from_header(&headers(&[("x-id", "1"), ("x-id", "1")]), "x-id"), None);
        assert_eq!(from_header(&headers(&[("x-id", "")]), "x-id"), None);
        assert_eq!(from_scalar(Scalar::Text("x".repeat(1025))), None);
        assert_eq!(from_scalar(Scalar::Bool(true)), None);
    }
}
