//! `hookhold audit`: who did what; and the word that a command leaves which changed a store at rest.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::Value;

use super::admin::{Client, encoded};
use super::table::{self, cell, items, say};
use crate::config::Entrance;
use crate::config::settings::Audit;
use crate::store::{AuditBounds, AuditLog, AuditOutcome, Deed};
use crate::time::Clock;

/// Which entries.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// By this token; or `loopback`, `signal`, `files`, `acme`, `command`.
    #[arg(long)]
    who: Option<String>,
    /// This word, such as deliveries.retry, or all that begin with it and a dot.
    #[arg(long)]
    action: Option<String>,
    /// At this time (RFC 3339) or later.
    #[arg(long)]
    since: Option<String>,
    /// Before this time (RFC 3339).
    #[arg(long)]
    until: Option<String>,
    /// So many at most (1-500).
    #[arg(long, default_value_t = 20)]
    limit: u16,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut path = format!("/audit?limit={}", args.limit);
    let given = [("who", &args.who), ("action", &args.action), ("since", &args.since), ("until", &args.until)];
    for (name, value) in given {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    let listed = client.get(&path)?;
    if as_json {
        say(&listed);
    } else {
        let heads = ["AT", "WHO", "PEER", "ACTION", "TARGET", "RESULT", "TIMES", "MORE"];
        table::print(heads, items(&listed).iter().map(row));
    }
    if listed["damaged"].as_u64().is_some_and(|lines| lines > 0) {
        eprintln!("warning: {} lines of the audit log cannot be read", listed["damaged"]);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(entry: &Value) -> [String; 8] {
    let parameters = if entry["parameters"].is_null() { String::new() } else { format!("{} ", entry["parameters"]) };
    let detail = entry["detail"].as_str().unwrap_or_default().escape_debug();
    let result = match &entry["status"] {
        Value::Null => cell(&entry["result"]),
        status => format!("{} ({status})", cell(&entry["result"])),
    };
    let [at, who, peer, action, target] = ["at", "who", "peer", "action", "target"].map(|name| cell(&entry[name]));
    [at, who, peer, action, target, result, cell(&entry["count"]), format!("{parameters}{detail}")]
}

/// What is kept of who did what, as the settings say.
pub(super) fn bounds(Audit { keep_for, bytes_max }: Audit) -> AuditBounds {
    AuditBounds { keep_for, bytes_max }
}

/// A command changed a store while no relay ran. It is done by who may write there, so a log that cannot be written is told and no more.
pub(super) fn note_at_rest(at: &Entrance, action: &str, parameters: Value, detail: String) {
    let deed =
        Deed { who: Some("command".to_owned()), action: action.to_owned(), parameters: Some(parameters), ..Deed::default() };
    let outcome = AuditOutcome { status: 200, detail: Some(detail) };
    let log = AuditLog::open(&at.store, bounds(at.audit), Clock::system());
    if let Err(error) = log.and_then(|log| log.note(deed, outcome)) {
        eprintln!("warning: this cannot be written to the audit log: {error}");
    }
}
