//! The keys that a source has, made for its scheme; and how one of several is found to have signed.

use std::borrow::Cow;

use crate::signature::hash::{Hash, Keyed, Tag};
use crate::signature::public_key::{Algorithm, BadKey, Message, PublicKey};
use crate::signature::{Reason, Secret};
use crate::time::Timestamp;

/// Signatures of one request that are looked at: each costs as much as a thousand hashes.
pub(in crate::signature) const SIGNATURES_MAX: usize = 8;

/// What a signature is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::signature) enum Maker {
    Public(Algorithm),
    Mac(Hash),
}

/// A key made for one [`Maker`]: what is public can never be taken for a secret.
#[derive(Clone)]
pub(in crate::signature) enum RingKey {
    Public(PublicKey),
    Mac(Hash, Box<Keyed>),
}

/// A key as a source configures it.
#[derive(Clone, Debug)]
pub struct ConfiguredKey {
    /// How requests name it; `None`: it counts whatever they name.
    pub id: Option<String>,
    /// What it signs with, where the scheme leaves that to the source (RFC 9421's word for it).
    pub algorithm: Option<String>,
    /// Its text, and how long it counts. A public key is no secret, but is masked as one.
    pub text: Secret,
}

/// The keys of a source.
#[derive(Debug, Default)]
pub(in crate::signature) struct Ring(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    id: Option<String>,
    /// As configured; it says how long the key counts.
    text: Secret,
    key: RingKey,
}

/// The pieces of a message, given to whoever takes them.
pub(in crate::signature) type Feed<'a> = &'a dyn Fn(&mut dyn FnMut(&[u8])) -> Result<(), Reason>;

impl Maker {
    /// The name of JOSE (RFC 7518, RFC 8037).
    pub(in crate::signature) fn of_jose(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Mac(Hash::Sha256),
            "HS384" => Self::Mac(Hash::Sha384),
            "HS512" => Self::Mac(Hash::Sha512),
            "RS256" => Self::Public(Algorithm::RsaPkcs1Sha256),
            "RS384" => Self::Public(Algorithm::RsaPkcs1Sha384),
            "RS512" => Self::Public(Algorithm::RsaPkcs1Sha512),
            "PS256" => Self::Public(Algorithm::RsaPssSha256),
            "PS384" => Self::Public(Algorithm::RsaPssSha384),
            "PS512" => Self::Public(Algorithm::RsaPssSha512),
            "ES256" => Self::Public(Algorithm::EcdsaP256Sha256Fixed),
            "ES384" => Self::Public(Algorithm::EcdsaP384Sha384Fixed),
            "ES512" => Self::Public(Algorithm::EcdsaP521Sha512Fixed),
            "EdDSA" | "Ed25519" => Self::Public(Algorithm::Ed25519),
            _ => return None,
        })
    }

    /// The name of RFC 9421, section 6.2.2.
    pub(in crate::signature) fn of_http(name: &str) -> Option<Self> {
        Some(match name {
            "hmac-sha256" => Self::Mac(Hash::Sha256),
            "ed25519" => Self::Public(Algorithm::Ed25519),
            "ecdsa-p256-sha256" => Self::Public(Algorithm::EcdsaP256Sha256Fixed),
            "ecdsa-p384-sha384" => Self::Public(Algorithm::EcdsaP384Sha384Fixed),
            "rsa-v1_5-sha256" => Self::Public(Algorithm::RsaPkcs1Sha256),
            "rsa-pss-sha512" => Self::Public(Algorithm::RsaPssSha512),
            _ => return None,
        })
    }

    /// The name that a scheme writes for a public key's signature.
    pub(in crate::signature) fn of_scheme(name: &str) -> Option<Self> {
        use serde::Deserialize;
        use serde::de::IntoDeserializer;
        let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        Algorithm::deserialize(text).ok().map(Self::Public)
    }

    /// Whether it needs a shared secret.
    pub(in crate::signature) fn is_secret(self) -> bool {
        matches!(self, Self::Mac(_))
    }

    /// The key of that text.
    pub(in crate::signature) fn read(self, text: &[u8]) -> Result<RingKey, BadKey> {
        match self {
            Self::Public(algorithm) => {
                let text = std::str::from_utf8(text).map_err(|_| BadKey::Unreadable)?;
                PublicKey::read(algorithm, text).map(RingKey::Public)
            }
            Self::Mac(hash) => Keyed::try_new(hash, text).map(|k| RingKey::Mac(hash, Box::new(k))).ok_or(BadKey::Unreadable),
        }
    }
}

impl RingKey {
    /// What its signatures are made with.
    pub(in crate::signature) fn maker(&self) -> Maker {
        match self {
            Self::Public(key) => Maker::Public(key.algorithm()),
            Self::Mac(hash, _) => Maker::Mac(*hash),
        }
    }

    /// The tag of a text; `None` where it is a public key.
    pub(in crate::signature) fn tag(&self, text: &[u8]) -> Option<Tag> {
        let Self::Mac(_, keyed) = self else { return None };
        let mut keyed = keyed.clone();
        keyed.update(text);
        Some(keyed.finish())
    }
}

impl Ring {
    /// Adds a key for one of `makers`, or for each that it fits. Fails where it fits none.
    pub(in crate::signature) fn add(&mut self, makers: &[Maker], id: Option<&str>, text: &Secret) -> Result<(), BadKey> {
        let mut refusal = BadKey::Unreadable;
        let before = self.0.len();
        for maker in makers {
            match maker.read(text.expose()) {
                Ok(key) => self.0.push(Entry { id: id.map(str::to_owned), text: text.clone(), key }),
                Err(bad) => refusal = bad,
            }
        }
        if self.0.len() > before { Ok(()) } else { Err(refusal) }
    }

    /// Whether the source has none.
    pub(in crate::signature) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of the first that counts at `at`.
    pub(in crate::signature) fn text(&self, at: Timestamp) -> Option<&Secret> {
        self.0.iter().map(|entry| &entry.text).find(|text| text.is_valid_at(at))
    }

    /// Those that count at `at`, sign with `maker` (`None`: with whatever they are made for) and go by `id`.
    pub(in crate::signature) fn find(
        &self,
        maker: Option<Maker>,
        id: Option<&str>,
        at: Timestamp,
    ) -> Result<Vec<&RingKey>, Reason> {
        let mut valid = self.0.iter().filter(|entry| entry.text.is_valid_at(at)).peekable();
        if valid.peek().is_none() {
            return Err(Reason::NoSecret);
        }
        let named = |entry: &&Entry| id.is_none() || entry.id.is_none() || entry.id.as_deref() == id;
        let made = |entry: &&Entry| maker.is_none_or(|maker| entry.key.maker() == maker);
        let found: Vec<_> = valid.filter(named).filter(made).map(|entry| &entry.key).collect();
        if found.is_empty() { Err(Reason::UnknownKey) } else { Ok(found) }
    }
}

/// Whether one of `keys` made one of `signatures` over the message that `feed` gives.
pub(in crate::signature) fn prove(keys: &[Cow<'_, RingKey>], signatures: &[&[u8]], feed: Feed<'_>) -> Result<(), Reason> {
    if signatures.len() > SIGNATURES_MAX {
        return Err(Reason::BadEncoding);
    }
    let mut taken: Option<(Algorithm, Message)> = None;
    for key in keys {
        let proved = match &**key {
            RingKey::Public(key) => {
                let message = match &taken {
                    Some((algorithm, message)) if *algorithm == key.algorithm() => message,
                    _ => {
                        let mut message = key.algorithm().start();
                        feed(&mut |piece| message.update(piece))?;
                        &taken.insert((key.algorithm(), message)).1
                    }
                };
                signatures.iter().any(|signature| key.verifies(message, signature))
            }
            RingKey::Mac(_, keyed) => {
                let mut keyed = keyed.clone();
                feed(&mut |piece| keyed.update(piece))?;
                let tag = keyed.finish();
                signatures.iter().any(|signature| tag.is(signature))
            }
        };
        if proved {
            return Ok(());
        }
    }
    Err(Reason::Mismatch)
}

impl std::fmt::Debug for RingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RingKey({:?}, masked)", self.maker())
    }
}
