//! `hookhold doctor` on sound stores, on stores of which single records were changed, and on one that is in use.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hookhold::store::{Sled, Store};
use serde_json::{Value, json};

use crate::backup::killed;
use crate::process::{Ended, Process, run};
use crate::store_story::world::{at, intake, key, name, stored};
use crate::world::{Upstream, nowhere};

/// The database of a store, opened as the relay opens it.
fn database(folder: &Path) -> sled::Db {
    let config = sled::Config::new().path(folder.join("data")).segment_size(8 << 20).flush_every_ms(None);
    // The command that had it before has ended, and so has its lock.
    config.open().unwrap()
}

fn examined(folder: &Path, more: &[&str]) -> (i32, Value) {
    let ended = run(folder, &[&["--json", "doctor"], more].concat());
    let report = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    (ended.code, report)
}

fn problems(report: &Value) -> Vec<(String, u64)> {
    let all = report["problems"].as_object().unwrap().iter();
    all.map(|(kind, found)| (kind.clone(), found["count"].as_u64().unwrap())).collect()
}

/// The first key under a prefix, and its value.
fn first(db: &sled::Db, prefix: u8) -> (Vec<u8>, Vec<u8>) {
    let (key, value) = db.scan_prefix([prefix]).next().unwrap().unwrap();
    (key.to_vec(), value.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_store_is_sound_and_one_in_use_is_left_alone() {
    let folder = killed().await;
    let path = folder.path();
    let (code, report) = examined(path, &[]);
    assert_eq!((code, problems(&report)), (0, Vec::new()), "{report:#}");
    // The kill left some of it in the journal alone.
    assert!(
        report["journal"]["to_replay"].as_u64().unwrap() > 0 && report["space"]["journal_bytes"].as_u64().unwrap() > 0,
        "{report:#}"
    );
    let config = fs::read_to_string(path.join("relay.toml")).unwrap();
    let elsewhere: String = config
        .lines()
        .map(|line| if line.trim().starts_with("admin") { "admin = { listen = \"127.0.0.1:0\" }" } else { line })
        .map(|line| line.to_owned() + "\n")
        .collect();
    fs::write(path.join("relay.toml"), elsewhere).unwrap();
    let relay = Process::start(path);
    let Ended { code, said, .. } = run(path, &["doctor"]);
    assert!(code == 1 && said.contains("in use by another process") && said.contains("data"), "{said}");
    drop(relay);
    fs::write(path.join("relay.toml"), config).unwrap();
    // A backup opens the store, and so replays the journal.
    run(path, &["--json", "backup", "backup"]).json();
    let (code, report) = examined(path, &[]);
    assert_eq!((code, &report["counts"]["events"], &report["journal"]["to_replay"]), (0, &json!(30), &json!(0)), "{report:#}");
    assert_eq!(
        (&report["counts"]["event_ids"], &report["format"], &report["sound"]),
        (&json!(30), &json!(hookhold::store::FORMAT), &json!(true))
    );
    let told = run(path, &["doctor"]);
    assert!(told.code == 0 && told.out.contains("30 events") && told.out.ends_with("sound\n"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_and_the_index_rebuilt() {
    let folder = killed().await;
    let path = folder.path();
    run(path, &["--json", "backup", "backup"]).json();
    let db = database(path);
    for prefix in [b's', b'S', b'D'] {
        db.remove(first(&db, prefix).0).unwrap();
    }
    let (key, _) = first(&db, b'q');
    let nowhere = [&key[..key.len() - 16], &[7; 16]].concat();
    db.insert(nowhere, &[]).unwrap();
    db.insert([&b"c"[..], b"good"].concat(), &[0; 32]).unwrap();
    drop(db);
    let (code, report) = examined(path, &[]);
    let of_index = [("counts_wrong", 1), ("index_key_missing", 3), ("index_key_without_block", 1)];
    assert_eq!((code, problems(&report)), (1, of_index.map(|(kind, count)| (kind.to_owned(), count)).to_vec()), "{report:#}");
    let (code, report) = examined(path, &["--rebuild-index"]);
    assert_eq!((code, &report["rebuilt"]), (0, &json!({"added": 3, "removed": 1})), "{report:#}");
    let (code, report) = examined(path, &[]);
    assert_eq!((code, problems(&report)), (0, Vec::new()), "{report:#}");

    let db = database(path);
    // The first block loses its second body's bytes, and a later one its heads.
    let (key, mut value) = first(&db, b'b');
    value[2] ^= 1;
    db.insert(key, value).unwrap();
    let (last, _) = db.scan_prefix(b"b").next_back().unwrap().unwrap();
    db.remove(last).unwrap();
    db.insert([&b"a"[..], &[7; 22]].concat(), b"nothing").unwrap();
    db.insert([&b"h"[..], &[7; 18]].concat(), b"nothing").unwrap();
    let (key, mut value) = first(&db, b'k');
    value[20] ^= 1;
    db.insert(key, value).unwrap();
    drop(db);
    let (code, report) = examined(path, &[]);
    let kinds: Vec<_> = problems(&report).into_iter().map(|(kind, _)| kind).collect();
    let expected = [
        "attempt_damaged",
        "attempt_without_delivery",
        "body_damaged",
        "body_missing",
        "event_ids_damaged",
        "part_without_block",
    ];
    assert_eq!((code, kinds), (1, expected.map(str::to_owned).to_vec()), "{report:#}");

    let db = database(path);
    let (key, mut value) = first(&db, b'd');
    value[12] ^= 1;
    db.insert(key, value).unwrap();
    // The last one is that of no block.
    let (last, _) = db.scan_prefix(b"h").rev().nth(1).unwrap().unwrap();
    db.remove(last).unwrap();
    drop(db);
    let (code, report) = examined(path, &[]);
    let kinds: Vec<_> = problems(&report).into_iter().map(|(kind, _)| kind).collect();
    assert!(
        code == 1 && ["state_damaged", "delivery_without_event"].iter().all(|kind| kinds.contains(&(*kind).to_owned())),
        "{report:#}"
    );
    // What can be read is backed up, and what cannot is said.
    let some = run(path, &["--json", "backup", "some"]);
    let made: Value = serde_json::from_str(&some.out).unwrap();
    assert!(some.code == 1 && some.said.contains("cannot be read") && made["unreadable"].as_u64().unwrap() > 0, "{some:?}");
    assert!(made["events"].as_u64().unwrap() > 0 && made["events"].as_u64().unwrap() < 30, "{made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_the_journal_and_what_was_set_aside_are_told() {
    let folder = killed().await;
    let (path, data) = (folder.path(), folder.path().join("data"));
    // One between others: where the database has it already, a first one that is gone might have been removed for its age.
    let written = fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let written = written.map(|file| (file.clone(), fs::read(&file).unwrap()));
    let records = |bytes: &[u8]| (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"hkj1")).collect::<Vec<_>>();
    let (file, mut bytes) = written.max_by_key(|(_, bytes)| records(bytes).len()).unwrap();
    let places = records(&bytes);
    assert!(places.len() > 4, "{places:?}");
    bytes[places[places.len() / 2] + 30] ^= 1;
    let config = fs::read_to_string(path.join("relay.toml")).unwrap();
    fs::write(path.join("elsewhere.toml"), config.replace("\"data\"", "\"other\"")).unwrap();
    fs::write(&file, bytes).unwrap();
    fs::create_dir(data.join("set-aside-20260921T141320Z")).unwrap();
    fs::write(data.join("set-aside-20260921T141320Z/db"), "damaged").unwrap();
    let (code, report) = examined(path, &[]);
    // Where the database has the record already, it is its body that lies there.
    let [journal, body] = ["journal_damaged", "body_damaged"].map(|kind| (kind.to_owned(), 1));
    let found = problems(&report);
    assert!(code == 1 && found.contains(&journal) && found.iter().all(|one| [&journal, &body].contains(&one)), "{report:#}");
    assert_eq!((report["set_aside"].as_array().unwrap().len(), &report["space"]["set_aside_bytes"]), (1, &json!(7)));
    let none = run(path, &["--config", "elsewhere.toml", "doctor"]);
    assert!(none.code == 1 && none.said.contains("there is no store") && !path.join("other").exists(), "{none:?}");
    fs::rename(data.join("db"), path.join("db")).unwrap();
    let (code, report) = examined(path, &[]);
    assert!(code == 1 && report["problems"]["database_missing"].is_object() && !data.join("db").exists(), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_order_are_examined_backed_up_and_restored() {
    let (folder, app) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let path = folder.path();
    crate::process::write_config(path, &app);
    let config = fs::read_to_string(path.join("relay.toml")).unwrap();
    let nowhere = nowhere();
    fs::write(path.join("relay.toml"), config.replacen("listen = \"127.0.0.1:0\" }", &format!("listen = \"{nowhere}\" }}"), 1))
        .unwrap();
    let store = Sled::open(&path.join("data"), Arc::new(|_| {})).unwrap();
    let mut ids = Vec::new();
    for (n, order_key) in ["k", "k", "l", "k"].into_iter().enumerate() {
        ids.push(key(stored(&store, intake("gh", &["app"]).at(n as u64).key(order_key)).await));
    }
    store.close().await.unwrap();
    assert_eq!(examined(path, &[]).0, 0);
    run(path, &["--json", "backup", "backup"]).json();

    let db = database(path);
    for prefix in [b'o', b'O'] {
        let (lost, _) = first(&db, prefix);
        let nowhere = [&lost[..lost.len() - 16], &[7; 16]].concat();
        db.remove(lost).unwrap();
        db.insert(nowhere, &[]).unwrap();
    }
    drop(db);
    let (code, report) = examined(path, &[]);
    let of_order = [("index_key_missing", 2), ("index_key_without_block", 2)];
    assert_eq!((code, problems(&report)), (1, of_order.map(|(kind, count)| (kind.to_owned(), count)).to_vec()), "{report:#}");
    assert!(report["problems"].to_string().contains("held back from \\\"app\\\""), "{report:#}");
    assert_eq!(examined(path, &["--rebuild-index"]).1["rebuilt"], json!({"added": 2, "removed": 2}));

    fs::rename(path.join("data"), path.join("rebuilt")).unwrap();
    run(path, &["--json", "restore", "backup"]).json();
    assert_eq!((examined(path, &[]).0, app.requests().len()), (0, 0));
    for store in ["data", "rebuilt"] {
        let store = Sled::open(&path.join(store), Arc::new(|_| {})).unwrap();
        let blocked = store.blocked(&name("app"), 9).await.unwrap();
        assert_eq!((blocked.keys, blocked.by.iter().map(|by| by.delivery.id).collect::<Vec<_>>()), (1, vec![ids[0]]));
        let due = store.claim_due(&name("app"), at(100), 9).await.unwrap().claimed;
        assert_eq!(due.iter().map(|claimed| claimed.delivery.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
        store.close().await.unwrap();
    }
}
