//! A chapter on those who wait for what an application says: they hear the first attempt that ends after they began to wait.

use std::time::Duration;

use bytes::Bytes;
use hookhold::record::{EventId, Failure, Verdict};
use hookhold::store::{Appended, Claimed, Heard, Intake, Passed, Settlement, Store, Waiter};
use http::{HeaderMap, StatusCode};

use super::world::{World, at, attempt, claim_one, intake, name};

/// A draft that somebody waits for.
fn awaited(store: &dyn Store, draft: Intake) -> (Intake, Waiter) {
    let (asking, waiter) = store.waiters().open(name("d")).unwrap();
    (draft.awaited(asking), waiter)
}

async fn hear(waiter: &mut Waiter) -> Heard {
    tokio::time::timeout(Duration::from_secs(10), waiter.heard()).await.unwrap()
}

async fn hears_nothing(waiter: &mut Waiter) -> bool {
    tokio::time::timeout(Duration::from_millis(20), waiter.heard()).await.is_err()
}

fn answer(body: &'static [u8]) -> Heard {
    Heard::Answer(Passed { status: StatusCode::CREATED, headers: HeaderMap::new(), body: Bytes::from_static(body) })
}

fn said(heard: Heard) -> Bytes {
    match heard {
        Heard::Answer(answer) => answer.body,
        other => panic!("{other:?}"),
    }
}

/// An attempt that ends, with a word for those who wait.
fn telling(store: &dyn Store, claimed: &Claimed, heard: Heard, verdict: Verdict) -> Settlement {
    let under_way = store.waiters().begin(claimed.event.id, &claimed.delivery.destination);
    Settlement { word: Some(under_way.word(heard)), ..attempt(claimed, 201, verdict, at(9)) }
}

fn event_of(appended: Appended) -> EventId {
    match appended {
        Appended::Stored(event) | Appended::Duplicate(event) => event,
    }
}

pub(super) async fn who_waits_hears_the_first_attempt(world: World) {
    let store = &*world.store;
    let mut lane = store.handoff(&name("d"), 4);
    let draft = || intake("s", &["d"]).at(1).dedupe("k", 10_000).build();
    let (first, mut waiter) = awaited(store, draft());
    let event = event_of(store.append(first).await.unwrap());
    let claimed = lane.next().await.unwrap();
    assert_eq!(claimed.event.id, event);
    // The provider did not wait so long, and sends it again; it waits for the same attempt.
    let (repeat, mut later) = awaited(store, draft());
    assert_eq!(store.append(repeat).await, Ok(Appended::Duplicate(event)));
    assert!(hears_nothing(&mut waiter).await && hears_nothing(&mut later).await);
    store.settle(telling(store, &claimed, answer(b"made"), Verdict::RetryAt(at(20)))).await.unwrap();
    assert_eq!((said(hear(&mut waiter).await), said(hear(&mut later).await)), ("made".into(), "made".into()));
    // Of the next attempt those hear who came since.
    let (repeat, mut latest) = awaited(store, draft());
    store.append(repeat).await.unwrap();
    let claimed = claim_one(store, "d", at(30)).await;
    store.settle(telling(store, &claimed, Heard::Failed(Failure::Timeout), Verdict::Delivered)).await.unwrap();
    assert!(matches!(hear(&mut latest).await, Heard::Failed(Failure::Timeout)));
}

pub(super) async fn repeats_at_once_hear_the_same(world: World) {
    let store = world.store.clone();
    let mut lane = store.handoff(&name("d"), 4);
    let senders: Vec<_> = (0..50)
        .map(|n| {
            let (draft, mut waiter) = awaited(&*store, intake("s", &["d"]).at(n).dedupe("k", 10_000).build());
            let store = store.clone();
            tokio::spawn(async move {
                let appended = store.append(draft).await.unwrap();
                // One that comes behind the attempt finds what it changed.
                let known = store.delivery(super::key(event_of(appended))).await.unwrap().unwrap().delivery;
                match known.due() {
                    Some(_) => said(hear(&mut waiter).await),
                    None => Bytes::from_static(b"made"),
                }
            })
        })
        .collect();
    let claimed = lane.next().await.unwrap();
    store.settle(telling(&*store, &claimed, answer(b"made"), Verdict::Delivered)).await.unwrap();
    for sender in senders {
        assert_eq!(sender.await.unwrap(), "made");
    }
}

pub(super) async fn who_waits_for_a_lane_that_is_shut_hears_so(world: World) {
    let store = &*world.store;
    let (draft, mut waiter) = awaited(store, intake("s", &["d"]).at(1).build());
    store.append(draft).await.unwrap();
    assert!(matches!(hear(&mut waiter).await, Heard::NotNow), "there is no lane");
    let mut lane = store.handoff(&name("d"), 4);
    let (draft, mut waiter) = awaited(store, intake("s", &["d"]).at(2).build());
    let event = event_of(store.append(draft).await.unwrap());
    assert!(hears_nothing(&mut waiter).await);
    lane.shut();
    assert!(matches!(hear(&mut waiter).await, Heard::NotNow), "it shuts");
    let (draft, mut waiter) = awaited(store, intake("s", &["d"]).at(3).build());
    store.append(draft).await.unwrap();
    assert!(matches!(hear(&mut waiter).await, Heard::NotNow), "it is shut");
    lane.open();
    let (draft, mut waiter) = awaited(store, intake("s", &["d"]).at(4).build());
    let under_way = store.waiters().begin(event_of(store.append(draft).await.unwrap()), &name("d"));
    lane.shut();
    assert!(hears_nothing(&mut waiter).await, "an attempt is under way");
    drop(under_way);
    assert_eq!(store.event(event).await.unwrap().unwrap().id, event, "what nobody waits for is there all the same");
    assert_eq!(store.counts().pending, 4);
}

pub(super) async fn who_goes_away_takes_nothing_along(world: World) {
    let store = &*world.store;
    let mut lane = store.handoff(&name("d"), 4);
    let (draft, waiter) = awaited(store, intake("s", &["d"]).at(1).build());
    store.append(draft).await.unwrap();
    drop(waiter);
    let claimed = lane.next().await.unwrap();
    store.settle(telling(store, &claimed, answer(b"made"), Verdict::Delivered)).await.unwrap();
    let (draft, mut waiter) = awaited(store, intake("s", &["d"]).at(2).build());
    store.append(draft).await.unwrap();
    assert!(hears_nothing(&mut waiter).await, "another one's answer");
}
