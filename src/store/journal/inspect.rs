//! Looks at a journal without opening it: nothing is made, removed or replayed.

use std::fs;
use std::io;
use std::path::Path;

use super::floor::Floor;
use super::{Gaps, first_number, frame, segment};

/// What was found.
#[derive(Debug, Default)]
pub(in crate::store) struct Inspected {
    /// Files with records.
    pub(in crate::store) segments: u64,
    /// Bytes of all files.
    pub(in crate::store) bytes: u64,
    /// The numbers of the first and the last record that a replay may need.
    pub(in crate::store) first: Option<u64>,
    pub(in crate::store) last: Option<u64>,
    /// Records that were durable once and cannot be read, among those up to a number and behind it.
    pub(in crate::store) missing_before: u64,
    pub(in crate::store) missing_behind: u64,
}

/// Gives every record in `folder` to `visit`. `position`: what is kept elsewhere, where that is known; what comes behind must be here.
pub(in crate::store) fn inspect(
    folder: &Path,
    position: Option<u64>,
    mut visit: impl FnMut(u64, &[u8]),
) -> io::Result<Inspected> {
    let mut found = Inspected::default();
    let segments = match segment::list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        segments => segments?,
    };
    let (floor, mut files) = (Floor::read(folder)?, Vec::new());
    for closed in segments {
        found.bytes += closed.bytes;
        files.extend(first_number(&closed.path, closed.salt)?.map(|first| (first, closed)));
    }
    files.sort_by_key(|(first, _)| *first);
    found.segments = files.len() as u64;
    let mut gaps = Gaps::default();
    // What is beneath is there for its bodies only, and has gaps.
    for (_, closed) in files.iter().filter(|(first, _)| *first > floor) {
        let segment = fs::read(&closed.path)?;
        for record in frame::records(&segment, closed.salt) {
            let before = record.number.saturating_sub(1);
            let last = found.last.unwrap_or(before.min(position.unwrap_or(before)));
            if found.last.is_some() && record.number <= last {
                continue;
            }
            gaps.step(last, &record);
            found.first.get_or_insert(record.number);
            found.last = Some(record.number);
            visit(record.number, record.payload);
        }
    }
    (found.missing_before, found.missing_behind) = gaps.around(position.unwrap_or(0));
    Ok(found)
}
