//! One handshake, as data: proved when it is read.

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize, Serializer};

use super::BadHandshake;
use super::answer::Value;
use super::condition::Verb;
use super::confirm::Confirm;
use super::text::Word;
use super::written::Written;
use crate::signature::hash::Hash;

/// One handshake, proved. Cheap to clone.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Handshake {
    pub(super) written: Arc<Written>,
    pub(super) value: Option<Value>,
    pub(super) confirm: Option<Confirm>,
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
        if written.take && !written.can_take() {
            return Err(BadHandshake::Take);
        }
        let confirm = written.confirm.as_ref().map(Confirm::try_new).transpose()?;
        if confirm.is_some() && !written.can_confirm() {
            return Err(BadHandshake::Confirm);
        }
        Ok(Self { written: Arc::new(written), value, confirm })
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

    /// Whether it brings the source's secret.
    pub fn takes_secret(&self) -> bool {
        self.written.take
    }

    /// The addresses, up to the end of their hosts, of which one is visited; `None` where a host is not written out. Empty where none is.
    pub fn confirms_at(&self) -> Option<Vec<&str>> {
        self.confirm.as_ref().map_or(Some(Vec::new()), Confirm::hosts)
    }

    /// Whether it is answered only after a visit to an address that its request names.
    pub fn is_confirmed(&self) -> bool {
        self.confirm.is_some()
    }

    /// Whether its JSON is what the body holds encrypted.
    pub fn is_sealed(&self) -> bool {
        self.written.sealed
    }

    /// Whether it is answered.
    pub fn is_answered(&self) -> bool {
        self.written.respond.is_some()
    }

    fn needs(&self, word: Word) -> bool {
        self.written.respond.as_ref().is_some_and(|respond| respond.needs(word))
    }

    pub(super) fn hmac(&self) -> Option<Hash> {
        self.written.respond.as_ref()?.hmac.as_ref().map(|hmac| hmac.hash)
    }

    pub(super) fn reads_body(&self) -> bool {
        let value = self.value.as_ref().is_some_and(Value::reads_body) || self.confirm.as_ref().is_some_and(Confirm::reads_body);
        self.written.when.reads_body() || self.written.must.reads_body() || value
    }
}
