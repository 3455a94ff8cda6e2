//! Handshakes: what providers ask of an address before (or while) they send events to it, answered by the relay itself.
//!
//! Data, as schemes are: a request that looks like one is answered and never becomes an event. Two dangers shape the form. An answer
//! that is a keyed hash of the sender's text would sign whatever a stranger likes, with the key that signs events: such a text needs
//! a narrow pattern, or the handshake does not load. And a handshake that brings a secret would give the source to whoever sends the
//! next one: there is no way to write that one down.

mod answer;
mod condition;
mod pattern;
mod text;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::address::{Base, Form};
use super::hash::Hash;
use super::view::View;
use super::{BadSecret, Scheme, Secret, Verified};
use crate::record::Received;
use crate::time::Timestamp;
use answer::{Fill, Value};
use condition::{Ours, Verb};
use text::Word;
use written::{After, Written};

pub use answer::HandshakeAnswer;
pub use condition::LISTS;

/// A larger body is an event: providers' handshakes have a hundredth of it.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Handshakes of one source: each is looked at for each request.
const HANDSHAKES_MAX: usize = 16;

/// One handshake, proved. Cheap to clone.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Handshake {
    written: Arc<Written>,
    value: Option<Value>,
}

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

/// What a handshake's request gets.
pub type Reply = Result<HandshakeAnswer, NoAnswer>;

/// A request that is a handshake and is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// The status of its refusal.
    pub status: StatusCode,
    /// The word for it, in metrics and logs.
    pub reason: &'static str,
}

/// A handshake that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHandshake {
    /// A header's name or a JSON pointer is none, or the header is not for it.
    #[error("{0:?} cannot stand there")]
    Name(String),
    /// A setting that no source has.
    #[error(
        "{0:?} names no setting: write \"secret:verify_token\", or \"list:\" and one of topics, client_ids, allowed_origins, channel_ids, subscription_ids"
    )]
    Setting(String),
    /// Too many conditions.
    #[error("there are more than {0} conditions")]
    Conditions(usize),
    /// A method after `when`.
    #[error("`method` belongs to `when`")]
    Method,
    /// Nothing says what the handshake is.
    #[error("`when` says nothing: every event would be this handshake")]
    Everything,
    /// Where the value is.
    #[error("`value` needs one of header, query and json")]
    Place,
    /// How long the value may be.
    #[error("`value.bytes_max` must be between 1 and {0}")]
    BytesMax(usize),
    /// Neither an answer nor a refusal.
    #[error("it needs `respond`, or `refuse` with a status")]
    Nothing,
    /// The answer's status.
    #[error("`respond.status` must be between 200 and 299")]
    Status,
    /// The refusal's status.
    #[error("`refuse` must be between 400 and 499")]
    Refuse,
    /// Two bodies.
    #[error("`respond` has both text and json")]
    Both,
    /// JSON in JSON in JSON.
    #[error("`respond.json` is too deep")]
    Deep,
    /// A placeholder where it cannot be.
    #[error("`respond` would show a secret, or hash a hash")]
    Shown,
    /// `{value}` without a value.
    #[error("`respond` needs a value: write value = {{ query = \"NAME\" }}")]
    NoValue,
    /// A hash that is not shown, or shown and not written.
    #[error("`{{hmac}}` and `{{digest}}` belong to respond.hmac and respond.digest, each to its own")]
    Hash,
    /// Strangers could have anything signed.
    #[error(
        "an answer with a secret in it needs value.pattern, of letters, digits, '-', '_' and '.' only: else anybody could have a forged event signed"
    )]
    Oracle,
}

/// Handshakes that a source cannot have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Too many of them.
    #[error("there are more than {HANDSHAKES_MAX}")]
    Many,
    /// `respond.hmac` without a secret to sign with.
    #[error("respond.hmac needs a provider that signs with a shared secret")]
    NoKey,
    /// A secret that is not what the scheme needs.
    #[error("a secret cannot be used: {0}")]
    Secret(BadSecret),
}

impl NoAnswer {
    const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

impl TryFrom<Written> for Handshake {
    type Error = BadHandshake;

    fn try_from(mut written: Written) -> Result<Self, BadHandshake> {
        written.when = written.when.proved()?;
        written.must = written.must.proved()?;
        if written.must.method.is_some() {
            return Err(BadHandshake::Method);
        }
        let when = &written.when;
        if when.is_empty() && when.method.unwrap_or_default() == Verb::Post {
            return Err(BadHandshake::Everything);
        }
        if written.refuse.is_some_and(|status| !(400..=499).contains(&status)) {
            return Err(BadHandshake::Refuse);
        }
        let value = written.value.as_ref().map(Value::try_new).transpose()?;
        match &written.respond {
            Some(respond) => respond.prove(value.as_ref())?,
            None if written.refuse.is_none() => return Err(BadHandshake::Nothing),
            None => {}
        }
        Ok(Self { written: Arc::new(written), value })
    }
}

impl Serialize for Handshake {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(s)
    }
}

impl Handshake {
    /// The names of the source's settings that it looks at; `verify_token` is a secret, the others are lists.
    pub fn settings(&self) -> Vec<&str> {
        let written = &self.written;
        let mut names: Vec<_> = written.when.settings().chain(written.must.settings()).collect();
        names.extend(self.needs(Word::VerifyToken).then_some("verify_token"));
        names
    }

    /// Whether the source's `public_key` is in its answer.
    pub fn needs_public_key(&self) -> bool {
        self.needs(Word::PublicKey)
    }

    /// Whether what the provider calls is in its answer.
    pub fn needs_address(&self) -> bool {
        self.needs(Word::Url)
    }

    /// Its method.
    pub fn method(&self) -> Method {
        self.written.when.method.unwrap_or_default().method()
    }

    /// Whether it is answered.
    pub fn is_answered(&self) -> bool {
        self.written.respond.is_some()
    }

    fn needs(&self, word: Word) -> bool {
        self.written.respond.as_ref().is_some_and(|respond| respond.needs(word))
    }

    fn hmac(&self) -> Option<Hash> {
        self.written.respond.as_ref()?.hmac.as_ref().map(|hmac| hmac.hash)
    }

    fn reads_body(&self) -> bool {
        let value = self.value.as_ref().is_some_and(Value::reads_body);
        self.written.when.reads_body() || self.written.must.reads_body() || value
    }
}

impl Handshakes {
    /// `scheme`: how the source verifies; `None` where it does not. `secrets`: the source's own.
    pub fn try_new(list: Vec<Handshake>, scheme: Option<&Scheme>, secrets: &[Secret], terms: Terms) -> Result<Self, Unusable> {
        if list.len() > HANDSHAKES_MAX {
            return Err(Unusable::Many);
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
            let verifies = scheme.is_some() && method == Method::POST;
            let after = handshake.written.after.unwrap_or(if verifies { After::Verified } else { After::Nothing });
            Ready { handshake, after, method }
        };
        let base = terms.public_url.as_ref().map(Base::from_url);
        Ok(Self { list: list.into_iter().map(ready).collect(), terms, keys, base })
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

    /// What a verified request gets that is a handshake; `None` where it is an event.
    pub fn after_proof(&self, verified: &Verified) -> Option<Reply> {
        self.reply(verified.received(), After::Verified)
    }

    fn reply(&self, received: &Received, after: After) -> Option<Reply> {
        // Signatures that cover gunzipped bodies belong to no provider with a handshake.
        let view = View::new(received, self.base.as_ref(), false);
        let fits = |ready: &&Ready| {
            let small = received.body.len() <= BODY_BYTES_MAX || !ready.handshake.reads_body();
            ready.after == after && ready.method.as_str() == received.method && small
        };
        let found = self.list.iter().filter(fits).find(|ready| ready.handshake.written.when.hold(&view))?;
        Some(self.answer(&found.handshake, &view, received.at))
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
        let fill = Fill { value, terms: &self.terms, key: key.map(|key| &key.bytes[..]), url: address(view) };
        respond.build(&fill).ok_or(NoAnswer::new(StatusCode::BAD_REQUEST, "handshake_value"))
    }
}

/// What the provider called, without its query.
fn address(view: &View<'_>) -> String {
    let mut address = Vec::new();
    view.feed_address(Form::NoQuery, &mut |piece| address.extend_from_slice(piece));
    String::from_utf8_lossy(&address).into_owned()
}

impl fmt::Debug for AnswerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerKey(masked)")
    }
}
