//! The sections about the relay itself: `[tls]`, `[store]` and `[log]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::key::{Key, Kind, Others, Table};
use super::listen::is_loopback;
use super::settings::{Acme, Listen, Log, LogFormat, Retention, Store, Tls, TlsVersion};
use super::table::Section;
use super::value::Value;
use super::{acme, certificates};

/// The folder of self-signed certificates, beside relay.toml.
const SELF_SIGNED_FOLDER: &str = "certs";
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

pub(super) static TLS: Table = Table {
    name: "[tls]",
    tells: "The certificates of the listeners of `listen.https`, and of the admin address with `tls = true`. They are chosen by the name that a client \
            asks for; the first is for clients that name none. One of `certificates`, `acme` and `self_signed = true` must be there, unless \
            nothing is listened on that speaks TLS.",
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
        Key::new("acme", Kind::Table(&acme::KEYS), "Certificates that a CA is asked for: `[tls.acme]`."),
        Key::new("min_version", Kind::Choice(&["1.2", "1.3"]), "The oldest version of TLS that is spoken.").or("\"1.2\""),
    ],
    later: &[],
    others: Others::None,
};

pub(super) static STORE: Table = Table {
    name: "[store]",
    tells: "Where events are kept until they are delivered, and after. [STORAGE.md](STORAGE.md) tells how.",
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

/// What is shown: files, what a CA is asked for, and from which version of TLS on.
pub(super) type Shown = (Tls, Option<Arc<Acme>>, TlsVersion);

/// `listen`: whom the certificates are for.
pub(super) fn tls(mut section: Section<'_>, folder: PathBuf, listen: Option<&Listen>) -> Option<Shown> {
    let certificates = section.take("certificates");
    let self_signed = section.take("self_signed");
    let written = section.take("acme");
    let acme = written.as_ref().map(|value| acme::prove(value, listen).map(Arc::new));
    let tls = match (&certificates, self_signed.as_ref().map(|value| (value, value.boolean()))) {
        (Some(_), Some((value, Some(true)))) => value.error("is true beside certificates: one of them must go"),
        (None, Some((value, Some(true)))) if acme.is_some() => value.error("is true beside acme: one of them must go"),
        (Some(list), _) => pairs(list).map(Tls::Certificates),
        (None, Some((value, Some(true)))) => {
            if listen.is_some_and(|listen| listen.https().any(|https| !is_loopback(https))) {
                let help = "nobody trusts such a certificate: give certificates = [...]".to_owned();
                value.error_help::<()>("is for loopback addresses only", Some(help));
            }
            Some(Tls::SelfSigned { folder: folder.join(SELF_SIGNED_FOLDER) })
        }
        (None, Some((_, None))) => None,
        (None, None | Some((_, Some(false)))) if acme.is_some() => Some(Tls::Certificates(Vec::new())),
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
    section.finish();
    Some((tls?, acme.map_or(Some(None), |acme| acme.map(Some))?, min))
}

/// Whether there is, or will be, something to show.
pub(super) fn shows_any((tls, acme, _): &Shown) -> bool {
    acme.is_some() || !matches!(tls, Tls::Certificates(files) if files.is_empty())
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
