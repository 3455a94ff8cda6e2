//! A key's text: what people copy from a provider's page, and what providers publish. Which form it is shows in the text itself.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::der::{self, BIT_STRING, INTEGER, OID};
use super::pem;
use super::{BadKey, KeyType, Material, jwk};
use crate::signature::x509::Certificate;

/// People lose a `=` at the end when they copy.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Bytes of an Ed25519 key.
const ED25519_BYTES: usize = 32;
/// What Standard Webhooks writes before its public keys.
const STANDARD_PUBLIC: &str = "whpk_";
/// ... and before what must not stand here.
const STANDARD_SECRETS: [&str; 2] = ["whsk_", "whsec_"];

/// Object identifiers, as DER writes their content.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];

impl Material {
    /// From one key's text.
    pub(in crate::signature) fn read(text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadKey::Empty);
        }
        if STANDARD_SECRETS.iter().any(|prefix| text.starts_with(prefix)) {
            return Err(BadKey::Secret);
        }
        if let Some(raw) = text.strip_prefix(STANDARD_PUBLIC) {
            return BASE64.decode(raw).ok().and_then(ed25519).ok_or(BadKey::Unreadable);
        }
        if text.starts_with('{') {
            return jwk::read_one(text);
        }
        if pem::is_pem(text) {
            return Self::read_pem(text);
        }
        if text.len() == 2 * ED25519_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return hex::decode(text).ok().and_then(ed25519).ok_or(BadKey::Unreadable);
        }
        let bytes = BASE64.decode(pem::joined(text)).map_err(|_| BadKey::Unreadable)?;
        ed25519(bytes.clone()).or_else(|| Self::from_der(&bytes)).ok_or(BadKey::Unreadable)
    }

    fn read_pem(text: &str) -> Result<Self, BadKey> {
        let blocks = pem::blocks(text).ok_or(BadKey::Unreadable)?;
        let [block] = &blocks[..] else { return Err(BadKey::Several) };
        match block.label {
            label if label.ends_with("PRIVATE KEY") => Err(BadKey::Private),
            "PUBLIC KEY" => Self::from_spki(&block.der).ok_or(BadKey::Unreadable),
            "RSA PUBLIC KEY" => Self::from_pkcs1(&block.der).ok_or(BadKey::Unreadable),
            "CERTIFICATE" => Certificate::read(&block.der).and_then(|c| Self::from_spki(c.spki)).ok_or(BadKey::Unreadable),
            _ => Err(BadKey::Unreadable),
        }
    }

    fn from_der(bytes: &[u8]) -> Option<Self> {
        let certificate = || Certificate::read(bytes).and_then(|c| Self::from_spki(c.spki));
        Self::from_spki(bytes).or_else(|| Self::from_pkcs1(bytes)).or_else(certificate)
    }

    /// From a `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
    pub(in crate::signature) fn from_spki(bytes: &[u8]) -> Option<Self> {
        let mut info = der::whole_sequence(bytes)?;
        let mut algorithm = info.sequence()?;
        let bits = info.tagged(BIT_STRING)?;
        let (name, key) = (algorithm.tagged(OID)?, bits.strip_prefix(&[0])?);
        if !info.is_empty() {
            return None;
        }
        let kind = match name {
            ED25519 if algorithm.is_empty() => return ed25519(key.to_vec()),
            RSA => return Self::from_pkcs1(key),
            EC => match algorithm.tagged(OID)? {
                P256 => KeyType::P256,
                P384 => KeyType::P384,
                P521 => KeyType::P521,
                _ => return None,
            },
            _ => return None,
        };
        Self::from_point(kind, key.to_vec())
    }

    /// From an uncompressed point; whether it is on its curve shows when the key is made.
    pub(super) fn from_point(kind: KeyType, bytes: Vec<u8>) -> Option<Self> {
        let coordinate = coordinate_bytes(kind)?;
        (bytes.first() == Some(&4) && bytes.len() == 1 + 2 * coordinate).then_some(Self { kind, bytes })
    }

    /// From an `RSAPublicKey`.
    fn from_pkcs1(bytes: &[u8]) -> Option<Self> {
        let mut numbers = der::whole_sequence(bytes)?;
        der::positive(numbers.tagged(INTEGER)?)?;
        der::positive(numbers.tagged(INTEGER)?)?;
        numbers.is_empty().then(|| Self { kind: KeyType::Rsa, bytes: bytes.to_vec() })
    }
}

/// Bytes of one coordinate; `None` for what is no curve.
pub(super) fn coordinate_bytes(kind: KeyType) -> Option<usize> {
    match kind {
        KeyType::P256 => Some(32),
        KeyType::P384 => Some(48),
        KeyType::P521 => Some(66),
        KeyType::Ed25519 | KeyType::Rsa => None,
    }
}

pub(super) fn ed25519(bytes: Vec<u8>) -> Option<Material> {
    (bytes.len() == ED25519_BYTES).then_some(Material { kind: KeyType::Ed25519, bytes })
}
