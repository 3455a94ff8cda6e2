//! A loss of power may keep the end of what was not synced and lose a piece before it.

use std::path::Path;
use std::sync::Arc;

use hookhold::record::Verdict;
use hookhold::store::{Sled, Store};
use tempfile::TempDir;

use crate::store_story::world::{at, attempt, claim_one, intake, name, settle, stored};

/// Begins each record of the journal.
const MAGIC: &[u8] = b"hkj1";

fn open(path: &Path) -> Sled {
    Sled::open(path, Arc::new(|_| {})).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

/// Damages the record before the last one of the journal in `folder`.
fn lose_last_but_one(folder: &Path) {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| std::fs::read(path).unwrap().starts_with(MAGIC));
    // Numbers are behind the length, and rise.
    files.sort_by_key(|path| std::fs::read(path).unwrap()[8..16].to_vec());
    let path = files.pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let places: Vec<_> = (0..bytes.len() / 8).map(|word| word * 8).filter(|at| bytes[*at..].starts_with(MAGIC)).collect();
    bytes[places[places.len() - 2] + 30] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_was_lost_is_given_at_the_next_start() {
    let (folder, torn) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = open(folder.path());
    for n in 1..=2 {
        stored(&store, intake("s", &["o"]).at(n).key("c1")).await;
    }
    store.close().await.unwrap();
    // The turn of the second is written before the end of the first.
    let store = open(folder.path());
    let first = claim_one(&store, "o", at(100)).await;
    settle(&store, attempt(&first, 200, Verdict::Delivered, at(200))).await;
    copy(folder.path(), torn.path());
    store.close().await.unwrap();
    lose_last_but_one(&torn.path().join("journal"));

    let store = open(torn.path());
    assert_eq!(store.backlog(&name("o")).await.unwrap().pending, 1);
    let second = claim_one(&store, "o", at(1 << 42)).await;
    assert!(second.delivery.id > first.delivery.id);
    store.close().await.unwrap();
}
