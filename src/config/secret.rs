//! Secrets of relay.toml: named by `{ env = "NAME" }` or `{ file = "PATH" }`, read here, and never shown in a message.

use std::fs::File;
use std::io::Read;

use zeroize::Zeroizing;

use super::key::{Key, Kind, Others, Table};
use super::table::Section;
use super::value::Value;
use crate::signature::Secret;
use crate::time::Timestamp;

/// Longer than any secret, and short enough that a device file cannot fill the memory.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// So much room beyond the end of a file is left to see that it is the end.
const READ_AHEAD: usize = 64;

/// What must be written in place of a secret.
const ELSEWHERE: &str = "must be { env = \"NAME\" } or { file = \"PATH\" }: a secret is never in relay.toml itself";

/// Where a secret is, as keys of other tables have it, too.
pub(super) const ENV: Key = Key::new("env", Kind::Text, "The environment variable that holds it.");
pub(super) const FILE: Key = Key::new("file", Kind::Text, "The file that holds it; one line end at its end does not count.");
pub(super) const UNTIL: Key =
    Key::new("until", Kind::Time, "From then on it does not count: a date and time with an offset, without quotes.");

pub(super) static KEYS: Table = Table {
    name: "secret",
    tells: "Where a secret is: `env` or `file`. It is never in relay.toml itself.",
    example: r#"
[sources.stripe]
path = "/in/stripe"
provider = "stripe"
secrets = [{ env = "STRIPE_WEBHOOK_SECRET" }, { file = "/run/secrets/stripe-old", until = 2026-12-31T00:00:00Z }]
"#,
    keys: &[
        ENV,
        FILE,
        UNTIL,
        Key::new("slot", Kind::Text, "Which of a provider's several signatures it counts for: `primary` and `secondary` of Box."),
    ],
    later: &[],
    others: Others::None,
};

pub(super) static LASTING: Table = Table {
    name: "lasting secret",
    tells: "Where a secret without an end is: `env` or `file`.",
    example: r#"
[destinations.app]
url = "http://127.0.0.1:3000/webhooks"
auth = { bearer = { file = "/run/secrets/app-token" } }
"#,
    keys: &[ENV, FILE],
    later: &[],
    others: Others::None,
};

/// A secret that may end, or count for one of several signatures: `until` and `slot` are keys beside `env` or `file`.
pub(super) fn read(value: &Value<'_>) -> Option<Secret> {
    let mut section = section(value)?;
    let slot = section.take("slot").map(|slot| slot.text().map(str::to_owned));
    let secret = read_rest(value, section)?;
    match slot {
        None => Some(secret),
        Some(slot) => slot.map(|slot| secret.in_slot(slot)),
    }
}

/// A secret in a table of which other keys were read.
pub(super) fn read_rest<'a>(value: &Value<'a>, mut section: Section<'a>) -> Option<Secret> {
    let until = section.take("until").and_then(|until| end(&until));
    let text = content(value, &mut section);
    section.finish();
    secret(value, text?, until)
}

/// A secret without an end.
pub(super) fn read_lasting(value: &Value<'_>) -> Option<Secret> {
    let mut section = section(value)?;
    let text = content(value, &mut section);
    section.finish();
    secret(value, text?, None)
}

/// Warns where everybody on the machine can read a file that holds a secret. Not in development: what is tried out on loopback
/// is rarely secret, and a demo's secret never.
pub(super) fn warn_if_open(file: &File, value: &Value<'_>) {
    if value.reading().is_development.get() {
        return;
    }
    #[cfg(unix)]
    if let Ok(metadata) = file.metadata()
        && metadata.is_file()
        && std::os::unix::fs::MetadataExt::mode(&metadata) & 0o004 != 0
    {
        value.warn("is a file that everybody on this machine can read", Some("chmod 640 or 600 would do".into()));
    }
    #[cfg(not(unix))]
    let _ = (file, value);
}

fn section<'a>(value: &Value<'a>) -> Option<Section<'a>> {
    if value.is_table() { value.inner() } else { value.error(ELSEWHERE) }
}

fn secret(value: &Value<'_>, text: Vec<u8>, until: Option<Timestamp>) -> Option<Secret> {
    Secret::try_new(text, until).map_or_else(|_| value.error("is empty"), Some)
}

fn content(value: &Value<'_>, section: &mut Section<'_>) -> Option<Vec<u8>> {
    match (section.take("env"), section.take("file")) {
        (Some(env), None) => of_env(&env),
        (None, Some(file)) => of_file(&file),
        (Some(_), Some(_)) => value.error("has both env and file"),
        (None, None) => value.error(ELSEWHERE),
    }
}

fn of_env(value: &Value<'_>) -> Option<Vec<u8>> {
    let name = value.text()?;
    let found = (value.reading().env)(name).map(std::ffi::OsString::into_encoded_bytes);
    found.iter().for_each(|content| value.was_read(content));
    // What does not look like a variable's name may be the secret itself.
    let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let shown = if is_name { format!(" {name}") } else { String::new() };
    found.or_else(|| value.error(&format!("names the environment variable{shown}, which is not set")))
}

fn of_file(value: &Value<'_>) -> Option<Vec<u8>> {
    let path = value.reading().path(value.text()?);
    let mut text = Zeroizing::new(Vec::new());
    let read = File::open(&path).and_then(|file| {
        // Room for all of it at once: a buffer that grows leaves copies behind.
        text.reserve_exact(usize::try_from(file.metadata()?.len().min(SECRET_BYTES_MAX)).unwrap_or(0) + READ_AHEAD);
        (&file).take(SECRET_BYTES_MAX + 1).read_to_end(&mut text)?;
        Ok(file)
    });
    match read {
        Err(error) => value.unreadable(&path, &error),
        Ok(_) if text.len() as u64 > SECRET_BYTES_MAX => value.error("is a file of more than 64 KiB"),
        Ok(file) => {
            warn_if_open(&file, value);
            value.was_read(&text);
            Some(std::mem::take(&mut *text))
        }
    }
}

/// The time from which something does not count any more.
pub(super) fn end(value: &Value<'_>) -> Option<Timestamp> {
    const WRITE: &str = "must be a date and time with an offset, such as 2026-12-01T00:00:00Z, without quotes";
    let datetime = value.node().get_ref().as_datetime().filter(|at| at.offset.is_some());
    datetime.and_then(|at| Timestamp::parse(&at.to_string())).or_else(|| value.error(WRITE))
}
