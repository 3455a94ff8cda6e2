//! What the quarantine keeps, gives back and lets go.

use super::*;
use crate::record::Headers;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);

fn name(text: &str) -> Name {
    Name::try_new(text).unwrap()
}

fn received(seconds: u64, body: &[u8]) -> Received {
    let field = (HeaderName::from_static("x-a"), HeaderValue::from_bytes(b"\xff 1").unwrap());
    Received {
        method: "POST".into(),
        target: "/in/gh?x=%20".into(),
        authority: "hooks.example".into(),
        headers: Headers::from_iter([field.clone(), field]),
        body: Bytes::copy_from_slice(body),
        peer: "::1".parse().unwrap(),
        at: NOW.after(Duration::from_secs(seconds)),
    }
}

fn open(folder: &Path, bounds: Bounds) -> Quarantine {
    Quarantine::open(folder, bounds, Clock::following_tokio(NOW)).unwrap()
}

/// Waits until the thread has done what it was given.
fn settled(quarantine: &Quarantine, count: u64) {
    while quarantine.count() != count {
        std::thread::yield_now();
    }
}

#[test]
fn a_request_comes_back_byte_for_byte_also_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let quarantine = open(folder.path(), Bounds::default());
    assert!(quarantine.keep(&name("gh"), "mismatch", received(1, b"\0\xff{}")));
    assert!(quarantine.keep(&name("gh"), "missing_header", received(2, b"")));
    settled(&quarantine, 2);
    let listed = quarantine.list(&QuarantineFilter::default(), None, 10);
    assert_eq!(listed.iter().map(|found| &*found.reason).collect::<Vec<_>>(), ["missing_header", "mismatch"]);
    drop(quarantine);
    fs::write(folder.path().join("quarantine/gh/of-a-crash.part"), "x").unwrap();
    let quarantine = open(folder.path(), Bounds::default());
    assert_eq!(quarantine.list(&QuarantineFilter::default(), None, 10), listed);
    assert_eq!(quarantine.list(&QuarantineFilter::default(), Some(listed[0].id), 10), listed[1..]);
    let kept = quarantine.read(listed[1].id).unwrap().unwrap();
    let sent = received(1, b"\0\xff{}");
    assert_eq!((kept.received.headers, kept.received.body, kept.received.at), (sent.headers, sent.body, sent.at));
    assert_eq!((kept.received.target.as_str(), kept.reason.as_str()), ("/in/gh?x=%20", "mismatch"));
    assert!(quarantine.remove(listed[1].id).unwrap());
    assert!(!quarantine.remove(listed[1].id).unwrap());
    assert!(quarantine.read(listed[1].id).unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path().join("quarantine/gh")).unwrap().count(), 1);
}

#[test]
fn filters_fit() {
    let folder = tempfile::tempdir().unwrap();
    let quarantine = open(folder.path(), Bounds::default());
    for (source, reason, at) in [("a", "mismatch", 1), ("a", "bad_encoding", 2), ("b", "mismatch", 3)] {
        quarantine.keep(&name(source), reason, received(at, b"x"));
    }
    settled(&quarantine, 3);
    let found = |filter: QuarantineFilter| quarantine.list(&filter, None, 10).len();
    assert_eq!(found(QuarantineFilter { source: Some(name("a")), ..Default::default() }), 2);
    assert_eq!(found(QuarantineFilter { reason: Some("mismatch".into()), ..Default::default() }), 2);
    assert_eq!(found(QuarantineFilter { since: Some(received(2, b"").at), ..Default::default() }), 2);
    assert_eq!(found(QuarantineFilter { until: Some(received(2, b"").at), ..Default::default() }), 1);
    assert_eq!((quarantine.count_of(&name("a")), quarantine.count_of(&name("c"))), (2, 0));
    quarantine.keep(&name("b"), "mismatch", received(4, b"x"));
    settled(&quarantine, 4);
    let groups = || -> Vec<_> {
        let at = |at: Timestamp| at.ms() - NOW.ms();
        let groups = quarantine.groups().into_iter();
        groups.map(|g| (g.source.to_string(), g.reason.to_string(), g.requests, at(g.first_at), at(g.last_at))).collect()
    };
    let line = |source: &str, reason: &str, requests, first, last| (source.to_owned(), reason.to_owned(), requests, first, last);
    let (a, b) =
        ([line("a", "bad_encoding", 1, 2000, 2000), line("a", "mismatch", 1, 1000, 1000)], line("b", "mismatch", 2, 3000, 4000));
    assert_eq!(groups(), [b, a[0].clone(), a[1].clone()]);
    let ids: Vec<_> = quarantine.list(&QuarantineFilter::default(), None, 10).iter().map(|found| found.id).collect();
    quarantine.remove(ids[0]).unwrap();
    quarantine.remove(ids[3]).unwrap();
    assert_eq!(groups(), [a[0].clone(), line("b", "mismatch", 1, 3000, 3000)]);
}

#[test]
fn what_is_unsigned_goes_first_and_everything_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let quarantine = open(folder.path(), Bounds { requests: 2, ..Bounds::default() });
    quarantine.keep(&name("a"), "mismatch", received(1, b"1"));
    quarantine.keep(&name("b"), "mismatch", received(1, b"1"));
    quarantine.keep(&name("a"), "missing_header", received(2, b"2"));
    quarantine.keep(&name("a"), "mismatch", received(3, b"3"));
    // The unsigned one has gone once a later request is there.
    quarantine.keep(&name("c"), "mismatch", received(4, b"4"));
    while quarantine.count_of(&name("c")) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(quarantine.count(), 4);
    let of_a = QuarantineFilter { source: Some(name("a")), ..Default::default() };
    let times: Vec<_> = quarantine.list(&of_a, None, 10).iter().map(|found| found.at.ms() - NOW.ms()).collect();
    assert_eq!(times, [3000, 1000]);
    quarantine.set_bounds(Bounds { bytes: 0, ..Bounds::default() });
    quarantine.keep(&name("a"), "mismatch", received(5, b"5"));
    settled(&quarantine, 0);
    let files = |n: &str| fs::read_dir(folder.path().join("quarantine").join(n)).unwrap().count();
    // They are forgotten before they are removed.
    while ["a", "b", "c"].iter().any(|n| files(n) > 0) {
        std::thread::yield_now();
    }
}

#[test]
fn damage_is_seen_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let quarantine = open(folder.path(), Bounds::default());
    quarantine.keep(&name("a"), "mismatch", received(0, b"body"));
    settled(&quarantine, 1);
    let id = quarantine.list(&QuarantineFilter::default(), None, 1)[0].id;
    let file = folder.path().join("quarantine/a").join(id.to_string());
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(quarantine.read(id).unwrap_err().kind(), io::ErrorKind::InvalidData);
    let mut shelf = found(&folder.path().join("quarantine"), Bounds::default()).unwrap();
    assert_eq!(shelf.too_much(NOW.after(Bounds::default().age - Duration::from_millis(1))).len(), 0);
    assert_eq!(shelf.too_much(NOW.after(Bounds::default().age)).len(), 1);
}
