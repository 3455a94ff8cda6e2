//! `hookhold destinations`: how applications stand, and pausing them.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::admin::{Client, all, encoded};
use super::events::show_delivery;
use super::table::{self, cell, say};

/// What to do with destinations; `list` where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// All of them, by name.
    List,
    /// One, with why it fails and what order keys hold up there.
    Show {
        /// The destination's name.
        name: String,
    },
    /// Send nothing more to one; what is for it is kept. Attempts under way end.
    Pause {
        /// The destination's name.
        name: String,
    },
    /// Send again, and at once where no answer came or a rest was asked for.
    Resume {
        /// The destination's name.
        name: String,
    },
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let changed = |name: &str, change| client.post(&format!("/destinations/{}/{change}", encoded(name)), &json!({}));
    match &args.command {
        None | Some(What::List) => list(&all(client, "/destinations")?, as_json),
        Some(What::Show { name }) => show(&client.get(&format!("/destinations/{}", encoded(name)))?, client, as_json)?,
        Some(What::Pause { name }) => list(&[changed(name, "pause")?], as_json),
        Some(What::Resume { name }) => list(&[changed(name, "resume")?], as_json),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(destinations: &[Value], as_json: bool) {
    if as_json {
        say(&json!({ "items": destinations }));
        return;
    }
    let row =
        |d: &Value| [cell(&d["name"]), state(d), cell(&d["in_flight"]), cell(&d["pending"]), cell(&d["parked"]), cell(&d["url"])];
    table::print(["destination", "state", "in flight", "pending", "parked", "url"], destinations.iter().map(row));
}

fn show(destination: &Value, client: &Client, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        say(destination);
        return Ok(());
    }
    for name in
        ["name", "url", "in_flight", "pending", "parked", "oldest_due_at", "last_success_at", "last_error", "blocked_keys"]
    {
        say(&format!("{name:<18} {}", cell(&destination[name])));
    }
    say(&format!("{:<18} {}", "state", state(destination)));
    destination["blocked_by"].as_array().into_iter().flatten().for_each(show_delivery);
    latest_failure(destination, client)
}

/// What the application said to the newest delivery that gave up, or else to the newest that waits; and what to type when it is mended.
fn latest_failure(destination: &Value, client: &Client) -> anyhow::Result<()> {
    let count = |field: &str| destination[field].as_u64().unwrap_or_default();
    let Some(state) = ["parked", "pending"].into_iter().find(|state| count(state) > 0) else { return Ok(()) };
    let name = cell(&destination["name"]);
    let newest = client.get(&format!("/deliveries?limit=1&state={state}&destination={}", encoded(&name)))?;
    if let Some(id) = newest["items"][0]["id"].as_str() {
        say(&format!("\nThe newest that is {state}:"));
        show_delivery(&client.get(&format!("/deliveries/{}", encoded(id)))?);
    }
    if state == "parked" {
        say(&format!("\nWhen the application is mended: hookhold retry --destination {name}"));
    }
    Ok(())
}

/// What it does, in a word or two.
pub(super) fn state(destination: &Value) -> String {
    match (destination["standing"].as_str().unwrap_or_default(), &destination["rests_until"]) {
        ("not_answering" | "probing", _) => "no answer".to_owned(),
        ("resting", Value::String(until)) => format!("rests until {until}"),
        ("ok", _) => "runs".to_owned(),
        (word, _) => word.replace('_', " "),
    }
}
