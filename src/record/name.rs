//! Names of sources and destinations: short, and safe in a path, a label and a key.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a source or a destination: 1 to 64 characters of `a-z A-Z 0-9 _ - .`, shared cheaply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Text that cannot be a [`Name`].
#[derive(Debug, thiserror::Error)]
#[error("a name has 1 to {} characters of a-z, A-Z, 0-9, '_', '-' and '.'", Name::LENGTH_MAX)]
pub struct BadName;

impl Name {
    /// So that a name fits a metric's label and a store's key.
    pub const LENGTH_MAX: usize = 64;

    /// A name from text.
    pub fn try_new(text: &str) -> Result<Self, BadName> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let good = (1..=Self::LENGTH_MAX).contains(&text.len()) && text.bytes().all(legal);
        if good { Ok(Self(text.into())) } else { Err(BadName) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::try_new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        assert!(Name::try_new("billing.eu-1_a").is_ok());
        for bad in ["", "a b", "a/b", "naïve", &"x".repeat(65)] {
            assert!(Name::try_new(bad).is_err(), "{bad:?}");
        }
    }
}
