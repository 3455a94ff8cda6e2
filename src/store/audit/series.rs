//! A series of files with lines, the newest at its end. Each is named by its number and the time at which it began; what is too old
//! or too much goes by whole files.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::line::{LINE_BYTES_MAX, Line};
use super::{AuditBounds, Audited, Outcome};
use crate::disk;
use crate::record::EventId;
use crate::time::Timestamp;

/// A series has so many files at most: its bounds are kept to an eighth.
const PIECES: u32 = 8;
/// A file is read whole where it is listed.
const PIECE_BYTES_MAX: u64 = 8 << 20;
const ENDING: &str = "jsonl";

/// The files of one kind.
#[derive(Debug)]
pub(super) struct Series {
    folder: PathBuf,
    name: &'static str,
    pub(super) bounds: AuditBounds,
    /// The file that is written to; `None` before the first line, and after a failure.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    since: Timestamp,
    bytes: u64,
}

/// A file of the series.
#[derive(Debug)]
pub(super) struct Piece {
    path: PathBuf,
    number: u64,
    since: Timestamp,
}

impl Series {
    /// The series below `folder`, which is made where it is not there.
    pub(super) fn open(folder: &Path, name: &'static str, bounds: AuditBounds) -> io::Result<Self> {
        disk::make_folder(folder)?;
        let mut series = Self { folder: folder.to_owned(), name, bounds, open: None };
        if let Some(Piece { path, since, .. }) = series.pieces()?.pop() {
            let mut file = OpenOptions::new().read(true).append(true).open(path)?;
            let bytes = cut_torn_line(&mut file)?;
            series.open = Some(Open { file, since, bytes });
        }
        Ok(series)
    }

    /// Adds a line; it is on stable storage when this returns. A file that failed is never written to again.
    pub(super) fn append(&mut self, line: &str, now: Timestamp) -> io::Result<()> {
        self.close_where_old(now, line.len() as u64);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(now)?,
        };
        let written = open.file.write_all(line.as_bytes()).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // Who asked hears that it was not written; nobody shall read that it was.
            let _ = open.file.set_len(open.bytes);
            return Err(error);
        }
        open.bytes += line.len() as u64;
        self.open = Some(open);
        Ok(())
    }

    /// Removes what is too old.
    pub(super) fn tidy(&mut self, now: Timestamp) -> io::Result<()> {
        self.close_where_old(now, 0);
        self.remove(now)
    }

    /// Its files, the oldest first.
    pub(super) fn pieces(&self) -> io::Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            pieces.extend(self.piece(path));
        }
        pieces.sort_by_key(|piece| piece.number);
        Ok(pieces)
    }

    /// `NAME-NUMBER-MILLISECONDS.jsonl`
    fn piece(&self, path: PathBuf) -> Option<Piece> {
        let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?.strip_suffix('.')?;
        let (number, since) = name.strip_prefix(self.name)?.strip_prefix('-')?.split_once('-')?;
        Some(Piece { number: number.parse().ok()?, since: Timestamp::from_ms(since.parse().ok()?), path })
    }

    fn piece_bytes(&self) -> u64 {
        (self.bounds.bytes_max / u64::from(PIECES)).min(PIECE_BYTES_MAX)
    }

    /// The open file is old, or has no room for so many bytes: the next line begins another one.
    fn close_where_old(&mut self, now: Timestamp, bytes: u64) {
        let is_old = |open: &Open| now.since(open.since) > self.bounds.keep_for / PIECES;
        let is_full = |open: &Open| open.bytes > 0 && open.bytes + bytes > self.piece_bytes();
        if self.open.as_ref().is_some_and(|open| is_old(open) || is_full(open)) {
            self.open = None;
        }
    }

    fn begin(&mut self, now: Timestamp) -> io::Result<Open> {
        self.remove(now)?;
        let number = self.pieces()?.last().map_or(0, |last| last.number) + 1;
        let path = self.folder.join(format!("{}-{number:010}-{}.{ENDING}", self.name, now.ms()));
        let file = disk::private().append(true).create_new(true).open(path)?;
        disk::sync_folder(&self.folder)?;
        Ok(Open { file, since: now, bytes: 0 })
    }

    /// Removes the oldest files, so that there is room for another one, and those whose last line is too old. The open one stays.
    fn remove(&mut self, now: Timestamp) -> io::Result<()> {
        let mut pieces = self.pieces()?;
        if self.open.is_some() {
            pieces.pop();
        }
        let sizes = pieces.iter().map(|piece| fs::metadata(&piece.path)).collect::<io::Result<Vec<_>>>()?;
        let mut bytes: u64 = sizes.iter().map(fs::Metadata::len).sum();
        let bytes_max = self.bounds.bytes_max.saturating_sub(self.piece_bytes());
        for (piece, metadata) in pieces.iter().zip(&sizes) {
            let age = metadata.modified().map_or(Duration::ZERO, |at| now.since(Timestamp::from_system(at)));
            if bytes <= bytes_max && age <= self.bounds.keep_for {
                break;
            }
            fs::remove_file(&piece.path)?;
            bytes -= metadata.len();
        }
        Ok(())
    }
}

/// Adds the newest entries that fit to `found`, at most `limit` of these files; how many lines could not be read.
pub(super) fn newest_first(
    pieces: &[Piece],
    limit: usize,
    fits: &dyn Fn(&Audited) -> bool,
    found: &mut Vec<Audited>,
) -> io::Result<usize> {
    let (mut left, mut damaged, mut ends) = (limit, 0, HashMap::<EventId, Outcome>::new());
    for piece in pieces.iter().rev() {
        let text = match fs::read(&piece.path) {
            Ok(text) => text,
            // It was too old, just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // What stands behind the last line end is being written.
        let whole = text.rsplit(|b| *b == b'\n').skip(1).filter(|line| !line.is_empty());
        for line in whole {
            match std::str::from_utf8(line).ok().and_then(Line::read) {
                None => damaged += 1,
                Some(Line::End { of, outcome, .. }) => drop(ends.insert(of, outcome)),
                Some(Line::Entry(mut entry)) => {
                    entry.outcome = ends.remove(&entry.id).or(entry.outcome);
                    if fits(&entry) {
                        found.push(entry);
                        left -= 1;
                    }
                }
            }
            if left == 0 {
                return Ok(damaged);
            }
        }
    }
    Ok(damaged)
}

/// Cuts off what stands behind the last line end; the bytes that are left.
fn cut_torn_line(file: &mut File) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    // A torn line is a piece of one line.
    let from = bytes.saturating_sub(LINE_BYTES_MAX as u64 * 2);
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(LINE_BYTES_MAX as u64 * 2).read_to_end(&mut end)?;
    let whole = end.iter().rposition(|b| *b == b'\n').map_or(0, |at| at as u64 + 1);
    if from + whole < bytes {
        file.set_len(from + whole)?;
        file.sync_all()?;
    }
    Ok(from + whole)
}
