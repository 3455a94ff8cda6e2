//! The compact form of a signed token: three parts of strict base64url, the first of them JSON.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::signature::{Reason, json};

/// Bytes of a token: one with a chain of certificates has about ten thousand.
const TOKEN_BYTES_MAX: usize = 128 << 10;
/// Bytes of its header, which is read before anything is proved.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// A token, read but not proved.
pub(in crate::signature) struct Token<'a> {
    pub(in crate::signature) header: Header,
    /// The first part, as text.
    pub(in crate::signature) protected: &'a str,
    payload: &'a str,
    /// What is signed: the first two parts with the dot between them.
    pub(in crate::signature) signing_input: &'a str,
    pub(in crate::signature) signature: Vec<u8>,
}

/// A token's header: an object that names an algorithm.
#[derive(Debug)]
pub(in crate::signature) struct Header(Value);

impl<'a> Token<'a> {
    /// From its text.
    pub(in crate::signature) fn parse(text: &'a str) -> Result<Self, Reason> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Reason::BadEncoding);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(Reason::BadEncoding)?;
        let (protected, payload) = signing_input.split_once('.').ok_or(Reason::BadEncoding)?;
        if payload.contains('.') || protected.len() > HEADER_BYTES_MAX {
            return Err(Reason::BadEncoding);
        }
        let header = decode(protected).and_then(|json| json::strict_object(&json).ok()).ok_or(Reason::BadEncoding)?;
        header.get("alg").and_then(Value::as_str).ok_or(Reason::BadEncoding)?;
        let signature = decode(signature).ok_or(Reason::BadEncoding)?;
        Ok(Self { header: Header(header), protected, payload, signing_input, signature })
    }

    /// The bytes of its payload.
    pub(in crate::signature) fn payload(&self) -> Option<Vec<u8>> {
        decode(self.payload)
    }

    /// Whether its payload stands elsewhere.
    pub(in crate::signature) fn is_detached(&self) -> bool {
        self.payload.is_empty()
    }
}

impl Header {
    /// The name of the algorithm.
    pub(in crate::signature) fn algorithm(&self) -> &str {
        // It was there when the token was read.
        self.0.get("alg").and_then(Value::as_str).unwrap_or_default()
    }

    /// The key's id.
    pub(in crate::signature) fn key_id(&self) -> Result<Option<&str>, Reason> {
        self.0.get("kid").map(|id| id.as_str().ok_or(Reason::UnknownKey)).transpose()
    }

    /// Whether all that must be understood is: nothing, or (for a payload that is not encoded) `b64`, which RFC 7797 wants there.
    pub(in crate::signature) fn crit(&self, encoded: bool) -> Result<(), Reason> {
        let good = match (self.0.get("crit"), self.0.get("b64")) {
            (None, None) => encoded,
            (Some(Value::Array(names)), Some(Value::Bool(b64))) => {
                matches!(&names[..], [Value::String(name)] if name == "b64") && *b64 == encoded
            }
            _ => false,
        };
        if good { Ok(()) } else { Err(Reason::UnknownVersion) }
    }

    /// Its JSON.
    pub(in crate::signature) fn value(&self) -> &Value {
        &self.0
    }

    /// Its JSON.
    pub(in crate::signature) fn into_value(self) -> Value {
        self.0
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(header: &str, payload: &str, signature: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(payload), part(signature))
    }

    fn refusal(text: &str) -> Option<Reason> {
        Token::parse(text).err()
    }

    #[test]
    fn a_token_has_three_strict_parts() {
        let good = token(r#"{"alg":"ES256","kid":"1"}"#, "{}", "sig");
        let read = Token::parse(&good).unwrap();
        assert_eq!((read.header.algorithm(), read.header.key_id()), ("ES256", Ok(Some("1"))));
        assert_eq!((read.payload().as_deref(), &read.signature[..]), (Some(&b"{}"[..]), &b"sig"[..]));
        assert!(read.signing_input.len() + 5 == good.len() && !read.is_detached());
        for bad in [
            String::new(),
            "a".into(),
            "a.b".into(),
            format!("{good}.x"),
            format!("{good}.x.y"),
            format!("{good}="),
            format!(" {good}"),
            good.replace('.', ". "),
            token(r#"{"alg":"ES256","alg":"none"}"#, "{}", ""),
            token(r#"{"alg":1}"#, "{}", ""),
            token("{}", "{}", ""),
            token("[]", "{}", ""),
            token(&format!(r#"{{"alg":"{}"}}"#, "x".repeat(HEADER_BYTES_MAX)), "{}", ""),
            "x".repeat(TOKEN_BYTES_MAX + 1),
        ] {
            assert_eq!(refusal(&bad), Some(Reason::BadEncoding), "{bad:.80}");
        }
        assert!(Token::parse(&token(r#"{"alg":"x","kid":7}"#, "{}", "")).unwrap().header.key_id().is_err());
    }

    #[test]
    fn spare_bits_must_be_zero() {
        let good = token(r#"{"alg":"x"}"#, "{}", "s");
        assert!(refusal(&good).is_none());
        assert_eq!(refusal(&good.replace(".cw", ".cx")), Some(Reason::BadEncoding));
    }

    #[test]
    fn what_must_be_understood_is_b64_or_nothing() {
        let crit = |header: &str, encoded| Header(serde_json::from_str(header).unwrap()).crit(encoded).is_ok();
        assert!(crit("{}", true) && !crit("{}", false));
        assert!(crit(r#"{"crit":["b64"],"b64":false}"#, false) && !crit(r#"{"crit":["b64"],"b64":false}"#, true));
        for bad in [
            r#"{"b64":false}"#,
            r#"{"crit":["b64"]}"#,
            r#"{"crit":[],"b64":false}"#,
            r#"{"crit":["exp"]}"#,
            r#"{"crit":"b64","b64":false}"#,
        ] {
            assert!(!crit(bad, false) && !crit(bad, true), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[A-Za-z0-9_.=-]{0,60}|.{0,60}") {
            let _ = Token::parse(&text);
        }
    }
}
