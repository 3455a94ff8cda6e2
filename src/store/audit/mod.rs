//! Who did what: a log of its own in the folder `audit` of the store's folder. It shares nothing with the event store, so it works
//! while that does not.
//!
//! What changes something is written down before it is done, and synced; what came of it afterwards, as a second line. What was
//! refused is kept apart, with a bound of its own and counted together, so that nobody can push out what was done by being refused.
//! Never here: a token, or a decision.

mod line;
mod refusals;
mod series;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::{EventId, EventIds};
use crate::time::{Clock, Timestamp};
use line::Line;
use refusals::Refusals;
use series::Series;

const FOLDER: &str = "audit";
/// Of all bytes, refusals have one in so many.
const REFUSED_SHARE: u64 = 8;

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub struct AuditBounds {
    /// So long.
    pub keep_for: Duration,
    /// So many bytes.
    pub bytes_max: u64,
}

/// Who did something, or tried to, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// A token's name, or a word for who has none; `None`: nobody knows.
    pub who: Option<String>,
    /// What they may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Where they called from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// A word such as `deliveries.retry`.
    pub action: String,
    /// The id or the name of what it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<serde_json::Value>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The status of the answer, or what it would have been.
    pub status: u16,
    /// What was told: why not, or how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Its id; the order of ids is that of time.
    pub id: EventId,
    /// When it began.
    pub at: Timestamp,
    /// Who, and what.
    #[serde(flatten)]
    pub deed: Deed,
    /// What came of it; `None` where that is not known: it is under way, or the relay ended before it could write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How often, where refusals were counted together.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub count: u64,
}

/// Which entries; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// By whom.
    pub who: Option<String>,
    /// This word, or all words that begin with it and a dot.
    pub action: Option<String>,
    /// That began at this time or later.
    pub since: Option<Timestamp>,
    /// That began before this time.
    pub until: Option<Timestamp>,
}

/// The log.
#[derive(Debug)]
pub struct AuditLog {
    changes: Mutex<Series>,
    refused: Mutex<Series>,
    refusals: Mutex<Refusals>,
    ids: Mutex<EventIds>,
    bounds: Mutex<AuditBounds>,
    /// One list is read at a time: it reads files of megabytes.
    reading: Mutex<()>,
    clock: Clock,
}

impl AuditLog {
    /// Opens the log below the store's folder. A line that was torn at the end of a file is cut off.
    pub fn open(store: &Path, bounds: AuditBounds, clock: Clock) -> io::Result<Self> {
        let folder = store.join(FOLDER);
        let [changes, refused] = shares(bounds);
        Ok(Self {
            changes: Mutex::new(Series::open(&folder, "changes", changes)?),
            refused: Mutex::new(Series::open(&folder, "refused", refused)?),
            refusals: Mutex::default(),
            ids: Mutex::default(),
            bounds: Mutex::new(bounds),
            reading: Mutex::default(),
            clock,
        })
    }

    /// What is kept from now on.
    pub fn set_bounds(&self, bounds: AuditBounds) {
        let [changes, refused] = shares(bounds);
        lock(&self.changes).bounds = changes;
        lock(&self.refused).bounds = refused;
        *lock(&self.bounds) = bounds;
    }

    /// Somebody is about to do something. When it returns, that is on stable storage; where it fails, it must not be done. Blocks.
    pub fn begin(&self, deed: Deed) -> io::Result<EventId> {
        self.write(&self.changes, deed, None, 1)
    }

    /// What came of what was begun. Blocks.
    pub fn end(&self, id: EventId, outcome: Outcome) -> io::Result<()> {
        let now = self.clock.now();
        lock(&self.changes).append(&Line::End { of: id, at: now, outcome }.written(), now)
    }

    /// Something is done already. Blocks.
    pub fn note(&self, deed: Deed, outcome: Outcome) -> io::Result<()> {
        self.write(&self.changes, deed, Some(outcome), 1).map(drop)
    }

    /// Something was refused before anybody looked at it. The first of its kind is written at once, the others are counted. Blocks.
    pub fn refused(&self, deed: Deed, outcome: Outcome) -> io::Result<()> {
        let now = self.clock.now();
        self.write_counted(now, false)?;
        // In a statement of its own: the lock must not be held while it is written.
        let is_first = lock(&self.refusals).count(&deed, &outcome, now);
        if is_first { self.write(&self.refused, deed, Some(outcome), 1).map(drop) } else { Ok(()) }
    }

    /// Writes what was counted long enough, and removes what was kept long enough. Blocks.
    pub fn tidy(&self) -> io::Result<()> {
        let now = self.clock.now();
        self.write_counted(now, false)?;
        lock(&self.changes).tidy(now)?;
        lock(&self.refused).tidy(now)
    }

    /// The relay ends: what was counted is written now. Blocks.
    pub fn close(&self) -> io::Result<()> {
        self.write_counted(self.clock.now(), true)
    }

    /// Entries that fit, newest first, behind `after`, at most `limit`; and how many lines could not be read on the way. Blocks.
    pub fn list(&self, filter: &AuditFilter, after: Option<EventId>, limit: usize) -> io::Result<(Vec<Audited>, usize)> {
        let _one = lock(&self.reading);
        let oldest = self.clock.now().before(lock(&self.bounds).keep_for);
        let fits = |entry: &Audited| entry.at >= oldest && after.is_none_or(|after| entry.id < after) && filter.fits(entry);
        let (mut found, mut damaged) = (Vec::new(), 0);
        for series in [&self.changes, &self.refused] {
            let pieces = lock(series).pieces()?;
            damaged += series::newest_first(&pieces, limit, &fits, &mut found)?;
        }
        found.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        found.truncate(limit);
        Ok((found, damaged))
    }

    fn write(&self, series: &Mutex<Series>, deed: Deed, outcome: Option<Outcome>, count: u64) -> io::Result<EventId> {
        let now = self.clock.now();
        let id = lock(&self.ids).next(now, rand::random());
        let entry = Audited { id, at: now, deed, outcome, count };
        lock(series).append(&Line::Entry(entry).written(), now).map(|()| id)
    }

    fn write_counted(&self, now: Timestamp, all: bool) -> io::Result<()> {
        let counted = lock(&self.refusals).counted(now, all);
        counted.into_iter().try_for_each(|(deed, outcome, count)| self.write(&self.refused, deed, Some(outcome), count).map(drop))
    }
}

impl AuditFilter {
    fn fits(&self, entry: &Audited) -> bool {
        let is_of = |wanted: &String| {
            let rest = entry.deed.action.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.who.as_ref().is_none_or(|who| entry.deed.who.as_ref() == Some(who))
            && self.action.as_ref().is_none_or(is_of)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// The bounds of what was done, and of what was refused.
fn shares(AuditBounds { keep_for, bytes_max }: AuditBounds) -> [AuditBounds; 2] {
    let refused = bytes_max / REFUSED_SHARE;
    [bytes_max - refused, refused].map(|bytes_max| AuditBounds { keep_for, bytes_max })
}

fn once() -> u64 {
    1
}

fn is_once(count: &u64) -> bool {
    *count == 1
}

/// A panic elsewhere leaves all of these whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
