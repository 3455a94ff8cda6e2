//! A shared secret. Masked in every output, cleared when dropped, read only by the schemes beside this file.

use std::fmt;

use zeroize::Zeroizing;

use crate::time::Timestamp;

/// A shared secret as configured (its text, before a scheme decodes it), and how long it counts.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<Vec<u8>>,
    until: Option<Timestamp>,
    slot: Option<String>,
}

/// A secret that cannot be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Nothing (or only a line end) is there.
    #[error("the secret is empty")]
    Empty,
    /// The scheme needs a user and a password.
    #[error("the secret is not user:password")]
    NoPassword,
    /// The scheme has no such slot.
    #[error("the secret is for a slot that this provider does not have")]
    Slot,
    /// The scheme needs an encoding that the text does not have.
    #[error("the secret is not {0}")]
    Encoding(&'static str),
}

impl Secret {
    /// From the bytes of a file or a variable; one trailing LF or CRLF is not part of it. `until`: not valid from then on.
    pub fn try_new(mut text: Vec<u8>, until: Option<Timestamp>) -> Result<Self, BadSecret> {
        if text.last() == Some(&b'\n') {
            text.pop();
            if text.last() == Some(&b'\r') {
                text.pop();
            }
        }
        if text.is_empty() { Err(BadSecret::Empty) } else { Ok(Self { text: Zeroizing::new(text), until, slot: None }) }
    }

    /// The same for one slot only, where a provider has several headers with a key each (Box: `primary` and `secondary`).
    pub fn in_slot(self, slot: String) -> Self {
        Self { slot: Some(slot), ..self }
    }

    /// The same with another text, for those whose text was encoded.
    pub(super) fn with_text(&self, text: Vec<u8>) -> Self {
        Self { text: Zeroizing::new(text), ..self.clone() }
    }

    /// The slot that it is for; `None`: every one.
    pub fn slot(&self) -> Option<&str> {
        self.slot.as_deref()
    }

    /// Whether it counts at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// The bytes themselves, for those who must send or compare them (a destination's header, an admin token).
    pub fn expose(&self) -> &[u8] {
        &self.text
    }

    /// Compares in constant time (the length may show).
    pub fn equals(&self, other: &[u8]) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.text[..], other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_no_part_of_it() {
        let secret = |text: &[u8]| Secret::try_new(text.to_vec(), None).map(|s| s.expose().to_vec());
        assert_eq!(secret(b"abc\r\n").unwrap(), b"abc");
        assert_eq!(secret(b"abc\n\n").unwrap(), b"abc\n");
        assert_eq!(secret(b"\n").unwrap_err(), BadSecret::Empty);
        assert_eq!(secret(b" ").unwrap(), b" ");
    }

    #[test]
    fn it_is_masked() {
        assert_eq!(format!("{:?}", Secret::try_new(b"abc".to_vec(), None).unwrap()), "Secret(masked)");
    }
}
