//! What an examination of a store tells.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// So many of a kind of problem are named; of the others only the number.
const NAMED_MAX: usize = 20;

/// All that was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What the database holds.
    pub counts: Counted,
    /// What is wrong. Nothing where the store is sound.
    pub problems: BTreeMap<Kind, Found>,
    /// The journal.
    pub journal: JournalState,
    /// Bytes.
    pub space: Space,
    /// Databases that were set aside because they were damaged.
    pub set_aside: Vec<SetAside>,
    /// Whether the index was written anew, and what that changed.
    pub rebuilt: Option<Rebuilt>,
}

/// What the database holds, as counted one by one.
#[derive(Debug, Default, Serialize)]
pub struct Counted {
    /// Events.
    pub events: u64,
    /// Deliveries that wait for an attempt.
    pub pending: u64,
    /// Deliveries that the application took.
    pub delivered: u64,
    /// Deliveries that are parked.
    pub parked: u64,
    /// Deliveries that were called off.
    pub cancelled: u64,
    /// Attempts that are not the newest of their deliveries.
    pub older_attempts: u64,
    /// What is known of providers' event ids: entries.
    pub event_ids: u64,
}

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The storage engine cannot open or read its file.
    DatabaseUnreadable,
    /// There is no database beside what else there is.
    DatabaseMissing,
    /// The database holds less than it did when the journal noted it last.
    DatabaseCutShort,
    /// Records of the journal cannot be read.
    JournalDamaged,
    /// An event's head (source, type, headers) cannot be read.
    HeadDamaged,
    /// What became of an event's deliveries cannot be read.
    StateDamaged,
    /// A body is not what was stored.
    BodyDamaged,
    /// A body, or the end of it, is not there.
    BodyMissing,
    /// An attempt cannot be read.
    AttemptDamaged,
    /// Providers' event ids cannot be read.
    EventIdsDamaged,
    /// Deliveries whose event is not there.
    DeliveryWithoutEvent,
    /// An event without a record of its deliveries.
    EventWithoutState,
    /// Heads or bodies that no block knows.
    PartWithoutBlock,
    /// An attempt whose delivery is not there.
    AttemptWithoutDelivery,
    /// A block that an index does not lead to.
    IndexKeyMissing,
    /// A key of an index that leads to nothing, or to what does not belong there.
    IndexKeyWithoutBlock,
    /// The counts are not those of what is there.
    CountsWrong,
}

/// How often, and where.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<String>,
}

/// The journal.
#[derive(Debug, Default, Serialize)]
pub struct JournalState {
    /// Files.
    pub segments: u64,
    /// The number of the first record.
    pub first: Option<u64>,
    /// The number of the last record.
    pub last: Option<u64>,
    /// The database holds all records up to this one.
    pub position: u64,
    /// Records that the next start moves into the database.
    pub to_replay: u64,
    /// Of them, those that bring a new event.
    pub new_events: u64,
}

/// Bytes on disk, and those that are of use.
#[derive(Debug, Default, Serialize)]
pub struct Space {
    /// The database's keys and values.
    pub live_bytes: u64,
    /// The database's files.
    pub database_bytes: u64,
    /// The journal's files.
    pub journal_bytes: u64,
    /// What was set aside.
    pub set_aside_bytes: u64,
}

/// A database that was set aside.
#[derive(Debug, Serialize)]
pub struct SetAside {
    /// Its folder.
    pub folder: PathBuf,
    /// Its bytes.
    pub bytes: u64,
}

/// What a rebuilt index has that the old one had not, and the other way round.
#[derive(Debug, Default, Serialize)]
pub struct Rebuilt {
    /// Keys that were missing.
    pub added: u64,
    /// Keys that led nowhere.
    pub removed: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn add(&mut self, kind: Kind, example: String) {
        self.add_many(kind, 1, example);
    }

    pub(super) fn add_many(&mut self, kind: Kind, count: u64, example: String) {
        let found = self.problems.entry(kind).or_default();
        found.count += count;
        if found.examples.len() < NAMED_MAX {
            found.examples.push(example);
        }
    }
}

impl Kind {
    /// In words, for people.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::DatabaseUnreadable => "the database cannot be read",
            Self::DatabaseMissing => "the database is missing",
            Self::DatabaseCutShort => "the database was cut short",
            Self::JournalDamaged => "records of the journal are damaged",
            Self::HeadDamaged => "heads of events are damaged",
            Self::StateDamaged => "states of events are damaged",
            Self::BodyDamaged => "bodies are damaged",
            Self::BodyMissing => "bodies are missing",
            Self::AttemptDamaged => "attempts are damaged",
            Self::EventIdsDamaged => "event ids of providers are damaged",
            Self::DeliveryWithoutEvent => "deliveries have no event",
            Self::EventWithoutState => "events have no state",
            Self::PartWithoutBlock => "heads or bodies belong to no block",
            Self::AttemptWithoutDelivery => "attempts have no delivery",
            Self::IndexKeyMissing => "keys of the index are missing",
            Self::IndexKeyWithoutBlock => "keys of the index lead nowhere",
            Self::CountsWrong => "the counts are wrong",
        }
    }

    /// Whether a rebuilt index repairs it.
    pub const fn is_of_index(self) -> bool {
        matches!(self, Self::IndexKeyMissing | Self::IndexKeyWithoutBlock | Self::CountsWrong)
    }
}
