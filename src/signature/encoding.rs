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

    /// The same where the bytes must fill `out` exactly. Asks for no memory.
    pub(super) fn decode_exactly(self, text: &str, out: &mut [u8]) -> Option<()> {
        let length = match self {
            Self::Utf8 if text.len() == out.len() => {
                out.copy_from_slice(text.as_bytes());
                out.len()
            }
            Self::Utf8 => return None,
            Self::Hex => decode_hex(text.as_bytes(), out).map(|()| out.len())?,
            Self::Base64 => STANDARD.decode_slice(text, out).ok()?,
            Self::Base64url => URL_SAFE.decode_slice(text, out).ok()?,
        };
        (length == out.len()).then_some(())
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

/// Nearly every signature is hexadecimal. Without a branch or a table in its loops, the compiler takes sixteen digits in one step.
fn decode_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    const STEP: usize = 64;
    if text.len() != 2 * out.len() {
        return None;
    }
    let mut seen = 0;
    for (text, out) in text.chunks(STEP).zip(out.chunks_mut(STEP / 2)) {
        let mut digits = [0; STEP];
        for (digit, &character) in digits.iter_mut().zip(text) {
            *digit = digit_of(character);
            seen |= *digit;
        }
        for (byte, pair) in out.iter_mut().zip(digits.as_chunks::<2>().0) {
            let pair = u16::from_le_bytes(*pair);
            *byte = (pair << 4 | pair >> 8) as u8;
        }
    }
    (seen < 16).then_some(())
}

/// What a digit of hexadecimal stands for; 16 or more for what is none.
fn digit_of(character: u8) -> u8 {
    let (number, letter) = (character.wrapping_sub(b'0'), (character | 0x20).wrapping_sub(b'a'));
    let number = if number > 9 { u8::MAX } else { number };
    number.min(letter.saturating_add(10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn what_fills_its_place_exactly_is_what_is_decoded(
            bytes in prop::collection::vec(any::<u8>(), 0..70),
            noise in "[0-9A-Fa-fg+/_= -]{0,12}",
            place in 0usize..70,
        ) {
            for encoding in [Encoding::Utf8, Encoding::Hex, Encoding::Base64, Encoding::Base64url] {
                let texts = encoding.encode(&bytes).into_iter().chain([noise.clone()]);
                for text in texts.flat_map(|text| [text.to_uppercase(), text]) {
                    for place in [place, bytes.len()] {
                        let mut out = vec![0; place];
                        let decoded = encoding.decode(&text).filter(|decoded| decoded.len() == place);
                        prop_assert_eq!(encoding.decode_exactly(&text, &mut out).map(|()| out), decoded, "{:?} {}", encoding, text);
                    }
                }
            }
        }
    }
}
