//! A filter over the ids of a run: tells for certain that an id is not there, and wrongly that it may be for about one in a thousand.
//!
//! A Bloom filter whose bits for one id lie in one cache line ("blocked"; Putze, Sanders and Singler, 2007).

use super::IdHash;

/// Bits a line: one line of the processor's cache.
const LINE_BITS: usize = 512;
/// Bits an id, on average.
const BITS_PER_ID: usize = 16;
/// Bits that are set for an id.
const BITS_SET: u32 = 6;

/// The filter of a run.
#[derive(Debug)]
pub(super) struct Filter(Vec<[u64; LINE_BITS / 64]>);

impl Filter {
    /// Over so many ids.
    pub(super) fn with_room_for(ids: usize) -> Self {
        Self(vec![[0; LINE_BITS / 64]; (ids * BITS_PER_ID).div_ceil(LINE_BITS).max(1)])
    }

    pub(super) fn add(&mut self, id: &IdHash) {
        let (line, bits) = self.place(id);
        bits.for_each(|bit| self.0[line][bit / 64] |= 1 << (bit % 64));
    }

    pub(super) fn may_have(&self, id: &IdHash) -> bool {
        let (line, mut bits) = self.place(id);
        bits.all(|bit| self.0[line][bit / 64] & (1 << (bit % 64)) != 0)
    }

    /// The line of an id, and its bits there. Ids are hashes already.
    fn place(&self, id: &IdHash) -> (usize, impl Iterator<Item = usize> + use<>) {
        let hash = u128::from_be_bytes(*id);
        let line = (((hash >> 64) as u64 as u128 * self.0.len() as u128) >> 64) as usize;
        (line, (0..BITS_SET).map(move |n| (hash >> (n * 9)) as usize % LINE_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::dedupe::id_hash;

    #[test]
    fn what_was_added_may_be_there_and_little_else() {
        let ids: Vec<_> = (0..20_000).map(|n| id_hash(&format!("evt_{n}"))).collect();
        let (known, unknown) = ids.split_at(10_000);
        let mut filter = Filter::with_room_for(known.len());
        known.iter().for_each(|id| filter.add(id));
        assert!(known.iter().all(|id| filter.may_have(id)));
        let wrong = unknown.iter().filter(|id| filter.may_have(id)).count();
        assert!(wrong < 40, "{wrong} of 10,000");
        assert_eq!(filter.0.len(), 313);
    }

    #[test]
    fn an_empty_filter_has_nothing() {
        assert!(!Filter::with_room_for(0).may_have(&[7; 16]));
    }
}
