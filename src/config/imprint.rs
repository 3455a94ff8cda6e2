//! What a relay.toml comes to, section by section, so that two of them can be compared: what is written, and the secrets and
//! certificates that it names. Order of keys, spaces and comments do not count.
//!
//! Only digests are kept: nothing of a secret can be read from one.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The sections whose entries are compared one by one.
const NAMED: [&str; 2] = ["sources", "destinations"];

/// The digest of each section, by its name (`limits`, `sources.stripe`).
#[derive(Clone, Debug, Default)]
pub struct Imprint(BTreeMap<String, Sha256>);

/// How a section differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name, such as `sources.stripe`.
    pub section: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is not there any more.
    Removed,
    /// It says something else, or a file or variable that it names does.
    Changed,
}

impl Imprint {
    /// Of the text alone.
    pub(super) fn of(file: &DeTable<'_>) -> Self {
        let mut imprint = Self::default();
        for (key, value) in file.iter() {
            let key: &str = key.get_ref();
            match value.get_ref().as_table().filter(|_| NAMED.contains(&key)) {
                Some(entries) => {
                    entries.iter().for_each(|(name, entry)| imprint.write(&format!("{key}.{}", name.get_ref()), entry))
                }
                None => imprint.write(key, value),
            }
        }
        imprint
    }

    fn write(&mut self, section: &str, value: &Spanned<DeValue<'_>>) {
        let digest = self.0.entry(section.to_owned()).or_default();
        feed(digest, value.get_ref());
    }

    /// Adds what a section names: the content of a file or of a variable.
    pub(super) fn add(&mut self, section: &str, content: &[u8]) {
        let digest = self.0.entry(section.to_owned()).or_default();
        put(digest, b'c', content);
    }

    /// What is different in `newer`, in the order of names.
    pub fn changes(&self, newer: &Self) -> Vec<Change> {
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(newer.0.keys()).collect();
        let kind = |name: &String| match (self.0.get(name), newer.0.get(name)) {
            (None, _) => Some(ChangeKind::Added),
            (_, None) => Some(ChangeKind::Removed),
            (Some(old), Some(new)) => (old.clone().finalize() != new.clone().finalize()).then_some(ChangeKind::Changed),
        };
        names.into_iter().filter_map(|name| Some(Change { section: name.clone(), kind: kind(name)? })).collect()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
        };
        write!(f, "{}: {kind}", self.section)
    }
}

/// Feeds a value so that different values never give the same bytes: a letter for its kind, its length, its content.
fn feed(digest: &mut Sha256, value: &DeValue<'_>) {
    match value {
        DeValue::String(text) => put(digest, b's', text.as_bytes()),
        DeValue::Integer(number) => put(digest, b'i', number.to_string().as_bytes()),
        DeValue::Float(number) => put(digest, b'f', number.to_string().as_bytes()),
        DeValue::Boolean(flag) => put(digest, b'b', &[u8::from(*flag)]),
        DeValue::Datetime(at) => put(digest, b'd', at.to_string().as_bytes()),
        DeValue::Array(items) => {
            put(digest, b'a', &(items.len() as u64).to_be_bytes());
            items.iter().for_each(|item| feed(digest, item.get_ref()));
        }
        DeValue::Table(table) => {
            let mut entries: Vec<(&str, &DeValue<'_>)> =
                table.iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref())).collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            put(digest, b't', &(entries.len() as u64).to_be_bytes());
            for (key, value) in entries {
                put(digest, b'k', key.as_bytes());
                feed(digest, value);
            }
        }
    }
}

fn put(digest: &mut Sha256, kind: u8, content: &[u8]) {
    digest.update([kind]);
    digest.update((content.len() as u64).to_be_bytes());
    digest.update(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imprint(text: &str) -> Imprint {
        Imprint::of(DeTable::parse(text).unwrap().get_ref())
    }

    fn shown(old: &Imprint, new: &Imprint) -> Vec<String> {
        old.changes(new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_written_counts_and_how_does_not() {
        let old = imprint("[sources.a]\npath = '/a'\nbody = '1MiB'\n[sources.b]\npath = '/b'\n[log]\nlevel = 'info'\n");
        let same = imprint("# again\nlog = { level = \"info\" }\n[sources]\nb.path = '/b'\na = { body = '1MiB', path = '/a' }\n");
        assert_eq!(shown(&old, &same), [""; 0]);
        let new = imprint("[sources.a]\npath = '/a2'\nbody = '1MiB'\n[sources.c]\npath = '/b'\n[log]\nlevel = 'info'\n");
        assert_eq!(shown(&old, &new), ["sources.a: changed", "sources.b: removed", "sources.c: added"]);
    }

    #[test]
    fn neighbours_cannot_stand_for_each_other() {
        let pairs = [
            ("[x]\na = 'bc'\n", "[x]\nab = 'c'\n"),
            ("[x]\na = ['b', 'c']\n", "[x]\na = [['b'], 'c']\n"),
            ("[x]\na = '1'\n", "[x]\na = 1\n"),
            ("[x]\na = 'true'\n", "[x]\na = true\n"),
        ];
        for (one, other) in pairs {
            assert_eq!(shown(&imprint(one), &imprint(other)), ["x: changed"], "{one} {other}");
        }
    }

    #[test]
    fn what_a_section_names_counts() {
        let (mut old, mut new) = (imprint("[sources.a]\nx = 1\n"), imprint("[sources.a]\nx = 1\n"));
        old.add("sources.a", b"secret");
        new.add("sources.a", b"other");
        assert_eq!(shown(&old, &new), ["sources.a: changed"]);
    }
}
