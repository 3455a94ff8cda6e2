//! The door: how many connections there may be, of whom, and what each of them may do. All listeners of webhooks share one.
//!
//! What is held here grows with open connections only, which are bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::forwarded::Proxies;
use super::lag::Lag;
use crate::metrics::LetGo;
use crate::pace::meter::member;

/// So many handshakes are let begin however late the relay is: enough to go on, few enough to end soon.
const HANDSHAKES_MIN: usize = 64;
/// Where all places are taken, connections that nobody uses are asked for theirs, so many parts of them one after the other.
const PARTS: usize = 16;
/// A part has so long to go before the next one is asked.
const PART_TIME: Duration = Duration::from_millis(50);
/// Longer than any process lives.
const EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// What connections may do. A connection keeps the bounds that it began with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Peers that are believed, and that are not counted as one client.
    pub proxies: Proxies,
    /// Connections at once of one address.
    pub per_address: usize,
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// Where what is ready waits longer than this for its turn, hardly any handshakes begin.
    pub lag: Duration,
    /// Header fields of one request.
    pub header_fields: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Requests on one connection, one after the other or at once.
    pub requests: u64,
    /// A connection takes no more requests when it is so old.
    pub age: Duration,
    /// A connection on which nothing is asked for so long is closed.
    pub idle: Duration,
}

impl Default for Bounds {
    /// As good as none: for peers that are known.
    fn default() -> Self {
        Self {
            proxies: Proxies::default(),
            per_address: usize::MAX,
            handshakes: usize::MAX,
            lag: EVER,
            header_fields: 100,
            streams: 100,
            requests: u64::MAX,
            age: EVER,
            idle: EVER,
        }
    }
}

/// Who is let in.
#[derive(Debug)]
pub struct Door {
    room: Arc<Semaphore>,
    /// How many connections there may be, and how many too many there are since that became fewer.
    size: Mutex<(usize, usize)>,
    handshakes: AtomicUsize,
    lag: Arc<Lag>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    bounds: ArcSwap<Bounds>,
    /// Connections so far.
    numbers: AtomicU64,
    /// Wakes a part of the connections that nobody uses: there is no place left.
    wanted: [Notify; PARTS],
    /// How often a part was asked.
    asked: AtomicUsize,
}

impl Door {
    /// With room for so many connections.
    pub fn new(connections_max: usize, bounds: Bounds) -> Arc<Self> {
        Self::watching(Arc::default(), connections_max, bounds)
    }

    /// The same, which lets fewer in where the relay is late.
    pub fn watching(lag: Arc<Lag>, connections_max: usize, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            size: Mutex::new((connections_max.min(Semaphore::MAX_PERMITS), 0)),
            handshakes: AtomicUsize::new(0),
            lag,
            addresses: Mutex::default(),
            bounds: ArcSwap::from_pointee(bounds),
            numbers: AtomicU64::new(0),
            wanted: Default::default(),
            asked: AtomicUsize::new(0),
        })
    }

    /// The present bounds.
    pub fn bounds(&self) -> Arc<Bounds> {
        self.bounds.load_full()
    }

    /// New connections have these bounds.
    pub fn replace(&self, bounds: Bounds) {
        self.bounds.store(Arc::new(bounds));
    }

    /// There is room for so many connections from now on. Those that are open stay, whatever they are too many.
    pub fn resize(&self, connections_max: usize) {
        let connections_max = connections_max.min(Semaphore::MAX_PERMITS);
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, surplus) = *size;
        let (more, fewer) = (connections_max.saturating_sub(before), before.saturating_sub(connections_max));
        let kept = more.min(surplus);
        self.room.add_permits(more - kept);
        let forgotten = self.room.forget_permits(fewer);
        *size = (connections_max, surplus - kept + fewer - forgotten);
    }

    /// Room for one more connection, as soon as there is some.
    pub(super) async fn room(self: &Arc<Self>) -> Option<Room> {
        let mut room = std::pin::pin!(self.room.clone().acquire_owned());
        loop {
            match tokio::time::timeout(PART_TIME, room.as_mut()).await {
                // It is never closed.
                Ok(permit) => return Some(Room(Some(permit.ok()?), self.clone())),
                Err(_) => self.ask(),
            }
        }
    }

    /// Asks some of the connections that nobody uses for their places.
    pub(super) fn ask(&self) {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        self.wanted[turn % PARTS].notify_waiters();
    }

    /// Which part a new connection belongs to.
    pub(super) fn part(&self) -> &Notify {
        // A remainder fits.
        &self.wanted[(self.numbers.fetch_add(1, Ordering::Relaxed) % PARTS as u64) as usize]
    }

    /// A place among the connections of `address`; none where it has as many as it may.
    pub(super) fn place_of(self: &Arc<Self>, address: IpAddr, bounds: &Bounds) -> Option<Place> {
        if bounds.per_address == usize::MAX || bounds.proxies.trust(address) {
            return Some(Place(None));
        }
        let member = member(address);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let held = addresses.entry(member).or_default();
        // An entry that is new is let in: no bound is zero.
        (*held < bounds.per_address).then(|| {
            *held += 1;
            Place(Some((self.clone(), member)))
        })
    }

    /// A place among the handshakes that are under way; else why there is none.
    pub(super) fn handshake(self: &Arc<Self>, bounds: &Bounds) -> Result<Handshake, LetGo> {
        let begun = Handshake(self.clone());
        let others = self.handshakes.fetch_add(1, Ordering::Relaxed);
        if others >= bounds.handshakes {
            return Err(LetGo::Handshakes);
        }
        // A handshake costs more than many requests.
        if others >= HANDSHAKES_MIN && self.lag.now() > bounds.lag { Err(LetGo::Overload) } else { Ok(begun) }
    }

    fn leave(&self, member: IpAddr) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = addresses.get_mut(&member) {
            *held -= 1;
            if *held == 0 {
                addresses.remove(&member);
            }
        }
    }
}

/// Room for one connection, given back when dropped, unless there are too many.
pub(super) struct Room(Option<OwnedSemaphorePermit>, Arc<Door>);

impl Drop for Room {
    fn drop(&mut self) {
        let mut size = self.1.size.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permit) = self.0.take_if(|_| size.1 > 0) {
            size.1 -= 1;
            permit.forget();
        }
    }
}

/// A place among the connections of one address, given back when dropped.
pub(super) struct Place(Option<(Arc<Door>, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((door, member)) = self.0.take() {
            door.leave(member);
        }
    }
}

/// A handshake that is under way, until it is dropped.
pub(super) struct Handshake(Arc<Door>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_grows_and_shrinks_while_it_is_used() {
        let door = Door::new(3, Bounds::default());
        let mut held = vec![now(&door).unwrap(), now(&door).unwrap(), now(&door).unwrap()];
        assert!(now(&door).is_none());
        door.resize(1);
        held.pop();
        held.pop();
        assert!(now(&door).is_none(), "one is open, and no more may be");
        door.resize(2);
        held.push(now(&door).unwrap());
        assert!(now(&door).is_none());
        door.resize(0);
        door.resize(1);
        held.pop();
        assert!(now(&door).is_none());
        held.pop();
        held.push(now(&door).unwrap());
        assert!(now(&door).is_none());
        door.resize(usize::MAX);
        assert!((0..100).all(|_| now(&door).is_some()));
    }

    /// Room, if there is some.
    fn now(door: &Arc<Door>) -> Option<Room> {
        let mut waits = std::pin::pin!(door.room());
        match waits.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(room) => room,
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn places_are_given_back_and_nothing_is_left() {
        let bounds = Bounds { per_address: 2, proxies: Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]), ..Bounds::default() };
        let door = Door::new(100, bounds.clone());
        let place = |address: &str| door.place_of(address.parse().unwrap(), &bounds);
        let (one, two) = (place("2001:db8::1"), place("2001:db8::2"));
        assert!(one.is_some() && two.is_some() && place("2001:db8::3").is_none() && place("2001:db8:0:1::3").is_some());
        drop(one);
        let again = place("2001:db8::3");
        assert!(again.is_some());
        let proxied: Vec<_> = (0..10).map(|_| place("10.0.0.1").unwrap()).collect();
        drop((two, again, proxied));
        assert!(door.addresses.lock().unwrap().is_empty());
    }

    #[test]
    fn handshakes_are_counted() {
        let bounds = Bounds { handshakes: 2, ..Bounds::default() };
        let door = Door::new(100, bounds.clone());
        let (one, two) = (door.handshake(&bounds), door.handshake(&bounds));
        assert!(one.is_ok() && two.is_ok() && door.handshake(&bounds).is_err());
        drop(one);
        assert!(door.handshake(&bounds).is_ok());
    }
}
