//! `hookhold reload`: the running relay reads its configuration again.

use std::process::ExitCode;

use serde_json::json;

use super::admin::Client;
use super::table::say;

pub(super) fn run(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let reloaded = client.post("/reload", &json!({}))?;
    if as_json {
        say(&reloaded);
        return Ok(ExitCode::SUCCESS);
    }
    say(&said(&reloaded));
    Ok(ExitCode::SUCCESS)
}

/// What is different, a line each.
pub(super) fn said(reloaded: &serde_json::Value) -> String {
    let changed = reloaded["changed"].as_array().into_iter().flatten().filter_map(|change| change.as_str());
    let changed: Vec<_> = changed.collect();
    if changed.is_empty() { "nothing is different".to_owned() } else { changed.join("\n") }
}
