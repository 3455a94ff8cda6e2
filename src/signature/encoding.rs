//! How bytes are written as text in headers and secrets. Strict: what is not exactly that encoding is nothing.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, general_purpose};
use serde::{Deserialize, Serialize};

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// The text's own bytes.
    #[default]
    Utf8,
    /// Hexadecimal, both cases.
    Hex,
    /// Base64 with `+` and `/`.
    Base64,
    /// Base64 with `-` and `_`.
    Base64url,
}

const UNPADDED_TOO: GeneralPurposeConfig = general_purpose::NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// Secrets are copied by people, who lose a `=` at the end.
const SECRET: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, UNPADDED_TOO);
/// Of those who sign with it, some pad and some do not.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, UNPADDED_TOO);

impl Encoding {
    /// The bytes of a signature or of a hash; base64 must be padded.
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => STANDARD.decode(text).ok(),
            other => other.decode_secret(text.as_bytes()),
        }
    }

    /// The bytes of a secret; base64 may lack its padding.
    pub(super) fn decode_secret(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.to_vec()),
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => SECRET.decode(text).ok(),
            Self::Base64url => URL_SAFE.decode(text).ok(),
        }
    }

    /// The text of bytes; what is not UTF-8 cannot be written as such.
    pub(super) fn encode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Self::Hex => Some(hex::encode(bytes)),
            Self::Base64 => Some(STANDARD.encode(bytes)),
            Self::Base64url => Some(URL_SAFE_NO_PAD.encode(bytes)),
        }
    }

    /// Its name for people.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Utf8 => "text",
            Self::Hex => "hexadecimal",
            Self::Base64 => "base64",
            Self::Base64url => "base64url",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_strict_and_secrets_may_lack_padding() {
        assert_eq!(Encoding::Hex.decode("0aFf"), Some(vec![10, 255]));
        for bad in ["0aF", " 0a", "0a ", "0x0a", "zz"] {
            assert_eq!(Encoding::Hex.decode(bad), None, "{bad:?}");
        }
        assert_eq!(Encoding::Base64.decode("/+8="), Some(vec![255, 239]));
        for bad in ["/+8", "/+8==", "_-8=", "/+9=", " /+8=", "/+8=\n"] {
            assert_eq!(Encoding::Base64.decode(bad), None, "{bad:?}");
        }
        assert_eq!(Encoding::Base64.decode_secret(b"/+8"), Some(vec![255, 239]));
        assert_eq!(Encoding::Base64url.decode("_-8"), Encoding::Base64url.decode("_-8="));
    }
}
