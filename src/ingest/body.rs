//! Reads a request's body: bounded in bytes, in the memory of all bodies together, and in time. Never cuts one.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::time::Stopwatch;

/// A body may be slow for so long before its rate counts.
const GRACE: Duration = Duration::from_secs(10);
/// Reserved at once for a body of unknown or great length; a body that grows reserves more as it comes.
const FIRST_RESERVE_BYTES: usize = 64 * 1024;
/// After a refusal so much of the body is still read, so that the sender sees the answer and not a reset.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// And for so long.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// What a body may be.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Its bytes.
    pub(super) bytes_max: u64,
    /// Bytes per second after a grace.
    pub(super) bytes_per_second_min: u64,
    /// The memory that all bodies share.
    pub(super) memory: Memory,
}

/// The memory that all bodies share, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Memory(Arc<Semaphore>);

/// A whole body and its share of the memory, held until the body is let go.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) share: Share,
}

/// A share of [`Memory`].
#[derive(Debug, Default)]
pub(super) struct Share(Option<OwnedSemaphorePermit>);

/// Why there is no whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is, or says that it is, larger than allowed.
    TooLarge,
    /// It came too slowly.
    TooSlow,
    /// All memory for bodies is in use.
    NoMemory,
    /// The sender went away, or its framing is broken.
    Broken,
}

impl Memory {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        let bytes = u32::try_from(bytes).map_err(|_| Problem::NoMemory)?;
        let more = self.0.clone().try_acquire_many_owned(bytes).map_err(|_| Problem::NoMemory)?;
        match &mut share.0 {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// Reads `body` whole, or tells why not; what is left of it is then drained in the background.
pub(super) async fn read(mut body: Incoming, bounds: &Bounds) -> Result<Whole, Problem> {
    match gather(&mut body, bounds).await {
        Ok(whole) => Ok(whole),
        Err(problem) => {
            if problem != Problem::Broken && !body.is_end_stream() {
                drain(body);
            }
            Err(problem)
        }
    }
}

/// Reads on for a bounded while after a refusal: a connection that is closed with bytes unread is reset, and the sender may
/// never see the answer.
pub(super) fn drain(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => left = less,
                None => break,
            }
        }
    }));
}

async fn gather(body: &mut Incoming, bounds: &Bounds) -> Result<Whole, Problem> {
    let said = body.size_hint();
    if said.lower() > bounds.bytes_max {
        return Err(Problem::TooLarge);
    }
    let watch = Stopwatch::start();
    let mut share = Share::default();
    let mut pieces = Pieces::default();
    loop {
        let due = GRACE + Duration::from_millis(pieces.len() as u64 * 1000 / bounds.bytes_per_second_min.max(1));
        let frame = match tokio::time::timeout(due.saturating_sub(watch.elapsed()), body.frame()).await {
            Err(_) => return Err(Problem::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Problem::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if (pieces.len() + data.len()) as u64 > bounds.bytes_max {
            return Err(Problem::TooLarge);
        }
        bounds.memory.take(&mut share, data.len())?;
        pieces.push(data, usize::try_from(said.lower()).unwrap_or(usize::MAX));
    }
    Ok(Whole { bytes: pieces.join(), share })
}

/// The pieces of a body as they come; a body of one piece is never copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    rest: BytesMut,
}

impl Pieces {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn push(&mut self, data: Bytes, said: usize) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            self.rest.reserve(said.min(FIRST_RESERVE_BYTES).max(first.len() + data.len()));
            self.rest.extend_from_slice(&first);
        }
        self.rest.extend_from_slice(&data);
    }

    fn join(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}
