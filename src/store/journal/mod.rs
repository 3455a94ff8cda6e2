//! The journal: what was made durable and need not be anywhere else yet. Records are appended, and synced together.
//!
//! Where the commit becomes durable: an append to a file whose blocks exist, and one `fdatasync` a group. Records are numbered.
//! Whoever keeps them elsewhere says so with [`Release`]; a start replays what is not kept elsewhere.
//!
//! Never here: what a record means.

mod floor;
pub(in crate::store) mod frame;
mod inspect;
mod library;
mod segment;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use floor::Floor;
pub(in crate::store) use inspect::{Inspected, inspect};
pub(in crate::store) use library::{Library, Spot};
pub(in crate::store) use segment::{Old, Release, SegmentId};
use segment::{Segment, Stock};

/// For `fuzz/` only: the numbers and payloads of the records in a segment.
#[cfg(fuzzing)]
pub fn journal_records(segment: &[u8], salt: u64) -> Vec<(u64, Vec<u8>)> {
    frame::records(segment, salt).map(|found| (found.number, found.payload.to_vec())).collect()
}

/// For `fuzz/` only: a segment with these records, numbered from 1.
#[cfg(fuzzing)]
pub fn journal_segment(salt: u64, payloads: &[&[u8]]) -> Vec<u8> {
    let mut segment = Vec::new();
    (1..).zip(payloads).for_each(|(number, payload)| frame::push(&mut segment, salt, number, number - 1, &[payload]));
    segment
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    stock: Stock,
    /// `None` until something is written.
    segment: Option<Segment>,
    /// What is to be written to the segment with the next [`Journal::write`].
    buffer: Vec<u8>,
    next: u64,
    /// Records up to this number are durable.
    synced: u64,
}

/// A buffer of a large group is not kept.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// A record as it was added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pushed {
    pub(super) number: u64,
    /// Where its payload begins.
    pub(super) spot: Spot,
}

/// What a start found in the journal.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// Records that must be there, by their numbers, and cannot be read.
    pub(super) missing: u64,
    /// Those of them that came before all that was found: the journal did not keep them.
    pub(super) missing_before: u64,
    /// Records that were replayed.
    pub(super) records: u64,
    /// The number of the first one of them.
    pub(super) first: Option<u64>,
    /// Whether records were passed over: damaged ones, or of what nobody was promised a piece in the middle.
    pub(super) has_gaps: bool,
    /// Whether there was no record at all.
    pub(super) is_empty: bool,
}

impl Journal {
    /// Opens the journal in `folder`, making it where nothing is there, and gives each record behind number `after` to `replay`, as far
    /// as the journal has no gaps. `library` gets its segments.
    pub(super) fn open<E: From<io::Error>>(
        folder: &Path,
        after: u64,
        library: Library,
        mut replay: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(Self, Replayed), E> {
        fs::create_dir_all(folder)?;
        // Else a loss of power takes the folder with all that was synced in it.
        folder.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())?;
        let (floor, mut files) = (Floor::open(folder)?, Vec::new());
        for closed in segment::list(folder)? {
            match first_number(&closed.path, closed.salt)? {
                Some(first) => {
                    library.add(closed.id, closed.path.clone());
                    files.push((first, closed));
                }
                // It was made and never used.
                None => fs::remove_file(&closed.path)?,
            }
        }
        files.sort_by_key(|(first, _)| *first);
        let (mut replayed, mut gaps, mut last) = (Replayed::default(), Gaps::default(), after);
        let gapless = after.max(floor.number());
        for place in 0..files.len() {
            let next_first = files.get(place + 1).map(|(first, _)| *first);
            let closed = &mut files[place].1;
            if let Some(next_first) = next_first.filter(|first| *first <= gapless + 1) {
                closed.last = next_first.saturating_sub(1);
                continue;
            }
            let segment = fs::read(&closed.path)?;
            for found in frame::records(&segment, closed.salt) {
                closed.last = closed.last.max(found.number);
                if found.number <= last.max(gapless) {
                    continue;
                }
                gaps.step(last, &found);
                replayed.records += 1;
                replayed.first.get_or_insert(found.number);
                last = found.number;
                replay(found.number, found.payload)?;
            }
        }
        replayed.is_empty = files.is_empty();
        replayed.has_gaps = !gaps.gaps.is_empty();
        let kept = files.into_iter().map(|(_, closed)| closed).collect();
        let stock = Stock::start(folder, kept, library, floor)?;
        let missing_before = gaps.missing(|gap| gap.start == after + 1);
        let replayed = Replayed { missing: gaps.missing(|_| true), missing_before, ..replayed };
        let last = last.max(gapless);
        Ok((Self { stock, segment: None, buffer: Vec::new(), next: last + 1, synced: last }, replayed))
    }

    /// Adds a record whose payload is `parts` one after the other. It is in the file after [`Self::write`].
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> io::Result<Pushed> {
        let bytes = frame::bytes_of(parts.iter().map(|part| part.len()).sum());
        let has_room = self.segment.as_ref().is_some_and(|segment| segment.has_room(self.buffer.len() + bytes));
        if !has_room {
            self.turn(bytes)?;
        }
        let Some(segment) = &self.segment else { return Err(io::Error::other("there is no segment of the journal")) };
        let (number, at) = (self.next, segment.at + (self.buffer.len() + frame::HEADER_BYTES) as u64);
        let spot = Spot { segment: segment.id, at: u32::try_from(at).unwrap_or(u32::MAX) };
        frame::push(&mut self.buffer, segment.salt, number, self.synced, parts);
        self.next += 1;
        Ok(Pushed { number, spot })
    }

    /// Goes on to the next segment. The one before is made durable: its later syncs would be forgotten.
    fn turn(&mut self, bytes: usize) -> io::Result<()> {
        self.write()?;
        self.sync()?;
        if let Some(segment) = self.segment.take() {
            self.stock.keep(segment.closed(self.next - 1));
        }
        self.segment = Some(self.stock.next(bytes)?);
        Ok(())
    }

    /// Writes what was added.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if let (Some(segment), false) = (&mut self.segment, self.buffer.is_empty()) {
            segment.write(&self.buffer)?;
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.segment.as_ref().map_or(Ok(()), Segment::sync)?;
        self.synced = self.next - 1;
        Ok(())
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.stock.bytes() + self.segment.as_ref().map_or(0, |segment| segment.bytes)
    }

    /// The way to say what is durable elsewhere.
    pub(super) fn release(&self) -> Release {
        self.stock.release()
    }
}

/// The segments in `folder` that no replay would look at: whoever keeps records elsewhere may need what stands in them.
pub(super) fn beneath_floor(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let floor = Floor::read(folder)?;
    let mut beneath = Vec::new();
    for closed in segment::list(folder)? {
        if first_number(&closed.path, closed.salt)?.is_some_and(|first| first <= floor) {
            beneath.push(closed.path);
        }
    }
    Ok(beneath)
}

/// The number of the first readable record.
fn first_number(path: &Path, salt: u64) -> io::Result<Option<u64>> {
    // Mostly the first one is whole, and the rest need not be read.
    let file = File::open(path)?;
    let mut start = vec![0; frame::HEADER_BYTES];
    let is_long = file.metadata()?.len() > start.len() as u64;
    if is_long {
        file.read_exact_at(&mut start, 0)?;
    }
    if let Some(header) = frame::Header::read(&start)
        && file.metadata()?.len() >= frame::bytes_of(header.length) as u64
    {
        start.resize(frame::bytes_of(header.length), 0);
        file.read_exact_at(&mut start, 0)?;
        if let Some(found) = frame::records(&start, salt).next() {
            return Ok(Some(found.number));
        }
    }
    let segment = fs::read(path)?;
    Ok(frame::records(&segment, salt).next().map(|found| found.number))
}

/// Numbers that were passed over, and which of them were durable once.
#[derive(Default)]
struct Gaps {
    gaps: Vec<Range<u64>>,
    synced: u64,
}

impl Gaps {
    /// `found` came after record `last`.
    fn step(&mut self, last: u64, found: &frame::Found<'_>) {
        self.synced = self.synced.max(found.synced);
        if last + 1 < found.number {
            self.gaps.push(last + 1..found.number);
        }
    }

    /// How many are missing up to a number, and behind it.
    fn around(&self, number: u64) -> (u64, u64) {
        let durable = self.gaps.iter().map(|gap| gap.start..gap.end.min(self.synced + 1).max(gap.start));
        durable.fold((0, 0), |(before, behind), gap| {
            let middle = (number + 1).clamp(gap.start, gap.end);
            (before + middle - gap.start, behind + gap.end - middle)
        })
    }

    fn missing(&self, which: impl Fn(&Range<u64>) -> bool) -> u64 {
        self.gaps.iter().filter(|gap| which(gap)).map(|gap| gap.end.min(self.synced + 1).saturating_sub(gap.start)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, after: u64) -> (Journal, Vec<(u64, Vec<u8>)>, Replayed) {
        let mut seen = Vec::new();
        let replay = |number, payload: &[u8]| {
            seen.push((number, payload.to_vec()));
            Ok::<_, io::Error>(())
        };
        let (journal, replayed) = Journal::open(folder, after, Library::default(), replay).unwrap();
        (journal, seen, replayed)
    }

    fn fill(journal: &mut Journal, records: usize, bytes: usize) {
        for n in 0..records {
            journal.push(&[&[n as u8], &vec![7; bytes]]).unwrap();
            journal.write().unwrap();
        }
        journal.sync().unwrap();
    }

    #[test]
    fn what_was_written_is_replayed_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, seen, _) = open(folder.path(), 0);
        assert!(seen.is_empty());
        fill(&mut journal, 40, 100_000);
        drop(journal);
        for _ in 0..2 {
            let (mut journal, seen, replayed) = open(folder.path(), 12);
            assert_eq!((seen[0].0, replayed.missing), (13, 0));
            assert!(
                seen.iter()
                    .take(28)
                    .enumerate()
                    .all(|(n, (number, payload))| *number == n as u64 + 13 && payload.len() == 100_001)
            );
            fill(&mut journal, 1, 5);
        }
        assert_eq!(open(folder.path(), 0).1.len(), 42);
    }

    #[test]
    fn a_record_may_be_larger_than_a_segment() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(folder.path(), 0);
        fill(&mut journal, 1, 10);
        fill(&mut journal, 1, 40 * 1024 * 1024);
        fill(&mut journal, 1, 10);
        drop(journal);
        let lengths: Vec<_> = open(folder.path(), 0).1.iter().map(|(_, payload)| payload.len()).collect();
        assert_eq!(lengths, [11, 40 * 1024 * 1024 + 1, 11]);
    }

    #[test]
    fn what_was_pushed_is_read_by_its_place_until_nothing_refers_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::default();
        let open = |after| Journal::open(folder.path(), after, library.clone(), |_, _| Ok::<_, io::Error>(())).unwrap().0;
        let mut journal = open(0);
        let body = |n: u8| vec![n; 4_000_000];
        let pushed: Vec<_> = (0..80).map(|n| push_and_write(&mut journal, &body(n))).collect();
        journal.sync().unwrap();
        let (first, last) = (pushed[0].spot, pushed[79].spot);
        let spots: Vec<_> = pushed.iter().map(|pushed| pushed.spot).collect();
        for (n, spot) in (0..).zip(&spots) {
            assert_eq!(library.read(*spot, 4_000_000).unwrap(), Some(body(n)));
            assert_eq!(Spot::from_bits(spot.to_bits()), Some(*spot));
        }
        assert_eq!(library.read(last.behind(1 << 30), 10).unwrap(), None);
        // One of the first is needed, and it was let go of too lately, and at last long ago.
        let release = journal.release();
        let needed = |segment| if segment == first.segment { None } else { Some(0) };
        release.up_to(80, needed).unwrap();
        let there = |spot: &&Spot| library.has(spot.segment);
        let left = spots.iter().filter(there).count();
        assert!(library.has(first.segment) && library.has(last.segment) && (32..60).contains(&left), "{left} are left");
        release.up_to(80, |segment| Some(if segment == first.segment { 79 } else { 0 })).unwrap();
        assert_eq!(library.read(first, 4_000_000).unwrap(), Some(body(0)));
        drop(journal);
        // What is beneath a gap is kept, and not replayed.
        let mut replayed = Vec::new();
        let count = |number, _: &[u8]| {
            replayed.push(number);
            Ok::<_, io::Error>(())
        };
        let (journal, found) = Journal::open(folder.path(), 0, library.clone(), count).unwrap();
        assert_eq!((replayed.len() < left, replayed.last(), found.missing_before > 0), (true, Some(&80), true));
        assert_eq!(library.read(first, 4_000_000).unwrap(), Some(body(0)));
        let name = format!("{:08x}-", first.segment);
        let beneath = beneath_floor(folder.path()).unwrap();
        assert!(beneath.iter().any(|path| path.file_name().unwrap().to_string_lossy().starts_with(&name)), "{beneath:?}");
        journal.release().up_to(80, |_| Some(2)).unwrap();
        assert_eq!(library.read(first, 4_000_000).unwrap(), None);
    }

    fn push_and_write(journal: &mut Journal, body: &[u8]) -> Pushed {
        let pushed = journal.push(&[body]).unwrap();
        journal.write().unwrap();
        pushed
    }

    #[test]
    fn what_is_missing_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(folder.path(), 0);
        fill(&mut journal, 4, 1000);
        fill(&mut journal, 1, 1000);
        let path = journal.segment.as_ref().unwrap().path().to_owned();
        drop(journal);
        let mut bytes = fs::read(&path).unwrap();
        bytes[3 * frame::bytes_of(1001) + 500] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (_, seen, replayed) = open(folder.path(), 0);
        assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 5]);
        assert_eq!((replayed.missing, replayed.records), (1, 4));
    }

    #[test]
    fn the_torn_end_of_what_nobody_was_promised_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(folder.path(), 0);
        fill(&mut journal, 2, 1000);
        for _ in 0..3 {
            journal.push(&[&[7; 1000]]).unwrap();
        }
        journal.write().unwrap();
        let path = journal.segment.as_ref().unwrap().path().to_owned();
        drop(journal);
        let mut bytes = fs::read(&path).unwrap();
        bytes[2 * frame::bytes_of(1001) + 500] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (_, seen, replayed) = open(folder.path(), 0);
        assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 4, 5]);
        assert_eq!(replayed.missing, 0);
    }

    #[test]
    fn what_is_durable_elsewhere_goes_beyond_a_margin_and_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(folder.path(), 0);
        let release = journal.release();
        let most = 14 * 32 * 1024 * 1024;
        for n in 1..=80 {
            fill(&mut journal, 1, 8_000_000);
            release.up_to(n, |_| Some(0)).unwrap();
            assert!(journal.stock.bytes() < most);
        }
        drop(journal);
        let (_, seen, _) = open(folder.path(), 0);
        assert!(seen[0].0 > 1 && seen.len() > 12, "{} from {}", seen.len(), seen[0].0);
        assert_eq!(seen.last().map(|(number, _)| *number), Some(80));
    }
}
