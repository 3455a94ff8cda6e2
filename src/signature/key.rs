//! A secret made ready for one way to sign. The keyed state is built here, once, and cloned for each request.

use icu_normalizer::DecomposingNormalizerBorrowed;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::claim::Claim;
use super::few::Few;
use super::hash::{Hash, Keyed, Tag};
use super::scheme::{Check, Way};
use super::template::{Beside, Template};
use super::view::View;
use super::written::{Normal, WrittenSecret};
use super::{BadSecret, Reason, Secret};
use crate::time::Timestamp;

/// A secret, ready.
pub(super) struct Key {
    secret: Secret,
    ready: Ready,
}

// The keyed state is what nearly every key is: a box would only cost a step.
#[expect(clippy::large_enum_variant)]
enum Ready {
    Mac(Keyed),
    Digest(Hash, Zeroizing<Vec<u8>>),
    Shown(Zeroizing<Vec<u8>>),
}

impl Key {
    /// Decodes `secret` as the way says.
    pub(super) fn try_new(way: &Way, secret: &Secret) -> Result<Self, BadSecret> {
        let bytes = way.secret.key_of(secret)?;
        let ready = match way.check {
            Check::Hmac(hash) => Ready::Mac(Keyed::try_new(hash, &bytes).ok_or(BadSecret::Encoding("a key"))?),
            Check::Digest(hash) => Ready::Digest(hash, bytes),
            Check::Shown => Ready::Shown(bytes),
            // Its keys are in a ring.
            Check::Signed => return Err(BadSecret::Encoding("what this scheme signs with")),
        };
        Ok(Self { secret: secret.clone(), ready })
    }

    /// The secret that it was made of.
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Whether it counts at `now`.
    pub(super) fn is_valid_at(&self, now: Timestamp) -> bool {
        self.secret.is_valid_at(now)
    }

    /// Whether one of `claims` is the tag that this key gives for one of the way's payloads.
    pub(super) fn proves(&self, way: &Way, view: &View<'_>, beside: Beside<'_>, claims: &Few<Claim<'_>>) -> Result<(), Reason> {
        let mine = |claim: &&Claim<'_>| claim.slot.is_none() || self.secret.slot().is_none_or(|slot| claim.slot == Some(slot));
        let claims = claims.iter().filter(mine).map(|claim| &claim.bytes);
        if claims.clone().next().is_none() {
            return Err(Reason::MissingHeader);
        }
        if let Ready::Shown(secret) = &self.ready {
            // Every claim is compared, so that the time does not tell which one was right.
            let equal = claims.fold(0, |any, claim| any | secret.ct_eq(&claim[..]).unwrap_u8());
            return if equal == 1 { Ok(()) } else { Err(Reason::Mismatch) };
        }
        let mut refusal = None;
        for payload in &way.payloads {
            match self.tag(payload, view, beside) {
                Ok(tag) if claims.clone().any(|claim| claim.is_tag(&tag)) => return Ok(()),
                Ok(_) => refusal = Some(Reason::Mismatch),
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        Err(refusal.unwrap_or(Reason::Mismatch))
    }

    /// The tag of a payload. For a secret that is shown, the secret itself is all there is: no tag.
    pub(super) fn tag(&self, payload: &Template, view: &View<'_>, beside: Beside<'_>) -> Result<Tag, Reason> {
        match &self.ready {
            Ready::Mac(keyed) => keyed.tag_of(|sink| payload.feed(view, &beside, sink)),
            Ready::Digest(hash, secret) => hash.of(|sink| payload.feed(view, &Beside { secret, ..beside }, sink)),
            Ready::Shown(_) => Err(Reason::Mismatch),
        }
    }

    /// The secret that is shown, where the way is to show it.
    pub(super) fn shown(&self) -> Option<&[u8]> {
        if let Ready::Shown(secret) = &self.ready { Some(secret) } else { None }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(masked)")
    }
}

impl WrittenSecret {
    /// The key's bytes: never none, whatever is cut off or decoded.
    pub(super) fn key_of(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, BadSecret> {
        let text = secret.expose();
        let text = self.strip_prefix.iter().find_map(|p| without(text, p)).unwrap_or(text);
        let bytes = match self.normalize {
            None => self.encoding.decode_secret(text),
            Some(Normal::Nfkd) => {
                let text = std::str::from_utf8(text).map_err(|_| BadSecret::Encoding("text"))?;
                let text = Zeroizing::new(DecomposingNormalizerBorrowed::new_nfkd().normalize(text).into_owned());
                self.encoding.decode_secret(text.as_bytes())
            }
        };
        let bytes = Zeroizing::new(bytes.ok_or(BadSecret::Encoding(self.encoding.title()))?);
        if bytes.is_empty() {
            return Err(BadSecret::Empty);
        }
        let Some(hash) = self.prehash else { return Ok(bytes) };
        Ok(Zeroizing::new(hash.of_bytes(&bytes).as_bytes().to_vec()))
    }
}

/// `text` without `prefix`, where it starts with it; a `*` in there stands for some letters, digits and `_`.
fn without<'a>(text: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let Some((front, back)) = prefix.split_once('*') else { return text.strip_prefix(prefix.as_bytes()) };
    let rest = text.strip_prefix(front.as_bytes())?;
    let end = rest.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(rest.len());
    if end == 0 { None } else { rest[end..].strip_prefix(back.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::encoding::Encoding;

    fn key_of(written: &WrittenSecret, text: &str) -> Result<Vec<u8>, BadSecret> {
        written.key_of(&Secret::try_new(text.as_bytes().to_vec(), None).unwrap()).map(|key| key.to_vec())
    }

    #[test]
    fn a_prefix_is_cut_off() {
        let written = WrittenSecret { strip_prefix: vec!["v1,whsec_".into(), "signkey-*-".into()], ..WrittenSecret::default() };
        for (text, key) in [
            ("v1,whsec_a", "a"),
            ("signkey-prod-1f", "1f"),
            ("signkey-a_9-1-2", "1-2"),
            ("signkey--1", "signkey--1"),
            ("signkey-prod", "signkey-prod"),
            ("x", "x"),
        ] {
            assert_eq!(key_of(&written, text).unwrap(), key.as_bytes(), "{text}");
        }
        assert_eq!(key_of(&written, "signkey-prod-"), Err(BadSecret::Empty));
    }

    #[test]
    fn a_secret_is_normalised_before_it_is_decoded() {
        let written = WrittenSecret { normalize: Some(Normal::Nfkd), ..WrittenSecret::default() };
        assert_eq!(key_of(&written, "é-ﬁ").unwrap(), "e\u{301}-fi".as_bytes());
        let secret = Secret::try_new(vec![0xff], None).unwrap();
        assert_eq!(written.key_of(&secret).unwrap_err(), BadSecret::Encoding("text"));
        let hex = WrittenSecret { encoding: Encoding::Hex, ..written };
        assert_eq!(key_of(&hex, "\u{ff10}a").unwrap(), [10]);
    }
}
