//! `hookhold status`: how the running relay stands.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::Client;
use super::destinations::state;
use super::table::{self, cell, items, say};

pub(super) fn run(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let status = client.get("/status")?;
    let (sources, destinations) = (client.get("/sources")?, client.get("/destinations")?);
    if as_json {
        say(&format!("{}", json!({ "status": status, "sources": sources["items"], "destinations": destinations["items"] })));
        return Ok(ExitCode::SUCCESS);
    }
    let (store, counts) = (&status["store"], &status["counts"]);
    let ready = if status["ready"] == Value::Bool(true) { "ready" } else { "NOT READY" };
    say(&format!("hookhold {}, {ready}, since {}", cell(&status["version"]), cell(&status["started_at"])));
    say(&format!("{} events, {} bytes stored", cell(&store["events"]), cell(&store["bytes"])));
    say(&format!(
        "deliveries: {} pending, {} parked, {} delivered",
        cell(&counts["pending"]),
        cell(&counts["parked"]),
        cell(&counts["delivered"])
    ));
    say(&"");
    let row = |s: &Value| [&s["name"], &s["path"], &s["provider"], &s["accepted"], &s["rejected"], &s["last_event_at"]].map(cell);
    table::print(["source", "path", "provider", "accepted", "rejected", "last event"], items(&sources).iter().map(row));
    say(&"");
    let row = |d: &Value| {
        let [name, url, pending, parked, due, error] =
            [&d["name"], &d["url"], &d["pending"], &d["parked"], &d["oldest_due_at"], &d["last_error"]].map(cell);
        [name, state(d), url, pending, parked, due, error]
    };
    table::print(
        ["destination", "state", "url", "pending", "parked", "oldest due", "last error"],
        items(&destinations).iter().map(row),
    );
    Ok(ExitCode::SUCCESS)
}
