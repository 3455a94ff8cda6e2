//! The hand-over of just stored deliveries to the lanes, past the index and without a read.
//!
//! Bounded: a lane that is busy gets no more than it asked for. What does not fit stays in the store's index and the lane is
//! told that it is behind. Nothing is lost here: what is handed over is durable and due in the index until it is settled, and
//! what a lane never took out is given back to the store when the lane's end is dropped.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, mpsc};

use super::{Claim, Claimed};
use crate::record::Name;

/// A larger body is not held in memory until a lane has time for it; the lane reads it from the index.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The lanes' ends of all hand-overs, as a store sees them.
pub struct Handoffs(Arc<Lanes>);

struct Lanes {
    senders: Mutex<HashMap<Name, Sender>>,
    give_back: Box<dyn Fn(Claim) + Send + Sync>,
}

#[derive(Clone)]
struct Sender {
    fresh: mpsc::Sender<Handed>,
    signal: Arc<Signal>,
}

/// A lane's end: deliveries that were just stored, and whether more is due in the index.
pub struct Fresh {
    fresh: mpsc::Receiver<Handed>,
    signal: Arc<Signal>,
}

#[derive(Debug)]
struct Signal {
    behind: AtomicBool,
    wake: Notify,
}

/// Room for one delivery in a lane's hand-over, taken before the delivery is claimed.
pub struct Room {
    permit: mpsc::OwnedPermit<Handed>,
    lanes: Arc<Lanes>,
}

/// A delivery on its way to a lane. Dropped before the lane took it out, its claim goes back.
struct Handed {
    claimed: Option<Claimed>,
    // Weak, so that what waits in a channel does not keep the channel's own sender alive.
    lanes: Weak<Lanes>,
}

impl Room {
    /// Hands the delivery over. Must be called without a lock that giving a claim back takes.
    pub fn put(self, claimed: Claimed) {
        let destination = claimed.delivery.destination.clone();
        let sender = self.permit.send(Handed { claimed: Some(claimed), lanes: Arc::downgrade(&self.lanes) });
        // A channel without a receiver keeps what is put into it while a sender is left.
        let left = if sender.is_closed() { self.lanes.forget_closed(&destination) } else { None };
        drop(left);
    }
}

impl Handoffs {
    /// No lanes yet. `give_back` releases the claim of a delivery that no lane took out; it must not call this back.
    pub fn new(give_back: impl Fn(Claim) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Lanes { senders: Mutex::default(), give_back: Box::new(give_back) }))
    }

    /// Opens the hand-over of `destination` with room for `capacity` deliveries; an earlier one is closed.
    pub fn open(&self, destination: &Name, capacity: usize) -> Fresh {
        let (fresh, receiver) = mpsc::channel(capacity.max(1));
        // A lane that starts does not know its index yet.
        let signal = Arc::new(Signal { behind: AtomicBool::new(true), wake: Notify::new() });
        let sender = Sender { fresh, signal: signal.clone() };
        // What the old channel holds may go back now, which looks for the lane: not under the lock.
        let old = self.0.senders().insert(destination.clone(), sender);
        drop(old);
        Fresh { fresh: receiver, signal }
    }

    /// Room for one fresh delivery whose body has so many bytes; without, the lane is told that it is behind once the delivery is
    /// in its index.
    pub fn room(&self, destination: &str, body_bytes: usize) -> Option<Room> {
        if body_bytes > BODY_BYTES_MAX {
            return None;
        }
        let sender = self.0.senders().get(destination)?.fresh.clone();
        sender.try_reserve_owned().ok().map(|permit| Room { permit, lanes: self.0.clone() })
    }

    /// Tells the lane that its index has something for it. Call it after the index shows it.
    pub fn nudge(&self, destination: &str) {
        self.0.nudge(destination);
    }
}

impl Lanes {
    fn senders(&self) -> MutexGuard<'_, HashMap<Name, Sender>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nudge(&self, destination: &str) {
        if let Some(sender) = self.senders().get(destination) {
            sender.signal.behind.store(true, Ordering::SeqCst);
            sender.signal.wake.notify_one();
        }
    }

    fn forget_closed(&self, destination: &str) -> Option<Sender> {
        let mut senders = self.senders();
        let closed = senders.get(destination).is_some_and(|s| s.fresh.is_closed());
        if closed { senders.remove(destination) } else { None }
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let (Some(claimed), Some(lanes)) = (self.claimed.take(), self.lanes.upgrade()) {
            (lanes.give_back)(claimed.claim);
            lanes.nudge(&claimed.delivery.destination);
        }
    }
}

impl Fresh {
    /// The next delivery that was just stored; `None` once the store is gone or the hand-over was opened anew.
    pub async fn next(&mut self) -> Option<Claimed> {
        self.fresh.recv().await?.claimed.take()
    }

    /// A delivery that waits here already.
    pub fn ready(&mut self) -> Option<Claimed> {
        self.fresh.try_recv().ok()?.claimed.take()
    }

    /// Waits for a delivery that was just stored (where `take` wants one), or until the index may hold something new (`None`).
    pub async fn arrival(&mut self, take: bool) -> Option<Claimed> {
        tokio::select! {
            Some(mut handed) = self.fresh.recv(), if take => handed.claimed.take(),
            () = self.signal.wake.notified() => None,
        }
    }

    /// Waits until the index may hold something new for the lane.
    pub async fn nudged(&self) {
        self.signal.wake.notified().await;
    }

    /// Whether the index may hold something that is due, and forgets it: look into the index afterwards.
    pub fn take_behind(&self) -> bool {
        self.signal.behind.swap(false, Ordering::SeqCst)
    }
}

impl fmt::Debug for Handoffs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.senders().keys()).finish()
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("waiting", &self.fresh.len()).field("signal", &self.signal).finish()
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}
