//! The sections about the relay itself: `[listen]`, `[tls]`, `[store]`, `[limits]` and `[log]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::certificates;
use super::settings::{Limits, Listen, Log, LogFormat, Retention, Store, Tls};
use super::table::Section;
use super::value::Value;

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

pub(super) fn listen(mut section: Section<'_>) -> Option<Listen> {
    let https = section.require("https", "write https = \"127.0.0.1:8443\", or \"0.0.0.0:443\" to be reached from elsewhere");
    let https = https.and_then(|value| address(&value));
    section.finish(&["http", "trusted_proxies"]);
    https.map(|https| Listen { https })
}

/// `https`: the address that the certificates are for.
pub(super) fn tls(mut section: Section<'_>, folder: PathBuf, https: Option<SocketAddr>) -> Option<Tls> {
    let certificates = section.take("certificates");
    let self_signed = section.take("self_signed");
    let tls = match (&certificates, self_signed.as_ref().map(|value| (value, value.boolean()))) {
        (Some(_), Some((value, Some(true)))) => value.error("is true beside certificates: one of them must go"),
        (Some(list), _) => pairs(list).map(Tls::Certificates),
        (None, Some((value, Some(true)))) => {
            if https.is_some_and(|https| !is_loopback(https)) {
                let help = "nobody trusts such a certificate: give certificates = [...]".to_owned();
                value.error_help::<()>("is for loopback addresses only", Some(help));
            }
            Some(Tls::SelfSigned { folder: folder.join(SELF_SIGNED_FOLDER) })
        }
        (None, Some((_, None))) => None,
        (None, None | Some((_, Some(false)))) => {
            const WRITE: &str = "write certificates = [{ cert = \"FILE\", key = \"FILE\" }], or self_signed = true to try it out";
            section.error("there is no certificate", Some(WRITE.to_owned()));
            None
        }
    };
    section.finish(&[]);
    tls
}

fn pairs(list: &Value<'_>) -> Option<Vec<super::settings::CertificateFiles>> {
    let items = list.list()?;
    if items.is_empty() {
        return list.error("is empty");
    }
    Some(items.iter().filter_map(certificates::pair).collect())
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
    let limits = Limits {
        body_bytes: section.or("body", BODY_BYTES_DEFAULT.min(in_flight), |value| body(&value, in_flight)),
        body_bytes_in_flight: in_flight,
        connections: section.or("connections", CONNECTIONS_DEFAULT, |value| {
            value.integer(1..=CONNECTIONS_MAX).and_then(|n| usize::try_from(n).ok())
        }),
        body_bytes_per_second: section.or("body_rate", BODY_BYTES_PER_SECOND_DEFAULT, |value| value.size(1..=1 << 30)),
        pending: section.take("pending").and_then(|value| value.integer(1..=u64::from(u32::MAX))),
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
