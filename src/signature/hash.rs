//! Hashes and keyed hashes. The keyed state is made once a secret; a request only clones it.
//!
//! A [`Tag`] is compared in constant time and never printed.

use std::convert::Infallible;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::encoding::Encoding;

/// A hash function, as a scheme names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Hash {
    /// MD5: only where a provider knows nothing better.
    Md5,
    /// SHA-1: only where a provider knows nothing better.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The longest tag of the hashes above.
const TAG_BYTES_MAX: usize = 64;

/// What a keyed hash (or a hash) gives for one text.
pub(super) struct Tag {
    bytes: [u8; TAG_BYTES_MAX],
    length: usize,
}

/// An HMAC that has taken its key and, after a clone, takes the text.
#[derive(Clone)]
pub(super) enum Keyed {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl Hash {
    /// Of the text that `feed` gives piece by piece.
    pub(super) fn of<E>(self, feed: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), E>) -> Result<Tag, E> {
        match self {
            Self::Md5 => hash_of::<Md5, E>(feed),
            Self::Sha1 => hash_of::<Sha1, E>(feed),
            Self::Sha256 => hash_of::<Sha256, E>(feed),
            Self::Sha384 => hash_of::<Sha384, E>(feed),
            Self::Sha512 => hash_of::<Sha512, E>(feed),
        }
    }

    /// Of one text.
    pub(super) fn of_bytes(self, text: &[u8]) -> Tag {
        let feed = |sink: &mut dyn FnMut(&[u8])| {
            sink(text);
            Ok::<(), Infallible>(())
        };
        let Ok(tag) = self.of(feed);
        tag
    }

    /// How long its output is.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Keyed {
    /// With its key; `None` is for keys that HMAC cannot take, of which there are none.
    pub(super) fn try_new(hash: Hash, key: &[u8]) -> Option<Self> {
        Some(match hash {
            Hash::Md5 => Self::Md5(Hmac::new_from_slice(key).ok()?),
            Hash::Sha1 => Self::Sha1(Hmac::new_from_slice(key).ok()?),
            Hash::Sha256 => Self::Sha256(Hmac::new_from_slice(key).ok()?),
            Hash::Sha384 => Self::Sha384(Hmac::new_from_slice(key).ok()?),
            Hash::Sha512 => Self::Sha512(Hmac::new_from_slice(key).ok()?),
        })
    }

    /// Takes the next piece of the text.
    pub(super) fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Md5(mac) => mac.update(piece),
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha256(mac) => mac.update(piece),
            Self::Sha384(mac) => mac.update(piece),
            Self::Sha512(mac) => mac.update(piece),
        }
    }

    /// The tag of all pieces.
    pub(super) fn finish(self) -> Tag {
        match self {
            Self::Md5(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha1(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha256(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha384(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Tag::new(&mac.finalize().into_bytes()),
        }
    }

    /// The tag of the text that `feed` gives piece by piece. Only this hash's own state is cloned, which is half of the longest one.
    pub(super) fn tag_of<E>(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), E>) -> Result<Tag, E> {
        match self {
            Self::Md5(keyed) => tag_of(keyed, feed),
            Self::Sha1(keyed) => tag_of(keyed, feed),
            Self::Sha256(keyed) => tag_of(keyed, feed),
            Self::Sha384(keyed) => tag_of(keyed, feed),
            Self::Sha512(keyed) => tag_of(keyed, feed),
        }
    }
}

fn hash_of<D: Digest, E>(feed: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), E>) -> Result<Tag, E> {
    let mut running = D::new();
    feed(&mut |piece| running.update(piece))?;
    Ok(Tag::new(&running.finalize()))
}

fn tag_of<M: Mac + Clone, E>(keyed: &M, feed: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), E>) -> Result<Tag, E> {
    let mut mac = keyed.clone();
    feed(&mut |piece| mac.update(piece))?;
    Ok(Tag::new(&mac.finalize().into_bytes()))
}

impl Tag {
    /// From the output of a hash; what is longer than every hash is cut, and can then match nothing.
    pub(super) fn new(output: &[u8]) -> Self {
        let length = output.len().min(TAG_BYTES_MAX);
        let mut bytes = [0; TAG_BYTES_MAX];
        bytes[..length].copy_from_slice(&output[..length]);
        Self { bytes, length }
    }

    /// From what a request claims: text that stands for exactly that many bytes.
    pub(super) fn claimed(encoding: Encoding, text: &str, length: usize) -> Option<Self> {
        let mut tag = Self { bytes: [0; TAG_BYTES_MAX], length };
        encoding.decode_exactly(text, tag.bytes.get_mut(..length)?)?;
        Some(tag)
    }

    /// Its bytes, for the one who signs.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Whether it is `claimed`, whole.
    pub(super) fn is(&self, claimed: &[u8]) -> bool {
        claimed.len() == self.length && self.equals(&Self::new(claimed))
    }

    /// The same, compared in constant time: all words are taken together before any of them decides. Byte by byte, the comparison
    /// would cost as much as a block of the hash.
    pub(super) fn equals(&self, claimed: &Self) -> bool {
        if claimed.length != self.length {
            return false;
        }
        let difference = self.words().zip(claimed.words()).fold(0, |any, (mine, theirs)| any | (mine ^ theirs));
        subtle::ConstantTimeEq::ct_eq(&difference, &0).into()
    }

    /// Zeros follow a tag that is shorter.
    fn words(&self) -> impl Iterator<Item = u64> {
        self.bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 and RFC 4231, test case 2.
    #[test]
    fn known_answers() {
        let answers = [
            (Hash::Md5, "750c783e6ab0b503eaa86e310a5db738"),
            (Hash::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Hash::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ];
        for (hash, answer) in answers {
            let mut keyed = Keyed::try_new(hash, b"Jefe").unwrap();
            keyed.update(b"what do ya want ");
            keyed.update(b"for nothing?");
            let tag = keyed.finish();
            assert_eq!(hex::encode(tag.as_bytes()), answer);
            assert_eq!(tag.as_bytes().len(), hash.bytes());
            assert!(tag.is(&hex::decode(answer).unwrap()));
            assert!(!tag.is(&tag.as_bytes()[..8]) && !tag.is(b""));
            for at in 0..hash.bytes() {
                let mut other = tag.as_bytes().to_vec();
                other[at] ^= 0x80;
                assert!(!tag.is(&other), "byte {at}");
            }
        }
    }
}
