//! What the story is told with: a store of some kind, requests, and attempts.

use std::sync::Arc;

use bytes::Bytes;
use hookhold::record::{Answer, Attempt, DeliveryId, EventId, Headers, Name, Outcome, Received, Verdict};
use hookhold::signature::{Options, Selector, Verifier};
use hookhold::store::{Appended, Claim, Claimed, Dedupe, Error, Intake, Memory, Settlement, Sled, Store};
use hookhold::time::Timestamp;
use http::{HeaderName, HeaderValue};

/// The kinds of store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Memory,
    Sled,
}

/// A store and the folder that it lives in.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) store: Arc<dyn Store>,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { kind, store: open(kind, &folder), folder }
    }

    /// Ends the store and starts it again; one in memory just goes on.
    pub(crate) async fn reopen(&mut self) {
        if matches!(self.kind, Kind::Sled) {
            self.store.close().await.unwrap();
            self.store = open(self.kind, &self.folder);
        }
    }
}

fn open(kind: Kind, folder: &tempfile::TempDir) -> Arc<dyn Store> {
    match kind {
        Kind::Memory => Arc::new(Memory::new()),
        Kind::Sled => Arc::new(Sled::open(folder.path(), Arc::new(|_| {})).unwrap()),
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::try_new(text).unwrap()
}

/// A time of day in the story, in milliseconds since it begins.
pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp::from_ms(1_790_000_000_000 + ms)
}

/// `size` bytes that look random and are always the same.
pub(crate) fn body(size: usize) -> Bytes {
    let mut x = size as u32 | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as u8
    };
    (0..size).map(|_| next()).collect()
}

pub(crate) fn key(event: EventId) -> DeliveryId {
    DeliveryId { event, ordinal: 1 }
}

/// A request that is about to be stored.
pub(crate) struct Draft {
    source: Name,
    destinations: Arc<[Name]>,
    received_at: Timestamp,
    body: Bytes,
    dedupe: Option<Dedupe>,
    kind: Option<String>,
    order_keys: Vec<Option<String>>,
}

pub(crate) fn intake(source: &str, destinations: &[&str]) -> Draft {
    let destinations = destinations.iter().map(|d| name(d)).collect();
    Draft {
        source: name(source),
        destinations,
        received_at: at(0),
        body: Bytes::from_static(b"{}"),
        dedupe: None,
        kind: None,
        order_keys: Vec::new(),
    }
}

impl Draft {
    pub(crate) fn at(mut self, ms: u64) -> Self {
        self.received_at = at(ms);
        self
    }

    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn dedupe(mut self, key: &str, until: u64) -> Self {
        self.dedupe = Some(Dedupe { key: key.to_owned(), until: at(until) });
        self
    }

    pub(crate) fn kind(mut self, kind: &str) -> Self {
        self.kind = Some(kind.to_owned());
        self
    }

    /// Each of its deliveries has this order key.
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.order_keys = self.destinations.iter().map(|_| Some(key.to_owned())).collect();
        self
    }

    pub(crate) fn build(self) -> Intake {
        let mut headers = Headers::default();
        headers.push(HeaderName::from_static("x-twice"), HeaderValue::from_static("1"));
        headers.push(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
        headers.push(HeaderName::from_static("x-twice"), HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        let header = |name: &'static str, text: &str| (HeaderName::from_static(name), HeaderValue::from_str(text).unwrap());
        let named = self.dedupe.iter().map(|d| header("x-id", &d.key)).chain(self.kind.iter().map(|k| header("x-kind", k)));
        named.for_each(|(name, value)| headers.push(name, value));
        let received = Received {
            method: "POST".to_owned(),
            target: "/in/s?x=%20".to_owned(),
            authority: "hooks.example".to_owned(),
            headers,
            body: self.body,
            peer: [203, 0, 113, 7].into(),
            at: self.received_at,
        };
        let options = Options {
            event_id: Some(Selector::Header("x-id".to_owned())),
            kind: Some(Selector::Header("x-kind".to_owned())),
            ..Options::default()
        };
        let verified = Verifier::trusting(options).verify(received).unwrap();
        Intake::new(verified, self.source, "none".into(), self.destinations, self.dedupe).in_order(self.order_keys)
    }
}

/// Stores what must be new.
pub(crate) async fn stored(store: &dyn Store, draft: Draft) -> EventId {
    match store.append(draft.build()).await.unwrap() {
        Appended::Stored(id) => id,
        Appended::Duplicate(id) => panic!("a duplicate of {id}"),
    }
}

pub(crate) async fn claim_one(store: &dyn Store, destination: &str, now: Timestamp) -> Claimed {
    let mut due = store.claim_due(&name(destination), now, 1).await.unwrap();
    due.claimed.pop().unwrap_or_else(|| panic!("nothing is due for {destination}, next: {:?}", due.next))
}

/// An attempt of `claimed` that the application answered with `status`, and what the rule makes of it.
pub(crate) fn attempt(claimed: &Claimed, status: u16, verdict: Verdict, now: Timestamp) -> Settlement {
    let headers = vec![("retry-after".to_owned(), "5".to_owned())];
    let answer = Answer { status, headers, body: Bytes::from_static(b"busy"), truncated: false };
    let number = claimed.delivery.attempts_made + 1;
    let attempt = Attempt { number, started_at: now, duration_ms: 12, outcome: Outcome::Answered(answer) };
    Settlement { claim: claimed.claim, attempt, verdict, now, word: None }
}

/// Settles, and waits until that is seen.
pub(crate) async fn settle(store: &dyn Store, settlement: Settlement) {
    let delivery = settlement.claim.delivery;
    store.settle(settlement).await.unwrap();
    seen(store, delivery).await;
}

/// Gives a claim back, and waits until that is seen.
pub(crate) async fn release(store: &dyn Store, claim: Claim) {
    store.release(claim).await.unwrap();
    seen(store, claim.delivery).await;
}

/// Changes come in order: one that is answered shows that all before it are seen. This one finds nothing to change.
async fn seen(store: &dyn Store, near: DeliveryId) {
    let nowhere = DeliveryId { ordinal: u16::MAX, ..near };
    assert!(matches!(store.cancel(nowhere, at(0)).await, Err(Error::NotFound(_))));
}
