//! Alarms: what is wrong, since when, and when somebody must hear of it.
//!
//! ```text
//! Facts -> judge (which conditions hold, and since when) -> board (what begins, lasts, ends) -> Notice
//! ```
//!
//! Pure: time and facts are arguments. Never here: a socket, a clock, a secret, or anything of a body.

mod board;
mod facts;
mod judge;
mod rules;
mod window;
mod words;

use std::fmt;
use std::sync::Arc;

use crate::record::Name;
use crate::time::Timestamp;

pub use board::{Board, ENDED_MAX};
pub use facts::{Backlog, CertificateFacts, DestinationFacts, Facts, FailingOrders, HostFacts, SourceFacts, StoreFacts};
pub use judge::Judge;
pub use rules::{Burst, Damping, Growth, Rules};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A source had no event for longer than it is expected to.
    SourceSilent,
    /// Many requests of a source were not believed.
    BadSignatures,
    /// An application takes nothing, or does not answer at all.
    DestinationFailing,
    /// Deliveries are not attempted in time.
    DeliveriesOverdue,
    /// Deliveries gave up.
    DeliveriesParked,
    /// What must be kept takes nearly all that the store may take.
    QuotaNear,
    /// The store's disk has little room left.
    DiskNearlyFull,
    /// A certificate that the relay shows ends soon.
    CertificateExpiring,
    /// A host gets no certificate from its CA, or no new one.
    CertificateNotIssued,
    /// Nothing new is accepted.
    StoreNotReady,
    /// Stored records cannot be read.
    StoreDamaged,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 11] = [
        Self::SourceSilent,
        Self::BadSignatures,
        Self::DestinationFailing,
        Self::DeliveriesOverdue,
        Self::DeliveriesParked,
        Self::QuotaNear,
        Self::DiskNearlyFull,
        Self::CertificateExpiring,
        Self::CertificateNotIssued,
        Self::StoreNotReady,
        Self::StoreDamaged,
    ];

    /// The word for it in the API, in metrics and in messages; but for two it is the setting's, too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SourceSilent => "source_silent",
            Self::BadSignatures => "bad_signatures",
            Self::DestinationFailing => "destination_failing",
            Self::DeliveriesOverdue => "deliveries_overdue",
            Self::DeliveriesParked => "deliveries_parked",
            Self::QuotaNear => "quota_near",
            Self::DiskNearlyFull => "disk_nearly_full",
            Self::CertificateExpiring => "certificate_expiring",
            Self::CertificateNotIssued => "certificate_not_issued",
            Self::StoreNotReady => "store_not_ready",
            Self::StoreDamaged => "store_damaged",
        }
    }
}

/// What an alarm is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A source.
    Source(Name),
    /// A destination.
    Destination(Name),
    /// A certificate, by its file.
    Certificate(Arc<str>),
    /// A host for which a CA is asked.
    Host(Arc<str>),
    /// The store.
    Store,
}

impl Subject {
    /// What stands before its name in the API: `{"source": "stripe"}`.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Destination(_) => "destination",
            Self::Certificate(_) => "certificate",
            Self::Host(_) => "host",
            Self::Store => "part",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source(name) | Self::Destination(name) => name,
            Self::Certificate(file) => file,
            Self::Host(host) => host,
            Self::Store => "store",
        })
    }
}

/// A condition that holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// With what.
    pub subject: Subject,
    /// Since when.
    pub since: Timestamp,
    /// When it has held for its time, so that an alarm begins.
    pub begins_at: Timestamp,
    /// How much, in words.
    pub detail: String,
}

/// How an alarm stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its condition holds, but not for its time yet.
    Pending,
    /// It has begun.
    Firing,
    /// It is over.
    Ended,
}

impl State {
    /// Every state, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Firing, Self::Ended];

    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Ended => "ended",
        }
    }
}

/// An alarm, from the first sign until a while after its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its own, also over restarts; rises with time.
    pub number: u64,
    /// What is wrong.
    pub kind: Kind,
    /// With what.
    pub subject: Subject,
    /// How it stands.
    pub state: State,
    /// Since when its condition holds (or held).
    pub since: Timestamp,
    /// When it began.
    pub began_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// When somebody was last told of it.
    pub last_sent_at: Option<Timestamp>,
    /// How much, in words; of an alarm that is over, what was last seen.
    pub detail: String,
}

/// What somebody is told of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It begins.
    Began,
    /// It goes on.
    Lasts,
    /// It is over.
    Ended,
}

impl Word {
    /// The word for it in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Lasts => "lasts",
            Self::Ended => "ended",
        }
    }
}

/// Something that must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub word: Word,
    /// To which alarm, as it stands then.
    pub alarm: Alarm,
    /// When.
    pub at: Timestamp,
}
