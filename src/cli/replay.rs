//! `hookhold replay` and `hookhold retry`: deliver again.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::Failure;
use super::admin::{Client, encoded};
use super::events::show_delivery;
use super::replays::{self, Filter};
use super::table::{cell, items, say};

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
    /// The delivery's id, as `events show` prints it; without one, all parked deliveries that fit what is said below.
    delivery: Option<String>,
    /// To this destination.
    #[arg(long, conflicts_with = "delivery")]
    destination: Option<String>,
    /// Of this source.
    #[arg(long, conflicts_with = "delivery")]
    source: Option<String>,
    /// Whose event was received at this time (RFC 3339) or later.
    #[arg(long, conflicts_with = "delivery")]
    since: Option<String>,
    /// Whose event was received before this time (RFC 3339).
    #[arg(long, conflicts_with = "delivery")]
    until: Option<String>,
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
    let Some(delivery) = &args.delivery else { return retry_parked(args, client, as_json) };
    let delivery: Value = client.post(&format!("/deliveries/{}/retry", encoded(delivery)), &json!({}))?;
    if as_json {
        say(&delivery);
    } else {
        show_delivery(&delivery);
    }
    Ok(ExitCode::SUCCESS)
}

/// Each parked delivery that fits, page by page. One that parks again meanwhile is not tried again: it is behind the page.
fn retry_parked(args: &RetryArgs, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let given = [("destination", &args.destination), ("source", &args.source), ("since", &args.since), ("until", &args.until)];
    let given: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
    let what = "name a delivery, or say which ones: --destination, --source, --since, --until";
    anyhow::ensure!(!given.is_empty(), Failure::Usage(what.to_owned()));
    let filter: String = given.iter().map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
    let (mut retried, mut cursor) = (0u64, String::new());
    loop {
        let page = client.get(&format!("/deliveries?state=parked&limit=500{filter}{cursor}"))?;
        for delivery in items(&page) {
            client.post(&format!("/deliveries/{}/retry", encoded(&cell(&delivery["id"]))), &json!({}))?;
            retried += 1;
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encoded(next)),
            None => break,
        }
    }
    say(&if as_json { json!({ "retried": retried }).to_string() } else { format!("due now: {retried}") });
    Ok(ExitCode::SUCCESS)
}
