//! `[alerts]`: when the relay says by itself that something is wrong, and to whom.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::key::{Key, Kind, Others, Table};
use super::settings::{Alerts, Form, Receiver};
use super::table::Section;
use super::value::Value;
use super::{certificates, secret, sign, web};
use crate::alarm::{Burst, Damping, Growth, Rules};
use crate::record::Name;
use crate::signature::{BadResigner, Resigner, preset};

/// A message to more is a mailing list's work.
const RECEIVERS_MAX: usize = 16;
/// Each look reads a few numbers of each destination.
const LOOK_EVERY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const LOOK_EVERY_DEFAULT: Duration = Duration::from_secs(5);
/// A message is short, and who takes it has nothing to do for it.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a condition holds, or holds no more.
const HOLD: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// Thresholds in time: shorter ones would be crossed by a look.
const TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY.saturating_mul(30);
const REPEAT: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY.saturating_mul(365);
/// Longer than any certificate counts.
const CERTIFICATE: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY.saturating_mul(3650);
const COUNT: RangeInclusive<u64> = 1..=1_000_000_000;
const PART: RangeInclusive<f64> = 0.01..=1.0;
const DISK: RangeInclusive<u64> = 1 << 20..=1 << 50;

pub(super) static KEYS: Table = Table {
    name: "[alerts]",
    tells: "When the relay says by itself that something is wrong, and to whom. Without this table nothing alarms; with it, each threshold \
            counts as it stands here, and `\"off\"` leaves one out. [ALARMS.md](ALARMS.md) tells more.",
    example: r#"
[alerts]
to = [
    { url = { env = "SLACK_WEBHOOK_URL" }, form = "slack" },
    { url = "https://ops.example.com/hooks", form = "standard-webhooks", secret = { file = "/run/secrets/alerts" } },
]
destination_failing = "5m"
deliveries_parked = { count = 100, within = "1h" }
quota_near = "off"
"#,
    keys: &[
        Key::new("to", Kind::List(&Kind::Table(&RECEIVER)), "Who hears of alarms. Without anybody they are shown only."),
        Key::new("name", Kind::Text, "What this relay is called in messages.").or_else("nothing"),
        Key::new("look_every", Kind::Duration(LOOK_EVERY), "How often the facts are looked at.").or("\"5s\""),
        Key::new("begin_after", Kind::Duration(HOLD), "A condition without a time of its own must hold for so long.")
            .or("\"30s\""),
        Key::new("end_after", Kind::Duration(HOLD), "An alarm ends after its condition has not held for so long.").or("\"1m\""),
        Key::new("repeat", Kind::Duration(REPEAT), "What goes on is told again so often.").or("\"4h\""),
        Key::new("cool_down", Kind::Duration(HOLD), "What begins again within this time after its end is not told at once.")
            .or("\"10m\""),
        Key::new(
            "bad_signatures",
            Kind::Either(&[OFF, Kind::Table(&BURST)]),
            "A source gets many requests that it cannot verify.",
        )
        .or("{ count = 20, share = 0.2, within = \"10m\" }"),
        Key::new(
            "destination_failing",
            Kind::Either(&[OFF, Kind::Duration(TIME)]),
            "An application took nothing for so long, and attempts failed.",
        )
        .or("\"10m\""),
        Key::new("breaker_open", Kind::Either(&[OFF, Kind::Duration(TIME)]), "An application gave no answer for so long.")
            .or("\"5m\""),
        Key::new("deliveries_overdue", Kind::Either(&[OFF, Kind::Duration(TIME)]), "A delivery has been due for so long.")
            .or("\"15m\""),
        Key::new(
            "deliveries_parked",
            Kind::Either(&[OFF, Kind::Table(&GROWTH)]),
            "Many deliveries of a destination were parked.",
        )
        .or("{ count = 10, within = \"1h\" }"),
        Key::new("quota_near", Kind::Either(&[OFF, Kind::Number(PART)]), "The store has so large a part of `store.max_bytes`.")
            .or("0.8"),
        Key::new("disk_nearly_full", Kind::Either(&[OFF, Kind::Size(DISK)]), "Its disk has less than this free.").or("\"1GiB\""),
        Key::new(
            "certificate_expiring",
            Kind::Either(&[OFF, Kind::Duration(CERTIFICATE)]),
            "A certificate ends within this time.",
        )
        .or("\"14d\""),
        Key::new(
            "certificate_not_issued",
            Kind::Either(&[OFF, Kind::Duration(TIME)]),
            "A host of `[tls.acme]` gets no new certificate for so long. One that has none alarms after 5 minutes.",
        )
        .or("\"2h\""),
        Key::new("store_not_ready", Kind::Either(&[OFF, Kind::Duration(HOLD)]), "Nothing can be stored for so long.")
            .or("\"30s\""),
        Key::new(
            "store_damaged",
            Kind::Either(&[OFF, Kind::Integer(COUNT)]),
            "So many records could not be read since the start.",
        )
        .or("1"),
    ],
    later: &[],
    others: Others::None,
};

/// Leaves a threshold out.
const OFF: Kind = Kind::Choice(&["off"]);

static RECEIVER: Table = Table {
    name: "alerts.to",
    tells: "Who hears of alarms.",
    example: r#"
[alerts]
to = [{ url = { file = "/run/secrets/slack-url" }, form = "slack", timeout = "5s" }]
"#,
    keys: &[
        Key::needed(
            "url",
            Kind::Either(&[Kind::Text, Kind::Table(&secret::LASTING)]),
            "The address; where it is a secret, where that is.",
        ),
        Key::needed(
            "form",
            Kind::Choice(&["slack", "standard-webhooks"]),
            "How a message is written: for Slack and what is like it, or as a signed Standard Webhook.",
        ),
        Key::new(
            "secret",
            Kind::Table(&secret::KEYS),
            "With `standard-webhooks`: what it is signed with. One of `secret` and `secrets` must be there.",
        ),
        Key::new("secrets", Kind::List(&Kind::Table(&secret::KEYS)), "Several, while one is replaced."),
        Key::new("timeout", Kind::Duration(TIMEOUT), "How long it may take to answer.").or("\"10s\""),
        Key::new("ca", Kind::Text, "A file with the only roots that are trusted.").or_else("those of the web"),
    ],
    later: &[],
    others: Others::None,
};

static BURST: Table = Table {
    name: "bad_signatures",
    tells: "In `[alerts]`: so many of so many.",
    example: r#"
[alerts]
bad_signatures = { count = 100, share = 0.5, within = "5m" }
"#,
    keys: &[
        Key::new("count", Kind::Integer(COUNT), "At least so many requests.").or("20"),
        Key::new("share", Kind::Number(0.0..=1.0), "At least this part of all.").or("0.2"),
        Key::new("within", Kind::Duration(TIME), "In this time.").or("\"10m\""),
    ],
    later: &[],
    others: Others::None,
};

static GROWTH: Table = Table {
    name: "deliveries_parked",
    tells: "In `[alerts]`: so many more within a time.",
    example: r#"
[alerts]
deliveries_parked = { count = 100, within = "1h" }
"#,
    keys: &[
        Key::new("count", Kind::Integer(COUNT), "At least so many.").or("10"),
        Key::new("within", Kind::Duration(TIME), "In this time.").or("\"1h\""),
    ],
    later: &[],
    others: Others::None,
};

pub(super) fn prove(mut section: Section<'_>) -> Option<Arc<Alerts>> {
    let default = Rules::default();
    let to = section.take("to").map_or(Some(Vec::new()), |value| receivers(&value));
    let name = section.take("name").and_then(|value| name(&value));
    let look_every = section.or("look_every", LOOK_EVERY_DEFAULT, |value| value.duration(LOOK_EVERY));
    let mut time = |key, default: Option<Duration>, range: RangeInclusive<Duration>| {
        off_or(&mut section, key, default, |value| value.duration(range))
    };
    let destination_failing = time("destination_failing", default.destination_failing, TIME);
    let breaker_open = time("breaker_open", default.breaker_open, TIME);
    let deliveries_overdue = time("deliveries_overdue", default.deliveries_overdue, TIME);
    let store_not_ready = time("store_not_ready", default.store_not_ready, HOLD);
    let certificate_not_issued = time("certificate_not_issued", default.certificate_not_issued, TIME);
    let certificate_expiring = time("certificate_expiring", default.certificate_expiring, CERTIFICATE);
    let rules = Rules {
        damping: damping(&mut section),
        bad_signatures: off_or(&mut section, "bad_signatures", default.bad_signatures, |value| burst(&value)),
        destination_failing,
        breaker_open,
        deliveries_overdue,
        deliveries_parked: off_or(&mut section, "deliveries_parked", default.deliveries_parked, |value| growth(&value)),
        quota_near: off_or(&mut section, "quota_near", default.quota_near, |value| value.number(PART)),
        disk_nearly_full: off_or(&mut section, "disk_nearly_full", default.disk_nearly_full, |value| value.size(DISK)),
        certificate_expiring,
        certificate_not_issued,
        store_not_ready,
        store_damaged: off_or(&mut section, "store_damaged", default.store_damaged, |value| value.integer(COUNT)),
    };
    section.finish();
    Some(Arc::new(Alerts { rules, look_every, name, to: to? }))
}

/// A threshold; `"off"` leaves it out, and what is wrong was reported.
fn off_or<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    default: Option<T>,
    read: impl FnOnce(Value<'a>) -> Option<T>,
) -> Option<T> {
    match section.take(key) {
        None => default,
        Some(value) if value.is_off() => None,
        Some(value) => read(value),
    }
}

fn damping(section: &mut Section<'_>) -> Damping {
    let default = Damping::default();
    Damping {
        begin_after: section.or("begin_after", default.begin_after, |value| value.duration(HOLD)),
        end_after: section.or("end_after", default.end_after, |value| value.duration(HOLD)),
        repeat: section.or("repeat", default.repeat, |value| value.duration(REPEAT)),
        cool_down: section.or("cool_down", default.cool_down, |value| value.duration(HOLD)),
    }
}

fn name(value: &Value<'_>) -> Option<Name> {
    Name::try_new(value.text()?).map_or_else(|bad| value.error(&format!("cannot be used: {bad}")), Some)
}

fn burst(value: &Value<'_>) -> Option<Burst> {
    let default = Rules::default().bad_signatures?;
    let mut section = value.inner()?;
    let burst = Burst {
        count: section.or("count", default.count, |value| value.integer(COUNT)),
        share: section.or("share", default.share, |value| value.number(0.0..=1.0)),
        within: section.or("within", default.within, |value| value.duration(TIME)),
    };
    section.finish();
    Some(burst)
}

fn growth(value: &Value<'_>) -> Option<Growth> {
    let default = Rules::default().deliveries_parked?;
    let mut section = value.inner()?;
    let growth = Growth {
        count: section.or("count", default.count, |value| value.integer(COUNT)),
        within: section.or("within", default.within, |value| value.duration(TIME)),
    };
    section.finish();
    Some(growth)
}

fn receivers(value: &Value<'_>) -> Option<Vec<Arc<Receiver>>> {
    let items = value.list()?;
    if items.len() > RECEIVERS_MAX {
        return value.error(&format!("has more than {RECEIVERS_MAX} entries"));
    }
    // Each is read, so that the problems of all of them are found.
    let read: Vec<Option<Receiver>> = items.iter().map(receiver).collect();
    read.into_iter().map(|receiver| receiver.map(Arc::new)).collect()
}

fn receiver(value: &Value<'_>) -> Option<Receiver> {
    let mut section = value.inner()?;
    let url = section.require("url", "write url = { env = \"NAME\" }, { file = \"PATH\" }, or \"https://...\"");
    let url = url.and_then(|value| web::receiver(&value));
    let is_signed = section.require("form", "write form = \"slack\" or form = \"standard-webhooks\"");
    let is_signed = is_signed.and_then(|value| value.choice(&[("slack", false), ("standard-webhooks", true)]));
    let form = match is_signed {
        Some(true) => signed(value, &mut section).map(Form::StandardWebhooks),
        Some(false) => Some(Form::Slack),
        None => {
            // What these would mean is not known.
            let _ = (section.take("secret"), section.take("secrets"));
            None
        }
    };
    let timeout = section.or("timeout", TIMEOUT_DEFAULT, |value| value.duration(TIMEOUT));
    let ca = section.take("ca").map_or(Some(None), |value| certificates::roots(&value).map(Some));
    section.finish();
    let (url, authorization) = url?;
    Some(Receiver { url, authorization, form: form?, timeout, ca: ca? })
}

fn signed<'a>(value: &Value<'a>, section: &mut Section<'a>) -> Option<Resigner> {
    let (written, secrets) = sign::secrets(value, section, "the receiver's")?;
    let preset = preset::find("standard-webhooks")?;
    Resigner::try_new(preset, secrets).map_or_else(
        |bad| match &bad {
            BadResigner::Secret(place, bad) => written.get(*place)?.error(&format!("cannot be used: {bad}")),
            _ => value.error(&bad.to_string()),
        },
        Some,
    )
}
