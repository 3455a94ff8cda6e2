//! A token of the admin API: what it is known by, and what it allows.
//!
//! Never here: a comparison that tells by its time how close a guess was. Only hashes are compared, so not even a length shows.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::record::Name;
use crate::signature::Secret;
use crate::time::Timestamp;

/// Bytes of a token that nobody guesses, however fast: 128 bits need so many characters. (Whether they are random, nobody can see.)
pub(super) const STRONG_BYTES_MIN: usize = 22;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To look.
    Viewer,
    /// To look and to act.
    Operator,
}

impl Role {
    /// The word for it in relay.toml and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// One token of the admin API.
#[derive(Debug)]
pub struct Token {
    /// For logs.
    pub name: Name,
    /// What it allows.
    pub role: Role,
    /// Whether masks do not count for it.
    pub unmasked: bool,
    /// What it is known by.
    pub proof: Proof,
    /// It counts until then; `None`: for good.
    pub until: Option<Timestamp>,
}

/// What a token is known by: its SHA-256, and the token itself where relay.toml names it.
#[derive(Clone)]
pub struct Proof {
    hash: [u8; 32],
    secret: Option<Secret>,
}

impl Token {
    /// Whether this is the token, and it counts at `now`.
    pub fn is(&self, given: &[u8], now: Timestamp) -> bool {
        self.proof.is_of(given) & self.counts_at(now)
    }

    /// Whether it counts at `now`.
    pub fn counts_at(&self, now: Timestamp) -> bool {
        let of_secret = self.proof.secret.as_ref().is_none_or(|secret| secret.is_valid_at(now));
        of_secret && self.until.is_none_or(|until| now < until)
    }
}

impl Proof {
    /// Of a token that is known.
    pub fn of(secret: Secret) -> Self {
        Self { hash: Sha256::digest(secret.expose()).into(), secret: Some(secret) }
    }

    /// Of a token of which only the hash is known.
    pub fn of_hash(hash: [u8; 32]) -> Self {
        Self { hash, secret: None }
    }

    /// The token itself, where it is known.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// Whether guessing it is without hope, so that there is no need to make it slow. A hash is of a long random token: that is what
    /// it is for.
    pub fn is_strong(&self) -> bool {
        self.secret.as_ref().is_none_or(|secret| secret.expose().len() >= STRONG_BYTES_MIN)
    }

    /// Whether both are of the same token.
    pub fn is_same(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.hash[..], &other.hash[..]).into()
    }

    fn is_of(&self, given: &[u8]) -> bool {
        self.is_same(&Self::of_hash(Sha256::digest(given).into()))
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(proof: Proof, until: Option<Timestamp>) -> Token {
        Token { name: Name::try_new("ops").unwrap(), role: Role::Viewer, unmasked: false, proof, until }
    }

    fn secret(text: &str, until: Option<Timestamp>) -> Proof {
        Proof::of(Secret::try_new(text.into(), until).unwrap())
    }

    #[test]
    fn a_token_is_known_by_itself_and_by_its_hash() {
        let now = Timestamp::from_ms(1000);
        let hashed = Proof::of_hash(Sha256::digest(b"abc").into());
        for proof in [secret("abc", None), hashed.clone()] {
            let token = token(proof, None);
            assert!(token.is(b"abc", now) && !token.is(b"abd", now) && !token.is(b"ab", now) && !token.is(b"", now));
        }
        assert!(hashed.is_same(&secret("abc\n", None)) && !hashed.is_same(&secret("abd", None)));
        assert!(hashed.is_strong() && hashed.secret().is_none() && !secret("abc", None).is_strong());
        assert!(secret("0123456789abcdef012345", None).is_strong());
        assert_eq!(format!("{:?}", secret("abc", None)), "Proof(masked)");
    }

    #[test]
    fn both_ends_count() {
        let (before, end) = (Timestamp::from_ms(999), Timestamp::from_ms(1000));
        for token in [token(secret("abc", Some(end)), None), token(secret("abc", None), Some(end))] {
            assert!(token.is(b"abc", before) && !token.is(b"abc", end));
        }
    }
}
