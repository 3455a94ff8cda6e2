//! Signs deliveries anew, in a provider's scheme and with a destination's own secrets: each attempt has a fresh timestamp. While
//! secrets are replaced, a scheme whose header is a list carries a signature of each.

use http::{HeaderName, HeaderValue};

use super::claim::Source;
use super::preset::Preset;
use super::scheme::Scheme;
use super::written::Place;
use super::{BadSecret, Secret, Signer, Unsignable, Unsigned};
use crate::record::Headers;
use crate::time::Timestamp;

/// A body with what some scheme dates or names by itself, to see whether a scheme can sign at all.
const SAMPLE: &str = r#"{"webhookTimestamp":1,"webhookMetadata":{"webhookDeliveryAttemptTimestamp":"2026-01-01T00:00:00Z"},"eventCreated":1,"eventId":"e"}"#;

/// Signs the requests of one destination.
#[derive(Debug)]
pub struct Resigner {
    scheme: Scheme,
    signers: Vec<(Secret, Signer)>,
}

/// Why a destination's deliveries cannot be signed so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResigner {
    /// Its signatures are made with a key that nobody else has.
    #[error("names a provider that signs with a key or a token of its own, so nobody can sign in its place")]
    OwnKey,
    /// Its signatures stand where a relay must not write, or cover what only it knows.
    #[error("names a provider for which a relay cannot sign: {0}")]
    Unsignable(Unsignable),
    /// The secret of that place is not what the scheme needs.
    #[error("{1}")]
    Secret(usize, BadSecret),
    /// Its header holds one signature.
    #[error("names a provider whose requests have room for one signature, so there can be one secret only")]
    OneOnly,
}

/// Why a request was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// The time of all secrets is over.
    #[error("no secret of `sign` is valid any more")]
    NoSecret,
    /// The request lacks something that is signed.
    #[error("it cannot be signed: {0}")]
    Unsignable(#[from] Unsignable),
}

impl Resigner {
    /// As `preset`, with these secrets.
    pub fn try_new(preset: &Preset, secrets: Vec<Secret>) -> Result<Self, BadResigner> {
        let scheme = preset.scheme.clone();
        if !scheme.is_signable() {
            return Err(BadResigner::OwnKey);
        }
        let signer = |(place, secret): (usize, Secret)| match Signer::try_new(scheme.clone(), &secret) {
            Ok(signer) => Ok((secret, signer)),
            Err(bad) => Err(BadResigner::Secret(place, bad)),
        };
        let signers = secrets.into_iter().enumerate().map(signer).collect::<Result<Vec<_>, _>>()?;
        let made = Self { scheme, signers };
        made.try_out()?;
        Ok(made)
    }

    /// The fields that make the request one of the provider's, signed at its `now`.
    pub fn sign(&self, request: &Unsigned<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, NotSigned> {
        let mut valid = self.signers.iter().filter(|(secret, _)| secret.is_valid_at(request.now)).map(|(_, signer)| signer);
        let mut fields = valid.next().ok_or(NotSigned::NoSecret)?.sign(request)?;
        for signer in valid {
            for (field, (name, value)) in fields.iter_mut().zip(signer.sign(request)?) {
                if field.0 == name && field.1 != value {
                    field.1 = self.joined(&name, &field.1, &value).ok_or(Unsignable::Value)?;
                }
            }
        }
        Ok(fields)
    }

    fn try_out(&self) -> Result<(), BadResigner> {
        let headers = Headers::default();
        let (method, url, body, event_id, kind) = ("POST", "https://a.example/", SAMPLE.as_bytes(), Some("e"), Some("k"));
        let request = Unsigned { method, url, headers: &headers, body, now: Timestamp::default(), event_id, kind };
        for (_, signer) in &self.signers {
            let fields = signer.sign(&request).map_err(BadResigner::Unsignable)?;
            let has_list = fields.iter().any(|(name, _)| self.list_of(name).is_some());
            if self.signers.len() > 1 && !has_list {
                return Err(BadResigner::OneOnly);
            }
        }
        Ok(())
    }

    /// One header with the signatures of two.
    fn joined(&self, name: &HeaderName, first: &HeaderValue, second: &HeaderValue) -> Option<HeaderValue> {
        let list = self.list_of(name)?.list.as_ref()?.as_str();
        let (first, second) = (first.to_str().ok()?, second.to_str().ok()?);
        // The timestamp, where it stands in the header, comes first and is the same; the signature is last.
        let last = second.rsplit(list).next()?;
        HeaderValue::try_from(format!("{first}{list}{last}")).ok()
    }

    /// Where that header is a list of signatures.
    fn list_of(&self, name: &HeaderName) -> Option<&Source> {
        let mut sources = self.scheme.ways().iter().flat_map(|way| &way.sources);
        sources.find(|source| {
            source.place == Place::Header && source.name == name.as_str() && source.list.is_some() && source.positional.is_none()
        })
    }
}

impl Scheme {
    /// The headers in which its signatures and their timestamps stand; what `true` stands beside is how such a name begins.
    pub fn signature_headers(&self) -> Vec<(String, bool)> {
        let mut names = Vec::new();
        for way in self.ways() {
            let sources = way.sources.iter().filter(|source| source.place == Place::Header);
            names.extend(sources.map(|source| (source.name.clone(), source.numbered)));
            let stamp = way.stamp.iter().filter(|stamp| stamp.place == Place::Header);
            names.extend(stamp.map(|stamp| (stamp.name.to_ascii_lowercase(), false)));
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Received;
    use crate::signature::{Options, Verifier, preset};

    fn secret(text: &str) -> Secret {
        Secret::try_new(text.into(), None).unwrap()
    }

    fn resigner(name: &str, secrets: &[&str]) -> Result<Resigner, BadResigner> {
        Resigner::try_new(preset::find(name).unwrap(), secrets.iter().map(|text| secret(text)).collect())
    }

    fn signed(resigner: &Resigner, at: Timestamp) -> Received {
        let headers = Headers::default();
        let (method, url, event_id, kind) = ("POST", "https://a.example/", Some("evt_1"), None);
        let fields = resigner.sign(&Unsigned { method, url, headers: &headers, body: b"{}", now: at, event_id, kind }).unwrap();
        Received {
            method: method.into(),
            target: "/".into(),
            authority: "a.example".into(),
            headers: fields.into_iter().collect(),
            body: "{}".into(),
            peer: [127, 0, 0, 1].into(),
            at,
        }
    }

    #[test]
    fn each_of_several_secrets_proves_it() {
        let at = Timestamp::from_ms(1_790_000_000_000);
        for name in ["stripe", "standard-webhooks"] {
            let received = signed(&resigner(name, &["bmV3IHNlY3JldA==", "b2xkIHNlY3JldA=="]).unwrap(), at);
            for (text, is_good) in [("bmV3IHNlY3JldA==", true), ("b2xkIHNlY3JldA==", true), ("b3RoZXIgc2VjcmV0", false)] {
                let scheme = preset::find(name).unwrap().scheme.clone();
                let verifier = Verifier::try_new(scheme, vec![secret(text)], Options::default()).unwrap();
                assert_eq!(verifier.verify(received.clone()).is_ok(), is_good, "{name} {text} {:?}", received.headers);
            }
        }
    }

    #[test]
    fn what_cannot_sign_says_why() {
        assert_eq!(resigner("github", &["new", "old"]).unwrap_err(), BadResigner::OneOnly);
        assert_eq!(resigner("discord-interactions", &["s"]).unwrap_err(), BadResigner::OwnKey);
        assert_eq!(resigner("mailgun", &["s"]).unwrap_err(), BadResigner::Unsignable(Unsignable::Elsewhere));
        assert!(matches!(resigner("standard-webhooks", &["bmV3", "%"]).unwrap_err(), BadResigner::Secret(1, _)));
        assert!(resigner("github", &["one"]).is_ok());
    }

    #[test]
    fn a_secret_ends() {
        let at = Timestamp::from_ms(1_790_000_000_000);
        let old = Secret::try_new("old".into(), Some(at)).unwrap();
        let resigner = Resigner::try_new(preset::find("github").unwrap(), vec![old]).unwrap();
        let headers = Headers::default();
        let request = Unsigned { method: "POST", url: "/", headers: &headers, body: b"", now: at, event_id: None, kind: None };
        assert_eq!(resigner.sign(&request), Err(NotSigned::NoSecret));
    }

    #[test]
    fn the_headers_of_a_signature_are_known() {
        let names = |name: &str| preset::find(name).unwrap().scheme.signature_headers();
        let plain = |name: &str| (name.to_owned(), false);
        assert_eq!(names("slack"), [plain("x-slack-signature"), plain("x-slack-request-timestamp")]);
        assert_eq!(names("stripe"), [plain("stripe-signature")]);
    }
}
