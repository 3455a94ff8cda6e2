//! A value of relay.toml under the name that messages give it. It reports what it is not, and is `None` from then on; whoever
//! asked goes on, so that all problems are found at once.
//!
//! Never shows a value of which nobody says that it can be shown: it may be a secret that somebody put in the wrong place.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::key::{Kind, NOTHING};
use super::problem::{Severity, did_you_mean};
use super::reading::Reading;
use super::table::{Section, Told, in_section};
use super::units;
use crate::time::Timestamp;

/// A value, under the name that messages give it.
#[derive(Clone)]
pub(super) struct Value<'a> {
    reading: &'a Reading<'a>,
    section: Rc<str>,
    label: String,
    kind: &'static Kind,
    node: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    /// `label`: its key, as messages show it. `kind`: what was told of it.
    pub(super) fn new(
        reading: &'a Reading<'a>,
        section: Rc<str>,
        label: String,
        kind: &'static Kind,
        node: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self { reading, section, label, kind, node }
    }

    /// It is read as what was told of it. What is wrong here is wrong in the code, whatever relay.toml says.
    fn is_told_as(&self, kind: impl Fn() -> Kind) {
        debug_assert!(self.kind.allows(&kind()), "{} is told as {:?}, and read as {:?}", self.label, self.kind, kind());
    }

    /// Its key, as messages show it.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn reading(&self) -> &'a Reading<'a> {
        self.reading
    }

    /// It names something that was read: see [`Reading::was_read`].
    pub(super) fn was_read(&self, content: &[u8]) {
        self.reading.was_read(&self.section, content);
    }

    /// The value as the `toml` crate has it.
    pub(super) fn node(&self) -> &'a Spanned<DeValue<'a>> {
        self.node
    }

    /// Where it stands.
    pub(super) fn at(&self) -> usize {
        self.node.span().start
    }

    /// Reports that it "is ..." or "must be ..."; the label comes first.
    pub(super) fn error<T>(&self, message: &str) -> Option<T> {
        self.error_help(message, None)
    }

    /// As [`Self::error`], at a place within the value where that is known.
    pub(super) fn error_at<T>(&self, at: Option<usize>, message: &str, help: Option<String>) -> Option<T> {
        let message = format!("{} {message}", self.label);
        self.reading.report(Severity::Error, at.unwrap_or(self.at()), in_section(&self.section, &message), help);
        None
    }

    /// As [`Self::error`], and what to do.
    pub(super) fn error_help<T>(&self, message: &str, help: Option<String>) -> Option<T> {
        let message = format!("{} {message}", self.label);
        self.reading.report(Severity::Error, self.at(), in_section(&self.section, &message), help);
        None
    }

    /// As [`Self::error_help`], but the relay can start.
    pub(super) fn warn(&self, message: &str, help: Option<String>) {
        let message = format!("{} {message}", self.label);
        self.reading.report(Severity::Warning, self.at(), in_section(&self.section, &message), help);
    }

    /// As [`Self::warn`], for what becomes true at a time.
    pub(super) fn warn_from(&self, from: Timestamp, message: &str, help: Option<String>) {
        let message = format!("{} {message}", self.label);
        self.reading.report_from(from, self.at(), in_section(&self.section, &message), help);
    }

    fn must_be<T>(&self, what: &str) -> Option<T> {
        let is = match self.node.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(&format!("must be {what}, not {is}"))
    }

    /// Reports that the file that it names cannot be read.
    pub(super) fn unreadable<T>(&self, path: &Path, error: &io::Error) -> Option<T> {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            kind => kind.to_string(),
        };
        self.error(&format!("cannot be read from {}: {why}", path.display()))
    }

    /// A string that is not empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.is_told_as(|| Kind::Text);
        match self.node.get_ref().as_str() {
            Some("") => self.error("is empty"),
            Some(text) => Some(text),
            None => self.must_be("a string"),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.is_told_as(|| Kind::Boolean);
        self.node.get_ref().as_bool().or_else(|| self.must_be("true or false"))
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.is_told_as(|| Kind::Integer(range.clone()));
        let Some(written) = self.node.get_ref().as_integer() else { return self.must_be("a whole number") };
        let number = u64::from_str_radix(written.as_str(), written.radix()).ok();
        let wrong = || self.error(&format!("must be between {} and {}", range.start(), range.end()));
        number.filter(|n| range.contains(n)).or_else(wrong)
    }

    /// A number, whole or not.
    pub(super) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        self.is_told_as(|| Kind::Number(range.clone()));
        let node = self.node.get_ref();
        let written = node.as_integer().map(|n| n.as_str()).or_else(|| node.as_float().map(|n| n.as_str()));
        let Some(written) = written else { return self.must_be("a number") };
        let number = written.replace('_', "").parse().ok();
        let wrong = || self.error(&format!("must be between {} and {}", range.start(), range.end()));
        number.filter(|n| range.contains(n)).or_else(wrong)
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.is_told_as(|| Kind::Duration(range.clone()));
        let duration = self.with_unit(units::DURATION, units::duration, 's')?;
        let [from, to] = [range.start(), range.end()].map(|d| units::show_duration(*d));
        let wrong = || self.error(&format!("must be between {from} and {to}"));
        if range.contains(&duration) { Some(duration) } else { wrong() }
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.is_told_as(|| Kind::Size(range.clone()));
        let size = self.with_unit(units::SIZE, units::size, 'B')?;
        let [from, to] = [range.start(), range.end()].map(|n| units::show_size(*n));
        if range.contains(&size) { Some(size) } else { self.error(&format!("must be between {from} and {to}")) }
    }

    /// A string that `read` understands; a bare number is answered with what it probably means.
    fn with_unit<T>(&self, what: &str, read: impl Fn(&str) -> Option<T>, unit: char) -> Option<T> {
        let node = self.node.get_ref();
        if let Some(number) = node.as_integer() {
            let help = format!("did you mean \"{}{unit}\"?", number.as_str());
            return self.error_help(&format!("must be {what}"), Some(help));
        }
        match node.as_str() {
            Some(text) => read(text).or_else(|| self.error(&format!("must be {what}"))),
            None => self.must_be(what),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        debug_assert!(self.kind.has_words(choices.iter().map(|(word, _)| *word)), "{} is told as {:?}", self.label, self.kind);
        let text = self.text()?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let known = choices.iter().map(|(word, _)| *word);
        self.error_help(&format!("must be {}", words.join(" or ")), did_you_mean(text, known))
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        let Some(items) = self.node.get_ref().as_array() else { return self.must_be("a list") };
        let item = |(i, node)| Value { label: format!("{}[{i}]", self.label), kind: self.kind.item(), node, ..self.clone() };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A list, or one value that stands for a list of one.
    pub(super) fn one_or_many(&self) -> Vec<Value<'a>> {
        if self.node.get_ref().is_array() { self.list().unwrap_or_default() } else { vec![self.clone()] }
    }

    /// A table as the type that proves itself while it is read.
    pub(super) fn table_as<T: DeserializeOwned>(&self) -> Option<T> {
        self.is_table().then_some(()).or_else(|| self.error("must be a table"))?;
        let error = match T::deserialize(ValueDeserializer::from(self.node.clone())) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        // serde says "unknown field `hsah`, expected one of `hash`, `kind`, ...": the nearest word says more than all of them.
        let (wrong, expected) = error.message().split_once(", expected ").unwrap_or((error.message(), ""));
        let known = expected.split('`').skip(1).step_by(2);
        let help = wrong.split('`').nth(1).and_then(|word| did_you_mean(word, known));
        let message = if help.is_some() { wrong } else { error.message() };
        self.error_at(error.span().map(|span| span.start), &format!("cannot be used: {message}"), help)
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        self.node.get_ref().is_table()
    }

    /// Whether it is the word that switches something off.
    pub(super) fn is_off(&self) -> bool {
        self.node.get_ref().as_str() == Some("off")
    }

    /// A table within its section: its keys are shown as `retry.cap`.
    pub(super) fn inner(&self) -> Option<Section<'a>> {
        self.section_of(self.section.clone(), format!("{}.", self.label))
    }

    /// A table that messages call `name`.
    pub(super) fn as_section(&self, name: &str) -> Option<Section<'a>> {
        self.section_of(name.into(), String::new())
    }

    fn section_of(&self, name: Rc<str>, prefix: String) -> Option<Section<'a>> {
        let Some(table) = self.node.get_ref().as_table() else { return self.must_be("a table") };
        debug_assert!(self.kind.table().is_some(), "{} is told as {:?}, and read as a table", self.label, self.kind);
        let told = Told { table: self.kind.table().unwrap_or(&NOTHING), entry: self.kind.entry() };
        Some(Section::new(self.reading, name, prefix, told, Some((table, self.node.span()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::tests::problems;

    #[test]
    fn wrong_types_are_named_and_values_are_not_shown() {
        let text = "a = 'x'\nb = true\nc = 1.5\nd = 2026-01-01\ne = -1\nf = 0x10\n";
        let found = problems(text, |s| {
            assert_eq!(s.take("a").unwrap().integer(0..=9), None);
            assert_eq!(s.take("b").unwrap().text(), None);
            assert_eq!(s.take("c").unwrap().boolean(), None);
            assert!(s.take("d").unwrap().list().is_none());
            assert_eq!(s.take("e").unwrap().integer(0..=9), None);
            assert_eq!(s.take("f").unwrap().integer(0..=16), Some(16));
        });
        let expected = [
            "error: 1, column 5: a must be a whole number, not a string",
            "error: 2, column 5: b must be a string, not true or false",
            "error: 3, column 5: c must be true or false, not a fraction",
            "error: 4, column 5: d must be a list, not a date or time",
            "error: 5, column 5: e must be between 0 and 9",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_bare_number_gets_its_probable_unit() {
        let found = problems("t = 30\nb = '5'", |s| {
            assert_eq!(s.take("t").unwrap().duration(Duration::ZERO..=Duration::MAX), None);
            assert_eq!(s.take("b").unwrap().size(0..=9), None);
        });
        assert!(found[0].ends_with("did you mean \"30s\"?"), "{found:?}");
        assert!(found[1].ends_with("b must be a size such as \"1000B\", \"64KiB\" or \"10MiB\""), "{found:?}");
    }
}
