//! The threads on which webhooks come in: one a processor, each with a reactor and a queue of its own.
//!
//! A connection stays on the thread that it was given. What is ready on it wakes no other thread, and waits neither for a delivery nor
//! for people who look: those have the threads of the main runtime.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where connections are served. The threads end with the last clone of this.
#[derive(Clone)]
pub struct Threads(Arc<All>);

struct All {
    first: Thread,
    others: Vec<Thread>,
    _running: DropGuard,
}

struct Thread {
    handle: Handle,
    connections: Arc<AtomicUsize>,
}

/// One connection's place on a thread, until it is dropped.
pub(super) struct Seat {
    pub(super) handle: Handle,
    connections: Arc<AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads {
    /// As many as this process may use processors.
    pub fn start() -> io::Result<Self> {
        let running = CancellationToken::new();
        let (_running, start) = (running.clone().drop_guard(), |number| Thread::start(number, running.clone()));
        let first = start(0)?;
        let others = (1..available_parallelism()?.get()).map(start).collect::<io::Result<_>>()?;
        Ok(Self(Arc::new(All { first, others, _running })))
    }

    /// None of their own: connections are served where this is called.
    pub fn here() -> Self {
        let first = Thread::of(Handle::current());
        Self(Arc::new(All { first, others: Vec::new(), _running: CancellationToken::new().drop_guard() }))
    }

    /// Their runtimes.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.all().map(|thread| &thread.handle)
    }

    fn all(&self) -> impl Iterator<Item = &Thread> {
        std::iter::once(&self.0.first).chain(&self.0.others)
    }

    /// A place on the thread that has the fewest connections.
    pub(super) fn seat(&self) -> Seat {
        let All { first, others, .. } = &*self.0;
        let held = |thread: &Thread| thread.connections.load(Ordering::Relaxed);
        let fewest = others.iter().fold(first, |fewest, thread| if held(thread) < held(fewest) { thread } else { fewest });
        fewest.connections.fetch_add(1, Ordering::Relaxed);
        Seat { handle: fewest.handle.clone(), connections: fewest.connections.clone() }
    }
}

impl Thread {
    fn of(handle: Handle) -> Self {
        Self { handle, connections: Arc::default() }
    }

    fn start(number: usize, running: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = Self::of(runtime.handle().clone());
        std::thread::Builder::new().name(format!("hookhold-net-{number}")).spawn(move || {
            runtime.block_on(running.cancelled());
            // What still hangs in a blocking call must not hold the end back.
            runtime.shutdown_background();
        })?;
        Ok(thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_over_the_threads_which_end_with_the_last_user() {
        let threads = Threads::start().unwrap();
        let count = threads.handles().count();
        let mut seats: Vec<_> = (0..2 * count).map(|_| threads.seat()).collect();
        let held = |threads: &Threads| threads.all().map(|t| t.connections.load(Ordering::Relaxed)).collect::<Vec<_>>();
        assert_eq!(held(&threads), vec![2; count]);
        seats.pop();
        seats.push(threads.seat());
        assert_eq!(held(&threads), vec![2; count], "the one that went left the fewest behind");
        let (ended, has_ended) = std::sync::mpsc::channel::<()>();
        // It is dropped with its runtime.
        seats[0].handle.spawn(async move {
            let _ended = ended;
            std::future::pending::<()>().await;
        });
        let clone = threads.clone();
        drop(threads);
        assert!(has_ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty));
        drop(clone);
        assert!(has_ended.recv().is_err(), "it ends without a word");
    }
}
