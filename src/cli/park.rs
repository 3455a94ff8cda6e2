//! `hookhold park`: puts one pending delivery aside. It is kept, holds nothing up, and comes back with `retry`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::events::show_delivery;
use super::table::say;

/// Which delivery.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The delivery's id, as `events show` prints it.
    delivery: String,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let delivery: Value = client.post(&format!("/deliveries/{}/park", encoded(&args.delivery)), &json!({}))?;
    if as_json {
        say(&delivery);
    } else {
        show_delivery(&delivery);
    }
    Ok(ExitCode::SUCCESS)
}
