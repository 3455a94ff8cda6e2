//! `[tls.acme]`: which certificates are asked for, of which CA, and how it is shown that their names lead here.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::DnsName;
use url::{Host, Url};

use super::key::{Key, Kind, Others, Table};
use super::settings::{Acme, Challenge, ExternalAccount, Listen, Serve};
use super::value::Value;
use super::{certificates, secret, web};
use crate::signature::Secret;

/// Each has a certificate of its own, and the CA is asked for one after another.
const HOSTS_MAX: usize = 100;
/// Let's Encrypt: free of charge, and trusted everywhere.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Where a CA comes to for each challenge, always (RFC 8555 §8.3, RFC 8737 §3).
const HTTP_PORT: u16 = 80;
const TLS_PORT: u16 = 443;

pub(super) static KEYS: Table = Table {
    name: "[tls.acme]",
    tells: "Certificates that the relay asks a CA for (ACME, RFC 8555), renews in time, and keeps in the store's folder. They are shown to \
            clients that ask for these hosts; `certificates` may stand beside. [EDGE.md](EDGE.md#certificates-by-acme) tells more.",
    example: r#"
[listen]
https = "0.0.0.0:443"

[tls.acme]
hosts = ["hooks.example.com"]
email = "ops@example.com"
terms_agreed = true
"#,
    keys: &[
        Key::needed("hosts", Kind::List(&Kind::Text), "The names. Each has a certificate of its own, and must lead to this relay."),
        Key::needed(
            "terms_agreed",
            Kind::Boolean,
            "`true`: you have read the terms of the CA, and agree. The relay cannot do that for you.",
        ),
        Key::new("email", Kind::Text, "Where the CA writes to, if it must."),
        Key::new("directory", Kind::Text, "Where the CA is asked.").or("\"https://acme-v02.api.letsencrypt.org/directory\""),
        Key::new("ca", Kind::Text, "A file with the only roots that are trusted, for `directory` alone.").or_else("those of the web"),
        Key::new(
            "challenge",
            Kind::Choice(&["auto", "tls-alpn-01", "http-01"]),
            "How it is shown that a name leads here: on port 443 within TLS, on port 80 by a listener of `listen.http` that redirects, or \
             whichever can be; where one fails, the other is tried next.",
        )
        .or("\"auto\""),
        Key::new("external_account", Kind::Table(&EXTERNAL), "For a CA that knows its customers already."),
    ],
    later: &[],
    others: Others::None,
};

static EXTERNAL: Table = Table {
    name: "external_account",
    tells: "In `[tls.acme]`: what a CA gave its customer for this (external account binding).",
    example: r#"
[listen]
https = "0.0.0.0:443"

[tls.acme]
hosts = ["hooks.example.com"]
terms_agreed = true
directory = "https://acme.example.net/directory"
external_account = { key_id = "kid-1", key = { env = "ACME_EAB_KEY" } }
"#,
    keys: &[
        Key::needed("key_id", Kind::Text, "The key's id."),
        Key::needed("key", Kind::Table(&secret::LASTING), "The key, in base64url, as such CAs give it."),
    ],
    later: &[],
    others: Others::None,
};

/// `listen`: who could answer the CA.
pub(super) fn prove(value: &Value<'_>, listen: Option<&Listen>) -> Option<Acme> {
    let mut section = value.inner()?;
    let hosts = section.require("hosts", "write hosts = [\"hooks.example.com\"]").and_then(|value| hosts(&value));
    let terms = section.require("terms_agreed", "write terms_agreed = true when you have read the CA's terms, and agree");
    let contact = section.take("email").map(|value| contact(&value));
    let written = section.take("directory");
    let directory = written.as_ref().map_or_else(|| Url::parse(DIRECTORY).ok(), directory);
    let ca = section.take("ca").map(|value| certificates::roots(&value));
    let challenge = section.take("challenge");
    let choices = [("auto", None), ("tls-alpn-01", Some(Challenge::TlsAlpn)), ("http-01", Some(Challenge::Http))];
    let chosen = challenge.as_ref().map_or(Some(None), |value| value.choice(&choices));
    let external = section.take("external_account").map(|value| external_account(&value));
    section.finish();
    let is_agreed = terms.and_then(|value| match value.boolean()? {
        true => Some(()),
        false => value.error_help("is false", Some("read the CA's terms; without it no certificate can be asked for".to_owned())),
    });
    let at = challenge.as_ref().unwrap_or(value);
    let challenges = chosen.zip(listen).and_then(|(chosen, listen)| challenges(at, chosen, listen, ca.is_some()));
    is_agreed?;
    Some(Acme {
        hosts: hosts?,
        contact: contact.map_or(Some(None), |contact| contact.map(Some))?,
        directory: directory?,
        ca: ca.map_or(Some(None), |ca| ca.map(Some))?,
        challenges: challenges?,
        external_account: external.map_or(Some(None), |external| external.map(Some))?,
    })
}

fn hosts(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.list()?;
    if items.is_empty() {
        return value
            .error_help("is empty: there is nothing to ask for", Some("write hosts = [\"hooks.example.com\"]".to_owned()));
    }
    if items.len() > HOSTS_MAX {
        return value.error(&format!("has more than {HOSTS_MAX} names"));
    }
    let mut hosts: Vec<String> = Vec::with_capacity(items.len());
    let mut is_right = true;
    for item in &items {
        match host(item) {
            Some(host) if hosts.contains(&host) => is_right = item.error::<()>("is there twice").is_some(),
            Some(host) => hosts.push(host),
            None => is_right = false,
        }
    }
    is_right.then_some(hosts)
}

/// A name as clients ask for it: lower case, international ones in their ASCII form.
fn host(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if text.contains('*') {
        let help = "name each host by itself, or give certificates = [...]".to_owned();
        return value.error_help("is a wildcard: a CA gives such a certificate by DNS-01 only", Some(help));
    }
    if text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok() {
        return value
            .error_help("is an address: certificates are asked for names", Some("write a name that leads there".to_owned()));
    }
    let name = match Host::parse(text) {
        Ok(Host::Domain(name)) if !name.ends_with('.') => name,
        _ => return value.error("must be a host name without scheme and port, such as \"hooks.example.com\""),
    };
    match DnsName::try_from(name.as_str()) {
        Ok(_) => Some(name),
        Err(_) => value.error("is no name that a certificate can have"),
    }
}

fn contact(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"<>,;:?&\"\\%".contains(&b));
    match text.split_once('@') {
        Some((user, host)) if !user.is_empty() && !host.is_empty() && !host.contains('@') && is_plain(text) => {
            Some(format!("mailto:{text}"))
        }
        _ => value.error("must be one address, such as \"ops@example.com\""),
    }
}

/// What is asked for there decides whom clients trust, so nobody on the way may say it.
fn directory(value: &Value<'_>) -> Option<Url> {
    let url = web::base(value)?;
    if url.scheme() != "https" { value.error("must start with https://") } else { Some(url) }
}

/// In which order they are tried. `is_private`: the CA may come to other ports than those of the web do.
fn challenges(value: &Value<'_>, chosen: Option<Challenge>, listen: &Listen, is_private: bool) -> Option<Vec<Challenge>> {
    const NOBODY: &str = "has nothing to ask for: no listener speaks TLS";
    let of_http = || listen.listeners.iter().filter(|listener| listener.serve == Serve::Redirect);
    if listen.https().next().is_none() {
        return value.error_help(NOBODY, Some("write [listen] https = \"0.0.0.0:443\"".to_owned()));
    }
    let is_on_443 = listen.https().any(|address| address.port() == TLS_PORT);
    let is_on_80 = of_http().any(|listener| listener.address.port() == HTTP_PORT);
    let challenges = match chosen {
        Some(Challenge::TlsAlpn) => vec![Challenge::TlsAlpn],
        Some(Challenge::Http) if of_http().next().is_none() => {
            let help = "write [listen] http = \"0.0.0.0:80\": a CA comes to port 80".to_owned();
            return value.error_help("needs a listener of listen.http that redirects", Some(help));
        }
        Some(Challenge::Http) => vec![Challenge::Http],
        None if of_http().next().is_none() => vec![Challenge::TlsAlpn],
        None if is_on_80 && !is_on_443 => vec![Challenge::Http, Challenge::TlsAlpn],
        None => vec![Challenge::TlsAlpn, Challenge::Http],
    };
    let (key, port, has_port) = match challenges.first() {
        Some(Challenge::Http) => ("http", HTTP_PORT, is_on_80),
        _ => ("https", TLS_PORT, is_on_443),
    };
    if !has_port && !is_private {
        let help = format!("something must pass it on to listen.{key}");
        value.warn(&format!("makes the CA come to port {port} of each host, where the relay does not listen"), Some(help));
    }
    Some(challenges)
}

fn external_account(value: &Value<'_>) -> Option<ExternalAccount> {
    let mut section = value.inner()?;
    let key_id = section.require("key_id", "write key_id = \"...\", as the CA gave it");
    let key = section.require("key", "write key = { env = \"NAME\" } or { file = \"PATH\" }");
    section.finish();
    let key_id = key_id.and_then(|value| value.text().map(str::to_owned));
    let key = key.and_then(|value| {
        let written = secret::read_lasting(&value)?;
        let text = written.expose().trim_ascii();
        let unpadded = text.iter().rposition(|b| *b != b'=').map_or(text, |last| &text[..=last]);
        let decoded = URL_SAFE_NO_PAD.decode(unpadded).ok().and_then(|key| Secret::try_new(key, None).ok());
        decoded.or_else(|| value.error("is not base64url"))
    });
    Some(ExternalAccount { key_id: key_id?, key: key? })
}
