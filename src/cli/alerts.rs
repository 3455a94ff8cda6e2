//! `hookhold alerts`: what is wrong, and whether those who should hear of it can be reached.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::table::{self, cell, items, say};

/// What to do with alarms; `list` where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Subcommand)]
enum What {
    /// What is wrong now, and what was lately; the newest first.
    List(Filter),
    /// Send a test to every receiver of alarms, and show what it answers.
    Test,
}

#[derive(ClapArgs)]
struct Filter {
    /// pending, firing or ended.
    #[arg(long)]
    state: Option<String>,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => list(&args.filter, client, as_json),
        Some(What::List(filter)) => list(filter, client, as_json),
        Some(What::Test) => test(client, as_json),
    }
}

fn list(filter: &Filter, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let state = filter.state.as_deref().map(|state| format!("&state={}", encoded(state))).unwrap_or_default();
    let listed = client.get(&format!("/alerts?limit=500{state}"))?;
    if as_json {
        say(&listed);
        return Ok(ExitCode::SUCCESS);
    }
    if listed["enabled"] == Value::Bool(false) {
        say(&"Nothing alarms: there is no table [alerts] in relay.toml.");
    } else if items(&listed).is_empty() {
        say(&"Nothing is wrong.");
    } else {
        let row = |a: &Value| [&a["state"], &a["summary"], &a["detail"], &a["since"], &a["last_sent_at"]].map(cell);
        table::print(["state", "what", "how much", "since", "last sent"], items(&listed).iter().map(row));
        let firing = items(&listed).iter().filter(|a| a["state"] == "firing");
        firing.for_each(|a| say(&format!("{}: {}", cell(&a["summary"]), cell(&a["advice"]))));
    }
    for receiver in listed["receivers"].as_array().into_iter().flatten().filter(|r| !r["last_error"].is_null()) {
        say(&format!("{} does not take alarms: {}", cell(&receiver["to"]), cell(&receiver["last_error"])));
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails where a receiver did not take it.
fn test(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let tested = client.post("/alerts/test", &json!({}))?;
    let results = tested["results"].as_array().map_or(&[][..], Vec::as_slice);
    if as_json {
        say(&tested);
    } else {
        let row = |r: &Value| {
            let said = if r["error"].is_null() { &r["answer"] } else { &r["error"] };
            [cell(&r["to"]), cell(&r["form"]), cell(&r["status"]), format!("{} ms", cell(&r["took_ms"])), cell(said)]
        };
        table::print(["receiver", "form", "status", "took", "answer"], results.iter().map(row));
    }
    let took = |r: &Value| r["status"].as_u64().is_some_and(|status| (200..300).contains(&status));
    Ok(if results.iter().all(took) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
