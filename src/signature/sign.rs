//! Signs as a provider would, for samples (`hookhold send`) and for deliveries that are signed anew. Only headers are made; the
//! request itself stays as it is. Schemes whose signature stands in the body or in the address cannot be signed.

use http::{HeaderName, HeaderValue};

use super::address::Base;
use super::body::Body;
use super::claim::{Form, Separator, Source};
use super::encoding::Encoding;
use super::jwt;
use super::key::Key;
use super::scheme::{Scheme, Way};
use super::signed::{RingKey, Settings};
use super::template::{Beside, Template};
use super::view::{Unpacked, View};
use super::written::Place;
use super::{BadSecret, Reason, Secret, Selector};
use crate::record::Headers;
use crate::time::Timestamp;

/// A scheme with the secret that signs.
#[derive(Debug)]
pub struct Signer {
    scheme: Scheme,
    /// One for each way of the scheme; `None` where a secret cannot sign.
    keys: Vec<Option<Maker>>,
    settings: Settings,
}

/// What a way signs with.
#[derive(Debug)]
enum Maker {
    Key(Box<Key>),
    Token(RingKey),
}

/// A request before the provider's headers are added.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// The method.
    pub method: &'a str,
    /// The whole address that is called.
    pub url: &'a str,
    /// The headers that it has; those that are added stand in place of what is there.
    pub headers: &'a Headers,
    /// The body.
    pub body: &'a [u8],
    /// The time that the signature carries.
    pub now: Timestamp,
    /// The event's id, for schemes that have it in a header.
    pub event_id: Option<&'a str>,
    /// The event's type, for schemes that have it in a header.
    pub kind: Option<&'a str>,
}

/// Why a request cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    /// The signature is no header.
    #[error("the scheme's signature does not stand in a header")]
    Elsewhere,
    /// Something that is signed is missing, or there twice.
    #[error("something that the scheme signs is missing or unusable: {0}")]
    Part(Reason),
    /// Something stands in it that only the provider can know.
    #[error("the scheme signs something that only its provider knows")]
    Unknown,
    /// A value cannot stand in a header.
    #[error("a value cannot stand in a header")]
    Value,
}

impl Signer {
    /// For `scheme`. Fails where the secret is not what the scheme needs.
    pub fn try_new(scheme: Scheme, secret: &Secret) -> Result<Self, BadSecret> {
        let keys = scheme.ways().iter().map(|way| Maker::try_new(way, secret)).collect::<Result<_, _>>()?;
        Ok(Self { scheme, keys, settings: Settings::default() })
    }

    /// The same for one source: what it says of itself, a provider says, too.
    pub(super) fn of_source(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// The headers that the provider would add: signature, timestamp, and id and type where they are headers.
    pub fn sign(&self, request: &Unsigned<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, Unsignable> {
        let ways = self.scheme.ways().iter().zip(&self.keys);
        let mut ways: Vec<_> = ways.filter_map(|(way, key)| Some((way, key.as_ref()?))).collect();
        // A way that wants the body's hash in the address is the right one where that stands there, and impossible elsewhere.
        ways.sort_by_key(|(way, _)| way.body_hash.is_none());
        let mut refusal = Unsignable::Elsewhere;
        for (way, key) in ways {
            match way.sign(key, request, &self.settings) {
                Ok(headers) => return Ok(headers),
                Err(reason) => refusal = reason,
            }
        }
        Err(refusal)
    }
}

impl Maker {
    fn try_new(way: &Way, secret: &Secret) -> Result<Option<Self>, BadSecret> {
        let Some(signed) = &way.signed else { return Ok(Some(Self::Key(Box::new(Key::try_new(way, secret)?)))) };
        let maker = signed.plain_makers().into_iter().next().filter(|_| signed.by_secret() && signed.is_token());
        let key = maker.map(|maker| maker.read(secret.expose())).transpose();
        Ok(key.map_err(|_| BadSecret::Encoding("a key"))?.map(Self::Token))
    }
}

impl Way {
    fn sign(
        &self,
        key: &Maker,
        request: &Unsigned<'_>,
        settings: &Settings,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Unsignable> {
        let source = self.sources.iter().find(|source| source.place == Place::Header).ok_or(Unsignable::Elsewhere)?;
        let mut added = self.headers_beside(request, settings)?;
        let headers: Headers = replaced(request.headers, &added);
        let (base, authority, target) = Base::split_url(request.url);
        let body = Body::new(request.body, false);
        let view = View {
            method: request.method,
            target,
            authority,
            base: base.as_ref(),
            headers: &headers,
            body,
            unpacked: Unpacked { settings: Some(settings), ..Unpacked::default() },
        };
        let stamp = self.stamp_text(&view, request.now)?;
        if let Some(body_hash) = self.body_hash.as_ref().filter(|hash| hash.place != Place::Claim) {
            body_hash.holds(&view).map_err(Unsignable::Part)?;
        }
        let value = match (key, &self.signed, self.payloads.first()) {
            (Maker::Key(key), _, Some(payload)) => self.tag_text(source, key, payload, &view, stamp.as_deref())?,
            (Maker::Key(key), ..) => key.shown().and_then(|secret| source.form.write(secret)).ok_or(Unsignable::Value)?,
            (Maker::Token(key), Some(signed), _) => {
                let token = jwt::write::write(self, signed, key, &view, request)?;
                source.form.write(token.as_bytes()).ok_or(Unsignable::Value)?
            }
            (Maker::Token(_), None, _) => return Err(Unsignable::Elsewhere),
        };
        let name = if source.numbered { format!("{}1", source.name) } else { source.name.clone() };
        added.push(field(&name, &source.write(&value, self.stamp_in_field(stamp.as_deref())))?);
        Ok(added)
    }

    /// Id, type, timestamp and what the scheme requires, as far as they are headers.
    fn headers_beside(&self, request: &Unsigned<'_>, settings: &Settings) -> Result<Vec<(HeaderName, HeaderValue)>, Unsignable> {
        let mut added = Vec::new();
        for (place, value) in [(&self.event_id, request.event_id), (&self.event_type, request.kind)] {
            for part in place.iter().flat_map(Selector::parts) {
                if let (Selector::Header(name), Some(value)) = (part, value) {
                    added.push(field(name, value)?);
                }
            }
        }
        // Other headers that are signed are numbers used once.
        for name in self.payloads.iter().flat_map(Template::headers) {
            let is_there = request.headers.all(name).next().is_some() || added.iter().any(|(ours, _)| ours == name);
            if let (false, Some(value)) = (is_there, request.event_id) {
                added.push(field(name, value)?);
            }
        }
        if let Some(stamp) = self.stamp.as_ref().filter(|stamp| stamp.place == Place::Header) {
            added.push(field(&stamp.name, &stamp.format.write(request.now))?);
        }
        for requirement in &self.require {
            added.push(field(&requirement.header, &requirement.equals)?);
        }
        for (name, value) in self.rules.iter().filter_map(|rule| rule.header(settings)) {
            added.retain(|(known, _)| known != name);
            added.push(field(name, &value)?);
        }
        Ok(added)
    }

    /// The timestamp as it is signed. In a body it stands already.
    fn stamp_text(&self, view: &View<'_>, now: Timestamp) -> Result<Option<String>, Unsignable> {
        let Some(stamp) = &self.stamp else { return Ok(None) };
        if matches!(stamp.place, Place::Header | Place::Field | Place::Claim) {
            return Ok(Some(stamp.format.write(now)));
        }
        let value = view.value(stamp.place, &stamp.name).map_err(Unsignable::Part)?;
        Ok(value.and_then(|bytes| String::from_utf8(bytes.into_owned()).ok()))
    }

    /// The timestamp's name and text where they stand in the signature's own header.
    fn stamp_in_field<'a>(&'a self, text: Option<&'a str>) -> Option<(&'a str, &'a str)> {
        let stamp = self.stamp.as_ref().filter(|stamp| stamp.place == Place::Field)?;
        Some((&stamp.name, text?))
    }

    fn tag_text(
        &self,
        source: &Source,
        key: &Key,
        payload: &Template,
        view: &View<'_>,
        stamp: Option<&str>,
    ) -> Result<String, Unsignable> {
        let tag = key.tag(payload, view, Beside { stamp, ..Beside::default() }).map_err(Unsignable::Part)?;
        source.form.write(tag.as_bytes()).ok_or(Unsignable::Value)
    }
}

impl Form {
    fn write(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Tag(encoding, _) | Self::Signature(encoding) | Self::Token(encoding) => encoding.encode(bytes),
            Self::Basic => bytes.contains(&b':').then(|| Encoding::Base64.encode(bytes)).flatten(),
        }
    }
}

impl Source {
    /// The header's text, in the form that [`Source::read`] reads.
    fn write(&self, signature: &str, stamp: Option<(&str, &str)>) -> String {
        let mut item = format!("{}{signature}", self.prefix);
        let kv = self.kv.as_ref().map(Separator::as_str);
        if let (Some(kv), Some(key)) = (kv, self.keys.first()) {
            item = format!("{key}{kv}{item}");
        }
        let list = self.list.as_ref().map_or("", Separator::as_str);
        match (stamp, kv) {
            (Some((name, text)), Some(kv)) => format!("{name}{kv}{text}{list}{item}"),
            (Some((_, text)), None) => format!("{text}{list}{item}"),
            (None, _) => item,
        }
    }
}

fn field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Unsignable> {
    let name = HeaderName::try_from(name).map_err(|_| Unsignable::Value)?;
    Ok((name, HeaderValue::try_from(value).map_err(|_| Unsignable::Value)?))
}

/// `headers` with `added` in place of those of the same names.
fn replaced(headers: &Headers, added: &[(HeaderName, HeaderValue)]) -> Headers {
    let kept = headers.iter().filter(|(name, _)| added.iter().all(|(ours, _)| ours != name));
    kept.chain(added).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Received;
    use crate::signature::{Options, Verifier, preset};
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};

    /// Hexadecimal, base64, and text.
    const SECRET: &str = "00112233445566778899aabbccddeeff";

    fn secret(scheme: &Scheme) -> Secret {
        let is_basic = scheme.ways().iter().all(|way| way.sources.iter().all(|source| source.form == Form::Basic));
        new_secret(if is_basic { "user:pass" } else { SECRET })
    }

    fn new_secret(text: &str) -> Secret {
        Secret::try_new(text.into(), None).unwrap()
    }

    fn try_signed(scheme: &Scheme, target: &str, body: &[u8], at: Timestamp) -> Result<Received, Unsignable> {
        let url = format!("https://hooks.example{target}");
        let headers = Headers::default();
        let (event_id, kind) = (Some("evt_1"), Some("ping"));
        let request = Unsigned { method: "POST", url: &url, headers: &headers, body, now: at, event_id, kind };
        let added = Signer::try_new(scheme.clone(), &secret(scheme)).unwrap().sign(&request)?;
        Ok(Received {
            method: "POST".into(),
            target: target.into(),
            authority: "hooks.example".into(),
            headers: added.into_iter().collect(),
            body: body.to_vec().into(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at,
        })
    }

    fn signed(scheme: &Scheme, target: &str, body: &[u8], at: Timestamp) -> Received {
        try_signed(scheme, target, body, at).unwrap()
    }

    fn verifier(scheme: &Scheme) -> Verifier {
        Verifier::try_new(scheme.clone(), vec![secret(scheme)], Options::default()).unwrap()
    }

    /// A body with all that some scheme signs or dates by itself.
    fn body(text: &str, at: Timestamp) -> String {
        let metadata = format!(r#"{{"webhookDeliveryAttemptTimestamp":"{at}"}}"#);
        format!(
            r#"{{"text":"{text}","webhookTimestamp":{},"webhookMetadata":{metadata},"eventCreated":1,"eventId":"e"}}"#,
            at.ms()
        )
    }

    /// These sign in the body or the address, which is not for a relay to change.
    const SIGNED_ELSEWHERE: [&str; 21] = [
        "adyen",
        "aircall",
        "azure-event-grid",
        "braintree",
        "coingate-token",
        "cryptomus",
        "dockerhub",
        "dropbox-sign",
        "figma",
        "mailchimp-marketing",
        "mailgun",
        "mailgun-form",
        "microsoft-graph",
        "midtrans",
        "miro",
        "pandadoc",
        "printful",
        "prismic",
        "shopline",
        "strava",
        "twilio-json",
    ];
    /// These sign what only their sender knows: a list of headers, the name of an environment, the address as they call it.
    const SIGNED_WITH_MORE: [&str; 4] = ["contentful", "hook0", "hygraph", "monday"];

    /// The presets of which a secret is all that is needed.
    fn signable() -> impl Iterator<Item = &'static preset::Preset> {
        preset::all().iter().filter(|preset| preset.scheme.is_signable())
    }

    #[test]
    fn what_cannot_be_signed_is_known() {
        let at = Timestamp::from_ms(1_790_000_000_000);
        let cannot = |preset: &&preset::Preset| try_signed(&preset.scheme, "/in", body("x", at).as_bytes(), at).is_err();
        let found: Vec<_> = signable().filter(cannot).map(|preset| preset.name.as_str()).collect();
        let mut expected = [&SIGNED_ELSEWHERE[..], &SIGNED_WITH_MORE].concat();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_signed_is_verified_and_a_flipped_bit_is_not(
            text in "[a-z0-9 ]{0,40}",
            flip: prop::sample::Index,
            bit in 0u8..8,
            seconds in 1_000_000_000u64..4_000_000_000,
        ) {
            let at = Timestamp::from_ms(seconds * 1000);
            let body = body(&text, at).into_bytes();
            let mut changed = body.clone();
            changed[flip.index(body.len())] ^= 1 << bit;
            let mut tried = 0;
            for preset in signable() {
                let Ok(received) = try_signed(&preset.scheme, "/in/x?y=1", &body, at) else { continue };
                let forged = Received { body: changed.clone().into(), ..received.clone() };
                let verifier = verifier(&preset.scheme);
                let verified = verifier.verify(received).map_err(|r| r.reason);
                prop_assert!(verified.is_ok(), "{}: {verified:?}", preset.name);
                if preset.scheme.covers_body() {
                    prop_assert!(verifier.verify(forged).is_err(), "{}", &preset.name);
                }
                tried += 1;
            }
            prop_assert_eq!(tried, signable().count() - SIGNED_ELSEWHERE.len() - SIGNED_WITH_MORE.len());
        }

        #[test]
        fn twilio_signs_fields_and_address(a in "[a-z0-9]{0,9}", b in "[a-z0-9]{0,9}") {
            let scheme = &preset::find("twilio").unwrap().scheme;
            let body = format!("A={a}&B={b}");
            let received = signed(scheme, "/in/x?y=1", body.as_bytes(), Timestamp::from_ms(0));
            let verifier = verifier(scheme);
            prop_assert!(verifier.verify(received.clone()).is_ok());
            let moved = Received { target: "/in/x?y=2".into(), ..received.clone() };
            prop_assert_eq!(verifier.verify(moved).unwrap_err().reason, Reason::Mismatch);
            let changed = Received { body: format!("A={a}x&B={b}").into(), ..received };
            prop_assert_eq!(verifier.verify(changed).unwrap_err().reason, Reason::Mismatch);
        }
    }

    #[test]
    fn headers_are_those_of_the_provider() {
        let headers = |name: &str| {
            let received = signed(&preset::find(name).unwrap().scheme, "/in", b"{}", Timestamp::from_ms(1_790_000_000_123));
            let texts = received.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect::<Vec<_>>();
            texts.into_iter().map(|line| line.chars().take(34).collect::<String>()).collect::<Vec<_>>()
        };
        assert_eq!(headers("github"), ["x-github-delivery: evt_1", "x-github-event: ping", "x-hub-signature-256: sha256=96a7f3"]);
        assert_eq!(headers("stripe"), ["stripe-signature: t=1790000000,v1="]);
        let standard = headers("standard-webhooks");
        assert_eq!(standard[..2], ["webhook-id: evt_1", "webhook-timestamp: 1790000000"]);
        assert!(standard[2].starts_with("webhook-signature: v1,"));
    }

    #[test]
    fn an_address_holds_the_hash_of_a_json_body() {
        let scheme = &preset::find("twilio").unwrap().scheme;
        let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let received = signed(scheme, &format!("/in?bodySHA256={hash}"), b"{}", Timestamp::from_ms(0));
        let verifier = verifier(scheme);
        assert!(verifier.verify(received.clone()).is_ok());
        let forged = Received { body: "{ }".into(), ..received };
        assert_eq!(verifier.verify(forged).unwrap_err().reason, Reason::Mismatch);
    }

    #[test]
    fn old_headers_are_replaced() {
        let old: Headers = [field("webhook-id", "old").unwrap()].into_iter().collect();
        let scheme = preset::find("standard-webhooks").unwrap().scheme.clone();
        let request = Unsigned {
            method: "POST",
            url: "http://app/x",
            headers: &old,
            body: b"",
            now: Timestamp::from_ms(0),
            event_id: Some("new"),
            kind: None,
        };
        let signer = Signer::try_new(scheme, &new_secret(SECRET)).unwrap();
        assert_eq!(signer.sign(&request).unwrap()[0], field("webhook-id", "new").unwrap());
        let none = Unsigned { event_id: None, headers: &Headers::default(), ..request };
        assert_eq!(signer.sign(&none).unwrap_err(), Unsignable::Part(Reason::MissingPart));
    }
}
