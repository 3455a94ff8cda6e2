//! Lists of addresses and networks: whom a source takes or refuses, and which proxies are believed. Never looks a name up: networks of
//! providers are data, as old as they say.

use ipnet::IpNet;

use super::problem::did_you_mean;
use super::table::Section;
use super::value::Value;
use crate::signature::preset::{Network, Preset};

/// In `allow`: the networks that the source's provider publishes.
const PROVIDER: &str = "provider";
const WRITE: &str = "write them: allow = [\"203.0.113.0/24\"]; or leave allow out, since signatures prove more than addresses do";

/// What is known of a source's provider: nothing where it is no preset, and `None` where it is wrong, which was then reported.
pub(super) type Known = Option<Option<&'static Preset>>;

/// Whom a source takes. `preset`: its provider.
pub(super) fn allowed(value: &Value<'_>, preset: Known) -> Option<Vec<IpNet>> {
    let items = some(value, "nobody could send")?;
    let read = |item: &Value<'_>| match item.node().get_ref().as_str() {
        Some(PROVIDER) => of_provider(item, preset),
        Some(word) if is_word(word) => unknown(item, word),
        _ => network(item).map(|network| vec![network]),
    };
    Some(items.iter().filter_map(read).flatten().collect())
}

/// The networks that the source's provider publishes.
fn of_provider(value: &Value<'_>, preset: Known) -> Option<Vec<IpNet>> {
    let Some(preset) = preset? else {
        return value
            .error_help("is for providers that are known by name: nothing tells from where this one sends", Some(WRITE.into()));
    };
    let Some(addresses) = &preset.addresses else {
        return value.error_help(&format!("cannot be used: no networks of {} are known", preset.title), Some(WRITE.into()));
    };
    let Some((from, why)) = addresses.old_from() else {
        let note = addresses.note.as_deref().unwrap_or_default().trim_end_matches('.');
        let message = format!("cannot be used: no networks of {} are known ({note}: {})", preset.title, addresses.published);
        return value.error_help(&message, Some(WRITE.into()));
    };
    let help = format!("compare them with {}, and write those that are right", addresses.published);
    value.warn_from(from, &format!("stands for {why}"), Some(help));
    Some(addresses.networks.iter().map(|network| network.0).collect())
}

/// Whether somebody meant a name, and not an address.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b'_') && !is_hexadecimal(text)
}

/// Such as `fe`, which begins many addresses.
fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn unknown(value: &Value<'_>, word: &str) -> Option<Vec<IpNet>> {
    let help = did_you_mean(word, [PROVIDER]);
    let help = help.unwrap_or_else(|| {
        format!("write {PROVIDER:?} for what the source's provider publishes (`hookhold providers NAME` shows it)")
    });
    value.error_help(&format!("is no address, no network and not {PROVIDER:?}"), Some(help))
}

/// Whom a source refuses.
pub(super) fn denied(value: &Value<'_>) -> Option<Vec<IpNet>> {
    Some(some(value, "nobody would be refused")?.iter().filter_map(network).collect())
}

/// What is in a list, where it is not empty. `so`: what an empty one would mean.
fn some<'a>(value: &Value<'a>, so: &str) -> Option<Vec<Value<'a>>> {
    let items = value.list()?;
    if items.is_empty() {
        return value.error_help(&format!("is empty: {so}"), Some("leave it out".into()));
    }
    Some(items)
}

/// The proxies that are believed.
pub(super) fn proxies(value: &Value<'_>) -> Option<Vec<IpNet>> {
    let networks: Vec<IpNet> = value.list()?.iter().filter_map(network).collect();
    if networks.iter().any(|network| network.prefix_len() == 0) {
        value.warn("holds everybody: whoever reaches the relay can say that it is somebody else", None);
    }
    Some(networks)
}

/// Warns where `deny` leaves nothing of `allow`.
pub(super) fn warn_if_void(section: &Section<'_>, allow: &[IpNet], deny: &[IpNet]) {
    let is_denied = |network: &IpNet| deny.iter().any(|denied| denied.contains(network));
    if !allow.is_empty() && allow.iter().all(is_denied) {
        section.warn("deny holds all that allow does: nobody can send", None);
    }
}

fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.text()?;
    let Some(Network(network)) = Network::parse(text) else {
        return value.error("must be an address or a network, such as \"203.0.113.0/24\" or \"::1\"");
    };
    if network.trunc() != network {
        value.warn(&format!("means the whole network {}", network.trunc()), None);
    }
    Some(network.trunc())
}
