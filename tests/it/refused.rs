//! Folders that a relay must not touch: those of other versions, of other programs, and of a relay that runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hookhold::net::tls;
use tempfile::TempDir;

use crate::process::{Process, run};

/// A start that fails says so within this time: it waits for nothing, but the machine may be busy.
const TIME: Duration = Duration::from_secs(30);
/// The commands that open the store's folder while no relay runs.
const COMMANDS: [&[&str]; 3] = [&["serve"], &["doctor"], &["backup", "nowhere"]];

fn write_config(folder: &Path) {
    tls::install_provider();
    let text = r#"
        listen = { https = "127.0.0.1:0" }
        tls = { self_signed = true }
        admin = { listen = "127.0.0.1:0" }
        store = { path = "data" }
    "#;
    fs::write(folder.join("relay.toml"), text).unwrap();
}

/// The files of a folder, with what is in them.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[track_caller]
fn is_refused(folder: &Path, words: &[&str]) {
    for command in COMMANDS {
        let began = Instant::now();
        let ended = run(folder, command);
        assert!(ended.code == 1 && began.elapsed() < TIME, "{command:?}: {:?} {ended:?}", began.elapsed());
        for word in words.iter().chain(&["data"]) {
            assert!(ended.said.contains(word), "{command:?}: {word} is not in {ended:?}");
        }
    }
}

#[test]
fn folders_of_other_versions_and_programs_are_left_as_they_are() {
    for (name, text, words) in [
        ("format", "hookhold store 1\n", ["format version 1", "use a version of hookhold"]),
        ("format", "hookhold store 99\n", ["format version 99", "use a version of hookhold"]),
        ("format", "something else\n", ["no format version", "hookhold"]),
        ("restoring", "half a store\n", ["a restore was interrupted", "restore again"]),
        ("notes.txt", "mine\n", ["no format version", "name an empty folder"]),
    ] {
        let folder = TempDir::new().unwrap();
        write_config(folder.path());
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join(name), text).unwrap();
        fs::write(data.join("db"), "of another version").unwrap();
        let before = files(&data);
        is_refused(folder.path(), &words);
        assert_eq!(files(&data), before);
    }
}

#[test]
fn a_second_relay_on_one_store_is_refused() {
    let folder = TempDir::new().unwrap();
    write_config(folder.path());
    let first = Process::start(folder.path());
    is_refused(folder.path(), &["in use by another process"]);
    drop(first);
    drop(Process::start(folder.path()));
}
