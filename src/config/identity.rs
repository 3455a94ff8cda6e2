//! Of `[sources.NAME]`: the keys that a source believes, and what it says of itself, so that what a provider signs for somebody else
//! is not taken for its own.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value as Json;
use toml::de::DeValue;

use super::key::{Key, Kind, Others, Table};
use super::settings::Fetch;
use super::table::Section;
use super::value::Value;
use super::{certificates, destination, secret};
use crate::signature::{
    BadKey, ConfiguredKey, Options, Requirement, Scheme, Secret, Setting, Terms, Unready, Without, is_key_address,
};

/// Providers try again for days.
const TOLERANCE_MAX: Duration = Duration::from_secs(30 * 86_400);

pub(super) const TOLERANCE: RangeInclusive<Duration> = Duration::from_secs(1)..=TOLERANCE_MAX;

pub(super) static KEY: Table = Table {
    name: "keys",
    tells: "In a source whose provider signs with a key: a public key as text, or as a table that says more.",
    example: r#"
[sources.wise]
path = "/in/wise"
provider = "rfc9421"
keys = [{ id = "k1", algorithm = "hmac-sha256", env = "SHARED_KEY" }, { id = "k2", algorithm = "hmac-sha256", file = "k2-key" }]
"#,
    keys: &[
        Key::new(
            "text",
            Kind::Text,
            "A public key as its provider shows it: PEM, base64, hex or JWK. One of `text`, `env`, `file`.",
        ),
        secret::ENV,
        secret::FILE,
        Key::new("id", Kind::Text, "The name that requests give it."),
        Key::new("algorithm", Kind::Text, "What it may be used for, where the provider leaves that open."),
        secret::UNTIL,
    ],
    later: &[],
    others: Others::None,
};

pub(super) static KEY_FETCH: Table = Table {
    name: "key_fetch",
    tells: "In a source whose provider publishes its keys: how they are fetched.",
    example: r#"
[sources.shop]
path = "/in/shop"
provider = "saleor"
key_url = "https://shop.internal/.well-known/jwks.json"
key_fetch = { ca = "certs/internal-ca.pem", headers = { X-Tenant = "one" } }
"#,
    keys: &[
        Key::new("ca", Kind::Text, "A file with the only roots that are trusted.").or_else("those of the web"),
        Key::new("headers", Kind::Named(&destination::HEADER), "Header fields, as in a destination."),
        Key::new("members", Kind::Named(&Kind::Table(&secret::LASTING)), "Members of what is posted, where keys are posted for."),
    ],
    later: &[],
    others: Others::None,
};

pub(super) static REQUIRE: Table = Table {
    name: "require",
    tells: "In a source: a rule of its own on what was signed. One of `json` and `claim` says where.",
    example: r#"
[sources.ci]
path = "/in/ci"
provider = "github"
secrets = [{ env = "GITHUB_WEBHOOK_SECRET" }]
require = [{ json = "/repository/owner/login", in = ["our-company"] }]
"#,
    keys: &[
        Key::new("json", Kind::Text, "A JSON pointer into the body."),
        Key::new("claim", Kind::Text, "A JSON pointer into what a token says."),
        Key::needed("in", Kind::OneOrMany(&Kind::Scalar), "The values that are possible."),
    ],
    later: &[],
    others: Others::None,
};

/// What a source says of its keys and of itself, as far as its scheme asks for it.
pub(super) fn read(section: &mut Section<'_>, scheme: &Scheme, options: &mut Options, fetch: &mut Fetch) -> Option<()> {
    let mut good = Some(());
    let mut note = |read: Option<()>| good = good.and(read);
    if scheme.takes_keys() {
        note(section.take("keys").map_or(Some(()), |value| keys(&value, &mut options.keys)));
    }
    if scheme.takes_key_url() {
        note(section.take("key_url").map_or(Some(()), |value| key_url(&value).map(|url| options.key_url = Some(url))));
    }
    if scheme.takes_key_url() {
        fetch.is_own = options.key_url.is_some();
        let own = || scheme.key_addresses().into_iter().map(str::to_owned).collect();
        fetch.addresses = options.key_url.clone().map_or_else(own, |address| vec![address]);
        note(section.take("key_fetch").map_or(Some(()), |value| key_fetch(&value, fetch)));
        note(members_are_there(section, scheme, options, fetch));
    }
    if scheme.takes_roots() {
        note(section.take("roots").map_or(Some(()), |value| roots(&value).map(|texts| options.roots = texts)));
    }
    if scheme.takes_tolerance() {
        let seconds = |value: Value<'_>| value.duration(TOLERANCE).map(|d| u32::try_from(d.as_secs()).unwrap_or(u32::MAX));
        note(section.take("tolerance").map_or(Some(()), |value| seconds(value).map(|s| options.terms.tolerance = Some(s))));
    }
    if scheme.takes_components() {
        note(section.take("tag").map_or(Some(()), |value| value.text().map(|tag| options.terms.tag = Some(tag.to_owned()))));
        let list = |value: Value<'_>| value.list()?.iter().map(|v| v.text().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let components = section.take("required_components");
        note(components.map_or(Some(()), |value| list(value).map(|names| options.terms.components = Some(names))));
    }
    note(section.take("require").map_or(Some(()), |value| requirements(&value, &mut options.terms)));
    note(settings(section, scheme, &mut options.terms));
    good
}

/// Reports what a verifier could not be made of.
pub(super) fn unready<T>(section: &mut Section<'_>, unready: &Unready) -> Option<T> {
    let (key, at) = match unready {
        Unready::Secret(i, _) => ("secrets", *i),
        Unready::Key(i, _) | Unready::Algorithm(i) => ("keys", *i),
        Unready::Roots(_) => ("roots", 0),
        Unready::Missing(name) => {
            section.error(&format!("{name} is missing"), Some(help(name).to_owned()));
            return None;
        }
    };
    let value = section.take(key)?;
    let items = value.one_or_many();
    items.get(at).unwrap_or(&value).error(&format!("cannot be used: {unready}"))
}

fn help(name: &str) -> &'static str {
    match name {
        "keys" => "write keys = [\"...\"] with the public key as its provider shows it, or [{ file = \"PATH\" }]",
        "key_url" => "write key_url = \"https://...\", where the provider publishes its keys",
        "roots" => "write roots = [\"PATH\"], a file with the provider's root certificate",
        "secrets" => "write secrets = [{ env = \"NAME\" }] or [{ file = \"PATH\" }]",
        _ => "without it, whatever the provider signs for anybody would be accepted",
    }
}

fn keys(value: &Value<'_>, keys: &mut Vec<ConfiguredKey>) -> Option<()> {
    let items = value.list()?;
    if items.is_empty() {
        return value.error("is empty");
    }
    let read: Vec<Option<ConfiguredKey>> = items.iter().map(key).collect();
    keys.extend(read.into_iter().collect::<Option<Vec<_>>>()?);
    Some(())
}

/// A public key as text, or a table that says where it is, who it is, and how long it counts.
fn key(value: &Value<'_>) -> Option<ConfiguredKey> {
    if !value.is_table() {
        return Some(ConfiguredKey { id: None, algorithm: None, text: public(value)? });
    }
    let mut section = value.inner()?;
    let word = |value: Value<'_>| value.text().map(str::to_owned);
    let (id, algorithm) = (section.take("id").map(word), section.take("algorithm").map(word));
    let text = match section.take("text") {
        Some(text) if algorithm.as_ref().is_some_and(|name| name.as_ref().is_some_and(|n| n.starts_with("hmac"))) => {
            text.error("is a secret with this algorithm: write env or file")
        }
        Some(text) => {
            section.finish();
            public(&text)
        }
        None => secret::read_rest(value, section),
    };
    Some(ConfiguredKey { id: id.map_or(Some(None), |id| id.map(Some))?, algorithm: algorithm.flatten(), text: text? })
}

fn public(value: &Value<'_>) -> Option<Secret> {
    let text = value.text()?;
    match Secret::try_new(text.as_bytes().to_vec(), None) {
        // A secret that somebody put here is not shown; why it is no key is said when the scheme is known.
        Ok(text) => Some(text),
        Err(_) => value.error(&BadKey::Empty.to_string()),
    }
}

fn key_url(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if is_key_address(text) { Some(text.to_owned()) } else { value.error("must be an address of https without a user") }
}

/// How keys are fetched: roots, header fields, and members of what is posted.
fn key_fetch(value: &Value<'_>, fetch: &mut Fetch) -> Option<()> {
    let mut section = value.inner()?;
    let ca = section.take("ca").map(|value| certificates::roots(&value));
    fetch.headers = destination::headers(&mut section, None);
    let members = section.take("members").map(|value| members(&value));
    section.finish();
    fetch.ca = ca.map_or(Some(None), |ca| ca.map(Some))?;
    fetch.members = members.unwrap_or_else(|| Some(Vec::new()))?;
    Some(())
}

fn members(value: &Value<'_>) -> Option<Vec<(String, Secret)>> {
    let table = value.inner()?;
    let member = |(name, value): (&str, Value<'_>)| Some((name.to_owned(), secret::read_lasting(&value)?));
    table.entries().into_iter().map(member).collect()
}

/// Whether what must be posted for a key is there; a source that has its keys asks for none.
fn members_are_there(section: &Section<'_>, scheme: &Scheme, options: &Options, fetch: &Fetch) -> Option<()> {
    let missing = |name: &&str| options.keys.is_empty() && fetch.members.iter().all(|(known, _)| known != name);
    let Some(name) = scheme.key_members().into_iter().find(missing) else { return Some(()) };
    let help = "write key_fetch = { members = { NAME = { env = \"NAME\" } } }, or the keys themselves as keys = [...]";
    section.error(&format!("key_fetch.members.{name} is missing"), Some(help.to_owned()));
    None
}

fn roots(value: &Value<'_>) -> Option<Vec<String>> {
    value.one_or_many().iter().map(certificates::text).collect()
}

/// Rules of the source's own.
fn requirements(value: &Value<'_>, terms: &mut Terms) -> Option<()> {
    for item in value.list()? {
        let mut section = item.inner()?;
        let values = section.require("in", "write in = [\"...\"], the values that are possible").and_then(|value| values(&value));
        let (json, claim) = (section.take("json"), section.take("claim"));
        section.finish();
        let (place, made) = match (json, claim) {
            (Some(json), None) => (json.clone(), Requirement::of_body(json.text()?, values?)),
            (None, Some(claim)) => (claim.clone(), Requirement::of_claims(claim.text()?, values?)),
            _ => return item.error("needs either json or claim"),
        };
        terms.requirements.push(made.or_else(|| place.error("is not a JSON pointer, such as \"/data/account\""))?);
    }
    Some(())
}

/// The settings that the scheme knows, by their names.
fn settings(section: &mut Section<'_>, scheme: &Scheme, terms: &mut Terms) -> Option<()> {
    let mut good = Some(());
    for setting in scheme.settings() {
        let Some(value) = section.take_setting(&setting.name) else { continue };
        match values(&value) {
            Some(values) => terms.settings.insert(setting.name.clone(), values),
            None => good = None,
        }
        if terms.settings.is_open(&setting.name) {
            good = good.and(open(&value, setting));
        }
    }
    for setting in scheme.unsaid(terms).into_iter().filter(|setting| setting.without == Without::Open) {
        let help = format!("write {0} = [\"...\"], those that are yours, or {0} = \"any\"", setting.name);
        section.error(&format!("{} is missing: this provider signs for others with the same key", setting.name), Some(help));
        good = None;
    }
    good
}

/// `"any"` where it is possible is a warning: everybody for whom the provider signs can send.
fn open(value: &Value<'_>, setting: &Setting) -> Option<()> {
    if setting.without == Without::Unusable {
        return value.error("cannot be \"any\": whatever the provider signs for anybody would be accepted");
    }
    value.warn("is \"any\": whatever the provider signs for anybody is accepted", None);
    Some(())
}

/// One value or several: texts, whole numbers, truth values.
fn values(value: &Value<'_>) -> Option<Vec<Json>> {
    let one = |value: &Value<'_>| match value.node().get_ref() {
        DeValue::Boolean(truth) => Some(Json::Bool(*truth)),
        DeValue::Integer(_) => value.integer(0..=u64::MAX).map(Json::from),
        _ => value.text().map(Json::from),
    };
    let values = value.one_or_many().iter().map(one).collect::<Option<Vec<_>>>()?;
    if values.is_empty() { value.error("is empty: nothing could be accepted") } else { Some(values) }
}
