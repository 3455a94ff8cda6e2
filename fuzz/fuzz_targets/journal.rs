//! Segments of the journal: every record that was written is found, damage costs only what it hits, and what was written under
//! another salt is nothing.
#![no_main]

use hookhold::store::{journal_records, journal_segment};
use libfuzzer_sys::fuzz_target;

const SALT: u64 = 7;

fuzz_target!(|data: &[u8]| {
    // What nobody wrote: within memory, and without a panic.
    let found: usize = journal_records(data, SALT).iter().map(|(_, payload)| payload.len()).sum();
    assert!(found <= data.len());

    let mut pieces = data.splitn(2, |&b| b == 0xff);
    let (damage, rest) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
    let payloads: Vec<&[u8]> = rest.split(|&b| b == 0xfe).collect();
    let mut segment = journal_segment(SALT, &payloads);
    let whole = journal_records(&segment, SALT);
    assert_eq!(whole.iter().map(|(_, payload)| &payload[..]).collect::<Vec<_>>(), payloads);
    assert!(whole.iter().zip(1..).all(|((number, _), expected)| *number == expected));
    assert!(journal_records(&segment, SALT + 1).is_empty());

    let [at, by, ..] = damage else { return };
    let at = usize::from(*at) * segment.len() / 256;
    segment[at] ^= by | 1;
    let left = journal_records(&segment, SALT);
    assert!(left.len() + 1 >= whole.len() && left.iter().all(|record| whole.contains(record)));
});
