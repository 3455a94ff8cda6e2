//! A chapter on what a backup promises: what was acknowledged before it began is in it, whatever else goes on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hookhold::record::{EventId, Verdict};
use hookhold::store::archive::{Archive, Target};
use hookhold::store::{Appended, Error, Proof, Sled, Store, restore};

use super::world::{at, attempt, body, intake, name, stored};
use crate::world::eventually;

const TASKS: u64 = 8;
/// Checkpoints move what is stored about once a second: backups meet some of them.
const BACKUPS: usize = 9;
/// So many events take a while to back up.
const LARGE: usize = 500;
/// Each sync takes its time, so not all repeats are sent.
const REPEATED: u64 = 50;

/// What was acknowledged: the number of each event, and its id.
type Acknowledged = Arc<Mutex<Vec<(u64, EventId)>>>;

fn size(n: u64) -> usize {
    [10, 3000, 60_000, 0][n as usize % 4]
}

async fn append(store: Arc<Sled>, task: u64, known: Acknowledged, is_over: Arc<AtomicBool>) {
    for n in (task..).step_by(TASKS as usize) {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let draft = intake("s", &["d"]).at(n).body(body(size(n))).dedupe(&format!("k{n}"), 1 << 40);
        let id = stored(&*store, draft).await;
        known.lock().unwrap().push((n, id));
    }
}

/// Settles what was stored, so that what is older changes, too.
async fn settle(store: Arc<Sled>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::SeqCst) {
        for claimed in store.claim_due(&name("d"), at(1 << 30), 5).await.unwrap().claimed {
            store.settle(attempt(&claimed, 200, Verdict::Delivered, at(1 << 30))).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
}

async fn back_up(store: &Sled, folder: &Path, is_large: bool) {
    let (mut backup, mut target) = (store.backup().unwrap(), Target::begin(folder).unwrap());
    // A small one may have ended by now.
    assert!(!is_large || matches!(store.backup(), Err(Error::Conflict(_))), "two backups at once");
    while let Some(piece) = backup.next().await {
        target.write(&piece.unwrap()).unwrap();
    }
    target.finish().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_backup_is_in_it() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(Sled::open(&root.path().join("store"), Arc::new(|_| {})).unwrap());
    let (known, is_over) = (Acknowledged::default(), Arc::<AtomicBool>::default());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(append(store.clone(), task, known.clone(), is_over.clone()));
    }
    tasks.spawn(settle(store.clone(), is_over.clone()));
    let mut backups = Vec::new();
    for n in 0..BACKUPS {
        // Backups are to meet the store in different states.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        // The last one is to be large, however long syncs take.
        if n == BACKUPS - 1 {
            eventually(async || (known.lock().unwrap().len() > LARGE).then_some(())).await;
        }
        let before = known.lock().unwrap().clone();
        let folder = root.path().join(format!("backup-{n}"));
        back_up(&store, &folder, before.len() > LARGE).await;
        backups.push((before, folder));
    }
    is_over.store(true, Ordering::SeqCst);
    tasks.join_all().await;
    store.close().await.unwrap();
    for (n, (before, folder)) in backups.iter().enumerate().rev().step_by(4) {
        let (archive, path) = (Archive::find(folder, false).unwrap(), root.path().join(format!("restored-{n}")));
        let proof = Proof::of(&archive).unwrap();
        restore(&archive, &proof, &path).unwrap();
        let store = Sled::open(&path, Arc::new(|_| {})).unwrap();
        for (n, id) in before {
            assert_eq!(store.body(*id).await.unwrap(), Some(body(size(*n))));
            assert_eq!(store.deliveries_of(*id).await.unwrap().len(), 1);
            if n % REPEATED != 0 {
                continue;
            }
            let repeat = store.append(intake("s", &["d"]).at(*n).dedupe(&format!("k{n}"), 1 << 40).build()).await;
            assert_eq!(repeat, Ok(Appended::Duplicate(*id)));
        }
        assert_eq!(store.counts().events, proof.contents().events);
        store.close().await.unwrap();
    }
}
