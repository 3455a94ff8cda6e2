//! `hookhold quarantine`: requests that were not believed, and letting out those that are believed now.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::pages::Paging;
use super::table::{self, cell, items, plain, say};
use super::which::given;

/// What to do with them; `list` where nothing is said, and `reasons` before it where all of them are listed.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
    #[command(flatten)]
    listed: Listed,
}

#[derive(Subcommand)]
enum What {
    /// Why they are there, by source and reason, and what to do about it.
    Reasons,
    /// Newest first.
    List(Listed),
    /// One request with its headers, and why it was not believed.
    Show {
        /// Its id.
        id: String,
    },
    /// The raw bytes of a request's body, to standard output.
    Body {
        /// Its id.
        id: String,
    },
    /// Judge requests again with the present secrets; what is believed now becomes an event of the time at which it came.
    Release {
        #[command(flatten)]
        filter: Filter,
        /// Only these requests.
        #[arg(long = "id", conflicts_with_all = ["source", "reason", "since", "until"])]
        ids: Vec<String>,
        /// Let the relay read its configuration and its secrets first, as `reload` does.
        #[arg(long)]
        reload: bool,
        /// Without a proof: you say that these requests (named by --id) are what they claim to be.
        #[arg(long, requires = "ids")]
        force: bool,
    },
    /// Let a request go for good.
    Drop {
        /// Its id.
        id: String,
    },
}

#[derive(ClapArgs)]
struct Listed {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    paging: Paging,
}

#[derive(ClapArgs)]
struct Filter {
    /// For this source.
    #[arg(long)]
    source: Option<String>,
    /// Not believed for this reason, such as mismatch.
    #[arg(long)]
    reason: Option<String>,
    /// That came at this time (RFC 3339) or later.
    #[arg(long)]
    since: Option<String>,
    /// That came before this time (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

impl Filter {
    fn all(&self) -> [(&'static str, &Option<String>); 4] {
        [("source", &self.source), ("reason", &self.reason), ("since", &self.since), ("until", &self.until)]
    }
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => {
            if given(&args.listed.filter.all()).is_empty() && !as_json {
                reasons(client, as_json)?;
            }
            list(&args.listed, client, as_json)
        }
        Some(What::Reasons) => reasons(client, as_json),
        Some(What::List(listed)) => list(listed, client, as_json),
        Some(What::Show { id }) => show(&client.get(&format!("/quarantine/{}", encoded(id)))?, as_json),
        Some(What::Body { id }) => {
            let body = client.get_bytes(&format!("/quarantine/{}/body", encoded(id)))?;
            std::io::stdout().write_all(&body)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(What::Release { filter, ids, reload, force }) => {
            if *reload {
                let reloaded = client.post("/reload", &json!({}))?;
                eprintln!("the configuration was read again: {}", super::reload::said(&reloaded).replace('\n', "; "));
            }
            release(filter, ids, *force, client, as_json)
        }
        Some(What::Drop { id }) => {
            client.delete(&format!("/quarantine/{}", encoded(id)))?;
            say(&format!("{id} is gone"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A table for the numbers, and below it what to do: a line each, where somebody looks anyway.
fn reasons(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let found = client.get("/quarantine/reasons")?;
    if as_json {
        say(&found);
        return Ok(ExitCode::SUCCESS);
    }
    if items(&found).is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let row = |r: &Value| [&r["source"], &r["reason"], &r["requests"], &r["first_at"], &r["last_at"]].map(cell);
    table::print(["source", "reason", "requests", "first", "last"], items(&found).iter().map(row));
    for line in items(&found) {
        say(&plain(&format!("{}, {}: {}.", cell(&line["source"]), cell(&line["reason"]), cell(&line["advice"]))));
    }
    say(&"Release what is believed then: hookhold quarantine release --source SOURCE --reload\n");
    Ok(ExitCode::SUCCESS)
}

fn list(listed: &Listed, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let columns = [
        ("id", "id"),
        ("source", "source"),
        ("received", "received_at"),
        ("reason", "reason"),
        ("peer", "peer"),
        ("bytes", "body_bytes"),
    ];
    listed.paging.print((client, as_json), "/quarantine", &listed.filter.all(), columns)
}

fn show(found: &Value, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        say(found);
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "{}: {}\n{} {}\n",
        cell(&found["reason"]),
        cell(&found["detail"]),
        cell(&found["method"]),
        cell(&found["target"])
    );
    for header in found["headers"].as_array().into_iter().flatten() {
        text.push_str(&format!("{}: {}\n", cell(&header[0]), cell(&header[1])));
    }
    say(&text.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn release(filter: &Filter, ids: &[String], force: bool, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut body = given(&filter.all());
    if !ids.is_empty() {
        body.insert("ids".into(), json!(ids));
    }
    body.insert("force".into(), json!(force));
    let done = client.post("/quarantine/release", &Value::Object(body))?;
    if as_json {
        say(&done);
    } else {
        say(&format!("released: {}, still refused: {}", cell(&done["released"]), cell(&done["still_refused"])));
    }
    Ok(ExitCode::SUCCESS)
}
