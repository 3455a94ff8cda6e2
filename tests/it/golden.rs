//! A format that was released stays readable: stores and backups that an earlier version wrote are opened, and everything in them is
//! compared with what that version knew. They are in `tests/data`, compressed, since a store's files are zeros mostly.
//!
//! `GOLDEN=1 cargo test --test it golden` writes those that are not there. What is there is never written again: a change of the
//! format gets a new folder, and keeps the old ones.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hookhold::record::{ParkReason, StateName, Verdict};
use hookhold::store::archive::{Archive, Target, VERSION};
use hookhold::store::{Appended, DeliveryFilter, EventFilter, FORMAT, Page, Proof, Sled, Store, restore};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::store_story::world::{at, attempt, claim_one, intake, name, settle, stored};

const EXPECTED: &str = "expected.json";
/// Records of the journal are not in the database before they are so old.
const UNMOVED: Duration = Duration::from_secs(1);
/// Later than anything that happens to a golden store.
const FAR: u64 = 1 << 41;
/// The providers' ids of which a repeat is known.
const REPEATS: [&str; 2] = ["moved", "journal"];

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder)
}

fn open(path: &Path) -> Sled {
    Sled::open(path, Arc::new(|_| {})).unwrap()
}

/// Text that compresses well, longer than a chunk.
fn long_text(bytes: usize) -> Bytes {
    b"golden ".iter().copied().cycle().take(bytes).collect()
}

/// Events in all states: the first ones in the database, the later ones, and later changes of the first, in the journal alone, unless
/// that took longer than [`UNMOVED`]. Gives what the store knows, and how long the later ones took.
async fn make(path: &Path, copy: &Path) -> (Value, Duration) {
    let store = open(path);
    let repeated = stored(&store, intake("s", &["d", "e"]).at(1).kind("paid").dedupe(REPEATS[0], FAR)).await;
    assert_eq!(store.append(intake("s", &["d"]).at(2).dedupe(REPEATS[0], FAR).build()).await, Ok(Appended::Duplicate(repeated)));
    stored(&store, intake("t", &["d"]).at(3).body(long_text(50_000))).await;
    stored(&store, intake("s", &[]).at(4).body(Bytes::new())).await;
    stored(&store, intake("s", &["d", "d2"]).at(5).kind("refunded")).await;
    for n in 6..8 {
        stored(&store, intake("s", &["o"]).at(n).key("c1")).await;
    }
    for (n, verdict) in
        [Verdict::Delivered, Verdict::RetryAt(at(9_000)), Verdict::Park(ParkReason::Refused)].into_iter().enumerate()
    {
        let claimed = claim_one(&store, "d", at(100)).await;
        settle(&store, attempt(&claimed, 500 + n as u16, verdict, at(200))).await;
    }
    let cancelled = store.deliveries(&DeliveryFilter { destination: Some(name("d2")), ..DeliveryFilter::default() }, PAGE).await;
    store.cancel(cancelled.unwrap().items[0].delivery.id, at(300)).await.unwrap();
    store.close().await.unwrap();

    let began = std::time::Instant::now();
    let store = open(path);
    // In order behind two in the database.
    stored(&store, intake("s", &["o"]).at(9_999).key("c1")).await;
    stored(&store, intake("s", &["d", "e"]).at(10_000).dedupe(REPEATS[1], FAR)).await;
    // Its third attempt: the second one gets a key of its own.
    for n in 0..2 {
        let claimed = claim_one(&store, "d", at(9_500 + n)).await;
        settle(&store, attempt(&claimed, 503, Verdict::RetryAt(at(9_500 + n)), at(9_500 + n))).await;
    }
    let seen = everything(&store).await;
    copy_folder(path, copy);
    let took = began.elapsed();
    store.close().await.unwrap();
    (seen, took)
}

const PAGE: Page = Page { after: None, limit: 100 };

/// All that a store tells.
async fn everything(store: &Sled) -> Value {
    let mut all = Vec::new();
    for event in store.events(&EventFilter::default(), PAGE).await.unwrap().items {
        let body = store.body(event.id).await.unwrap().unwrap();
        let mut deliveries = Vec::new();
        for tracked in store.deliveries_of(event.id).await.unwrap() {
            let attempts = store.attempts(tracked.delivery.id).await.unwrap();
            deliveries.push(json!({ "delivery": tracked.delivery, "attempts": attempts }));
        }
        all.push(json!({ "event": event, "body": hex::encode(Sha256::digest(&body)), "deliveries": deliveries }));
    }
    Value::Array(all)
}

/// What `expected` says is so; fields that came later may say more.
fn is_in(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| is_in(value, found)))
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(expected, found)| is_in(expected, found))
        }
        _ => expected == found,
    }
}

/// Opens a store and compares it; then works with it.
async fn check(path: &Path, expected: &Value) {
    let store = open(path);
    let found = everything(&store).await;
    assert!(is_in(expected, &found), "expected {expected:#}\nfound {found:#}");
    let all = expected.as_array().unwrap();
    let states = |wanted: StateName| {
        let deliveries = all.iter().flat_map(|event| event["deliveries"].as_array().unwrap());
        let key = format!("{wanted:?}");
        deliveries.filter(|delivery| delivery["delivery"]["state"].get(&key).is_some()).count() as u64
    };
    let counts = store.counts();
    assert_eq!((counts.events, counts.damaged), (all.len() as u64, 0));
    for (count, state) in [
        (counts.pending, StateName::Pending),
        (counts.delivered, StateName::Delivered),
        (counts.parked, StateName::Parked),
        (counts.cancelled, StateName::Cancelled),
    ] {
        assert_eq!(count, states(state));
        assert!(count > 0, "no delivery is {state:?}: too little to say anything");
    }
    for (place, key) in REPEATS.into_iter().rev().enumerate() {
        let repeat = store.append(intake("s", &["d"]).at(20_000).dedupe(key, FAR).build()).await.unwrap();
        let Appended::Duplicate(id) = repeat else { panic!("{key} is not known") };
        let known = if place == 0 { &all[0] } else { &all[all.len() - 1] };
        assert_eq!(known["event"]["id"], id.to_string());
    }
    // Each order key has its turn, as when a lane starts.
    store.mend_order(&name("o"), at(30_000)).await.unwrap();
    // The repeats made parked ones due; all that is pending can be had, one of a key at a time.
    let pending = store.counts().pending;
    let mut had = Vec::new();
    for destination in ["d", "e", "d2", "o"].into_iter().chain(["o"; 8]) {
        let due = store.claim_due(&name(destination), at(30_000), 100).await.unwrap().claimed;
        assert!(destination != "o" || due.len() <= 1, "more than one of a key");
        for claimed in due {
            had.push(claimed.delivery.clone());
            settle(&store, attempt(&claimed, 200, Verdict::Delivered, at(30_000))).await;
        }
    }
    assert_eq!((had.len() as u64, store.counts().pending), (pending, 0));
    assert!(had.iter().filter(|delivery| delivery.order_key.is_some()).is_sorted_by_key(|delivery| delivery.id));
    store.close().await.unwrap();
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Writes the files of `from` compressed into `to`.
fn pack(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let file_name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            pack(&path, &to.join(file_name));
        } else {
            let mut packed = GzEncoder::new(File::create(to.join(format!("{file_name}.gz"))).unwrap(), Compression::best());
            packed.write_all(&fs::read(&path).unwrap()).unwrap();
            packed.finish().unwrap();
        }
    }
}

/// The opposite of [`pack`].
fn unpack(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let file_name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            unpack(&path, &to.join(file_name));
        } else if let Some(file_name) = file_name.strip_suffix(".gz") {
            let mut bytes = Vec::new();
            GzDecoder::new(File::open(&path).unwrap()).read_to_end(&mut bytes).unwrap();
            fs::write(to.join(file_name), bytes).unwrap();
        }
    }
}

async fn back_up(store: &Path, folder: &Path) {
    let store = open(store);
    let (mut backup, mut target) = (store.backup().unwrap(), Target::begin(folder).unwrap());
    while let Some(piece) = backup.next().await {
        target.write(&piece.unwrap()).unwrap();
    }
    target.finish().unwrap();
    store.close().await.unwrap();
}

async fn check_backup(folder: &Path, expected: &Value) {
    let (root, archive) = (TempDir::new().unwrap(), Archive::find(folder, false).unwrap());
    let proof = Proof::of(&archive).unwrap();
    assert_eq!(proof.faults(), [""; 0]);
    restore(&archive, &proof, &root.path().join("store")).unwrap();
    check(&root.path().join("store"), expected).await;
}

/// Writes golden files into `folder`, where they are not there.
fn keep(folder: &Path, from: &Path, expected: &Value) {
    if !folder.exists() {
        pack(from, folder);
        fs::write(folder.join(EXPECTED), serde_json::to_string_pretty(expected).unwrap() + "\n").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_present_formats_are_read_as_they_were_written() {
    let root = TempDir::new().unwrap();
    let [made, copy, kept, backup] = ["made", "copy", "kept", "backup"].map(|name| root.path().join(name));
    let (expected, took) = make(&made, &copy).await;
    copy_folder(&copy, &kept);
    check(&copy, &expected).await;
    back_up(&made, &backup).await;
    check_backup(&backup, &expected).await;
    if std::env::var_os("GOLDEN").is_some() {
        assert!(took < UNMOVED, "the journal's records may have been moved: try again");
        keep(&data(&format!("store-v{FORMAT}")), &kept, &expected);
        keep(&data(&format!("backup-v{VERSION}")), &backup, &expected);
    }
}

/// The golden folders whose names begin with `begin`, unpacked, with what is expected of each.
fn golden(begin: &str) -> Vec<(TempDir, Value)> {
    let folders = fs::read_dir(data("")).unwrap().map(|entry| entry.unwrap().path());
    let named = folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begin));
    named
        .map(|path| {
            let root = TempDir::new().unwrap();
            unpack(&path, root.path());
            (root, serde_json::from_slice(&fs::read(path.join(EXPECTED)).unwrap()).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_stores_are_read() {
    let stores = golden("store-v");
    assert!(!stores.is_empty());
    for (root, expected) in stores {
        check(root.path(), &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_backups_are_read() {
    let backups = golden("backup-v");
    assert!(!backups.is_empty());
    for (root, expected) in backups {
        check_backup(root.path(), &expected).await;
    }
}
