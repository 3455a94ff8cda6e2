//! What the writer and the readers share: sled, what is above it, claims, hand-overs and counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dedupe::Runs;
use super::keys;
use super::overlay::Overlay;
use super::tally::Tally;
use crate::record::{Delivery, DeliveryId, Name};
use crate::store::handoff::Handoffs;
use crate::store::{Claim, Error};

/// The parts that both sides work with.
pub(super) struct Shared {
    pub(super) tree: sled::Db,
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
    pub(super) fn new(tree: sled::Db, tally: Tally, runs: Runs) -> Self {
        let claims = Arc::<Claims>::default();
        let given_back = claims.clone();
        let handoffs = Handoffs::new(move |claim| given_back.free(claim));
        let (overlay, tally) = (Mutex::default(), Mutex::new(tally));
        Self { tree, runs, handoffs, claims, overlay, tally, damaged: AtomicU64::new(0) }
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
    held: Mutex<HashMap<DeliveryId, Held>>,
    fence: AtomicU64,
}

struct Held {
    fence: u64,
    destination: Name,
}

impl Claims {
    /// Claims a delivery that nobody can have claimed.
    pub(super) fn take(&self, delivery: &Delivery) -> Claim {
        let fence = self.fence.fetch_add(1, Ordering::Relaxed);
        lock(&self.held).insert(delivery.id, Held { fence, destination: delivery.destination.clone() });
        Claim { delivery: delivery.id, fence }
    }

    /// Claims a delivery, unless somebody has.
    pub(super) fn try_take(&self, delivery: DeliveryId, destination: &Name) -> Option<Claim> {
        let mut held = lock(&self.held);
        if held.contains_key(&delivery) {
            return None;
        }
        let fence = self.fence.fetch_add(1, Ordering::Relaxed);
        held.insert(delivery, Held { fence, destination: destination.clone() });
        Some(Claim { delivery, fence })
    }

    /// Whether the claim is the present one.
    pub(super) fn holds(&self, claim: Claim) -> bool {
        lock(&self.held).get(&claim.delivery).is_some_and(|held| held.fence == claim.fence)
    }

    /// Where a claimed delivery goes.
    pub(super) fn destination(&self, claim: Claim) -> Option<Name> {
        lock(&self.held).get(&claim.delivery).map(|held| held.destination.clone())
    }

    /// Whether a delivery is claimed.
    pub(super) fn has(&self, delivery: DeliveryId) -> bool {
        lock(&self.held).contains_key(&delivery)
    }

    /// Gives a claim back.
    pub(super) fn free(&self, claim: Claim) {
        let mut held = lock(&self.held);
        if held.get(&claim.delivery).is_some_and(|held| held.fence == claim.fence) {
            held.remove(&claim.delivery);
        }
    }

    /// How many there are, of one destination or all.
    pub(super) fn count(&self, destination: Option<&Name>) -> u64 {
        let held = lock(&self.held);
        held.values().filter(|h| destination.is_none_or(|d| *d == h.destination)).count() as u64
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What sled could not do is the end of the store.
pub(super) fn failed(error: sled::Error) -> Error {
    Error::Failed(error.to_string())
}
