//! A signature in the form of a JSON Web Signature (RFC 7515, compact) with a shared secret, whose claims hold a hash of the body.
//!
//! The algorithm is that of the scheme: what the token's header says must be the same, and is never followed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Reason;
use super::encoding::Encoding;
use super::hash::{Hash, Tag};
use super::key::Key;
use super::pointer::{self, Scalar};
use super::scheme::{Check, Way};
use super::view::View;
use crate::time::Timestamp;

/// Bytes of one token: a handful of claims.
const TOKEN_BYTES_MAX: usize = 8192;

/// What a token must claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenJws {
    /// Claims that must have these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) claims: BTreeMap<String, String>,
    /// The claim that holds the hash of the body.
    pub(super) body: WrittenBodyClaim,
}

/// A claim that holds the hash of the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBodyClaim {
    pub(super) claim: String,
    pub(super) hash: Hash,
    pub(super) encoding: Encoding,
}

/// The text that is signed, and the decoded parts.
struct Token<'a> {
    signed: &'a str,
    head: Vec<u8>,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

impl WrittenJws {
    /// Whether one of `keys` signed the token, and the token speaks of this body.
    pub(super) fn prove(&self, way: &Way, keys: &[Key], view: &View<'_>, at: Timestamp) -> Result<(), Reason> {
        let texts = way.sources.iter().map(|source| source.texts(view)).collect::<Result<Vec<_>, _>>()?;
        let token = texts.iter().flatten().next().ok_or(Reason::MissingHeader)?;
        let Token { signed, head, claims, signature } = Token::split(token)?;
        if scalar(&head, "alg")? != Some(Scalar::Text(algorithm(way.check).into())) || scalar(&head, "crit")?.is_some() {
            return Err(Reason::UnknownVersion);
        }
        let mut valid = keys.iter().filter(|key| key.is_valid_at(at)).peekable();
        if valid.peek().is_none() {
            return Err(Reason::NoSecret);
        }
        if !valid.any(|key| key.mac(&[signed.as_bytes()]).is_some_and(|tag| tag.is(&signature))) {
            return Err(Reason::Mismatch);
        }
        self.holds(&claims, view, at)
    }

    /// The token that says what is to be said of the request.
    pub(super) fn write(&self, way: &Way, key: &Key, view: &View<'_>) -> Option<String> {
        let text = |json: serde_json::Value| Encoding::Base64url.encode(json.to_string().as_bytes());
        let mut claims: serde_json::Map<_, _> =
            self.claims.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        claims.insert(self.body.claim.clone(), self.body.encoding.encode(self.body.of(view).ok()?.as_bytes())?.into());
        let head = text(serde_json::json!({ "alg": algorithm(way.check), "typ": "JWT" }))?;
        let signed = format!("{head}.{}", text(claims.into())?);
        let tag = key.mac(&[signed.as_bytes()])?;
        Some(format!("{signed}.{}", Encoding::Base64url.encode(tag.as_bytes())?))
    }

    fn holds(&self, claims: &[u8], view: &View<'_>, at: Timestamp) -> Result<(), Reason> {
        for (name, expected) in &self.claims {
            match scalar(claims, name)?.ok_or(Reason::MissingPart)? {
                Scalar::Text(text) if text == *expected => {}
                _ => return Err(Reason::Mismatch),
            }
        }
        if time(claims, "exp")?.is_some_and(|exp| exp <= at.seconds()) {
            return Err(Reason::TimestampTooOld);
        }
        if time(claims, "nbf")?.is_some_and(|nbf| nbf > at.seconds()) {
            return Err(Reason::TimestampInFuture);
        }
        let Some(Scalar::Text(text)) = scalar(claims, &self.body.claim)? else {
            return Err(Reason::MissingPart);
        };
        let claimed = self.body.encoding.decode(&text).ok_or(Reason::BadEncoding)?;
        if self.body.of(view)?.is(&claimed) { Ok(()) } else { Err(Reason::Mismatch) }
    }
}

impl WrittenBodyClaim {
    fn of(&self, view: &View<'_>) -> Result<Tag, Reason> {
        let mut running = self.hash.start();
        view.body.feed(&mut |piece| running.update(piece))?;
        Ok(Tag::new(&running.finalize()))
    }
}

impl<'a> Token<'a> {
    fn split(token: &'a str) -> Result<Self, Reason> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Reason::BadEncoding);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::BadEncoding)?;
        let (head, claims) = signed.split_once('.').ok_or(Reason::BadEncoding)?;
        let decode = |text: &str| Encoding::Base64url.decode(text).ok_or(Reason::BadEncoding);
        Ok(Self { signed, head: decode(head)?, claims: decode(claims)?, signature: decode(signature)? })
    }
}

fn algorithm(check: Check) -> &'static str {
    match check {
        Check::Hmac(Hash::Sha384) => "HS384",
        Check::Hmac(Hash::Sha512) => "HS512",
        Check::Hmac(Hash::Sha256) => "HS256",
        // Nothing that a token could name.
        Check::Hmac(Hash::Md5 | Hash::Sha1) | Check::Digest(_) | Check::Shown => "",
    }
}

/// A member of a JSON object. A list or an object there cannot be read.
fn scalar(json: &[u8], name: &str) -> Result<Option<Scalar>, Reason> {
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    pointer::read_one(json, &pointer).map_err(|_| Reason::BadEncoding)
}

/// A claim of whole seconds, or of seconds with a fraction.
fn time(claims: &[u8], name: &str) -> Result<Option<u64>, Reason> {
    match scalar(claims, name)? {
        None => Ok(None),
        Some(Scalar::Text(text)) => {
            let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
            whole.parse().map(Some).map_err(|_| Reason::BadTimestamp)
        }
        Some(Scalar::Bool(_)) => Err(Reason::BadTimestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Received};
    use crate::signature::{Options, Scheme, Secret, Verifier};
    use std::net::{IpAddr, Ipv4Addr};

    const SCHEME: &str = r#"kind = "hmac"
        hash = "sha256"
        signature = [{ in = "header", name = "X-Sig", encoding = "base64url" }]
        jws = { claims = { iss = "netlify" }, body = { claim = "sha256", hash = "sha256", encoding = "hex" } }"#;
    const BODY_HASH: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn token(head: &str, claims: &str, key: &[u8]) -> String {
        let text = |json: &str| Encoding::Base64url.encode(json.as_bytes()).unwrap();
        let signed = format!("{}.{}", text(head), text(claims));
        let mut keyed = super::super::hash::Keyed::try_new(Hash::Sha256, key).unwrap();
        keyed.update(signed.as_bytes());
        format!("{signed}.{}", Encoding::Base64url.encode(keyed.finish().as_bytes()).unwrap())
    }

    fn judge(token: &str, body: &str) -> Option<Reason> {
        let scheme: Scheme = toml::from_str(SCHEME).unwrap();
        assert!(scheme.covers_body());
        let secret = Secret::try_new(b"k".to_vec(), None).unwrap();
        let verifier = Verifier::try_new(scheme, vec![secret], Options::default()).unwrap();
        let header = (http::HeaderName::from_static("x-sig"), token.parse().unwrap());
        let received = Received {
            method: "POST".into(),
            target: "/".into(),
            authority: "h".into(),
            headers: [header].into_iter().collect::<Headers>(),
            body: body.to_owned().into(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: Timestamp::from_ms(5000),
        };
        verifier.verify(received).err().map(|refused| refused.reason)
    }

    #[test]
    fn a_token_is_signed_and_speaks_of_this_body() {
        let head = r#"{"alg":"HS256"}"#;
        let claims = format!(r#"{{"iss":"netlify","sha256":"{BODY_HASH}"}}"#);
        let good = token(head, &claims, b"k");
        assert_eq!(judge(&good, "{}"), None);
        assert_eq!(judge(&good, "{ }"), Some(Reason::Mismatch));
        assert_eq!(judge(&token(head, &claims, b"x"), "{}"), Some(Reason::Mismatch));
        assert_eq!(judge(&token(head, &claims.replace("netlify", "x"), b"k"), "{}"), Some(Reason::Mismatch));
        assert_eq!(judge(&token(head, r#"{"iss":"netlify"}"#, b"k"), "{}"), Some(Reason::MissingPart));
        let with = |more: &str| judge(&token(head, &claims.replace("{\"", &format!("{{{more},\"")), b"k"), "{}");
        assert_eq!(with(r#""exp":6"#), None);
        assert_eq!(with(r#""exp":5.5"#), Some(Reason::TimestampTooOld));
        assert_eq!(with(r#""nbf":6"#), Some(Reason::TimestampInFuture));
        assert_eq!(with(r#""exp":true"#), Some(Reason::BadTimestamp));
    }

    #[test]
    fn the_algorithm_is_not_for_the_token_to_choose() {
        let claims = format!(r#"{{"iss":"netlify","sha256":"{BODY_HASH}"}}"#);
        for head in [r#"{"alg":"none"}"#, r#"{"alg":"HS512"}"#, "{}", r#"{"alg":"HS256","crit":"b64"}"#] {
            assert_eq!(judge(&token(head, &claims, b"k"), "{}"), Some(Reason::UnknownVersion), "{head}");
        }
        for text in ["x", "x.y", "a.b.c.d", "..", "e30.e30.", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            let reason = judge(text, "{}");
            assert!(matches!(reason, Some(Reason::BadEncoding | Reason::UnknownVersion)), "{text}: {reason:?}");
        }
    }
}
