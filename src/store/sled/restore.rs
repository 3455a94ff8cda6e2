//! Reads a backup: proves that it is whole, and builds a store from it.
//!
//! The store is built in a folder within its own, and moved up when all of it is durable; what names the format comes last. So nobody
//! takes a half for a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::OpenError;
use super::backup::count;
use super::block::{self, Head};
use super::checkpoint::Checkpointer;
use super::dedupe::{DedupeEntry, DedupeKey, Runs};
use super::entry::{Arrival, Change, Entry};
use super::open::{self, FORMAT_FILE, Opened};
use super::overlay::Place;
use super::shared::{Shared, read_tally};
use crate::store::Error;
use crate::store::archive::{self, Archive, Contents, Found, closing};
use crate::store::journal::Library;
use crate::time::Timestamp;

/// Where the store grows.
pub(super) const BUILDING: &str = "restoring";
/// Ids that are written as one run.
const IDS_MAX: usize = 100_000;
/// Damaged places that are named; of the others only the number.
const NAMED_MAX: usize = 20;

/// What a backup is found to hold when all of it is read.
#[derive(Debug, Default)]
pub struct Proof {
    found: Contents,
    /// What the closing record says; `None` where there is none.
    said: Option<Contents>,
    is_start_damaged: bool,
    /// Numbers of records that are damaged, the first and the last of each place.
    damaged: Vec<(u64, u64)>,
    /// The number that the next record would have.
    end: u64,
}

impl Proof {
    /// Reads all of a backup and proves every checksum.
    pub fn of(archive: &Archive) -> Result<Self, archive::Error> {
        let mut proof = Self::default();
        walk(archive, &mut proof, |_| Ok::<_, archive::Error>(()))?;
        Ok(proof)
    }

    /// What is wrong with it, in words; nothing where it is whole.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.is_start_damaged {
            faults.push("its first line is damaged".to_owned());
        }
        for (first, last) in self.damaged.iter().take(NAMED_MAX) {
            faults.push(match first == last {
                true => format!("record {first} is damaged"),
                false => format!("records {first} to {last} are damaged"),
            });
        }
        if self.damaged.len() > NAMED_MAX {
            faults.push(format!("and {} more places are damaged", self.damaged.len() - NAMED_MAX));
        }
        match self.said {
            None => faults
                .push(format!("it is not complete: it ends before record {} or there, without its closing record", self.end)),
            Some(said) if faults.is_empty() && said != self.contents() => {
                faults.push("it does not hold what its closing record says".to_owned());
            }
            Some(_) => {}
        }
        faults
    }

    /// What it holds.
    pub fn contents(&self) -> Contents {
        Contents { unreadable: self.said.map_or(0, |said| said.unreadable), ..self.found }
    }
}

/// What there is in a backup beside its closing record.
enum Item {
    Change(Box<Change>),
    Ids(Vec<(DedupeKey, DedupeEntry)>),
}

/// Goes through a backup's records; `take` gets those that make sense.
fn walk<E: From<archive::Error>>(
    archive: &Archive,
    proof: &mut Proof,
    mut take: impl FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |why: io::Error| match why.kind() {
        io::ErrorKind::InvalidData => archive::Error::Unsound { path: archive.file.clone(), why: why.to_string() },
        _ => archive::Error::Folder { path: archive.file.clone(), why },
    };
    let mut records = archive.records().map_err(failed)?;
    proof.is_start_damaged = records.is_start_damaged;
    while let Some(found) = records.next().map_err(failed)? {
        let (number, payload) = match found {
            Found::Record { number, payload } => (number, payload),
            Found::Damage { first, last } => {
                proof.damaged.push((first, last));
                continue;
            }
        };
        if let Some(said) = closing(&payload) {
            proof.said = Some(said);
            continue;
        }
        match Entry::decode(&payload) {
            Some(Entry::Change(change)) if is_sound(&change) => {
                count(&change, &mut proof.found);
                take(Item::Change(Box::new(change)))?;
            }
            Some(Entry::Ids(ids)) => {
                proof.found.event_ids += ids.len() as u64;
                take(Item::Ids(ids))?;
            }
            _ => proof.damaged.push((number, number)),
        }
    }
    proof.end = records.next_number();
    Ok(())
}

/// Whether an entry is a whole event.
fn is_sound(change: &Change) -> bool {
    let Some(Arrival { head, body, .. }) = &change.arrival else { return false };
    block::decode::<Head>(head).is_some_and(|head| {
        head.event.id == change.record.id && head.event.body_bytes == body.len() as u64 && head.body_crc == crc32fast::hash(body)
    })
}

/// Why a store was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup.
    #[error(transparent)]
    Backup(#[from] archive::Error),
    /// The store's folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new store.
    #[error(transparent)]
    Store(#[from] Error),
    /// The folder is in use.
    #[error("store.path: {}: {why}", .path.display())]
    Occupied {
        /// The folder.
        path: std::path::PathBuf,
        /// What is there, and what to do.
        why: String,
    },
}

/// Whether a store can be restored into `path`: it is not there, or empty.
pub fn is_free(path: &Path) -> Result<(), RestoreError> {
    let occupied = |why: &str| RestoreError::Occupied { path: path.into(), why: why.to_owned() };
    let found = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|why| OpenError::Folder { path: path.into(), why })?,
    };
    let names = found.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<io::Result<Vec<_>>>().map_err(|why| OpenError::Folder { path: path.into(), why })?;
    match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(()),
        _ if names.iter().any(|name| name == BUILDING) => {
            Err(occupied("an earlier restore was interrupted, or is under way; remove what is in the folder and restore again"))
        }
        _ if names.iter().any(|name| name == FORMAT_FILE) => {
            Err(occupied("there is a store already; name a new or an empty folder as store.path"))
        }
        _ => Err(occupied("the folder is not empty; name a new or an empty one as store.path")),
    }
}

/// Builds a store in `path` from a backup whose `proof` was made before; damaged records are passed over. When it returns, the store
/// is durable.
pub fn restore(archive: &Archive, proof: &Proof, path: &Path) -> Result<Contents, RestoreError> {
    let in_folder = |why| OpenError::Folder { path: path.into(), why };
    is_free(path)?;
    let building = path.join(BUILDING);
    open::make_folder(path).map_err(in_folder)?;
    fs::create_dir(&building).map_err(in_folder)?;
    // Whoever else took the folder meanwhile: it is theirs.
    let is_alone = |may: &[&str]| -> io::Result<bool> {
        let mut names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names.try_fold(true, |so_far, name| Ok(so_far && may.contains(&&*name?)))
    };
    let occupied = || RestoreError::Occupied { path: path.into(), why: "somebody else began to use the folder".to_owned() };
    if !is_alone(&[BUILDING]).map_err(in_folder)? {
        fs::remove_dir(&building).map_err(in_folder)?;
        return Err(occupied());
    }
    let contents = build(archive, proof.faults().is_empty(), &building)?;
    if !is_alone(&[BUILDING]).map_err(in_folder)? {
        return Err(occupied());
    }
    move_up(&building, path).map_err(in_folder)?;
    Ok(contents)
}

fn build(archive: &Archive, is_whole: bool, path: &Path) -> Result<Contents, RestoreError> {
    let Opened { db, durable, .. } = open::open(path)?;
    let (runs, _) = Runs::open(db.clone(), durable.clone())?;
    let tally = read_tally(&db)?;
    let shared = Arc::new(Shared::new(db.clone(), Library::default(), tally.clone(), runs));
    let mut checkpointer = Checkpointer::new(db.clone(), durable.clone(), tally, shared.clone())?;
    let (mut proof, mut ids) = (Proof::default(), BTreeMap::new());
    walk(archive, &mut proof, |item| {
        match item {
            // No record of a journal: the store begins with an empty one.
            Item::Change(change) => shared.apply([(0, Place::New, *change)]),
            Item::Ids(some) if is_whole => ids.extend(some),
            // Where the provider sends again what is lost, it is new.
            Item::Ids(some) => {
                for (key, entry) in some {
                    if shared.record(entry.event)?.is_some() {
                        ids.insert(key, entry);
                    }
                }
            }
        }
        if ids.len() >= IDS_MAX {
            shared.runs.add(&std::mem::take(&mut ids), Timestamp::default())?;
        }
        move_down(&shared, &mut checkpointer, false)
    })?;
    shared.runs.add(&ids, Timestamp::default())?;
    move_down(&shared, &mut checkpointer, true)?;
    durable.sync()?;
    drop((checkpointer, durable, db));
    super::end(Some(shared))?;
    Ok(proof.contents())
}

fn move_down(shared: &Shared, checkpointer: &mut Checkpointer, all: bool) -> Result<(), RestoreError> {
    if let Some(layer) = shared.freeze(all) {
        checkpointer.write(&layer)?;
        drop(shared.thaw());
    }
    Ok(())
}

/// Moves a whole store up into the folder above; what names its format comes last.
fn move_up(building: &Path, path: &Path) -> io::Result<()> {
    let sync = |folder: &Path| File::open(folder)?.sync_all();
    sync(building)?;
    for entry in fs::read_dir(building)? {
        let name = entry?.file_name();
        if name != FORMAT_FILE {
            fs::rename(building.join(&name), path.join(&name))?;
        }
    }
    sync(path)?;
    fs::rename(building.join(FORMAT_FILE), path.join(FORMAT_FILE))?;
    fs::remove_dir(building)?;
    sync(path)
}
