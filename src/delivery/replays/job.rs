//! One replay as a stored job: what it is, how far it is, and the ids of the events that it covers.
//!
//! Two files in the folder `replays` of the store: `ID.events` has the ids as they were found when the job was made, newest first,
//! 16 bytes each, and never changes; `ID.json` says the rest, and is written anew as the job goes on.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk;
use crate::record::{EventId, Name};
use crate::time::Timestamp;

/// The bytes of an event's id.
const ID_BYTES: u64 = 16;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// Makes deliveries.
    Running,
    /// A person holds it.
    Paused,
    /// All deliveries are made.
    Done,
    /// A person called it off; what it made stays.
    Cancelled,
}

impl ReplayState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Done, Self::Cancelled];

    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a job says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Its id.
    pub id: EventId,
    /// Where it stands.
    pub state: ReplayState,
    /// When a person asked for it.
    pub created_at: Timestamp,
    /// The events that it covers.
    pub matched: u64,
    /// Those that it is through with.
    pub through: u64,
    /// The deliveries that it made, or hurried.
    pub created: u64,
    /// Those of them that were delivered. A crash may lose the count of the last second.
    pub delivered: u64,
    /// Those of them that are parked.
    pub failed: u64,
    /// Where they go; empty: where the routes say, at the time.
    pub to: Vec<Name>,
    /// So many events in a second at most.
    pub rate_per_s: Option<f64>,
    /// The filter as a person asked for it.
    pub filter: Value,
}

/// The files of all jobs.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

/// The ids of a job while they are found.
pub(super) struct Finding {
    file: BufWriter<File>,
    count: u64,
}

impl Finding {
    pub(super) fn add(&mut self, id: EventId) -> io::Result<()> {
        self.count += 1;
        self.file.write_all(&id.to_bytes())
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl Files {
    /// Below the store's folder.
    pub(super) fn below(store: &Path) -> Self {
        Self { folder: store.join("replays") }
    }

    /// All jobs that are whole, oldest first. What a crash left unfinished is removed.
    pub(super) fn all(&self) -> io::Result<Vec<Replay>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut jobs = Vec::new();
        let mut lists = Vec::new();
        for entry in entries {
            let path = entry?.path();
            match path.extension().and_then(|kind| kind.to_str()) {
                Some("json") => match serde_json::from_slice::<Replay>(&fs::read(&path)?) {
                    Ok(job) => jobs.push(job),
                    Err(error) => tracing::error!(file = %path.display(), %error, "a replay cannot be read; it does not go on"),
                },
                Some("events") => lists.push(path),
                _ => fs::remove_file(&path)?,
            }
        }
        for list in lists {
            if !list.with_extension("json").exists() {
                fs::remove_file(list)?;
            }
        }
        jobs.sort_by_key(|job| job.id);
        Ok(jobs)
    }

    /// Begins to write the ids of a job.
    pub(super) fn find(&self, id: EventId) -> io::Result<Finding> {
        disk::make_folder(&self.folder)?;
        Ok(Finding { file: BufWriter::new(File::create(self.list(id))?), count: 0 })
    }

    /// Makes the ids durable. The job counts once it is kept.
    pub(super) fn found(&self, finding: Finding) -> io::Result<()> {
        finding.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// Makes durable what a job says of itself now.
    pub(super) fn keep(&self, job: &Replay) -> io::Result<()> {
        disk::replace(&self.about(job.id), &serde_json::to_vec(job).map_err(io::Error::other)?)
    }

    /// Lets a job go, or what there is of one.
    pub(super) fn forget(&self, id: EventId) -> io::Result<()> {
        for path in [self.about(id), self.list(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The events of a job behind the first `through`, oldest first, at most `limit`.
    pub(super) fn events(&self, id: EventId, through: u64, limit: usize) -> io::Result<Vec<EventId>> {
        let file = File::open(self.list(id))?;
        // Newest first in the file, so the next ones are at its end.
        let left = (file.metadata()?.len() / ID_BYTES).saturating_sub(through);
        let count = left.min(limit as u64);
        let mut bytes = vec![0; usize::try_from(count * ID_BYTES).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, (left - count) * ID_BYTES)?;
        let (ids, _) = bytes.as_chunks::<16>();
        Ok(ids.iter().rev().map(|id| EventId::from_bytes(*id)).collect())
    }

    fn about(&self, id: EventId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn list(&self, id: EventId) -> PathBuf {
        self.folder.join(format!("{id}.events"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventIds;

    fn job(id: EventId) -> Replay {
        Replay {
            id,
            state: ReplayState::Running,
            created_at: Timestamp::from_ms(5),
            matched: 5,
            through: 0,
            created: 0,
            delivered: 0,
            failed: 0,
            to: Vec::new(),
            rate_per_s: Some(0.5),
            filter: Value::from("all"),
        }
    }

    #[test]
    fn a_job_and_its_events_are_read_back_oldest_first() {
        let (folder, mut ids) = (tempfile::tempdir().unwrap(), EventIds::default());
        let files = Files::below(folder.path());
        assert_eq!(files.all().unwrap(), []);
        let events: Vec<_> = (0..5).map(|n| ids.next(Timestamp::from_ms(n), 0)).collect();
        let id = ids.next(Timestamp::from_ms(9), 0);
        let mut finding = files.find(id).unwrap();
        events.iter().rev().for_each(|event| finding.add(*event).unwrap());
        assert_eq!(finding.count(), 5);
        files.found(finding).unwrap();
        // Not kept yet: a crash here leaves nothing.
        assert_eq!(files.all().unwrap(), []);
        assert!(!files.list(id).exists());
        let mut finding = files.find(id).unwrap();
        events.iter().rev().for_each(|event| finding.add(*event).unwrap());
        files.found(finding).unwrap();
        files.keep(&job(id)).unwrap();
        assert_eq!(files.all().unwrap(), [job(id)]);
        assert_eq!(files.events(id, 0, 2).unwrap(), events[..2]);
        assert_eq!(files.events(id, 2, 9).unwrap(), events[2..]);
        assert_eq!(files.events(id, 5, 9).unwrap(), []);
        files.forget(id).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("replays")).unwrap().count(), 0);
    }
}
