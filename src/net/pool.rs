//! Idle connections to one server: kept for a bounded time, used again, never trusted to be open.
//!
//! A connection that the server closed while it was idle costs a new connection, not a failed exchange.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Request;

use super::client::{Answer, Connection, Error, Exchanged, Payload, Server};
use crate::time::Stopwatch;

/// A server and its idle connections.
pub struct Pool {
    server: Server,
    idle: Mutex<Vec<Idle>>,
    idle_max: usize,
    age_max: Duration,
}

struct Idle {
    connection: Connection,
    age: Stopwatch,
}

impl Pool {
    /// For `server`: keeps at most `idle_max` connections, none for longer than `age_max` after it was made.
    pub fn new(server: Server, idle_max: usize, age_max: Duration) -> Self {
        Self { server, idle: Mutex::default(), idle_max, age_max }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Sends `request` on an idle connection or a new one and reads its answer, keeping at most `keep` bytes of the body.
    pub async fn exchange(&self, mut request: Request<Payload>, keep: usize) -> Result<Answer, Error> {
        loop {
            let pooled = self.take();
            let fresh = pooled.is_none();
            let (connection, age) = match pooled {
                Some(idle) => (idle.connection, idle.age),
                // On the heap: the handshake's state would make every exchange large, and most need none.
                None => (Box::pin(self.server.connect()).await?, Stopwatch::start()),
            };
            match connection.exchange(request, keep).await {
                Exchanged::Answered(answer, connection) => {
                    self.put(connection, age);
                    return Ok(answer);
                }
                Exchanged::Failed(error) => return Err(error),
                // Only an idle connection may be found closed; a new one that is closed at once is the server's trouble.
                Exchanged::NotSent(_) if fresh => return Err(closed_at_once()),
                Exchanged::NotSent(unsent) => request = unsent,
            }
        }
    }

    fn take(&self) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(candidate) = idle.pop() {
            if candidate.connection.is_open() && candidate.age.elapsed() < self.age_max {
                return Some(candidate);
            }
        }
        None
    }

    fn put(&self, connection: Option<Connection>, age: Stopwatch) {
        let Some(connection) = connection.filter(|_| age.elapsed() < self.age_max) else { return };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.idle_max {
            idle.push(Idle { connection, age });
        }
    }
}

fn closed_at_once() -> Error {
    Error::Connect(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the server closed the connection at once"))
}
