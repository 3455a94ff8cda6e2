//! A preset as its generic form: a source of relay.toml with `provider = "custom"` that does the same, to be copied and changed.

use std::collections::BTreeSet;
use std::fmt::Write;

use toml::{Table, Value};

use crate::signature::Without;
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
    let list = |key: &str| way.get(key).and_then(Value::as_array).into_iter().flatten();
    let algorithms: Vec<_> = list("algorithms").filter_map(Value::as_str).collect();
    let sources = list("signature").filter_map(Value::as_table);
    let places: Vec<_> = sources.map(|source| format!("{} {}", text(source, "in"), text(source, "name"))).collect();
    let made = [text(way, "kind"), text(way, "hash"), algorithms.join("/")].into_iter().filter(|word| !word.is_empty());
    let made = made.collect::<Vec<_>>().join(" ");
    // Those of RFC 9421 have a place of their own.
    if places.is_empty() { made } else { format!("{made} in {}", places.join(" or ")) }
}

fn table(preset: &Preset) -> anyhow::Result<String> {
    let name = &preset.name;
    let mut out = format!("[sources.{name}]\npath = \"/in/{name}\"\nprovider = \"custom\"\n");
    needs(&mut out, preset)?;
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

/// What a source must say beside its scheme, with names in place of what only its owner knows.
fn needs(out: &mut String, preset: &Preset) -> std::fmt::Result {
    let Preset { name, scheme, .. } = preset;
    let variable = name.replace('-', "_").to_uppercase();
    if scheme.takes_secrets() {
        writeln!(out, "secrets = [{{ env = \"{variable}_SECRET\" }}]")?;
    }
    if scheme.needs_public_key() || preset.handshakes.iter().any(Handshake::needs_public_key) {
        writeln!(out, "public_key = \"YOUR_PUBLIC_KEY\"")?;
    }
    for needed in scheme.key_needs() {
        match needed {
            "keys" if scheme.takes_components() => {
                writeln!(out, "keys = [{{ id = \"YOUR_KEY_ID\", algorithm = \"ed25519\", env = \"{variable}_KEY\" }}]")?;
            }
            "keys" => writeln!(out, "keys = [{{ env = \"{variable}_KEY\" }}]")?,
            "roots" => writeln!(out, "roots = [\"{name}-root.pem\"]")?,
            _ => writeln!(out, "key_url = \"https://YOUR_HOST/keys\"")?,
        }
    }
    let members = scheme.key_members().into_iter();
    let members: Vec<_> = members.map(|m| format!("{m} = {{ env = \"{variable}_{}\" }}", m.to_uppercase())).collect();
    if !members.is_empty() {
        writeln!(out, "key_fetch = {{ members = {{ {} }} }}", members.join(", "))?;
    }
    for setting in scheme.settings().into_iter().filter(|setting| setting.without != Without::Usable) {
        writeln!(out, "{} = [\"YOURS\"]", setting.name)?;
    }
    Ok(())
}

/// The settings that its handshakes need and its scheme does not, each once.
fn settings(preset: &Preset) -> BTreeSet<&str> {
    let asked: Vec<_> = preset.scheme.settings().into_iter().map(|setting| setting.name.clone()).collect();
    preset.handshakes.iter().flat_map(Handshake::settings).filter(|name| !asked.iter().any(|known| known == name)).collect()
}

fn entries(out: &mut String, head: &str, table: &Table) -> std::fmt::Result {
    writeln!(out, "{head}")?;
    table.iter().try_for_each(|(key, value)| writeln!(out, "{key} = {value}"))
}
