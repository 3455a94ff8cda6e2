//! `hookhold config`: what the running relay was told, without secrets, and the certificates that it shows.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::Client;
use super::table::{self, cell, say};

pub(super) fn run(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let config = client.get("/config")?;
    if as_json {
        say(&config);
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("# {}, read at {}; what can be a secret is ***", cell(&config["file"]), cell(&config["loaded_at"])));
    say(&config["text"].as_str().unwrap_or_default().trim_end());
    for line in lines(&config["warnings"]) {
        say(&format!("# {line}"));
    }
    let last = &config["last_reload"];
    if last["done"] == Value::Bool(false) {
        say(&format!("# The file was read again at {}, and cannot be used:", cell(&last["at"])));
        lines(&last["problems"]).for_each(|line| say(&format!("#   {line}")));
    }
    say(&"");
    let row = |c: &Value| [cell(&c["file"]), lines(&c["names"]).collect::<Vec<_>>().join(" "), cell(&c["not_after"])];
    table::print(["certificate", "names", "until"], config["certificates"].as_array().into_iter().flatten().map(row));
    Ok(ExitCode::SUCCESS)
}

fn lines(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
