//! Public keys, and what they verify. The algorithm always comes from the scheme, never from the request: a key is made for one
//! algorithm, and what does not fit it is refused when it is loaded.

pub(super) mod der;
pub(super) mod jwk;
pub(super) mod message;
pub(super) mod pem;

mod read;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as sig, ParsedPublicKey, VerificationAlgorithm};
use serde::{Deserialize, Serialize};

pub(super) use message::Message;

/// How a signature is made. `Der` and `Fixed` are the two ways to write one of ECDSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Algorithm {
    Ed25519,
    /// SHA-1: only where a provider knows nothing better.
    EcdsaP256Sha1Der,
    EcdsaP256Sha256Der,
    EcdsaP256Sha256Fixed,
    EcdsaP384Sha384Der,
    EcdsaP384Sha384Fixed,
    EcdsaP521Sha512Der,
    EcdsaP521Sha512Fixed,
    /// SHA-1: only where a provider knows nothing better.
    RsaPkcs1Sha1,
    RsaPkcs1Sha256,
    RsaPkcs1Sha384,
    RsaPkcs1Sha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
}

/// A type of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyType {
    Ed25519,
    P256,
    P384,
    P521,
    Rsa,
}

/// The numbers of a key, read but not yet made for an algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Material {
    pub(super) kind: KeyType,
    /// Ed25519: 32 bytes; a curve: the uncompressed point; RSA: `RSAPublicKey` (RFC 8017, A.1.1).
    pub(super) bytes: Vec<u8>,
}

/// A key that verifies signatures of one algorithm.
#[derive(Clone)]
pub(super) struct PublicKey {
    algorithm: Algorithm,
    parsed: ParsedPublicKey,
}

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Nothing is there.
    #[error("the key is empty")]
    Empty,
    /// It is in no form that is known.
    #[error("the key is neither PEM, DER in base64, a JSON web key, nor (for Ed25519) 32 bytes in hexadecimal or base64")]
    Unreadable,
    /// What must stay with the one who signs.
    #[error("this is a private key; only the public one belongs here")]
    Private,
    /// A secret of another scheme.
    #[error("this is a secret, not a public key")]
    Secret,
    /// There are several.
    #[error("there are several keys in it; write them one by one")]
    Several,
    /// Another type.
    #[error("the key is {is}, and this provider signs with {wanted}")]
    Type {
        /// What it is.
        is: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// Everybody can sign with it.
    #[error("this Ed25519 key is one of the few that accept forged signatures (all zeros, for example)")]
    Weak,
    /// RSA below 2048 bits, or above 8192.
    #[error("the RSA key has {0} bits; 2048 to 8192 are possible")]
    Bits(usize),
    /// Not a point of its curve, or numbers that are no key.
    #[error("the numbers in it are no key")]
    Numbers,
}

/// Bits of an RSA key: shorter ones can be broken, longer ones cost too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Ed25519 keys of small order, without the sign bit (cf. RFC 8032, section 5.1.7): for each of them there are signatures that hold
/// for many messages, and nobody needs a private key to write one.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

impl Algorithm {
    /// The type of key that it needs.
    pub(super) const fn key_type(self) -> KeyType {
        match self {
            Self::Ed25519 => KeyType::Ed25519,
            Self::EcdsaP256Sha1Der | Self::EcdsaP256Sha256Der | Self::EcdsaP256Sha256Fixed => KeyType::P256,
            Self::EcdsaP384Sha384Der | Self::EcdsaP384Sha384Fixed => KeyType::P384,
            Self::EcdsaP521Sha512Der | Self::EcdsaP521Sha512Fixed => KeyType::P521,
            _ => KeyType::Rsa,
        }
    }

    /// What the message is hashed with; `None` for Ed25519, which takes the message itself.
    fn digest(self) -> Option<&'static digest::Algorithm> {
        match self {
            Self::Ed25519 => None,
            Self::EcdsaP256Sha1Der | Self::RsaPkcs1Sha1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Self::EcdsaP256Sha256Der | Self::EcdsaP256Sha256Fixed | Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => {
                Some(&digest::SHA256)
            }
            Self::EcdsaP384Sha384Der | Self::EcdsaP384Sha384Fixed | Self::RsaPkcs1Sha384 | Self::RsaPssSha384 => {
                Some(&digest::SHA384)
            }
            Self::EcdsaP521Sha512Der | Self::EcdsaP521Sha512Fixed | Self::RsaPkcs1Sha512 | Self::RsaPssSha512 => {
                Some(&digest::SHA512)
            }
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &sig::ED25519,
            Self::EcdsaP256Sha1Der => &sig::ECDSA_P256_SHA1_ASN1,
            Self::EcdsaP256Sha256Der => &sig::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP256Sha256Fixed => &sig::ECDSA_P256_SHA256_FIXED,
            Self::EcdsaP384Sha384Der => &sig::ECDSA_P384_SHA384_ASN1,
            Self::EcdsaP384Sha384Fixed => &sig::ECDSA_P384_SHA384_FIXED,
            Self::EcdsaP521Sha512Der => &sig::ECDSA_P521_SHA512_ASN1,
            Self::EcdsaP521Sha512Fixed => &sig::ECDSA_P521_SHA512_FIXED,
            Self::RsaPkcs1Sha1 => &sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::RsaPkcs1Sha256 => &sig::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPkcs1Sha384 => &sig::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaPkcs1Sha512 => &sig::RSA_PKCS1_2048_8192_SHA512,
            Self::RsaPssSha256 => &sig::RSA_PSS_2048_8192_SHA256,
            Self::RsaPssSha384 => &sig::RSA_PSS_2048_8192_SHA384,
            Self::RsaPssSha512 => &sig::RSA_PSS_2048_8192_SHA512,
        }
    }

    /// A message that has taken nothing yet.
    pub(super) fn start(self) -> Message {
        Message::new(self.digest())
    }
}

impl KeyType {
    /// Its name for people.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::P256 => "ECDSA on P-256",
            Self::P384 => "ECDSA on P-384",
            Self::P521 => "ECDSA on P-521",
            Self::Rsa => "RSA",
        }
    }
}

impl PublicKey {
    /// From the text of a configuration or of a document: PEM, DER in base64, a JSON web key, or 32 bytes for Ed25519.
    pub(super) fn read(algorithm: Algorithm, text: &str) -> Result<Self, BadKey> {
        Self::try_new(algorithm, &Material::read(text)?)
    }

    /// Made for `algorithm`; refused where it does not fit or is weak.
    pub(super) fn try_new(algorithm: Algorithm, material: &Material) -> Result<Self, BadKey> {
        let wanted = algorithm.key_type();
        if material.kind != wanted {
            return Err(BadKey::Type { is: material.kind.title(), wanted: wanted.title() });
        }
        match wanted {
            KeyType::Ed25519 if is_small_order(&material.bytes) => return Err(BadKey::Weak),
            KeyType::Rsa => {
                let bits = rsa_bits(&material.bytes).ok_or(BadKey::Numbers)?;
                if !RSA_BITS.contains(&bits) {
                    return Err(BadKey::Bits(bits));
                }
            }
            _ => {}
        }
        let parsed = ParsedPublicKey::new(algorithm.verification(), &material.bytes).map_err(|_| BadKey::Numbers)?;
        Ok(Self { algorithm, parsed })
    }

    /// What its signatures are made with.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is one of `message`, which was started by the same algorithm.
    pub(super) fn verifies(&self, message: &Message, signature: &[u8]) -> bool {
        match message {
            Message::Whole(bytes) => self.parsed.verify_sig(bytes, signature).is_ok(),
            Message::Hash(context) => self.parsed.verify_digest_sig(&context.clone().finish(), signature).is_ok(),
            Message::TooLong => false,
        }
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PublicKey").field(&self.algorithm).finish()
    }
}

fn is_small_order(key: &[u8]) -> bool {
    let mut key = key.to_vec();
    if let Some(last) = key.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&hex::encode(key).as_str())
}

/// The bits of the modulus of an `RSAPublicKey`.
fn rsa_bits(bytes: &[u8]) -> Option<usize> {
    let mut numbers = der::whole_sequence(bytes)?;
    let modulus = der::positive(numbers.tagged(der::INTEGER)?)?;
    der::positive(numbers.tagged(der::INTEGER)?)?;
    let first = modulus.first()?;
    numbers.is_empty().then_some(modulus.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{self as sig, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::der::{BIT_STRING, OID, SEQUENCE, write};
    use super::*;

    const TEXT: &[u8] = b"what is signed";
    /// `id-Ed25519` and `id-ecPublicKey` with P-256, as an SPKI writes them.
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

    fn spki(oids: &[&[u8]], key: &[u8]) -> Vec<u8> {
        let algorithm: Vec<u8> = oids.iter().flat_map(|oid| write(OID, oid)).collect();
        write(SEQUENCE, &[write(SEQUENCE, &algorithm), write(BIT_STRING, &[&[0], key].concat())].concat())
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn ed25519_pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn message(algorithm: Algorithm, text: &[u8]) -> Message {
        let mut message = algorithm.start();
        text.chunks(5).for_each(|piece| message.update(piece));
        message
    }

    #[test]
    fn every_form_of_a_key_is_the_same_key() {
        let pair = ed25519_pair();
        let key = pair.public_key().as_ref();
        let whole = spki(&[ED25519], key);
        let signature = pair.sign(TEXT);
        for text in [
            hex::encode(key),
            hex::encode_upper(key),
            STANDARD.encode(key),
            STANDARD.encode(key).trim_end_matches('=').to_owned(),
            format!("whpk_{}", STANDARD.encode(key)),
            format!(" {}\n", STANDARD.encode(&whole)),
            pem("PUBLIC KEY", &whole),
            pem("PUBLIC KEY", &whole).replace('\n', ""),
            pem("PUBLIC KEY", &whole).replace('\n', "\\n"),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(key)),
            format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{}"}}]}}"#, URL_SAFE_NO_PAD.encode(key)),
        ] {
            let read = PublicKey::read(Algorithm::Ed25519, &text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(read.verifies(&message(Algorithm::Ed25519, TEXT), signature.as_ref()), "{text}");
            assert!(!read.verifies(&message(Algorithm::Ed25519, b"other"), signature.as_ref()), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_says_why() {
        let read = |text: &str| PublicKey::read(Algorithm::Ed25519, text).unwrap_err();
        let key = ed25519_pair().public_key().as_ref().to_vec();
        assert_eq!(read(" \n"), BadKey::Empty);
        assert_eq!(read(r#"{"keys":[]}"#), BadKey::Empty);
        assert_eq!(read(&hex::encode(&key[..31])), BadKey::Unreadable);
        assert_eq!(read("nonsense"), BadKey::Unreadable);
        assert_eq!(read("whsec_AAAA"), BadKey::Secret);
        assert_eq!(read("whsk_AAAA"), BadKey::Secret);
        assert_eq!(read("whpk_AAAA"), BadKey::Unreadable);
        assert_eq!(read(r#"{"kty":"oct","k":"AAAA"}"#), BadKey::Secret);
        assert_eq!(read(r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA","d":"AAAA"}"#), BadKey::Private);
        assert_eq!(read(r#"{"kty":"OKP","kty":"OKP"}"#), BadKey::Unreadable);
        assert_eq!(read(&pem("PRIVATE KEY", b"x")), BadKey::Private);
        assert_eq!(read(&pem("EC PRIVATE KEY", b"x")), BadKey::Private);
        assert_eq!(read(&pem("PUBLIC KEY", b"x").repeat(2)), BadKey::Several);
        assert_eq!(read(&pem("PUBLIC KEY", &spki(&[EC], &key))), BadKey::Unreadable);
        let point = [&[4][..], &[1; 64]].concat();
        assert_eq!(
            read(&pem("PUBLIC KEY", &spki(&[EC, P256], &point))),
            BadKey::Type { is: "ECDSA on P-256", wanted: "Ed25519" }
        );
        let off_curve = PublicKey::read(Algorithm::EcdsaP256Sha256Der, &pem("PUBLIC KEY", &spki(&[EC, P256], &point)));
        assert_eq!(off_curve.unwrap_err(), BadKey::Numbers);
    }

    #[test]
    fn keys_that_accept_forgeries_are_refused() {
        for weak in SMALL_ORDER {
            let mut bytes = hex::decode(weak).unwrap();
            assert_eq!(PublicKey::read(Algorithm::Ed25519, &hex::encode(&bytes)).unwrap_err(), BadKey::Weak, "{weak}");
            bytes[31] |= 0x80;
            assert_eq!(PublicKey::read(Algorithm::Ed25519, &hex::encode(&bytes)).unwrap_err(), BadKey::Weak, "{weak} negative");
        }
    }

    #[test]
    fn rsa_keys_have_bounds() {
        let key = |bytes: usize| {
            let numbers = [der::write_integer(&vec![0xc1; bytes]), der::write_integer(&[1, 0, 1])].concat();
            PublicKey::read(Algorithm::RsaPkcs1Sha256, &pem("RSA PUBLIC KEY", &write(SEQUENCE, &numbers)))
        };
        assert_eq!(key(128).unwrap_err(), BadKey::Bits(1024));
        assert_eq!(key(255).unwrap_err(), BadKey::Bits(2040));
        assert_eq!(key(1025).unwrap_err(), BadKey::Bits(8200));
        assert!(key(256).is_ok());
    }

    #[test]
    fn the_two_forms_of_ecdsa_are_not_taken_for_each_other() {
        let random = SystemRandom::new();
        let make = |algorithm| {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
            (spki(&[EC, P256], pair.public_key().as_ref()), pair.sign(&random, TEXT).unwrap())
        };
        for (signing, right, wrong) in [
            (&sig::ECDSA_P256_SHA256_ASN1_SIGNING, Algorithm::EcdsaP256Sha256Der, Algorithm::EcdsaP256Sha256Fixed),
            (&sig::ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::EcdsaP256Sha256Fixed, Algorithm::EcdsaP256Sha256Der),
        ] {
            let (spki, signature) = make(signing);
            let verifies = |algorithm, signature: &[u8]| {
                PublicKey::read(algorithm, &STANDARD.encode(&spki)).unwrap().verifies(&message(algorithm, TEXT), signature)
            };
            assert!(verifies(right, signature.as_ref()));
            assert!(!verifies(wrong, signature.as_ref()));
            assert!(!verifies(Algorithm::EcdsaP256Sha1Der, signature.as_ref()));
            assert!(!verifies(right, &[signature.as_ref(), &[0]].concat()));
            assert!(!verifies(right, b""));
        }
    }

    #[test]
    fn a_key_of_a_set_is_only_for_what_it_says() {
        let x = URL_SAFE_NO_PAD.encode(ed25519_pair().public_key().as_ref());
        let made = |more: &str| {
            let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{more}}}"#);
            let value = serde_json::from_str(&key).unwrap();
            jwk::Jwk::new(&value).made_for(Algorithm::Ed25519, Some("EdDSA")).is_some()
        };
        assert!(made("") && made(r#","use":"sig","alg":"EdDSA","key_ops":["verify"]"#));
        for bad in [r#","use":"enc""#, r#","alg":"ES256""#, r#","key_ops":["encrypt"]"#, r#","d":"AA""#, r#","use":1"#] {
            assert!(!made(bad), "{bad}");
        }
        let short = serde_json::json!({ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" });
        assert!(jwk::Jwk::new(&short).made_for(Algorithm::EcdsaP256Sha256Fixed, None).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(-----BEGIN PUBLIC KEY-----)?[A-Za-z0-9+/=]{0,80}(-----END PUBLIC KEY-----)?|.{0,40}") {
            let _ = PublicKey::read(Algorithm::RsaPkcs1Sha256, &text);
        }

        #[test]
        fn any_der_is_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Material::read(&STANDARD.encode(&bytes));
            let _ = Material::read(&pem("CERTIFICATE", &bytes));
        }
    }
}
