//! The keys of the one tree: a prefix byte each, then big-endian parts, so that order of keys is order of time.
//!
//! ```text
//! h BLOCK CHUNK            heads of a block's events            b BLOCK CHUNK   their bodies, one after the other
//! H BLOCK CHUNK            what purges left of heads            B BLOCK CHUNK   the same of bodies
//! d BLOCK CHUNK            what changes of them: deliveries     a DELIVERY N    an attempt that is not the newest
//! q DESTINATION 0 DUE BLOCK   a block with pending deliveries   s STATE BLOCK   a block with a delivery in this state
//! o DESTINATION 0 KEY BLOCK   a block with pending deliveries of this order key; O: with those that wait for an earlier one
//! D DESTINATION 0 BLOCK    a block with a delivery there        S SOURCE 0 BLOCK, T TYPE 0 BLOCK   the same by source, type
//! r RUN                    a run of provider's event ids        k RUN CHUNK     what is in it
//! c DESTINATION            counts; `c` alone: events
//! j BLOCK                  which of the journal's files have bodies of the block
//! p                        the journal's record up to which all of it is here
//! ~                        nothing: see `purge.rs`
//! ```
//!
//! A block is named by its first event's id, so the block of an event is the last one that does not begin behind it.

use crate::record::{Delivery, DeliveryId, Event, EventId};
use crate::time::Timestamp;

pub(super) const HEADS: u8 = b'h';
pub(super) const BODIES: u8 = b'b';
/// Where heads are once a purge has written them anew, and bodies. Apart from the others: sled keeps a leaf's old bytes until it
/// has ten changes, or is empty, and leaves of large values never got there.
pub(super) const HEADS_LEFT: u8 = b'H';
pub(super) const BODIES_LEFT: u8 = b'B';
pub(super) const STATES: u8 = b'd';
pub(super) const ATTEMPT: u8 = b'a';
pub(super) const DUE: u8 = b'q';
pub(super) const ORDER: u8 = b'o';
pub(super) const HELD: u8 = b'O';
pub(super) const BY_STATE: u8 = b's';
pub(super) const BY_DESTINATION: u8 = b'D';
pub(super) const BY_SOURCE: u8 = b'S';
pub(super) const BY_TYPE: u8 = b'T';
pub(super) const HELD_BY: u8 = b'j';
const RUN: u8 = b'r';
const RUN_CHUNK: u8 = b'k';
pub(super) const COUNT: u8 = b'c';
const POSITION: u8 = b'p';
const STIR: u8 = b'~';

/// Types are the provider's words and have no bound; a key has one. Longer ones share a key and are told apart by a read.
const TYPE_BYTES_MAX: usize = 128;

/// A block's id: that of its first event.
pub(super) type BlockId = EventId;

/// A key as it is built.
pub(super) type Key = Vec<u8>;

/// A key of parts.
pub(super) fn key(prefix: u8, parts: &[&[u8]]) -> Key {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|p| p.len()).sum::<usize>());
    key.push(prefix);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// A chunk of a block's heads, bodies or states.
pub(super) fn chunk(prefix: u8, block: BlockId, number: u16) -> Key {
    key(prefix, &[&block.to_bytes(), &number.to_be_bytes()])
}

/// An attempt.
pub(super) fn attempt(delivery: DeliveryId, number: u32) -> Key {
    key(ATTEMPT, &[&delivery.to_bytes(), &number.to_be_bytes()])
}

/// The prefix of the due index of a destination.
pub(super) fn due_of(destination: &str) -> Key {
    key(DUE, &[destination.as_bytes(), &[0]])
}

/// A block with pending deliveries to `destination`, the first of them due at `due`.
pub(super) fn due(destination: &str, due: Timestamp, block: BlockId) -> Key {
    key(DUE, &[destination.as_bytes(), &[0], &due.ms().to_be_bytes(), &block.to_bytes()])
}

/// The due time in a key of [`due`].
pub(super) fn due_time(key: &[u8]) -> Option<Timestamp> {
    let start = key.len().checked_sub(24)?;
    let ms = key[start..start + 8].try_into().ok()?;
    Some(Timestamp::from_ms(u64::from_be_bytes(ms)))
}

/// The prefix of blocks with deliveries of an order key, or of all keys, to `destination`: [`ORDER`] or [`HELD`].
pub(super) fn order(prefix: u8, destination: &str, order_key: Option<&str>) -> Key {
    let hash = order_key.map(|key| fnv(key).to_be_bytes());
    key(prefix, &[destination.as_bytes(), &[0], hash.as_ref().map_or(&[], |hash| &hash[..])])
}

/// The hash of the order key in a key of [`order`] with a block.
pub(super) fn order_hash(key: &[u8]) -> Option<u64> {
    let start = key.len().checked_sub(24)?;
    key[start..start + 8].try_into().ok().map(u64::from_be_bytes)
}

/// The hash of a delivery's order key.
pub(super) fn hash_of(delivery: &Delivery) -> Option<u64> {
    delivery.order_key.as_deref().map(fnv)
}

/// FNV-1a: the index leads to few deliveries, which are compared by their whole keys. It is stored, so it must not change.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The prefix of blocks with a delivery in a state (by its number).
pub(super) fn by_state(state: u8) -> Key {
    key(BY_STATE, &[&[state]])
}

/// The prefix of blocks with a delivery to `destination`.
pub(super) fn by_destination(destination: &str) -> Key {
    key(BY_DESTINATION, &[destination.as_bytes(), &[0]])
}

/// The prefix of blocks with an event of `source`.
pub(super) fn by_source(source: &str) -> Key {
    key(BY_SOURCE, &[source.as_bytes(), &[0]])
}

/// The prefix of blocks with an event of this type.
pub(super) fn by_type(kind: &str) -> Key {
    let bytes = kind.as_bytes();
    key(BY_TYPE, &[&bytes[..bytes.len().min(TYPE_BYTES_MAX)], &[0]])
}

/// The keys of an event's block in the indexes by source and type.
pub(super) fn kept(event: &Event, block: BlockId) -> impl Iterator<Item = Key> {
    let prefixes = [Some(by_source(&event.source)), event.kind.as_deref().map(by_type)];
    prefixes.into_iter().flatten().map(move |prefix| with_block(prefix, block))
}

/// The record of where a block's bodies are in the journal.
pub(super) fn held_by(block: BlockId) -> Key {
    with_block(held_by_all(), block)
}

/// The prefix of all such records.
pub(super) fn held_by_all() -> Key {
    vec![HELD_BY]
}

/// All such records are before it.
pub(super) fn behind_held_by() -> Key {
    vec![HELD_BY + 1]
}

/// The record of a run of provider's event ids.
pub(super) fn run(number: u64) -> Key {
    key(RUN, &[&number.to_be_bytes()])
}

/// The prefix of all records of runs.
pub(super) fn runs() -> Key {
    vec![RUN]
}

/// A chunk of a run.
pub(super) fn run_chunk(run: u64, chunk: u32) -> Key {
    key(RUN_CHUNK, &[&run.to_be_bytes(), &chunk.to_be_bytes()])
}

/// All chunks of runs are behind it.
pub(super) fn chunks_of_runs() -> Key {
    vec![RUN_CHUNK]
}

/// All chunks of runs are before it.
pub(super) fn behind_chunks_of_runs() -> Key {
    vec![RUN_CHUNK + 1]
}

/// The run in a key of [`run`] or [`run_chunk`].
pub(super) fn run_of(key: &[u8]) -> Option<u64> {
    key.get(1..9)?.try_into().ok().map(u64::from_be_bytes)
}

/// The key of the position in the journal.
pub(super) fn position() -> Key {
    vec![POSITION]
}

/// A key that means nothing, behind all others, where leaves are small.
pub(super) fn stir() -> Key {
    vec![STIR]
}

/// A prefix and a block.
pub(super) fn with_block(mut prefix: Key, block: BlockId) -> Key {
    prefix.extend_from_slice(&block.to_bytes());
    prefix
}

/// All keys of an index under a prefix are before it: they end in at most a time and a block.
pub(super) fn behind(prefix: &[u8]) -> Key {
    [prefix, &[0xff; 25]].concat()
}

/// The block at the end of an index key.
pub(super) fn block_at_end(key: &[u8]) -> Option<BlockId> {
    let start = key.len().checked_sub(16)?;
    key[start..].try_into().ok().map(EventId::from_bytes)
}

/// The block in a key of [`chunk`].
pub(super) fn block_of_chunk(key: &[u8]) -> Option<BlockId> {
    key.get(1..17)?.try_into().ok().map(EventId::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventIds;

    #[test]
    fn order_of_keys_is_order_of_time() {
        let mut ids = EventIds::default();
        let blocks: Vec<_> = [5, 9, 700].map(|ms| ids.next(Timestamp::from_ms(ms), 0)).into();
        let due_keys: Vec<_> = [1, 255, 256, 1 << 40].map(|ms| due("app", Timestamp::from_ms(ms), blocks[0])).into();
        assert!(due_keys.is_sorted());
        assert_eq!(due_time(&due_keys[2]), Some(Timestamp::from_ms(256)));
        let listed: Vec<_> = blocks.iter().map(|b| with_block(by_source("gh"), *b)).collect();
        assert!(listed.is_sorted());
        assert_eq!(block_at_end(&listed[1]), Some(blocks[1]));
        assert_eq!(block_of_chunk(&chunk(STATES, blocks[2], 7)), Some(blocks[2]));
    }

    #[test]
    fn a_name_that_begins_another_is_told_apart() {
        assert!(!by_source("gh-2").starts_with(&by_source("gh")));
    }
}
