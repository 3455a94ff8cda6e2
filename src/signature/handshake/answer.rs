//! The answer to a handshake: built from what is written and a value that was looked at, inert for whoever reads it.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::text::{Text, Word};
use super::written::{WrittenAnswer, WrittenHash};
use super::{BadHandshake, Terms};
use crate::pointer;
use crate::signature::address::Form;
use crate::signature::hash::Keyed;
use crate::signature::view::View;
use crate::signature::written::Place;

/// Bytes of a reflected value where nothing is said: every provider's tokens fit, and nobody can publish a page with it.
const VALUE_BYTES: usize = 2048;
/// And what can be said.
const VALUE_BYTES_MAX: usize = 4096;
/// Fields that an answer says by itself, so that what is reflected stays inert.
const OWN_FIELDS: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::CACHE_CONTROL,
    header::X_CONTENT_TYPE_OPTIONS,
    header::CONTENT_SECURITY_POLICY,
];

/// The answer to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeAnswer {
    /// Its status: 200 to 299.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: String,
}

/// Where the value is and what it may be, proved.
#[derive(Clone, Debug)]
pub(super) struct Value {
    place: Place,
    name: String,
    pattern: Option<super::pattern::Pattern>,
    bytes_max: usize,
}

/// What placeholders stand for in one request.
pub(super) struct Fill<'a> {
    pub(super) value: Option<String>,
    pub(super) terms: &'a Terms,
    /// Of the secret that counts now.
    pub(super) key: Option<&'a [u8]>,
    pub(super) url: String,
}

impl Value {
    pub(super) fn try_new(written: &super::written::WrittenValue) -> Result<Self, BadHandshake> {
        let places = [(Place::Header, &written.header), (Place::Query, &written.query), (Place::Json, &written.json)];
        let mut places = places.into_iter().filter_map(|(place, name)| Some((place, name.clone()?)));
        let (Some((place, name)), None) = (places.next(), places.next()) else { return Err(BadHandshake::Place) };
        let name = match place {
            Place::Header => {
                HeaderName::try_from(name.as_str()).map(|n| n.as_str().to_owned()).map_err(|_| BadHandshake::Name(name))?
            }
            Place::Json if pointer::tokens(&name).is_err() => return Err(BadHandshake::Name(name)),
            _ => name,
        };
        let bytes_max = written.bytes_max.unwrap_or(VALUE_BYTES);
        if !(1..=VALUE_BYTES_MAX).contains(&bytes_max) {
            return Err(BadHandshake::BytesMax(VALUE_BYTES_MAX));
        }
        Ok(Self { place, name, pattern: written.pattern.clone(), bytes_max })
    }

    pub(super) fn reads_body(&self) -> bool {
        self.place == Place::Json
    }

    /// Whether it keeps a keyed hash of it from being one of a body.
    pub(super) fn is_narrow(&self) -> bool {
        self.pattern.as_ref().is_some_and(super::pattern::Pattern::is_narrow)
    }

    /// The request's value; `None` where it is missing, there twice, no text, too long, or not as the pattern says.
    pub(super) fn read(&self, view: &View<'_>) -> Option<String> {
        let text = if self.place == Place::Json {
            let body = view.body.whole().ok()?;
            // Numbers and the like are refused: providers send strings, and what is reflected is what was looked at.
            serde_json::from_str(pointer::read_text(&body, &self.name).ok()??).ok()?
        } else {
            String::from_utf8(view.value(self.place, &self.name).ok()??.into_owned()).ok()?
        };
        let good = (1..=self.bytes_max).contains(&text.len()) && self.pattern.as_ref().is_none_or(|pattern| pattern.holds(&text));
        good.then_some(text)
    }
}

impl WrittenAnswer {
    /// Whether it can be built.
    pub(super) fn prove(&self, value: Option<&Value>) -> Result<(), BadHandshake> {
        if !(200..=299).contains(&self.status) {
            return Err(BadHandshake::Status);
        }
        if self.text.is_some() && self.json.is_some() {
            return Err(BadHandshake::Both);
        }
        // RFC 9110, sections 15.3.5 and 15.3.6.
        if matches!(self.status, 204 | 205) && (self.text.is_some() || self.json.is_some()) {
            return Err(BadHandshake::NoBody);
        }
        if self.json.as_ref().is_some_and(|json| !json.is_shallow()) {
            return Err(BadHandshake::Deep);
        }
        for (name, text) in &self.header {
            let known = HeaderName::try_from(name.as_str()).map_err(|_| BadHandshake::Name(name.clone()))?;
            if OWN_FIELDS.contains(&known) || text.render(&|_| Some("x".into())).is_none_or(|text| !is_visible(&text)) {
                return Err(BadHandshake::Name(name.clone()));
            }
        }
        let hashed = [&self.hmac, &self.digest].into_iter().flatten().filter_map(|hash| hash.text.as_ref());
        let shown: Vec<&Text> = self.shown().collect();
        let holds = |word| shown.iter().any(|text| text.holds(word));
        if holds(Word::VerifyToken) || hashed.clone().any(|text| text.holds(Word::Hmac) || text.holds(Word::Digest)) {
            return Err(BadHandshake::Shown);
        }
        let needs_value = holds(Word::Value)
            || holds(Word::Number)
            || self.hmac.is_some()
            || hashed.clone().any(|text| text.holds(Word::Value));
        match value {
            None if needs_value => Err(BadHandshake::NoValue),
            Some(value) if self.is_keyed() && !value.is_narrow() => Err(BadHandshake::Oracle),
            _ if holds(Word::Hmac) != self.hmac.is_some() || holds(Word::Digest) != self.digest.is_some() => {
                Err(BadHandshake::Hash)
            }
            _ => Ok(()),
        }
    }

    /// Whether the answer proves that the relay knows a secret.
    fn is_keyed(&self) -> bool {
        let digests = self.digest.iter().filter_map(|digest| digest.text.as_ref());
        self.hmac.is_some() || digests.into_iter().any(|text| text.holds(Word::VerifyToken))
    }

    /// The texts that can be seen in the answer.
    fn shown(&self) -> impl Iterator<Item = &Text> {
        self.text.iter().chain(self.header.values()).chain(self.json.iter().flat_map(super::text::Json::texts))
    }

    /// Whether one of its texts holds that word.
    pub(super) fn needs(&self, word: Word) -> bool {
        let hashed = [&self.hmac, &self.digest].into_iter().flatten().filter_map(|hash| hash.text.as_ref());
        self.shown().chain(hashed).any(|text| text.holds(word))
    }

    /// The answer; `None` where a value cannot stand where it should, or a setting is missing.
    pub(super) fn build(&self, fill: &Fill<'_>) -> Option<HandshakeAnswer> {
        let plain = |word| fill.plain(word);
        let hmac = self.hmac.as_ref().map(|hash| hash.of(fill, true));
        let digest = self.digest.as_ref().map(|hash| hash.of(fill, false));
        let words = |word| match word {
            Word::Hmac => hmac.clone().flatten(),
            Word::Digest => digest.clone().flatten(),
            Word::VerifyToken => None,
            word => plain(word),
        };
        let mut headers = vec![(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        let (body, kind) = match (&self.text, &self.json) {
            (Some(text), _) => (text.render(&words)?, Some("text/plain; charset=utf-8")),
            (None, Some(json)) => (json.render(&words)?, Some("application/json")),
            (None, None) => (String::new(), None),
        };
        if let Some(kind) = kind {
            headers.push((header::CONTENT_TYPE, HeaderValue::from_static(kind)));
            headers.push((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
            headers.push((header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")));
        }
        for (name, text) in &self.header {
            let value = text.render(&words).filter(|value| is_visible(value))?;
            headers.push((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value).ok()?));
        }
        Some(HandshakeAnswer { status: StatusCode::from_u16(self.status).ok()?, headers, body })
    }
}

impl WrittenHash {
    /// The hash of its text, with the source's key where `keyed`.
    fn of(&self, fill: &Fill<'_>, keyed: bool) -> Option<String> {
        let words = |word| fill.hashed(word);
        let text = match &self.text {
            Some(text) => text.render(&words)?,
            None => fill.value.clone()?,
        };
        let tag = if keyed {
            let mut keyed = Keyed::try_new(self.hash, fill.key?)?;
            keyed.update(text.as_bytes());
            keyed.finish()
        } else {
            self.hash.of_bytes(text.as_bytes())
        };
        self.encoding.encode(tag.as_bytes())
    }
}

impl Fill<'_> {
    /// What can be shown.
    fn plain(&self, word: Word) -> Option<String> {
        match word {
            Word::Value => self.value.clone(),
            // As numbers are written, so that what goes back is what was looked at.
            Word::Number => self.value.clone().filter(|text| text.parse::<i64>().is_ok_and(|number| number.to_string() == *text)),
            Word::PublicKey => self.terms.public_key.clone(),
            Word::Url => Some(self.url.clone()),
            Word::Hmac | Word::Digest | Word::VerifyToken => None,
        }
    }

    /// And what can be hashed.
    fn hashed(&self, word: Word) -> Option<String> {
        match word {
            Word::VerifyToken => String::from_utf8(self.terms.verify_token.as_ref()?.expose().to_vec()).ok(),
            word => self.plain(word),
        }
    }
}

/// What the provider called, without its query.
pub(super) fn address(view: &View<'_>) -> String {
    let mut address = Vec::new();
    view.feed_address(Form::NoQuery, &mut |piece| address.extend_from_slice(piece));
    String::from_utf8_lossy(&address).into_owned()
}

/// What can stand in a header without changing it: visible ASCII, and spaces within.
fn is_visible(text: &str) -> bool {
    text.trim() == text && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}
