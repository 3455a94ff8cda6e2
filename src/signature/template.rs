//! Payload templates: what is signed, as text with `{placeholders}`. Parsed once; a request only gives its pieces, in order, to
//! a hash. `{{` and `}}` stand for the braces themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Reason;
use super::address::{self, Form};
use super::few::Few;
use super::form::{self, Repeats};
use super::hash::{Hash, Tag};
use super::json;
use super::view::View;
use super::words::{self, Word};
use super::written::Place;

/// A parsed template.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Piece>);

/// What stands in the signature's own header, beside the signatures.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside<'a> {
    /// The timestamp's text, verbatim.
    pub(super) stamp: Option<&'a str>,
    /// The header's `key=value` items.
    pub(super) fields: Option<&'a Few<(&'a str, &'a str)>>,
    /// The secret, for those who hash it with the text.
    pub(super) secret: &'a [u8],
    /// The header fields that a token lists, as lines.
    pub(super) signed_fields: Option<&'a str>,
}

/// A template that is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// A brace that opens or closes nothing.
    #[error("a brace is not closed (write {{{{ or }}}} for the brace itself)")]
    Brace,
    /// A placeholder that does not exist.
    #[error("{{{0}}} is not known")]
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    part: Part,
    filter: Option<Filter>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Body,
    Stamp,
    Header(String),
    Field(String),
    Value(Place, String),
    /// A JSON pointer to what may be missing; then it is empty text.
    Optional(String),
    Method,
    Address(Form),
    Path,
    Secret,
    SortedForm(Repeats),
    /// `true`: with all but letters, digits and `-_.~` as `%XX`, whatever was sent.
    SortedQuery(bool),
    /// The header fields that a token lists.
    SignedFields,
    /// A value that the source says of itself.
    Setting(String),
    Word(Word),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    Raw(Hash),
    Hex(Hash),
    Lower,
    /// As a JSON string, escaped as little as JSON allows.
    Json,
    /// Gunzipped where it is gzip; of the body only.
    Gunzip,
    /// Its CRC-32 as a decimal number: no proof of anything, but some sign it.
    Crc32,
    Base64,
    /// In JSON's canonical form; of the body only.
    Canonical,
    /// The `%XX` that stand for one of these are decoded.
    Decode(String),
}

impl Template {
    /// From its text.
    pub(super) fn parse(text: &str) -> Result<Self, BadTemplate> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                plain.push_str(&rest[..1]);
                rest = after;
                continue;
            }
            let (inside, after) = rest.strip_prefix('{').and_then(|r| r.split_once('}')).ok_or(BadTemplate::Brace)?;
            if !plain.is_empty() {
                pieces.push(Piece { part: Part::Text(std::mem::take(&mut plain)), filter: None });
            }
            pieces.push(Piece::parse(inside).ok_or_else(|| BadTemplate::Unknown(inside.to_owned()))?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece { part: Part::Text(plain), filter: None });
        }
        Ok(Self(pieces))
    }

    /// Whether anything of the request is in it.
    pub(super) fn covers_something(&self) -> bool {
        self.0.iter().any(|piece| !matches!(piece.part, Part::Text(_) | Part::Secret | Part::Stamp | Part::Setting(_)))
    }

    /// Whether the whole body is in it.
    pub(super) fn covers_body(&self) -> bool {
        let changed = |piece: &Piece| matches!(piece.filter, Some(Filter::Lower | Filter::Crc32));
        self.0.iter().any(|piece| piece.part.covers_body() && !changed(piece))
    }

    /// The source's settings that are in it.
    pub(super) fn settings(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| if let Part::Setting(name) = &piece.part { Some(name.as_str()) } else { None })
    }

    /// Whether the secret is in it.
    pub(super) fn holds_secret(&self) -> bool {
        self.0.iter().any(|piece| piece.part == Part::Secret && piece.filter.is_none())
    }

    /// Whether the timestamp is in it.
    pub(super) fn holds_stamp(&self) -> bool {
        self.0.iter().any(|piece| piece.part == Part::Stamp)
    }

    /// Whether the address is in it.
    pub(super) fn holds_address(&self) -> bool {
        self.0.iter().any(|piece| match &piece.part {
            Part::Address(_) => true,
            Part::Word(word) => word.holds_address(),
            _ => false,
        })
    }

    /// Whether items of the signature's own header are in it.
    pub(super) fn holds_fields(&self) -> bool {
        self.0.iter().any(|piece| match &piece.part {
            Part::Field(_) => true,
            Part::Word(word) => word.holds_fields(),
            _ => false,
        })
    }

    /// The headers in it.
    pub(super) fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| if let Part::Header(name) = &piece.part { Some(name.as_str()) } else { None })
    }

    /// Gives the payload of a request, piece by piece.
    pub(super) fn feed(&self, view: &View<'_>, beside: &Beside<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
        for (i, piece) in self.0.iter().enumerate() {
            match &piece.filter {
                None => piece.part.feed(view, beside, self.separator_after(i), sink)?,
                Some(filter) => filter.feed(&piece.part, view, beside, sink)?,
            }
        }
        Ok(())
    }

    /// The text right behind a piece.
    fn separator_after(&self, at: usize) -> Option<&str> {
        match self.0.get(at + 1) {
            Some(Piece { part: Part::Text(text), .. }) => Some(text),
            _ => None,
        }
    }
}

impl Piece {
    fn parse(inside: &str) -> Option<Self> {
        let (part, filter) = match inside.split_once('|') {
            Some((part, filter)) => (part, Some(Filter::parse(filter)?)),
            None => (inside, None),
        };
        let piece = Self { part: Part::parse(part)?, filter };
        // Only the body is ever packed, or JSON.
        let of_body = matches!(piece.filter, Some(Filter::Gunzip | Filter::Canonical));
        (!of_body || piece.part == Part::Body).then_some(piece)
    }
}

impl Part {
    fn covers_body(&self) -> bool {
        match self {
            Self::Body | Self::SortedForm(_) => true,
            Self::Word(word) => word.covers_body(),
            _ => false,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            None => match text {
                "body" => Self::Body,
                "ts" => Self::Stamp,
                "method" => Self::Method,
                "url" => Self::Address(Form::Whole),
                "url_noquery" => Self::Address(Form::NoQuery),
                "url_port" => Self::Address(Form::Port),
                "url_noport" => Self::Address(Form::NoPort),
                "path" => Self::Path,
                "secret" => Self::Secret,
                "sorted_query" => Self::SortedQuery(false),
                "signed_fields" => Self::SignedFields,
                word => Self::Word(Word::parse(word, None)?),
            },
            Some(("sorted_form", "unique")) => Self::SortedForm(Repeats::Unique),
            Some(("sorted_form", "all")) => Self::SortedForm(Repeats::All),
            Some(("sorted_form", "last")) => Self::SortedForm(Repeats::Last),
            Some(("sorted_query", "encoded")) => Self::SortedQuery(true),
            Some((_, "")) => return None,
            Some(("header", name)) => Self::Header(http::HeaderName::try_from(name).ok()?.as_str().to_owned()),
            Some(("setting", name)) => Self::Setting(name.to_owned()),
            Some(("field", name)) => Self::Field(name.to_owned()),
            Some(("query", name)) => Self::Value(Place::Query, name.to_owned()),
            Some(("form", name)) => Self::Value(Place::Form, name.to_owned()),
            Some(("form-last", name)) => Self::Value(Place::FormLast, name.to_owned()),
            Some(("json", pointer)) if pointer.starts_with('/') && pointer.ends_with('?') => {
                Self::Optional(pointer.trim_end_matches('?').to_owned())
            }
            Some(("json", pointer)) if pointer.starts_with('/') => Self::Value(Place::Json, pointer.to_owned()),
            Some((word, argument)) => Self::Word(Word::parse(word, Some(argument))?),
        })
    }

    fn feed(
        &self,
        view: &View<'_>,
        beside: &Beside<'_>,
        separator: Option<&str>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Reason> {
        match self {
            Self::Text(text) => sink(text.as_bytes()),
            Self::Body => return view.body.feed(sink),
            Self::Stamp => sink(beside.stamp.ok_or(Reason::MissingTimestamp)?.as_bytes()),
            Self::Header(name) => {
                let value = view.header(name)?.ok_or(Reason::MissingPart)?;
                // With the separator inside, one signature would hold for two ways to cut the text into parts.
                if separator.is_some_and(|text| std::str::from_utf8(value).is_ok_and(|v| v.contains(text))) {
                    return Err(Reason::BadEncoding);
                }
                sink(value);
            }
            Self::Field(name) => sink(only_field(beside.fields, name)?.ok_or(Reason::MissingPart)?.as_bytes()),
            Self::Value(place, name) => sink(&view.value(*place, name)?.ok_or(Reason::MissingPart)?),
            Self::Optional(pointer) => sink(&view.value(Place::Json, pointer)?.unwrap_or_default()),
            Self::Method => sink(view.method.as_bytes()),
            Self::Address(form) => view.feed_address(*form, sink),
            Self::Path => sink(address::path_of(view.target).as_bytes()),
            Self::Secret => sink(beside.secret),
            Self::SortedForm(repeats) => return form::feed_sorted(&view.body.whole()?, *repeats, sink),
            Self::SortedQuery(false) => form::feed_sorted_query(address::query_of(view.target), sink),
            Self::SortedQuery(true) => sink(form::encoded_query(address::query_of(view.target)).as_bytes()),
            Self::SignedFields => sink(beside.signed_fields.ok_or(Reason::MissingPart)?.as_bytes()),
            Self::Setting(name) => {
                let value = view.unpacked.settings.and_then(|settings| settings.only(name)).and_then(json::text);
                sink(value.ok_or(Reason::MissingPart)?.as_bytes());
            }
            Self::Word(word) => return word.feed(view, beside, sink),
        }
        Ok(())
    }
}

impl Filter {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "sha256" => Self::Raw(Hash::Sha256),
            "sha256hex" => Self::Hex(Hash::Sha256),
            "lower" => Self::Lower,
            "json" => Self::Json,
            "gzip_if_magic" => Self::Gunzip,
            "crc32" => Self::Crc32,
            "base64" => Self::Base64,
            "jcs" => Self::Canonical,
            _ => Self::Decode(text.strip_prefix("decode ").filter(|list| !list.is_empty())?.to_owned()),
        })
    }

    fn feed(&self, part: &Part, view: &View<'_>, beside: &Beside<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
        match self {
            Self::Raw(hash) => sink(hashed(*hash, part, view, beside)?.as_bytes()),
            Self::Hex(hash) => sink(hex::encode(hashed(*hash, part, view, beside)?.as_bytes()).as_bytes()),
            Self::Lower => part.feed(view, beside, None, &mut |piece| sink(&piece.to_ascii_lowercase()))?,
            Self::Json => {
                let whole = gathered(part, view, beside)?;
                let text = std::str::from_utf8(&whole).map_err(|_| Reason::BadEncoding)?;
                sink(&serde_json::to_vec(text).map_err(|_| Reason::BadEncoding)?);
            }
            Self::Crc32 => {
                let mut running = crc32fast::Hasher::new();
                part.feed(view, beside, None, &mut |piece| running.update(piece))?;
                sink(running.finalize().to_string().as_bytes());
            }
            Self::Gunzip => part.feed(&View { body: view.body.gunzipped(), ..*view }, beside, None, sink)?,
            Self::Base64 => sink(STANDARD.encode(gathered(part, view, beside)?).as_bytes()),
            // Of the body only.
            Self::Canonical => sink(&words::canonical(&view.body.whole()?)?),
            Self::Decode(list) => sink(&words::decode(&gathered(part, view, beside)?, list.as_bytes())),
        }
        Ok(())
    }
}

fn gathered(part: &Part, view: &View<'_>, beside: &Beside<'_>) -> Result<Vec<u8>, Reason> {
    let mut whole = Vec::new();
    part.feed(view, beside, None, &mut |piece| whole.extend_from_slice(piece))?;
    Ok(whole)
}

fn hashed(hash: Hash, part: &Part, view: &View<'_>, beside: &Beside<'_>) -> Result<Tag, Reason> {
    hash.of(|sink| part.feed(view, beside, None, sink))
}

/// The one item of that key; two are refused.
pub(super) fn only_field<'a>(fields: Option<&Few<(&'a str, &'a str)>>, name: &str) -> Result<Option<&'a str>, Reason> {
    let mut values = fields.into_iter().flatten().filter(|(key, _)| *key == name).map(|&(_, value)| value);
    let value = values.next();
    if values.next().is_some() { Err(Reason::BadEncoding) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_placeholders() {
        let template = Template::parse("v0:{ts}:{{{body|sha256hex}}}").unwrap();
        let text = |t: &str| Piece { part: Part::Text(t.into()), filter: None };
        let piece = |part, filter| Piece { part, filter };
        let hashed = piece(Part::Body, Some(Filter::Hex(Hash::Sha256)));
        assert_eq!(template.0, [text("v0:"), piece(Part::Stamp, None), text(":{"), hashed, text("}")]);
        assert!(template.covers_something() && template.holds_stamp() && !template.holds_secret());
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for unknown in [
            "bdy",
            "header:",
            "header:a b",
            "json:a",
            "sorted_form:x",
            "body|rot13",
            "url|gzip_if_magic",
            "ts|jcs",
            "",
            "form:",
            "url|decode ",
        ] {
            let error = Template::parse(&format!("{{{unknown}}}")).unwrap_err();
            assert_eq!(error, BadTemplate::Unknown(unknown.into()));
        }
        for brace in ["{body", "body}", "{body}}", "{"] {
            assert_eq!(Template::parse(brace).unwrap_err(), BadTemplate::Brace, "{brace}");
        }
    }
}
