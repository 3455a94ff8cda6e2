//! Where a provider sends from, as far as it publishes that: its networks, the page that says so, and the day on which they were
//! read there.
//!
//! Only what a provider publishes of its webhooks stands here. Providers change their networks: never does one of these lists prove
//! who sent, as a signature does.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// Networks that were read longer ago are to be compared with their page: most providers change theirs every year or two, and
/// announce it some days or weeks before.
const AGE_MAX: Duration = Duration::from_secs(274 * 86_400);
/// [`AGE_MAX`] in words.
const AGE_MAX_WORDS: &str = "nine months";

/// Where a provider sends from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// Its networks; none where it has none that are known, or says that they are not to be relied upon.
    #[serde(default)]
    pub networks: Vec<Network>,
    /// The page that says so.
    pub published: String,
    /// The day on which that was read there; always there where there are networks.
    pub as_of: Option<Day>,
    /// What somebody should know before relying on them; always there where there are none.
    pub note: Option<String>,
}

/// A network. A plain address is the network of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(pub IpNet);

/// A day, such as 2026-10-29.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    text: String,
    begins: Timestamp,
}

impl Addresses {
    /// From when on they should be compared with their page, and why; `None` where there are no networks.
    pub fn old_from(&self) -> Option<(Timestamp, String)> {
        let day = self.as_of.as_ref().filter(|_| !self.networks.is_empty())?;
        let why = format!("networks that were read on {}, more than {AGE_MAX_WORDS} ago", day.as_str());
        Some((day.begins.after(AGE_MAX), why))
    }
}

impl Network {
    /// An address, or a network.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(Self)
    }
}

impl Day {
    fn parse(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), begins: Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))? })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no address and no network")))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no day such as 2026-10-29")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::preset;

    /// More than any provider's webhooks need: a slip of the pen would let in a part of the internet.
    const WIDEST: (u8, u8) = (20, 29);

    /// Whether nothing of a network is for private use, for this machine, for examples or for many at once.
    fn is_public(network: &IpNet) -> bool {
        const OTHERS: [&str; 18] = [
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
            "::/3",
            "2001:db8::/32",
            "2002::/16",
            "4000::/2",
        ];
        let mut others = OTHERS.iter().map(|other| other.parse::<IpNet>().unwrap()).chain(["8000::/1".parse().unwrap()]);
        !others.any(|other| other.contains(network) || network.contains(&other))
    }

    #[test]
    fn every_list_is_dated_public_and_told_once() {
        let mut with_networks = Vec::new();
        for preset in preset::all() {
            let Some(addresses) = &preset.addresses else { continue };
            let name = &preset.name;
            let page = url::Url::parse(&addresses.published).unwrap();
            assert!(page.scheme() == "https" && page.domain().is_some(), "{name}: {page}");
            assert_eq!(addresses.as_of.is_some(), !addresses.networks.is_empty(), "{name}");
            assert!(addresses.note.is_some() || !addresses.networks.is_empty(), "{name} says nothing");
            assert!(addresses.note.as_ref().is_none_or(|note| !note.is_empty() && note.trim() == note), "{name}");
            for (at, Network(network)) in addresses.networks.iter().enumerate() {
                assert_eq!(network.trunc(), *network, "{name}");
                assert!(is_public(network), "{name}: {network}");
                let widest = if network.addr().is_ipv4() { WIDEST.0 } else { WIDEST.1 };
                assert!(network.prefix_len() >= widest, "{name}: {network}");
                let mut others = addresses.networks.iter().enumerate().filter(|(other, _)| *other != at);
                assert!(!others.any(|(_, Network(other))| other.contains(network)), "{name}: {network} is there twice");
            }
            with_networks.extend((!addresses.networks.is_empty()).then_some(name.as_str()));
        }
        assert!(with_networks.len() >= 9 && with_networks.contains(&"github"), "{with_networks:?}");
    }

    #[test]
    fn what_is_not_public_is_found() {
        for text in
            ["127.0.0.0/24", "10.1.0.0/20", "::1/128", "fd00::/32", "fe80::/64", "203.0.113.7/32", "192.0.0.0/16", "64:ff9b::/96"]
        {
            assert!(!is_public(&text.parse().unwrap()), "{text}");
        }
        assert!(is_public(&"140.82.112.0/20".parse().unwrap()) && is_public(&"2606:50c0::/32".parse().unwrap()));
    }

    #[test]
    fn networks_get_old() {
        let text = "networks = ['192.30.252.0/22', '9.9.9.9']\npublished = 'https://a.example/'\nas_of = '2026-01-31'";
        let addresses: Addresses = toml::from_str(text).unwrap();
        let (from, why) = addresses.old_from().unwrap();
        assert_eq!(from.to_string(), "2026-11-01T00:00:00.000Z");
        assert_eq!(why, "networks that were read on 2026-01-31, more than nine months ago");
        assert_eq!(addresses.networks[1].0.to_string(), "9.9.9.9/32");
        for wrong in ["2026-1-31", "2026-02-30", "today", "2026-01-31T00:00:00Z"] {
            assert!(toml::from_str::<Addresses>(&text.replace("2026-01-31", wrong)).is_err(), "{wrong}");
        }
        assert!(toml::from_str::<Addresses>(&text.replace("9.9.9.9", "9.9.9")).is_err());
        let none: Addresses = toml::from_str("published = 'https://a.example/'\nnote = 'It says so.'").unwrap();
        assert!(none.old_from().is_none());
    }
}
