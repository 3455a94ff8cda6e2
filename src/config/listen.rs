//! `[listen]`: where webhooks come in.

use std::net::SocketAddr;

use super::key::{Key, Kind, Others, Table};
use super::networks;
use super::settings::{Listen, Listener, ProxyProtocol, Serve};
use super::table::Section;
use super::value::Value;

/// More listeners than a machine has addresses is a mistake.
const LISTENERS_MAX: usize = 64;

const PROXY_PROTOCOL: Kind = Kind::Choice(&["off", "required", "from_trusted"]);
const ADDRESS: &str = "An IP address and a port, such as `\"127.0.0.1:8443\"` or `\"[::]:443\"`.";
const PROXY_TELLS: &str = "Whether connections begin with a PROXY header: never; each, and only trusted proxies are let in; or those of \
                           trusted proxies.";

pub(super) static KEYS: Table = Table {
    name: "[listen]",
    tells: "Where providers reach the relay. One listener at least must take webhooks. [EDGE.md](EDGE.md) tells more.",
    example: r#"
[listen]
https = ["0.0.0.0:443", { address = "[::]:443", proxy_protocol = "from_trusted" }]
http = "0.0.0.0:80"
trusted_proxies = ["10.0.0.0/8"]
"#,
    keys: &[
        Key::new(
            "https",
            Kind::OneOrMany(&Kind::Either(&[Kind::Text, Kind::Table(&HTTPS)])),
            "An IP address and a port, such as `\"127.0.0.1:8443\"` or `\"[::]:443\"`, or a table that says more. It must be there, \
             unless `http` takes webhooks.",
        ),
        Key::new(
            "http",
            Kind::OneOrMany(&Kind::Either(&[Kind::Text, Kind::Table(&HTTP)])),
            "The same without TLS. It sends everybody to `https`, unless its table says otherwise.",
        ),
        Key::new(
            "trusted_proxies",
            Kind::List(&Kind::Text),
            "Addresses and networks whose word on the client's address counts: `Forwarded`, `X-Forwarded-For` and PROXY headers.",
        )
        .or_else("nobody's counts"),
    ],
    later: &[],
    others: Others::None,
};

static HTTPS: Table = Table {
    name: "https",
    tells: "In `[listen]`: a listener that speaks TLS.",
    example: r#"
[listen]
https = { address = "0.0.0.0:443", proxy_protocol = "required" }
trusted_proxies = ["10.0.0.0/8"]
"#,
    keys: &[Key::needed("address", Kind::Text, ADDRESS), Key::new("proxy_protocol", PROXY_PROTOCOL, PROXY_TELLS).or("\"off\"")],
    later: &[],
    others: Others::None,
};

static HTTP: Table = Table {
    name: "http",
    tells: "In `[listen]`: a listener without TLS.",
    example: r#"
[listen]
https = "0.0.0.0:443"
http = { address = "10.0.0.1:8080", serve = "webhooks" }
trusted_proxies = ["10.0.0.0/8"]
"#,
    keys: &[
        Key::needed("address", Kind::Text, ADDRESS),
        Key::new(
            "serve",
            Kind::Choice(&["redirect", "webhooks"]),
            "Whether it answers 308 to `https`, or takes webhooks. These need a loopback address or `trusted_proxies`, and come from nowhere else.",
        )
        .or("\"redirect\""),
        Key::new("proxy_protocol", PROXY_PROTOCOL, PROXY_TELLS).or("\"off\""),
    ],
    later: &[],
    others: Others::None,
};

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
    section.finish();
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
    section.finish();
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
