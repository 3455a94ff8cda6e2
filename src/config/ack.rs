//! `ack` of a source: what its answer waits for.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::key::{Key, Kind, Others, Table};
use super::settings::Ack;
use super::table::Section;
use super::value::Value;
use crate::record::Name;
use crate::signature::preset::Preset;

/// How long an application's answer is waited for.
const WITHIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
/// Where it is not known how long the provider waits: most wait for 10 s.
const WITHIN_DEFAULT: Duration = Duration::from_secs(8);
/// So much of the time that the provider waits; the rest is for the way there and back.
const PART: u32 = 4;
const PARTS: u32 = 5;

/// Which answer the sender hears.
#[derive(Clone, Copy)]
enum Mode {
    Stored,
    Upstream,
    UpstreamElseStored,
}

const MODES: [(&str, Mode); 3] =
    [("stored", Mode::Stored), ("upstream", Mode::Upstream), ("upstream-else-stored", Mode::UpstreamElseStored)];

/// The words alone.
pub(super) const WORDS: Kind = Kind::Choice(&["stored", "upstream", "upstream-else-stored"]);

pub(super) static KEYS: Table = Table {
    name: "ack",
    tells: "In a source: what its answer waits for. A word alone, or a table that says for how long, too. \
            [ANSWERS.md](ANSWERS.md) tells more.",
    example: r#"
[sources.sms]
path = "/in/sms"
provider = "twilio"
secrets = [{ env = "TWILIO_AUTH_TOKEN" }]
ack = { mode = "upstream-else-stored", within = "5s" }
"#,
    keys: &[
        Key::needed(
            "mode",
            WORDS,
            "`stored`: the event is durable. `upstream`: the application's own answer, and an error where none comes in time. \
             `upstream-else-stored`: its answer in time, else as `stored`.",
        ),
        Key::new("within", Kind::Duration(WITHIN), "How long an answer is waited for, from the request's head.")
            .or_else("four fifths of the time that the provider waits, or 8s"),
    ],
    later: &[],
    others: Others::None,
};

/// What is known of the source beside its `ack`.
pub(super) struct Beside<'a> {
    pub(super) preset: Option<&'a Preset>,
    /// Where its events go.
    pub(super) destinations: &'a [Name],
    /// Whether a repeat is known.
    pub(super) knows_repeats: bool,
}

/// What is written, or that its answer waits for the store only.
pub(super) fn read(section: &mut Section<'_>, beside: &Beside<'_>) -> Ack {
    section.or("ack", Ack::Stored, |value| {
        let (mode, within) = if value.is_table() {
            let mut inner = value.inner()?;
            let mode = inner.require("mode", "write mode = \"upstream\"").and_then(|value| value.choice(&MODES));
            let within = inner.take("within");
            inner.finish();
            (mode?, within)
        } else {
            (value.choice(&MODES)?, None)
        };
        prove(&value, mode, within.as_ref(), beside)
    })
}

fn prove(value: &Value<'_>, mode: Mode, written: Option<&Value<'_>>, beside: &Beside<'_>) -> Option<Ack> {
    let patience = beside.preset.and_then(Preset::patience);
    let within = match written {
        Some(written) => written.duration(WITHIN)?,
        None => patience.map_or(WITHIN_DEFAULT, |patience| patience * PART / PARTS),
    };
    let ack = match mode {
        Mode::Stored => {
            written.into_iter().for_each(|written| written.warn("has no effect: the answer waits for no application", None));
            return Some(Ack::Stored);
        }
        Mode::Upstream => Ack::Upstream(within),
        Mode::UpstreamElseStored => Ack::UpstreamElseStored(within),
    };
    if let (Some(written), Some(deadline)) = (written.filter(|_| patience.is_some_and(|p| within >= p)), deadline(beside)) {
        written.warn(&format!("is not shorter than this provider waits ({deadline}): it would give up before"), None);
    }
    if beside.destinations.len() > 1 {
        let names: Vec<&str> = beside.destinations.iter().map(Name::as_str).collect();
        let help = "send its events to one of them, or leave ack out".to_owned();
        return value
            .error_help(&format!("passes one application's answer on, and events go to {}", names.join(", ")), Some(help));
    }
    if !beside.knows_repeats {
        let help = "write dedupe = { header = \"X-Id\" } or { pointer = \"/id\" }".to_owned();
        value.warn("has no dedupe beside it: what its provider sends again is delivered again, as another event", Some(help));
    }
    Some(ack)
}

fn deadline<'a>(beside: &Beside<'a>) -> Option<&'a str> {
    beside.preset?.deadline.as_deref()
}
