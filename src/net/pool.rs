//! Connections to one server: kept for a bounded time, used again, never trusted to be open.
//!
//! A connection that the server closed while it was idle costs a new connection, not a failed exchange.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;

use super::client::{Answer, Connection, Error, Exchanged, Payload, Server, Spoken};
use super::h2;
use super::shelf::{Bounds, Idle, Shelf, Use};
use crate::time::Stopwatch;

/// How long a connection may be idle where nobody says otherwise: less than most servers wait.
const IDLE_TIME: Duration = Duration::from_secs(4);
/// So often a request goes out anew within one exchange after a server said that it did nothing with it. One that says so each
/// time is not well.
const ANEW_MAX: usize = 3;

/// A server and its connections.
pub struct Pool {
    server: Server,
    shelf: Arc<Shelf>,
    gate: Gate,
}

/// Where a server may want to share a connection, only one is made at a time.
#[derive(Default)]
struct Gate {
    one: tokio::sync::Mutex<()>,
    /// How many connections could not be made, and why the last one could not.
    failed: Mutex<(u64, Option<Error>)>,
    /// Whether the last one was not for sharing: then nobody waits for the next.
    is_single: AtomicBool,
    made: Mutex<u64>,
}

/// What a request goes out on.
enum Way {
    /// A connection of its own, and whether it is new.
    Own(Connection, Stopwatch, bool),
    /// The one that all share.
    Shared(Use),
}

impl Pool {
    /// For `server`: keeps at most `count_max` connections, none for longer than `age_max` after it was made.
    pub fn new(server: Server, count_max: usize, age_max: Duration) -> Self {
        let bounds = Bounds { count_max, age_max, idle_max: IDLE_TIME };
        Self { server, shelf: Arc::new(Shelf::new(bounds)), gate: Gate::default() }
    }

    /// The same, but a connection is closed when nothing used it for `time`.
    pub fn idle_within(self, time: Duration) -> Self {
        let bounds = Bounds { idle_max: time, ..self.shelf.bounds() };
        Self { shelf: Arc::new(Shelf::new(bounds)), ..self }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Sends `request` on an open connection or a new one and reads its answer, keeping at most `keep` bytes of the body.
    pub async fn exchange(&self, mut request: Request<Payload>, keep: usize) -> Result<Answer, Error> {
        let mut anew = 0;
        loop {
            match self.way().await? {
                Way::Own(mut connection, age, is_new) => {
                    if !is_new && !connection.is_free().await {
                        continue;
                    }
                    match connection.exchange(request, keep).await {
                        Exchanged::Answered(answer, connection) => {
                            connection.into_iter().for_each(|connection| self.shelf.put(connection, age));
                            return Ok(answer);
                        }
                        Exchanged::Failed(error) => return Err(error),
                        // Only an idle connection may be found closed; a new one that is closed at once is the server's trouble.
                        Exchanged::NotSent(_, ended) if is_new => return Err(ended.cause().await),
                        Exchanged::NotSent(unsent, _) => request = unsent,
                    }
                }
                Way::Shared(mut shared) => {
                    let exchanged = shared.connection.exchange(request.clone(), keep).await;
                    if !matches!(exchanged, h2::Exchanged::Left(_)) {
                        shared.done();
                    }
                    match exchanged {
                        h2::Exchanged::Answered(answer) => return Ok(answer),
                        h2::Exchanged::Refused(_) | h2::Exchanged::Left(_) if anew < ANEW_MAX => anew += 1,
                        h2::Exchanged::Refused(error) | h2::Exchanged::Left(error) | h2::Exchanged::Failed(error) => {
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    async fn way(&self) -> Result<Way, Error> {
        if self.server.may_share() {
            return self.way_that_may_be_shared().await;
        }
        if let Some(way) = self.own() {
            return Ok(way);
        }
        // On the heap: the handshake's state would make every exchange large, and most need none.
        Box::pin(self.server.connect()).await.map(|connection| Way::Own(connection, Stopwatch::start(), true))
    }

    fn own(&self) -> Option<Way> {
        self.shelf.take().map(|Idle { connection, age, .. }| Way::Own(connection, age, false))
    }

    async fn way_that_may_be_shared(&self) -> Result<Way, Error> {
        let open = || self.shelf.share().map(Way::Shared).or_else(|| self.own());
        if let Some(way) = open() {
            return Ok(way);
        }
        if self.gate.is_single.load(Ordering::Relaxed) {
            return self.made().await;
        }
        let failed = self.gate.failures();
        let one = self.gate.one.lock().await;
        if self.gate.is_single.load(Ordering::Relaxed) {
            drop(one);
            return self.made().await;
        }
        // Whoever was here before may have made one, or have found that none can be made.
        match open() {
            Some(way) => Ok(way),
            None => match self.gate.failure_since(failed) {
                Some(error) => Err(error),
                None => self.made().await.inspect_err(|error| self.gate.fail(error)),
            },
        }
    }

    /// A new connection, shared from now on where the server wants it so.
    async fn made(&self) -> Result<Way, Error> {
        let spoken = Box::pin(self.server.reach()).await?;
        self.gate.is_single.store(matches!(spoken, Spoken::One(_)), Ordering::Relaxed);
        Ok(match spoken {
            Spoken::One(connection) => Way::Own(connection, Stopwatch::start(), true),
            Spoken::Many(connection) => Way::Shared(self.shelf.begin(connection, self.gate.next())),
        })
    }
}

impl Gate {
    fn failures(&self) -> u64 {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn fail(&self, error: &Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = (failed.0 + 1, Some(error.told_again()));
    }

    fn failure_since(&self, before: u64) -> Option<Error> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.1.as_ref().filter(|_| failed.0 != before).map(Error::told_again)
    }

    fn next(&self) -> u64 {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        *made += 1;
        *made
    }
}
