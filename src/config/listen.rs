//! `[listen]`: where webhooks come in, and the part of `[limits]` that is about those who bring them.

use std::net::SocketAddr;
use std::time::Duration;

use super::networks;
use super::settings::{EdgeLimits, Listen, Listener, ProxyProtocol, Serve};
use super::table::Section;
use super::value::Value;
use crate::pace::meter::Meter;

/// More listeners than a machine has addresses is a mistake.
const LISTENERS_MAX: usize = 64;
/// Less is no time in which somebody can ask.
const TIME_MIN: Duration = Duration::from_secs(1);
/// A week: what lives for longer follows no change of its surroundings.
const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// More than one connection can carry.
const STREAMS_MAX: u64 = 10_000;
/// What 32 KiB of head can hold, roughly.
const HEADER_FIELDS_MAX: u64 = 1000;

pub(super) fn listen(mut section: Section<'_>) -> Option<Listen> {
    let trusted_proxies = section.or("trusted_proxies", Vec::new(), |value| networks::proxies(&value));
    let (https, http) = (section.take("https"), section.take("http"));
    let mut listeners = Vec::new();
    let mut is_right = true;
    for (values, is_https) in [(&https, true), (&http, false)] {
        let values = values.iter().flat_map(Value::one_or_many).collect::<Vec<_>>();
        for value in values {
            match listener(&value, is_https, !trusted_proxies.is_empty()) {
                Some(listener) if listeners.len() < LISTENERS_MAX => add(&value, listener, &mut listeners),
                Some(_) => is_right = value.error::<()>("is one listener too many").is_some(),
                None => is_right = false,
            }
        }
    }
    let takes_webhooks = listeners.iter().any(|listener| listener.serve == Serve::Webhooks);
    match (https, http) {
        (Some(https), _) if is_right && !takes_webhooks => is_right = https.error::<()>("is empty").is_some(),
        (None, http) if http.is_none() || is_right && !takes_webhooks => {
            const WRITE: &str = "write https = \"127.0.0.1:8443\", or \"0.0.0.0:443\" to be reached from elsewhere";
            is_right = section.require("https", WRITE).is_some();
        }
        _ => {}
    }
    section.finish(&[]);
    is_right.then_some(Listen { listeners, trusted_proxies })
}

fn add(value: &Value<'_>, listener: Listener, listeners: &mut Vec<Listener>) {
    let (address, others) = (listener.address, &*listeners);
    let is_taken = |other: &Listener| other.address.is_ipv4() == address.is_ipv4() && clash(other.address, address);
    if others.iter().any(is_taken) {
        value.error::<()>("is the address of another listener, too");
    }
    listeners.push(listener);
}

/// An address alone, or a table that says more. `has_proxies`: whether any are trusted.
fn listener(value: &Value<'_>, is_https: bool, has_proxies: bool) -> Option<Listener> {
    let usual = if is_https { Serve::Webhooks } else { Serve::Redirect };
    if !value.is_table() {
        return address(value).map(|address| Listener { address, is_https, serve: usual, proxy_protocol: ProxyProtocol::Off });
    }
    let mut section = value.inner()?;
    let written = section.require("address", "write address = \"0.0.0.0:443\"").and_then(|value| address(&value));
    let serve = match is_https {
        true => usual,
        false => {
            section.or("serve", usual, |value| value.choice(&[("redirect", Serve::Redirect), ("webhooks", Serve::Webhooks)]))
        }
    };
    let words =
        [("off", ProxyProtocol::Off), ("required", ProxyProtocol::Required), ("from_trusted", ProxyProtocol::FromTrusted)];
    let proxy = section.take("proxy_protocol");
    let proxy_protocol = proxy.as_ref().and_then(|value| value.choice(&words)).unwrap_or_default();
    section.finish(&[]);
    if let (Some(proxy), false, ProxyProtocol::Required | ProxyProtocol::FromTrusted) = (&proxy, has_proxies, proxy_protocol) {
        let help = "write trusted_proxies = [\"10.0.0.0/8\"] with the addresses of your balancers".to_owned();
        return proxy.error_help("is believed of nobody", Some(help));
    }
    let address = written?;
    if serve == Serve::Webhooks && !is_https {
        plain(value, address, has_proxies)?;
    }
    Some(Listener { address, is_https, serve, proxy_protocol })
}

/// Webhooks in plain text are for behind something that ends TLS.
fn plain(value: &Value<'_>, address: SocketAddr, has_proxies: bool) -> Option<()> {
    if !is_loopback(address) && !has_proxies {
        let help = "use https, or write trusted_proxies = [...] with what ends TLS before it: nobody else is let in".to_owned();
        return value.error_help("would take webhooks in plain text from everywhere", Some(help));
    }
    value.warn("takes webhooks in plain text: something before it must end TLS", None);
    Some(())
}

/// An address to listen on: numbers, since a name may mean several.
pub(super) fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let text = value.text()?;
    let help = match text.split_once(':') {
        Some(("", port)) => format!("did you mean \"0.0.0.0:{port}\"?"),
        Some(("localhost", port)) => format!("did you mean \"127.0.0.1:{port}\"?"),
        _ => "write an IP address and a port, such as \"127.0.0.1:8443\" or \"[::]:443\"".to_owned(),
    };
    text.parse().map_or_else(|_| value.error_help("is not an address to listen on", Some(help)), Some)
}

/// Whether two listeners cannot both have what they want. Port 0 is any free one.
pub(super) fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// What of `[limits]` is about connections and requests.
pub(super) fn limits(section: &mut Section<'_>, connections: usize) -> EdgeLimits {
    let usual = EdgeLimits::of(connections);
    let number = |value: Value<'_>| value.integer(1..=u64::from(u32::MAX)).and_then(|n| usize::try_from(n).ok());
    EdgeLimits {
        connections_per_address: section.or("connections_per_address", usual.connections_per_address, number),
        handshakes: section.or("handshakes", usual.handshakes, number),
        per_second_per_address: section.take("per_second_per_address").and_then(|value| meter(&value)),
        header_fields: section.or("header_fields", usual.header_fields, |value| {
            value.integer(1..=HEADER_FIELDS_MAX).and_then(|n| usize::try_from(n).ok())
        }),
        http2_streams: section
            .or("http2_streams", usual.http2_streams, |value| value.integer(1..=STREAMS_MAX).and_then(|n| u32::try_from(n).ok())),
        requests_per_connection: section
            .or("requests_per_connection", usual.requests_per_connection, |value| value.integer(1..=u64::MAX / 2)),
        connection_age: section.or("connection_age", usual.connection_age, |value| value.duration(TIME_MIN..=TIME_MAX)),
        keep_alive: section.or("keep_alive", usual.keep_alive, |value| value.duration(TIME_MIN..=TIME_MAX)),
    }
}

/// A rate: a number, whose burst is what comes in a second, or both.
pub(super) fn meter(value: &Value<'_>) -> Option<Meter> {
    let rates = Meter::PER_SECOND_MIN..=Meter::PER_SECOND_MAX;
    let (rate, burst) = match value.is_table() {
        false => (value.number(rates)?, None),
        true => {
            let mut section = value.inner()?;
            let rate = section.require("rate", "write rate = 50").and_then(|value| value.number(rates));
            let burst = section.take("burst").map(|value| value.integer(1..=u64::from(Meter::BURST_MAX)));
            section.finish(&[]);
            (rate?, burst.map_or(Some(None), |burst| burst.map(Some))?)
        }
    };
    // A rate is no larger than the largest burst.
    let burst = burst.and_then(|burst| u32::try_from(burst).ok()).unwrap_or((rate.ceil() as u32).clamp(1, Meter::BURST_MAX));
    Meter::try_new(rate, burst).map_or_else(|bad| value.error(&bad.to_string()), Some)
}
