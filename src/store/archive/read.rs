//! Reads a backup's records from a file, one at a time, and finds them again behind damage. Memory is that of one record.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::{START_BYTES, VERSION, start};
use crate::store::journal::frame::{self, Header};

/// Read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// What comes next in a backup.
#[derive(Debug)]
pub(in crate::store) enum Found {
    /// A record whose checksum is right.
    Record { number: u64, payload: Vec<u8> },
    /// Records that are missing or cannot be read, by their numbers. The file's end is no number: see `Contents`.
    Damage { first: u64, last: u64 },
}

/// The records of a file.
pub(in crate::store) struct Records {
    file: BufReader<File>,
    bytes: u64,
    salt: u64,
    at: u64,
    /// The number of the last record.
    last: u64,
    /// A record that was found behind damage.
    waiting: Option<Found>,
    /// Whether what stands before the first record is damaged.
    pub(in crate::store) is_start_damaged: bool,
}

impl Records {
    /// Opens a backup. `named_salt`: what the file's name says, which counts where the file's start is damaged. An error of the kind
    /// `InvalidData` where the version is another one, or nothing tells the salt.
    pub(in crate::store) fn open(path: &Path, named_salt: Option<u64>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut text = Vec::new();
        file.by_ref().take(START_BYTES as u64).read_to_end(&mut text)?;
        let written = read_start(&text)?;
        let Some(salt) = written.or(named_salt) else {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "its start is damaged, and its name does not say what is missing",
            ));
        };
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        let is_start_damaged = written.is_none();
        let mut records = Self { file, bytes, salt, at: START_BYTES as u64, last: 0, waiting: None, is_start_damaged };
        // Damage can make another salt of one: where the two differ, the first record knows.
        if let Some(named) = named_salt.filter(|named| *named != salt)
            && records.has_room_for_a_record()
            && records.record_here()?.is_none()
        {
            (records.salt, records.is_start_damaged) = (named, true);
        }
        Ok(records)
    }

    fn has_room_for_a_record(&self) -> bool {
        self.at + frame::HEADER_BYTES as u64 <= self.bytes
    }

    /// The salt of its checksums.
    pub(super) fn salt(&self) -> u64 {
        self.salt
    }

    /// The next record, or what is damaged before it; `None` at the end.
    pub(in crate::store) fn next(&mut self) -> io::Result<Option<Found>> {
        if self.waiting.is_some() {
            return Ok(self.waiting.take());
        }
        while self.has_room_for_a_record() {
            let Some((number, payload)) = self.record_here()? else {
                self.at += frame::ALIGNMENT as u64;
                self.go_to(self.at)?;
                continue;
            };
            self.at += frame::bytes_of(payload.len()) as u64;
            self.go_to(self.at)?;
            let expected = self.last + 1;
            // One that comes twice was there before.
            if number < expected {
                continue;
            }
            self.last = number;
            let record = Found::Record { number, payload };
            if number == expected {
                return Ok(Some(record));
            }
            self.waiting = Some(record);
            return Ok(Some(Found::Damage { first: expected, last: number - 1 }));
        }
        Ok(None)
    }

    /// The number that would come next.
    pub(in crate::store) fn next_number(&self) -> u64 {
        self.last + 1
    }

    /// The record that begins at `self.at`, where one does. Its checksum is proven before it is held: a damaged length may say
    /// anything.
    fn record_here(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        self.go_to(self.at)?;
        let mut header = [0; frame::HEADER_BYTES];
        self.file.read_exact(&mut header)?;
        let Some(header) = Header::read(&header) else { return Ok(None) };
        let begin = self.at + frame::HEADER_BYTES as u64;
        if header.length as u64 > self.bytes - begin {
            return Ok(None);
        }
        let mut hasher = header.hasher(self.salt);
        let mut left = header.length;
        let mut piece = vec![0; BUFFER_BYTES.min(left)];
        while left > 0 {
            let some = left.min(piece.len());
            self.file.read_exact(&mut piece[..some])?;
            hasher.update(&piece[..some]);
            left -= some;
        }
        if !header.is_proven_by(hasher) {
            return Ok(None);
        }
        if header.length > piece.len() {
            self.go_to(begin)?;
            piece = vec![0; header.length];
            self.file.read_exact(&mut piece)?;
        }
        Ok(Some((header.number, piece)))
    }

    fn go_to(&mut self, at: u64) -> io::Result<()> {
        let here = self.file.stream_position()?;
        let step = i64::try_from(at).unwrap_or(i64::MAX) - i64::try_from(here).unwrap_or(i64::MAX);
        if step.unsigned_abs() <= BUFFER_BYTES as u64 {
            // Stays in the buffer where it can.
            return self.file.seek_relative(step);
        }
        self.file.seek(SeekFrom::Start(at)).map(drop)
    }
}

/// The salt that a backup's start names; `None` where it is damaged.
fn read_start(bytes: &[u8]) -> io::Result<Option<u64>> {
    let Some(rest) = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_prefix("hookhold backup ")) else {
        return Ok(None);
    };
    let mut words = rest.split_whitespace();
    let version = words.next().and_then(|word| word.parse::<u32>().ok());
    if let Some(other) = version.filter(|version| *version != VERSION) {
        let why = format!(
            "it is a backup of version {other} and this is hookhold {} with version {VERSION}; use a version of hookhold that knows it",
            env!("CARGO_PKG_VERSION")
        );
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    let salt = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
    // All of it must be as it was written.
    Ok(salt.filter(|salt| start(*salt).as_bytes() == bytes))
}

#[cfg(test)]
mod tests {
    use super::super::{Contents, Writing};
    use super::*;
    use proptest::prelude::*;

    fn written(payloads: &[Vec<u8>]) -> (Vec<u8>, u64) {
        let mut writing = Writing::begin();
        payloads.iter().for_each(|payload| writing.push(&[payload]));
        writing.close(&Contents::default()).unwrap();
        (writing.take(), writing.salt)
    }

    /// The numbers of the records, and those that are told to be damaged.
    fn read(bytes: &[u8], salt: Option<u64>) -> (Vec<u64>, Vec<u64>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut records = Records::open(file.path(), salt).unwrap();
        let (mut whole, mut damaged) = (Vec::new(), Vec::new());
        while let Some(found) = records.next().unwrap() {
            match found {
                Found::Record { number, .. } => whole.push(number),
                Found::Damage { first, last } => damaged.extend(first..=last),
            }
        }
        (whole, damaged)
    }

    proptest! {
        #[test]
        fn damage_costs_the_records_that_it_hits_and_is_told(
            lengths in prop::collection::vec(prop_oneof![0usize..300, 250_000usize..600_000], 1..8),
            hit in any::<prop::sample::Index>(),
            noise: u8,
        ) {
            let payloads: Vec<_> = lengths.iter().enumerate().map(|(n, length)| vec![n as u8; *length]).collect();
            let (mut bytes, salt) = written(&payloads);
            let all: Vec<_> = (1..=payloads.len() as u64 + 1).collect();
            prop_assert_eq!(read(&bytes, None), (all.clone(), Vec::new()));
            let hit = hit.index(bytes.len());
            // Another version is refused, whatever else is right.
            prop_assume!(hit != 16);
            bytes[hit] ^= noise | 1;
            let (whole, damaged) = read(&bytes, Some(salt));
            prop_assert!(whole.len() + 1 >= all.len());
            let last = whole.last().copied().unwrap_or(0);
            let told: Vec<_> = all.iter().copied().filter(|number| !whole.contains(number) && *number < last).collect();
            prop_assert_eq!(damaged, told);
        }
    }

    #[test]
    fn damage_that_makes_another_salt_is_known_by_the_name() {
        let (mut bytes, salt) = written(&[b"one".to_vec()]);
        let digit = "hookhold backup 3 ".len();
        bytes[digit] = if bytes[digit] == b'1' { b'2' } else { b'1' };
        assert_eq!(read(&bytes, Some(salt)), (vec![1, 2], Vec::new()));
        // A name that says something else does not make a good start bad.
        let (bytes, salt) = written(&[b"one".to_vec()]);
        assert_eq!(read(&bytes, Some(salt ^ 1)), (vec![1, 2], Vec::new()));
    }

    #[test]
    fn a_backup_of_another_version_is_refused() {
        let (bytes, _) = written(&[]);
        let other = [b"hookhold backup 777 ", &bytes[18..]].concat();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), other).unwrap();
        let refused = Records::open(file.path(), Some(1)).err().unwrap().to_string();
        assert!(refused.contains("version 777"), "{refused}");
    }
}
