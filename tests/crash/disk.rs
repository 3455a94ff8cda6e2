//! A disk as far as a record tells of it: what must be there after loss of power, what may be, and an image of one possibility.
//!
//! A file's data is certain once a sync of that file, which began after the write, has ended. A name (new, renamed, removed) is
//! certain once a sync of its folder has. All else may be there or not, in any part: that is what [`Kept`] chooses.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::record::{Entry, What};

const PAGE: usize = 4096;
/// Pages that are written to an image at a time.
const RUN_BYTES: usize = 256 * PAGE;

/// What a file holds; pages of zeros are not kept.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Content {
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    length: u64,
}

impl Content {
    pub(crate) fn read(path: &Path) -> Self {
        let mut content = Self::default();
        let bytes = fs::read(path).unwrap();
        content.write(0, &bytes);
        content
    }

    fn write(&mut self, at: u64, data: &[u8]) {
        let mut done = 0;
        while done < data.len() {
            let place = at + done as u64;
            let (page, skip) = (place / PAGE as u64, (place % PAGE as u64) as usize);
            let part = &data[done..(done + PAGE - skip).min(data.len())];
            if part.iter().any(|byte| *byte != 0) || self.pages.contains_key(&page) {
                let page = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(page)[skip..skip + part.len()].copy_from_slice(part);
            }
            done += part.len();
        }
        self.length = self.length.max(at + data.len() as u64);
        let end = (at + data.len() as u64) / PAGE as u64;
        let zero: Vec<_> =
            self.pages.range(at / PAGE as u64..=end).filter(|(_, p)| p.iter().all(|b| *b == 0)).map(|(n, _)| *n).collect();
        zero.iter().for_each(|page| drop(self.pages.remove(page)));
    }

    fn zero(&mut self, at: u64, bytes: u64) {
        let there: Vec<_> =
            self.pages.range(at / PAGE as u64..=(at + bytes) / PAGE as u64).map(|(n, _)| *n * PAGE as u64).collect();
        for page in there {
            let (from, to) = (at.max(page), (at + bytes).min(page + PAGE as u64));
            if from < to {
                self.write(from, &[0; PAGE][..(to - from) as usize]);
            }
        }
        self.length = self.length.max(at + bytes);
    }

    fn truncate(&mut self, length: u64) {
        if length < self.length {
            self.zero(length, self.length - length);
        }
        self.length = length;
    }

    fn apply(&mut self, change: &Change, bytes: &[u8]) {
        match change {
            Change::Write(at, data) => self.write(*at, &bytes[data.clone()]),
            Change::Zero(at, length) => self.zero(*at, *length),
            Change::Truncate(length) => self.truncate(*length),
            Change::Allocate(length) => self.length = self.length.max(*length),
        }
    }

    fn write_to(&self, path: &Path) {
        let file = fs::File::create(path).unwrap();
        file.set_len(self.length).unwrap();
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for (number, page) in &self.pages {
            let at = number * PAGE as u64;
            if run.0 + run.1.len() as u64 != at || run.1.len() >= RUN_BYTES {
                file.write_all_at(&run.1, run.0).unwrap();
                run = (at, Vec::new());
            }
            run.1.extend_from_slice(&page[..(self.length - at).min(PAGE as u64) as usize]);
        }
        file.write_all_at(&run.1, run.0).unwrap();
    }
}

#[derive(Clone)]
enum Change {
    Write(u64, std::ops::Range<usize>),
    Zero(u64, u64),
    Truncate(u64),
    Allocate(u64),
}

#[derive(Clone, Default)]
struct File {
    certain: Content,
    pending: Vec<(usize, Change)>,
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Node {
    Folder,
    File(usize),
}

/// Names by path.
type Names = BTreeMap<String, Node>;

#[derive(Clone)]
enum Renaming {
    Link(String, Node),
    Unlink(String),
    Move(String, String),
}

impl Renaming {
    fn folder(&self) -> &str {
        let (Self::Link(path, _) | Self::Unlink(path) | Self::Move(path, _)) = self;
        folder_of(path)
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Unlink(path) => drop(names.remove(path)),
            Self::Move(from, to) => move_name(names, from, to),
        }
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A folder takes along what is below it.
fn move_name(names: &mut Names, from: &str, to: &str) {
    let below = format!("{from}/");
    let moved: Vec<_> = names.keys().filter(|path| *path == from || path.starts_with(&below)).cloned().collect();
    for path in moved {
        if let Some(node) = names.remove(&path) {
            names.insert(format!("{to}{}", &path[from.len()..]), node);
        }
    }
}

/// A disk on which a record is played.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    /// Files by the numbers that the system gives them, which it may give again.
    numbers: HashMap<u64, usize>,
    /// As the running system sees them.
    names: Names,
    certain: Names,
    pending: Vec<(usize, Renaming)>,
    /// Syncs that have begun: where, and of what.
    begun: HashMap<u64, (usize, Synced)>,
    at: usize,
}

#[derive(Clone)]
enum Synced {
    File(usize),
    Folder(String),
}

/// Which syncs count, for a record that is made worse than it was.
pub(crate) type Counts<'c> = &'c dyn Fn(&str) -> bool;

/// What is kept of that which is not certain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kept {
    /// Parts of data: so many of a hundred, in pieces of so many bytes.
    pub(crate) data: u32,
    pub(crate) piece: u64,
    pub(crate) names: KeptNames,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum KeptNames {
    None,
    All,
    /// The first changes of each folder, up to a random one.
    First,
    /// Each by itself: so many of a hundred.
    Some(u32),
}

impl Disk {
    /// What is in a folder, all of it certain.
    pub(crate) fn of_folder(root: &Path) -> Self {
        let mut disk = Self::default();
        disk.add_folder(root, "");
        disk.certain = disk.names.clone();
        disk
    }

    fn add_folder(&mut self, root: &Path, folder: &str) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if entry.file_type().unwrap().is_dir() {
                self.names.insert(path.clone(), Node::Folder);
                self.add_folder(root, &path);
            } else {
                self.numbers.insert(entry.metadata().unwrap().ino(), self.files.len());
                self.names.insert(path.clone(), Node::File(self.files.len()));
                self.files.push(File { certain: Content::read(&root.join(&path)), pending: Vec::new() });
            }
        }
    }

    /// Plays the next entry.
    pub(crate) fn step(&mut self, entry: &Entry, bytes: &[u8], counts: Counts<'_>) {
        let at = self.at;
        self.at += 1;
        match &entry.what {
            What::Create(path) => {
                self.numbers.insert(entry.file, self.files.len());
                self.rename(Renaming::Link(path.clone(), Node::File(self.files.len())));
                self.files.push(File::default());
            }
            What::Write(place, data) => self.change(entry.file, Change::Write(*place, data.clone())),
            What::Zero(place, length) => self.change(entry.file, Change::Zero(*place, *length)),
            What::Truncate(length) => self.change(entry.file, Change::Truncate(*length)),
            What::Allocate(length) => self.change(entry.file, Change::Allocate(*length)),
            What::Rename(from, to) if folder_of(from) == folder_of(to) => self.rename(Renaming::Move(from.clone(), to.clone())),
            What::Rename(from, to) => self.rename_elsewhere(from, to),
            What::Unlink(path) | What::RemoveFolder(path) => self.rename(Renaming::Unlink(path.clone())),
            What::MakeFolder(path) => self.rename(Renaming::Link(path.clone(), Node::Folder)),
            What::SyncBegins(number, Some(folder)) => drop(self.begun.insert(*number, (at, Synced::Folder(folder.clone())))),
            What::SyncBegins(number, None) => {
                let file = self.numbers[&entry.file];
                let path = self.names.iter().find(|(_, node)| **node == Node::File(file)).map(|(path, _)| path.as_str());
                if counts(path.unwrap_or_default()) {
                    self.begun.insert(*number, (at, Synced::File(file)));
                }
            }
            What::SyncEnds(number) => self.sync(*number, bytes),
            What::Fault(_) | What::Calls(..) => {}
        }
    }

    fn change(&mut self, number: u64, change: Change) {
        let file = self.numbers[&number];
        self.files[file].pending.push((self.at - 1, change));
    }

    fn rename(&mut self, renaming: Renaming) {
        renaming.apply(&mut self.names);
        self.pending.push((self.at - 1, renaming));
    }

    /// Two folders are not synced in one step: the new name may be there before the old one is gone, or neither.
    fn rename_elsewhere(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        let moved: Vec<_> = self.names.iter().filter(|(path, _)| *path == from || path.starts_with(&below)).collect();
        let moved: Vec<_> = moved.into_iter().map(|(path, node)| (path.clone(), *node)).collect();
        for (path, node) in &moved {
            self.rename(Renaming::Link(format!("{to}{}", &path[from.len()..]), *node));
        }
        for (path, _) in moved {
            self.rename(Renaming::Unlink(path));
        }
    }

    fn sync(&mut self, number: u64, bytes: &[u8]) {
        match self.begun.remove(&number) {
            Some((since, Synced::File(file))) => {
                let File { certain, pending } = &mut self.files[file];
                let count = pending.partition_point(|(at, _)| *at < since);
                pending.drain(..count).for_each(|(_, change)| certain.apply(&change, bytes));
            }
            Some((since, Synced::Folder(folder))) => {
                let certain = &mut self.certain;
                self.pending.retain(|(at, renaming)| {
                    let is_certain = *at < since && renaming.folder() == folder;
                    if is_certain {
                        renaming.apply(certain);
                    }
                    !is_certain
                });
            }
            None => {}
        }
    }

    /// Writes one possible disk to `root`. The files' names and what they hold are returned for comparison.
    pub(crate) fn image(&self, bytes: &[u8], kept: Kept, random: &mut StdRng) -> BTreeMap<String, Option<Content>> {
        let names = self.possible_names(kept.names, random);
        let mut image = BTreeMap::new();
        for (path, node) in names {
            if !folder_of(&path).is_empty() && !image.contains_key(folder_of(&path)) {
                continue;
            }
            let content = match node {
                Node::Folder => None,
                Node::File(file) => Some(possible_content(&self.files[file], bytes, kept, random)),
            };
            image.insert(path, content);
        }
        image
    }

    fn possible_names(&self, kept: KeptNames, random: &mut StdRng) -> Names {
        let mut names = self.certain.clone();
        let mut firsts = HashMap::new();
        for (at, renaming) in &self.pending {
            let is_kept = match kept {
                KeptNames::None => false,
                KeptNames::All => true,
                KeptNames::Some(percent) => random.random_range(0..100) < percent,
                KeptNames::First => {
                    let most = firsts.entry(renaming.folder()).or_insert_with(|| random.random_range(0..=self.at));
                    at <= most
                }
            };
            if is_kept {
                renaming.apply(&mut names);
            }
        }
        names
    }
}

fn possible_content(file: &File, bytes: &[u8], kept: Kept, random: &mut StdRng) -> Content {
    let mut content = file.certain.clone();
    let mut is_kept = || random.random_range(0..100) < kept.data;
    for (_, change) in &file.pending {
        let Change::Write(at, data) = change else {
            if is_kept() {
                content.apply(change, bytes);
            }
            continue;
        };
        let mut from = data.start;
        while from < data.end {
            let place = at + (from - data.start) as u64;
            let to = (from + (kept.piece - place % kept.piece) as usize).min(data.end);
            if is_kept() {
                content.write(place, &bytes[from..to]);
            }
            from = to;
        }
    }
    content
}

/// Writes an image into a folder.
pub(crate) fn write(image: &BTreeMap<String, Option<Content>>, root: &Path) {
    for (path, content) in image {
        match content {
            Some(content) => content.write_to(&root.join(path)),
            None => fs::create_dir(root.join(path)).unwrap(),
        }
    }
}
