//! The sections about the relay itself: `[tls]`, `[admin]`, `[store]`, `[limits]` and `[log]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::listen::{self, address, clash, is_loopback};
use super::settings::{Admin, Limits, Listen, Log, LogFormat, Retention, Role, Store, Tls, TlsVersion, Token};
use super::table::Section;
use super::value::Value;
use super::{certificates, secret};
use crate::record::Name;

/// Where the admin listener is when nothing is said: for this machine only.
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9443);
/// The folder of self-signed certificates, beside relay.toml.
const SELF_SIGNED_FOLDER: &str = "certs";
/// Larger than any provider's webhook; keeps one body from taking the memory.
const BODY_BYTES_DEFAULT: u64 = 10 << 20;
/// A body is held in memory while it is received and stored.
pub(super) const BODY_BYTES_MAX: u64 = 1 << 30;
/// Of all bodies at once.
const BODY_BYTES_IN_FLIGHT_DEFAULT: u64 = 256 << 20;
/// More than a process may have files open on most systems.
const CONNECTIONS_MAX: u64 = 1_000_000;
const CONNECTIONS_DEFAULT: usize = 10_000;
/// Slower than any network that a provider has; faster than somebody who holds connections open.
const BODY_BYTES_PER_SECOND_DEFAULT: u64 = 1000;

/// The journal takes half of it, whatever is stored: see `store/space.rs`.
const STORE_BYTES_MIN: u64 = 512 << 20;
/// More than a machine has.
const STORE_BYTES_MAX: u64 = 1 << 50;
/// What people ask about after a holiday; what waits for them may wait for longer.
const RETENTION_DEFAULT: Retention = Retention {
    done: DAY.saturating_mul(14),
    parked: DAY.saturating_mul(90),
    done_bytes: None,
    quarantined: DAY.saturating_mul(3),
};
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Short enough to keep next to nothing.
const RETENTION_MIN: Duration = Duration::from_secs(1);
/// As good as for ever.
const RETENTION_MAX: Duration = DAY.saturating_mul(36_500);
/// Less keeps nothing: one event can have more.
const RETENTION_BYTES_MIN: u64 = 1 << 20;

/// `listen`: whom the certificates are for.
pub(super) fn tls(mut section: Section<'_>, folder: PathBuf, listen: Option<&Listen>) -> Option<(Tls, TlsVersion)> {
    let certificates = section.take("certificates");
    let self_signed = section.take("self_signed");
    let tls = match (&certificates, self_signed.as_ref().map(|value| (value, value.boolean()))) {
        (Some(_), Some((value, Some(true)))) => value.error("is true beside certificates: one of them must go"),
        (Some(list), _) => pairs(list).map(Tls::Certificates),
        (None, Some((value, Some(true)))) => {
            if listen.is_some_and(|listen| listen.https().any(|https| !is_loopback(https))) {
                let help = "nobody trusts such a certificate: give certificates = [...]".to_owned();
                value.error_help::<()>("is for loopback addresses only", Some(help));
            }
            Some(Tls::SelfSigned { folder: folder.join(SELF_SIGNED_FOLDER) })
        }
        (None, Some((_, None))) => None,
        // Nobody is shown one, but for the admin listener: see there.
        (None, None) if listen.is_some_and(|listen| listen.https().next().is_none()) => Some(Tls::Certificates(Vec::new())),
        (None, None | Some((_, Some(false)))) => {
            const WRITE: &str = "write certificates = [{ cert = \"FILE\", key = \"FILE\" }], or self_signed = true to try it out";
            section.error("there is no certificate", Some(WRITE.to_owned()));
            None
        }
    };
    let versions = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
    let min = section.or("min_version", TlsVersion::default(), |value| value.choice(&versions));
    section.finish(&[]);
    tls.map(|tls| (tls, min))
}

fn pairs(list: &Value<'_>) -> Option<Vec<super::settings::CertificateFiles>> {
    let items = list.list()?;
    if items.is_empty() {
        return list.error("is empty");
    }
    Some(items.iter().filter_map(certificates::pair).collect())
}

pub(super) fn admin(mut section: Section<'_>, public: Option<&Listen>, certificates: Option<&Tls>) -> Admin {
    let written = section.take("listen");
    let listen = written.as_ref().and_then(address).unwrap_or(ADMIN_LISTEN);
    let tls = section.or("tls", false, |value| value.boolean());
    let tokens = section.or("tokens", Vec::new(), |value| tokens(&value));
    if let Some(value) = &written {
        if !is_loopback(listen) && !tls {
            value.error::<()>("is not a loopback address: it needs tls = true");
        }
        if !is_loopback(listen) && tokens.is_empty() {
            let help = "write tokens = [{ name = \"ops\", role = \"operator\", secret = { file = \"PATH\" } }]".to_owned();
            value.error_help::<()>("is not a loopback address: it needs a token", Some(help));
        }
    }
    let same = public.and_then(|public| public.listeners.iter().find(|other| clash(other.address, listen)));
    if let Some(same) = same {
        let key = if same.is_https { "https" } else { "http" };
        section.error(&format!("its address {listen} is that of listen.{key}, too"), None);
    }
    if tls && matches!(certificates, Some(Tls::Certificates(files)) if files.is_empty()) {
        section.error("tls needs a certificate", Some("write [tls] certificates = [{ cert = \"FILE\", key = \"FILE\" }]".into()));
    }
    section.finish(&[]);
    Admin { listen, tls, tokens }
}

fn tokens(value: &Value<'_>) -> Option<Vec<Token>> {
    let mut tokens: Vec<Token> = Vec::new();
    for item in value.list()? {
        let Some(token) = token(&item) else { continue };
        if tokens.iter().any(|t| t.name == token.name) {
            item.error::<()>("has the name of another token");
        }
        tokens.push(token);
    }
    Some(tokens)
}

fn token(value: &Value<'_>) -> Option<Token> {
    let mut section = value.inner()?;
    let name = section.require("name", "write name = \"ops\": logs show it").and_then(|value| name(&value));
    let role = section.require("role", "write role = \"viewer\" or \"operator\"");
    let role = role.and_then(|value| value.choice(&[("viewer", Role::Viewer), ("operator", Role::Operator)]));
    let written = section.require("secret", "write secret = { file = \"PATH\" } or { env = \"NAME\" }");
    let secret = written.as_ref().and_then(secret::read);
    section.finish(&[]);
    let (name, role, secret) = (name?, role?, secret?);
    if !secret.expose().iter().all(u8::is_ascii_graphic) {
        return written?.error("has characters that no Authorization header can hold");
    }
    Some(Token { name, role, secret })
}

fn name(value: &Value<'_>) -> Option<Name> {
    Name::try_new(value.text()?).map_or_else(|bad| value.error(&format!("cannot be used: {bad}")), Some)
}

pub(super) fn store(mut section: Section<'_>, folder: PathBuf) -> Store {
    let path = section.take("path").and_then(|value| value.text());
    let max_bytes = section.take("max_bytes").and_then(|value| value.size(STORE_BYTES_MIN..=STORE_BYTES_MAX));
    let retention = section.take("retention").and_then(|value| value.inner()).map_or(RETENTION_DEFAULT, retention);
    if let (Some(max), Some(done)) = (max_bytes, retention.done_bytes)
        && done >= max
    {
        section.error("retention.delivered_bytes is not less than max_bytes: it would have no effect", None);
    }
    section.finish(&[]);
    Store { path: folder.join(path.unwrap_or("data")), max_bytes, retention }
}

fn retention(mut section: Section<'_>) -> Retention {
    let default = RETENTION_DEFAULT;
    let time = |value: Value<'_>| value.duration(RETENTION_MIN..=RETENTION_MAX);
    let retention = Retention {
        done: section.or("delivered", default.done, time),
        parked: section.or("parked", default.parked, time),
        done_bytes: section.take("delivered_bytes").and_then(|value| value.size(RETENTION_BYTES_MIN..=STORE_BYTES_MAX)),
        quarantined: section.or("quarantined", default.quarantined, time),
    };
    section.finish(&[]);
    retention
}

pub(super) fn limits(mut section: Section<'_>) -> Limits {
    let written = section.take("body_bytes_in_flight");
    let in_flight = written.as_ref().and_then(|value| value.size(1..=1 << 40)).unwrap_or(BODY_BYTES_IN_FLIGHT_DEFAULT);
    let connections = section
        .or("connections", CONNECTIONS_DEFAULT, |value| value.integer(1..=CONNECTIONS_MAX).and_then(|n| usize::try_from(n).ok()));
    let limits = Limits {
        body_bytes: section.or("body", BODY_BYTES_DEFAULT.min(in_flight), |value| body(&value, in_flight)),
        body_bytes_in_flight: in_flight,
        connections,
        body_bytes_per_second: section.or("body_rate", BODY_BYTES_PER_SECOND_DEFAULT, |value| value.size(1..=1 << 30)),
        pending: section.take("pending").and_then(|value| value.integer(1..=u64::from(u32::MAX))),
        edge: listen::limits(&mut section, connections),
    };
    section.finish(&[]);
    limits
}

/// The bytes of one body, which must fit into those of all.
pub(super) fn body(value: &Value<'_>, in_flight: u64) -> Option<u64> {
    let bytes = value.size(1..=BODY_BYTES_MAX)?;
    if bytes > in_flight {
        return value.error("is more than limits.body_bytes_in_flight: such a body could never be received");
    }
    Some(bytes)
}

pub(super) fn log(mut section: Section<'_>) -> Log {
    use tracing::Level;
    let levels =
        [("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO), ("debug", Level::DEBUG), ("trace", Level::TRACE)];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log = Log {
        level: section.or("level", Level::INFO, |value| value.choice(&levels)),
        format: section.or("format", LogFormat::Text, |value| value.choice(&formats)),
    };
    section.finish(&[]);
    log
}
