//! Examines a store that no relay has open: proves every checksum, follows every key, and counts.
//!
//! The database is opened as a start opens it, and nothing of it is changed but, where that is asked for, its index. The journal is
//! read and not replayed. Nothing is set aside, and nothing removed.

mod blocks;
mod report;

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

pub use report::{Counted, Found, JournalState, Kind, Rebuilt, Report, SetAside, Space};

use super::aside;
use super::dedupe::Runs;
use super::durable::Durable;
use super::entry::Entry;
use super::open::{self, DATABASE_FILE, OpenError, Opened};
use super::replay::{JOURNAL, read_position};
use super::shared::{Shared, read_tally};
use crate::store::Error;
use crate::store::journal::{self, Inspected, Library};

/// Examines the store in `path`. `rebuild`: its index is written anew from its blocks. An error where it is in use, of another
/// version, or no store.
pub fn examine(path: &Path, rebuild: bool) -> Result<Report, OpenError> {
    let in_folder = |why| OpenError::Folder { path: path.into(), why };
    let mut report = Report::default();
    let mut position = None;
    open::check_format(path)?;
    if path.join(DATABASE_FILE).exists() {
        position = database(path, rebuild, &mut report)?;
    } else {
        let why = "the next start begins a new one and puts back what the journal has";
        report.add(Kind::DatabaseMissing, why.to_owned());
    }
    journal(path, position, &mut report).map_err(in_folder)?;
    space(path, &mut report).map_err(in_folder)?;
    Ok(report)
}

/// Looks at the database; gives its position in the journal.
fn database(path: &Path, rebuild: bool, report: &mut Report) -> Result<Option<u64>, OpenError> {
    let looked = catch_unwind(AssertUnwindSafe(|| {
        let Opened { db, durable, .. } = open::open(path)?;
        let library = Library::of(&path.join(JOURNAL)).map_err(|why| OpenError::Folder { path: path.join(JOURNAL), why })?;
        Ok(look(db, library, &durable, rebuild, report))
    }));
    let unreadable = match looked {
        Ok(Ok(Ok(position))) => return Ok(Some(position)),
        Ok(Ok(Err(Error::Damaged(why)))) | Ok(Err(OpenError::Damaged { why, .. })) => why,
        Ok(Ok(Err(error))) => return Err(OpenError::Engine { path: path.into(), why: error.to_string() }),
        Ok(Err(error)) => return Err(error),
        Err(panic) => aside::panic_message(&*panic).map_err(|why| OpenError::Engine { path: path.into(), why })?,
    };
    let what_next = "if a start cannot read it either, it sets it aside and puts back what the journal has";
    report.add(Kind::DatabaseUnreadable, format!("{unreadable}; {what_next}"));
    Ok(None)
}

fn look(db: sled::Db, library: Library, durable: &Arc<Durable>, rebuild: bool, report: &mut Report) -> Result<u64, Error> {
    let position = read_position(&db)?;
    let tally = read_tally(&db)?;
    let (runs, damaged) = Runs::open(db.clone(), durable.clone())?;
    if damaged > 0 {
        report.add_many(Kind::EventIdsDamaged, damaged, "some repeats of providers are not known any more".to_owned());
    }
    runs.all(|ids| {
        report.counts.event_ids += ids.map_or(0, |ids| ids.len() as u64);
        Ok(())
    })?;
    let shared = Arc::new(Shared::new(db, library, tally, runs));
    let _stretch = rebuild.then(|| durable.stretch()).transpose()?;
    blocks::Examination::new(&shared, report, rebuild).run()?;
    if rebuild {
        durable.sync()?;
    }
    super::end(Some(shared))?;
    Ok(position)
}

/// Looks at the journal. `position`: what the database holds; `None` where there is none.
fn journal(path: &Path, position: Option<u64>, report: &mut Report) -> io::Result<()> {
    let after = position.unwrap_or(0);
    let (mut to_replay, mut new_events, mut held, mut senseless) = (0, 0, 0, 0);
    let found = journal::inspect(&path.join(JOURNAL), position, |number, payload| {
        let is_behind = number > after;
        to_replay += u64::from(is_behind);
        match Entry::decode(payload) {
            Some(Entry::Checkpoint(number)) => held = number.max(held),
            Some(Entry::Change(change)) => new_events += u64::from(is_behind && change.arrival.is_some()),
            Some(_) => {}
            None => senseless += 1,
        }
    })?;
    let Inspected { segments, bytes, first, last, missing_before, missing_behind } = found;
    report.journal = JournalState { segments, first, last, position: after, to_replay, new_events };
    report.space.journal_bytes = bytes;
    if senseless > 0 {
        report.add_many(Kind::JournalDamaged, senseless, format!("{senseless} make no sense"));
    }
    if missing_behind > 0 {
        let why = format!("{missing_behind} that the database does not hold: what they held is lost");
        report.add_many(Kind::JournalDamaged, missing_behind, why);
    }
    if missing_before > 0 {
        let why = format!("{missing_before} that the database holds, too: nothing is lost, and the drive is not to be trusted");
        report.add_many(Kind::JournalDamaged, missing_before, why);
    }
    let Some(position) = position else { return Ok(()) };
    if position < held {
        let first = first.unwrap_or(u64::MAX);
        let lost = match first <= position + 1 {
            true => "the next start puts all of it back from the journal".to_owned(),
            false => format!("the journal begins at record {first}: what was stored before, and behind {position}, is lost"),
        };
        report.add(Kind::DatabaseCutShort, format!("it held records up to {held} and now up to {position}; {lost}"));
    }
    Ok(())
}

fn space(path: &Path, report: &mut Report) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(aside::FOLDER) {
            let bytes = bytes_of(&entry.path())?;
            report.space.set_aside_bytes += bytes;
            report.set_aside.push(SetAside { folder: entry.path(), bytes });
        } else if aside::is_of_database(&name) {
            report.space.database_bytes += bytes_of(&entry.path())?;
        }
    }
    report.set_aside.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(())
}

/// The bytes of a file, or of all files in a folder.
fn bytes_of(path: &Path) -> io::Result<u64> {
    let about = fs::metadata(path)?;
    if about.is_file() {
        return Ok(about.len());
    }
    fs::read_dir(path)?.map(|entry| bytes_of(&entry?.path())).sum()
}
