//! The hand-over of just stored deliveries to the lanes, past the index and without a read.
//!
//! Bounded: a lane that is busy gets no more than it asked for. What does not fit stays in the store's index and the lane is
//! told that it is behind. Nothing is lost here: what is handed over is durable and due in the index until it is settled.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::Claimed;
use crate::record::Name;

/// The lanes' ends of all hand-overs, as a store sees them.
#[derive(Debug, Default)]
pub struct Handoffs(Mutex<HashMap<Name, Sender>>);

#[derive(Clone, Debug)]
struct Sender {
    fresh: mpsc::Sender<Claimed>,
    signal: Arc<Signal>,
}

/// A lane's end: deliveries that were just stored, and whether more is due in the index.
#[derive(Debug)]
pub struct Fresh {
    fresh: mpsc::Receiver<Claimed>,
    signal: Arc<Signal>,
}

#[derive(Debug)]
struct Signal {
    behind: AtomicBool,
    wake: Notify,
}

/// Room for one delivery in a lane's hand-over, taken before the delivery is claimed.
#[derive(Debug)]
pub struct Room(mpsc::OwnedPermit<Claimed>);

impl Room {
    /// Hands the delivery over; `false` where the lane is gone.
    pub fn put(self, claimed: Claimed) -> bool {
        !self.0.send(claimed).is_closed()
    }
}

impl Handoffs {
    /// Opens the hand-over of `destination` with room for `capacity` deliveries; an earlier one is closed.
    pub fn open(&self, destination: &Name, capacity: usize) -> Fresh {
        let (fresh, receiver) = mpsc::channel(capacity.max(1));
        // A lane that starts does not know its index yet.
        let signal = Arc::new(Signal { behind: AtomicBool::new(true), wake: Notify::new() });
        let sender = Sender { fresh, signal: signal.clone() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(destination.clone(), sender);
        Fresh { fresh: receiver, signal }
    }

    /// Room for one fresh delivery; without, the lane is told that it is behind once the delivery is in its index.
    pub fn room(&self, destination: &str) -> Option<Room> {
        let sender = self.sender(destination)?;
        sender.fresh.try_reserve_owned().ok().map(Room)
    }

    /// Tells the lane that its index has something for it. Call it after the index shows it.
    pub fn nudge(&self, destination: &str) {
        if let Some(sender) = self.sender(destination) {
            sender.signal.behind.store(true, Ordering::SeqCst);
            sender.signal.wake.notify_one();
        }
    }

    fn sender(&self, destination: &str) -> Option<Sender> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(destination).cloned()
    }
}

impl Fresh {
    /// The next delivery that was just stored; `None` once the store is gone or the hand-over was opened anew.
    pub async fn next(&mut self) -> Option<Claimed> {
        self.fresh.recv().await
    }

    /// A delivery that waits here already.
    pub fn ready(&mut self) -> Option<Claimed> {
        self.fresh.try_recv().ok()
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
