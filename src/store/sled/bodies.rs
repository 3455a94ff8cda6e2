//! The bodies of a block's events. Mostly they stay in the journal, where the commit wrote them; the others are put into sled, one
//! after the other, cut into chunks.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::store::journal::{SegmentId, Spot};

/// The largest value that is written: sixteen of them in one leaf stay far below what sled would put into a file of its own. Smaller
/// than that would ask for, because sled keeps what the last eight thousand or so accesses were to, whatever its cache is set to.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

/// A body of so many bytes stays in the journal. Around a smaller one there is so much else that its file would be kept for little.
const STAYS_BYTES: usize = 512;

/// Bodies of a block that is on its way into sled.
#[derive(Clone, Default)]
pub(super) struct Bodies {
    /// Those that go into sled, each with its place, as its head says it.
    bodies: Vec<(u64, Bytes)>,
    bytes: u64,
    /// Bytes of those that go into sled.
    length: u64,
    /// Bytes of those that are in the journal, by its segments.
    segments: BTreeMap<SegmentId, u64>,
}

/// Where a body is: chunks, and bytes within them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first chunk.
    pub(super) first: u16,
    /// The last chunk.
    pub(super) last: u16,
    /// Bytes of the first chunk that come before.
    pub(super) skip: usize,
}

impl Bodies {
    /// Bytes of all bodies.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of those in the journal, by its segments.
    pub(super) fn segments(&self) -> &BTreeMap<SegmentId, u64> {
        &self.segments
    }

    /// Adds a body; gives its place for its head. `spot`: where the journal has it, if it may stay there. Then it is read from there, and
    /// is not held in memory.
    pub(super) fn push(&mut self, body: Bytes, spot: Option<Spot>) -> u64 {
        let length = body.len() as u64;
        self.bytes += length;
        if let Some(spot) = spot.filter(|_| body.len() >= STAYS_BYTES) {
            *self.segments.entry(spot.segment).or_default() += length;
            return spot.to_bits();
        }
        let at = self.length;
        self.length += length;
        self.bodies.push((at, body));
        at
    }

    /// The body of `length` bytes at a place, where it goes into sled.
    pub(super) fn find(&self, at: u64, length: u64) -> Option<Bytes> {
        // Empty bodies share their place with the next one.
        self.bodies.iter().find(|(place, body)| *place == at && body.len() as u64 == length).map(|(_, body)| body.clone())
    }

    /// The chunks of those that go into sled, in order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut pieces = self.bodies.iter().map(|(_, body)| body.clone());
        let mut piece = Bytes::new();
        std::iter::from_fn(move || {
            let mut chunk = Vec::new();
            while chunk.len() < CHUNK_BYTES {
                if piece.is_empty() {
                    let Some(next) = pieces.next() else { break };
                    piece = next;
                }
                chunk.extend_from_slice(&piece.split_to(piece.len().min(CHUNK_BYTES - chunk.len())));
            }
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}

impl Span {
    /// The span of `length` bytes at `at`; `None` where there are none, or more than a block can hold.
    pub(super) fn of(at: u64, length: u64) -> Option<Self> {
        let chunk = |byte: u64| u16::try_from(byte / CHUNK_BYTES as u64).ok();
        let end = at.checked_add(length.checked_sub(1)?)?;
        Some(Self { first: chunk(at)?, last: chunk(end)?, skip: usize::try_from(at % CHUNK_BYTES as u64).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_body_is_found_again(lengths in prop::collection::vec(prop_oneof![0usize..10, 0usize..200_000], 1..8)) {
            let mut bodies = Bodies::default();
            let mut placed = Vec::new();
            for (n, length) in lengths.into_iter().enumerate() {
                let body = Bytes::from(vec![n as u8; length]);
                placed.push((bodies.push(body.clone(), None), body));
                let spot = Spot { segment: n as u32, at: 77 };
                let at = bodies.push(Bytes::from(vec![9; STAYS_BYTES]), Some(spot));
                prop_assert_eq!(Spot::from_bits(at), Some(spot));
                let small = Bytes::from(vec![9; STAYS_BYTES - 1]);
                placed.push((bodies.push(small.clone(), Some(spot)), small));
            }
            let chunks: Vec<_> = bodies.chunks().collect();
            prop_assert!(chunks.iter().all(|c| c.len() <= CHUNK_BYTES));
            for (at, body) in placed {
                prop_assert_eq!(bodies.find(at, body.len() as u64), Some(body.clone()));
                prop_assert_eq!(Spot::from_bits(at), None);
                let Some(span) = Span::of(at, body.len() as u64) else { prop_assert!(body.is_empty()); continue };
                let whole = chunks[span.first as usize..=span.last as usize].concat();
                prop_assert_eq!(&whole[span.skip..span.skip + body.len()], &body[..]);
            }
        }
    }
}
