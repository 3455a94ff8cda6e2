//! The hand-over of just stored deliveries to the lanes, past the index and without a read.
//!
//! Bounded: a lane that is busy gets no more than it asked for. What does not fit stays in the store's index and the lane is
//! told that it is behind. Nothing is lost here: what is handed over is durable and due in the index until it is settled, and
//! what a lane never took out is given back to the store when the lane's end is dropped.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, mpsc};

use super::{Asking, Claim, Claimed, Feed, Waiters};
use crate::record::{EventId, Name};

/// Bodies that wait in all hand-overs together, with an allowance for each event's head. However many lanes hang, no more than
/// this is held for them; the rest is read from the index when its turn comes.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What an event's head takes in memory, roughly.
const HEAD_BYTES: usize = 2 * 1024;
/// A larger body is not held at all: it would push out many small ones.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The lanes' ends of all hand-overs, as a store sees them.
pub struct Handoffs(Arc<Lanes>);

struct Lanes {
    senders: Mutex<HashMap<Name, Sender>>,
    waiting_bytes: Arc<AtomicUsize>,
    waiters: Arc<Waiters>,
    feed: Arc<Feed>,
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
    destination: Name,
    waiters: Arc<Waiters>,
}

#[derive(Debug)]
struct Signal {
    behind: AtomicBool,
    /// The lane takes nothing for now.
    shut: AtomicBool,
    wake: Notify,
}

/// Room for one delivery in a lane's hand-over, taken before the delivery is claimed.
pub struct Room {
    permit: mpsc::OwnedPermit<Handed>,
    lanes: Arc<Lanes>,
    share: Share,
}

/// A share of [`WAITING_BYTES_MAX`], given back when dropped.
struct Share {
    waiting_bytes: Arc<AtomicUsize>,
    bytes: usize,
}

/// A delivery on its way to a lane. Dropped before the lane took it out, its claim goes back.
struct Handed {
    claimed: Option<Claimed>,
    // Weak, so that what waits in a channel does not keep the channel's own sender alive.
    lanes: Weak<Lanes>,
    _share: Share,
}

impl Share {
    fn take(waiting_bytes: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        // Counted before it is compared: two that come at once cannot both get the last share.
        let share = Self { waiting_bytes: waiting_bytes.clone(), bytes };
        let before = waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        (before + bytes <= WAITING_BYTES_MAX).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Room {
    /// Hands the delivery over. Must be called without a lock that giving a claim back takes.
    pub fn put(self, claimed: Claimed) {
        let destination = claimed.delivery.destination.clone();
        let sender = self.permit.send(Handed { claimed: Some(claimed), lanes: Arc::downgrade(&self.lanes), _share: self.share });
        // A channel without a receiver keeps what is put into it while a sender is left.
        let left = if sender.is_closed() { self.lanes.forget_closed(&destination) } else { None };
        drop(left);
    }
}

impl Handoffs {
    /// No lanes yet. `give_back` releases the claim of a delivery that no lane took out; it must not call this back.
    pub fn new(give_back: impl Fn(Claim) + Send + Sync + 'static) -> Self {
        let lanes = Lanes {
            senders: Mutex::default(),
            waiting_bytes: Arc::default(),
            waiters: Arc::default(),
            feed: Arc::default(),
            give_back: Box::new(give_back),
        };
        Self(Arc::new(lanes))
    }

    /// Opens the hand-over of `destination` with room for `capacity` deliveries; an earlier one is closed.
    pub fn open(&self, destination: &Name, capacity: usize) -> Fresh {
        let (fresh, receiver) = mpsc::channel(capacity.max(1));
        // A lane that starts does not know its index yet.
        let signal = Arc::new(Signal { behind: AtomicBool::new(true), shut: AtomicBool::new(false), wake: Notify::new() });
        let sender = Sender { fresh, signal: signal.clone() };
        // What the old channel holds may go back now, which looks for the lane: not under the lock.
        let old = self.0.senders().insert(destination.clone(), sender);
        drop(old);
        Fresh { fresh: receiver, signal, destination: destination.clone(), waiters: self.0.waiters.clone() }
    }

    /// Those who wait for what an attempt brings.
    pub fn waiters(&self) -> &Arc<Waiters> {
        &self.0.waiters
    }

    /// What happens, for people who watch.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.0.feed
    }

    /// From now on somebody waits for this event; where its lane takes nothing, they hear so.
    pub fn enlist(&self, asking: Asking, event: EventId) {
        let destination = asking.destination().clone();
        self.0.waiters.enlist(asking, event);
        // Looked at after it is known that they wait: a lane that shuts later tells them.
        let is_open = |s: &Sender| !s.signal.shut.load(Ordering::SeqCst) && !s.fresh.is_closed();
        if !self.0.senders().get(&*destination).is_some_and(is_open) {
            self.0.waiters.shut_for(event, &destination);
        }
    }

    /// Room for one fresh delivery whose body has so many bytes; without, the lane is told that it is behind once the delivery is
    /// in its index.
    pub fn room(&self, destination: &str, body_bytes: usize) -> Option<Room> {
        if body_bytes > BODY_BYTES_MAX {
            return None;
        }
        let sender = self.0.senders().get(destination).filter(|s| !s.signal.shut.load(Ordering::SeqCst))?.fresh.clone();
        let permit = sender.try_reserve_owned().ok()?;
        let share = Share::take(&self.0.waiting_bytes, HEAD_BYTES + body_bytes)?;
        Some(Room { permit, lanes: self.0.clone(), share })
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
        let is_shut = self.is_shut();
        tokio::select! {
            biased;
            Some(mut handed) = self.fresh.recv(), if take || is_shut => if is_shut { None } else { handed.claimed.take() },
            () = self.signal.wake.notified() => None,
        }
    }

    /// From now on nothing is handed over: it stays in the index. What waits here, and what was on its way, goes back. Who waits for an
    /// attempt that has not begun is told that none will.
    pub fn shut(&mut self) {
        if !self.signal.shut.swap(true, Ordering::SeqCst) {
            self.waiters.shut(&self.destination);
        }
        while self.fresh.try_recv().is_ok() {}
    }

    /// Takes just stored deliveries again.
    pub fn open(&mut self) {
        self.signal.shut.store(false, Ordering::SeqCst);
    }

    /// Whether it is shut.
    pub fn is_shut(&self) -> bool {
        self.signal.shut.load(Ordering::SeqCst)
    }

    /// Waits for a delivery that was on its way when this was shut, and gives it back. There are few.
    pub async fn straggler(&mut self) {
        match self.fresh.recv().await {
            Some(handed) => drop(handed),
            None => std::future::pending().await,
        }
    }

    /// Waits until the index may hold something new for the lane.
    pub async fn nudged(&self) {
        self.signal.wake.notified().await;
    }

    /// Whether something waits here, or the index may hold something that is due.
    pub fn has_any(&self) -> bool {
        !self.fresh.is_empty() || self.signal.behind.load(Ordering::SeqCst)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_all_lanes_together_is_bounded() {
        let handoffs = Handoffs::new(drop);
        let names = ["a", "b"].map(|name| Name::try_new(name).unwrap());
        let _lanes: Vec<_> = names.iter().map(|name| handoffs.open(name, 1000)).collect();
        let most = WAITING_BYTES_MAX / (HEAD_BYTES + BODY_BYTES_MAX);
        let mut rooms: Vec<_> = (0..most).map(|n| handoffs.room(&names[n % 2], BODY_BYTES_MAX).unwrap()).collect();
        assert!(handoffs.room("a", BODY_BYTES_MAX).is_none());
        rooms.pop();
        assert!(handoffs.room("b", BODY_BYTES_MAX).is_some());
        assert!(handoffs.room("a", BODY_BYTES_MAX + 1).is_none());
    }
}
