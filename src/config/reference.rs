//! `docs/CONFIGURATION.md`: everything that relay.toml can say, written from the declarations that the readers use.
//!
//! Nothing is told here that is not declared: see `key`.

use std::fmt::Write;

use super::file;
use super::key::{Key, Kind, Others, Otherwise, Table};
use super::schema::settings;
use super::units::{show_duration, show_size};

const HEAD: &str = "\
# Configuration

Everything that `relay.toml` can say. This page is written by `hookhold reference` from the code that reads the file, and a test keeps
the two alike. `hookhold schema` prints the same as a JSON Schema for editors: with [taplo](https://taplo.tamasfe.dev), or *Even Better
TOML* in VS Code, write this as the first line of a `relay.toml`, with the path where the schema is:

```toml
#:schema ./packaging/relay.schema.json
```

- A duration is a text such as `\"200ms\"`, `\"30s\"`, `\"10m\"`, `\"1h30m\"` or `\"7d\"` (`ms`, `s`, `m`, `h`, `d`, `w`), a size one such as
  `\"1000B\"`, `\"64KiB\"` or `\"10MiB\"`. A number without a unit is neither.
- Relative paths start at the folder of `relay.toml`.
- Unknown keys, wrong types and names that lead nowhere are errors. All are reported at once, with line and column.
- What stands under \"if left out\" counts where a key is not written; **needed** says that it must be.
- `hookhold check` proves a file. `hookhold reload` or SIGHUP lets the running relay read it again, whole or not at all.
";

/// All of it, as Markdown.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for table in tables() {
        section(&mut text, table);
    }
    text
}

/// The section of one table, by a word of its heading; `None` where none has it.
pub fn markdown_of(word: &str) -> Option<String> {
    let found: Vec<_> =
        tables().into_iter().filter(|table| table.anchor() == anchor(word) || table.name.contains(word)).collect();
    let mut text = String::new();
    found.iter().for_each(|table| section(&mut text, table));
    (!found.is_empty()).then_some(text)
}

/// Every table once: the file, then each with those that stand in it.
pub fn tables() -> Vec<&'static Table> {
    let mut found = Vec::new();
    collect(&file::KEYS, &mut found);
    found
}

fn collect(table: &'static Table, found: &mut Vec<&'static Table>) {
    if found.contains(&table) {
        return;
    }
    found.push(table);
    table.keys.iter().flat_map(|key| key.kind.tables()).for_each(|inner| collect(inner, found));
}

fn section(text: &mut String, table: &Table) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n## {}\n\n{}\n", table.heading(), table.tells);
    text.push_str("| key | is | if left out | |\n|---|---|---|---|\n");
    for key in table.keys {
        let _ = writeln!(text, "| `{}` | {} | {} | {} |", key.name, shown(&key.kind), otherwise(key), key.tells);
    }
    if table.others == Others::Settings {
        of_providers(text);
    }
    if !table.later.is_empty() {
        let names: Vec<_> = table.later.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(text, "\nKnown and not supported by this version: {}.", names.join(", "));
    }
    let _ = writeln!(text, "\n```toml\n{}\n```", table.example.trim());
}

/// What providers ask of a source.
fn of_providers(text: &mut String) {
    text.push_str("\nSome providers sign for all their customers with the same key, or try an address first. A source of theirs says what is its \
                   own: one value (a text or a number) or a list.\n\n| key | of |\n|---|---|\n");
    for (name, providers) in settings() {
        let names: Vec<_> = providers.iter().map(|name| format!("`{name}`")).collect();
        let of =
            if names.is_empty() { "a [handshake](PROVIDERS.md#challenges) of your own".to_owned() } else { names.join(", ") };
        let _ = writeln!(text, "| `{name}` | {of} |");
    }
}

impl Table {
    /// Its heading: where it stands.
    fn heading(&self) -> String {
        if self.name.starts_with('[') || self.name == file::KEYS.name { self.name.to_owned() } else { format!("`{}`", self.name) }
    }

    /// Where a link to its heading leads.
    pub fn anchor(&self) -> String {
        anchor(self.name)
    }
}

/// As renderers of Markdown make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

impl Kind {
    /// Every table that it can be, or lead to.
    fn tables(&self) -> Vec<&'static Table> {
        match self {
            Self::Table(table) => vec![table],
            Self::List(kind) | Self::OneOrMany(kind) | Self::Named(kind) => kind.tables(),
            Self::Either(kinds) => kinds.iter().flat_map(Self::tables).collect(),
            _ => Vec::new(),
        }
    }
}

/// What a value is, in a cell.
fn shown(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Boolean => "`true` or `false`".into(),
        Kind::Integer(range) => format!("whole number, {} to {}", range.start(), range.end()),
        Kind::Number(range) => format!("number, {} to {}", range.start(), range.end()),
        Kind::Duration(range) => format!("duration, {} to {}", show_duration(*range.start()), show_duration(*range.end())),
        Kind::Size(range) => format!("size, {} to {}", show_size(*range.start()), show_size(*range.end())),
        Kind::Choice(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Time => "date and time".into(),
        Kind::Scalar => "text, number, `true` or `false`".into(),
        Kind::List(kind) => format!("list: {}", shown(kind)),
        Kind::OneOrMany(kind) => format!("{}; or a list", shown(kind)),
        Kind::Either(kinds) => kinds.iter().map(shown).collect::<Vec<_>>().join("; or "),
        Kind::Table(table) => format!("[{}](#{})", table.name, table.anchor()),
        Kind::Named(kind) => format!("table by name: {}", shown(kind)),
        Kind::Scheme | Kind::Handshake => "table".into(),
        Kind::Any => "anything".into(),
    }
}

fn otherwise(key: &Key) -> String {
    match key.otherwise {
        Otherwise::Needed => "**needed**".into(),
        Otherwise::Nothing => String::new(),
        Otherwise::Value(value) => format!("`{value}`"),
        Otherwise::Words(words) => words.to_owned(),
    }
}
