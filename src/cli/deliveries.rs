//! `hookhold deliveries`: what became of events, destination by destination.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};

use super::admin::{Client, encoded};
use super::events::show_delivery;
use super::pages::Paging;
use super::table::say;

/// What to do with deliveries; `list` where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Those of the newest event first.
    List(Filter),
    /// One delivery with its attempts.
    Show {
        /// The delivery's id.
        id: String,
    },
}

#[derive(ClapArgs, Default)]
struct Filter {
    /// pending, in_flight, delivered, parked or cancelled.
    #[arg(long)]
    state: Option<String>,
    /// To this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Of this source.
    #[arg(long)]
    source: Option<String>,
    /// Of the event with this id.
    #[arg(long)]
    event: Option<String>,
    /// Whose event was received at this time (RFC 3339) or later.
    #[arg(long)]
    since: Option<String>,
    /// Whose event was received before this time (RFC 3339).
    #[arg(long)]
    until: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => list(&Filter::default(), client, as_json),
        Some(What::List(filter)) => list(filter, client, as_json),
        Some(What::Show { id }) => {
            let delivery = client.get(&format!("/deliveries/{}", encoded(id)))?;
            if as_json {
                say(&delivery);
            } else {
                show_delivery(&delivery);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(filter: &Filter, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let given = [
        ("state", &filter.state),
        ("destination", &filter.destination),
        ("source", &filter.source),
        ("event", &filter.event),
        ("since", &filter.since),
        ("until", &filter.until),
    ];
    let columns = [
        ("id", "id"),
        ("source", "source"),
        ("destination", "destination"),
        ("state", "state"),
        ("attempts", "attempts_made"),
        ("next attempt", "next_attempt_at"),
    ];
    filter.paging.print((client, as_json), "/deliveries", &given, columns)
}
