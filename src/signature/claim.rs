//! What a request claims: the signatures in it, in the form that its scheme says. Unknown versions are skipped, never accepted.

use std::borrow::Cow;

use super::Reason;
use super::encoding::Encoding;
use super::view::View;
use super::written::Place;

/// Where signatures stand, proved.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    /// Lower case for headers; without the `*` of a numbered one.
    pub(super) name: String,
    pub(super) numbered: bool,
    pub(super) form: Form,
    pub(super) prefix: String,
    pub(super) groups: Option<String>,
    pub(super) list: Option<String>,
    pub(super) kv: Option<String>,
    pub(super) keys: Vec<String>,
    /// Items have no keys; this one is the timestamp.
    pub(super) positional: Option<usize>,
    /// Only secrets of this slot (and those without one) count here.
    pub(super) slot: Option<String>,
}

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
    pub(super) bytes: Vec<u8>,
    pub(super) slot: Option<&'a str>,
}

/// The signatures that share one timestamp.
#[derive(Default)]
pub(super) struct Group<'a> {
    /// The `key=value` items that are no signatures, in order.
    pub(super) fields: Vec<(&'a str, &'a str)>,
    /// The signatures.
    pub(super) claims: Vec<Claim<'a>>,
    /// Why something that was there did not become a signature.
    fault: Option<Reason>,
}

impl Source {
    /// The texts that stand there. A header line each, in order; several only where the form has a list.
    pub(super) fn texts<'a>(&'a self, view: &View<'a>) -> Result<Vec<Cow<'a, str>>, Reason> {
        let values: Vec<Cow<'a, [u8]>> = match self.place {
            Place::Header if self.numbered => self.numbered_lines(view).map(Cow::Borrowed).collect(),
            Place::Header if self.list.is_some() => {
                view.headers.all(&self.name).filter(|line| !line.is_empty()).map(Cow::Borrowed).collect()
            }
            place => view.value(place, &self.name)?.into_iter().filter(|value| !value.is_empty()).collect(),
        };
        values.into_iter().map(text).collect()
    }

    fn numbered_lines<'a>(&'a self, view: &View<'a>) -> impl Iterator<Item = &'a [u8]> {
        let ours =
            |name: &str| name.strip_prefix(&self.name).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        view.headers.iter().filter(move |(name, value)| ours(name.as_str()) && !value.is_empty()).map(|(_, v)| v.as_bytes())
    }

    /// Adds what stands in one text to `groups`.
    pub(super) fn read<'a>(&'a self, text: &'a str, groups: &mut Vec<Group<'a>>) {
        match &self.groups {
            Some(separator) => groups.extend(text.split(separator.as_str()).map(|group| self.read_group(group))),
            None => groups.push(self.read_group(text)),
        }
    }

    fn read_group<'a>(&'a self, text: &'a str) -> Group<'a> {
        let mut group = Group::default();
        match &self.list {
            Some(separator) => {
                // Some write ", ". Only the space before an item is forgiven, so that values stay verbatim.
                let items = text.split(separator.as_str()).map(|item| item.trim_start_matches(' '));
                items.filter(|item| !item.is_empty()).enumerate().for_each(|(i, item)| self.read_item(i, item, &mut group));
            }
            None => self.read_item(0, text, &mut group),
        }
        group
    }

    fn read_item<'a>(&'a self, index: usize, item: &'a str, group: &mut Group<'a>) {
        let slot = self.slot.as_deref();
        let value = match (&self.kv, self.positional) {
            (Some(separator), _) => match item.split_once(separator.as_str()) {
                Some((key, value)) if self.keys.iter().any(|known| known == key) => value,
                Some(field) => {
                    group.fields.push(field);
                    return group.blame(Reason::UnknownVersion);
                }
                None => return group.blame(Reason::UnknownVersion),
            },
            (None, Some(stamp)) if stamp == index => return group.fields.push(("", item)),
            _ => item,
        };
        // An empty value claims nothing (some send the field of the other mode empty).
        match value.strip_prefix(self.prefix.as_str()).or_else(|| self.prefix_in_any_case(value)) {
            Some("") => {}
            Some(claimed) => match self.form.read(claimed) {
                Some(bytes) => group.claims.push(Claim { bytes, slot }),
                None => group.blame(Reason::BadEncoding),
            },
            None if value.is_empty() => {}
            None => group.blame(Reason::UnknownVersion),
        }
    }

    /// The names of HTTP's authentication schemes (`Bearer`, `Basic`) have no case.
    fn prefix_in_any_case<'a>(&self, value: &'a str) -> Option<&'a str> {
        let (front, rest) = value.split_at_checked(self.prefix.len())?;
        (!matches!(self.form, Form::Tag(..) | Form::Signature(_)) && front.eq_ignore_ascii_case(&self.prefix)).then_some(rest)
    }
}

impl Form {
    fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Tag(encoding, bytes) => encoding.decode(text).filter(|tag| tag.len() == bytes),
            Self::Signature(encoding) => encoding.decode(text).filter(|bytes| !bytes.is_empty()),
            Self::Token(encoding) => encoding.decode(text),
            Self::Basic => Encoding::Base64.decode(text).filter(|pair| pair.contains(&b':')),
        }
    }
}

impl<'a> Group<'a> {
    /// One group of all: for schemes where the items beside the signatures change nothing.
    pub(super) fn merge(groups: Vec<Self>) -> Vec<Self> {
        let mut all = Self::default();
        for group in groups {
            all.claims.extend(group.claims);
            all.fields.extend(group.fields);
            group.fault.into_iter().for_each(|fault| all.blame(fault));
        }
        vec![all]
    }

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
