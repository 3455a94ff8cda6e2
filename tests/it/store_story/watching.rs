//! A chapter on those who watch, and those who follow: what is told is so, nobody is held up, and lists go onward from anywhere.

use std::time::Duration;

use hookhold::record::{EventId, ParkReason, StateName, Verdict};
use hookhold::store::{EventFilter, EventState, FACT_BYTES_MAX, Fact, Missed, Page, Reader, Store};

use super::world::{World, at, attempt, claim_one, intake, key, name, settle, stored};

/// The next facts, so many of them.
async fn told(reader: &mut Reader, count: usize) -> Vec<Fact> {
    let mut facts = Vec::new();
    while facts.len() < count {
        let news = tokio::time::timeout(Duration::from_secs(10), reader.news()).await.unwrap().unwrap();
        assert_eq!(news.missed, None);
        facts.extend(news.facts.into_iter().map(|(_, fact)| (*fact).clone()));
    }
    assert_eq!(facts.len(), count, "{facts:?}");
    facts
}

/// A fact in short: of which event, what, and how its delivery is with it.
fn short(fact: &Fact) -> (EventId, &'static str, Option<StateName>) {
    match fact {
        Fact::Event(event, _) => (event.id, "event", None),
        Fact::Attempt(delivery, _) => (delivery.delivery.id.event, "attempt", Some(delivery.delivery.state.name())),
        Fact::State(delivery) => (delivery.delivery.id.event, "state", Some(delivery.delivery.state.name())),
    }
}

pub(super) async fn what_happens_is_told(world: World) {
    let store = &*world.store;
    stored(store, intake("s", &["d"]).at(0)).await;
    assert_eq!(store.feed().held(), (0, 0), "nobody watches");
    let mut reader = store.feed().open(None).unwrap();
    let id = stored(store, intake("s", &["d", "e"]).at(1).kind("push").dedupe("k", 10_000)).await;
    let [Fact::Event(event, deliveries)] = &told(&mut reader, 1).await[..] else { panic!("no event") };
    let seen = store.event(id).await.unwrap().unwrap();
    assert_eq!((&event.target, &event.kind, event.body_bytes), (&seen.target, &seen.kind, 2));
    assert_eq!(event.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["content-type"]);
    assert_eq!(*deliveries, store.deliveries_of(id).await.unwrap());

    // The one before is due first.
    settle(store, attempt(&claim_one(store, "d", at(5)).await, 200, Verdict::Delivered, at(6))).await;
    settle(store, attempt(&claim_one(store, "d", at(5)).await, 503, Verdict::RetryAt(at(9)), at(6))).await;
    let facts = told(&mut reader, 3).await;
    let delivered = Some(StateName::Delivered);
    assert_eq!(
        facts[..2].iter().map(|fact| (short(fact).1, short(fact).2)).collect::<Vec<_>>(),
        [("attempt", delivered), ("state", delivered)]
    );
    let Fact::Attempt(delivery, made) = &facts[2] else { panic!("no attempt") };
    assert_eq!(Some(delivery), store.delivery(key(id)).await.unwrap().as_ref());
    assert_eq!(made, &store.attempts(key(id)).await.unwrap()[0]);

    settle(store, attempt(&claim_one(store, "d", at(9)).await, 400, Verdict::Park(ParkReason::Refused), at(10))).await;
    store.append(intake("s", &["d"]).at(20).dedupe("k", 10_000).build()).await.unwrap();
    store.park(key(id), at(21)).await.unwrap();
    store.retry(key(id), at(22)).await.unwrap();
    store.cancel(key(id), at(23)).await.unwrap();
    assert!(store.cancel(key(id), at(24)).await.is_err());
    store.replay(id, &[name("d"), name("e")], at(25)).await.unwrap();
    let facts = told(&mut reader, 8).await;
    let all: Vec<_> = facts.iter().map(short).map(|(of, what, state)| (of == id, what, state.unwrap())).collect();
    let state = |state| (true, "state", state);
    let (pending, parked) = (StateName::Pending, StateName::Parked);
    let expected = [
        (true, "attempt", parked),
        state(parked),
        state(pending),
        state(parked),
        state(pending),
        state(StateName::Cancelled),
        state(pending),
        state(pending),
    ];
    assert_eq!(all, expected);
}

pub(super) async fn who_does_not_read_holds_nothing_up(world: World) {
    let store = &*world.store;
    let mut stopped = store.feed().open(None).unwrap();
    let long = "x".repeat(16 * 1024);
    // Together these are twice as much as is kept.
    let count = 2 * FACT_BYTES_MAX / long.len();
    for n in 0..count {
        stored(store, intake("s", &["d"]).at(n as u64).key(&format!("{n}{long}"))).await;
        assert!(store.feed().held().1 <= FACT_BYTES_MAX);
    }
    assert_eq!(store.counts().events, count as u64);
    let news = stopped.news().await.unwrap();
    let Some(Missed::Count(missed)) = news.missed else { panic!("nothing was missed") };
    assert_eq!(missed as usize + store.feed().held().0, count);
    drop((news, stopped));
}

async fn onward(store: &dyn Store, filter: &EventFilter, mut page: Page) -> Vec<EventId> {
    let mut seen = Vec::new();
    loop {
        let listed = store.events_oldest_first(filter, page).await.unwrap();
        assert!(listed.items.len() <= page.limit);
        seen.extend(listed.items.iter().map(|event| event.id));
        let Some(next) = listed.next else { return seen };
        assert!(page.after.is_none_or(|after| after.0 < next.0), "it goes on");
        page.after = Some(next);
    }
}

pub(super) async fn lists_go_onward_from_anywhere(mut world: World) {
    let mut ids = Vec::new();
    for n in 0..157u64 {
        let source = if n % 3 == 0 { "s" } else { "t" };
        ids.push(stored(&*world.store, intake(source, &["d"]).at(n * 10).kind(&format!("k{}", n % 2))).await);
    }
    for reopened in [false, true] {
        let store = &*world.store;
        let all = EventFilter::default();
        for limit in [1, 7, 157, 200] {
            assert_eq!(onward(store, &all, Page { after: None, limit }).await, ids, "limit {limit}, reopened: {reopened}");
        }
        let second = store.events_oldest_first(&all, Page { after: None, limit: 100 }).await.unwrap().next;
        assert_eq!(onward(store, &all, Page { after: second, limit: 9 }).await, ids[100..]);
        let page = Page { after: None, limit: 10 };
        let between = EventFilter { since: Some(at(555)), until: Some(at(1000)), ..all.clone() };
        assert_eq!(onward(store, &between, page).await, ids[56..100]);
        let of = |fits: &dyn Fn(usize) -> bool| (0..157).filter(|n| fits(*n)).map(|n| ids[n]).collect::<Vec<_>>();
        let of_source = EventFilter { source: Some(name("s")), since: Some(at(300)), ..all.clone() };
        assert_eq!(onward(store, &of_source, page).await, of(&|n| n % 3 == 0 && n >= 30));
        let of_type = EventFilter { kind: Some("k1".to_owned()), ..all.clone() };
        assert_eq!(onward(store, &of_type, page).await, of(&|n| n % 2 == 1));
        let waiting = EventFilter { state: Some(EventState::Pending), destination: Some(name("d")), ..all.clone() };
        assert_eq!(onward(store, &waiting, page).await, ids);
        assert_eq!(onward(store, &EventFilter { since: Some(at(1571)), ..all }, page).await, []);
        world.reopen().await;
    }
}
