//! What goes to standard output: lines, and tables for people.

use std::fmt::Display;
use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::Value;

/// Prints a line. A reader that has seen enough (`| head`) ends the command quietly.
pub(super) fn say(line: &dyn Display) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Prints rows under their heads, without lines: easy to read, easy to cut.
pub(super) fn print<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heads.map(str::to_uppercase));
    for row in rows {
        table.add_row(row);
    }
    for line in table.lines() {
        say(&line.trim_end());
    }
}

/// A JSON value in a cell: text as it is, `-` for nothing.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Text that came from outside, for a terminal: nothing in it moves the cursor, or begins a line.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The items of a list answer.
pub(super) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}
