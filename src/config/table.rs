//! A table of relay.toml. It remembers what was asked for, and reports every other key when it was read.

use std::ops::Range;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Kind, NOTHING, Others, SETTING, Table};
use super::problem::{Severity, did_you_mean};
use super::reading::Reading;
use super::value::Value;

/// A table, under the name that messages give it.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    /// Such as `sources.stripe`.
    name: Rc<str>,
    /// What stands before its keys in messages: empty, or such as `retry.`.
    prefix: String,
    told: Told,
    /// `None` where the file does not have it: then every key is missing.
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    asked: Vec<String>,
}

/// What is told of a section.
#[derive(Clone, Copy)]
pub(super) struct Told {
    /// Its keys.
    pub(super) table: &'static Table,
    /// What its values are, where its keys are names.
    pub(super) entry: Option<&'static Kind>,
}

impl<'a> Section<'a> {
    /// `name`: as messages show it. `prefix`: what they show before its keys. `written`: the table and where it is; `None` where the
    /// file has none.
    pub(super) fn new(
        reading: &'a Reading<'a>,
        name: Rc<str>,
        prefix: String,
        told: Told,
        written: Option<(&'a DeTable<'a>, Range<usize>)>,
    ) -> Self {
        let (table, span) = written.map_or((None, 0..0), |(table, span)| (Some(table), span));
        Self { reading, name, prefix, told, table, span, asked: Vec::new() }
    }

    /// The whole file.
    pub(super) fn whole(reading: &'a Reading<'a>, table: &'a DeTable<'a>, told: &'static Table) -> Self {
        Self::new(reading, "".into(), String::new(), Told { table: told, entry: None }, Some((table, 0..0)))
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it begins.
    pub(super) fn at(&self) -> usize {
        self.span.start
    }

    /// The line where it begins, from 1.
    pub(super) fn line(&self) -> usize {
        self.reading.line(self.span.start)
    }

    /// The value of a key, where it is there. A key that its table does not tell is never there.
    pub(super) fn take(&mut self, key: &str) -> Option<Value<'a>> {
        let kind = self.told.table.kind(key);
        debug_assert!(kind.is_some(), "{key} of {:?} is read and not told: declare it in its table", self.told.table.name);
        self.take_as(key, kind?)
    }

    /// The value of a setting that the provider's scheme asks for.
    pub(super) fn take_setting(&mut self, name: &str) -> Option<Value<'a>> {
        debug_assert!(self.told.table.others == Others::Settings, "{:?} has no settings", self.told.table.name);
        self.take_as(name, &SETTING)
    }

    fn take_as(&mut self, key: &str, kind: &'static Kind) -> Option<Value<'a>> {
        self.asked.push(key.to_owned());
        let node = self.table?.get(key)?;
        Some(self.value(key, kind, node))
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
        let (reading, kind) = (self.reading, self.told.table.kind(key));
        let found = self.take(key).and_then(|value| value.as_section(key));
        let told = Told { table: kind.and_then(Kind::table).unwrap_or(&NOTHING), entry: kind.and_then(Kind::entry) };
        found.unwrap_or_else(|| Section::new(reading, key.into(), String::new(), told, None))
    }

    /// A value, or what counts where the key is missing or wrong (which is then reported).
    pub(super) fn or<T>(&mut self, key: &'static str, default: T, read: impl FnOnce(Value<'a>) -> Option<T>) -> T {
        self.take(key).and_then(read).unwrap_or(default)
    }

    /// Keys that are known and have no effect yet: an error, so that nobody believes that they are in force.
    fn unsupported(&self) {
        for key in self.told.table.later {
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
        let kind = self.told.entry.unwrap_or(&Kind::Any);
        entries.into_iter().map(|(key, node)| (key.get_ref().as_ref(), self.value(key.get_ref(), kind, node))).collect()
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

    /// The section was read: every key that was not asked for is unknown.
    pub(super) fn finish(self) {
        self.unsupported();
        for (key, value) in self.entries() {
            if self.asked.iter().any(|asked| asked == key) || self.told.table.later.contains(&key) {
                continue;
            }
            let message = self.message(&format!("unknown key {:?}", value.label()));
            let help = did_you_mean(key, self.asked.iter().map(String::as_str));
            self.reading.report(Severity::Error, self.key_at(key), message, help);
        }
    }

    fn value(&self, key: &str, kind: &'static Kind, node: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value::new(self.reading, self.name.clone(), format!("{}{key}", self.prefix), kind, node)
    }

    fn message(&self, message: &str) -> String {
        in_section(&self.name, message)
    }
}

/// A message with the section that it is about.
pub(super) fn in_section(section: &str, message: &str) -> String {
    if section.is_empty() { message.to_owned() } else { format!("{section}: {message}") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Problems;
    use std::path::Path;

    static TABLE: Table = Table { name: "", tells: "", example: "", keys: &[], later: &["later"], others: Others::Any };

    /// Reads a table, and gives the problems as lines without the file.
    pub(in crate::config) fn problems(text: &str, read: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
        let table = DeTable::parse(text).unwrap();
        let reading = Reading::new(text, Path::new("."), "f", &|_| None);
        let mut section = Section::whole(&reading, table.get_ref(), &TABLE);
        read(&mut section);
        section.finish();
        let (all, ..) = reading.finish();
        Problems::new(all).iter().map(|p| p.to_string().replace("f: line ", "")).collect()
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
}
