//! `hookhold doctor`: examines a store while no relay runs. Exit code 0: it is sound; 1: it is not, or cannot be examined.

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args as ClapArgs;
use serde_json::json;

use super::private::Borrowed;
use super::table::say;
use super::{audit, serve};
use crate::config;
use crate::store::doctor::{self, Kind, Report};
use crate::store::{FORMAT, is_free};

/// What to do beside looking.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// Write the index and the counts anew from the events.
    #[arg(long)]
    rebuild_index: bool,
}

pub(super) fn run(args: &Args, config: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let at = config::entrance(config)?;
    let path = at.store.clone();
    let _borrowed = Borrowed::new(&path)?;
    if is_free(&path).is_ok() {
        bail!("store.path: {}: there is no store", path.display());
    }
    serve::log::install_for_command();
    let report = doctor::examine(&path, args.rebuild_index).map_err(|error| match error.to_string().contains("in use") {
        true => anyhow::anyhow!("{error}\nA relay that runs is asked with `hookhold status`; stop it to examine its store."),
        false => error.into(),
    })?;
    if let Some(rebuilt) = &report.rebuilt {
        let detail = format!("{} keys added, {} removed", rebuilt.added, rebuilt.removed);
        audit::note_at_rest(&at, "doctor.rebuild-index", json!({}), detail);
    }
    if as_json {
        let mut all = serde_json::to_value(&report)?;
        all["store"] = json!(path);
        all["format"] = json!(FORMAT);
        all["sound"] = json!(report.is_sound());
        say(&all);
    } else {
        say(&format!("{}: format {FORMAT}", path.display()));
        tell(&report);
    }
    let is_repaired = |kind: &Kind| args.rebuild_index && kind.is_of_index();
    Ok(if report.problems.keys().all(is_repaired) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(report: &Report) {
    let counts = &report.counts;
    say(&format!("{} events, {} event ids of providers", counts.events, counts.event_ids));
    say(&format!(
        "deliveries: {} pending, {} parked, {} delivered, {} cancelled",
        counts.pending, counts.parked, counts.delivered, counts.cancelled
    ));
    let journal = &report.journal;
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    say(&format!(
        "journal: {} files with records {} to {}; the database holds those up to {}, {} are to be replayed ({} new events)",
        journal.segments,
        number(journal.first),
        number(journal.last),
        journal.position,
        journal.to_replay,
        journal.new_events
    ));
    let space = &report.space;
    say(&format!(
        "space: {} bytes of {} in the database are live, {} in the journal, {} set aside",
        space.live_bytes, space.database_bytes, space.journal_bytes, space.set_aside_bytes
    ));
    for aside in &report.set_aside {
        say(&format!(
            "set aside: {} ({} bytes), a damaged database; what the journal had was put back then. It may hold older events that the \
             storage engine cannot read. Keep it until nobody misses any, then remove the folder",
            aside.folder.display(),
            aside.bytes
        ));
    }
    for (kind, found) in &report.problems {
        say(&format!("PROBLEM: {}: {}", kind.in_words(), found.count));
        found.examples.iter().for_each(|example| say(&format!("  {example}")));
    }
    if let Some(rebuilt) = &report.rebuilt {
        say(&format!("the index was rebuilt: {} keys added, {} removed", rebuilt.added, rebuilt.removed));
    } else if report.problems.keys().any(|kind| kind.is_of_index()) {
        say(&"`hookhold doctor --rebuild-index` writes the index anew from the events");
    }
    say(&if report.is_sound() { "sound" } else { "NOT SOUND" });
}
