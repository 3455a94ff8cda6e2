//! A secret made ready for one way to sign. The keyed state is built here, once, and cloned for each request.

use sha2::digest::DynDigest;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::claim::Claim;
use super::hash::{Hash, Keyed, Tag};
use super::scheme::{Check, Way};
use super::template::{Beside, Template};
use super::view::View;
use super::written::WrittenSecret;
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

#[expect(clippy::large_enum_variant)]
enum Running {
    Mac(Keyed),
    Digest(Box<dyn DynDigest>),
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
    pub(super) fn proves(&self, way: &Way, view: &View<'_>, beside: Beside<'_>, claims: &[Claim<'_>]) -> Result<(), Reason> {
        let mine = |claim: &&Claim<'_>| claim.slot.is_none() || self.secret.slot().is_none_or(|slot| claim.slot == Some(slot));
        let mut claims = claims.iter().filter(mine).map(|claim| &claim.bytes[..]).peekable();
        if claims.peek().is_none() {
            return Err(Reason::MissingHeader);
        }
        if let Ready::Shown(secret) = &self.ready {
            // Every claim is compared, so that the time does not tell which one was right.
            let equal = claims.fold(0, |any, claim| any | secret.ct_eq(claim).unwrap_u8());
            return if equal == 1 { Ok(()) } else { Err(Reason::Mismatch) };
        }
        let mut refusal = None;
        for payload in &way.payloads {
            match self.tag(payload, view, beside) {
                Ok(tag) if claims.clone().any(|claim| tag.is(claim)) => return Ok(()),
                Ok(_) => refusal = Some(Reason::Mismatch),
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        Err(refusal.unwrap_or(Reason::Mismatch))
    }

    /// The tag of a payload. For a secret that is shown, the secret itself is all there is: no tag.
    pub(super) fn tag(&self, payload: &Template, view: &View<'_>, beside: Beside<'_>) -> Result<Tag, Reason> {
        let (mut running, secret) = match &self.ready {
            Ready::Mac(keyed) => (Running::Mac(keyed.clone()), &b""[..]),
            Ready::Digest(hash, secret) => (Running::Digest(hash.start()), &secret[..]),
            Ready::Shown(_) => return Err(Reason::Mismatch),
        };
        payload.feed(view, &Beside { secret, ..beside }, &mut |piece| running.update(piece))?;
        Ok(running.finish())
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

impl Running {
    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Mac(keyed) => keyed.update(piece),
            Self::Digest(digest) => digest.update(piece),
        }
    }

    fn finish(self) -> Tag {
        match self {
            Self::Mac(keyed) => keyed.finish(),
            Self::Digest(digest) => Tag::new(&digest.finalize()),
        }
    }
}

impl WrittenSecret {
    /// The key's bytes: never none, whatever is cut off or decoded.
    fn key_of(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, BadSecret> {
        let text = secret.expose();
        let text = self.strip_prefix.iter().find_map(|p| text.strip_prefix(p.as_bytes())).unwrap_or(text);
        let bytes = self.encoding.decode_secret(text).ok_or(BadSecret::Encoding(self.encoding.title()))?;
        let bytes = Zeroizing::new(bytes);
        if bytes.is_empty() {
            return Err(BadSecret::Empty);
        }
        let Some(hash) = self.prehash else { return Ok(bytes) };
        let mut running = hash.start();
        running.update(&bytes);
        Ok(Zeroizing::new(running.finalize().into_vec()))
    }
}
