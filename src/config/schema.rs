//! `packaging/relay.schema.json`: what relay.toml can say, for editors, written from the declarations that the readers use.
//!
//! Draft 7, which all editors know. It knows less than `hookhold check`: not what keys say of each other, nor whether files are there.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error, Visitor, value};
use serde_json::{Map, Value, json};

use super::file;
use super::key::{Key, Kind, Others, Otherwise, Table};
use super::reference::tables;
use super::units;
use crate::record::Name;
use crate::signature::handshake::{self, Handshake};
use crate::signature::{Scheme, preset};

/// All of it, as JSON Schema.
pub fn schema() -> Value {
    let mut whole = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "relay.toml of Hookhold",
    });
    let mut definitions: Map<String, Value> = tables().into_iter().skip(1).map(|t| (t.anchor(), of_table(t))).collect();
    definitions.insert("verify".into(), words_of(fields::<Scheme>()));
    definitions.insert("handshake".into(), words_of(fields::<Handshake>()));
    if let (Some(whole), Value::Object(root)) = (whole.as_object_mut(), of_table(&file::KEYS)) {
        whole.extend(root);
        whole.insert("definitions".into(), definitions.into());
    }
    whole
}

/// What providers ask of a source beside its keys, and which ones; lists that handshakes may look at have none where no provider does.
pub(super) fn settings() -> BTreeMap<String, Vec<&'static str>> {
    let mut found: BTreeMap<String, Vec<&'static str>> =
        handshake::LISTS.iter().map(|name| ((*name).into(), Vec::new())).collect();
    let own = |name: &str| super::source::KEYS.key(name).is_none();
    for preset in preset::all() {
        let of_scheme = preset.scheme.settings().into_iter().map(|setting| setting.name.as_str());
        for name in of_scheme.chain(preset.handshakes.iter().flat_map(Handshake::settings)).filter(|name| own(name)) {
            let providers = found.entry(name.to_owned()).or_default();
            if providers.last() != Some(&preset.name.as_str()) {
                providers.push(&preset.name);
            }
        }
    }
    found
}

fn name_pattern() -> String {
    format!("^[A-Za-z0-9_.-]{{1,{}}}$", Name::LENGTH_MAX)
}

/// The keys of a table that serde reads, as its type names them.
fn fields<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let found = Cell::new(&[][..]);
    // Nothing is read: it fails once the names are known.
    let _ = T::deserialize(Asked(&found));
    found.get()
}

/// Answers a type that asks for its fields with nothing, and keeps their names.
struct Asked<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(value::Error::custom("nothing is here"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        self.0.set(fields);
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A table that serde reads: its keys are known, what they hold is in `docs/PROVIDERS.md`.
fn words_of(words: &[&str]) -> Value {
    let properties: Map<String, Value> = words.iter().map(|word| ((*word).to_owned(), json!(true))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn of_table(table: &Table) -> Value {
    let mut properties: Map<String, Value> = table.keys.iter().map(|key| (key.name.to_owned(), of_key(key))).collect();
    let needed: Vec<_> = table.keys.iter().filter(|key| key.otherwise == Otherwise::Needed).map(|key| key.name).collect();
    let mut made = json!({ "type": "object", "description": table.tells });
    if !needed.is_empty() {
        made["required"] = json!(needed);
    }
    if table.others == Others::Settings {
        for (name, providers) in settings() {
            let mut setting = of_kind(&super::key::SETTING);
            let of = if providers.is_empty() { "a handshake of your own".to_owned() } else { providers.join(", ") };
            setting["description"] = format!("What is yours, for {of}.").into();
            properties.insert(name, setting);
        }
        // A scheme of one's own can ask for settings of any name.
        let named: Map<String, Value> = properties.keys().map(|name| (name.clone(), json!(true))).collect();
        made["if"] = json!({ "properties": { "provider": { "const": "custom" } } });
        made["then"] = json!({ "properties": named.clone(), "additionalProperties": of_kind(&super::key::SETTING) });
        made["else"] = json!({ "properties": named, "additionalProperties": false });
    } else {
        made["additionalProperties"] = false.into();
    }
    made["properties"] = properties.into();
    made
}

fn of_key(key: &Key) -> Value {
    let (mut made, default) = (of_kind(&key.kind), default(key));
    // Beside a reference nothing else counts in draft 7.
    if made.get("$ref").is_some() {
        made = json!({ "allOf": [made] });
    }
    made["description"] = key.tells.into();
    if let Some(default) = default {
        made["default"] = default;
    }
    made
}

/// What counts where a key is not written, as JSON.
fn default(key: &Key) -> Option<Value> {
    let Otherwise::Value(text) = key.otherwise else { return None };
    let written: toml::Table = format!("v = {text}").parse().ok()?;
    serde_json::to_value(written.get("v")?).ok()
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Time => json!({ "type": "string" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(range) => json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() }),
        Kind::Number(range) => json!({ "type": "number", "minimum": range.start(), "maximum": range.end() }),
        Kind::Duration(_) => json!({ "type": "string", "pattern": units::duration_pattern() }),
        Kind::Size(_) => json!({ "type": "string", "pattern": units::size_pattern() }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Kind::List(kind) => json!({ "type": "array", "items": of_kind(kind) }),
        Kind::OneOrMany(kind) => json!({ "anyOf": [of_kind(kind), { "type": "array", "items": of_kind(kind) }] }),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(of_kind).collect::<Vec<_>>() }),
        Kind::Table(table) => json!({ "$ref": format!("#/definitions/{}", table.anchor()) }),
        Kind::Named(kind) if kind.table().is_some_and(|table| table.name.starts_with('[')) => {
            json!({ "type": "object", "propertyNames": { "pattern": name_pattern() }, "additionalProperties": of_kind(kind) })
        }
        Kind::Named(kind) => json!({ "type": "object", "additionalProperties": of_kind(kind) }),
        Kind::Scheme => json!({ "$ref": "#/definitions/verify" }),
        Kind::Handshake => json!({ "$ref": "#/definitions/handshake" }),
        Kind::Any => json!(true),
    }
}
