//! `hookhold arm`: lets a source take the secret that its provider is about to send; `hookhold disarm` takes that back.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use super::admin::{Client, encoded};
use super::table::say;

/// Which source, and for how long.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The source's name.
    source: String,
    /// How long it waits for the secret: whoever sends one first owns the source.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    time: Duration,
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let ms = u64::try_from(args.time.as_millis()).unwrap_or(u64::MAX);
    let armed = client.post(&format!("/sources/{}/arm", encoded(&args.source)), &json!({ "for_ms": ms }))?;
    if as_json {
        say(&armed);
    } else {
        let until = armed["armed_until"].as_str().unwrap_or_default();
        say(&format!("{} takes the first secret that comes until {until}; make the webhook at its provider now", args.source));
    }
    Ok(ExitCode::SUCCESS)
}

/// Which source.
#[derive(ClapArgs)]
pub(super) struct DisarmArgs {
    /// The source's name.
    source: String,
}

pub(super) fn disarm(args: &DisarmArgs, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let disarmed = client.post(&format!("/sources/{}/disarm", encoded(&args.source)), &json!({}))?;
    if as_json {
        say(&disarmed);
    } else if disarmed["was_armed"] == true {
        say(&format!("{} takes no secret any more", args.source));
    } else {
        say(&format!("{} was not armed", args.source));
    }
    Ok(ExitCode::SUCCESS)
}
