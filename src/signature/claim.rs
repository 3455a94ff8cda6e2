//! What a request claims: the signatures in it, in the form that its scheme says. Unknown versions are skipped, never accepted.

use std::borrow::Cow;
use std::ops::Deref;

use super::Reason;
use super::encoding::Encoding;
use super::few::Few;
use super::hash::Tag;
use super::view::View;
use super::written::Place;

/// The key of the item that is the timestamp where items have no keys. An empty one would be compared with itself, which costs as much
/// as two blocks of the hash.
pub(super) const BY_PLACE: &str = "by place";

/// Where signatures stand, proved.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    /// Lower case for headers; without the `*` of a numbered one.
    pub(super) name: String,
    pub(super) numbered: bool,
    pub(super) form: Form,
    pub(super) prefix: String,
    pub(super) groups: Option<Separator>,
    pub(super) list: Option<Separator>,
    pub(super) kv: Option<Separator>,
    pub(super) keys: Vec<String>,
    /// Items have no keys; this one is the timestamp.
    pub(super) positional: Option<usize>,
    /// Only secrets of this slot (and those without one) count here.
    pub(super) slot: Option<String>,
}

/// What stands between items.
#[derive(Clone, Debug)]
pub(super) struct Separator(String);

/// What a signature is once its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The output of a hash of that many bytes.
    Tag(Encoding, usize),
    /// A signature by a key, whose length its algorithm judges.
    Signature(Encoding),
    /// The secret itself.
    Token(Encoding),
    /// `user:password` in base64.
    Basic,
}

/// A signature, decoded, and the slot of the secrets that count for it.
pub(super) struct Claim<'a> {
    pub(super) bytes: Claimed,
    pub(super) slot: Option<&'a str>,
}

/// Its bytes. Nearly all are tags, which have a known length and need no memory of their own.
pub(super) enum Claimed {
    Tag(Tag),
    Bytes(Vec<u8>),
}

/// A text in which signatures stand, and what says how.
pub(super) type Text<'a> = (&'a Source, Cow<'a, str>);

/// The signatures that share one timestamp.
#[derive(Default)]
pub(super) struct Group<'a> {
    /// The `key=value` items that are no signatures, in order.
    pub(super) fields: Few<(&'a str, &'a str)>,
    /// The signatures.
    pub(super) claims: Few<Claim<'a>>,
    /// Why something that was there did not become a signature.
    fault: Option<Reason>,
}

impl Source {
    /// Adds the texts that stand there. A header line each, in order; several only where the form has a list.
    pub(super) fn add_texts<'a>(&'a self, view: &View<'a>, texts: &mut Few<Text<'a>>) -> Result<(), Reason> {
        let add = |value: Cow<'a, [u8]>| {
            if !value.is_empty() {
                texts.push((self, text(value)?));
            }
            Ok(())
        };
        match self.place {
            Place::Header if self.numbered => self.numbered_lines(view).map(Cow::Borrowed).try_for_each(add),
            Place::Header if self.list.is_some() => view.headers.all(&self.name).map(Cow::Borrowed).try_for_each(add),
            place => view.value(place, &self.name)?.map_or(Ok(()), add),
        }
    }

    fn numbered_lines<'a>(&'a self, view: &View<'a>) -> impl Iterator<Item = &'a [u8]> {
        let ours =
            |name: &str| name.strip_prefix(&self.name).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        view.headers.iter().filter(move |(name, _)| ours(name.as_str())).map(|(_, v)| v.as_bytes())
    }

    /// The groups in a text.
    pub(super) fn groups_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let split = self.groups.as_ref().map(|separator| separator.split(text));
        let whole = if split.is_none() { Some(text) } else { None };
        split.into_iter().flatten().chain(whole)
    }

    /// Adds what stands in the text of one group.
    pub(super) fn read<'a>(&'a self, text: &'a str, group: &mut Group<'a>) {
        match &self.list {
            Some(separator) => {
                // Some write ", ". Only the space before an item is forgiven, so that values stay verbatim.
                let items = separator.split(text).map(|item| item.trim_start_matches(' '));
                items.filter(|item| !item.is_empty()).enumerate().for_each(|(i, item)| self.read_item(i, item, group));
            }
            None => self.read_item(0, text, group),
        }
    }

    fn read_item<'a>(&'a self, index: usize, item: &'a str, group: &mut Group<'a>) {
        let slot = self.slot.as_deref();
        let value = match (&self.kv, self.positional) {
            (Some(separator), _) => match separator.cut(item) {
                Some((key, value)) if self.keys.iter().any(|known| known == key) => value,
                Some(field) => {
                    group.fields.push(field);
                    return group.blame(Reason::UnknownVersion);
                }
                None => return group.blame(Reason::UnknownVersion),
            },
            (None, Some(stamp)) if stamp == index => return group.fields.push((BY_PLACE, item)),
            _ => item,
        };
        // An empty value claims nothing (some send the field of the other mode empty).
        match self.without_prefix(value) {
            Some("") => {}
            Some(claimed) => match self.form.read(claimed) {
                Some(bytes) => group.claims.push(Claim { bytes, slot }),
                None => group.blame(Reason::BadEncoding),
            },
            None if value.is_empty() => {}
            None => group.blame(Reason::UnknownVersion),
        }
    }

    /// What follows the prefix. Most have none: to compare nothing with nothing in memory that is nowhere costs as much as two blocks
    /// of the hash.
    fn without_prefix<'a>(&self, value: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() {
            return Some(value);
        }
        value.strip_prefix(self.prefix.as_str()).or_else(|| self.prefix_in_any_case(value))
    }

    /// The names of HTTP's authentication schemes (`Bearer`, `Basic`) have no case.
    fn prefix_in_any_case<'a>(&self, value: &'a str) -> Option<&'a str> {
        let (front, rest) = value.split_at_checked(self.prefix.len())?;
        (!matches!(self.form, Form::Tag(..) | Form::Signature(_)) && front.eq_ignore_ascii_case(&self.prefix)).then_some(rest)
    }
}

impl Separator {
    /// As written; never empty.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first one, and what stands after it.
    fn cut<'a>(&self, text: &'a str) -> Option<(&'a str, &'a str)> {
        match self.0.as_bytes() {
            // Nearly all are one byte. To prepare a search for several costs more than to read a header.
            [byte] => memchr::memchr(*byte, text.as_bytes()).map(|at| (&text[..at], &text[at + 1..])),
            _ => text.split_once(&self.0),
        }
    }

    fn split<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let mut rest = Some(text);
        std::iter::from_fn(move || {
            let text = rest.take()?;
            let Some((item, after)) = self.cut(text) else { return Some(text) };
            rest = Some(after);
            Some(item)
        })
    }
}

impl Form {
    fn read(self, text: &str) -> Option<Claimed> {
        let bytes = match self {
            Self::Tag(encoding, bytes) => return Tag::claimed(encoding, text, bytes).map(Claimed::Tag),
            Self::Signature(encoding) => encoding.decode(text).filter(|bytes| !bytes.is_empty()),
            Self::Token(encoding) => encoding.decode(text),
            Self::Basic => Encoding::Base64.decode(text).filter(|pair| pair.contains(&b':')),
        };
        bytes.map(Claimed::Bytes)
    }
}

impl Claimed {
    /// Whether it is that tag.
    pub(super) fn is_tag(&self, tag: &Tag) -> bool {
        matches!(self, Self::Tag(claimed) if tag.equals(claimed))
    }
}

impl Deref for Claimed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Tag(tag) => tag.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Group<'_> {
    /// Why there is no signature in it.
    pub(super) fn fault(&self) -> Reason {
        self.fault.unwrap_or(Reason::MissingHeader)
    }

    fn blame(&mut self, fault: Reason) {
        if self.fault != Some(Reason::BadEncoding) {
            self.fault = Some(fault);
        }
    }
}

fn text(value: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Reason> {
    match value {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Reason::BadEncoding),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Reason::BadEncoding),
    }
}
