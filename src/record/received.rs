//! One request as it came: nothing is decoded, trimmed or reordered here.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// A request as received: the raw bytes of its body and all that is kept of its head.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method, as sent.
    pub method: String,
    /// Path and query, as sent: neither decoded nor normalised.
    pub target: String,
    /// The host that the sender named (`Host`, or `:authority`), with a port where it gave one.
    pub authority: String,
    /// All header fields.
    pub headers: Headers,
    /// The body's bytes after transfer decoding, before any content decoding.
    pub body: Bytes,
    /// The client: the peer of the TCP connection, or for whom that speaks where it is a trusted proxy.
    pub peer: IpAddr,
    /// When the head had arrived; what timestamps in signatures are judged against.
    pub at: Timestamp,
}

/// The field in which the relay keeps each name of the certificate that a sender showed. What a sender writes there is taken out.
pub const CLIENT: &str = "hookhold-client";

/// Header fields: lower-case names, values byte for byte, repeated fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// The value of the first field of that name (lower case).
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| n.as_str() == name).map(|(_, v)| v.as_bytes())
    }

    /// The first field's value as text; `None` where it is missing or not visible ASCII.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.as_str() == name).and_then(|(_, v)| v.to_str().ok())
    }

    /// The values of every field of that name (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0.iter().filter(move |(n, _)| n.as_str() == name).map(|(_, v)| v.as_bytes())
    }

    /// Every field in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<HeaderMap> for Headers {
    /// Copies the values into one piece of memory: what they were read into is larger, and its connection needs it again.
    fn from(map: HeaderMap) -> Self {
        let mut fields: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(map.len());
        let mut values = BytesMut::with_capacity(map.values().map(HeaderValue::len).sum());
        for (name, value) in map {
            values.extend_from_slice(value.as_bytes());
            // It is as valid as what it is a copy of.
            let is_sensitive = value.is_sensitive();
            let mut copy = HeaderValue::from_maybe_shared(values.split().freeze()).unwrap_or(value);
            copy.set_sensitive(is_sensitive);
            // A repeated field comes without its name, right behind the first of that name.
            let name = name.or_else(|| fields.last().map(|(n, _)| n.clone()));
            fields.extend(name.map(|n| (n, copy)));
        }
        Self(fields)
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Headers {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(n, v)| (n.as_str(), Raw(v.as_bytes()))))
    }
}

/// Bytes that are written as one piece: serde takes a slice for a sequence of numbers.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let fields = Vec::<(String, Bytes)>::deserialize(d)?;
        let field = |(name, value): (String, Bytes)| {
            let name = HeaderName::try_from(name).map_err(serde::de::Error::custom)?;
            Ok((name, HeaderValue::from_maybe_shared(value).map_err(serde::de::Error::custom)?))
        };
        fields.into_iter().map(field).collect::<Result<_, D::Error>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_fields_keep_their_order_and_bytes() {
        let mut map = HeaderMap::new();
        map.append("x-a", HeaderValue::from_static("1"));
        map.append("x-b", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        map.append("x-a", HeaderValue::from_static("2"));
        let headers = Headers::from(map);
        assert_eq!(headers.all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.first("x-b"), Some(&b"\xff\xfe"[..]));
        assert_eq!(headers.text("x-b"), None);
        let stored = postcard::to_stdvec(&headers).unwrap();
        assert_eq!(postcard::from_bytes::<Headers>(&stored).unwrap(), headers);
    }
}
