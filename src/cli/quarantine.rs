//! `hookhold quarantine`: requests that were not believed, and letting out those that are believed now.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Map, Value, json};

use super::admin::{Client, encoded};
use super::table::{self, cell, items, say};

/// What to do with them; `list` where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// So many at most (1-500).
        #[arg(long, default_value_t = 20)]
        limit: u16,
    },
    /// One request with its headers, and why it was not believed.
    Show {
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

#[derive(ClapArgs, Default)]
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
    fn given(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let all = [("source", &self.source), ("reason", &self.reason), ("since", &self.since), ("until", &self.until)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => list(&Filter::default(), 20, client, as_json),
        Some(What::List { filter, limit }) => list(filter, *limit, client, as_json),
        Some(What::Show { id }) => show(&client.get(&format!("/quarantine/{}", encoded(id)))?, as_json),
        Some(What::Release { filter, ids, force }) => release(filter, ids, *force, client, as_json),
        Some(What::Drop { id }) => {
            client.delete(&format!("/quarantine/{}", encoded(id)))?;
            say(&format!("{id} is gone"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(filter: &Filter, limit: u16, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut path = format!("/quarantine?limit={limit}");
    filter.given().for_each(|(name, value)| path.push_str(&format!("&{name}={}", encoded(value))));
    let listed = client.get(&path)?;
    if as_json {
        say(&listed);
        return Ok(ExitCode::SUCCESS);
    }
    let fields = ["id", "source", "received_at", "reason", "peer", "body_bytes"];
    let rows = items(&listed).iter().map(|item| fields.map(|field| cell(&item[field])));
    table::print(["ID", "SOURCE", "RECEIVED", "REASON", "PEER", "BYTES"], rows);
    Ok(ExitCode::SUCCESS)
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
    let mut body: Map<String, Value> = filter.given().map(|(name, value)| (name.to_owned(), json!(value))).collect();
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
