//! `hookhold sources`: where webhooks enter, and pausing them.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::admin::{Client, all, encoded};
use super::table::{self, cell, say};

/// What to do with sources; `list` where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// All of them, by name.
    List,
    /// Answer its provider with 503, so that it comes again later.
    Pause {
        /// The source's name.
        name: String,
    },
    /// Take its events again.
    Resume {
        /// The source's name.
        name: String,
    },
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let changed = |name: &str, change| client.post(&format!("/sources/{}/{change}", encoded(name)), &json!({}));
    match &args.command {
        None | Some(What::List) => list(&all(client, "/sources")?, as_json),
        Some(What::Pause { name }) => list(&[changed(name, "pause")?], as_json),
        Some(What::Resume { name }) => list(&[changed(name, "resume")?], as_json),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(sources: &[Value], as_json: bool) {
    if as_json {
        say(&json!({ "items": sources }));
        return;
    }
    let state = |s: &Value| if s["paused"] == Value::Bool(true) { "paused" } else { "runs" }.to_owned();
    let row = |s: &Value| [cell(&s["name"]), state(s), cell(&s["path"]), cell(&s["provider"]), cell(&s["accepted"])];
    table::print(["source", "state", "path", "provider", "accepted"], sources.iter().map(row));
}
