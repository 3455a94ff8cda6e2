//! Reads again what stands in a segment, by its place: bodies stay where the commit wrote them.
//!
//! Nothing is proven here: a segment that is used again holds something else at the same place, so whoever reads keeps a checksum.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::segment::{self, SegmentId};

/// Segments that are kept open: what is read together was written together mostly.
const OPEN_MAX: usize = 8;
/// Ids have 31 bits.
const ID_BITS: u32 = 31;
/// Says that a place is one in the journal: see [`Spot::to_bits`].
const IN_JOURNAL: u64 = 1 << 63;

/// A place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Spot {
    pub(in crate::store) segment: SegmentId,
    /// Bytes from the segment's beginning.
    pub(in crate::store) at: u32,
}

/// The segments of a journal, for reading.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Library(Arc<Mutex<Shelves>>);

#[derive(Debug, Default)]
struct Shelves {
    paths: HashMap<SegmentId, PathBuf>,
    /// The last used at the back.
    open: VecDeque<(SegmentId, Arc<File>)>,
}

impl Spot {
    /// The place so many bytes behind.
    pub(in crate::store) fn behind(self, bytes: usize) -> Self {
        Self { at: self.at.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)), ..self }
    }

    /// As a number with its first bit set.
    pub(in crate::store) fn to_bits(self) -> u64 {
        IN_JOURNAL | u64::from(self.segment) << 32 | u64::from(self.at)
    }

    /// From such a number; `None` where its first bit is not set.
    pub(in crate::store) fn from_bits(bits: u64) -> Option<Self> {
        let segment = (bits >> 32) as u32 & ((1 << ID_BITS) - 1);
        (bits & IN_JOURNAL != 0).then_some(Self { segment, at: bits as u32 })
    }
}

impl Library {
    /// The segments in the journal's `folder`, which need not be there.
    pub(in crate::store) fn of(folder: &Path) -> io::Result<Self> {
        let library = Self::default();
        match segment::list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => found?.into_iter().for_each(|closed| library.add(closed.id, closed.path)),
        }
        Ok(library)
    }

    /// Whether there is such a segment.
    pub(in crate::store) fn has(&self, segment: SegmentId) -> bool {
        self.shelves().paths.contains_key(&segment)
    }

    /// The `length` bytes at `spot`; `None` where there are not so many.
    pub(in crate::store) fn read(&self, spot: Spot, length: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open(spot.segment)? else { return Ok(None) };
        // A damaged head may claim any length.
        let end = u64::from(spot.at).checked_add(length as u64);
        if end.is_none_or(|end| file.metadata().map_or(true, |data| data.len() < end)) {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        match file.read_exact_at(&mut bytes, spot.at.into()) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(|()| Some(bytes)),
        }
    }

    fn open(&self, segment: SegmentId) -> io::Result<Option<Arc<File>>> {
        let mut shelves = self.shelves();
        if let Some(place) = shelves.open.iter().position(|(open, _)| *open == segment) {
            let found = shelves.open.remove(place);
            shelves.open.extend(found.clone());
            return Ok(found.map(|(_, file)| file));
        }
        let Some(path) = shelves.paths.get(&segment) else { return Ok(None) };
        let file = match File::open(path) {
            // Somebody took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => Arc::new(opened?),
        };
        if shelves.open.len() >= OPEN_MAX {
            shelves.open.pop_front();
        }
        shelves.open.push_back((segment, file.clone()));
        Ok(Some(file))
    }

    /// A number that names no segment.
    pub(super) fn new_id(&self) -> SegmentId {
        let shelves = self.shelves();
        loop {
            let id = rand::random::<SegmentId>() >> (SegmentId::BITS - ID_BITS);
            if !shelves.paths.contains_key(&id) {
                return id;
            }
        }
    }

    /// There is a new segment.
    pub(super) fn add(&self, segment: SegmentId, path: PathBuf) {
        self.shelves().paths.insert(segment, path);
    }

    /// A segment is not read any more.
    pub(super) fn remove(&self, segment: SegmentId) {
        let mut shelves = self.shelves();
        shelves.paths.remove(&segment);
        shelves.open.retain(|(open, _)| *open != segment);
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
