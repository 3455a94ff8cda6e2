//! relay.toml: as written (`file`), then as proven ([`Settings`]). Every problem is found in one reading, with line and column.
//!
//! Reads no clock and opens no socket; the files that it reads are relay.toml and the secrets and certificates that it names.
//! Messages never hold a secret's value.

mod ack;
mod acme;
mod admin;
mod alerts;
mod answer;
mod auth;
mod certificates;
mod destination;
mod entrance;
mod file;
mod handshake;
mod identity;
mod imprint;
pub mod key;
mod limits;
mod listen;
mod mask;
mod networks;
mod problem;
mod prove;
mod reading;
pub mod reference;
mod relay;
mod route;
mod schema;
mod secret;
pub mod settings;
mod shown;
mod sign;
mod source;
mod table;
mod telemetry;
mod token;
mod units;
mod value;
mod web;
mod when;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::de::DeTable;

pub use entrance::Entrance;
pub use imprint::{Change, ChangeKind, Imprint};
pub use problem::{Problem, Problems, Severity, Warnings};
use reading::Reading;
pub use schema::schema;
use settings::Settings;
pub use shown::Shown;

/// Room for thousands of sources; a device file cannot fill the memory.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A relay.toml that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// What somebody should look at all the same.
    pub warnings: Warnings,
    /// What it comes to, to be compared with another reading.
    pub imprint: Imprint,
    /// What it says in its own words, without secrets.
    pub shown: Shown,
}

/// Reads the relay.toml at `path`, and the environment for the secrets that it names. Relative paths in it start at its folder.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    of_file(path, parse)
}

/// Reads of the relay.toml at `path` how its relay is called. Nothing else of it need be right.
pub fn entrance(path: &Path) -> Result<Entrance, Problems> {
    of_file(path, parse_entrance)
}

/// How an environment variable is looked up.
type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn of_file<T>(path: &Path, parse: fn(&str, &Path, &str, Env<'_>) -> Result<T, Problems>) -> Result<T, Problems> {
    let file_name = path.display().to_string();
    let bytes = read(path).map_err(|error| unreadable(&file_name, &error))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(text, folder, &file_name, &|name| std::env::var_os(name)),
        Err(error) => Err(not_text(&bytes, error.valid_up_to(), &file_name)),
    }
}

/// Reads the text of a relay.toml that stands in `folder`. `env` gives the value of an environment variable.
///
/// Beside its arguments it reads only the files of secrets and certificates that the text names.
pub fn parse(text: &str, folder: &Path, file_name: &str, env: Env<'_>) -> Result<Loaded, Problems> {
    let text = unmarked(text);
    let reading = Reading::new(text, folder, file_name, env);
    let settings = table(text, &reading).and_then(|table| {
        reading.begin_imprint(Imprint::of(table.get_ref()));
        prove::prove(file::File::read(&reading, table.get_ref()), &reading)
    });
    let (problems, coming, imprint) = reading.finish();
    match settings {
        Some(settings) if problems.iter().all(|p| p.severity == Severity::Warning) => {
            let warnings = Warnings::new(problems, coming);
            Ok(Loaded { settings, warnings, imprint, shown: Shown::of(file_name, text) })
        }
        _ => Err(Problems::new(problems)),
    }
}

/// As [`parse`], for [`entrance`].
fn parse_entrance(text: &str, folder: &Path, file_name: &str, env: Env<'_>) -> Result<Entrance, Problems> {
    let text = unmarked(text);
    let reading = || Reading::new(text, folder, file_name, env);
    let (place, rest) = (reading(), reading());
    let entrance = table(text, &place).map(|table| entrance::read(table.get_ref(), &place, &rest));
    let (problems, ..) = place.finish();
    entrance.filter(|_| problems.is_empty()).ok_or_else(|| Problems::new(problems))
}

/// Some editors put a mark before the text; it is not part of the first line.
fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn table<'a>(text: &'a str, reading: &Reading<'_>) -> Option<toml::Spanned<DeTable<'a>>> {
    let report = |error: toml::de::Error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        reading.report(Severity::Error, at, format!("not TOML: {}", error.message()), None);
    };
    DeTable::parse(text).map_err(report).ok()
}

/// The names in a section of the relay.toml at `path`, whatever else is wrong with it; none where it cannot be read.
pub fn names(path: &Path, section: &str) -> Vec<String> {
    let Some(text) = read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { return Vec::new() };
    let Ok(whole) = DeTable::parse(&text) else { return Vec::new() };
    let found = whole.get_ref().get(section).and_then(|section| section.get_ref().as_table());
    found.into_iter().flat_map(|table| table.keys().map(|name| name.get_ref().to_string())).collect()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

fn unreadable(file_name: &str, error: &io::Error) -> Problems {
    let (message, help) = match error.kind() {
        io::ErrorKind::NotFound => {
            let help = "write one (`hookhold reference relay.toml` shows a small one), or name another file with --config";
            ("there is no such file".to_owned(), Some(help.to_owned()))
        }
        io::ErrorKind::IsADirectory => (
            "is a folder".to_owned(),
            Some(format!("name the file in it: --config {}/relay.toml", file_name.trim_end_matches('/'))),
        ),
        kind => (format!("cannot be read: {kind}"), None),
    };
    Problems::new(vec![Problem { severity: Severity::Error, message, help, file: file_name.into(), line: 0, column: 0 }])
}

fn not_text(bytes: &[u8], valid_up_to: usize, file_name: &str) -> Problems {
    let before = String::from_utf8_lossy(&bytes[..valid_up_to]);
    let (line, column) = reading::position(&before, before.len());
    let (severity, message) = (Severity::Error, "not TOML: these bytes are not UTF-8".to_owned());
    Problems::new(vec![Problem { severity, message, help: None, file: file_name.into(), line, column }])
}
