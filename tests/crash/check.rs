//! Opens a store after a loss of power and compares it with what its script was told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hookhold::record::{Answer, Attempt, DeliveryId, EventId, Outcome, Verdict};
use hookhold::store::{Appended, Claimed, Error, Settlement, Sled, Store};
use hookhold::time::Timestamp;

use crate::expected::Expected;
use crate::script;

/// Problems that are printed of one image.
const SHOWN: usize = 12;

/// Opens the store twice and compares each time; says what is not as it must be, and then ends badly.
pub(crate) fn run(store: &Path, expected: &Path) {
    script::log();
    let expected: Expected = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut problems = Vec::new();
    runtime.block_on(async {
        let mut added = None;
        for opening in 1..=2 {
            match open(store, &expected, &mut added, &mut problems).await {
                Ok(()) => {}
                Err(error) => problems.push(format!("opening {opening}: {error}")),
            }
        }
    });
    for problem in problems.iter().take(SHOWN) {
        println!("PROBLEM {problem}");
    }
    assert!(problems.is_empty(), "{} problems", problems.len());
}

async fn open(path: &Path, expected: &Expected, added: &mut Option<EventId>, problems: &mut Vec<String>) -> Result<(), String> {
    let store = Sled::open(path, Arc::new(|_| {})).map_err(|error| error.to_string())?;
    let result = compare(&store, expected, *added, problems).await;
    result.map_err(|error| error.to_string())?;
    if added.is_none() {
        due_is_due(&store, problems).await.map_err(|error| error.to_string())?;
        repeats_are_known(&store, expected, problems).await.map_err(|error| error.to_string())?;
        let new = script::intake("later", None, Bytes::from_static(b"later"), Arc::default(), Timestamp::from_ms(1));
        match store.append(new).await.map_err(|error| error.to_string())? {
            Appended::Stored(id) => *added = Some(id),
            Appended::Duplicate(id) => problems.push(format!("what is new is taken for {id}")),
        }
    }
    if store.counts().damaged > 0 {
        problems.push(format!("a loss of power is taken for damage: {} records", store.counts().damaged));
    }
    store.close().await.map_err(|error| error.to_string())
}

async fn compare(store: &Sled, expected: &Expected, added: Option<EventId>, problems: &mut Vec<String>) -> Result<(), Error> {
    let all = script::all_events(store).await?;
    let ids: BTreeSet<_> = all.iter().map(|event| event.id).collect();
    for id in
        expected.events.keys().filter(|id| !expected.gone.contains(*id)).map(|id| id.parse::<EventId>().unwrap()).chain(added)
    {
        if !ids.contains(&id) {
            problems.push(format!("event {id} was acknowledged and is not there"));
        }
    }
    if store.counts().events != all.len() as u64 {
        problems.push(format!("{} events are counted and {} there", store.counts().events, all.len()));
    }
    for event in all.iter().filter(|event| Some(event.id) != added) {
        let id = event.id.to_string();
        let hash = match store.body(event.id).await {
            Ok(Some(body)) => script::hash(&body),
            other => {
                problems.push(format!("event {id} has no body: {other:?}"));
                continue;
            }
        };
        if !expected.sent.contains(&hash) || event.headers.text("x-hash") != Some(&hash) {
            problems.push(format!("event {id} has a body that was never sent"));
        }
        if let Some(known) = expected.events.get(&id) {
            let is_same = known.hash == hash && *known.source == *event.source && known.key == event.provider_event_id;
            if !is_same {
                problems.push(format!("event {id} is not what was acknowledged"));
            }
            // Between the openings repeats make parked deliveries due, so only the first tells of states.
            if added.is_none() {
                deliveries_are_right(store, expected, event.id, problems).await?;
            }
        }
    }
    Ok(())
}

async fn deliveries_are_right(
    store: &Sled,
    expected: &Expected,
    event: EventId,
    problems: &mut Vec<String>,
) -> Result<(), Error> {
    let there = store.deliveries_of(event).await?;
    let there: BTreeMap<_, _> = there.into_iter().map(|tracked| (tracked.delivery.id, tracked.delivery)).collect();
    let of_event = expected.deliveries.range(format!("{event}.")..format!("{event}/"));
    for (id, known) in of_event.clone() {
        let id: DeliveryId = id.parse().unwrap();
        match there.get(&id).map(script::state_of) {
            Some(state) if known.states.contains(&state) => {}
            None if !known.is_acknowledged => {}
            state => problems.push(format!("delivery {id} is {state:?}, not of {:?}", known.states)),
        }
    }
    for delivery in there.values() {
        let is_known = of_event.clone().any(|(id, _)| *id == delivery.id.to_string());
        if !is_known && !expected.replayed.contains(&event.to_string()) {
            problems.push(format!("nobody asked for delivery {}", delivery.id));
        }
        let attempts: Vec<_> = store.attempts(delivery.id).await?.iter().map(|attempt| attempt.number).collect();
        if !attempts.iter().copied().eq(1..=delivery.attempts_made) {
            problems.push(format!("delivery {} has attempts {attempts:?} of {}", delivery.id, delivery.attempts_made));
        }
    }
    Ok(())
}

/// Lanes find each pending delivery, and nothing else.
async fn due_is_due(store: &Sled, problems: &mut Vec<String>) -> Result<(), Error> {
    let mut pending = BTreeSet::new();
    for event in script::all_events(store).await? {
        let deliveries = store.deliveries_of(event.id).await?;
        pending.extend(deliveries.into_iter().filter(|t| t.delivery.due().is_some()).map(|tracked| tracked.delivery.id));
    }
    if store.counts().pending != pending.len() as u64 {
        problems.push(format!("{} deliveries are counted as pending and {} are", store.counts().pending, pending.len()));
    }
    let mut found = BTreeSet::new();
    for destination in script::all_destinations() {
        let mut lines = BTreeMap::new();
        loop {
            // Whatever was changed before is seen after an answer; this one finds nothing to change.
            let nowhere = DeliveryId { event: EventId::first_at(Timestamp::from_ms(1)), ordinal: u16::MAX };
            let _ = store.cancel(nowhere, Timestamp::from_ms(1)).await;
            let due = store.claim_due(&destination, Timestamp::MAX, 100).await?;
            if due.claimed.is_empty() {
                break;
            }
            for claimed in due.claimed {
                let id = claimed.delivery.id;
                if claimed.event.headers.text("x-hash") != Some(&script::hash(&claimed.body)) {
                    problems.push(format!("delivery {id} has a wrong body"));
                }
                found.insert(id);
                if let Some(key) = claimed.delivery.order_key.clone() {
                    let before = lines.insert(key, id);
                    if before.is_some_and(|before| before > id) {
                        problems.push(format!("delivery {id} comes behind {before:?} of its key"));
                    }
                    // The next one of its key has its turn then.
                    store.settle(delivered(claimed)).await?;
                }
            }
        }
    }
    let lost = pending.difference(&found).take(3).map(|id| format!("delivery {id} is pending and no lane finds it"));
    let made_up = found.difference(&pending).take(3).map(|id| format!("delivery {id} is claimed and not pending"));
    problems.extend(lost.chain(made_up));
    Ok(())
}

fn delivered(claimed: Claimed) -> Settlement {
    let answer = Answer { status: 200, headers: Vec::new(), body: Bytes::new(), truncated: false };
    let number = claimed.delivery.attempts_made + 1;
    let attempt = Attempt { number, started_at: Timestamp::from_ms(1), duration_ms: 1, outcome: Outcome::Answered(answer) };
    Settlement { claim: claimed.claim, attempt, verdict: Verdict::Delivered, now: Timestamp::from_ms(1), word: None }
}

async fn repeats_are_known(store: &Sled, expected: &Expected, problems: &mut Vec<String>) -> Result<(), Error> {
    for (id, event) in &expected.events {
        let Some(key) = &event.key else { continue };
        let now = Timestamp::from_ms(1_890_000_000_000);
        let repeat = script::intake(&event.source, Some(key), Bytes::from_static(b"repeat"), Arc::default(), now);
        match store.append(repeat).await? {
            Appended::Duplicate(first) if first.to_string() == *id => {}
            other => problems.push(format!("a repeat of event {id} is {other:?}")),
        }
    }
    Ok(())
}
