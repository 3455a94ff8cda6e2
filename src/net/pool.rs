//! Idle connections to one server: kept for a bounded time, used again, never trusted to be open.
//!
//! A connection that the server closed while it was idle costs a new connection, not a failed exchange.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Request;

use super::client::{Answer, Connection, Error, Exchanged, Payload, Server};
use crate::time::Stopwatch;

/// How long a connection may be idle where nobody says otherwise: less than most servers wait.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// A server and its idle connections.
pub struct Pool {
    server: Server,
    shelf: Arc<Shelf>,
}

/// The idle connections, the latest at the end.
struct Shelf {
    connections: Mutex<Shelved>,
    count_max: usize,
    age_max: Duration,
    idle_max: Duration,
}

#[derive(Default)]
struct Shelved {
    idle: Vec<Idle>,
    /// Whether somebody takes away what is idle for too long.
    is_swept: bool,
}

struct Idle {
    connection: Connection,
    age: Stopwatch,
    since: Stopwatch,
}

impl Pool {
    /// For `server`: keeps at most `count_max` connections, none for longer than `age_max` after it was made.
    pub fn new(server: Server, count_max: usize, age_max: Duration) -> Self {
        let shelf = Shelf { connections: Mutex::default(), count_max, age_max, idle_max: IDLE_TIME };
        Self { server, shelf: Arc::new(shelf) }
    }

    /// The same, but a connection is closed when nothing used it for `time`.
    pub fn idle_within(self, time: Duration) -> Self {
        let (count_max, age_max) = (self.shelf.count_max, self.shelf.age_max);
        let shelf = Shelf { connections: Mutex::default(), count_max, age_max, idle_max: time };
        Self { shelf: Arc::new(shelf), ..self }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Sends `request` on an idle connection or a new one and reads its answer, keeping at most `keep` bytes of the body.
    pub async fn exchange(&self, mut request: Request<Payload>, keep: usize) -> Result<Answer, Error> {
        loop {
            let pooled = self.shelf.take();
            let fresh = pooled.is_none();
            let (connection, age) = match pooled {
                Some(idle) => (idle.connection, idle.age),
                // On the heap: the handshake's state would make every exchange large, and most need none.
                None => (Box::pin(self.server.connect()).await?, Stopwatch::start()),
            };
            match connection.exchange(request, keep).await {
                Exchanged::Answered(answer, connection) => {
                    self.shelf.put(connection, age);
                    return Ok(answer);
                }
                Exchanged::Failed(error) => return Err(error),
                // Only an idle connection may be found closed; a new one that is closed at once is the server's trouble.
                Exchanged::NotSent(_, ended) if fresh => return Err(ended.cause().await),
                Exchanged::NotSent(unsent, _) => request = unsent,
            }
        }
    }
}

impl Shelf {
    fn take(&self) -> Option<Idle> {
        let mut shelved = self.lock();
        while let Some(candidate) = shelved.idle.pop() {
            if candidate.connection.is_open() && self.left(&candidate).is_some() {
                return Some(candidate);
            }
        }
        None
    }

    fn put(self: &Arc<Self>, connection: Option<Connection>, age: Stopwatch) {
        let Some(connection) = connection else { return };
        let idle = Idle { connection, age, since: Stopwatch::start() };
        let Some(left) = self.left(&idle) else { return };
        let mut shelved = self.lock();
        if shelved.idle.len() >= self.count_max {
            return;
        }
        shelved.idle.push(idle);
        if !std::mem::replace(&mut shelved.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), left));
        }
    }

    /// How long a connection may stay; `None` where it may no longer.
    fn left(&self, idle: &Idle) -> Option<Duration> {
        let (age, rest) = (self.age_max.checked_sub(idle.age.elapsed()), self.idle_max.checked_sub(idle.since.elapsed()));
        Some(age?.min(rest?)).filter(|left| !left.is_zero())
    }

    /// Takes away what may no longer stay. Gives when that is to be done again; `None` where nothing is left.
    fn clear(&self) -> Option<Duration> {
        let mut shelved = self.lock();
        shelved.idle.retain(|idle| idle.connection.is_open() && self.left(idle).is_some());
        let next = shelved.idle.iter().filter_map(|idle| self.left(idle)).min();
        shelved.is_swept = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, Shelved> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
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
