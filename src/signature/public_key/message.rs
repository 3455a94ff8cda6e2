//! What is signed, taken piece by piece: hashed at once, so that a large body costs no second copy.

use aws_lc_rs::digest;

/// Bytes of a message of Ed25519, which has to be whole: no provider that signs with it sends a hundredth of it.
const WHOLE_BYTES_MAX: usize = 16 << 20;

/// A message on its way to be verified.
#[derive(Clone)]
pub(in crate::signature) enum Message {
    /// All of it.
    Whole(Vec<u8>),
    /// Only its hash.
    Hash(digest::Context),
    /// More than can be kept: nothing verifies it.
    TooLong,
}

impl Message {
    /// One that has taken nothing yet.
    pub(super) fn new(digest: Option<&'static digest::Algorithm>) -> Self {
        digest.map_or_else(|| Self::Whole(Vec::new()), |algorithm| Self::Hash(digest::Context::new(algorithm)))
    }

    /// Takes the next piece.
    pub(in crate::signature) fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Whole(bytes) if bytes.len() + piece.len() > WHOLE_BYTES_MAX => *self = Self::TooLong,
            Self::Whole(bytes) => bytes.extend_from_slice(piece),
            Self::Hash(context) => context.update(piece),
            Self::TooLong => {}
        }
    }
}
