//! How long single events take through the relay, seen from outside: from the sender's time to the application's, on one clock.
//!
//! Only events of [`Requests::watched`](crate::wire::Requests::watched) are followed, so that a backlog of millions takes no memory here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::report::Latency;

/// The events that are followed, by the number in their delivery id.
#[derive(Debug, Default)]
pub(crate) struct Journeys(Mutex<HashMap<u64, Journey>>);

#[derive(Debug, Default)]
struct Journey {
    /// When the request should have left, and when its 2xx was read.
    sent: Option<(Instant, Instant)>,
    arrived: Option<Instant>,
}

/// How long events took.
#[derive(Debug, Serialize)]
pub(crate) struct Travelled {
    /// Those that were accepted and arrived.
    pub(crate) delivered: u64,
    /// Those that were accepted and did not arrive.
    pub(crate) not_delivered: u64,
    /// From the time at which the sender read the 2xx to the arrival at the application; 0 where the application was first.
    accept_to_delivered: Latency,
    /// From the time at which the request should have left to the arrival: all that the relay takes.
    sent_to_delivered: Latency,
}

impl Journeys {
    /// A request that should have left then was answered 2xx now.
    pub(crate) fn accepted(&self, number: u64, scheduled: Instant) {
        self.all().entry(number).or_default().sent = Some((scheduled, Instant::now()));
    }

    /// An event reached its application now. The first time counts.
    pub(crate) fn arrived(&self, number: u64) {
        self.all().entry(number).or_default().arrived.get_or_insert_with(Instant::now);
    }

    /// How many arrived that are followed.
    pub(crate) fn count_arrived(&self) -> u64 {
        self.all().values().filter(|journey| journey.arrived.is_some()).count() as u64
    }

    /// Whether all that was accepted has arrived.
    pub(crate) fn are_over(&self) -> bool {
        self.all().values().all(|journey| journey.sent.is_none() || journey.arrived.is_some())
    }

    /// What all of them took; forgets them.
    pub(crate) fn take(&self) -> Travelled {
        let all = std::mem::take(&mut *self.all());
        let accepted: Vec<_> = all.into_values().filter_map(|journey| Some((journey.sent?, journey.arrived))).collect();
        let done: Vec<_> = accepted.iter().filter_map(|(sent, arrived)| Some((*sent, (*arrived)?))).collect();
        Travelled {
            delivered: done.len() as u64,
            not_delivered: (accepted.len() - done.len()) as u64,
            accept_to_delivered: Latency::of(done.iter().map(|((_, at), end)| end.saturating_duration_since(*at)).collect()),
            sent_to_delivered: Latency::of(done.iter().map(|((at, _), end)| end.saturating_duration_since(*at)).collect()),
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u64, Journey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
