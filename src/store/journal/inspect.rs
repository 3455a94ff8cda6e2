//! Looks at a journal without opening it: nothing is made, removed or replayed.

use std::fs;
use std::io;
use std::path::Path;

use super::{Gaps, first_number, frame, segment};

/// What was found.
#[derive(Debug, Default)]
pub(in crate::store) struct Inspected {
    /// Files with records.
    pub(in crate::store) segments: u64,
    /// Bytes of all files.
    pub(in crate::store) bytes: u64,
    /// The numbers of the first and the last record.
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
    let mut files = Vec::new();
    for (path, salt) in segments {
        found.bytes += fs::metadata(&path)?.len();
        files.extend(first_number(&path, salt)?.map(|first| (first, path, salt)));
    }
    files.sort_by_key(|(first, ..)| *first);
    let mut gaps = Gaps::default();
    for (_, path, salt) in &files {
        found.segments += 1;
        let segment = fs::read(path)?;
        for record in frame::records(&segment, *salt) {
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
