//! The border between ingest and delivery: events and deliveries, durable.
//!
//! [`Store`] is what every kind of store promises; `tests/it/store_story.rs` runs one story on each. Ingest appends,
//! delivery claims and settles, and neither knows the other. An [`Intake`] can only be built from a
//! [`Verified`](crate::signature::Verified), so what was not verified cannot be stored as an event.
//!
//! Never here: HTTP, retry rules, configuration files.

mod answers;
pub mod archive;
mod audit;
mod brought;
mod commit;
mod error;
mod feed;
pub mod handoff;
mod intake;
mod journal;
mod memory;
mod pauses;
mod purge;
mod quarantine;
mod query;
mod retention;
mod sled;
mod space;
mod waiter;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::sled::doctor;
pub use self::sled::{FORMAT, OpenError, Proof, RestoreError, Sled, is_free, restore};
pub use archive::Backup;
pub use audit::{AuditBounds, AuditFilter, AuditLog, Audited, Deed, Outcome as AuditOutcome};
pub use brought::Brought;
pub use commit::{CommitObserver, CommitReport};
pub use error::Error;
pub use feed::{FACT_BYTES_MAX, FACTS_MAX, Fact, Feed, Missed, News, NoPlace, Place, READERS_MAX, Reader};
pub use handoff::Fresh;
pub use intake::{Dedupe, Intake};
#[cfg(fuzzing)]
pub use journal::{journal_records, journal_segment};
pub use memory::Memory;
pub use pauses::{NotChanged, Pausable, Pauses, Prepared, Valve};
pub use purge::{Purge, Purged};
pub use quarantine::{Bounds as QuarantineBounds, Group as QuarantineGroup, Kept, Quarantine, QuarantineFilter, Quarantined};
pub use query::{Cursor, DeliveryFilter, EventFilter, EventState, Listed, Page};
pub use retention::Retention;
pub use space::Space;
pub use waiter::{Asking, Heard, PASSED_BYTES_MAX, Passed, UnderWay, Waiter, Waiters, Word};

use crate::record::{Attempt, Delivery, DeliveryId, Event, EventId, Name, Verdict};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// A durable store of events and deliveries.
///
/// Claims carry a fencing token and nothing assumes that one process is alone, so that a store which several relays share can
/// stand beside the one of one machine. Methods that change something return once the change is durable, except
/// [`Store::settle`], [`Store::release`] and [`Store::purge`], which may return before: losing them costs a second delivery or some
/// bytes, never an event.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes an event and its deliveries durable, or finds that the provider sent it before. Both in one atomic step, and a
    /// duplicate of an event that is not durable yet waits for it. A duplicate of an event with parked deliveries makes these
    /// due now with a new budget.
    async fn append(&self, intake: Intake) -> Result<Appended, Error>;

    /// Opens the hand-over of just stored deliveries for the lane of `destination`; replaces an earlier one.
    /// `capacity`: how many may wait in it. A fresh delivery that is handed over is claimed.
    fn handoff(&self, destination: &Name, capacity: usize) -> Fresh;

    /// Those who wait for what an attempt brings. An [`Intake`] takes an [`Asking`] along, and is waited for from then on, also where it
    /// is a repeat; a [`Settlement`] with a [`Word`] ends the wait.
    fn waiters(&self) -> &Arc<Waiters>;

    /// What happens, for people who watch: an event once it is durable, an attempt and a change of a delivery once they can be seen.
    fn feed(&self) -> &Arc<Feed>;

    /// Claims up to `limit` deliveries of `destination` that are due at `now`, the longest due first, and tells when the
    /// next unclaimed one is due. Of those with the same order key at most one is claimed at a time, in the order of their events. A claimed delivery is not given out again until it is settled or released.
    async fn claim_due(&self, destination: &Name, now: Timestamp, limit: usize) -> Result<Due, Error>;

    /// Records an attempt and changes its delivery's state; where it comes again, its lane is told. A claim that no longer holds is
    /// ignored. May return before the change is seen; whatever is changed afterwards comes after it.
    async fn settle(&self, settlement: Settlement) -> Result<(), Error>;

    /// Gives a claim back without an attempt.
    async fn release(&self, claim: Claim) -> Result<(), Error>;

    /// Makes new deliveries of an event: to `destinations`. Where a delivery to one of them is pending (or in flight), that
    /// one is made due now instead, and its id is returned. [`Error::NotFound`] for an unknown event.
    async fn replay(&self, event: EventId, destinations: &[Name], now: Timestamp) -> Result<Vec<DeliveryId>, Error> {
        let made = self.replay_as(event, destinations, None, now).await?;
        Ok(made.into_iter().map(|made| made.id).collect())
    }

    /// As [`Self::replay`], for a replay that is a job: new deliveries name it.
    async fn replay_as(
        &self,
        event: EventId,
        destinations: &[Name],
        replay: Option<String>,
        now: Timestamp,
    ) -> Result<Vec<Made>, Error>;

    /// Makes a delivery due now, with a new budget. [`Error::Conflict`] where its state forbids it or it is in flight.
    async fn retry(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error>;

    /// Parks a pending delivery, as a person wants it: it is kept, and holds nothing up. [`Error::Conflict`] where its state forbids it
    /// or it is in flight.
    async fn park(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error>;

    /// Calls a delivery off. [`Error::Conflict`] where its state forbids it or it is in flight.
    async fn cancel(&self, delivery: DeliveryId, now: Timestamp) -> Result<Delivery, Error>;

    /// Removes events that are not needed any more, with bodies, deliveries and attempts: one step, whose work is bounded. Repeats
    /// of what is gone are known until their time is over. May return before the change is seen.
    async fn purge(&self, purge: Purge) -> Result<Purged, Error>;

    /// One event.
    async fn event(&self, id: EventId) -> Result<Option<Event>, Error>;

    /// The body of an event, byte for byte.
    async fn body(&self, id: EventId) -> Result<Option<Bytes>, Error>;

    /// The deliveries of an event, oldest first.
    async fn deliveries_of(&self, event: EventId) -> Result<Vec<Tracked>, Error>;

    /// One delivery.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Tracked>, Error>;

    /// The attempts of a delivery, oldest first.
    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, Error>;

    /// Events that fit `filter`, newest first. A page costs what it shows, not what the store holds.
    async fn events(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error>;

    /// As [`Self::events`], oldest first: for whoever follows what comes. A page costs the same wherever it begins.
    async fn events_oldest_first(&self, filter: &EventFilter, page: Page) -> Result<Listed<Event>, Error>;

    /// Deliveries that fit `filter`, newest event first.
    async fn deliveries(&self, filter: &DeliveryFilter, page: Page) -> Result<Listed<Tracked>, Error>;

    /// How much there is.
    fn counts(&self) -> Counts;

    /// The bytes that the store takes on disk (or in memory).
    async fn bytes(&self) -> Result<u64, Error>;

    /// How one destination stands.
    async fn backlog(&self, destination: &Name) -> Result<Backlog, Error>;

    /// The order keys of one destination for which deliveries wait behind an earlier one, and up to `limit` of those that they wait
    /// for. Costs a bounded look, so very many keys are counted in part.
    async fn blocked(&self, destination: &Name, limit: usize) -> Result<Blocked, Error>;

    /// Gives their turn to deliveries that wait for an earlier one of their order key which is not there any more: only damage can
    /// bring that about. Costs a look at each key of the destination for which something waits; for the start of a lane.
    async fn mend_order(&self, destination: &Name, now: Timestamp) -> Result<(), Error>;

    /// Begins a backup, which holds every event that was acknowledged before, each as it is at some time until the backup ends. One
    /// at a time; [`Error::Conflict`] where one is under way, or where this kind of store keeps nothing that could be restored. Must
    /// be called within a runtime.
    fn backup(&self) -> Result<Backup, Error> {
        Err(Error::Conflict("this kind of store has no backups".to_owned()))
    }

    /// How long a change that is handed in now waits until it is durable, as far as can be foreseen.
    fn wait(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the store can still make things durable; `Err` says why not. It does not recover without a restart.
    fn health(&self) -> Result<(), String>;

    /// Finishes what waits, makes it durable and stops. Later calls fail with [`Error::Closed`].
    async fn close(&self) -> Result<(), Error>;
}

/// What became of an [`Intake`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is a new event, and durable.
    Stored(EventId),
    /// The provider sent this event before; it is durable, and now counts one more duplicate. Or it was, and is gone since.
    Duplicate(EventId),
}

/// A delivery that a replay made, or hurried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The delivery.
    pub id: DeliveryId,
    /// Whether it is new; else it was pending already.
    pub is_new: bool,
}

/// The right to attempt a delivery, until it is settled or released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Rises with every claim: a settlement under an older one is ignored.
    pub fence: u64,
}

/// A claimed delivery with all that an attempt needs.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The right to attempt it.
    pub claim: Claim,
    /// The delivery as stored.
    pub delivery: Delivery,
    /// Its event.
    pub event: Arc<Event>,
    /// The event's body.
    pub body: Bytes,
}

/// What [`Store::claim_due`] found.
#[derive(Debug, Default)]
pub struct Due {
    /// What may be attempted now.
    pub claimed: Vec<Claimed>,
    /// When the next unclaimed delivery is (or was) due; `None` where none is pending.
    pub next: Option<Timestamp>,
}

/// What came of an attempt, to be recorded.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The claim under which it was made.
    pub claim: Claim,
    /// The attempt.
    pub attempt: Attempt,
    /// What the retry rule says.
    pub verdict: Verdict,
    /// When the attempt ended.
    pub now: Timestamp,
    /// For those who wait for it, where somebody may: told at once, since the event is durable, and again in the order of changes.
    pub word: Option<Arc<Word>>,
}

/// A delivery and whether an attempt of it is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The delivery as stored.
    pub delivery: Delivery,
    /// Whether it is claimed.
    pub in_flight: bool,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Deliveries that wait for an attempt, or are in flight.
    pub pending: u64,
    /// Deliveries that are in flight.
    pub in_flight: u64,
    /// Deliveries that are parked.
    pub parked: u64,
    /// Deliveries that the application took.
    pub delivered: u64,
    /// Deliveries that were called off.
    pub cancelled: u64,
    /// Records that were met and cannot be read.
    pub damaged: u64,
    /// The bytes of all events, as counted by [`Event::stored_bytes`].
    pub bytes: u64,
    /// Of these, the bytes of events for which nothing is to be done any more.
    pub done_bytes: u64,
}

/// How one destination stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that wait for an attempt, or are in flight.
    pub pending: u64,
    /// Deliveries that are in flight.
    pub in_flight: u64,
    /// Deliveries that are parked.
    pub parked: u64,
    /// When the longest due delivery was due (or is, where none is due yet).
    pub oldest_due_at: Option<Timestamp>,
}

/// What order keys hold up at one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// Keys for which deliveries wait.
    pub keys: u64,
    /// The deliveries that they wait for.
    pub by: Vec<Tracked>,
}
