//! `hookhold replay` and `hookhold retry`: deliver again.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::events::show_delivery;
use super::replays::{self, Filter};
use super::table::{cell, say};

/// Which event goes where.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The event's id; without one, all events that fit what follows.
    #[arg(conflicts_with_all = ["source", "kind", "state", "destination", "since", "until", "rate", "dry_run"])]
    event: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// To this destination instead of those of its source's routes; can be given several times.
    #[arg(long, value_name = "DESTINATION")]
    to: Vec<String>,
}

/// Which delivery is tried.
#[derive(ClapArgs)]
pub(super) struct RetryArgs {
    /// The delivery's id, as `events show` prints it.
    delivery: String,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let Some(event) = &args.event else {
        anyhow::ensure!(args.filter.is_given(), "name an event, or say which ones: see `hookhold replay --help`");
        return replays::create(&args.filter, &args.to, client, as_json);
    };
    let body = if args.to.is_empty() { json!({}) } else { json!({ "destinations": args.to }) };
    let made = client.post(&format!("/events/{}/replay", encoded(event)), &body)?;
    if as_json {
        say(&made);
    } else {
        let ids: Vec<String> = made["deliveries"].as_array().into_iter().flatten().map(cell).collect();
        say(&format!("{} on their way: {}", ids.len(), ids.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn retry(args: &RetryArgs, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let delivery: Value = client.post(&format!("/deliveries/{}/retry", encoded(&args.delivery)), &json!({}))?;
    if as_json {
        say(&delivery);
    } else {
        show_delivery(&delivery);
    }
    Ok(ExitCode::SUCCESS)
}
