//! `hookhold replays`: old events again, by a filter, at a rate; and the jobs that do it.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::pages::Paging;
use super::table::{cell, say};
use super::which::{WhichEvents, given};

/// The running relay is asked so often how far a replay is.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Characters of a progress bar.
const BAR: u64 = 40;

/// What to do with replays; `list` where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<What>,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Subcommand)]
enum What {
    /// Newest first.
    List(Paging),
    /// One replay.
    Show {
        /// Its id.
        id: String,
    },
    /// Hold a replay.
    Pause {
        /// Its id.
        id: String,
    },
    /// Let a replay go on.
    Resume {
        /// Its id.
        id: String,
    },
    /// Call a replay off; what it made stays.
    Cancel {
        /// Its id.
        id: String,
    },
}

/// Which events are delivered again.
#[derive(ClapArgs)]
pub(super) struct Filter {
    #[command(flatten)]
    which: WhichEvents,
    /// So many events in a second at most.
    #[arg(long)]
    rate: Option<f64>,
    /// Only count the events.
    #[arg(long)]
    dry_run: bool,
    /// Begin, and do not wait for the end.
    #[arg(long)]
    detach: bool,
}

impl Filter {
    /// Whether anything is said.
    pub(super) fn is_given(&self) -> bool {
        self.dry_run || self.rate.is_some() || !given(&self.which.all()).is_empty()
    }
}

/// Starts a replay by filter, and shows how far it is until its last delivery is made.
pub(super) fn create(filter: &Filter, to: &[String], client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut body = json!({ "filter": given(&filter.which.all()), "rate_per_s": filter.rate, "dry_run": filter.dry_run });
    if !to.is_empty() {
        body["to"] = json!(to);
    }
    let made = client.post("/replays", &body)?;
    if filter.dry_run {
        if as_json {
            say(&made)
        } else {
            say(&format!("{} events would be delivered again", cell(&made["matched"])))
        }
        return Ok(ExitCode::SUCCESS);
    }
    let id = cell(&made["id"]);
    let ended = if filter.detach { made } else { watch(&id, made, client, as_json)? };
    if as_json {
        say(&ended);
    } else {
        say(&line(&ended));
    }
    let is_off = ended["state"] == "cancelled" || ended["failed"].as_u64().unwrap_or(0) > 0;
    Ok(if is_off { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Until nothing more will come: every delivery that it made has ended, or it was held or called off.
fn watch(id: &str, first: Value, client: &Client, as_json: bool) -> anyhow::Result<Value> {
    let shows = !as_json && std::io::stderr().is_terminal();
    let mut replay = first;
    loop {
        let number = |field: &str| replay[field].as_u64().unwrap_or_default();
        let has_ended = replay["state"] == "done" && number("delivered") + number("failed") >= number("created");
        if shows {
            let done = number("through") * BAR / number("matched").max(1);
            let bar: String = (0..BAR).map(|n| if n < done { '#' } else { '.' }).collect();
            let _ = write!(std::io::stderr(), "\r[{bar}] {}", line(&replay));
        }
        if has_ended || replay["state"] == "paused" || replay["state"] == "cancelled" {
            if shows {
                let _ = writeln!(std::io::stderr());
            }
            return Ok(replay);
        }
        std::thread::sleep(LOOK_PAUSE);
        replay = client.get(&format!("/replays/{}", encoded(id)))?;
    }
}

fn line(replay: &Value) -> String {
    let [state, matched, through, delivered, failed] =
        ["state", "matched", "through", "delivered", "failed"].map(|field| cell(&replay[field]));
    format!("{}: {state}, {through} of {matched} events, {delivered} delivered, {failed} failed", cell(&replay["id"]))
}

pub(super) fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let changed = |id: &String, what: &str| client.post(&format!("/replays/{}{what}", encoded(id)), &json!({}));
    let one = match &args.command {
        None => return list(&args.paging, client, as_json),
        Some(What::List(paging)) => return list(paging, client, as_json),
        Some(What::Show { id }) => client.get(&format!("/replays/{}", encoded(id)))?,
        Some(What::Pause { id }) => changed(id, "/pause")?,
        Some(What::Resume { id }) => changed(id, "/resume")?,
        Some(What::Cancel { id }) => changed(id, "/cancel")?,
    };
    if as_json {
        say(&one)
    } else {
        say(&line(&one))
    }
    Ok(ExitCode::SUCCESS)
}

fn list(paging: &Paging, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let columns = [
        ("id", "id"),
        ("state", "state"),
        ("events", "matched"),
        ("through", "through"),
        ("made", "created"),
        ("delivered", "delivered"),
        ("failed", "failed"),
        ("rate", "rate_per_s"),
        ("created", "created_at"),
    ];
    paging.print((client, as_json), "/replays", &[], columns)
}
