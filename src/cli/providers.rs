//! `hookhold providers`: the providers that the relay knows, and how they sign.

mod explain;

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::table::{print, say};
use crate::signature::handshake::Handshake;
use crate::signature::preset::{self, Addresses, Answer, Preset};
use crate::signature::{Scheme, Selector, Without};

/// Lists the providers that the relay knows, or shows one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A provider's name shows it in detail; other words list those that have all of them in name, title or confidence.
    #[arg(value_name = "NAME|WORD")]
    words: Vec<String>,
    /// As tables that can be copied into relay.toml and changed there.
    #[arg(long)]
    explain: bool,
}

/// Of a provider that brings the secret.
const ARMED: &str = "comes in a request: leave secrets out, and run hookhold arm SOURCE before you make the webhook";

/// Of a provider that wants a subscription confirmed.
const CONFIRMS: &str =
    "by a visit to the address that its request names; the relay answers it only where the visit was answered 2xx";

/// Of what its provider does not tell.
const UNKNOWN: &str = "not known";

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
    deadline: Option<&'a str>,
    retries: Option<&'a str>,
    answer: &'a Answer,
    addresses: Option<&'a Addresses>,
    covers_body: bool,
    signs_address: bool,
    settings: Vec<(&'a str, &'static str)>,
    verify: &'a Scheme,
    handshakes: &'a [Handshake],
}

/// Prints what was asked for; fails where nothing is known of it.
pub(super) fn run(args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let one = if let [name] = &args.words[..] { preset::find(name) } else { None };
    let found: Vec<_> = match one {
        Some(preset) => vec![preset],
        None => preset::all().iter().filter(|p| args.words.iter().all(|word| has(p, word))).collect(),
    };
    if found.is_empty() {
        let words = args.words.join(" ");
        let near = nearest(&words).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        eprintln!("error: no provider is named {words:?}{near}");
        return Ok(ExitCode::from(4));
    }
    match (one, as_json, args.explain) {
        (Some(preset), true, _) => say(&json(&Item::new(preset))?),
        (None, true, _) => say(&json(&found.into_iter().map(Item::new).collect::<Vec<_>>())?),
        (_, _, true) => say(&explain::tables(&found)?.trim_end()),
        (Some(preset), ..) => say(&details(preset)?),
        (None, ..) => print(["name", "title", "event id", "confidence"], found.into_iter().map(row)),
    }
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
            deadline: p.deadline.as_deref(),
            retries: p.retries.as_deref(),
            answer: &p.answer,
            addresses: p.addresses.as_ref(),
            covers_body: p.scheme.covers_body(),
            signs_address: p.scheme.signs_address(),
            settings: settings(p),
            verify: &p.scheme,
            handshakes: &p.handshakes,
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

fn has(p: &Preset, word: &str) -> bool {
    let word = word.to_lowercase();
    let texts = p.aliases.iter().chain([&p.name, &p.title]);
    texts.map(|text| text.to_lowercase()).any(|text| text.contains(&word)) || p.confidence.as_str() == word
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}

fn row(p: &Preset) -> [String; 4] {
    let id = match p.event_id() {
        None => "-".to_owned(),
        Some(Selector::All(parts)) => format!("{} parts", parts.len()),
        Some(id) => id.to_string(),
    };
    [p.name.clone(), p.title.clone(), id, p.confidence.as_str().to_owned()]
}

fn details(p: &Preset) -> anyhow::Result<String> {
    let or_none = |selector: Option<&Selector>| selector.map_or("none".to_owned(), Selector::to_string);
    let proves = if p.scheme.covers_body() { "sender and body" } else { "the sender; not the whole body" };
    let settings = settings(p).into_iter().map(|(name, need)| format!("{name} ({need})")).collect::<Vec<_>>().join(", ");
    let lines = [
        Some(("documentation", p.doc.clone())),
        Some(("confidence", format!("{}: {}", p.confidence.as_str(), p.confidence.sentence()))),
        Some(("signs", explain::summary(p)?)),
        Some(("needs", needs(p))),
        (!settings.is_empty()).then_some(("settings", settings)),
        Some(("proves", proves.to_owned())),
        p.scheme
            .signs_address()
            .then(|| ("address", "signed: set public_url where the relay is called by another name".to_owned())),
        Some(("event id", or_none(p.event_id()))),
        Some(("event type", or_none(p.kind.as_ref()))),
        Some(("dedupe", window(p.dedupe))),
        Some(("wants", wants(&p.answer))),
        challenges(p).map(|challenges| ("challenges", challenges)),
        p.handshakes.iter().any(Handshake::is_confirmed).then(|| ("confirms", CONFIRMS.to_owned())),
        p.handshakes.iter().any(Handshake::takes_secret).then(|| ("its secret", ARMED.to_owned())),
        Some(("waits", p.deadline.clone().unwrap_or_else(|| UNKNOWN.to_owned()))),
        Some(("retries", p.retries.clone().unwrap_or_else(|| UNKNOWN.to_owned()))),
        p.addresses.as_ref().map(|addresses| ("sends from", sends_from(addresses))),
        (!p.aliases.is_empty()).then(|| ("also known as", p.aliases.join(", "))),
        p.note.clone().map(|note| ("note", note)),
    ];
    let lines = lines.into_iter().flatten().map(|(what, text)| format!("\n{what:<15}{text}"));
    Ok(format!("{} ({}){}", p.title, p.name, lines.collect::<String>()))
}

/// Whether a source needs secrets or keys.
fn needs(p: &Preset) -> String {
    let from = p.scheme.key_addresses().into_iter().next();
    let keys = from.map_or_else(|| "the provider's public keys".to_owned(), |address| format!("keys published at {address}"));
    match (p.scheme.takes_secrets(), p.scheme.takes_keys()) {
        (true, true) => format!("secrets shared with the provider, or {keys}"),
        (false, true) => keys,
        _ => "secrets shared with the provider".to_owned(),
    }
}

/// As `dedupe` in relay.toml. Presets have whole hours.
fn window(dedupe: Option<Duration>) -> String {
    dedupe.map_or("off".to_owned(), |time| format!("{}h", time.as_secs() / 3600))
}

/// The networks, the page with them, and when they were read there.
fn sends_from(addresses: &Addresses) -> String {
    let Addresses { networks, published, as_of, note } = addresses;
    let networks = match &networks[..] {
        [] => UNKNOWN.to_owned(),
        some => some.iter().map(|network| network.0.to_string()).collect::<Vec<_>>().join(", "),
    };
    let read =
        as_of.as_ref().map_or_else(|| format!("see {published}"), |day| format!("read on {} at {published}", day.as_str()));
    let note = note.as_ref().map(|note| format!(". {note}")).unwrap_or_default();
    format!("{networks}; {read}{note}")
}

fn wants(answer: &Answer) -> String {
    if answer.body.is_empty() { answer.status.to_string() } else { format!("{} and {:?}", answer.status, answer.body) }
}

/// The methods of the challenges that are answered, and the settings that they need.
fn challenges(p: &Preset) -> Option<String> {
    let answered: Vec<_> = p.handshakes.iter().filter(|it| it.is_answered() && !it.takes_secret()).collect();
    let mut methods: Vec<_> = answered.iter().map(|handshake| handshake.method().to_string()).collect();
    methods.dedup();
    let mut settings: Vec<_> = answered.iter().flat_map(|handshake| handshake.settings()).collect();
    settings.extend(answered.iter().any(|handshake| handshake.needs_public_key()).then_some("public_key"));
    settings.sort_unstable();
    settings.dedup();
    let needs = if settings.is_empty() { String::new() } else { format!("; set {}", settings.join(" and ")) };
    (!methods.is_empty()).then(|| format!("{}, answered by the relay{needs}", methods.join(" and ")))
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
    fn a_wrong_name_gets_a_near_one() {
        assert_eq!(nearest("githib"), Some("github"));
        assert_eq!(nearest("zzz"), None);
    }

    #[test]
    fn words_are_looked_for_in_names_titles_and_confidence() {
        let adyen = preset::find("adyen").unwrap();
        assert!(["Adyen", "payments", "tested", "ady"].iter().all(|word| has(adyen, word)));
        assert!(!has(adyen, "test") && !has(adyen, "stripe"));
    }

    #[test]
    fn challenges_and_what_they_need_are_shown() {
        let challenges = |name: &str| challenges(preset::find(name).unwrap());
        assert_eq!(challenges("meta").as_deref(), Some("GET, answered by the relay; set verify_token"));
        assert_eq!(challenges("websub").as_deref(), Some("GET, answered by the relay; set topics"));
        assert_eq!(challenges("shopline").as_deref(), Some("POST, answered by the relay; set public_key"));
        assert_eq!(challenges("slack").as_deref(), Some("POST, answered by the relay"));
        assert_eq!((challenges("asana"), challenges("github")), (None, None));
    }

    #[test]
    fn each_is_shown_with_all_that_matters() {
        for p in preset::all() {
            let text = details(p).unwrap();
            for what in [
                "documentation",
                "confidence",
                "signs",
                "needs",
                "proves",
                "event id",
                "event type",
                "dedupe",
                "wants",
                "waits",
                "retries",
            ] {
                let line = text.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_else(|| panic!("{what}: {text}"));
                assert!(!line.trim().is_empty(), "{what}: {text}");
            }
        }
    }

    #[test]
    fn it_is_shown_from_where_a_provider_sends() {
        let line = |name: &str| {
            let text = details(preset::find(name).unwrap()).unwrap();
            text.lines().find_map(|line| line.strip_prefix("sends from     ")).map(str::to_owned)
        };
        let github = line("github").unwrap();
        assert!(github.starts_with("192.30.252.0/22, ") && github.contains("2606:50c0::/32; read on 2026-"), "{github}");
        assert!(github.contains(" at https://api.github.com/meta. "), "{github}");
        assert!(line("mollie").unwrap().starts_with("not known; see https://help.mollie.com/"), "{:?}", line("mollie"));
        assert_eq!(line("slack"), None);
        let item = serde_json::to_value(Item::new(preset::find("telegram").unwrap())).unwrap();
        assert_eq!(item["addresses"]["networks"], serde_json::json!(["149.154.160.0/20", "91.108.4.0/22"]));
        assert!(item["addresses"]["as_of"].is_string(), "{item}");
    }

    #[test]
    fn everything_that_is_known_is_shown() {
        let text = details(preset::find("dropbox-sign").unwrap()).unwrap();
        for part in [
            "Dropbox Sign",
            "tested: ",
            "not the whole body",
            "200 and \"Hello API Event Received\"",
            "hellosign",
            "30 s",
            "hmac sha256 in json /event/event_hash",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
