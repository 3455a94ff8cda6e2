//! What relay.toml can say, declared once: each table with its keys, their kinds and bounds, what counts where they are not written,
//! and what they mean. `docs/CONFIGURATION.md` and the editors' schema are made of it.
//!
//! The declarations stand in the file that reads the table. A key that is read and not told is found in every debug build: a
//! [`Section`](super::table::Section) knows its table, and its values compare what they are read as with their kind.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A table of relay.toml.
#[derive(Debug)]
pub struct Table {
    /// As headings show it: `[destinations.NAME]`, or where an inline table stands, such as `retry`.
    pub name: &'static str,
    /// What it is for. A sentence or two.
    pub tells: &'static str,
    /// A part of a relay.toml that can be copied: the table with keys that people set.
    pub example: &'static str,
    /// Its keys, in the order in which they are told.
    pub keys: &'static [Key],
    /// Keys that are known and have no effect yet: writing one is an error.
    pub later: &'static [&'static str],
    /// Keys whose names are not ours: see [`Others`].
    pub others: Others,
}

/// Keys of a table beside those with names of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// There are none.
    None,
    /// What a provider's scheme asks of a source: `topic_arns`, `audience` and so on.
    Settings,
    /// Whatever is read: in unit tests.
    Any,
}

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What counts where it is not written: a value of TOML, or words. Empty where that is "nothing", and for what must be written.
    pub otherwise: Otherwise,
    /// What it means.
    pub tells: &'static str,
}

/// What counts where a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It must be written.
    Needed,
    /// Nothing of it.
    Nothing,
    /// This value, as TOML.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// What a value is.
#[derive(Debug, PartialEq)]
pub enum Kind {
    /// A string.
    Text,
    /// `true` or `false`
    Boolean,
    /// A whole number.
    Integer(RangeInclusive<u64>),
    /// A number, whole or not.
    Number(RangeInclusive<f64>),
    /// A string such as `"30s"`.
    Duration(RangeInclusive<Duration>),
    /// A string such as `"10MiB"`.
    Size(RangeInclusive<u64>),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A date and time with an offset, without quotes.
    Time,
    /// A text, a number, or `true` or `false`.
    Scalar,
    /// A list.
    List(&'static Kind),
    /// One, or a list of them.
    OneOrMany(&'static Kind),
    /// Any of these.
    Either(&'static [Kind]),
    /// A table with keys of ours.
    Table(&'static Table),
    /// A table whose keys are names.
    Named(&'static Kind),
    /// How a sender signs, in the words of `docs/PROVIDERS.md`.
    Scheme,
    /// A challenge, in the words of `docs/PROVIDERS.md`.
    Handshake,
    /// Not told: in unit tests.
    Any,
}

impl Key {
    /// A key that may be left out.
    pub const fn new(name: &'static str, kind: Kind, tells: &'static str) -> Self {
        Self { name, kind, otherwise: Otherwise::Nothing, tells }
    }

    /// A key that must be there.
    pub const fn needed(name: &'static str, kind: Kind, tells: &'static str) -> Self {
        Self { name, kind, otherwise: Otherwise::Needed, tells }
    }

    /// The same, where something counts if it is not written: a value of TOML.
    #[must_use]
    pub const fn or(self, value: &'static str) -> Self {
        Self { otherwise: Otherwise::Value(value), ..self }
    }

    /// The same, where it depends what counts if it is not written.
    #[must_use]
    pub const fn or_else(self, words: &'static str) -> Self {
        Self { otherwise: Otherwise::Words(words), ..self }
    }
}

impl Table {
    /// The key with this name.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Kind {
    /// Whether a value of this kind may be read as `other`.
    pub fn allows(&self, other: &Kind) -> bool {
        match self {
            Self::Any => true,
            Self::Either(kinds) => kinds.iter().any(|kind| kind.allows(other)),
            Self::OneOrMany(kind) => kind.allows(other),
            Self::Scalar => matches!(other, Self::Text | Self::Boolean | Self::Integer(_) | Self::Number(_)),
            // Where words have a meaning of their own they are looked at as texts, too.
            Self::Choice(_) if *other == Self::Text => true,
            _ => self == other,
        }
    }

    /// Whether it may be one of these words, and no other.
    pub(super) fn has_words<'w>(&self, words: impl Iterator<Item = &'w str> + Clone) -> bool {
        match self {
            Self::Any => true,
            Self::Choice(told) => words.eq(told.iter().copied()),
            Self::Either(kinds) => kinds.iter().any(|kind| kind.has_words(words.clone())),
            Self::OneOrMany(kind) => kind.has_words(words),
            _ => false,
        }
    }

    /// Its table, where it is one or may be one.
    pub fn table(&self) -> Option<&'static Table> {
        match self {
            Self::Table(table) => Some(table),
            Self::Any => Some(&ANY),
            Self::Named(_) => Some(&NOTHING),
            Self::Either(kinds) => kinds.iter().find_map(Kind::table),
            Self::OneOrMany(kind) => kind.table(),
            _ => None,
        }
    }

    /// Of what a list's items are. What may be one or many stands for its items.
    pub fn item(&self) -> &'static Kind {
        match self {
            Self::List(kind) | Self::OneOrMany(kind) => kind,
            Self::Either(kinds) => kinds.iter().map(Kind::item).find(|kind| **kind != Self::Any).unwrap_or(&Self::Any),
            _ => &Self::Any,
        }
    }

    /// Of what the entries are of a table whose keys are names.
    pub fn entry(&self) -> Option<&'static Kind> {
        match self {
            Self::Named(kind) => Some(kind),
            Self::Any => Some(&Self::Any),
            Self::Either(kinds) => kinds.iter().find_map(Kind::entry),
            _ => None,
        }
    }
}

/// What has no key of ours.
pub(super) static NOTHING: Table = Table { name: "", tells: "", example: "", keys: &[], later: &[], others: Others::None };

/// What [`Kind::Any`] has in it.
static ANY: Table = Table { name: "", tells: "", example: "", keys: &[], later: &[], others: Others::Any };

/// What a provider's scheme asks of a source.
pub(super) static SETTING: Kind = Kind::OneOrMany(&Kind::Scalar);

impl Table {
    /// The kind of a key that is read; `None` where it is not told.
    pub(super) fn kind(&self, name: &str) -> Option<&'static Kind>
    where
        Self: 'static,
    {
        let told = self.keys.iter().find(|key| key.name == name).map(|key| &key.kind);
        told.or((self.others == Others::Any).then_some(&Kind::Any))
    }
}

impl PartialEq for Table {
    /// Each table is declared once.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
