//! The sections about the relay itself: `[listen]`, `[tls]`, `[store]`, `[limits]` and `[log]`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::certificates;
use super::key::{Key, Kind, Others, Table};
use super::settings::{Limits, Listen, Log, LogFormat, Retention, Store, Tls};
use super::table::Section;
use super::value::Value;

/// The folder of self-signed certificates, beside relay.toml.
const SELF_SIGNED_FOLDER: &str = "certs";
/// Larger than any provider's webhook; keeps one body from taking the memory.
const BODY_BYTES_DEFAULT: u64 = 10 << 20;
/// A body is held in memory while it is received and stored.
pub(super) const BODY_BYTES: RangeInclusive<u64> = 1..=1 << 30;
/// Of all bodies at once.
const BODY_BYTES_IN_FLIGHT_DEFAULT: u64 = 256 << 20;
const BODY_BYTES_IN_FLIGHT: RangeInclusive<u64> = 1..=1 << 40;
/// More than a process may have files open on most systems.
const CONNECTIONS_MAX: u64 = 1_000_000;
const CONNECTIONS_DEFAULT: usize = 10_000;
/// Slower than any network that a provider has; faster than somebody who holds connections open.
const BODY_BYTES_PER_SECOND_DEFAULT: u64 = 1000;
const BODY_BYTES_PER_SECOND: RangeInclusive<u64> = 1..=1 << 30;
/// Deliveries that are counted.
const PENDING: RangeInclusive<u64> = 1..=u32::MAX as u64;

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

pub(super) static LISTEN: Table = Table {
    name: "[listen]",
    tells: "Where providers reach the relay.",
    example: r#"
[listen]
https = "0.0.0.0:443"
"#,
    keys: &[Key::needed("https", Kind::Text, "An IP address and a port, such as `\"127.0.0.1:8443\"` or `\"[::]:443\"`.")],
    later: &["http", "trusted_proxies"],
    others: Others::None,
};

pub(super) static TLS: Table = Table {
    name: "[tls]",
    tells: "The certificates of `listen.https`, and of the admin address with `tls = true`. They are chosen by the name that a client \
            asks for; the first is for clients that name none. Either `certificates` or `self_signed = true` must be there.",
    example: r#"
[tls]
certificates = [{ cert = "certs/hooks.pem", key = "certs/hooks-key.pem" }]
"#,
    keys: &[
        Key::new("certificates", Kind::List(&Kind::Table(&certificates::PAIR)), "PEM files. Providers must trust them."),
        Key::new(
            "self_signed",
            Kind::Boolean,
            "Makes a certificate in `certs/` at the first start. For trying out: refused where `listen.https` is not loopback.",
        )
        .or("false"),
    ],
    later: &[],
    others: Others::None,
};

pub(super) static STORE: Table = Table {
    name: "[store]",
    tells: "Where events are kept until they are delivered, and after. `docs/STORAGE.md` tells how.",
    example: r#"
[store]
path = "data"
max_bytes = "20GiB"
retention = { delivered = "14d", parked = "90d" }
"#,
    keys: &[
        Key::new("path", Kind::Text, "The folder, on a local disk. It is made where it is missing.").or("\"data\""),
        Key::new(
            "max_bytes",
            Kind::Size(STORE_BYTES_MIN..=STORE_BYTES_MAX),
            "What it may take on its disk. Events have half of it, without 384 MiB for the journal. Near the end, the oldest delivered \
             events go, whatever their age; where nothing can go, new events are refused with 503.",
        )
        .or_else("what the disk has"),
        Key::new("retention", Kind::Table(&RETENTION), "How long what is stored is kept."),
    ],
    later: &[],
    others: Others::None,
};

static RETENTION: Table = Table {
    name: "retention",
    tells: "In `[store]`: how long what is stored is kept. What is pending or in flight never goes.",
    example: r#"
[store]
retention = { delivered = "30d", parked = "180d", quarantined = "7d", delivered_bytes = "5GiB" }
"#,
    keys: &[
        Key::new(
            "delivered",
            Kind::Duration(RETENTION_MIN..=RETENTION_MAX),
            "An event goes so long after the last of its deliveries was delivered or cancelled; one that was never routed, after it came.",
        )
        .or("\"14d\""),
        Key::new("parked", Kind::Duration(RETENTION_MIN..=RETENTION_MAX), "The same for events with a parked delivery.").or("\"90d\""),
        Key::new(
            "quarantined",
            Kind::Duration(RETENTION_MIN..=RETENTION_MAX),
            "Requests that were not believed. A source has at most 10,000 of them, and 256 MiB.",
        )
        .or("\"3d\""),
        Key::new(
            "delivered_bytes",
            Kind::Size(RETENTION_BYTES_MIN..=STORE_BYTES_MAX),
            "Beyond so many bytes of events that are delivered or cancelled, the oldest go earlier.",
        ),
    ],
    later: &[],
    others: Others::None,
};

pub(super) static LIMITS: Table = Table {
    name: "[limits]",
    tells: "Bounds of the whole relay.",
    example: r#"
[limits]
body = "2MiB"
connections = 5000
"#,
    keys: &[
        Key::new(
            "body",
            Kind::Size(BODY_BYTES),
            "One body; a source can say its own. A larger one is refused with 413, never cut.",
        )
        .or("\"10MiB\""),
        Key::new("body_bytes_in_flight", Kind::Size(BODY_BYTES_IN_FLIGHT), "All bodies that are being received or stored.")
            .or("\"256MiB\""),
        Key::new("connections", Kind::Integer(1..=CONNECTIONS_MAX), "Connections of providers at once.").or("10000"),
        Key::new(
            "body_rate",
            Kind::Size(BODY_BYTES_PER_SECOND),
            "In a second: a body that comes more slowly, after 10 s of grace, is refused with 408.",
        )
        .or("\"1000B\""),
        Key::new("pending", Kind::Integer(PENDING), "Deliveries that wait. With so many, new events are refused with 503.")
            .or_else("as many as there is room for"),
    ],
    later: &[],
    others: Others::None,
};

pub(super) static LOG: Table = Table {
    name: "[log]",
    tells: "What is logged, to standard error: one line a fact, never a secret, a header's value or a body.",
    example: r#"
[log]
level = "info"
format = "json"
"#,
    keys: &[
        Key::new("level", Kind::Choice(&["error", "warn", "info", "debug", "trace"]), "How much.").or("\"info\""),
        Key::new("format", Kind::Choice(&["text", "json"]), "For people, or for programs.").or("\"text\""),
    ],
    later: &[],
    others: Others::None,
};

pub(super) fn listen(mut section: Section<'_>) -> Option<Listen> {
    let https = section.require("https", "write https = \"127.0.0.1:8443\", or \"0.0.0.0:443\" to be reached from elsewhere");
    let https = https.and_then(|value| address(&value));
    section.finish();
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
    section.finish();
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
    section.finish();
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
    section.finish();
    retention
}

pub(super) fn limits(mut section: Section<'_>) -> Limits {
    let written = section.take("body_bytes_in_flight");
    let in_flight = written.as_ref().and_then(|value| value.size(BODY_BYTES_IN_FLIGHT)).unwrap_or(BODY_BYTES_IN_FLIGHT_DEFAULT);
    let limits = Limits {
        body_bytes: section.or("body", BODY_BYTES_DEFAULT.min(in_flight), |value| body(&value, in_flight)),
        body_bytes_in_flight: in_flight,
        connections: section.or("connections", CONNECTIONS_DEFAULT, |value| {
            value.integer(1..=CONNECTIONS_MAX).and_then(|n| usize::try_from(n).ok())
        }),
        body_bytes_per_second: section.or("body_rate", BODY_BYTES_PER_SECOND_DEFAULT, |value| value.size(BODY_BYTES_PER_SECOND)),
        pending: section.take("pending").and_then(|value| value.integer(PENDING)),
    };
    section.finish();
    limits
}

/// The bytes of one body, which must fit into those of all.
pub(super) fn body(value: &Value<'_>, in_flight: u64) -> Option<u64> {
    let bytes = value.size(BODY_BYTES)?;
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
    section.finish();
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
