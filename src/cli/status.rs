//! `hookhold status`: how the running relay stands.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::admin::Client;
use super::destinations::state;
use super::table::{self, cell, items, say};

/// What to show.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// What happened in the last 24 hours, hour by hour.
    #[arg(long)]
    history: bool,
}

/// What is counted of each step.
const COUNTS: [&str; 6] = ["accepted", "duplicates", "refused", "delivered", "failed_attempts", "parked"];

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    if args.history {
        return history(client, as_json);
    }
    let status = client.get("/status")?;
    let (sources, destinations) = (client.get("/sources?order=latest")?, client.get("/destinations?order=trouble")?);
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
    more(&sources, "sources");
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
    more(&destinations, "destinations");
    Ok(ExitCode::SUCCESS)
}

/// Those that need a look, or had the latest event, are shown; how many there are beside them.
fn more(list: &Value, what: &str) {
    let left = list["total"].as_u64().unwrap_or_default().saturating_sub(items(list).len() as u64);
    if left > 0 {
        say(&format!("and {left} more: hookhold {what}"));
    }
}

/// Programs get the steps as they are; people get hours.
fn history(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let history = client.get("/history")?;
    if as_json {
        say(&history);
        return Ok(ExitCode::SUCCESS);
    }
    let mut hours: Vec<(&str, [u64; COUNTS.len()])> = Vec::new();
    for step in items(&history) {
        // `2026-11-25T10` of `2026-11-25T10:05:00.000Z`: times are UTC.
        let hour = step["at"].as_str().and_then(|at| at.get(..13)).unwrap_or_default();
        if hours.last().is_none_or(|(last, _)| *last != hour) {
            hours.push((hour, [0; COUNTS.len()]));
        }
        let Some((_, sums)) = hours.last_mut() else { continue };
        sums.iter_mut().zip(COUNTS).for_each(|(sum, count)| *sum += step[count].as_u64().unwrap_or_default());
    }
    let row = |(hour, sums): (&str, [u64; COUNTS.len()])| {
        let [a, b, c, d, e, f] = sums.map(|sum| sum.to_string());
        [format!("{}:00", hour.replace('T', " ")), a, b, c, d, e, f]
    };
    let heads = ["hour (UTC)", "accepted", "duplicates", "refused", "delivered", "failed attempts", "parked"];
    table::print(heads, hours.into_iter().map(row));
    Ok(ExitCode::SUCCESS)
}
