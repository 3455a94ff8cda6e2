//! Bodies that hold their content encrypted under the source's secret (Feishu). It is opened to find an event's id and type once the
//! sender is proved, and to see whether a request is a challenge. What is delivered stays as it came.
//!
//! The cipher proves nothing by itself: whoever changes a body learns from no answer whether it could be opened.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Secret;
use super::key::Key;
use super::scheme::Way;
use super::view::View;
use crate::pointer;
use crate::time::Timestamp;

/// One block of AES.
const BLOCK_BYTES: usize = 16;

/// Where the encrypted content stands, and how it is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSealed {
    /// A JSON pointer to its base64.
    pub(super) json: String,
    pub(super) cipher: Cipher,
}

/// A way to encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cipher {
    /// With PKCS #7 padding. The key is the secret's SHA-256, and the first block is the initialization vector.
    #[serde(rename = "aes-256-cbc")]
    Aes256Cbc,
}

impl WrittenSealed {
    /// The JSON inside, for the first of `secrets` that opens it; `None` where nothing is sealed, or none does.
    pub(super) fn open<'a>(&self, view: &View<'_>, secrets: impl Iterator<Item = &'a Secret>) -> Option<Vec<u8>> {
        let body = view.body.whole().ok()?;
        let text: String = serde_json::from_str(pointer::read_text(&body, &self.json).ok()??).ok()?;
        let sealed = STANDARD.decode(text).ok()?;
        let Cipher::Aes256Cbc = self.cipher;
        let is_json = |text: &Vec<u8>| serde_json::from_slice::<IgnoredAny>(text).is_ok();
        secrets.filter_map(|secret| aes_256_cbc(&sealed, secret)).find(is_json)
    }
}

impl Way {
    /// What an event's id and type are read in, where that is not the body itself.
    pub(super) fn naming_body(&self, view: &View<'_>, keys: &[Key], at: Timestamp) -> Option<Vec<u8>> {
        let Some(sealed) = &self.sealed else { return self.inner_body(view).ok().flatten() };
        sealed.open(view, keys.iter().filter(|key| key.is_valid_at(at)).map(Key::secret))
    }
}

fn aes_256_cbc(sealed: &[u8], secret: &Secret) -> Option<Vec<u8>> {
    let (iv, text) = sealed.split_first_chunk::<BLOCK_BYTES>()?;
    let key = UnboundCipherKey::new(&AES_256, &Sha256::digest(secret.expose())).ok()?;
    let mut text = text.to_vec();
    let opened =
        PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?.decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(iv)));
    opened.ok().map(|opened| opened.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Received};
    use crate::signature::{Options, Verifier, preset};
    use aws_lc_rs::cipher::PaddedBlockEncryptingKey;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn secret(text: &str) -> Secret {
        Secret::try_new(text.into(), None).unwrap()
    }

    /// The example of Feishu's documentation.
    #[test]
    fn the_documented_example_is_opened() {
        let sealed = STANDARD.decode("P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=").unwrap();
        assert_eq!(aes_256_cbc(&sealed, &secret("test key")).unwrap(), b"hello world");
        assert_ne!(aes_256_cbc(&sealed, &secret("another key")).unwrap_or_default(), b"hello world");
        for cut in [0, 15, 16, 31] {
            assert_eq!(aes_256_cbc(&sealed[..cut], &secret("test key")), None, "{cut}");
        }
    }

    /// `text` as Feishu encrypts it.
    fn sealed(text: &str, secret: &Secret) -> String {
        let key = UnboundCipherKey::new(&AES_256, &Sha256::digest(secret.expose())).unwrap();
        let mut bytes = text.as_bytes().to_vec();
        let context = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap().encrypt(&mut bytes).unwrap();
        let iv: &[u8] = (&context).try_into().unwrap();
        format!(r#"{{"encrypt":"{}"}}"#, STANDARD.encode([iv, &bytes].concat()))
    }

    #[test]
    fn id_and_type_are_read_inside_and_the_body_stays() {
        let (old, new) = (secret("old"), secret("new"));
        let scheme = preset::find("feishu-lark").unwrap().scheme.clone();
        let verifier = Verifier::try_new(scheme, vec![new, old.clone()], Options::default()).unwrap();
        let named = |body: &str| {
            let tag = hex::encode(Sha256::digest(format!("1790000000n1old{body}")));
            let fields =
                [("x-lark-request-timestamp", "1790000000"), ("x-lark-request-nonce", "n1"), ("x-lark-signature", tag.as_str())];
            let field = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
            let verified = verifier.verify(Received {
                method: "POST".into(),
                target: "/".into(),
                authority: "hooks.example".into(),
                headers: fields.iter().map(field).collect::<Headers>(),
                body: body.to_owned().into(),
                peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
                at: Timestamp::from_ms(1_790_000_000_000),
            });
            let verified = verified.unwrap();
            assert_eq!(verified.received().body, body);
            (verified.provider_event_id().map(str::to_owned), verified.kind().map(str::to_owned))
        };
        const EVENT: &str = r#"{"header":{"event_id":"e1","event_type":"im.message"}}"#;
        let expected = (Some("e1".to_owned()), Some("im.message".to_owned()));
        assert_eq!(named(&sealed(EVENT, &old)), expected);
        assert_eq!(named(EVENT), expected);
        assert_eq!(named(&sealed(EVENT, &secret("other"))), (None, None));
        assert_eq!(named(r#"{"encrypt":"?"}"#), (None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_opened_without_a_panic(bytes: Vec<u8>) {
            let _ = aes_256_cbc(&bytes, &secret("test key"));
        }
    }
}
