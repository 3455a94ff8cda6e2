//! The open connections of a pool: idle ones of HTTP/1.1, and the one of HTTP/2 that all share. None stays longer than it may,
//! also where nobody asks for it any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::{client, h2};
use crate::time::Stopwatch;

/// The connections, with what bounds them.
pub(super) struct Shelf {
    shelved: Mutex<Shelved>,
    bounds: Bounds,
}

/// How many connections may be kept, and for how long.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) count_max: usize,
    /// Since a connection was made.
    pub(super) age_max: Duration,
    /// Since it was used.
    pub(super) idle_max: Duration,
}

#[derive(Default)]
struct Shelved {
    /// The latest at the end.
    idle: Vec<Idle>,
    shared: Option<Shared>,
    /// Whether somebody takes away what may no longer stay.
    is_swept: bool,
}

/// A connection that nobody uses.
pub(super) struct Idle {
    pub(super) connection: client::Connection,
    pub(super) age: Stopwatch,
    since: Stopwatch,
}

/// The connection that all exchanges share.
struct Shared {
    connection: h2::Connection,
    age: Stopwatch,
    /// Exchanges that are on it.
    uses: usize,
    /// Since when there are none.
    idle: Stopwatch,
    /// Which one it is.
    number: u64,
}

/// An exchange's hold on the shared connection.
pub(super) struct Use {
    pub(super) connection: h2::Connection,
    shelf: Arc<Shelf>,
    number: u64,
    /// Whether the connection can be used on.
    is_good: bool,
}

impl Shelf {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { shelved: Mutex::default(), bounds }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The connection that was used last.
    pub(super) fn take(&self) -> Option<Idle> {
        let mut shelved = self.lock();
        while let Some(candidate) = shelved.idle.pop() {
            if candidate.connection.is_open() && self.left(candidate.age, Some(candidate.since)).is_some() {
                return Some(candidate);
            }
        }
        None
    }

    /// Keeps a connection, where it may stay.
    pub(super) fn put(self: &Arc<Self>, connection: client::Connection, age: Stopwatch) {
        let idle = Idle { connection, age, since: Stopwatch::start() };
        let Some(left) = self.left(idle.age, Some(idle.since)) else { return };
        let mut shelved = self.lock();
        if shelved.idle.len() < self.bounds.count_max {
            shelved.idle.push(idle);
            self.be_swept(shelved, left);
        }
    }

    /// The connection that all share, where there is one.
    pub(super) fn share(self: &Arc<Self>) -> Option<Use> {
        let mut shelved = self.lock();
        let mut shared = shelved.shared.take()?;
        let since = (shared.uses == 0).then_some(shared.idle);
        if !shared.connection.is_open() || self.left(shared.age, since).is_none() {
            return None;
        }
        shared.uses += 1;
        let (connection, number) = (shared.connection.clone(), shared.number);
        shelved.shared = Some(shared);
        Some(Use { connection, shelf: self.clone(), number, is_good: false })
    }

    /// From now on all share this one.
    pub(super) fn begin(self: &Arc<Self>, connection: h2::Connection, number: u64) -> Use {
        let (age, idle) = (Stopwatch::start(), Stopwatch::start());
        let mut shelved = self.lock();
        shelved.shared = Some(Shared { connection: connection.clone(), age, uses: 1, idle, number });
        self.be_swept(shelved, self.bounds.age_max);
        Use { connection, shelf: self.clone(), number, is_good: false }
    }

    fn be_swept(self: &Arc<Self>, mut shelved: MutexGuard<'_, Shelved>, first: Duration) {
        if !std::mem::replace(&mut shelved.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), first.min(self.bounds.idle_max)));
        }
    }

    /// How long a connection may stay; `None` where it may no longer. `since`: when it was used last, where it is idle.
    fn left(&self, age: Stopwatch, since: Option<Stopwatch>) -> Option<Duration> {
        let rest = self.bounds.idle_max.checked_sub(since.map_or(Duration::ZERO, |since| since.elapsed()));
        Some(self.bounds.age_max.checked_sub(age.elapsed())?.min(rest?)).filter(|left| !left.is_zero())
    }

    /// Takes away what may no longer stay. Gives when that is to be done again; `None` where nothing is left.
    fn clear(&self) -> Option<Duration> {
        let mut shelved = self.lock();
        let stays = |idle: &Idle| self.left(idle.age, Some(idle.since)).filter(|_| idle.connection.is_open());
        shelved.idle.retain(|idle| stays(idle).is_some());
        let shared = shelved.shared.take_if(|shared| self.shared_left(shared).is_none());
        let next = shelved.idle.iter().filter_map(stays);
        let next = next.chain(shelved.shared.iter().filter_map(|shared| self.shared_left(shared))).min();
        shelved.is_swept = next.is_some();
        drop((shelved, shared));
        next
    }

    fn shared_left(&self, shared: &Shared) -> Option<Duration> {
        let since = (shared.uses == 0).then_some(shared.idle);
        self.left(shared.age, since).filter(|_| shared.connection.is_open())
    }

    fn lock(&self) -> MutexGuard<'_, Shelved> {
        self.shelved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Use {
    /// The exchange has ended, and the connection can be used on. Without this it is not: it may be one that answers nothing more.
    pub(super) fn done(mut self) {
        self.is_good = true;
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut shelved = self.shelf.lock();
        let Some(shared) = shelved.shared.as_mut().filter(|shared| shared.number == self.number) else { return };
        shared.uses -= 1;
        if shared.uses == 0 {
            shared.idle = Stopwatch::start();
        }
        if !self.is_good {
            // Other exchanges that are on it go on.
            shelved.shared = None;
        }
    }
}

/// Closes connections when their time is over, as long as there are any.
async fn sweep(shelf: Weak<Shelf>, first: Duration) {
    let mut next = Some(first);
    while let Some(wait) = next {
        tokio::time::sleep(wait).await;
        next = shelf.upgrade().and_then(|shelf| shelf.clear());
    }
}
