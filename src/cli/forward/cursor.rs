//! How far a source was forwarded: a file that survives a restart, with the events that were sent.
//!
//! ```text
//! hookhold-forward 1 SINCE BELOW      milliseconds, and an event's id or `-`
//! EVENT                               sent, or not wanted; one a line, added as it happens
//! ```
//!
//! Events may become durable in another order than their ids. So a look goes back a bounded time from the newest that was sent, and
//! what was sent in that time is remembered one by one; all that is older counts as sent. The file is written anew, whole, before it
//! grows long; one program at a time has it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fs2::FileExt;

use crate::record::EventId;
use crate::time::Timestamp;

/// An event may become durable so much later than one with a newer id: far longer than a commit takes.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(10);
/// Events that are remembered one by one: what a fast source receives in that time.
const REMEMBERED_MAX: usize = 50_000;
/// The file is written anew when it has so many lines more than are needed.
const SPARE_LINES: usize = 4096;
/// Begins the file; a number says how it is written.
const MAGIC: &str = "hookhold-forward 1";

/// From where a source is forwarded that never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Behind this event; from the first one on where there is none yet.
    Behind(Option<EventId>),
    /// What was received at this time or later.
    Since(Timestamp),
}

/// What was sent.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    file: File,
    lines: usize,
    sent: Sent,
}

#[derive(Debug, Default, PartialEq)]
struct Sent {
    since: Timestamp,
    /// This one and all older ones count as sent.
    below: Option<EventId>,
    one_by_one: BTreeSet<EventId>,
}

impl Cursor {
    /// The cursor in the file at `path`, where there is one.
    pub(super) fn open(path: &Path) -> anyhow::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| format!("{} cannot be opened", path.display()))?,
        };
        lock(&file, path)?;
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let sent = Sent::read(&text).with_context(|| format!("{} is no cursor of `hookhold forward`", path.display()))?;
        Self::write(path, sent).map(Some)
    }

    /// A new one.
    pub(super) fn begin(path: &Path, start: Start) -> anyhow::Result<Self> {
        let sent = match start {
            Start::Behind(below) => Sent { below, ..Sent::default() },
            Start::Since(since) => Sent { since, ..Sent::default() },
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        Self::write(path, sent)
    }

    /// From which time on a look must list that misses nothing.
    pub(super) fn look_back(&self) -> Timestamp {
        let newest = self.newest().map_or(Timestamp::default(), |newest| newest.made_at().before(LOOK_BACK));
        newest.max(self.sent.floor())
    }

    /// From which time on a look must list that finds what is new.
    pub(super) fn look_on(&self) -> Timestamp {
        self.newest().map_or(self.sent.floor(), EventId::made_at)
    }

    /// Whether an event was sent, or is so old that it counts as sent.
    pub(super) fn has(&self, event: EventId) -> bool {
        self.sent.below.is_some_and(|below| event <= below) || self.sent.one_by_one.contains(&event)
    }

    /// Notes that an event was sent. A kill of the process does not undo that.
    pub(super) fn put(&mut self, event: EventId) -> anyhow::Result<()> {
        let cannot = || format!("{} cannot be written", self.path.display());
        self.file.write_all(format!("{event}\n").as_bytes()).with_context(cannot)?;
        self.lines += 1;
        self.sent.put(event);
        if self.lines > self.sent.one_by_one.len() + SPARE_LINES {
            *self = Self::write(&self.path, std::mem::take(&mut self.sent))?;
        }
        Ok(())
    }

    fn newest(&self) -> Option<EventId> {
        self.sent.one_by_one.last().copied().max(self.sent.below)
    }

    /// Writes the file anew, and keeps it open.
    fn write(path: &Path, sent: Sent) -> anyhow::Result<Self> {
        let cannot = || format!("{} cannot be written", path.display());
        let new = path.with_extension(format!("{}.new", std::process::id()));
        // What passes here is nobody else's business.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).with_context(cannot)?;
        lock(&file, path)?;
        file.write_all(sent.written().as_bytes()).and_then(|()| file.sync_all()).with_context(cannot)?;
        fs::rename(&new, path).with_context(cannot)?;
        Ok(Self { path: path.to_owned(), file, lines: sent.one_by_one.len(), sent })
    }
}

/// Takes a file for this process. One that was replaced meanwhile is another's.
fn lock(file: &File, path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    if file.try_lock_exclusive().is_err() {
        bail!("{name} is in use: another `hookhold forward` has it; name another one with --cursor");
    }
    if let (Ok(there), Ok(mine)) = (fs::metadata(path), file.metadata()) {
        // A new file has not taken its place yet.
        ensure!(there.ino() == mine.ino() || mine.len() == 0, "{name} is in use: it was just replaced");
    }
    Ok(())
}

impl Sent {
    fn floor(&self) -> Timestamp {
        self.below.map_or(self.since, |below| self.since.max(below.made_at()))
    }

    fn put(&mut self, event: EventId) {
        self.one_by_one.insert(event);
        let old = self.one_by_one.last().map_or(Timestamp::default(), |newest| newest.made_at().before(LOOK_BACK));
        while let Some(first) = self.one_by_one.first().copied()
            && (first.made_at() < old || self.one_by_one.len() > REMEMBERED_MAX)
        {
            self.one_by_one.pop_first();
            self.below = self.below.max(Some(first));
        }
    }

    fn written(&self) -> String {
        let below = self.below.map_or_else(|| "-".to_owned(), |below| below.to_string());
        let mut text = format!("{MAGIC} {} {below}\n", self.since.ms());
        self.one_by_one.iter().for_each(|event| text.push_str(&format!("{event}\n")));
        text
    }

    fn read(text: &str) -> Option<Self> {
        let (first, rest) = text.split_once('\n')?;
        let (since, below) = first.strip_prefix(MAGIC)?.trim_start().split_once(' ')?;
        let below = if below == "-" { None } else { Some(below.parse().ok()?) };
        let mut sent = Self { since: Timestamp::from_ms(since.parse().ok()?), below, one_by_one: BTreeSet::new() };
        // The last line may be torn: then its event is sent again.
        rest.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok()).for_each(|event| sent.put(event));
        Some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventIds;

    fn events(ms: &[u64]) -> Vec<EventId> {
        let mut ids = EventIds::default();
        ms.iter().map(|ms| ids.next(Timestamp::from_ms(1_790_000_000_000 + ms), 7)).collect()
    }

    #[test]
    fn what_was_sent_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/cursor");
        assert!(Cursor::open(&path).unwrap().is_none());
        let ids = events(&[0, 1, 2, 5, 9_000, 30_000]);
        let mut cursor = Cursor::begin(&path, Start::Behind(Some(ids[0]))).unwrap();
        assert!(cursor.has(ids[0]) && !cursor.has(ids[1]));
        for id in [ids[3], ids[1]] {
            cursor.put(id).unwrap();
        }
        assert!(Cursor::open(&path).unwrap_err().to_string().contains("in use"));
        drop(cursor);
        // As a kill in the middle of a line leaves it.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&ids[4].to_string().as_bytes()[..20]).unwrap();
        let mut cursor = Cursor::open(&path).unwrap().unwrap();
        assert_eq!([0, 1, 2, 3, 4].map(|n| cursor.has(ids[n])), [true, true, false, true, false]);
        assert_eq!(cursor.look_back(), ids[0].made_at(), "not before where it began");
        assert_eq!(cursor.look_on(), ids[3].made_at());
        // One that comes late is sent still; once the time is over it counts as sent.
        cursor.put(ids[4]).unwrap();
        assert!(!cursor.has(ids[2]));
        cursor.put(ids[5]).unwrap();
        assert!(cursor.has(ids[2]) && cursor.has(ids[4]));
        assert_eq!(cursor.look_back(), ids[5].made_at().before(LOOK_BACK));
    }

    #[test]
    fn the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor");
        let ids = events(&(0..3 * SPARE_LINES as u64).map(|n| n * 100).collect::<Vec<_>>());
        let mut cursor = Cursor::begin(&path, Start::Since(ids[0].made_at())).unwrap();
        ids.iter().for_each(|id| cursor.put(*id).unwrap());
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 2 * SPARE_LINES, "{lines}");
        drop(cursor);
        let cursor = Cursor::open(&path).unwrap().unwrap();
        assert!(ids.iter().all(|id| cursor.has(*id)) && cursor.sent.one_by_one.len() < 200);
    }

    #[test]
    fn another_file_is_not_taken_for_a_cursor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        fs::write(&path, "[listen]\n").unwrap();
        assert!(Cursor::open(&path).unwrap_err().to_string().contains("is no cursor"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "[listen]\n");
    }
}
