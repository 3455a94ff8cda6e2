//! What a start does with the journal: everything that sled does not hold yet is replayed and moved into it.
//!
//! sled says up to which record it holds everything. Where it says less than the journal knows it once held, sled was cut short by
//! damage: what the journal still has is put back, and what it has not is told loudly. Damage of sled that a replay meets ends it: the
//! database is set aside, and all of the journal replayed into a new one.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::OpenError;
use super::checkpoint::Checkpointer;
use super::dedupe::Runs;
use super::entry::{Change, Entry};
use super::keys;
use super::layers::Lifted;
use super::open::Opened;
use super::overlay::Place;
use super::shared::{Shared, failed, read_tally};
use crate::store::Error;
use crate::store::journal::{self, Journal, Library};
use crate::time::Clock;

/// The folder of the journal.
pub(super) const JOURNAL: &str = "journal";

/// A store with nothing left to replay.
pub(super) struct Replayed {
    pub(super) journal: Journal,
    pub(super) shared: Arc<Shared>,
    pub(super) checkpointer: Checkpointer,
}

/// Why a replay ended.
enum Stop {
    Journal(io::Error),
    Store(Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Journal(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Replays the journal in the store's folder.
pub(super) fn replay(opened: Opened, path: &Path) -> Result<Replayed, OpenError> {
    replay_into(opened, path).map_err(|stop| match stop {
        Stop::Journal(why) => OpenError::Folder { path: path.join(JOURNAL), why },
        Stop::Store(Error::Damaged(why)) => OpenError::Damaged { path: path.into(), why },
        Stop::Store(why) => OpenError::Engine { path: path.into(), why: why.to_string() },
    })
}

fn replay_into(opened: Opened, path: &Path) -> Result<Replayed, Stop> {
    let Opened { db, durable, was_missing } = opened;
    let (tally, position) = (read_tally(&db)?, read_position(&db)?);
    let (runs, damaged) = Runs::open(db.clone(), durable.clone())?;
    let library = Library::default();
    let shared = Arc::new(Shared::new(db.clone(), library.clone(), tally.clone(), runs));
    shared.damaged.store(damaged, Ordering::Relaxed);
    shared.begin_at(position);
    let mut checkpointer = Checkpointer::new(db, durable, tally, shared.clone())?;
    let mut known = Known { shared: &shared, checkpointer: &mut checkpointer, held: 0, senseless: 0 };
    let (journal, found) = Journal::open(&path.join(JOURNAL), position, library, |number, payload| {
        known.record(number, payload).map_err(Stop::Store)
    })?;
    known.report(position, was_missing, &found);
    if found.has_gaps {
        give_lost_turns(&shared)?;
    }
    move_down(&shared, &mut checkpointer, true)?;
    shared.damaged.fetch_add(checkpointer.miss(), Ordering::Relaxed);
    checkpointer.held.begin_at(shared.number());
    checkpointer.release(shared.number(), &journal.release())?;
    Ok(Replayed { journal, shared, checkpointer })
}

/// The end of a delivery may be there, and the turn of the next one of its key be in a piece that was lost.
fn give_lost_turns(shared: &Shared) -> Result<(), Error> {
    let (destinations, now) = (shared.tally().deliveries.keys().cloned().collect::<Vec<_>>(), Clock::system().now());
    for destination in destinations {
        for id in shared.lost_turns(&destination)? {
            let Lifted::There(block, mut record) = shared.lift(id.event)? else { continue };
            let Some(known) = record.delivery_mut(id) else { continue };
            let Ok(delivery) = known.delivery.clone().in_turn(now) else { continue };
            known.delivery = delivery;
            shared.apply([(shared.number(), Place::In(block), Change { record, attempts: Vec::new(), arrival: None })]);
        }
    }
    Ok(())
}

pub(super) fn read_position(db: &sled::Db) -> Result<u64, Error> {
    let value = db.get(keys::position()).map_err(failed)?;
    Ok(value.and_then(|value| value.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
}

fn move_down(shared: &Shared, checkpointer: &mut Checkpointer, all: bool) -> Result<(), Error> {
    if let Some(layer) = shared.freeze(all) {
        checkpointer.write(&layer)?;
        drop(shared.thaw());
    }
    Ok(())
}

/// The store as it grows during a replay.
struct Known<'s> {
    shared: &'s Arc<Shared>,
    checkpointer: &'s mut Checkpointer,
    /// What sled held durably once, as far as the journal knows.
    held: u64,
    /// Records that are whole and make no sense.
    senseless: u64,
}

impl Known<'_> {
    fn record(&mut self, number: u64, payload: &[u8]) -> Result<(), Error> {
        match Entry::decode(payload) {
            Some(Entry::Checkpoint(held)) => self.held = self.held.max(held),
            Some(Entry::Change(change)) => {
                // Part of it may have been moved already when the process ended.
                let place = match self.shared.lift(change.record.id)? {
                    Lifted::There(block, _) => Place::In(block),
                    Lifted::Gone(place) => place,
                    Lifted::MayBeDamaged => Place::New,
                };
                self.shared.apply([(number, place, change)]);
            }
            Some(Entry::Purge(gone)) => {
                for id in gone {
                    if let Lifted::There(block, _) = self.shared.lift(id)? {
                        self.shared.apply_purges([(number, block, vec![id])]);
                    }
                }
            }
            // The journal has none: its ids come with their events.
            Some(Entry::Ids(_)) | None => self.senseless += 1,
        }
        move_down(self.shared, self.checkpointer, false)
    }

    fn report(&self, position: u64, was_missing: bool, found: &journal::Replayed) {
        let unreadable = found.missing - found.missing_before + self.senseless;
        self.shared.damaged.fetch_add(found.missing_before + unreadable, Ordering::Relaxed);
        if unreadable > 0 {
            tracing::error!(
                records = unreadable,
                "records of the journal cannot be read; what they held is lost unless sled has it"
            );
        }
        let (records, first) = (found.records, found.first.unwrap_or_default());
        if found.missing_before > 0 {
            tracing::error!(
                position,
                first,
                "the journal does not keep all that the database lost; what was stored between these records is not there"
            );
        }
        if found.is_empty && position > 0 {
            tracing::error!(position, "the journal is gone; what came last and was in it alone is lost");
        }
        if was_missing && records > 0 {
            tracing::error!(records, first, "there was no database though there is a journal; its records were put back");
        } else if was_missing {
            tracing::warn!(
                "the folder holds neither a database nor a journal: a first start was cut short, or they were taken away"
            );
        } else if position < self.held {
            tracing::error!(
                position,
                held = self.held,
                records,
                "the database was cut short by damage; records of the journal were put back"
            );
        } else if records > 0 {
            tracing::info!(records, "replayed what the journal had and the database did not");
        }
    }
}
