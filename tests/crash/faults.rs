//! Calls that fail: the n-th write, sync, open, rename or removal of a store ends with an error of the system.
//!
//! Whatever fails, nothing is acknowledged that is not durable, the store says why it stopped, and the next start finds all.

use std::path::Path;
use std::sync::Mutex;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::child::{Child, at_once, shim};
use crate::disk::{self, Disk, Kept, KeptNames};
use crate::expected::Expected;
use crate::record::{Record, What};
use crate::script::{REPORT, STORE};

/// Calls of a kind that are made to fail, where `CRASH_FAULTS` says nothing.
const OF_A_KIND: u64 = 12;
/// The system's numbers of these errors on Linux.
const EIO: u32 = 5;
const ENOSPC: u32 = 28;
/// What fails, and how; with `:on`, all later calls of the kind fail as well.
const FAULTS: [(&str, u32, &str); 11] = [
    ("write", EIO, ""),
    ("write", ENOSPC, ""),
    ("write", ENOSPC, ":on"),
    ("sync", EIO, ""),
    ("sync", EIO, ":on"),
    ("range", EIO, ""),
    ("open", EIO, ""),
    ("truncate", EIO, ""),
    ("rename", EIO, ""),
    ("unlink", EIO, ""),
    ("mkdir", ENOSPC, ""),
];

#[test]
fn whatever_fails_what_was_acknowledged_is_kept() {
    let Some(shim) = shim() else { return };
    let most = std::env::var("CRASH_FAULTS").map_or(OF_A_KIND, |text| text.parse().unwrap());
    let whole = run(shim, None);
    assert!(whole.report.lines().any(|line| line == "end"), "{}", whole.said);
    let count = |kind: &str| {
        let calls = |what: &What| matches!(what, What::Calls(name, _) if name == kind);
        let entry = whole.record.entries.iter().find(|entry| calls(&entry.what)).unwrap();
        if let What::Calls(_, count) = entry.what { count } else { 0 }
    };
    let mut faults = Vec::new();
    for (kind, error, on) in FAULTS {
        let (calls, stride) = (count(kind), count(kind).div_ceil(most).max(1));
        // The first ones are those of the start, each different from the others.
        let chosen = (1..=calls).filter(|n| *n <= most / 3 || n % stride == 0);
        faults.extend(chosen.map(|n| format!("{kind}:{n}:{error}{on}")));
    }
    let (next, problems) = (Mutex::new(faults.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once() {
            scope.spawn(|| {
                while let Some(fault) = { next.lock().unwrap().next() } {
                    let found = problems_with(shim, fault);
                    problems.lock().unwrap().extend(found);
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    println!("{} failing calls, {} problems", faults.len(), problems.len());
    assert!(problems.is_empty(), "{}", problems[..problems.len().min(5)].join("\n\n"));
    assert!(faults.len() > 40, "only {} calls were made to fail", faults.len());
}

/// A run with a call that fails.
struct Run {
    root: TempDir,
    record: Record,
    report: String,
    is_good: bool,
    said: String,
}

fn run(shim: &Path, fault: Option<&str>) -> Run {
    let (root, log) = (TempDir::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let child = Child::new("script", &[root.path().to_str().unwrap(), "0", "7", "short"]);
    let child = child.recorded(shim, root.path(), log.path()).fast();
    let ended = if let Some(fault) = fault { child.failing(fault).run() } else { child.run() };
    let (record, report) = (Record::read(log.path()), std::fs::read_to_string(root.path().join(REPORT)).unwrap_or_default());
    Run { root, record, report, is_good: ended.is_good, said: ended.said }
}

fn problems_with(shim: &Path, fault: &str) -> Vec<String> {
    let Run { root, record, report, is_good, said } = run(shim, Some(fault));
    let failed = record.entries.iter().find_map(|e| if let What::Fault(path) = &e.what { Some(path.clone()) } else { None });
    // The runs differ a little, so the last calls may not come.
    let Some(path) = failed else { return Vec::new() };
    let mut problems = Vec::new();
    let mut problem = |what: &str, said: &str| {
        problems.push(format!("{fault} on {path}: {what}\n{report_end}\n{said}", report_end = end_of(&report)))
    };
    let starts = |word: &str| report.lines().filter(|line| line.starts_with(word)).collect::<Vec<_>>();
    if !is_good {
        problem("the process did not end well", &said);
    }
    let is_said = starts("health").iter().any(|line| line.starts_with("health Err"))
        || !starts("unopened").is_empty()
        || starts("closed").iter().any(|line| line.starts_with("closed Err"));
    if !is_said && (said.contains("panicked") || !starts("refused").is_empty()) {
        problem("the store failed and does not say so", &said);
    }
    let mut expected = Expected::default();
    expected.hear(&report);
    // As it is after the process ended, and as it is where nothing but what was synced is left.
    let certain = TempDir::new().unwrap();
    let mut played = Disk::default();
    record.entries.iter().for_each(|entry| played.step(entry, &record.bytes, &|_| true));
    let kept = Kept { data: 0, piece: 4096, names: KeptNames::None };
    disk::write(&played.image(&record.bytes, kept, &mut StdRng::seed_from_u64(0)), certain.path());
    for (folder, what) in [(root.path(), "after the end of the process"), (certain.path(), "with only what was synced")] {
        let (list, log) = (folder.join("expected"), folder.join("log"));
        std::fs::write(&list, serde_json::to_vec(&expected).unwrap()).unwrap();
        let store = folder.join(STORE);
        let child = Child::new("check", &[store.to_str().unwrap(), list.to_str().unwrap()]);
        let ended = child.recorded(shim, folder, &log).fast().run();
        if !ended.is_good {
            problem(what, &ended.said);
        }
    }
    problems
}

/// The lines of a report that tell how it ended.
fn end_of(report: &str) -> String {
    let words = ["un", "refused", "health", "closed", "end"];
    report.lines().filter(|line| words.iter().any(|word| line.starts_with(word))).collect::<Vec<_>>().join("\n")
}
