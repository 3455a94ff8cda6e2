//! A preset as its generic form: a source of relay.toml with `provider = "custom"` that does the same, to be copied and changed.

use std::collections::BTreeSet;
use std::fmt::Write;

use toml::{Table, Value};

use crate::signature::handshake::Handshake;
use crate::signature::preset::{Answer, Preset};

/// Ways to sign, of which each has a table of its own.
const WAYS: &str = "any";
/// The one setting of a handshake that is a secret.
const VERIFY_TOKEN: &str = "verify_token";

/// `[sources.NAME]` with `[sources.NAME.verify]`, for each preset.
pub(super) fn tables(presets: &[&Preset]) -> anyhow::Result<String> {
    let tables: Vec<_> = presets.iter().map(|preset| table(preset)).collect::<anyhow::Result<_>>()?;
    Ok(tables.join("\n"))
}

/// How it signs, in a line: `hmac sha256 in header X-Signature`.
pub(super) fn summary(preset: &Preset) -> anyhow::Result<String> {
    let scheme = Table::try_from(&preset.scheme)?;
    let ways: Vec<_> = match scheme.get(WAYS).and_then(Value::as_array) {
        Some(ways) => ways.iter().filter_map(Value::as_table).map(way).collect(),
        None => vec![way(&scheme)],
    };
    Ok(ways.join("; or "))
}

fn way(way: &Table) -> String {
    let text = |table: &Table, key: &str| table.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let sources = way.get("signature").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table);
    let places: Vec<_> = sources.map(|source| format!("{} {}", text(source, "in"), text(source, "name"))).collect();
    format!("{} {} in {}", text(way, "kind"), text(way, "hash"), places.join(" or ")).replace("  ", " ")
}

fn table(preset: &Preset) -> anyhow::Result<String> {
    let name = &preset.name;
    let mut out = format!("[sources.{name}]\npath = \"/in/{name}\"\nprovider = \"custom\"\n");
    writeln!(out, "secrets = [{{ env = \"{}_SECRET\" }}]", name.replace('-', "_").to_uppercase())?;
    if preset.scheme.needs_public_key() {
        writeln!(out, "public_key = \"YOUR_PUBLIC_KEY\"")?;
    }
    for setting in settings(preset) {
        match setting {
            VERIFY_TOKEN => writeln!(out, "{setting} = {{ env = \"{}_VERIFY_TOKEN\" }}", name.replace('-', "_").to_uppercase())?,
            list => writeln!(out, "{list} = [\"YOURS\"]")?,
        }
    }
    writeln!(out, "dedupe = \"{}\"", super::window(preset.dedupe))?;
    if preset.answer != Answer::default() {
        writeln!(out, "answer = {}", Value::try_from(&preset.answer)?)?;
    }
    let mut verify = Table::try_from(&preset.scheme)?;
    let ways = verify.remove(WAYS);
    entries(&mut out, &format!("\n[sources.{name}.verify]"), &verify)?;
    for way in ways.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_table) {
        entries(&mut out, &format!("\n[[sources.{name}.verify.{WAYS}]]"), way)?;
    }
    for handshake in &preset.handshakes {
        entries(&mut out, &format!("\n[[sources.{name}.handshake]]"), &Table::try_from(handshake)?)?;
    }
    Ok(out)
}

/// The settings that its handshakes need, each once.
fn settings(preset: &Preset) -> BTreeSet<&str> {
    preset.handshakes.iter().flat_map(Handshake::settings).collect()
}

fn entries(out: &mut String, head: &str, table: &Table) -> std::fmt::Result {
    writeln!(out, "{head}")?;
    table.iter().try_for_each(|(key, value)| writeln!(out, "{key} = {value}"))
}
