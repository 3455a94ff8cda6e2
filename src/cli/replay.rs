//! `hookhold replay` and `hookhold retry`: deliver again.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::Failure;
use super::admin::{Client, encoded};
use super::events::show_delivery;
use super::replays::{self, Filter};
use super::table::{cell, say};
use super::which::{NAMES, Which};

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

/// Which deliveries are tried.
#[derive(ClapArgs)]
pub(super) struct RetryArgs {
    /// The delivery's id, as `events show` prints it; without one, all that fit what is said below (of these the parked ones, unless
    /// --state pending).
    #[arg(conflicts_with_all = NAMES)]
    delivery: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let Some(event) = &args.event else {
        let what = "name an event, or say which ones: see `hookhold replay --help`";
        anyhow::ensure!(args.filter.is_given(), Failure::Usage(what.to_owned()));
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
    let Some(delivery) = &args.delivery else { return retry_all(&args.which, client, as_json) };
    let delivery: Value = client.post(&format!("/deliveries/{}/retry", encoded(delivery)), &json!({}))?;
    if as_json {
        say(&delivery);
    } else {
        show_delivery(&delivery);
    }
    Ok(ExitCode::SUCCESS)
}

/// All that fit, step by step. One that parks again meanwhile is not tried again: it is behind the step.
fn retry_all(which: &Which, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut wish = json!({ "filter": which.filter()? });
    let mut retried = 0u64;
    loop {
        let done = client.post("/deliveries/retry", &wish)?;
        retried += done["retried"].as_u64().unwrap_or_default();
        match &done["next"] {
            Value::Null => break,
            next => wish["cursor"] = next.clone(),
        }
    }
    say(&if as_json { json!({ "retried": retried }).to_string() } else { format!("due now: {retried}") });
    Ok(ExitCode::SUCCESS)
}
