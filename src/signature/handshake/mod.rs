//! Handshakes: what providers ask of an address before (or while) they send events to it, answered by the relay itself.
//!
//! Data, as schemes are: a request that looks like one is answered and never becomes an event. Two dangers shape the form. An answer
//! that is a keyed hash of the sender's text would sign whatever a stranger likes, with the key that signs events: such a text needs
//! a narrow pattern, or the handshake does not load. And a handshake that brings a secret (`take`) would give the source to whoever sends
//! the next one: it is answered only where a person has armed the source, which is not decided here.

mod answer;
mod bad;
mod condition;
mod confirm;
mod one;
mod pattern;
mod reply;
mod text;
mod written;

use std::collections::BTreeMap;
use std::fmt;

use http::{Method, StatusCode};
use zeroize::Zeroizing;

use super::address::Base;
use super::body::Body;
use super::sealed::WrittenSealed;
use super::view::View;
use super::{Scheme, Secret, Verified};
use crate::record::Received;
use crate::time::Timestamp;
use answer::Fill;
use condition::Ours;
use written::After;

pub use answer::HandshakeAnswer;
pub use bad::{BadHandshake, Unusable};
pub use condition::LISTS;
pub use confirm::Confirmation;
pub use one::Handshake;
pub use reply::{Answering, NOT_ARMED, NoAnswer, Reply};

/// A larger body is an event: providers' handshakes have a hundredth of it.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Handshakes of one source: each is looked at for each request.
const HANDSHAKES_MAX: usize = 16;

/// What a source adds to its handshakes.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What the provider was told to show.
    pub verify_token: Option<Secret>,
    /// What is ours, by the name of the setting.
    pub lists: BTreeMap<String, Vec<String>>,
    /// The name that signatures stand beside.
    pub public_key: Option<String>,
    /// What the provider calls.
    pub public_url: Option<url::Url>,
}

/// The handshakes of one source, in order: the first that a request looks like decides.
#[derive(Debug, Default)]
pub struct Handshakes {
    list: Vec<Ready>,
    terms: Terms,
    keys: Vec<AnswerKey>,
    /// What opens bodies, where one of the handshakes needs it.
    sealed: Option<(WrittenSealed, Vec<Secret>)>,
    base: Option<Base>,
}

#[derive(Debug)]
struct Ready {
    handshake: Handshake,
    after: After,
    method: Method,
}

/// A secret of the source as the key of an answer.
struct AnswerKey {
    secret: Secret,
    bytes: Zeroizing<Vec<u8>>,
}

impl Handshakes {
    /// `scheme`: how the source verifies; `None` where it does not. `secrets`: the source's own.
    pub fn try_new(list: Vec<Handshake>, scheme: Option<&Scheme>, secrets: &[Secret], terms: Terms) -> Result<Self, Unusable> {
        if list.len() > HANDSHAKES_MAX {
            return Err(Unusable::Many);
        }
        if scheme.is_none() && list.iter().any(Handshake::takes_secret) {
            return Err(Unusable::NoScheme);
        }
        let keys = if list.iter().any(|handshake| handshake.hmac().is_some()) {
            let decoding = scheme.and_then(Scheme::secret).ok_or(Unusable::NoKey)?;
            let key = |secret: &Secret| Ok(AnswerKey { secret: secret.clone(), bytes: decoding.key_of(secret)? });
            secrets.iter().map(key).collect::<Result<_, _>>().map_err(Unusable::Secret)?
        } else {
            Vec::new()
        };
        let ready = |handshake: Handshake| {
            let method = handshake.method();
            let verifies = scheme.is_some() && method == Method::POST && !handshake.takes_secret();
            let after = handshake.written.after.unwrap_or(if verifies { After::Verified } else { After::Nothing });
            Ready { handshake, after, method }
        };
        let base = terms.public_url.as_ref().map(Base::from_url);
        let sealed = if list.iter().any(Handshake::is_sealed) {
            let sealed = scheme.and_then(Scheme::sealed).ok_or(Unusable::NotSealed)?;
            Some((sealed.clone(), secrets.to_vec()))
        } else {
            None
        };
        let list: Vec<_> = list.into_iter().map(ready).collect();
        // What is not proved could make the relay ask for whatever the rules allow.
        let is_proved = |ready: &Ready| scheme.is_some() && ready.after == After::Verified;
        if list.iter().any(|ready| ready.handshake.is_confirmed() && !is_proved(ready)) {
            return Err(Unusable::Unproved);
        }
        Ok(Self { list, terms, keys, sealed, base })
    }

    /// For a request whose address is known as text; see `captured`.
    pub(super) fn with_base(self, base: Base) -> Self {
        Self { base: Some(base), ..self }
    }

    /// Whether one of them has that method.
    pub fn take(&self, method: &Method) -> bool {
        self.list.iter().any(|ready| ready.method == *method)
    }

    /// Whether one of them has that method and is answered to a proved sender only.
    pub fn wait_for_proof(&self, method: &str) -> bool {
        self.list.iter().any(|ready| ready.after == After::Verified && ready.method.as_str() == method)
    }

    /// The methods of all of them, each once.
    pub fn methods(&self) -> Vec<Method> {
        let mut methods = Vec::new();
        for ready in &self.list {
            if !methods.contains(&ready.method) {
                methods.push(ready.method.clone());
            }
        }
        methods
    }

    /// What a request gets that is a handshake for which nothing need be proved; `None` where it is none.
    pub fn before_proof(&self, received: &Received) -> Option<Reply> {
        self.reply(received, After::Nothing)
    }

    /// The secret that a request brings, and its answer, or why that is no secret; `None` where it brings none.
    ///
    /// The caller answers it only where a person has armed the source and the secret is durable.
    pub fn brought(&self, received: &Received) -> Option<Result<(Secret, HandshakeAnswer), NoAnswer>> {
        let (ready, view) = self.find(received, None, |ready| ready.handshake.takes_secret())?;
        let answer = match self.answer(&ready.handshake, &view, received.at) {
            Ok(Answering::Now(answer)) => answer,
            // Who brings a secret cannot be proved, so that nothing is visited for it.
            Ok(Answering::Confirmed(..)) => return Some(Err(NOT_ARMED)),
            Err(refused) => return Some(Err(refused)),
        };
        let text = ready.handshake.value.as_ref().and_then(|value| value.read(&view));
        let secret = text.and_then(|text| Secret::try_new(text.into_bytes(), None).ok());
        Some(secret.map(|secret| (secret, answer)).ok_or(NOT_ARMED))
    }

    /// What a verified request gets that is a handshake; `None` where it is an event.
    pub fn after_proof(&self, verified: &Verified) -> Option<Reply> {
        self.reply(verified.received(), After::Verified)
    }

    fn reply(&self, received: &Received, after: After) -> Option<Reply> {
        let opened = self.opened(received);
        let (ready, view) = self.find(received, opened.as_deref(), |ready| ready.after == after)?;
        // Who gets here with a secret was not asked by `brought` before.
        let reply =
            if ready.handshake.takes_secret() { Err(NOT_ARMED) } else { self.answer(&ready.handshake, &view, received.at) };
        Some(reply)
    }

    /// What the body holds encrypted, where a handshake needs it and a secret that counts opens it.
    fn opened(&self, received: &Received) -> Option<Vec<u8>> {
        let (sealed, secrets) = self.sealed.as_ref().filter(|_| received.body.len() <= BODY_BYTES_MAX)?;
        let secrets = secrets.iter().filter(|secret| secret.is_valid_at(received.at));
        sealed.open(&View::new(received, None, false), secrets)
    }

    /// The first handshake of that kind that a request looks like. `opened`: what is inside of its body.
    fn find<'a>(
        &'a self,
        received: &'a Received,
        opened: Option<&'a [u8]>,
        is_kind: impl Fn(&Ready) -> bool,
    ) -> Option<(&'a Ready, View<'a>)> {
        // Signatures that cover gunzipped bodies belong to no provider with a handshake.
        let view = View::new(received, self.base.as_ref(), false);
        let fits = |ready: &&Ready| {
            let small = received.body.len() <= BODY_BYTES_MAX || !ready.handshake.reads_body();
            is_kind(ready) && ready.method.as_str() == received.method && small
        };
        let seen = |ready: &'a Ready| {
            let view = if ready.handshake.is_sealed() { View { body: Body::new(opened?, false), ..view } } else { view };
            ready.handshake.written.when.hold(&view).then_some((ready, view))
        };
        self.list.iter().filter(fits).find_map(seen)
    }

    fn answer(&self, handshake: &Handshake, view: &View<'_>, at: Timestamp) -> Reply {
        let written = &handshake.written;
        let not_ours = written.refuse.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::FORBIDDEN);
        if !written.must.hold(view) {
            return Err(NoAnswer::new(StatusCode::BAD_REQUEST, "handshake_form"));
        }
        for conditions in [&written.when, &written.must] {
            match conditions.ours(view, &self.terms) {
                Ours::Yes => {}
                Ours::No => return Err(NoAnswer::new(not_ours, "handshake_not_ours")),
                Ours::Unset => return Err(NoAnswer::new(not_ours, "handshake_setting_missing")),
            }
        }
        let Some(respond) = &written.respond else { return Err(NoAnswer::new(not_ours, "handshake_refused")) };
        let value = match &handshake.value {
            None => None,
            Some(value) => Some(value.read(view).ok_or(NoAnswer::new(StatusCode::BAD_REQUEST, "handshake_value"))?),
        };
        let key = self.keys.iter().find(|key| key.secret.is_valid_at(at));
        let fill = Fill { value, terms: &self.terms, key: key.map(|key| &key.bytes[..]), url: answer::address(view) };
        let no_value = NoAnswer::new(StatusCode::BAD_REQUEST, "handshake_value");
        let answer = respond.build(&fill).ok_or(no_value)?;
        match &handshake.confirm {
            None => Ok(Answering::Now(answer)),
            Some(confirm) => Ok(Answering::Confirmed(confirm.read(view).ok_or(no_value)?, answer)),
        }
    }
}

impl fmt::Debug for AnswerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerKey(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;
    use crate::signature::preset;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Received {
        let field = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        Received {
            method: method.into(),
            target: target.into(),
            authority: "hooks.example".into(),
            headers: headers.iter().map(field).collect::<Headers>(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: Timestamp::from_ms(1_790_000_000_000),
        }
    }

    fn ready(list: &str, terms: Terms) -> Handshakes {
        let mut table: toml::Table = toml::from_str(list).unwrap();
        let list = table.remove("h").unwrap().try_into().unwrap();
        Handshakes::try_new(list, None, &[], terms).unwrap()
    }

    fn secret(text: &str, until: Option<Timestamp>) -> Secret {
        Secret::try_new(text.into(), until).unwrap()
    }

    fn percent(text: &str) -> String {
        text.bytes().map(|b| format!("%{b:02X}")).collect()
    }

    #[test]
    fn the_first_that_fits_decides() {
        let list = "h = [
            { when = { method = 'GET', query = { a = '1' } }, respond = { text = 'one' } },
            { when = { method = 'GET', query = { a = '*' } }, refuse = 410 },
            { when = { method = 'GET', query = { b = '*' } }, must = { query = { c = '2' } }, respond = { text = 'two' } },
        ]";
        let handshakes = ready(list, Terms::default());
        let said = |target: &str| {
            let reply = handshakes.before_proof(&request("GET", target, &[], ""))?;
            Some(reply.map(|it| it.answer().body.clone()).map_err(|it| (it.status.as_u16(), it.reason)))
        };
        assert_eq!(said("/?a=1&b=1"), Some(Ok("one".into())));
        assert_eq!(said("/?a=2"), Some(Err((410, "handshake_refused"))));
        assert_eq!(said("/?b="), Some(Err((400, "handshake_form"))));
        assert_eq!(said("/?b=&c=2"), Some(Ok("two".into())));
        // What is there twice shows nothing.
        assert_eq!(said("/?a=1&a=1"), None);
        assert_eq!(said("/"), None);
        assert!(handshakes.before_proof(&request("HEAD", "/?a=1", &[], "")).is_none());
        assert_eq!(handshakes.methods(), [Method::GET]);
        assert!(!handshakes.wait_for_proof("GET"));
    }

    #[test]
    fn a_setting_that_is_not_there_matches_nothing() {
        let list = "h = [
            { when = { method = 'GET', query = { t = 'secret:verify_token' } }, respond = { text = 'yes' } },
            { when = { method = 'HEAD', query = { t = 'list:topics' } }, respond = {}, refuse = 404 },
            { when = { method = 'OPTIONS', query = { t = 'list:topics?' } }, respond = {} },
        ]";
        let said = |terms: &Terms, method: &str, target: &str| {
            let reply = ready(list, terms.clone()).before_proof(&request(method, target, &[], "")).unwrap();
            reply.map(|it| it.answer().status.as_u16()).map_err(|it| (it.status.as_u16(), it.reason))
        };
        let none = Terms::default();
        for target in ["/", "/?t=", "/?t=a"] {
            assert_eq!(said(&none, "GET", target), Err((403, "handshake_setting_missing")), "{target}");
            assert_eq!(said(&none, "HEAD", target), Err((404, "handshake_setting_missing")), "{target}");
            assert_eq!(said(&none, "OPTIONS", target), Ok(200), "{target}");
        }
        let lists = BTreeMap::from([("topics".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
        let some = Terms { verify_token: Some(secret("tok", None)), lists, ..Terms::default() };
        for target in ["/", "/?t=", "/?t=to", "/?t=tokk", "/?t=tok&t=tok", "/?T=tok"] {
            assert_eq!(said(&some, "GET", target), Err((403, "handshake_not_ours")), "{target}");
            assert_eq!(said(&some, "HEAD", target), Err((404, "handshake_not_ours")), "{target}");
            assert_eq!(said(&some, "OPTIONS", target), Err((403, "handshake_not_ours")), "{target}");
        }
        assert_eq!((said(&some, "GET", "/?t=tok"), said(&some, "HEAD", "/?t=b")), (Ok(200), Ok(200)));
        assert!(!format!("{some:?}").contains("tok\""));
    }

    #[test]
    fn the_first_secret_that_counts_signs() {
        let scheme = &preset::find("x-twitter").unwrap().scheme;
        let own = preset::find("x-twitter").unwrap().handshakes.clone();
        let at = Timestamp::from_ms(1_790_000_000_000);
        let body = |secrets: &[Secret]| {
            let handshakes = Handshakes::try_new(own.clone(), Some(scheme), secrets, Terms::default()).unwrap();
            handshakes.before_proof(&request("GET", "/?crc_token=abc", &[], "")).unwrap().map(|it| it.answer().body.clone())
        };
        let old = secret("old", Some(at));
        assert_eq!(body(&[old.clone(), secret("new", None)]), body(&[secret("new", None)]));
        assert_ne!(body(&[secret("other", None)]), body(&[secret("new", None)]));
        assert_eq!(body(&[old]).unwrap_err().reason, "handshake_value");
        let error = Handshakes::try_new(own.clone(), None, &[], Terms::default()).unwrap_err();
        assert_eq!(error, Unusable::NoKey);
    }

    /// Every handshake of every preset, asked by one who knows its form and chooses the value.
    fn ask(value: &str) -> Vec<(String, bool, Reply)> {
        let mut replies = Vec::new();
        let json = serde_json::to_string(value).unwrap();
        for preset in preset::all().iter().filter(|preset| !preset.handshakes.is_empty()) {
            let terms = Terms { public_key: Some("key".into()), ..Terms::default() };
            let secrets = [secret("00112233445566778899aabbccddeeff", None)];
            let Ok(handshakes) = Handshakes::try_new(preset.handshakes.clone(), Some(&preset.scheme), &secrets, terms) else {
                continue;
            };
            for ready in &handshakes.list {
                let written = &ready.handshake.written;
                let Some(place) = &written.value else { continue };
                let query = place.query.iter().map(|name| format!("{name}={}", percent(value)));
                let wanted = written.when.query.iter().filter(|(name, _)| place.query.as_ref() != Some(name));
                let wanted = wanted.map(|(name, wanted)| format!("{name}={}", wanted.text().unwrap_or_default()));
                let target = format!("/?{}", query.chain(wanted).collect::<Vec<_>>().join("&"));
                let members = written.when.json.iter().map(|(name, wanted)| (name, wanted.text().unwrap_or_default()));
                let members = members.filter(|(name, _)| place.json.as_ref() != Some(name));
                let body: Vec<_> = members.map(|(name, text)| format!("{:?}:{text:?}", &name[1..])).collect();
                let body = match place.json.as_deref() {
                    Some("/payload/plainToken") => format!(r#"{{{},"payload":{{"plainToken":{json}}}}}"#, body.join(",")),
                    Some(name) => format!("{{{}}}", [body, vec![format!("{:?}:{json}", &name[1..])]].concat().join(",")),
                    None => String::new(),
                };
                let headers = written.when.header.iter().map(|(name, wanted)| (name.as_str(), wanted.text().unwrap_or_default()));
                let own = place.header.as_deref().map(str::to_lowercase);
                let mut headers: Vec<_> = headers.filter(|(name, _)| own.as_deref() != Some(name)).collect();
                if let Some(name) = own.as_deref().filter(|_| http::HeaderValue::try_from(value).is_ok()) {
                    headers.push((name, value));
                }
                let view = request(ready.method.as_str(), &target, &headers, &body);
                let keyed = ready.handshake.hmac().is_some();
                let reply = handshakes.reply(&view, ready.after);
                replies.extend(reply.map(|reply| (preset.name.clone(), keyed, reply)));
            }
        }
        replies
    }

    #[test]
    fn a_usual_value_is_answered() {
        let value = "890e4665-4dfe-4ab1-b689-ed553bceeed0";
        let answered = |keyed| ask(value).into_iter().filter(|(_, is, reply)| *is == keyed && reply.is_ok()).count();
        assert_eq!(answered(true), 3, "zoom, x-twitter and linkedin");
        assert!(answered(false) >= 10, "{}", answered(false));
    }

    proptest! {
        #[test]
        fn nothing_that_could_be_a_body_is_signed(value in "[ -~]{1,80}|\\PC{0,40}|[A-Za-z0-9_.-]{1,140}") {
            for (name, keyed, reply) in ask(&value) {
                let Ok(Answering::Now(answer)) = reply else { continue };
                let narrow = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
                prop_assert!(!keyed || narrow, "{name} signed {value:?}");
                for (field, shown) in &answer.headers {
                    prop_assert!(shown.to_str().is_ok_and(|text| !text.contains(['\r', '\n'])), "{name}: {field}");
                }
                let kind = answer.headers.iter().find(|(field, _)| *field == http::header::CONTENT_TYPE);
                match kind.map(|(_, kind)| kind.as_bytes()) {
                    None => prop_assert_eq!(answer.body, ""),
                    Some(b"text/plain; charset=utf-8") => prop_assert_eq!(answer.body, value.clone()),
                    Some(b"application/json") => prop_assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_ok()),
                    Some(_) => prop_assert!(false, "{name}"),
                }
            }
        }
    }
}
