//! The key by which events are kept in order: a header, or a value of the body.

use sha2::{Digest, Sha256};

use super::Selector;
use crate::pointer;
use crate::record::Received;

/// A longer key is stored as its hash, since each delivery carries it.
const KEY_BYTES_MAX: usize = 128;

impl Selector {
    /// From a setting: a JSON pointer where it begins with `/`, else a header's name.
    pub fn order_by(text: &str) -> Option<Self> {
        let selector = if text.starts_with('/') { Self::pointer(text) } else { Self::header(text) };
        selector.ok()
    }

    /// What a request has there, as a bounded text; `None` where there is nothing, or something empty.
    pub fn order_key(&self, received: &Received) -> Option<String> {
        let key = match self {
            Self::Header(name) => {
                let lines: Vec<_> = received.headers.all(name).map(String::from_utf8_lossy).collect();
                lines.join(", ")
            }
            Self::Pointer(pointer) => {
                let text = pointer::read_text(&received.body, pointer).ok()??;
                // A text as it is, without its quotes and escapes; anything else as it is written.
                serde_json::from_str::<String>(text).unwrap_or_else(|_| if text == "null" { "" } else { text }.to_owned())
            }
            Self::Claim(_) | Self::Form(_) | Self::All(_) => return None,
        };
        match key.len() {
            0 => None,
            1..=KEY_BYTES_MAX => Some(key),
            _ => Some(format!("sha256:{}", hex::encode(Sha256::digest(key.as_bytes())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use http::{HeaderName, HeaderValue};

    fn key(order_by: &str, headers: &[(&'static str, &'static str)], body: &str) -> Option<String> {
        let field = |(n, v): &(&'static str, &'static str)| (HeaderName::from_static(n), HeaderValue::from_static(v));
        let received = Received {
            method: "POST".into(),
            target: "/".into(),
            authority: "h".into(),
            headers: headers.iter().map(field).collect(),
            body: body.as_bytes().to_vec().into(),
            peer: [127, 0, 0, 1].into(),
            at: Timestamp::default(),
        };
        Selector::order_by(order_by).unwrap().order_key(&received)
    }

    #[test]
    fn a_key_is_what_stands_there() {
        let body = r#"{"customer":"c\u00e9","n":7,"o":{"a":1},"none":null,"empty":"","twice":1,"twice":2}"#;
        assert_eq!(key("/customer", &[], body).as_deref(), Some("c\u{e9}"));
        assert_eq!(key("/n", &[], body).as_deref(), Some("7"));
        assert_eq!(key("/o", &[], body).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(["/none", "/empty", "/twice", "/gone"].map(|at| key(at, &[], body)), [None, None, None, None]);
        assert_eq!(key("/n", &[], "no JSON"), None);
        assert_eq!(key("X-Key", &[("x-key", "k"), ("x-key", "l")], "").as_deref(), Some("k, l"));
        assert_eq!(key("x-key", &[], ""), None);
        assert!(Selector::order_by("a b").is_none());
    }

    #[test]
    fn a_long_key_is_its_hash() {
        let long = |end: &str| key("/k", &[], &format!(r#"{{"k":"{}{end}"}}"#, "x".repeat(200))).unwrap();
        assert_ne!(long("1"), long("2"));
        assert_eq!((long("1"), long("1").len()), (long("1"), 71));
    }
}
