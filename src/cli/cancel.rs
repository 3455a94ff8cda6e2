//! `hookhold cancel`: calls one delivery off, or all that fit.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::events::show_delivery;
use super::table::say;
use super::which::{NAMES, Which};

/// Which deliveries.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The delivery's id; without one, all that fit what is said below (of these the pending ones, unless --state parked).
    #[arg(conflicts_with_all = NAMES)]
    delivery: Option<String>,
    #[command(flatten)]
    which: Which,
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
    let filter = args.which.filter()?;
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
