//! The log over restarts, torn lines, bounds and crowds.

use super::*;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const START: Timestamp = Timestamp::from_ms(1_790_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

struct World {
    folder: tempfile::TempDir,
    bounds: AuditBounds,
    clock: Clock,
}

impl World {
    fn new(bytes_max: u64) -> Self {
        let bounds = AuditBounds { keep_for: DAY * 8, bytes_max };
        Self { folder: tempfile::tempdir().unwrap(), bounds, clock: Clock::following_tokio(START) }
    }

    fn open(&self) -> AuditLog {
        AuditLog::open(self.folder.path(), self.bounds, self.clock).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.folder.path().join(FOLDER)).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files
    }

    fn bytes(&self) -> u64 {
        self.files().iter().map(|file| fs::metadata(file).unwrap().len()).sum()
    }
}

fn deed(who: &str, action: &str) -> Deed {
    Deed { who: Some(who.into()), action: action.into(), ..Deed::default() }
}

fn outcome(status: u16) -> Outcome {
    Outcome { status, detail: None }
}

/// Who, what, the status and the count, newest first.
fn shown(log: &AuditLog) -> Vec<(String, u16, u64)> {
    let (found, damaged) = log.list(&AuditFilter::default(), None, 500).unwrap();
    assert_eq!(damaged, 0);
    let one = |entry: Audited| (entry.deed.action, entry.outcome.map_or(0, |outcome| outcome.status), entry.count);
    found.into_iter().map(one).collect()
}

fn is(expected: &[(&str, u16, u64)]) -> Vec<(String, u16, u64)> {
    expected.iter().map(|(action, status, count)| ((*action).to_owned(), *status, *count)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_and_what_came_of_it_is_known_after_a_restart() {
    let world = World::new(1 << 20);
    let log = world.open();
    let first = log.begin(deed("ops", "replays.create")).unwrap();
    log.begin(deed("ops", "reload")).unwrap();
    log.end(first, outcome(202)).unwrap();
    log.note(deed("signal", "reload"), outcome(200)).unwrap();
    drop(log);
    let expected = is(&[("reload", 200, 1), ("reload", 0, 1), ("replays.create", 202, 1)]);
    assert_eq!(shown(&world.open()), expected);
    assert_eq!(shown(&world.open()), expected, "a look changes nothing");
    assert_eq!(world.files().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_torn_line_is_cut_off_and_a_damaged_one_is_counted() {
    let world = World::new(1 << 20);
    let log = world.open();
    for action in ["one", "two", "three"] {
        log.begin(deed("ops", action)).unwrap();
    }
    drop(log);
    let file = world.files().remove(0);
    let whole = fs::read(&file).unwrap();
    for cut in [1, 10, 100] {
        fs::write(&file, &whole[..whole.len() - cut]).unwrap();
        let log = world.open();
        assert_eq!(shown(&log), is(&[("two", 0, 1), ("one", 0, 1)]));
        // No start is within the millisecond of an earlier one's last entry.
        tokio::time::advance(Duration::from_millis(1)).await;
        log.begin(deed("ops", "four")).unwrap();
        assert_eq!(shown(&world.open()), is(&[("four", 0, 1), ("two", 0, 1), ("one", 0, 1)]));
    }
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let (found, lost) = world.open().list(&AuditFilter::default(), None, 10).unwrap();
    assert_eq!((found.len(), lost), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn files_go_when_they_are_too_many_or_too_old() {
    let world = World::new(64 << 10);
    let log = world.open();
    for n in 0..2000 {
        let id = log.begin(deed("ops", &format!("n{n}"))).unwrap();
        log.end(id, outcome(200)).unwrap();
    }
    assert!(world.bytes() <= 64 << 10, "{}", world.bytes());
    let kept = shown(&log);
    assert!(kept.len() > 100, "{}", kept.len());
    assert_eq!(kept, (2000 - kept.len()..2000).rev().map(|n| (format!("n{n}"), 200, 1)).collect::<Vec<_>>());
    tokio::time::advance(DAY * 9).await;
    assert_eq!(shown(&log), [], "what is too old is not shown");
    // Files have the system's time, which this clock is ahead of or behind; only the name's time is ours.
    log.tidy().unwrap();
    log.begin(deed("ops", "new")).unwrap();
    assert_eq!(shown(&log), is(&[("new", 0, 1)]));
}

#[tokio::test(start_paused = true)]
async fn pages_and_filters() {
    let world = World::new(1 << 20);
    let log = world.open();
    for (n, action) in ["replays.create", "replays.cancel", "reload", "login"].into_iter().enumerate() {
        log.note(deed(if n % 2 == 0 { "ops" } else { "ci" }, action), outcome(200)).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    log.refused(deed("dash", "reload"), outcome(403)).unwrap();
    let list = |filter: AuditFilter| {
        let (found, _) = log.list(&filter, None, 10).unwrap();
        found.into_iter().map(|entry| entry.deed.action).collect::<Vec<_>>()
    };
    let at = |seconds| Some(START.after(Duration::from_secs(seconds)));
    assert_eq!(list(AuditFilter::default()), ["reload", "login", "reload", "replays.cancel", "replays.create"]);
    assert_eq!(list(AuditFilter { who: Some("ci".into()), ..AuditFilter::default() }), ["login", "replays.cancel"]);
    assert_eq!(list(AuditFilter { action: Some("replays".into()), ..AuditFilter::default() }).len(), 2);
    assert_eq!(list(AuditFilter { action: Some("re".into()), ..AuditFilter::default() }).len(), 0);
    assert_eq!(list(AuditFilter { since: at(1), until: at(3), ..AuditFilter::default() }), ["reload", "replays.cancel"]);
    let (mut after, mut joined) = (None, Vec::new());
    loop {
        let (page, _) = log.list(&AuditFilter::default(), after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        joined.extend(page.into_iter().map(|entry| entry.deed.action));
    }
    assert_eq!(joined, list(AuditFilter::default()));
}

#[tokio::test(start_paused = true)]
async fn a_million_refusals_are_a_few_lines_and_push_nothing_out() {
    let world = World::new(1 << 20);
    let log = world.open();
    log.note(deed("ops", "reload"), outcome(200)).unwrap();
    let from = |peer: u32| Deed { peer: Some(IpAddr::V4(peer.into())), ..deed("x", "login") };
    for n in 0..100_000u32 {
        log.refused(from(n % 1000), outcome(401)).unwrap();
    }
    let first = world.bytes();
    assert!(first < 16 << 10, "{first}");
    tokio::time::advance(refusals::WINDOW).await;
    log.tidy().unwrap();
    let shown = shown(&log);
    assert_eq!(shown.iter().map(|(.., count)| count).sum::<u64>(), 100_001, "each is counted");
    assert_eq!(shown.len(), 2 * refusals::KINDS_MAX + 2);
    assert!(shown.contains(&(refusals::VARIOUS.to_owned(), 401, 100_000 - 100 * refusals::KINDS_MAX as u64)));
    assert_eq!(shown.last(), Some(&("reload".to_owned(), 200, 1)));
    for _ in 0..3000 {
        tokio::time::advance(refusals::WINDOW).await;
        log.refused(from(1), outcome(401)).unwrap();
        log.refused(from(1), outcome(401)).unwrap();
    }
    log.close().unwrap();
    assert!(world.bytes() < (1 << 20) / REFUSED_SHARE + first, "{}", world.bytes());
    assert_eq!(self::shown(&world.open()).len(), 500);
    let filter = AuditFilter { who: Some("ops".into()), ..AuditFilter::default() };
    assert!(world.clock.now() > START.after(DAY * 8) || log.list(&filter, None, 1).unwrap().0.len() == 1);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_an_error_and_later_lines_are_written_again() {
    let world = World::new(1 << 20);
    let log = world.open();
    let folder = world.folder.path().join(FOLDER);
    let aside = world.folder.path().join("aside");
    fs::rename(&folder, &aside).unwrap();
    assert!(log.begin(deed("ops", "one")).is_err());
    fs::rename(&aside, &folder).unwrap();
    log.begin(deed("ops", "two")).unwrap();
    assert_eq!(shown(&log), is(&[("two", 0, 1)]));
}
