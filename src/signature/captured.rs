//! A request kept in a file, and whether it would be believed. Needs no relay.toml; used by `hookhold verify`, by the golden vectors
//! and by exports of the quarantine. Whatever is in the file, the answer is an [`Outcome`] and never a panic.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Deserializer, Serialize};

use super::address::Base;
use super::handshake::{Answering, Handshake, HandshakeAnswer, Handshakes, NOT_ARMED, Reply};
use super::{CapturedKeys, CapturedTerms, Options, Scheme, Secret, Verifier, preset};
use crate::record::{Headers, Received};
use crate::time::Timestamp;

/// A captured request. Unknown fields are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Captured {
    /// What it is called.
    pub name: String,
    /// Its id, where it has no name.
    pub id: String,
    /// A provider's name, `custom` (then `config.verify` is its scheme), or `none`.
    pub provider: String,
    /// The source's settings beside the secrets.
    pub config: Config,
    /// The method.
    pub method: String,
    /// The whole address as the provider called it, or only path and query.
    pub url: String,
    /// Header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body_base64: String,
    /// The source's secrets.
    pub secrets: Vec<CapturedSecret>,
    /// The source's keys, what would be fetched for them, and what else the source knows.
    pub keys: CapturedKeys,
    /// When it arrived, in seconds since the epoch.
    pub now_unix: Option<f64>,
}

/// Settings of a source, as far as they change how a request is judged. Unknown fields are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What the provider calls.
    pub public_url: Option<String>,
    /// `gzip`: the signature covers the decoded body.
    pub verify_decoded: Option<String>,
    /// The name of the key that signatures stand beside, where a scheme asks for it.
    pub public_key: Option<String>,
    /// The scheme of `provider = "custom"`.
    pub verify: Option<Scheme>,
    /// Handshakes in place of the provider's own; or `armed`, where a person has armed the source for a secret.
    pub handshake: Option<WrittenHandshake>,
    /// What the source takes for its own.
    #[serde(flatten)]
    pub terms: CapturedTerms,
}

/// The handshakes of a captured request's source.
#[derive(Clone, Debug)]
pub enum WrittenHandshake {
    /// These.
    List(Vec<Handshake>),
    /// The provider's, and how the source stands to one that brings a secret: `armed`, or another word.
    State(String),
}

impl WrittenHandshake {
    fn is_armed(&self) -> bool {
        matches!(self, Self::State(word) if word == "armed")
    }
}

impl<'de> Deserialize<'de> for WrittenHandshake {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(d)? {
            serde_json::Value::String(word) => Ok(Self::State(word)),
            list => serde_json::from_value(list).map(Self::List).map_err(serde::de::Error::custom),
        }
    }
}

/// A secret, written out.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum CapturedSecret {
    /// Its text.
    Text(String),
    /// Its text, beside other things.
    Value {
        /// The text.
        value: String,
        /// The slot that it is for.
        slot: Option<String>,
    },
}

/// What became of a captured request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Whether it would be believed.
    #[serde(rename = "outcome")]
    pub judgement: Judgement,
    /// Why it was refused, as a word of [`super::Reason`] or a sentence.
    pub reason: Option<Cow<'static, str>>,
    /// What a handshake would be answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_response: Option<CapturedAnswer>,
    /// What would be visited before that answer, which is given only where the visit is answered 2xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
}

/// The answer to a handshake, as captured requests write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedAnswer {
    /// Its status.
    pub status: u16,
    /// Its header fields, in order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// Whether a request would be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// It would.
    Accept,
    /// It would not.
    Reject,
    /// It is a handshake, and would be answered.
    Handshake,
}

impl Captured {
    /// The request as it arrived; or what cannot have arrived so.
    pub fn received(&self) -> Result<Received, Cow<'static, str>> {
        let (_, authority, target) = Base::split_url(&self.url);
        let headers = headers(&self.headers)?;
        let host = headers.text("host").unwrap_or_default().to_owned();
        Ok(Received {
            method: self.method.clone(),
            target: target.to_owned(),
            authority: if host.is_empty() { authority.to_owned() } else { host },
            headers,
            body: STANDARD.decode(&self.body_base64).map(Bytes::from).map_err(|_| "body_base64 is not base64")?,
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            at: at(self.now_unix.ok_or("now_unix is missing")?),
        })
    }
}

impl Outcome {
    /// Refused, and why.
    pub fn reject(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { judgement: Judgement::Reject, reason: Some(reason.into()), handshake_response: None, confirm: None }
    }

    fn accept() -> Self {
        Self { judgement: Judgement::Accept, reason: None, handshake_response: None, confirm: None }
    }

    fn handshake(reply: Reply) -> Self {
        let (confirm, answer) = match reply {
            Ok(Answering::Now(answer)) => (None, answer),
            Ok(Answering::Confirmed(confirmation, answer)) => (Some(confirmation.address().to_owned()), answer),
            Err(refused) => return Self::reject(refused.reason),
        };
        let handshake_response = Some(CapturedAnswer::from(answer));
        Self { judgement: Judgement::Handshake, reason: None, handshake_response, confirm }
    }
}

impl From<HandshakeAnswer> for CapturedAnswer {
    fn from(answer: HandshakeAnswer) -> Self {
        let field =
            |(name, value): &(HeaderName, HeaderValue)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned());
        Self { status: answer.status.as_u16(), headers: answer.headers.iter().map(field).collect(), body: answer.body }
    }
}

impl std::fmt::Debug for CapturedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CapturedSecret(masked)")
    }
}

/// Judges a captured request as its source would have done at the time it arrived.
pub fn verify_captured(captured: &Captured) -> Outcome {
    let (verifier, handshakes, received) = match prepare(captured) {
        Ok(prepared) => prepared,
        Err(reason) => return Outcome::reject(reason),
    };
    let is_armed = captured.config.handshake.as_ref().is_some_and(WrittenHandshake::is_armed);
    if let Some(brought) = handshakes.brought(&received) {
        let waits = is_armed && captured.secrets.is_empty() && captured.keys.secrets().is_ok_and(|secrets| secrets.is_empty());
        return Outcome::handshake(if waits { brought.map(|(_, answer)| Answering::Now(answer)) } else { Err(NOT_ARMED) });
    }
    if let Some(reply) = handshakes.before_proof(&received) {
        return Outcome::handshake(reply);
    }
    // Other methods than POST are for handshakes only, unless the source says more than is captured.
    let is_event = received.method == Method::POST.as_str() || !is_method(&handshakes, &received.method);
    match verifier.verify_with(received, &captured.keys.documents()) {
        Err(it) => Outcome::reject(it.reason.as_str()),
        Ok(verified) => match handshakes.after_proof(&verified) {
            Some(reply) => Outcome::handshake(reply),
            None if is_event => Outcome::accept(),
            None => Outcome::reject("the request is no handshake of this provider, and its method is for nothing else"),
        },
    }
}

fn is_method(handshakes: &Handshakes, method: &str) -> bool {
    handshakes.methods().iter().any(|known| known.as_str() == method)
}

type Trouble = Cow<'static, str>;

fn prepare(captured: &Captured) -> Result<(Verifier, Handshakes, Received), Trouble> {
    let (base, ..) = Base::split_url(&captured.url);
    let (mut verifier, mut handshakes) = source(captured)?;
    if captured.config.public_url.is_none()
        && let Some(base) = base
    {
        verifier = verifier.with_base(base.clone());
        handshakes = handshakes.with_base(base);
    }
    Ok((verifier, handshakes, captured.received()?))
}

/// How the source of the request verifies, and which handshakes it answers.
fn source(captured: &Captured) -> Result<(Verifier, Handshakes), Trouble> {
    let config = &captured.config;
    let gunzip = match config.verify_decoded.as_deref() {
        None => false,
        Some("gzip") => true,
        Some(other) => return Err(format!("verify_decoded cannot be {other:?}").into()),
    };
    let public_url = config.public_url.as_deref().map(url::Url::parse).transpose().map_err(|_| "public_url is no address")?;
    let mut options = Options { public_url: public_url.clone(), gunzip, ..Options::default() };
    let preset = preset::find(&captured.provider);
    let public_key = config.public_key.as_ref().or_else(|| captured.keys.public_name()).cloned();
    let scheme = match captured.provider.as_str() {
        "none" => None,
        "custom" => Some(config.verify.clone().ok_or("provider \"custom\" needs config.verify")?),
        name => Some(preset.map(|p| p.scheme.clone()).ok_or_else(|| format!("provider {name:?} is not known"))?),
    };
    let scheme = match (scheme, &public_key) {
        (Some(scheme), Some(name)) if scheme.needs_public_key() => {
            Some(scheme.with_public_key(name).map_err(|error| error.to_string())?)
        }
        (Some(scheme), None) if scheme.needs_public_key() => return Err("config.public_key is missing".into()),
        (scheme, _) => scheme,
    };
    let secrets = secrets(captured, scheme.as_ref())?;
    let mut terms = config.terms.of_handshakes(&captured.keys, public_key)?;
    terms.public_url = public_url;
    let own = preset.map(|p| p.handshakes.clone()).unwrap_or_default();
    let list = match &config.handshake {
        Some(WrittenHandshake::List(list)) => list.clone(),
        _ => own,
    };
    let handshakes = Handshakes::try_new(list, scheme.as_ref(), &secrets, terms).map_err(|error| error.to_string())?;
    let verifier = match scheme {
        None => Verifier::trusting(options),
        Some(scheme) => {
            options.terms = config.terms.of(&scheme)?;
            captured.keys.add_to(&mut options, &scheme)?;
            Verifier::try_new(scheme, secrets, options).map_err(|error| error.to_string())?
        }
    };
    Ok((verifier, handshakes))
}

fn secrets(captured: &Captured, scheme: Option<&Scheme>) -> Result<Vec<Secret>, Trouble> {
    let secret = |secret: &CapturedSecret| {
        let (text, slot) = match secret {
            CapturedSecret::Text(text) => (text, None),
            CapturedSecret::Value { value, slot } => (value, slot.clone()),
        };
        let secret = Secret::try_new(text.clone().into_bytes(), None).map_err(|error| error.to_string())?;
        Ok::<_, String>(if let Some(slot) = slot { secret.in_slot(slot) } else { secret })
    };
    let mut secrets = captured.secrets.iter().map(secret).collect::<Result<Vec<_>, _>>()?;
    secrets.extend(captured.keys.secrets()?);
    if secrets.is_empty() && scheme.is_some_and(|scheme| scheme.takes_secrets() && !scheme.takes_keys()) {
        secrets.extend(captured.config.terms.shown()?);
    }
    Ok(secrets)
}

fn headers(fields: &[(String, String)]) -> Result<Headers, Trouble> {
    let field = |(name, value): &(String, String)| {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is no header name"))?;
        let value = HeaderValue::try_from(value.as_str()).map_err(|_| format!("the value of {name} is not possible in HTTP"))?;
        Ok((name, value))
    };
    fields.iter().map(field).collect::<Result<_, String>>().map_err(Trouble::from)
}

fn at(unix: f64) -> Timestamp {
    // Out of range, and what is no number, becomes the nearest end of the range: `as` saturates.
    Timestamp::from_ms((unix * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nonsense_is_rejected_with_a_reason() {
        let reason = |json: &str| {
            let outcome = verify_captured(&serde_json::from_str(json).unwrap());
            assert_eq!(outcome.judgement, Judgement::Reject);
            outcome.reason.unwrap()
        };
        assert!(reason("{}").contains("not known"));
        assert_eq!(reason(r#"{"provider":"github","secrets":[""],"now_unix":1}"#), "the secret is empty");
        assert_eq!(reason(r#"{"provider":"github","secrets":[],"now_unix":1}"#), "missing_header");
        assert_eq!(reason(r#"{"provider":"none","now_unix":1,"body_base64":"?"}"#), "body_base64 is not base64");
        assert!(reason(r#"{"provider":"none","now_unix":1,"headers":[["a b","c"]]}"#).contains("no header name"));
        assert!(reason(r#"{"provider":"none","now_unix":1,"headers":[["a","c\n"]]}"#).contains("not possible"));
        assert!(reason(r#"{"provider":"custom","now_unix":1}"#).contains("config.verify"));
    }

    proptest! {
        #[test]
        fn any_request_gets_an_answer(
            url in "(https://[a-z:@\\[]{0,5})?[ -~]{0,20}",
            name in "[a-z-]{1,9}",
            value in "[ -~é]{0,40}",
            body_base64 in "([A-Za-z0-9+/]{4}){0,9}",
            now: f64,
            at in 0usize..100,
        ) {
            let signed = ["stripe-signature", "x-slack-signature", "svix-signature", "webhook-signature", "x-twilio-signature"];
            let stamps = ["x-slack-request-timestamp", "svix-timestamp", "webhook-timestamp", "svix-id", "webhook-id"];
            let mut headers = vec![(name, value.clone())];
            headers.extend(signed.into_iter().map(|name| (name.to_owned(), format!("t={now},v1={value},v0={value} v1,{value}"))));
            headers.extend(stamps.into_iter().map(|name| (name.to_owned(), value.clone())));
            let all = preset::all();
            let provider = all[at % all.len()].name.clone();
            let secrets = vec![CapturedSecret::Text("AAAA".into())];
            let captured = Captured { url, headers, body_base64, secrets, provider, now_unix: Some(now), ..Captured::default() };
            prop_assert_eq!(verify_captured(&captured).judgement, Judgement::Reject);
        }
    }
}
