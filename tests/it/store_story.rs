//! One story that every store must live up to, and random sequences of operations on which all stores must agree.

mod kept;
mod model;
mod moving;
mod order;
mod purging;
mod waiting;
mod watching;
pub(crate) mod world;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hookhold::record::{Budget, DeliveryId, EventId, ParkReason, State, StateName, Verdict};
use hookhold::store::{Appended, Counts, Cursor, DeliveryFilter, Error, EventFilter, EventState, Page, Store};

use moving::{a_closed_store_says_so, nothing_is_forgotten_while_it_is_moved};
use order::{
    a_head_that_ends_in_any_way_frees_its_key, a_hot_key_does_not_hide_others, an_older_one_that_comes_back_goes_first,
    one_of_a_key_at_a_time_in_order, what_is_given_back_overtakes_nobody,
};
use purging::{
    the_oldest_go_where_bytes_are_many, what_is_left_of_many_is_whole, what_is_settled_for_long_goes, what_is_wanted_again_stays,
};
use waiting::{
    repeats_at_once_hear_the_same, who_goes_away_takes_nothing_along, who_waits_for_a_lane_that_is_shut_hears_so,
    who_waits_hears_the_first_attempt,
};
use watching::{lists_go_onward_from_anywhere, what_happens_is_told, who_does_not_read_holds_nothing_up};
use world::{Kind, World, at, attempt, body, claim_one, intake, key, name, release, settle, stored};

/// Runs each chapter on each kind of store.
macro_rules! chapters {
    ($($chapter:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $chapter() { super::$chapter(super::World::new(super::Kind::Memory)).await })+
        }
        mod sled {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $chapter() { super::$chapter(super::World::new(super::Kind::Sled)).await })+
        }
    };
}

chapters!(
    bytes_in_are_bytes_out,
    a_repeat_is_known_until_its_time_is_over,
    one_of_many_at_once_is_stored,
    a_repeat_makes_parked_deliveries_due,
    fresh_deliveries_are_handed_over_while_there_is_room,
    what_no_lane_took_goes_back,
    the_longest_due_is_claimed_first,
    an_older_claim_counts_for_nothing,
    settling_ends_in_each_state,
    a_person_changes_what_the_state_allows,
    a_replay_makes_a_delivery_or_hurries_one,
    lists_show_what_fits,
    pages_join_without_gap_or_repeat,
    counts_and_backlog_add_up,
    a_restart_keeps_everything,
    nothing_is_forgotten_while_it_is_moved,
    a_change_that_comes_late_is_kept,
    what_is_settled_for_long_goes,
    what_is_left_of_many_is_whole,
    the_oldest_go_where_bytes_are_many,
    what_is_wanted_again_stays,
    one_of_a_key_at_a_time_in_order,
    a_head_that_ends_in_any_way_frees_its_key,
    an_older_one_that_comes_back_goes_first,
    what_is_given_back_overtakes_nobody,
    a_hot_key_does_not_hide_others,
    who_waits_hears_the_first_attempt,
    repeats_at_once_hear_the_same,
    who_waits_for_a_lane_that_is_shut_hears_so,
    who_goes_away_takes_nothing_along,
    what_happens_is_told,
    who_does_not_read_holds_nothing_up,
    lists_go_onward_from_anywhere,
    a_closed_store_says_so,
);

async fn bytes_in_are_bytes_out(mut world: World) {
    let sizes = [0, 1, 2047, 2048, 2049, 16 * 1024, 16 * 1024 + 1, 48 * 1024, 1 << 20];
    let mut ids = Vec::new();
    for (n, size) in sizes.into_iter().enumerate() {
        ids.push(stored(&*world.store, intake("s", &["d"]).at(n as u64).body(body(size))).await);
    }
    for reopened in [false, true] {
        for (id, size) in ids.iter().zip(sizes) {
            let event = world.store.event(*id).await.unwrap().unwrap();
            assert_eq!((event.id, event.body_bytes), (*id, size as u64));
            assert_eq!(event.headers.all("x-twice").collect::<Vec<_>>(), [&b"1"[..], b"\xff\xfe"]);
            assert!(world.store.body(*id).await.unwrap().unwrap() == body(size), "{size} bytes, reopened: {reopened}");
        }
        let due = world.store.claim_due(&name("d"), at(100), 100).await.unwrap();
        assert_eq!(due.claimed.iter().map(|c| c.body.len()).collect::<Vec<_>>(), sizes);
        assert!(due.claimed.iter().zip(sizes).all(|(c, size)| c.body == body(size) && c.event.id == c.delivery.id.event));
        world.reopen().await;
        if matches!(world.kind, Kind::Memory) {
            break;
        }
    }
    let unknown = EventId::first_at(at(1));
    assert_eq!(world.store.body(unknown).await, Ok(None));
    assert_eq!(world.store.event(unknown).await, Ok(None));
}

async fn a_repeat_is_known_until_its_time_is_over(mut world: World) {
    let first = stored(&*world.store, intake("s", &["d"]).at(10).dedupe("k", 100)).await;
    let again = world.store.append(intake("s", &["d"]).at(20).dedupe("k", 500).build()).await;
    assert_eq!(again, Ok(Appended::Duplicate(first)));
    let elsewhere = stored(&*world.store, intake("t", &["d"]).at(20).dedupe("k", 100)).await;
    let other = stored(&*world.store, intake("s", &["d"]).at(20).dedupe("l", 100)).await;
    world.reopen().await;
    let again = world.store.append(intake("s", &["d"]).at(99).dedupe("k", 500).build()).await;
    assert_eq!(again, Ok(Appended::Duplicate(first)));
    assert_eq!(world.store.event(first).await.unwrap().unwrap().duplicates, 2);
    let late = stored(&*world.store, intake("s", &["d"]).at(100).dedupe("k", 500)).await;
    assert_eq!(HashSet::from([first, elsewhere, other, late]).len(), 4);
    let again = world.store.append(intake("s", &["d"]).at(499).dedupe("k", 999).build()).await;
    assert_eq!(again, Ok(Appended::Duplicate(late)));
    assert_eq!(world.store.counts().events, 4);
}

async fn one_of_many_at_once_is_stored(world: World) {
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let store = world.store.clone();
            tokio::spawn(async move { store.append(intake("s", &["d"]).at(n).dedupe("k", 10_000).build()).await.unwrap() })
        })
        .collect();
    let (mut fresh, mut repeats) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            Appended::Stored(id) => fresh.push(id),
            Appended::Duplicate(id) => repeats.push(id),
        }
    }
    assert_eq!((fresh.len(), repeats.len()), (1, 49));
    assert!(repeats.iter().all(|id| *id == fresh[0]));
    assert_eq!(world.store.event(fresh[0]).await.unwrap().unwrap().duplicates, 49);
    assert_eq!(world.store.counts().pending, 1);
}

async fn a_repeat_makes_parked_deliveries_due(world: World) {
    let store = &*world.store;
    let event = stored(store, intake("s", &["d", "e"]).at(1).dedupe("k", 10_000)).await;
    let claimed = claim_one(store, "d", at(5)).await;
    settle(store, attempt(&claimed, 503, Verdict::Park(ParkReason::Expired), at(6))).await;
    let lane = store.handoff(&name("d"), 4);
    lane.take_behind();
    assert_eq!(store.append(intake("s", &["d"]).at(50).dedupe("k", 10_000).build()).await, Ok(Appended::Duplicate(event)));
    tokio::time::timeout(Duration::from_secs(5), lane.nudged()).await.unwrap();
    assert!(lane.take_behind());
    let again = claim_one(store, "d", at(50)).await;
    assert_eq!(again.delivery.budget, Budget { since: at(50), attempts: 0 });
    assert_eq!((again.delivery.attempts_made, again.event.duplicates), (1, 1));
    let untouched = store.deliveries_of(event).await.unwrap().remove(1).delivery;
    assert_eq!((untouched.state, untouched.budget.since), (State::Pending { due: at(1) }, at(1)));
}

async fn fresh_deliveries_are_handed_over_while_there_is_room(world: World) {
    let store = &*world.store;
    let mut lane = store.handoff(&name("d"), 2);
    assert!(lane.take_behind(), "a lane that starts does not know its index");
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(stored(store, intake("s", &["d"]).at(n).body(body(n as usize))).await);
    }
    assert!(lane.take_behind(), "the third found no room");
    let first = lane.next().await.unwrap();
    let second = lane.ready().unwrap();
    assert!(lane.ready().is_none());
    assert_eq!([first.delivery.id.event, second.delivery.id.event], ids[..2]);
    assert_eq!((&first.body, &second.body, second.event.id), (&body(0), &body(1), ids[1]));
    assert!(store.delivery(first.delivery.id).await.unwrap().unwrap().in_flight);
    assert_eq!(store.counts().in_flight, 2);
    let third = claim_one(store, "d", at(100)).await;
    assert_eq!(third.delivery.id.event, ids[2]);
    settle(store, attempt(&first, 200, Verdict::Delivered, at(101))).await;
    assert_eq!(store.delivery(first.delivery.id).await.unwrap().unwrap().delivery.state, State::Delivered { at: at(101) });
}

async fn what_no_lane_took_goes_back(world: World) {
    let store = &*world.store;
    let lane = store.handoff(&name("d"), 2);
    let id = stored(store, intake("s", &["d"]).at(1)).await;
    assert!(store.claim_due(&name("d"), at(9), 9).await.unwrap().claimed.is_empty());
    let successor = store.handoff(&name("d"), 2);
    successor.take_behind();
    drop(lane);
    assert!(successor.take_behind(), "the successor is told");
    assert_eq!(claim_one(store, "d", at(9)).await.delivery.id.event, id);
    drop(successor);
    let id = stored(store, intake("s", &["d"]).at(2)).await;
    assert_eq!(claim_one(store, "d", at(9)).await.delivery.id.event, id);
}

async fn the_longest_due_is_claimed_first(world: World) {
    let store = &*world.store;
    let mut ids = Vec::new();
    for n in [10, 20, 30, 40] {
        ids.push(stored(store, intake("s", &["d", "other"]).at(n)).await);
    }
    // The first is tried and due again behind the third.
    let first = claim_one(store, "d", at(10)).await;
    settle(store, attempt(&first, 503, Verdict::RetryAt(at(35)), at(11))).await;
    let events = |due: &hookhold::store::Due| due.claimed.iter().map(|c| c.delivery.id.event).collect::<Vec<_>>();
    let none = store.claim_due(&name("d"), at(19), 10).await.unwrap();
    assert_eq!((events(&none), none.next), (vec![], Some(at(20))));
    let two = store.claim_due(&name("d"), at(39), 2).await.unwrap();
    assert_eq!((events(&two), two.next), (vec![ids[1], ids[2]], Some(at(35))));
    let rest = store.claim_due(&name("d"), at(39), 10).await.unwrap();
    assert_eq!((events(&rest), rest.next), (vec![ids[0]], Some(at(40))));
    assert_eq!(rest.claimed[0].delivery.attempts_made, 1);
    let last = store.claim_due(&name("d"), at(40), 10).await.unwrap();
    assert_eq!((events(&last), last.next), (vec![ids[3]], None));
    let nothing = store.claim_due(&name("nobody"), at(40), 10).await.unwrap();
    assert_eq!((events(&nothing), nothing.next), (vec![], None));
}

async fn an_older_claim_counts_for_nothing(world: World) {
    let store = &*world.store;
    let lane = store.handoff(&name("d"), 1);
    drop(lane);
    stored(store, intake("s", &["d"]).at(1)).await;
    let old = claim_one(store, "d", at(5)).await;
    release(store, old.claim).await;
    let new = claim_one(store, "d", at(5)).await;
    assert!(new.claim.fence > old.claim.fence);
    settle(store, attempt(&old, 200, Verdict::Delivered, at(6))).await;
    release(store, old.claim).await;
    let tracked = store.delivery(new.delivery.id).await.unwrap().unwrap();
    assert_eq!((tracked.delivery.state, tracked.in_flight), (State::Pending { due: at(1) }, true));
    assert!(store.attempts(new.delivery.id).await.unwrap().is_empty());
    settle(store, attempt(&new, 200, Verdict::Delivered, at(7))).await;
    settle(store, attempt(&new, 500, Verdict::Park(ParkReason::Expired), at(8))).await;
    let tracked = store.delivery(new.delivery.id).await.unwrap().unwrap();
    assert_eq!((tracked.delivery.state, tracked.in_flight), (State::Delivered { at: at(7) }, false));
    assert_eq!(store.attempts(new.delivery.id).await.unwrap().len(), 1);
}

async fn settling_ends_in_each_state(mut world: World) {
    stored(&*world.store, intake("s", &["d"]).at(1)).await;
    let verdicts = [
        (503, Verdict::RetryAt(at(10)), State::Pending { due: at(10) }),
        (503, Verdict::RetryAt(at(20)), State::Pending { due: at(20) }),
        (410, Verdict::Park(ParkReason::Refused), State::Parked { at: at(23), reason: ParkReason::Refused }),
        (200, Verdict::Delivered, State::Delivered { at: at(24) }),
    ];
    for (n, (status, verdict, state)) in verdicts.into_iter().enumerate() {
        let now = at(21 + n as u64);
        let claimed = claim_one(&*world.store, "d", now).await;
        let id = claimed.delivery.id;
        settle(&*world.store, attempt(&claimed, status, verdict, now)).await;
        let tracked = world.store.delivery(id).await.unwrap().unwrap();
        assert_eq!((tracked.delivery.state, tracked.in_flight), (state, false));
        assert_eq!(tracked.delivery.attempts_made as usize, n + 1);
        if matches!(state, State::Parked { .. }) {
            world.store.retry(id, now).await.unwrap();
        }
        world.reopen().await;
        let attempts = world.store.attempts(id).await.unwrap();
        assert_eq!(attempts.iter().map(|a| a.number as usize).collect::<Vec<_>>(), (1..=n + 1).collect::<Vec<_>>());
        assert_eq!(attempts.last(), Some(&attempt(&claimed, status, verdict, now).attempt));
    }
    assert_eq!(world.store.claim_due(&name("d"), at(9999), 9).await.unwrap().next, None);
}

async fn a_person_changes_what_the_state_allows(world: World) {
    let store = &*world.store;
    let event = stored(store, intake("s", &["d"]).at(1)).await;
    let id = DeliveryId { event, ordinal: 1 };
    let conflict = |r: Result<_, Error>| matches!(r, Err(Error::Conflict(_)));
    let claimed = claim_one(store, "d", at(2)).await;
    assert!(conflict(store.cancel(id, at(2)).await) && conflict(store.retry(id, at(2)).await), "in flight");
    assert!(conflict(store.park(id, at(2)).await), "in flight");
    settle(store, attempt(&claimed, 500, Verdict::RetryAt(at(1000)), at(3))).await;
    let parked = store.park(id, at(4)).await.unwrap();
    assert_eq!(parked.state, State::Parked { at: at(4), reason: ParkReason::Person });
    assert_eq!(store.claim_due(&name("d"), at(2000), 1).await.unwrap().next, None, "it waits for a person");
    assert!(conflict(store.park(id, at(4)).await), "parked already");
    assert_eq!(store.cancel(id, at(4)).await.unwrap().state, State::Cancelled { at: at(4) });
    assert!(conflict(store.park(id, at(5)).await), "cancelled already");
    assert!(conflict(store.cancel(id, at(5)).await), "cancelled already");
    assert_eq!(store.claim_due(&name("d"), at(2000), 1).await.unwrap().next, None);
    let retried = store.retry(id, at(6)).await.unwrap();
    assert_eq!((retried.due(), retried.budget), (Some(at(6)), Budget { since: at(6), attempts: 0 }));
    let claimed = claim_one(store, "d", at(6)).await;
    assert_eq!(claimed.delivery, retried);
    settle(store, attempt(&claimed, 200, Verdict::Delivered, at(7))).await;
    assert!(conflict(store.retry(id, at(8)).await) && conflict(store.cancel(id, at(8)).await), "delivered");
    let unknown = DeliveryId { event, ordinal: 9 };
    assert!(matches!(store.retry(unknown, at(8)).await, Err(Error::NotFound(_))));
    assert!(matches!(store.cancel(unknown, at(8)).await, Err(Error::NotFound(_))));
    assert!(matches!(store.park(unknown, at(8)).await, Err(Error::NotFound(_))));
    assert_eq!(store.delivery(unknown).await, Ok(None));
}

async fn a_replay_makes_a_delivery_or_hurries_one(mut world: World) {
    let store = world.store.clone();
    let event = stored(&*store, intake("s", &["d", "e"]).at(1)).await;
    let id = |ordinal| DeliveryId { event, ordinal };
    let d = claim_one(&*store, "d", at(2)).await;
    assert_eq!(store.replay(event, &[name("d")], at(3)).await, Ok(vec![id(1)]), "in flight");
    let lane = store.handoff(&name("d"), 1);
    lane.take_behind();
    settle(&*store, attempt(&d, 503, Verdict::RetryAt(at(5000)), at(4))).await;
    assert!(lane.take_behind(), "whenever it comes again, its lane hears of it");
    assert_eq!(store.replay(event, &[name("d")], at(5)).await, Ok(vec![id(1)]), "pending");
    let d = claim_one(&*store, "d", at(5)).await;
    assert_eq!((d.delivery.id, d.delivery.budget.attempts), (id(1), 0));
    settle(&*store, attempt(&d, 200, Verdict::Delivered, at(6))).await;
    let lane = store.handoff(&name("f"), 1);
    lane.take_behind();
    assert_eq!(store.replay(event, &[name("d"), name("f"), name("e")], at(7)).await, Ok(vec![id(3), id(4), id(2)]));
    assert!(lane.take_behind());
    drop((store, lane));
    world.reopen().await;
    let made = world.store.deliveries_of(event).await.unwrap();
    assert_eq!(made.iter().map(|t| t.delivery.id).collect::<Vec<_>>(), [id(1), id(2), id(3), id(4)]);
    assert_eq!((&*made[3].delivery.destination, &*made[3].delivery.source), ("f", "s"));
    assert_eq!((made[3].delivery.created_at, made[3].delivery.due()), (at(7), Some(at(7))));
    let claimed = claim_one(&*world.store, "f", at(7)).await;
    assert_eq!(claimed.event.id, event);
    let unknown = world.store.replay(EventId::first_at(at(0)), &[name("d")], at(8)).await;
    assert!(matches!(unknown, Err(Error::NotFound(_))));
}

async fn lists_show_what_fits(world: World) {
    let store = &*world.store;
    let delivered = stored(store, intake("s", &["d"]).at(1000)).await;
    let d = claim_one(store, "d", at(1000)).await;
    settle(store, attempt(&d, 200, Verdict::Delivered, at(1001))).await;
    let parked = stored(store, intake("s", &["d", "e"]).at(2000)).await;
    let d = claim_one(store, "d", at(2000)).await;
    settle(store, attempt(&d, 410, Verdict::Park(ParkReason::Refused), at(2001))).await;
    store.cancel(DeliveryId { event: parked, ordinal: 2 }, at(2002)).await.unwrap();
    let pending = stored(store, intake("t", &["d", "e"]).at(3000)).await;
    let flying = claim_one(store, "d", at(3000)).await.delivery.id;
    let unrouted = stored(store, intake("t", &[]).at(4000)).await;

    let events = async |filter: EventFilter| {
        store.events(&filter, Page { after: None, limit: 50 }).await.unwrap().items.iter().map(|e| e.id).collect::<Vec<_>>()
    };
    let all = EventFilter::default;
    assert_eq!(events(all()).await, [unrouted, pending, parked, delivered]);
    assert_eq!(events(EventFilter { source: Some(name("s")), ..all() }).await, [parked, delivered]);
    assert_eq!(events(EventFilter { destination: Some(name("e")), ..all() }).await, [pending, parked]);
    assert_eq!(events(EventFilter { since: Some(at(2000)), until: Some(at(4000)), ..all() }).await, [pending, parked]);
    assert_eq!(events(EventFilter { kind: Some("none.such".to_owned()), ..all() }).await, []);
    assert_eq!(events(EventFilter { provider_event_id: Some("evt_0".to_owned()), ..all() }).await, []);
    for (state, id) in [
        (EventState::Delivered, delivered),
        (EventState::Parked, parked),
        (EventState::Pending, pending),
        (EventState::Unrouted, unrouted),
    ] {
        assert_eq!(events(EventFilter { state: Some(state), ..all() }).await, [id], "{state:?}");
    }
    assert_eq!(events(EventFilter { state: Some(EventState::Cancelled), ..all() }).await, []);

    let deliveries = async |filter: DeliveryFilter| {
        let listed = store.deliveries(&filter, Page { after: None, limit: 50 }).await.unwrap();
        listed.items.iter().map(|t| (t.delivery.id.event, t.delivery.id.ordinal)).collect::<Vec<_>>()
    };
    let all = DeliveryFilter::default;
    assert_eq!(deliveries(all()).await, [(pending, 2), (pending, 1), (parked, 2), (parked, 1), (delivered, 1)]);
    assert_eq!(deliveries(DeliveryFilter { state: Some(StateName::Pending), ..all() }).await, [(pending, 2)]);
    assert_eq!(deliveries(DeliveryFilter { state: Some(StateName::Parked), ..all() }).await, [(parked, 1)]);
    assert_eq!(deliveries(DeliveryFilter { state: Some(StateName::Cancelled), ..all() }).await, [(parked, 2)]);
    assert_eq!(deliveries(DeliveryFilter { state: Some(StateName::Delivered), ..all() }).await, [(delivered, 1)]);
    assert_eq!(deliveries(DeliveryFilter { in_flight: Some(true), ..all() }).await, [(flying.event, flying.ordinal)]);
    assert_eq!(deliveries(DeliveryFilter { in_flight: Some(false), ..all() }).await.len(), 4);
    assert_eq!(deliveries(DeliveryFilter { destination: Some(name("e")), ..all() }).await, [(pending, 2), (parked, 2)]);
    assert_eq!(deliveries(DeliveryFilter { source: Some(name("t")), ..all() }).await, [(pending, 2), (pending, 1)]);
    assert_eq!(deliveries(DeliveryFilter { event: Some(parked), ..all() }).await, [(parked, 2), (parked, 1)]);
    assert_eq!(deliveries(DeliveryFilter { until: Some(at(2000)), ..all() }).await, [(delivered, 1)]);
    assert_eq!(deliveries(DeliveryFilter { since: Some(at(2001)), ..all() }).await, [(pending, 2), (pending, 1)]);
}

async fn pages_join_without_gap_or_repeat(mut world: World) {
    let mut ids = Vec::new();
    for n in 0..57 {
        ids.push(stored(&*world.store, intake(if n % 3 == 0 { "s" } else { "t" }, &["d", "e"]).at(n / 5)).await);
    }
    world.reopen().await;
    let store = &*world.store;
    for limit in [1, 7, 57, 100] {
        let (mut seen, mut after) = (Vec::new(), None::<Cursor>);
        loop {
            let page = store.events(&EventFilter::default(), Page { after, limit }).await.unwrap();
            assert!(page.items.len() <= limit);
            seen.extend(page.items.iter().map(|e| e.id));
            // A cursor survives its text.
            after = page.next.map(|c| c.to_string().parse().unwrap());
            if after.is_none() {
                break;
            }
        }
        assert!(seen.iter().eq(ids.iter().rev()), "limit {limit}");
    }
    let (mut seen, mut after) = (Vec::new(), None);
    let filter = DeliveryFilter { source: Some(name("s")), destination: Some(name("e")), ..DeliveryFilter::default() };
    loop {
        let page = store.deliveries(&filter, Page { after, limit: 4 }).await.unwrap();
        seen.extend(page.items.iter().map(|t| t.delivery.id.event));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.iter().eq(ids.iter().step_by(3).rev()));
}

async fn counts_and_backlog_add_up(mut world: World) {
    let store = world.store.clone();
    for n in 1..=6 {
        stored(&*store, intake("s", &["d", "e"]).at(n)).await;
    }
    let d = store.claim_due(&name("d"), at(10), 4).await.unwrap().claimed;
    settle(&*store, attempt(&d[0], 200, Verdict::Delivered, at(11))).await;
    settle(&*store, attempt(&d[1], 410, Verdict::Park(ParkReason::Refused), at(11))).await;
    settle(&*store, attempt(&d[2], 500, Verdict::RetryAt(at(90)), at(11))).await;
    let e = store.claim_due(&name("e"), at(10), 1).await.unwrap().claimed.remove(0);
    release(&*store, e.claim).await;
    store.cancel(e.delivery.id, at(12)).await.unwrap();
    let counts = store.counts();
    let expected = Counts { events: 6, pending: 9, in_flight: 1, parked: 1, delivered: 1, cancelled: 1, ..counts };
    assert_eq!((counts, counts.damaged), (expected, 0));
    assert!(counts.done_bytes > 0 && counts.bytes == 6 * counts.done_bytes, "the first is settled everywhere: {counts:?}");
    let backlog = store.backlog(&name("d")).await.unwrap();
    assert_eq!((backlog.pending, backlog.in_flight, backlog.parked, backlog.oldest_due_at), (4, 1, 1, Some(at(4))));
    drop(store);
    world.reopen().await;
    let in_flight = u64::from(matches!(world.kind, Kind::Memory));
    assert_eq!(world.store.counts(), Counts { in_flight, ..expected });
    let backlog = world.store.backlog(&name("e")).await.unwrap();
    assert_eq!((backlog.pending, backlog.in_flight, backlog.parked, backlog.oldest_due_at), (5, 0, 0, Some(at(2))));
    let nobody = world.store.backlog(&name("nobody")).await.unwrap();
    assert_eq!((nobody.pending, nobody.oldest_due_at), (0, None));
}

async fn a_restart_keeps_everything(mut world: World) {
    let event = stored(&*world.store, intake("s", &["d", "e"]).at(50).body(body(100_000)).dedupe("k", 10_000)).await;
    let claimed = claim_one(&*world.store, "d", at(60)).await;
    let before = world.store.event(event).await.unwrap();
    world.reopen().await;
    assert_eq!(world.store.event(event).await.unwrap(), before);
    if matches!(world.kind, Kind::Memory) {
        return;
    }
    // Claims die with the process: what was claimed and not settled is due.
    let again = claim_one(&*world.store, "d", at(60)).await;
    assert_eq!(again.delivery, claimed.delivery);
    let repeat = world.store.append(intake("s", &["d", "e"]).at(70).dedupe("k", 10_000).build()).await;
    assert_eq!(repeat, Ok(Appended::Duplicate(event)));
    // The clock was set back: ids rise all the same.
    let late = stored(&*world.store, intake("s", &["d"]).at(1)).await;
    assert!(late > event);
    assert_eq!(world.store.health(), Ok(()));
}

async fn a_change_that_comes_late_is_kept(mut world: World) {
    let event = stored(&*world.store, intake("s", &["d"]).at(1)).await;
    // So long that what was stored is due to be moved to where older things are, when the change comes.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let cancelled = world.store.cancel(key(event), at(2)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.store.delivery(key(event)).await.unwrap().unwrap().delivery, cancelled);
        world.reopen().await;
    }
}

/// All kinds of store are asked the same and must answer the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stores_agree_on_random_operations() {
    for seed in 0..12 {
        let stores = [World::new(Kind::Memory), World::new(Kind::Sled)];
        model::agree(seed, stores).await;
    }
}

#[test]
fn a_store_is_shared_as_a_trait_object() {
    fn shareable<T: Send + Sync + ?Sized>() {}
    shareable::<Arc<dyn Store>>();
}
