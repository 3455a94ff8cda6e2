//! `hookhold cancel`: calls one delivery off, or all that fit.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::events::show_delivery;
use super::table::say;

/// Which deliveries.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The delivery's id; without one, all that fit what is said below.
    delivery: Option<String>,
    /// pending (where nothing is said) or parked.
    #[arg(long, conflicts_with = "delivery")]
    state: Option<String>,
    /// To this destination.
    #[arg(long, conflicts_with = "delivery")]
    destination: Option<String>,
    /// Of this source.
    #[arg(long, conflicts_with = "delivery")]
    source: Option<String>,
    /// Of the event with this id.
    #[arg(long, conflicts_with = "delivery")]
    event: Option<String>,
    /// Whose event was received at this time (RFC 3339) or later.
    #[arg(long, conflicts_with = "delivery")]
    since: Option<String>,
    /// Whose event was received before this time (RFC 3339).
    #[arg(long, conflicts_with = "delivery")]
    until: Option<String>,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    if let Some(delivery) = &args.delivery {
        let delivery: Value = client.post(&format!("/deliveries/{}/cancel", encoded(delivery)), &json!({}))?;
        if as_json {
            say(&delivery)
        } else {
            show_delivery(&delivery)
        }
        return Ok(ExitCode::SUCCESS);
    }
    let given = [
        ("state", &args.state),
        ("destination", &args.destination),
        ("source", &args.source),
        ("event", &args.event),
        ("since", &args.since),
        ("until", &args.until),
    ];
    let filter: serde_json::Map<_, _> =
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))).collect();
    if filter.is_empty() {
        bail!("name a delivery, or say which ones: --destination, --source, --state, --event, --since, --until");
    }
    let mut cancelled = 0;
    loop {
        let done = client.post("/deliveries/cancel", &json!({ "filter": filter }))?;
        cancelled += done["cancelled"].as_u64().unwrap_or_default();
        if done["more"] != Value::Bool(true) {
            break;
        }
    }
    if as_json {
        say(&json!({ "cancelled": cancelled }))
    } else {
        say(&format!("{cancelled} deliveries are called off"))
    }
    Ok(ExitCode::SUCCESS)
}
