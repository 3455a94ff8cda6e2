//! `hookhold deliveries`: what became of events, destination by destination.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};

use super::admin::{Client, encoded};
use super::events::show_delivery;
use super::pages::Paging;
use super::table::say;
use super::which::Which;

/// What to do with deliveries; `list` where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
    #[command(flatten)]
    filter: Filter,
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

#[derive(ClapArgs)]
struct Filter {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    paging: Paging,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => list(&args.filter, client, as_json),
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
    let columns = [
        ("id", "id"),
        ("source", "source"),
        ("destination", "destination"),
        ("state", "state"),
        ("attempts", "attempts_made"),
        ("next attempt", "next_attempt_at"),
    ];
    filter.paging.print((client, as_json), "/deliveries", &filter.which.all(), columns)
}
