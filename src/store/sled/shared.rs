//! What the writer and the readers share: sled, what is above it, claims, hand-overs and counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::aside;
use super::dedupe::Runs;
use super::keys;
use super::order::Line;
use super::overlay::Overlay;
use super::tally::Tally;
use crate::record::{Delivery, DeliveryId, Name};
use crate::store::handoff::Handoffs;
use crate::store::journal::Library;
use crate::store::{Claim, Error};

/// The parts that both sides work with.
pub(super) struct Shared {
    pub(super) tree: sled::Db,
    /// Where bodies are that stayed in the journal.
    pub(super) library: Library,
    /// What is known of provider's event ids.
    pub(super) runs: Runs,
    pub(super) handoffs: Handoffs,
    pub(super) claims: Arc<Claims>,
    /// What is not in sled yet.
    pub(super) overlay: Mutex<Overlay>,
    tally: Mutex<Tally>,
    pub(super) damaged: AtomicU64,
}

impl Shared {
    /// For an open tree that holds what `tally` counts.
    pub(super) fn new(tree: sled::Db, library: Library, tally: Tally, runs: Runs) -> Self {
        let claims = Arc::<Claims>::default();
        let given_back = claims.clone();
        let handoffs = Handoffs::new(move |claim| given_back.free(claim));
        let (overlay, tally) = (Mutex::default(), Mutex::new(tally));
        Self { tree, library, runs, handoffs, claims, overlay, tally, damaged: AtomicU64::new(0) }
    }

    /// Counts a damaged record.
    pub(super) fn damage(&self, what: String) -> Error {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        Error::Damaged(what)
    }

    /// Damaged records that were met.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// How much there is.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }
}

/// The counts of what is in sled.
pub(super) fn read_tally(tree: &sled::Db) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for entry in tree.scan_prefix([keys::COUNT]) {
        let (key, value) = entry.map_err(failed)?;
        tally.read(&key, &value);
    }
    Ok(tally)
}

/// Who attempts what. Lives in memory only: it ends with the process, as a lease would.
#[derive(Default)]
pub(super) struct Claims {
    held: Mutex<AllHeld>,
    fence: AtomicU64,
}

#[derive(Default)]
struct AllHeld {
    deliveries: HashMap<DeliveryId, Held>,
    /// The one of each line that is claimed.
    lines: HashMap<Line, DeliveryId>,
}

struct Held {
    fence: u64,
    destination: Name,
    line: Option<Line>,
}

impl AllHeld {
    fn insert(&mut self, delivery: &Delivery, fence: u64) -> Claim {
        let (id, line) = (delivery.id, Line::of(delivery));
        self.lines.extend(line.clone().map(|line| (line, id)));
        self.deliveries.insert(id, Held { fence, destination: delivery.destination.clone(), line });
        Claim { delivery: id, fence }
    }
}

impl Claims {
    /// Claims a delivery that nobody can have claimed.
    pub(super) fn take(&self, delivery: &Delivery) -> Claim {
        let fence = self.fence.fetch_add(1, Ordering::Relaxed);
        lock(&self.held).insert(delivery, fence)
    }

    /// Claims a delivery, unless somebody has it or another one of its line.
    pub(super) fn try_take(&self, delivery: &Delivery) -> Option<Claim> {
        let mut held = lock(&self.held);
        if held.deliveries.contains_key(&delivery.id) || Line::of(delivery).is_some_and(|line| held.lines.contains_key(&line)) {
            return None;
        }
        let fence = self.fence.fetch_add(1, Ordering::Relaxed);
        Some(held.insert(delivery, fence))
    }

    /// Whether a claimed delivery has an order key.
    pub(super) fn has_line(&self, claim: Claim) -> bool {
        lock(&self.held).deliveries.get(&claim.delivery).is_some_and(|held| held.line.is_some())
    }

    /// Whether a delivery is claimed, or another one of its line.
    pub(super) fn is_busy(&self, delivery: &Delivery) -> bool {
        let held = lock(&self.held);
        held.deliveries.contains_key(&delivery.id) || Line::of(delivery).is_some_and(|line| held.lines.contains_key(&line))
    }

    /// Whether the claim is the present one.
    pub(super) fn holds(&self, claim: Claim) -> bool {
        lock(&self.held).deliveries.get(&claim.delivery).is_some_and(|held| held.fence == claim.fence)
    }

    /// Where a claimed delivery goes.
    pub(super) fn destination(&self, claim: Claim) -> Option<Name> {
        lock(&self.held).deliveries.get(&claim.delivery).map(|held| held.destination.clone())
    }

    /// Whether a delivery is claimed.
    pub(super) fn has(&self, delivery: DeliveryId) -> bool {
        lock(&self.held).deliveries.contains_key(&delivery)
    }

    /// Gives a claim back.
    pub(super) fn free(&self, claim: Claim) {
        let mut held = lock(&self.held);
        if held.deliveries.get(&claim.delivery).is_none_or(|held| held.fence != claim.fence) {
            return;
        }
        let line = held.deliveries.remove(&claim.delivery).and_then(|freed| freed.line);
        // The next of its line may have it already.
        if let Some(line) = line.filter(|line| held.lines.get(line) == Some(&claim.delivery)) {
            held.lines.remove(&line);
        }
    }

    /// How many there are, of one destination or all.
    pub(super) fn count(&self, destination: Option<&Name>) -> u64 {
        let held = lock(&self.held);
        held.deliveries.values().filter(|h| destination.is_none_or(|d| *d == h.destination)).count() as u64
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What sled could not do is the end of the store, where it is not that a record cannot be read.
pub(super) fn failed(error: sled::Error) -> Error {
    if aside::is_damage(&error) { Error::Damaged(error.to_string()) } else { Error::Failed(error.to_string()) }
}
