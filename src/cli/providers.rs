//! `hookhold providers`: the providers that the relay knows, and how they sign.

use std::process::ExitCode;

use comfy_table::Table;
use serde::Serialize;

use super::table::say;
use crate::signature::preset::{self, Preset};
use crate::signature::{Scheme, Selector, Without};

/// Lists the providers that the relay knows, or shows one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this one, in detail.
    name: Option<String>,
    /// Its scheme as tables that can be copied into relay.toml and changed there.
    #[arg(long, requires = "name")]
    explain: bool,
}

/// A provider, for programs.
#[derive(Serialize)]
struct Item<'a> {
    name: &'a str,
    aliases: &'a [String],
    title: &'a str,
    doc: &'a str,
    confidence: &'static str,
    note: Option<&'a str>,
    event_id: Option<String>,
    r#type: Option<String>,
    dedupe_ms: Option<u64>,
    covers_body: bool,
    signs_address: bool,
    settings: Vec<(&'a str, &'static str)>,
    verify: &'a Scheme,
}

/// Prints what was asked for; fails where the name is not known.
pub(super) fn run(args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let Some(name) = &args.name else {
        let list = if as_json { json(&preset::all().iter().map(Item::new).collect::<Vec<_>>())? } else { table() };
        say(&list);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(preset) = preset::find(name) else {
        let near = nearest(name).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        eprintln!("error: no provider is named {name:?}{near}");
        return Ok(ExitCode::from(4));
    };
    let text = match (as_json, args.explain) {
        (true, _) => json(&Item::new(preset))?,
        (_, true) => explain(preset)?,
        _ => details(preset),
    };
    say(&text.trim_end());
    Ok(ExitCode::SUCCESS)
}

impl<'a> Item<'a> {
    fn new(p: &'a Preset) -> Self {
        Self {
            name: &p.name,
            aliases: &p.aliases,
            title: &p.title,
            doc: &p.doc,
            confidence: p.confidence.as_str(),
            note: p.note.as_deref(),
            event_id: p.event_id().map(Selector::to_string),
            r#type: p.kind.as_ref().map(Selector::to_string),
            dedupe_ms: p.dedupe.and_then(|d| u64::try_from(d.as_millis()).ok()),
            covers_body: p.scheme.covers_body(),
            signs_address: p.scheme.signs_address(),
            settings: settings(p),
            verify: &p.scheme,
        }
    }
}

/// What a source can say of itself, and whether it must.
fn settings(p: &Preset) -> Vec<(&str, &'static str)> {
    let word = |without: Without| match without {
        Without::Unusable => "needed",
        Without::Open => "needed, or \"any\"",
        Without::Usable => "optional",
    };
    p.scheme.settings().into_iter().map(|setting| (setting.name.as_str(), word(setting.without))).collect()
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}

fn table() -> String {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(["NAME", "TITLE", "EVENT ID", "CONFIDENCE"]);
    for p in preset::all() {
        let id = p.event_id().map_or("-".to_owned(), Selector::to_string);
        table.add_row([&p.name, &p.title, &id, p.confidence.as_str()]);
    }
    table.to_string()
}

fn details(p: &Preset) -> String {
    let or_none = |selector: Option<&Selector>| selector.map_or("none".to_owned(), Selector::to_string);
    let mut lines = vec![
        format!("{} ({})", p.title, p.name),
        format!("documentation  {}", p.doc),
        format!("confidence     {}", p.confidence.as_str()),
        format!("event id       {}", or_none(p.event_id())),
        format!("event type     {}", or_none(p.kind.as_ref())),
        format!("proves         {}", if p.scheme.covers_body() { "sender and body" } else { "the sender; not the whole body" }),
    ];
    lines.extend(proof_needs(p));
    lines.extend(settings(p).into_iter().map(|(name, need)| format!("setting        {name} ({need})")));
    if !p.aliases.is_empty() {
        lines.push(format!("also known as  {}", p.aliases.join(", ")));
    }
    lines.extend(p.note.iter().map(|note| format!("note           {note}")));
    lines.join("\n")
}

/// Whether a source needs secrets or keys.
fn proof_needs(p: &Preset) -> Vec<String> {
    let mut lines = Vec::new();
    if p.scheme.takes_secrets() {
        lines.push("secrets        shared with the provider".to_owned());
    }
    if p.scheme.takes_keys() {
        let from = p.scheme.key_addresses().into_iter().next();
        let from = from.map_or_else(|| "the provider's public ones".to_owned(), |address| format!("published at {address}"));
        lines.push(format!("keys           {from}"));
    }
    lines
}

fn explain(p: &Preset) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Source<'a> {
        provider: &'static str,
        verify: &'a Scheme,
    }
    let source = Source { provider: "custom", verify: &p.scheme };
    let sources = std::collections::BTreeMap::from([(p.name.as_str(), source)]);
    Ok(toml::to_string(&std::collections::BTreeMap::from([("sources", sources)]))?)
}

fn nearest(name: &str) -> Option<&'static str> {
    let names = preset::all().iter().flat_map(|p| p.aliases.iter().chain([&p.name]));
    let best = names.map(|n| (strsim::jaro_winkler(n, name), n.as_str())).max_by(|a, b| a.0.total_cmp(&b.0))?;
    // Below this, names look nothing alike.
    (best.0 > 0.8).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_explained_can_be_copied_into_relay_toml() {
        for p in preset::all() {
            let text = explain(p).unwrap();
            let file: toml::Table = toml::from_str(&text).unwrap();
            let source = &file["sources"][&p.name];
            assert_eq!(source["provider"].as_str(), Some("custom"));
            let scheme: Scheme = source["verify"].clone().try_into().unwrap();
            assert_eq!(toml::to_string(&scheme).unwrap(), toml::to_string(&p.scheme).unwrap());
            assert_eq!(scheme.event_id(), p.event_id());
        }
    }

    #[test]
    fn a_wrong_name_gets_a_near_one() {
        assert_eq!(nearest("githib"), Some("github"));
        assert_eq!(nearest("zzz"), None);
    }
}
