//! A chapter of the store's story that takes longer: changes while the store moves what it has to where older things are.

use std::collections::HashSet;
use std::time::Duration;

use hookhold::record::{EventId, StateName, Verdict};
use hookhold::store::{Appended, Error};

use super::world::{Kind, World, at, attempt, intake, key, name, stored};

/// Changes go on while a store moves what it has from one place to another, which takes it about a second each time.
pub(super) async fn nothing_is_forgotten_while_it_is_moved(mut world: World) {
    const TASKS: u64 = 16;
    // The store in memory has one place only.
    let time = Duration::from_millis(if matches!(world.kind, Kind::Memory) { 50 } else { 3500 });
    let began = std::time::Instant::now();
    let mut fresh = world.store.handoff(&name("d"), 64);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = world.store.clone();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let n = ids.len() as u64 * TASKS + task;
                ids.push(stored(&*store, intake("s", &["d"]).at(n).dedupe(&format!("k{n}"), 1 << 40)).await);
                if began.elapsed() >= time {
                    return ids;
                }
            }
        });
    }
    let mut taken = HashSet::new();
    let mut ids = Vec::new();
    loop {
        let claimed = tokio::select! {
            claimed = fresh.arrival(true) => claimed,
            Some(made) = tasks.join_next() => { ids.append(&mut made.unwrap()); None }
        };
        let behind = world.store.claim_due(&name("d"), at(1 << 30), 50).await.unwrap().claimed;
        for claimed in claimed.into_iter().chain(behind) {
            assert!(taken.insert(claimed.delivery.id), "{} was given out again", claimed.delivery.id);
            world.store.settle(attempt(&claimed, 200, Verdict::Delivered, at(1 << 30))).await.unwrap();
        }
        if ids.len() == taken.len() && tasks.is_empty() {
            break;
        }
    }
    // What comes after the last settlement is seen after it.
    assert!(world.store.retry(key(EventId::first_at(at(0))), at(0)).await.is_err());
    for reopened in [false, true] {
        for id in ids.iter().step_by(7) {
            let deliveries = world.store.deliveries_of(*id).await.unwrap();
            assert_eq!(deliveries[0].delivery.state.name(), StateName::Delivered, "{id}, reopened: {reopened}");
        }
        let counts = world.store.counts();
        assert_eq!((counts.events, counts.delivered, counts.pending), (ids.len() as u64, ids.len() as u64, 0));
        assert!(world.store.claim_due(&name("d"), at(1 << 31), 50).await.unwrap().claimed.is_empty());
        let again = world.store.append(intake("s", &["d"]).at(5).dedupe("k3", 1 << 40).build()).await;
        assert!(matches!(again, Ok(Appended::Duplicate(_))), "{again:?}");
        world.reopen().await;
        if matches!(world.kind, Kind::Memory) {
            break;
        }
    }
}

pub(super) async fn a_closed_store_says_so(world: World) {
    let event = stored(&*world.store, intake("s", &["d"]).at(1)).await;
    world.store.close().await.unwrap();
    assert_eq!(world.store.append(intake("s", &["d"]).build()).await, Err(Error::Closed));
    assert_eq!(world.store.event(event).await, Err(Error::Closed));
    assert_eq!(world.store.retry(key(event), at(3)).await, Err(Error::Closed));
    assert_eq!(world.store.claim_due(&name("d"), at(3), 1).await.map(|d| d.next), Err(Error::Closed));
    assert!(world.store.health().is_err());
}
