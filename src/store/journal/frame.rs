//! How records stand in a segment of the journal, and how they are found again, also behind damage.
//!
//! ```text
//! "hkj1"  LENGTH u32  NUMBER u64  UNSYNCED u32  CRC u32   PAYLOAD ...   padding to eight bytes
//! ```
//!
//! Numbers rise by one from record to record. UNSYNCED is how many records were written since the last sync, this one included:
//! so a gap is known as damage, or as the torn end of what nobody was promised. The checksum begins with the segment's salt, which is in its file's name: what an
//! earlier use of the file left behind never passes for a record, and nobody who sends a body can write one into it.

use crc32fast::Hasher;

/// Begins every record.
const MAGIC: [u8; 4] = *b"hkj1";
/// Bytes before the payload.
pub(in crate::store) const HEADER_BYTES: usize = 24;
/// Records begin at multiples of it.
pub(in crate::store) const ALIGNMENT: usize = 8;

/// A record as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) number: u64,
    /// Records up to this number were durable when it was written.
    pub(super) synced: u64,
    pub(super) payload: &'a [u8],
}

/// What stands before a record's payload, as far as it can be read without the payload: nothing of it is proven.
pub(in crate::store) struct Header {
    pub(in crate::store) number: u64,
    /// Bytes of the payload.
    pub(in crate::store) length: usize,
    unsynced: u32,
    fields: [u8; 16],
    crc: u32,
}

impl Header {
    /// From the first [`HEADER_BYTES`] of a record.
    pub(in crate::store) fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (fields, tail) = rest.split_first_chunk::<16>()?;
        let (crc, _) = tail.split_first_chunk::<4>()?;
        let (length, numbers) = fields.split_first_chunk::<4>()?;
        let (number, unsynced) = numbers.split_first_chunk::<8>()?;
        Some(Self {
            number: u64::from_be_bytes(*number),
            length: u32::from_be_bytes(*length) as usize,
            unsynced: u32::from_be_bytes(unsynced.try_into().ok()?),
            fields: *fields,
            crc: u32::from_be_bytes(*crc),
        })
    }

    /// A hasher that lacks the payload only.
    pub(in crate::store) fn hasher(&self, salt: u64) -> Hasher {
        let mut hasher = Hasher::new();
        hasher.update(&salt.to_be_bytes());
        hasher.update(&self.fields);
        hasher
    }

    /// Whether it is right, by a [`Self::hasher`] that has seen the payload.
    pub(in crate::store) fn is_proven_by(&self, hasher: Hasher) -> bool {
        hasher.finalize() == self.crc
    }
}

/// The bytes that a record takes.
pub(in crate::store) fn bytes_of(payload: usize) -> usize {
    (HEADER_BYTES + payload).next_multiple_of(ALIGNMENT)
}

/// Adds a record whose payload is `parts`, one after the other.
pub(in crate::store) fn push(buffer: &mut Vec<u8>, salt: u64, number: u64, synced: u64, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let start = buffer.len();
    buffer.reserve(bytes_of(length));
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&(length as u32).to_be_bytes());
    buffer.extend_from_slice(&number.to_be_bytes());
    buffer.extend_from_slice(&u32::try_from(number.saturating_sub(synced)).unwrap_or(u32::MAX).to_be_bytes());
    let crc = checksum(salt, &buffer[start + 4..], parts);
    buffer.extend_from_slice(&crc.to_be_bytes());
    parts.iter().for_each(|part| buffer.extend_from_slice(part));
    buffer.resize(start + bytes_of(length), 0);
}

/// The records of a segment in order; what is damaged is passed over.
pub(super) fn records(segment: &[u8], salt: u64) -> impl Iterator<Item = Found<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < segment.len() {
            if let Some(found) = record_at(segment, at, salt) {
                at += bytes_of(found.payload.len());
                return Some(found);
            }
            at = next_magic(segment, at + ALIGNMENT)?;
        }
        None
    })
}

fn record_at(segment: &[u8], at: usize, salt: u64) -> Option<Found<'_>> {
    let (header, rest) = segment.get(at..)?.split_at_checked(HEADER_BYTES)?;
    let header = Header::read(header)?;
    let payload = rest.get(..header.length)?;
    let mut hasher = header.hasher(salt);
    hasher.update(payload);
    let Header { number, unsynced, .. } = header;
    let synced = number.saturating_sub(unsynced.into());
    header.is_proven_by(hasher).then_some(Found { number, synced, payload })
}

/// Where the next record may begin. A segment's end is zeros mostly, so this must be quick.
fn next_magic(segment: &[u8], from: usize) -> Option<usize> {
    let rest = segment.get(from..)?;
    let place = rest.chunks_exact(ALIGNMENT).position(|word| word.starts_with(&MAGIC))?;
    Some(from + place * ALIGNMENT)
}

fn checksum(salt: u64, fields: &[u8], parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&salt.to_be_bytes());
    hasher.update(fields);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(payloads: &[Vec<u8>], salt: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, payload) in (1..).zip(payloads) {
            push(&mut bytes, salt, number, number - 1, &[&payload[..payload.len() / 2], &payload[payload.len() / 2..]]);
        }
        bytes.resize(bytes.len() + 4096, 0);
        bytes
    }

    proptest! {
        #[test]
        fn damage_costs_the_records_that_it_hits(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..12),
            hit in any::<prop::sample::Index>(),
            length in 1usize..40,
            noise: u8,
        ) {
            let mut bytes = segment(&payloads, 7);
            let whole: Vec<_> = records(&bytes, 7).map(|found| found.payload.to_vec()).collect();
            prop_assert_eq!(&whole, &payloads);
            let mut ends = Vec::new();
            for payload in &payloads {
                ends.push(ends.last().copied().unwrap_or(0) + bytes_of(payload.len()));
            }
            let hit = hit.index(ends[ends.len() - 1]);
            let last = (hit + length).min(bytes.len());
            bytes[hit..last].iter_mut().for_each(|byte| *byte ^= noise | 1);
            let numbers: Vec<_> = records(&bytes, 7).map(|found| found.number as usize).collect();
            for (place, end) in ends.iter().enumerate() {
                let begin = if place == 0 { 0 } else { ends[place - 1] };
                let is_hit = hit < *end && last > begin;
                prop_assert!(is_hit || numbers.contains(&(place + 1)), "record {} was lost", place + 1);
            }
        }
    }

    #[test]
    fn what_was_written_under_another_salt_is_nothing() {
        let bytes = segment(&[b"old".to_vec(), b"older".to_vec()], 7);
        assert_eq!(records(&bytes, 8).count(), 0);
    }

    #[test]
    fn a_record_within_a_damaged_payload_is_none() {
        let mut forged = Vec::new();
        push(&mut forged, 0, 2, 1, &[b"forged"]);
        let mut bytes = segment(&[forged], 0x5eed);
        bytes[9] ^= 1;
        assert_eq!(records(&bytes, 0x5eed).count(), 0);
    }
}
