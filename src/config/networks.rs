//! Lists of addresses and networks: whom a source takes or refuses, and which proxies are believed.

use std::net::IpAddr;

use ipnet::IpNet;

use super::table::Section;
use super::value::Value;

/// A list of networks that is not empty. `so`: what an empty one would mean.
pub(super) fn some(value: &Value<'_>, so: &str) -> Option<Vec<IpNet>> {
    let items = value.list()?;
    if items.is_empty() {
        return value.error_help(&format!("is empty: {so}"), Some("leave it out".into()));
    }
    Some(items.iter().filter_map(network).collect())
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
    let network: Option<IpNet> = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(network) = network else {
        return value.error("must be an address or a network, such as \"203.0.113.0/24\" or \"::1\"");
    };
    if network.trunc() != network {
        value.warn(&format!("means the whole network {}", network.trunc()), None);
    }
    Some(network.trunc())
}
