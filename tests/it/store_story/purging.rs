//! Chapters about what is removed: what goes, what stays, and what is still known of what is gone.

use hookhold::record::{DeliveryId, EventId, ParkReason, State, StateName, Verdict};
use hookhold::store::{Appended, DeliveryFilter, Error, EventFilter, EventState, Page, Purge, Purged, Store};
use hookhold::time::Timestamp;

use super::world::{World, at, attempt, body, claim_one, intake, key, name, settle, stored};

/// Removes all that the rule lets go, step by step.
pub(crate) async fn purge_all(store: &dyn Store, rule: Purge) -> Purged {
    let mut all = Purged::default();
    let mut after = None;
    loop {
        let step = store.purge(Purge { after, ..rule }).await.unwrap();
        (all.events, all.bytes) = (all.events + step.events, all.bytes + step.bytes);
        assert!(step.next.is_none_or(|next| after.is_none_or(|after| after < next)), "a pass comes to its end");
        after = step.next;
        if after.is_none() {
            return all;
        }
    }
}

fn before(done: u64, parked: u64) -> Purge {
    Purge { done_before: at(done), parked_before: at(parked), ..Purge::default() }
}

async fn all_events(store: &dyn Store, filter: EventFilter) -> Vec<EventId> {
    store.events(&filter, Page { after: None, limit: 500 }).await.unwrap().items.iter().map(|event| event.id).collect()
}

async fn delivered(store: &dyn Store, destination: &str, ms: u64) {
    let claimed = claim_one(store, destination, at(ms)).await;
    settle(store, attempt(&claimed, 200, Verdict::Delivered, at(ms))).await;
}

pub(super) async fn what_is_settled_for_long_goes(mut world: World) {
    let delivered_id = stored(&*world.store, intake("s", &["d"]).at(10).dedupe("k", 10_000).kind("paid")).await;
    delivered(&*world.store, "d", 20).await;
    let late = stored(&*world.store, intake("s", &["d", "e"]).at(30)).await;
    delivered(&*world.store, "d", 40).await;
    delivered(&*world.store, "e", 500).await;
    let parked = stored(&*world.store, intake("s", &["d"]).at(50)).await;
    let claimed = claim_one(&*world.store, "d", at(60)).await;
    settle(&*world.store, attempt(&claimed, 410, Verdict::Park(ParkReason::Refused), at(60))).await;
    let half = stored(&*world.store, intake("s", &["d", "f"]).at(70)).await;
    delivered(&*world.store, "d", 80).await;
    let unrouted = stored(&*world.store, intake("t", &[]).at(90)).await;
    let cancelled = stored(&*world.store, intake("t", &["g"]).at(91)).await;
    world.store.cancel(key(cancelled), at(92)).await.unwrap();
    world.reopen().await;
    let store = &*world.store;
    let before_all = store.counts();
    assert!(before_all.done_bytes > 0 && before_all.done_bytes < before_all.bytes);
    let purged = purge_all(store, before(100, 60)).await;
    assert_eq!((purged.events, purge_all(store, before(100, 60)).await.events), (3, 0));
    assert_eq!(store.counts().bytes, before_all.bytes - purged.bytes);
    for reopened in [false, true] {
        let store = &*world.store;
        assert_eq!(all_events(store, EventFilter::default()).await, [half, parked, late], "reopened: {reopened}");
        assert_eq!(all_events(store, EventFilter { kind: Some("paid".to_owned()), ..EventFilter::default() }).await, []);
        let state = |state| EventFilter { state: Some(state), ..EventFilter::default() };
        assert_eq!(all_events(store, state(EventState::Unrouted)).await, []);
        assert_eq!(all_events(store, state(EventState::Delivered)).await, [late]);
        for id in [delivered_id, unrouted, cancelled] {
            assert_eq!((store.event(id).await, store.body(id).await), (Ok(None), Ok(None)));
            assert_eq!((store.deliveries_of(id).await, store.delivery(key(id)).await), (Ok(vec![]), Ok(None)));
            assert_eq!(store.attempts(key(id)).await, Ok(vec![]));
            assert!(matches!(store.retry(key(id), at(600)).await, Err(Error::NotFound(_))));
            assert!(matches!(store.cancel(key(id), at(600)).await, Err(Error::NotFound(_))));
            assert!(matches!(store.replay(id, &[name("d")], at(600)).await, Err(Error::NotFound(_))));
        }
        let counts = store.counts();
        assert_eq!((counts.events, counts.pending, counts.parked, counts.delivered, counts.cancelled), (3, 1, 1, 3, 0));
        let again = store.append(intake("s", &["d"]).at(700).dedupe("k", 10_000).build()).await;
        assert_eq!(again, Ok(Appended::Duplicate(delivered_id)), "a repeat of what is gone is known");
        assert_eq!(store.claim_due(&name("d"), at(9999), 9).await.unwrap().claimed.len(), 0, "and not delivered again");
        assert_eq!(counts.damaged, 0);
        world.reopen().await;
    }
    assert_eq!(purge_all(&*world.store, before(100, 61)).await.events, 1);
    assert_eq!(claim_one(&*world.store, "f", at(9999)).await.delivery.id, DeliveryId { event: half, ordinal: 2 });
    let new = stored(&*world.store, intake("s", &["d"]).at(10_000).dedupe("k", 20_000)).await;
    assert_eq!(all_events(&*world.store, EventFilter::default()).await, [new, half, late]);
}

/// Events share their place with others; what stays must not suffer from what goes, and not keep it.
pub(super) async fn what_is_left_of_many_is_whole(mut world: World) {
    const EVENTS: u64 = 300;
    let mut ids = Vec::new();
    for n in 0..EVENTS {
        let draft = intake(if n % 3 == 0 { "s" } else { "t" }, &["d"]).at(n).body(body((n as usize * 97) % 9000));
        ids.push(stored(&*world.store, draft.kind(if n % 7 == 0 { "rare" } else { "often" })).await);
    }
    let stays = |n: u64| n.is_multiple_of(41);
    // Tried twice, so that there are attempts with a place of their own.
    for (time, is_last) in [(1000, false), (2000, true)] {
        for claimed in world.store.claim_due(&name("d"), at(time), EVENTS as usize).await.unwrap().claimed {
            let n = ids.iter().position(|id| *id == claimed.delivery.id.event).unwrap() as u64;
            let verdict = match (is_last, stays(n), n % 2) {
                (false, ..) => Verdict::RetryAt(at(1500)),
                (true, true, 0) => Verdict::RetryAt(at(5000)),
                (true, true, _) => Verdict::Park(ParkReason::Refused),
                (true, false, _) => Verdict::Delivered,
            };
            world.store.settle(attempt(&claimed, 200, verdict, at(time))).await.unwrap();
        }
        world.reopen().await;
    }
    let left: Vec<_> = (0..EVENTS).filter(|n| stays(*n)).collect();
    let bytes = world.store.counts().bytes;
    assert_eq!(purge_all(&*world.store, before(3000, 0)).await.events, EVENTS - left.len() as u64);
    for part in 0..3 {
        let store = &*world.store;
        for n in &left {
            let id = ids[*n as usize];
            let event = store.event(id).await.unwrap().unwrap();
            assert_eq!((event.id, &*event.source), (id, if n % 3 == 0 { "s" } else { "t" }), "{n} in part {part}");
            assert!(store.body(id).await.unwrap().unwrap() == body((*n as usize * 97) % 9000), "{n} in part {part}");
            assert_eq!(store.attempts(key(id)).await.unwrap().len(), 2);
        }
        let gone = (0..EVENTS).filter(|n| !stays(*n)).map(|n| ids[n as usize]);
        for id in gone.step_by(17) {
            assert_eq!((store.event(id).await, store.body(id).await), (Ok(None), Ok(None)));
            assert_eq!(store.attempts(key(id)).await, Ok(vec![]));
        }
        let wanted: Vec<_> = left.iter().rev().map(|n| ids[*n as usize]).collect();
        assert_eq!(all_events(store, EventFilter::default()).await, wanted);
        let rare: Vec<_> = left.iter().rev().filter(|n| *n % 7 == 0).map(|n| ids[*n as usize]).collect();
        assert_eq!(all_events(store, EventFilter { kind: Some("rare".to_owned()), ..EventFilter::default() }).await, rare);
        let counts = store.counts();
        assert_eq!((counts.events, counts.delivered, counts.damaged), (left.len() as u64, 0, 0));
        assert!(counts.bytes < bytes / 20, "{} of {bytes}", counts.bytes);
        world.reopen().await;
    }
    for claimed in world.store.claim_due(&name("d"), at(6000), 50).await.unwrap().claimed {
        assert!(claimed.body == body(claimed.event.body_bytes as usize));
        settle(&*world.store, attempt(&claimed, 200, Verdict::Delivered, at(6000))).await;
    }
    let purged = purge_all(&*world.store, before(7000, 7000)).await.events;
    assert_eq!(purged, left.len() as u64);
    for _ in 0..3 {
        world.reopen().await;
        assert_eq!(all_events(&*world.store, EventFilter::default()).await, []);
        let counts = world.store.counts();
        assert_eq!((counts.events, counts.bytes, counts.damaged), (0, 0, 0));
        stored(&*world.store, intake("s", &[]).at(8000)).await;
        purge_all(&*world.store, before(9000, 0)).await;
    }
}

pub(super) async fn the_oldest_go_where_bytes_are_many(mut world: World) {
    let mut ids = Vec::new();
    for n in 0..150 {
        ids.push(stored(&*world.store, intake("s", &["d"]).at(n).body(body(5000))).await);
        if n % 50 != 7 {
            delivered(&*world.store, "d", 1000 + n).await;
            continue;
        }
        // It waits at the front.
        let claimed = claim_one(&*world.store, "d", at(1000 + n)).await;
        settle(&*world.store, attempt(&claimed, 503, Verdict::RetryAt(at(100_000)), at(1000 + n))).await;
    }
    let each = world.store.counts().bytes / 150;
    for (most, left) in [(100, 100), (100, 100), (30, 30), (0, 0)] {
        let rule = Purge { done_bytes: Some(most * each + each / 2), ..Purge::default() };
        purge_all(&*world.store, rule).await;
        for reopened in [false, true] {
            let done: Vec<_> = ids.iter().enumerate().filter(|(n, _)| n % 50 != 7).map(|(_, id)| *id).collect();
            let wanted = done.iter().rev().take(left).copied().collect::<Vec<_>>();
            let filter = EventFilter { state: Some(EventState::Delivered), ..EventFilter::default() };
            assert_eq!(all_events(&*world.store, filter).await, wanted, "{most}, reopened: {reopened}");
            world.reopen().await;
        }
    }
    let rest = world.store.deliveries(&DeliveryFilter::default(), Page { after: None, limit: 500 }).await.unwrap().items;
    assert!(rest.len() == 3 && rest.iter().all(|tracked| tracked.delivery.state == State::Pending { due: at(100_000) }));
}

/// What is claimed or comes back to life in the same moment stays.
pub(super) async fn what_is_wanted_again_stays(world: World) {
    let store = &*world.store;
    let parked = stored(store, intake("s", &["d"]).at(1).dedupe("k", 10_000)).await;
    let claimed = claim_one(store, "d", at(2)).await;
    settle(store, attempt(&claimed, 410, Verdict::Park(ParkReason::Refused), at(2))).await;
    let flying = stored(store, intake("s", &["e"]).at(3)).await;
    let claimed = claim_one(store, "e", at(4)).await;
    let all = Purge { done_before: Timestamp::MAX, parked_before: Timestamp::MAX, done_bytes: Some(0), after: None };
    let (again, purged) = tokio::join!(store.append(intake("s", &["d"]).at(5).dedupe("k", 10_000).build()), store.purge(all));
    assert_eq!(again, Ok(Appended::Duplicate(parked)));
    let is_left = store.event(parked).await.unwrap().is_some();
    assert_eq!(purged.unwrap().events, u64::from(!is_left));
    let due = store.claim_due(&name("d"), at(6), 9).await.unwrap().claimed;
    assert_eq!(due.len(), usize::from(is_left));
    settle(store, attempt(&claimed, 200, Verdict::Delivered, at(7))).await;
    let tracked = store.delivery(key(flying)).await.unwrap().unwrap();
    assert_eq!(tracked.delivery.state.name(), StateName::Delivered);
}
