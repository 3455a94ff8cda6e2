//! The chapters on order by key: one at a time, in the order of events, whatever becomes of the first.

use hookhold::record::{DeliveryId, EventId, ParkReason, Verdict};
use hookhold::store::Store;

use super::world::{Kind, World, at, attempt, intake, key, name, release, settle, stored};

/// Claims all that is due.
async fn claimed(store: &dyn Store, now: u64) -> Vec<hookhold::store::Claimed> {
    store.claim_due(&name("d"), at(now), 100).await.unwrap().claimed
}

fn events(claimed: &[hookhold::store::Claimed]) -> Vec<EventId> {
    claimed.iter().map(|c| c.delivery.id.event).collect()
}

pub(super) async fn one_of_a_key_at_a_time_in_order(mut world: World) {
    let mut lane = world.store.handoff(&name("d"), 8);
    lane.take_behind();
    let mut ids = Vec::new();
    for (n, key) in ["a", "a", "b", "a", "b"].into_iter().enumerate() {
        ids.push(stored(&*world.store, intake("s", &["d"]).at(n as u64).key(key)).await);
    }
    let other = stored(&*world.store, intake("s", &["d"]).at(5)).await;
    // What may go is handed over; the rest is not due, and no lane is told of it.
    let first = [lane.ready().unwrap(), lane.ready().unwrap(), lane.ready().unwrap()];
    assert_eq!(events(&first), [ids[0], ids[2], other]);
    assert!(lane.ready().is_none() && !lane.take_behind());
    let due = world.store.claim_due(&name("d"), at(100), 100).await.unwrap();
    assert_eq!((events(&due.claimed), due.next), (vec![], None));
    let shown = world.store.delivery(key(ids[1])).await.unwrap().unwrap();
    assert_eq!((shown.delivery.order_key.as_deref(), shown.delivery.is_held()), (Some("a"), true));
    let blocked = world.store.blocked(&name("d"), 10).await.unwrap();
    assert_eq!((blocked.keys, blocked.by.len(), blocked.by.iter().all(|t| t.in_flight)), (2, 2, true));
    // A failing one is waited for; the other key goes on.
    settle(&*world.store, attempt(&first[0], 500, Verdict::RetryAt(at(5000)), at(10))).await;
    settle(&*world.store, attempt(&first[1], 200, Verdict::Delivered, at(11))).await;
    assert!(lane.take_behind(), "the next of its key is due");
    release(&*world.store, first[2].claim).await;
    drop(lane);
    for reopened in [false, true] {
        let due = claimed(&*world.store, 4999).await;
        assert_eq!(events(&due), [other, ids[4]], "reopened: {reopened}");
        let turn = &due[1].delivery;
        assert_eq!((turn.due(), turn.budget.since), (Some(at(11)), at(11)));
        for claimed in &due {
            release(&*world.store, claimed.claim).await;
        }
        world.reopen().await;
    }
    let due = claimed(&*world.store, 5000).await;
    assert_eq!(events(&due), [other, ids[4], ids[0]]);
    settle(&*world.store, attempt(&due[2], 200, Verdict::Delivered, at(5001))).await;
    let next = claimed(&*world.store, 5001).await;
    assert_eq!(events(&next), [ids[1]]);
    settle(&*world.store, attempt(&next[0], 200, Verdict::Delivered, at(5002))).await;
    assert_eq!(events(&claimed(&*world.store, 5002).await), [ids[3]]);
    assert_eq!(world.store.blocked(&name("d"), 10).await.unwrap(), Default::default());
}

pub(super) async fn a_head_that_ends_in_any_way_frees_its_key(world: World) {
    let store = &*world.store;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(stored(store, intake("s", &["d", "e"]).at(n).key("a")).await);
    }
    let parked = claimed(store, 10).await;
    assert_eq!(events(&parked), ids[..1]);
    settle(store, attempt(&parked[0], 410, Verdict::Park(ParkReason::Refused), at(11))).await;
    // One in the middle is called off, and then the first.
    store.cancel(key(ids[2]), at(12)).await.unwrap();
    store.cancel(key(ids[1]), at(13)).await.unwrap();
    // A person puts the one aside whose turn came.
    store.park(key(ids[3]), at(13)).await.unwrap();
    assert_eq!(events(&claimed(store, 13).await), ids[4..]);
    // The same key of another destination is another line.
    let due = store.claim_due(&name("e"), at(13), 10).await.unwrap().claimed;
    assert_eq!(events(&due), ids[..1]);
}

pub(super) async fn an_older_one_that_comes_back_goes_first(mut world: World) {
    let store = world.store.clone();
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(stored(&*store, intake("s", &["d"]).at(n).key("a").dedupe(&n.to_string(), 1 << 40)).await);
    }
    let first = claimed(&*store, 10).await;
    settle(&*store, attempt(&first[0], 410, Verdict::Park(ParkReason::Refused), at(11))).await;
    let second = claimed(&*store, 11).await;
    assert_eq!(events(&second), ids[1..2]);
    // Its provider sends it again, while the second is on its way: it waits for that one and goes before the third.
    store.append(intake("s", &["d"]).at(12).key("a").dedupe("0", 1 << 40).build()).await.unwrap();
    assert_eq!(events(&claimed(&*store, 12).await), []);
    settle(&*store, attempt(&second[0], 500, Verdict::RetryAt(at(20)), at(13))).await;
    let first = claimed(&*store, 30).await;
    assert_eq!(events(&first), ids[..1]);
    settle(&*store, attempt(&first[0], 200, Verdict::Delivered, at(31))).await;
    // A replay has the key of what it replays, and its place.
    let made = store.replay(ids[0], &[name("d")], at(32)).await.unwrap();
    assert_eq!(made, [DeliveryId { event: ids[0], ordinal: 2 }]);
    assert!(store.retry(key(ids[2]), at(33)).await.unwrap().is_held(), "nobody overtakes");
    drop(store);
    world.reopen().await;
    for id in [made[0], key(ids[1]), key(ids[2])] {
        let due = claimed(&*world.store, 1000).await;
        assert_eq!(due.iter().map(|c| c.delivery.id).collect::<Vec<_>>(), [id]);
        settle(&*world.store, attempt(&due[0], 200, Verdict::Delivered, at(101))).await;
    }
}

/// What was on its way when an older one came back, and is given back without an attempt, goes behind it.
pub(super) async fn what_is_given_back_overtakes_nobody(mut world: World) {
    for reopened in [false, true] {
        let (store, start) = (world.store.clone(), if reopened { 100 } else { 0 });
        let mut ids = Vec::new();
        for n in 0..2 {
            ids.push(stored(&*store, intake("s", &["d"]).at(start + n).key("a")).await);
        }
        store.cancel(key(ids[0]), at(start + 2)).await.unwrap();
        let second = claimed(&*store, start + 3).await;
        assert_eq!(events(&second), ids[1..]);
        store.retry(key(ids[0]), at(start + 4)).await.unwrap();
        // A store that ends gives everything back; one in memory does not end.
        if !reopened || matches!(world.kind, Kind::Memory) {
            release(&*store, second[0].claim).await;
        }
        drop(store);
        if reopened {
            world.reopen().await;
        }
        for id in ids {
            let next = claimed(&*world.store, start + 50).await;
            assert_eq!(events(&next), [id], "reopened: {reopened}");
            settle(&*world.store, attempt(&next[0], 200, Verdict::Delivered, at(start + 6))).await;
        }
    }
}

/// A long queue behind one key costs nobody else anything: what is held is not looked at.
pub(super) async fn a_hot_key_does_not_hide_others(mut world: World) {
    const HELD: u64 = 1200;
    let store = world.store.clone();
    for n in 0..HELD {
        let (store, draft) = (store.clone(), intake("s", &["d"]).at(n).key("hot"));
        store.append(draft.build()).await.unwrap();
    }
    let other = stored(&*store, intake("s", &["d"]).at(HELD).key("cold")).await;
    let due = claimed(&*store, HELD).await;
    assert_eq!((due.len(), events(&due)[1]), (2, other));
    settle(&*store, attempt(&due[0], 500, Verdict::RetryAt(at(1 << 30)), at(HELD))).await;
    let due = store.claim_due(&name("d"), at(HELD + 1), 10).await.unwrap();
    assert_eq!((events(&due.claimed), due.next), (vec![], Some(at(1 << 30))));
    drop(store);
    world.reopen().await;
    let backlog = world.store.backlog(&name("d")).await.unwrap();
    assert_eq!(backlog.pending, HELD + 1);
    assert_eq!(world.store.blocked(&name("d"), 10).await.unwrap().keys, 1);
}
