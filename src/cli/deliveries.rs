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
}

#[derive(Subcommand)]
enum What {
    /// Those of the newest event first.
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        paging: Paging,
    },
    /// One delivery with its attempts.
    Show {
        /// The delivery's id.
        id: String,
    },
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => list(&Which::default(), &Paging::default(), client, as_json),
        Some(What::List { which, paging }) => list(which, paging, client, as_json),
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

fn list(which: &Which, paging: &Paging, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let columns = [
        ("id", "id"),
        ("source", "source"),
        ("destination", "destination"),
        ("state", "state"),
        ("attempts", "attempts_made"),
        ("next attempt", "next_attempt_at"),
    ];
    paging.print((client, as_json), "/deliveries", &which.all(), columns)
}
