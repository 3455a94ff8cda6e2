//! `hookhold events`: list and read what is stored.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::Value;

use super::admin::{Client, encoded};
use super::pages::Paging;
use super::table::{cell, say};
use super::which::WhichEvents;

/// What to do with events; `list` where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Subcommand)]
enum What {
    /// Newest first.
    List(Filter),
    /// One event with its headers, deliveries and attempts.
    Show {
        /// The event's id.
        id: String,
    },
    /// The raw bytes of an event's body, to standard output.
    Body {
        /// The event's id.
        id: String,
    },
}

#[derive(ClapArgs)]
struct Filter {
    #[command(flatten)]
    which: WhichEvents,
    /// With this id of the provider.
    #[arg(long)]
    provider_event_id: Option<String>,
    /// With this text in the body, as it is written there; needs --since.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

pub(super) fn run(args: &Args, client: &Client, json: bool) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => list(&args.filter, client, json),
        Some(What::List(filter)) => list(filter, client, json),
        Some(What::Show { id }) => show(&client.get(&format!("/events/{}", encoded(id)))?, json),
        Some(What::Body { id }) => {
            let body = client.get_bytes(&format!("/events/{}/body", encoded(id)))?;
            std::io::stdout().write_all(&body)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(filter: &Filter, client: &Client, json: bool) -> anyhow::Result<ExitCode> {
    let more = [("provider_event_id", &filter.provider_event_id), ("q", &filter.q)];
    let given = [&filter.which.all()[..], &more[..]].concat();
    let columns = [
        ("id", "id"),
        ("received", "received_at"),
        ("source", "source"),
        ("type", "type"),
        ("state", "state"),
        ("bytes", "body_bytes"),
    ];
    filter.paging.print((client, json), "/events", &given, columns)
}

fn show(event: &Value, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        say(&event);
        return Ok(ExitCode::SUCCESS);
    }
    for name in ["id", "source", "provider", "type", "provider_event_id", "received_at", "method", "target", "peer", "state"] {
        say(&format!("{name:<18} {}", cell(&event[name])));
    }
    say(&format!("{:<18} {} bytes, sent again {} times", "body", cell(&event["body_bytes"]), cell(&event["duplicates"])));
    for field in event["headers"].as_array().into_iter().flatten() {
        say(&format!("  {}: {}", cell(&field[0]), cell(&field[1])));
    }
    for delivery in event["deliveries"].as_array().into_iter().flatten() {
        show_delivery(delivery);
    }
    Ok(ExitCode::SUCCESS)
}

/// One delivery and its attempts.
pub(super) fn show_delivery(delivery: &Value) {
    let next = match &delivery["next_attempt_at"] {
        Value::Null => String::new(),
        at => format!(", next attempt at {}", cell(at)),
    };
    say(&format!("{} -> {}: {}{next}", cell(&delivery["id"]), cell(&delivery["destination"]), cell(&delivery["state"])));
    for attempt in delivery["attempts"].as_array().into_iter().flatten() {
        let came = match &attempt["status"] {
            Value::Null => cell(&attempt["error"]),
            status => cell(status),
        };
        let (number, at, took) = (cell(&attempt["number"]), cell(&attempt["started_at"]), cell(&attempt["duration_ms"]));
        say(&format!("  {number}. {at}  {came}  {took} ms  {}", cell(&attempt["response_body"]).escape_debug()));
    }
}
