//! The steps of a proof by a public key: the key, the signature, and what only counts after it.

use serde_json::Value;

use super::key_source::{Keys, Wish};
use super::ring;
use super::scheme::{Signed, SignedKind};
use super::written::{WrittenContent, WrittenEnvelope};
use crate::pointer;
use crate::signature::body::Body;
use crate::signature::claim::Group;
use crate::signature::documents::Shelf;
use crate::signature::few::Few;
use crate::signature::scheme::Way;
use crate::signature::template::Beside;
use crate::signature::view::View;
use crate::signature::written::WrittenStamp;
use crate::signature::{Reason, Terms, json, jwt, message_signature};
use crate::time::Timestamp;

/// One request, and what it is judged with.
#[derive(Clone, Copy)]
pub(in crate::signature) struct Case<'a> {
    pub(in crate::signature) view: View<'a>,
    pub(in crate::signature) keys: &'a Keys,
    pub(in crate::signature) shelf: &'a Shelf<'a>,
    pub(in crate::signature) at: Timestamp,
    pub(in crate::signature) terms: &'a Terms,
}

/// What a proof found in the request, for the rules and for the event's name.
#[derive(Default)]
pub(in crate::signature) struct Found {
    pub(in crate::signature) envelope: Option<Value>,
    pub(in crate::signature) claims: Option<Value>,
}

impl Way {
    /// Whether a key that counts signed the request in this way. Gives the signed content beside the body, if there is any.
    pub(in crate::signature) fn prove_signed(&self, signed: &Signed, case: Case<'_>) -> Result<Option<Value>, Reason> {
        let inner = self.inner_body(&case.view)?;
        let body = inner.as_deref().map_or(case.view.body, |json| Body::new(json, false));
        let case = Case { view: View { body, ..case.view }, ..case };
        let Some((list, item)) = &self.for_each else { return self.prove_signed_whole(signed, case) };
        let body = case.view.body.whole()?;
        let elements = pointer::elements(&body, list, item).map_err(|_| Reason::BadEncoding)?;
        if elements.is_empty() || elements.len() > ring::SIGNATURES_MAX {
            return Err(Reason::MissingPart);
        }
        for text in elements {
            let view = View { body: Body::new(text.as_bytes(), false), ..case.view };
            self.prove_signed_whole(signed, Case { view, ..case })?;
        }
        Ok(None)
    }

    fn prove_signed_whole(&self, signed: &Signed, case: Case<'_>) -> Result<Option<Value>, Reason> {
        self.meets_requirements(&case.view)?;
        let mut found = match &signed.kind {
            SignedKind::Payload => self.prove_payload(signed, case)?,
            SignedKind::Token(token) => jwt::prove(self, signed, token, case)?,
            SignedKind::Detached(token) => jwt::detached::prove(self, signed, token, case)?,
            SignedKind::Message(profile) => message_signature::prove(signed, profile, case)?,
        };
        if let Some(content) = &signed.content {
            found.claims = Some(content.read(&case.view)?);
        }
        self.judge(signed, &found, case)?;
        Ok(found.claims)
    }

    fn prove_payload(&self, signed: &Signed, case: Case<'_>) -> Result<Found, Reason> {
        let envelope = signed.envelope.as_ref().map(|envelope| envelope.read(&case.view)).transpose()?;
        let mut case = case;
        case.view.unpacked.envelope = envelope.as_ref();
        let view = &case.view;
        let mut texts = Few::new();
        self.add_texts(view, &mut texts)?;
        // Without a signature no key is looked for.
        self.any_group(&texts, &mut |group| if group.claims.is_empty() { Err(group.fault()) } else { Ok(()) })?;
        let id = signed.key_id(view)?;
        let [(_, maker)] = &signed.makers[..] else { return Err(Reason::UnknownVersion) };
        let wish = Wish { maker: *maker, jose: None, id: id.as_deref(), at: case.at };
        let keys = signed.source.find(wish, case.keys, view, case.shelf)?;
        self.any_group(&texts, &mut |group| self.prove_payload_group(group, &keys, case))?;
        Ok(Found { envelope, claims: None })
    }

    fn prove_payload_group(
        &self,
        group: &Group<'_>,
        keys: &[std::borrow::Cow<'_, ring::RingKey>],
        case: Case<'_>,
    ) -> Result<(), Reason> {
        let stamp = match self.stamp.as_ref().filter(|_| !self.stamp_after_proof) {
            Some(stamp) => Some(case.timely(stamp, stamp.text(self, group, &case.view)?)?),
            None => None,
        };
        let beside = Beside { stamp: stamp.as_deref(), fields: Some(&group.fields), ..Beside::default() };
        let signatures: Vec<&[u8]> = group.claims.iter().map(|claim| &claim.bytes[..]).collect();
        if signatures.is_empty() {
            return Err(group.fault());
        }
        let mut refusal = Reason::Mismatch;
        for payload in &self.payloads {
            match ring::prove(keys, &signatures, &|sink| payload.feed(&case.view, &beside, sink)) {
                Ok(()) => return Ok(()),
                Err(reason) => refusal = reason,
            }
        }
        Err(refusal)
    }

    /// What only counts once the signature is proved.
    fn judge(&self, signed: &Signed, found: &Found, case: Case<'_>) -> Result<(), Reason> {
        let mut view = case.view;
        view.unpacked.envelope = found.envelope.as_ref();
        view.unpacked.claims = found.claims.as_ref();
        let after = self.stamp_after_proof || !matches!(signed.kind, SignedKind::Payload);
        if let Some(stamp) = self.stamp.as_ref().filter(|stamp| after && stamp.is_bounded(case.terms.tolerance)) {
            case.timely(stamp, stamp.text(self, &Group::default(), &view)?)?;
        }
        if let Some(body_hash) = &self.body_hash {
            body_hash.holds(&view)?;
        }
        signed.rules.iter().try_for_each(|rule| rule.holds(&view))?;
        case.terms.requirements.iter().try_for_each(|requirement| requirement.holds(&view))
    }
}

impl Case<'_> {
    /// The text of a timestamp that is neither too old nor too far ahead.
    fn timely<T: AsRef<str>>(&self, stamp: &WrittenStamp, text: T) -> Result<T, Reason> {
        stamp.judge(text.as_ref(), self.at, self.terms.tolerance)?;
        Ok(text)
    }
}

impl Signed {
    /// The key's id as the request names it.
    pub(in crate::signature) fn key_id(&self, view: &View<'_>) -> Result<Option<String>, Reason> {
        let Some((place, name)) = &self.key_id else { return Ok(None) };
        let id = view.value(*place, name)?.ok_or(Reason::MissingPart)?;
        String::from_utf8(id.into_owned()).map(Some).map_err(|_| Reason::UnknownKey)
    }
}

impl WrittenEnvelope {
    fn read(&self, view: &View<'_>) -> Result<Value, Reason> {
        let text = view.value(self.place, &self.name)?.filter(|text| !text.is_empty()).ok_or(Reason::MissingHeader)?;
        let text = std::str::from_utf8(&text).map_err(|_| Reason::BadEncoding)?;
        let json = self.encoding.decode(text).ok_or(Reason::BadEncoding)?;
        json::strict_object(&json).map_err(|_| Reason::BadEncoding)
    }
}

impl WrittenContent {
    fn read(&self, view: &View<'_>) -> Result<Value, Reason> {
        let text = view.value(self.place, &self.name)?.ok_or(Reason::MissingPart)?;
        json::strict_object(&text).map_err(|_| Reason::BadEncoding)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature as sig;
    use aws_lc_rs::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::record::Received;
    use crate::signature::{ConfiguredKey, Options, Scheme, Secret, Verifier};

    const NOW: u64 = 1_790_000_000;

    /// What signs, and its public key as text.
    type Pair = (Box<dyn Fn(&[u8]) -> Vec<u8>>, String);

    fn ed25519() -> Pair {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = hex::encode(pair.public_key());
        (Box::new(move |text| pair.sign(text).as_ref().to_vec()), key)
    }

    fn ecdsa(curve: &str, algorithm: &'static EcdsaSigningAlgorithm) -> Pair {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let (_, point) = pair.public_key().as_ref().split_first().unwrap();
        let (x, y) = point.split_at(point.len() / 2);
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
        let key = format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#);
        (Box::new(move |text| pair.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec()), key)
    }

    fn pairs() -> [(&'static str, Pair); 7] {
        [
            ("ed25519", ed25519()),
            ("ecdsa-p256-sha256-der", ecdsa("P-256", &sig::ECDSA_P256_SHA256_ASN1_SIGNING)),
            ("ecdsa-p256-sha256-fixed", ecdsa("P-256", &sig::ECDSA_P256_SHA256_FIXED_SIGNING)),
            ("ecdsa-p384-sha384-der", ecdsa("P-384", &sig::ECDSA_P384_SHA384_ASN1_SIGNING)),
            ("ecdsa-p384-sha384-fixed", ecdsa("P-384", &sig::ECDSA_P384_SHA384_FIXED_SIGNING)),
            ("ecdsa-p521-sha512-der", ecdsa("P-521", &sig::ECDSA_P521_SHA512_ASN1_SIGNING)),
            ("ecdsa-p521-sha512-fixed", ecdsa("P-521", &sig::ECDSA_P521_SHA512_FIXED_SIGNING)),
        ]
    }

    fn verifier(algorithm: &str, key: &str) -> Verifier {
        let scheme: Scheme = toml::from_str(&format!(
            r#"kind = "signature"
            algorithms = ["{algorithm}"]
            signature = [{{ in = "header", name = "X-Sig", encoding = "base64" }}]
            timestamp = {{ in = "header", name = "X-At", format = "unix", max_age = 300, max_future = 300 }}
            payload = "{{ts}}.{{body}}""#
        ))
        .unwrap();
        let text = Secret::try_new(key.as_bytes().to_vec(), None).unwrap();
        let keys = vec![ConfiguredKey { id: None, algorithm: None, text }];
        Verifier::try_new(scheme, Vec::new(), Options { keys, ..Options::default() }).unwrap()
    }

    fn request(at: u64, body: &[u8], signature: &[u8]) -> Received {
        let fields = [("x-at", at.to_string()), ("x-sig", STANDARD.encode(signature))];
        let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        Received {
            method: "POST".into(),
            target: "/in/x".into(),
            authority: "hooks.example".into(),
            headers: fields.into_iter().map(field).collect(),
            body: body.to_vec().into(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: Timestamp::from_ms(NOW * 1000),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_a_key_signs_is_verified_and_a_flipped_bit_is_not(
            body in prop::collection::vec(any::<u8>(), 1..200),
            flip: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let flipped = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                let at = flip.index(bytes.len());
                bytes[at] ^= 1 << bit;
                bytes
            };
            for (algorithm, (sign, key)) in pairs() {
                let signature = sign(&[NOW.to_string().as_bytes(), b".", &body].concat());
                let verifier = verifier(algorithm, &key);
                let judge = |received| verifier.verify(received).map(drop).map_err(|refused| refused.reason);
                prop_assert_eq!(judge(request(NOW, &body, &signature)), Ok(()), "{}", algorithm);
                prop_assert_eq!(judge(request(NOW, &flipped(&body), &signature)), Err(Reason::Mismatch), "{}", algorithm);
                prop_assert_eq!(judge(request(NOW - 1, &body, &signature)), Err(Reason::Mismatch), "{}", algorithm);
                prop_assert_eq!(judge(request(NOW, &body, &flipped(&signature))), Err(Reason::Mismatch), "{}", algorithm);
            }
        }
    }
}
