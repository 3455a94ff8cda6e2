//! Of `[sources.NAME]`: the challenges that the relay answers for the source, and what it must know for them.

use url::Url;

use super::key::{Key, Kind, Others, Table};
use super::settings::Fetch;
use super::table::Section;
use super::value::Value;
use super::{certificates, secret};
use crate::signature::handshake::{Handshake, Handshakes, LISTS, Terms};
use crate::signature::{Scheme, Secret, Settings};

/// Values of one list: topics and origins of one source.
const LIST_MAX: usize = 1000;

pub(super) static CONFIRM_FETCH: Table = Table {
    name: "confirm_fetch",
    tells: "In a source whose handshakes visit servers of your own: see [PROVIDERS.md](PROVIDERS.md#subscriptions-that-are-confirmed-by-a-visit).",
    example: r#"
[sources.feed]
path = "/in/feed"
provider = "custom"
secrets = [{ env = "FEED_SECRET" }]
confirm_fetch = { ca = "certs/internal-ca.pem" }

[sources.feed.verify]
kind = "hmac"
hash = "sha256"
payload = "{body}"
signature = [{ in = "header", name = "X-Signature", encoding = "hex" }]

[[sources.feed.handshake]]
when = { json = { "/type" = "confirm" } }
confirm = { json = "/url", addresses = ["https://feed.internal/confirm"] }
respond = {}
"#,
    keys: &[Key::needed("ca", Kind::Text, "A file with the only roots that are trusted.")],
    later: &[],
    others: Others::None,
};

/// What a source has beside its handshakes.
pub(super) struct Beside<'a> {
    /// How it verifies; `None` where it does not.
    pub(super) scheme: Option<&'a Scheme>,
    /// Its secrets.
    pub(super) secrets: &'a [Secret],
    /// The name that signatures stand beside.
    pub(super) public_key: Option<String>,
    /// What the provider calls.
    pub(super) public_url: Option<Url>,
    /// What it says of itself, as far as its scheme asks.
    pub(super) settings: &'a Settings,
}

/// The handshakes of a source: those of relay.toml, or else its provider's.
pub(super) fn list(section: &mut Section<'_>, own: &[Handshake]) -> Option<Vec<Handshake>> {
    let Some(value) = section.take("handshake") else { return Some(own.to_vec()) };
    let read: Vec<Option<Handshake>> = value.list()?.iter().map(Value::table_as).collect();
    read.into_iter().collect()
}

/// Them with what the source says for them. Settings that none of them looks at are warned of, or unknown.
pub(super) fn prove(section: &mut Section<'_>, list: Option<Vec<Handshake>>, beside: Beside<'_>) -> Option<Handshakes> {
    let mut terms = Terms { public_key: beside.public_key, public_url: beside.public_url, ..Terms::default() };
    let wanted: Vec<&str> = list.iter().flatten().flat_map(Handshake::settings).collect();
    let mut good = true;
    if let Some(value) = section.take("verify_token") {
        if list.is_some() && !wanted.contains(&"verify_token") {
            value.warn("has no effect: no handshake of this source looks at it", None);
        }
        terms.verify_token = secret::read_lasting(&value);
        good &= terms.verify_token.is_some();
    }
    for name in LISTS.into_iter().filter(|name| wanted.contains(name)) {
        if let Some(values) = beside.settings.values(name) {
            // Events are looked at alike, so that it was read with the scheme.
            terms.lists.insert(name.to_owned(), values.iter().map(text_of).collect());
        }
        let Some(value) = section.take_setting(name) else { continue };
        match texts(&value) {
            Some(texts) => drop(terms.lists.insert(name.to_owned(), texts)),
            None => good = false,
        }
    }
    let needs_key = list.iter().flatten().any(Handshake::needs_public_key);
    // That it is missing was reported where it is read.
    let list = list.filter(|_| good && (!needs_key || terms.public_key.is_some()))?;
    match Handshakes::try_new(list, beside.scheme, beside.secrets, terms) {
        Ok(handshakes) => Some(handshakes),
        Err(error) => section.key_error("handshake", &format!("handshake cannot be used: {error}")),
    }
}

/// How what confirms a subscription is visited. Who names its roots names its own servers, which may have private addresses.
pub(super) fn confirm_fetch(section: &mut Section<'_>, list: Option<&[Handshake]>) -> Option<Fetch> {
    let mut fetch = Fetch::default();
    let Some(list) = list else { return section.take("confirm_fetch").and(None) };
    if !list.iter().any(Handshake::is_confirmed) {
        return Some(fetch);
    }
    let Some(value) = section.take("confirm_fetch") else { return Some(fetch) };
    let mut inner = value.inner()?;
    let ca = inner.require("ca", "write confirm_fetch = { ca = \"PATH\" }").and_then(|value| certificates::roots(&value));
    inner.finish();
    let hosts: Option<Vec<_>> = list.iter().map(Handshake::confirms_at).collect();
    let Some(hosts) = hosts else {
        let help = "write a handshake with whole addresses, such as https://sns.internal/";
        return value.error_help("needs handshakes whose addresses name their hosts without placeholders", Some(help.to_owned()));
    };
    fetch.addresses = hosts.into_iter().flatten().map(str::to_owned).collect();
    (fetch.ca, fetch.is_own) = (Some(ca?), true);
    Some(fetch)
}

/// A value as requests write it.
fn text_of(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Texts or whole numbers.
fn texts(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.list()?;
    if items.is_empty() {
        return value.error("is empty: nothing would be ours");
    }
    if items.len() > LIST_MAX {
        return value.error(&format!("has more than {LIST_MAX} values"));
    }
    let text = |item: &Value<'_>| match item.node().get_ref().as_integer() {
        Some(number) => Some(number.as_str().to_owned()),
        None => item.text().map(str::to_owned),
    };
    items.iter().map(text).collect()
}
