//! Bodies stay in the journal's files, which stay as long as they are needed, and no longer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookhold::record::{EventId, ParkReason, Verdict};
use hookhold::store::{Error, Purge, Sled, Store};
use tempfile::TempDir;

use crate::store_story::world::{at, attempt, claim_one, intake, settle, stored};

const BODY_BYTES: usize = 1024 * 1024;
/// More than the journal keeps in any case, several times.
const EVENTS: u64 = 400;
/// What is kept in any case, what is written to, and files that are ready.
const LEFT_BYTES_MAX: u64 = 300 << 20;
/// One of so many is parked, and stays.
const PARKED_OF: u64 = 25;

fn open(path: &Path) -> Sled {
    Sled::open(path, Arc::new(|_| {})).unwrap()
}

fn body(n: u64) -> Bytes {
    let mut body = vec![n as u8; BODY_BYTES];
    body[..8].copy_from_slice(&n.to_be_bytes());
    body.into()
}

/// Bytes of files below a folder whose names end so.
fn bytes_of(folder: &Path, end: &str) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_name().to_string_lossy().ends_with(end));
    // One may have gone since.
    files.map(|entry| entry.metadata().map_or(0, |data| data.len())).sum()
}

async fn all_are_right(store: &Sled, parked: &[(u64, EventId)]) {
    for (n, id) in parked {
        assert_eq!(store.body(*id).await.unwrap(), Some(body(*n)), "event {n}");
    }
}

/// Gives the store time for a checkpoint, which something must cause.
async fn checkpoint(store: &Sled, n: u64) {
    stored(store, intake("s", &[]).at(n)).await;
    // A layer is moved at this age, with the next commit; nothing tells when it was.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    stored(store, intake("s", &[]).at(n)).await;
}

async fn purged(store: &Sled, before: u64) {
    let mut after = None;
    loop {
        let step = store.purge(Purge { done_before: at(before), after, ..Purge::default() }).await.unwrap();
        after = step.next;
        if after.is_none() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_keeps_what_is_needed_and_a_few_bodies_do_not_keep_the_others() {
    let folder = TempDir::new().unwrap();
    let journal = folder.path().join("journal");
    let store = open(folder.path());
    let mut parked = Vec::new();
    for n in 0..EVENTS {
        let id = stored(&store, intake("s", &["d"]).at(n + 1).body(body(n))).await;
        let is_parked = n % PARKED_OF == 0;
        let verdict = if is_parked { Verdict::Park(ParkReason::Refused) } else { Verdict::Delivered };
        let claimed = claim_one(&store, "d", at(n + 1)).await;
        settle(&store, attempt(&claimed, if is_parked { 410 } else { 200 }, verdict, at(n + 1))).await;
        if is_parked {
            parked.push((n, id));
        }
    }
    checkpoint(&store, 10_000).await;
    let (all, database) = (bytes_of(&journal, ".journal"), bytes_of(folder.path(), "db"));
    assert!(all > EVENTS * BODY_BYTES as u64 && database < 64 << 20, "{all} in the journal, {database} in the database");
    all_are_right(&store, &parked).await;
    store.close().await.unwrap();

    // What is done goes: then little of each file is needed, and that is moved.
    let store = open(folder.path());
    assert!(store.bytes().await.unwrap() > all / 2, "what the journal takes is known before anything is stored");
    all_are_right(&store, &parked).await;
    purged(&store, 9_000).await;
    let mut left = all;
    for n in 10_001..10_040 {
        checkpoint(&store, n).await;
        // More than is kept in any case must come, for the last ones to go.
        for _ in 0..8 {
            stored(&store, intake("s", &[]).at(n).body(body(n))).await;
        }
        purged(&store, n + 1).await;
        left = bytes_of(&journal, ".journal");
        if left < LEFT_BYTES_MAX {
            break;
        }
    }
    assert!(left < LEFT_BYTES_MAX, "{left} bytes of {all} are left");
    all_are_right(&store, &parked).await;
    store.close().await.unwrap();
    let store = open(folder.path());
    all_are_right(&store, &parked).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_journal_that_is_gone_costs_its_bodies_and_is_counted() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let id = stored(&store, intake("s", &["d"]).at(1).body(body(1))).await;
    checkpoint(&store, 2).await;
    store.close().await.unwrap();
    for entry in std::fs::read_dir(folder.path().join("journal")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let store = open(folder.path());
    assert!(store.counts().damaged > 0);
    assert!(store.event(id).await.unwrap().is_some());
    assert!(matches!(store.body(id).await, Err(Error::Damaged(_))));
    stored(&store, intake("s", &["d"]).at(3)).await;
    store.close().await.unwrap();
}
