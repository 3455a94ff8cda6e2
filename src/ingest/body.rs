//! Reads a request's body: bounded in bytes, in the memory of all bodies together, and in time. Never cuts one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::time::Stopwatch;

/// A body may be slow for so long before its rate counts.
const GRACE: Duration = Duration::from_secs(10);
/// A body that grows gets room for so much more: a part of what it has, and no less than some.
const GROWTH_PART: usize = 4;
const GROWTH_BYTES_MIN: usize = 64 * 1024;
/// After a refusal so much of the body is still read, so that the sender sees the answer and not a reset.
const DRAIN_BYTES: u64 = 4 * 1024 * 1024;
/// And for so long.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// What comes with its head, mostly, and need not be waited for.
const SKIPPED_BYTES_MAX: u64 = 64 * 1024;
const SKIP_TIME: Duration = Duration::from_millis(100);

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

/// The memory that all bodies share.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// A permit a byte.
    left: Arc<Semaphore>,
    bytes: usize,
}

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
        let bytes = permits(bytes);
        Self { left: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// The same memory with another size. What is taken now counts; where it is more than the new size, the old memory is left to
    /// those who have it and a new one begins.
    pub(super) fn resized(&self, bytes: u64) -> Self {
        let bytes = permits(bytes);
        let less = self.bytes.saturating_sub(bytes);
        if self.left.forget_permits(less) < less {
            return Self::new(bytes as u64);
        }
        self.left.add_permits(bytes.saturating_sub(self.bytes));
        Self { left: self.left.clone(), bytes }
    }

    fn take(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        let bytes = u32::try_from(bytes).map_err(|_| Problem::NoMemory)?;
        let more = self.left.clone().try_acquire_many_owned(bytes).map_err(|_| Problem::NoMemory)?;
        match &mut share.0 {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

fn permits(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// Reads `body` whole, or tells why not. What is left of it then is for [`drain`].
pub(super) async fn read(body: &mut Incoming, bounds: &Bounds) -> Result<Whole, Problem> {
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
        let taken = pieces.push(data, usize::try_from(said.lower()).unwrap_or(usize::MAX));
        bounds.memory.take(&mut share, taken)?;
    }
    Ok(Whole { bytes: pieces.join(), share })
}

/// Reads a body past that will not be used, where it is short and there; whether its connection can go on. A handshake for the next request
/// would cost more than this, when there is too much already.
pub(super) async fn skip(body: &mut Incoming) -> bool {
    if body.size_hint().upper().is_none_or(|bytes| bytes > SKIPPED_BYTES_MAX) {
        return false;
    }
    let whole = async {
        loop {
            match body.frame().await {
                None => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) => return false,
            }
        }
    };
    tokio::time::timeout(SKIP_TIME, whole).await.unwrap_or(false)
}

/// Reads on for a bounded while after a refusal: a connection that is closed with bytes unread is reset, and the sender may
/// never see the answer. `wanted`: the bytes of a body that would have been read, had it come at another time. Tells whether anything was
/// left.
pub(super) fn drain(mut body: Incoming, wanted: u64) -> bool {
    if body.is_end_stream() {
        return false;
    }
    tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
        let mut left = wanted.max(DRAIN_BYTES);
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, |data| data.len() as u64)) {
                Some(less) => left = less,
                None => break,
            }
        }
    }));
    true
}

/// A body up to this size is copied out of the connection's buffer, which is several times as large and would be kept with it.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// The pieces of a body as they come; a large body of one piece is not copied.
#[derive(Default)]
struct Pieces {
    only: Bytes,
    joined: Vec<u8>,
}

impl Pieces {
    fn len(&self) -> usize {
        self.only.len() + self.joined.len()
    }

    /// Adds a piece and gives the bytes of memory that this took. `said`: the length that the sender promised, or zero.
    fn push(&mut self, piece: Bytes, said: usize) -> usize {
        if self.len() == 0 {
            self.only = piece;
            return self.only.len();
        }
        let (before, needed) = (self.only.len() + self.joined.capacity(), self.len() + piece.len());
        if needed > self.joined.capacity() {
            // By steps and not by doubling: what is reserved is what is counted, and it stays near what is there.
            let step = (needed + (needed / GROWTH_PART).max(GROWTH_BYTES_MIN)).min(said.max(needed));
            self.joined.reserve_exact(step - self.joined.len());
            let only = std::mem::take(&mut self.only);
            self.joined.extend_from_slice(&only);
        }
        self.joined.extend_from_slice(&piece);
        self.joined.capacity().saturating_sub(before)
    }

    fn join(self) -> Bytes {
        match self.joined.is_empty() {
            true if self.only.len() <= COPIED_BYTES_MAX => Bytes::copy_from_slice(&self.only),
            true => self.only,
            false => self.joined.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_grows_and_shrinks_with_what_is_taken() {
        let (memory, mut share) = (Memory::new(100), Share::default());
        memory.take(&mut share, 60).unwrap();
        let smaller = memory.resized(70);
        assert!(smaller.take(&mut Share::default(), 11).is_err());
        let larger = smaller.resized(80);
        assert!(larger.take(&mut Share::default(), 21).is_err());
        larger.take(&mut Share::default(), 20).unwrap();
        drop(share);
        larger.take(&mut Share::default(), 80).unwrap();
    }

    proptest! {
        #[test]
        fn pieces_join_to_what_came_and_memory_is_counted(
            lengths in prop::collection::vec(0usize..100_000, 0..40),
            knows_length: bool,
        ) {
            let whole: Vec<u8> = (0..lengths.iter().sum::<usize>()).map(|n| n as u8).collect();
            let said = if knows_length { whole.len() } else { 0 };
            let (mut pieces, mut counted, mut rest) = (Pieces::default(), 0, Bytes::from(whole.clone()));
            for length in lengths {
                counted += pieces.push(rest.split_to(length), said);
            }
            prop_assert!(counted >= whole.len());
            prop_assert!(counted <= whole.len() + whole.len() / GROWTH_PART + GROWTH_BYTES_MIN);
            prop_assert_eq!(pieces.join(), whole);
        }
    }
}
