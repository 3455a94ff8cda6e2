//! Damaged files: flipped bits, strange bytes and cut ends, in the journal and in the database, one place at a time.
//!
//! The store opens, or says clearly why not. A body is right or it is not there. What the journal keeps survives whatever happens
//! to the database; bodies are in the journal alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hookhold::record::EventId;
use hookhold::store::{Sled, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::child::{Child, at_once, shim};
use crate::disk::{self, Disk, Kept, KeptNames};
use crate::expected::Expected;
use crate::record::{Record, What};
use crate::script::{self, REPORT, STORE};

/// Places in each file, where `CRASH_DAMAGE` says nothing.
const PLACES: u64 = 3;
/// Bytes that are overwritten: more than a checksum, fewer than a record.
const STRANGE_BYTES: usize = 18;
/// Events whose journal records one place may hit: two neighbours.
const HIT_MAX: usize = 2;

/// Events of a group at most: so many clients wait at once.
const GROUP_MAX: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Flip,
    Overwrite,
    Cut,
    /// The whole file.
    Gone,
}

/// A store to be damaged, and what is in it.
struct Whole {
    root: TempDir,
    expected: Expected,
    /// Whether the database has everything, too; else the journal has it alone.
    is_moved: bool,
}

/// One damaged place.
#[derive(Clone, Debug)]
struct Place {
    /// Which of the stores.
    whole: usize,
    /// Below the store's folder.
    file: PathBuf,
    kind: Kind,
    at: u64,
}

/// What a child found.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Seen {
    right: usize,
    missing: usize,
    unreadable: usize,
    wrong: usize,
    /// Events that are right and newer than one that is not.
    newer: usize,
    refused: Option<String>,
    is_set_aside: bool,
}

#[test]
fn damage_costs_what_it_hits_and_is_told() {
    let Some(shim) = shim() else { return };
    let places = std::env::var("CRASH_DAMAGE").map_or(PLACES, |text| text.parse().unwrap());
    let wholes = wholes(shim);
    let mut damaged = Vec::new();
    let mut random = StdRng::seed_from_u64(5);
    for (number, whole) in wholes.iter().enumerate() {
        for (file, length) in files(&whole.root.path().join(STORE)) {
            damaged.push(Place { whole: number, file: file.clone(), kind: Kind::Gone, at: 0 });
            for _ in 0..places.min(length.div_ceil(16)) {
                for kind in [Kind::Flip, Kind::Overwrite, Kind::Cut] {
                    damaged.push(Place { whole: number, file: file.clone(), kind, at: random.random_range(0..length) });
                }
            }
        }
    }
    let (next, problems, set_aside) = (Mutex::new(damaged.iter()), Mutex::new(Vec::new()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..at_once() {
            scope.spawn(|| {
                while let Some(place) = { next.lock().unwrap().next() } {
                    let whole = &wholes[place.whole];
                    let (seen, said) = damage(shim, whole, place);
                    *set_aside.lock().unwrap() += u32::from(seen.is_set_aside);
                    if let Some(problem) = judge(whole, place, &seen, &said) {
                        problems.lock().unwrap().push(format!("{problem}: {place:?} {seen:?}\n{said}"));
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    let set_aside = set_aside.into_inner().unwrap();
    println!("{} damaged places, {} problems; {set_aside} databases were set aside", damaged.len(), problems.len());
    assert!(problems.is_empty(), "{}", problems[..problems.len().min(5)].join("\n\n"));
    assert!(damaged.len() > 50 && set_aside > 0, "too little was damaged to say anything");
}

fn judge(whole: &Whole, place: &Place, seen: &Seen, said: &str) -> Option<&'static str> {
    let is_journal = place.file.starts_with("journal");
    let all = whole.expected.events.len();
    let may_lose = match (is_journal, whole.is_moved, place.kind) {
        (true, _, Kind::Cut | Kind::Gone) => all,
        (true, _, _) => HIT_MAX,
        _ => 0,
    };
    if let Some(why) = &seen.refused {
        return (place.file != Path::new("format") || !why.contains("format")).then_some("it was refused");
    }
    if seen.wrong > 0 {
        return Some("a body is wrong");
    }
    if seen.right + seen.missing + seen.unreadable != all || all - seen.right > may_lose {
        return Some("more is lost than what was hit");
    }
    let is_silent = |words: &str| !said.lines().any(|line| line.contains(" ERROR ") && line.contains(words));
    if seen.is_set_aside && is_silent("set aside") {
        return Some("it was set aside without a word");
    }
    if matches!(place.kind, Kind::Gone) && place.file == Path::new("db") && is_silent("there was no database") {
        return Some("nobody was told that the database is gone");
    }
    // Nothing tells the damaged end of a journal from the torn one that a loss of power leaves.
    let is_end = is_journal && !whole.is_moved && seen.newer < GROUP_MAX;
    (seen.right < all && !is_end && !said.contains(" ERROR ")).then_some("nobody was told")
}

/// Two stores: one that ended well, so that its database has everything; one whose journal alone has what came last.
fn wholes(shim: &Path) -> [Whole; 2] {
    let (root, log) = (TempDir::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let child = Child::new("script", &[root.path().to_str().unwrap(), "0", "3", "short"]);
    let ended = child.recorded(shim, root.path(), log.path()).fast().run();
    assert!(ended.is_good, "{}", ended.said);
    let record = Record::read(log.path());
    let mut expected = Expected::default();
    expected.hear(&fs::read_to_string(root.path().join(REPORT)).unwrap());
    let moved = Whole { root, expected: expected.certain(), is_moved: true };
    // The other one is the same store before it was closed for the first time.
    let (mut disk, mut expected, root) = (Disk::default(), Expected::default(), TempDir::new().unwrap());
    for entry in &record.entries {
        disk.step(entry, &record.bytes, &|_| true);
        if let What::Write(_, data) = &entry.what
            && let Ok(text) = std::str::from_utf8(&record.bytes[data.clone()])
            && text.ends_with('\n')
        {
            if text.starts_with("health") {
                break;
            }
            expected.hear(text);
        }
    }
    let all = Kept { data: 100, piece: 4096, names: KeptNames::All };
    disk::write(&disk.image(&record.bytes, all, &mut StdRng::seed_from_u64(0)), root.path());
    [moved, Whole { root, expected: expected.certain(), is_moved: false }]
}

/// The files of a store that hold something, and up to where they do.
fn files(store: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    for folder in ["", "journal"] {
        for entry in fs::read_dir(store.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = fs::read(&path).unwrap();
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                files.push((path.strip_prefix(store).unwrap().to_owned(), end as u64));
            }
        }
    }
    files.retain(|(_, length)| *length > 0);
    files.sort();
    files
}

/// Damages a copy, and lets a child look at it.
fn damage(shim: &Path, whole: &Whole, place: &Place) -> (Seen, String) {
    let folder = TempDir::new().unwrap();
    disk::write(&Disk::of_folder(whole.root.path()).image(&[], ALL, &mut StdRng::seed_from_u64(0)), folder.path());
    let path = folder.path().join(STORE).join(&place.file);
    let mut bytes = fs::read(&path).unwrap();
    let at = usize::try_from(place.at).unwrap();
    match place.kind {
        Kind::Flip => bytes[at] ^= 1 << (at % 8),
        Kind::Overwrite => {
            bytes.iter_mut().skip(at).take(STRANGE_BYTES).for_each(|byte| *byte = byte.wrapping_mul(7).wrapping_add(91))
        }
        Kind::Cut => bytes.truncate(at),
        Kind::Gone => {}
    }
    match place.kind {
        Kind::Gone => fs::remove_file(&path).unwrap(),
        _ => fs::write(&path, bytes).unwrap(),
    }
    let (expected, answer) = (folder.path().join("expected"), folder.path().join("answer"));
    fs::write(&expected, serde_json::to_vec(&whole.expected).unwrap()).unwrap();
    let child = Child::new("look", &[folder.path().to_str().unwrap()]);
    let ended = child.recorded(shim, folder.path(), &folder.path().join("log")).fast().run();
    let seen = fs::read(answer).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    (seen, ended.said)
}

const ALL: Kept = Kept { data: 100, piece: 4096, names: KeptNames::All };

/// Opens a damaged store twice and says what the first opening finds of what should be there; the second must find the same.
pub(crate) fn look(folder: &Path) {
    script::log();
    let expected: Expected = serde_json::from_slice(&fs::read(folder.join("expected")).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = folder.join(STORE);
    let mut seen = runtime.block_on(look_once(&store, &expected));
    if seen.refused.is_none() {
        let again = runtime.block_on(look_once(&store, &expected));
        assert_eq!((seen.right, again.refused), (again.right, None), "the second opening finds something else");
    }
    let names = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    seen.is_set_aside = fs::read_dir(&store).unwrap().any(|entry| names(entry.unwrap()).starts_with("set-aside-"));
    fs::write(folder.join("answer"), serde_json::to_vec(&seen).unwrap()).unwrap();
}

async fn look_once(store: &Path, expected: &Expected) -> Seen {
    let mut seen = Seen::default();
    let store = match Sled::open(store, Arc::new(|_| {})) {
        Ok(store) => store,
        Err(error) => return Seen { refused: Some(error.to_string()), ..seen },
    };
    for (id, event) in &expected.events {
        match look_for(&store, id.parse().unwrap()).await {
            Ok(Some(hash)) if hash == event.hash => {
                seen.right += 1;
                seen.newer += usize::from(seen.missing + seen.unreadable > 0);
            }
            Ok(Some(_)) => seen.wrong += 1,
            Ok(None) => seen.missing += 1,
            Err(_) => seen.unreadable += 1,
        }
    }
    // What is listed was sent as it is.
    let known: BTreeSet<_> = expected.events.keys().cloned().collect();
    for event in script::all_events(&store).await.unwrap_or_default() {
        let hash = look_for(&store, event.id).await;
        if !known.contains(&event.id.to_string())
            && hash.is_ok_and(|hash| hash.is_some_and(|hash| !expected.sent.contains(&hash)))
        {
            seen.wrong += 1;
        }
    }
    // It may have met what it cannot read; then it says so.
    let _ = store.close().await;
    seen
}

/// The hash of the body of an event that is there.
async fn look_for(store: &Sled, id: EventId) -> Result<Option<String>, hookhold::store::Error> {
    if store.event(id).await?.is_none() {
        return Ok(None);
    }
    Ok(store.body(id).await?.map(|body| script::hash(&body)))
}
