//! Takes typed values out of relay.toml's tables. A [`Section`] remembers what was asked for and reports every other key; a
//! [`Value`] reports what it is not. Reading goes on after a problem, so that all of them are found at once.
//!
//! Never shows a value: it may be a secret that somebody put in the wrong place.

use std::cell::RefCell;
use std::ffi::OsString;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Severity, did_you_mean};
use super::units;

/// One reading of one relay.toml: what it may look at beside the text, and the problems so far.
pub(super) struct Reading<'a> {
    pub(super) file: Arc<str>,
    pub(super) text: &'a str,
    /// Where relative paths start.
    pub(super) folder: &'a Path,
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<OsString>,
    problems: RefCell<Vec<Problem>>,
}

/// A table, under the name that messages give it.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    /// Such as `sources.stripe`.
    name: Rc<str>,
    /// What stands before its keys in messages: empty, or such as `retry.`.
    prefix: String,
    /// `None` where the file does not have it: then every key is missing.
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    asked: Vec<&'static str>,
}

/// A value, under the name that messages give it.
#[derive(Clone)]
pub(super) struct Value<'a> {
    reading: &'a Reading<'a>,
    section: Rc<str>,
    label: String,
    node: &'a Spanned<DeValue<'a>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(text: &'a str, folder: &'a Path, file: &str, env: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { file: file.into(), text, folder, env, problems: RefCell::default() }
    }

    /// A path of the file: relative ones start at its folder.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    /// Adds a problem at a place of the text.
    pub(super) fn report(&self, severity: Severity, at: usize, message: String, help: Option<String>) {
        let (line, column) = position(self.text, at);
        let problem = Problem { severity, message, help, file: self.file.clone(), line, column };
        self.problems.borrow_mut().push(problem);
    }

    /// All problems.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// Line and column (in characters) of a byte, both from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn whole(reading: &'a Reading<'a>, table: &'a DeTable<'a>) -> Self {
        Self { reading, name: "".into(), prefix: String::new(), table: Some(table), span: 0..0, asked: Vec::new() }
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The value of a key, where it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let node = self.table?.get(key)?;
        Some(self.value(key, node))
    }

    /// The value of a key that must be there; `help` tells what to write.
    pub(super) fn require(&mut self, key: &'static str, help: &str) -> Option<Value<'a>> {
        let value = self.take(key);
        if value.is_none() {
            self.error(&format!("{}{key} is missing", self.prefix), Some(help.to_owned()));
        }
        value
    }

    /// A table of the whole file; an empty one where it is not there.
    pub(super) fn table(&mut self, key: &'static str) -> Section<'a> {
        let (reading, span) = (self.reading, self.span.clone());
        let found = self.take(key).and_then(|value| value.as_section(key));
        found.unwrap_or_else(|| Section {
            reading,
            name: key.into(),
            prefix: String::new(),
            table: None,
            span,
            asked: Vec::new(),
        })
    }

    /// A value, or what counts where the key is missing or wrong (which is then reported).
    pub(super) fn or<T>(&mut self, key: &'static str, default: T, read: impl FnOnce(Value<'a>) -> Option<T>) -> T {
        self.take(key).and_then(read).unwrap_or(default)
    }

    /// Keys that are known and have no effect yet: an error, so that nobody believes that they are in force.
    pub(super) fn unsupported(&mut self, keys: &[&'static str]) {
        for key in keys {
            let Some((written, _)) = self.table.and_then(|table| table.get_key_value(*key)) else { continue };
            let message = self.message(&format!("{}{key} is not supported by this version", self.prefix));
            let help = Some("take it out: it would have no effect".to_owned());
            self.reading.report(Severity::Error, written.span().start, message, help);
        }
    }

    /// All keys, for tables whose keys are names.
    pub(super) fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let mut entries: Vec<_> = self.table.into_iter().flat_map(|table| table.iter()).collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, node)| (key.get_ref().as_ref(), self.value(key.get_ref(), node))).collect()
    }

    /// Where a key stands.
    pub(super) fn key_at(&self, key: &str) -> usize {
        self.table.and_then(|table| table.get_key_value(key)).map_or(self.span.start, |(key, _)| key.span().start)
    }

    /// A problem with the section itself.
    pub(super) fn error(&self, message: &str, help: Option<String>) {
        self.reading.report(Severity::Error, self.span.start, self.message(message), help);
    }

    /// A problem with one of its keys.
    pub(super) fn key_error<T>(&self, key: &str, message: &str) -> Option<T> {
        self.reading.report(Severity::Error, self.key_at(key), self.message(message), None);
        None
    }

    /// As [`Self::error`], but the relay can start.
    pub(super) fn warn(&self, message: &str, help: Option<String>) {
        self.reading.report(Severity::Warning, self.span.start, self.message(message), help);
    }

    /// The section was read: every key that was not asked for is unknown. `unsupported`: keys that have no effect yet.
    pub(super) fn finish(mut self, unsupported: &[&'static str]) {
        self.unsupported(unsupported);
        for (key, value) in self.entries() {
            if self.asked.contains(&key) || unsupported.contains(&key) {
                continue;
            }
            let message = self.message(&format!("unknown key {:?}", value.label));
            let help = did_you_mean(key, self.asked.iter().copied());
            self.reading.report(Severity::Error, self.key_at(key), message, help);
        }
    }

    fn value(&self, key: &str, node: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value { reading: self.reading, section: self.name.clone(), label: format!("{}{key}", self.prefix), node }
    }

    fn message(&self, message: &str) -> String {
        in_section(&self.name, message)
    }
}

fn in_section(section: &str, message: &str) -> String {
    if section.is_empty() { message.to_owned() } else { format!("{section}: {message}") }
}

impl<'a> Value<'a> {
    pub(super) fn reading(&self) -> &'a Reading<'a> {
        self.reading
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
    pub(super) fn error_at<T>(&self, at: Option<usize>, message: &str) -> Option<T> {
        let message = format!("{} {message}", self.label);
        self.reading.report(Severity::Error, at.unwrap_or(self.at()), in_section(&self.section, &message), None);
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

    fn must_be<T>(&self, what: &str) -> Option<T> {
        let article = |kind: &'static str| if kind.starts_with(['a', 'i']) { format!("an {kind}") } else { format!("a {kind}") };
        self.error(&format!("must be {what}, not {}", article(self.node.get_ref().type_str())))
    }

    /// A string that is not empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.node.get_ref().as_str() {
            Some("") => self.error("is empty"),
            Some(text) => Some(text),
            None => self.must_be("a string"),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.node.get_ref().as_bool().or_else(|| self.must_be("true or false"))
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let Some(written) = self.node.get_ref().as_integer() else { return self.must_be("a whole number") };
        let number = u64::from_str_radix(written.as_str(), written.radix()).ok();
        let wrong = || self.error(&format!("must be between {} and {}", range.start(), range.end()));
        number.filter(|n| range.contains(n)).or_else(wrong)
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.with_unit(units::DURATION, units::duration, 's')?;
        let [from, to] = [range.start(), range.end()].map(|d| units::show_duration(*d));
        let wrong = || self.error(&format!("must be between {from} and {to}"));
        if range.contains(&duration) { Some(duration) } else { wrong() }
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
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
        let item = |(i, node)| Value { label: format!("{}[{i}]", self.label), node, ..self.clone() };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A list, or one value that stands for a list of one.
    pub(super) fn one_or_many(&self) -> Vec<Value<'a>> {
        if self.node.get_ref().is_array() { self.list().unwrap_or_default() } else { vec![self.clone()] }
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        self.node.get_ref().is_table()
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
        Some(Section { reading: self.reading, name, prefix, table: Some(table), span: self.node.span(), asked: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a table, and gives the problems as lines without the file.
    fn problems(text: &str, read: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
        let table = DeTable::parse(text).unwrap();
        let reading = Reading::new(text, Path::new("."), "f", &|_| None);
        let mut section = Section::whole(&reading, table.get_ref());
        read(&mut section);
        section.finish(&["later"]);
        let mut all = reading.problems.take();
        crate::config::problem::sort(&mut all);
        all.iter().map(|p| p.to_string().replace("f: line ", "")).collect()
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("é\nüx", 5), (2, 2));
        assert_eq!(position("é", 1), (1, 2));
        assert_eq!(position("ab", 99), (1, 3));
    }

    #[test]
    fn what_nobody_asked_for_is_unknown() {
        let found = problems("timeuot = 1\ncolour = 2\nlater = 3", |s| assert!(s.take("timeout").is_none()));
        let expected = [
            "error: 1, column 1: unknown key \"timeuot\", did you mean \"timeout\"?",
            "error: 2, column 1: unknown key \"colour\"",
            "error: 3, column 1: later is not supported by this version, take it out: it would have no effect",
        ];
        assert_eq!(found, expected);
    }

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
            "error: 2, column 5: b must be a string, not a boolean",
            "error: 3, column 5: c must be true or false, not a float",
            "error: 4, column 5: d must be a list, not a datetime",
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
