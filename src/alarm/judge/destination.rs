//! Whether a destination fails, is behind, or has deliveries parked.

use std::time::Duration;

use super::Bad;
use crate::alarm::window::Window;
use crate::alarm::words::{in_words, short};
use crate::alarm::{Backlog, DestinationFacts, Facts, Growth, Kind, Rules, Subject};
use crate::time::Timestamp;

/// What is remembered of a destination.
#[derive(Debug)]
pub(super) struct DestinationMemory {
    /// What is due counts from here on.
    counts_from: Timestamp,
    failing_since: Option<Timestamp>,
    cut_off_since: Option<Timestamp>,
    parked: Window<u64>,
    backlog: Backlog,
}

impl DestinationMemory {
    pub(super) fn new(destination: &DestinationFacts, facts: &Facts, is_first: bool) -> Self {
        let counts_from = if is_first { facts.started_at } else { facts.now };
        let backlog = destination.backlog.unwrap_or_default();
        let parked = Window::new(facts.now, backlog.parked);
        Self { counts_from, failing_since: None, cut_off_since: None, parked, backlog }
    }

    pub(super) fn see(&mut self, destination: &DestinationFacts, now: Timestamp) {
        self.backlog = destination.backlog.unwrap_or(self.backlog);
        if destination.is_paused {
            (self.counts_from, self.failing_since, self.cut_off_since) = (now, None, None);
            return;
        }
        let success = destination.last_success_at.max(Some(self.counts_from));
        let failure = destination.last_failure_at.filter(|at| Some(*at) > success);
        self.failing_since = match (failure, self.failing_since) {
            // It goes on from the first failure after the last success.
            (Some(_), Some(since)) if Some(since) > success => Some(since),
            (failure, _) => failure,
        };
        self.cut_off_since = destination.is_cut_off.then(|| self.cut_off_since.unwrap_or(now));
    }

    pub(super) fn failing(&self, destination: &DestinationFacts, now: Timestamp, rules: &Rules) -> Option<Bad> {
        // What fails once and is parked at once is over, as far as the destination goes.
        let is_tried =
            |after: Duration| self.backlog.pending > 0 || destination.last_failure_at.is_some_and(|at| now.since(at) < after);
        let failing = self.failing_since.zip(rules.destination_failing).filter(|(_, after)| is_tried(*after));
        let cut_off = self.cut_off_since.zip(rules.breaker_open);
        let begins = |(since, after): (Timestamp, Duration)| since.after(after);
        let begins_at = failing.map(begins).into_iter().chain(cut_off.map(begins)).min()?;
        let since = failing.into_iter().chain(cut_off).map(|(since, _)| since).min();
        let error = destination.last_error.as_deref().map(|error| format!("; last error: {}", short(error))).unwrap_or_default();
        let lasts = in_words(now.since(since?));
        let how = if cut_off.is_some() { ", its breaker is open" } else { "" };
        Some(Bad {
            kind: Kind::DestinationFailing,
            subject: Subject::Destination(destination.name.clone()),
            since,
            begins_at: Some(begins_at),
            hold: Duration::ZERO,
            detail: format!("no success for {lasts}{how}, {} pending{error}", self.backlog.pending),
        })
    }

    pub(super) fn overdue(&self, destination: &DestinationFacts, now: Timestamp, rules: &Rules) -> Option<Bad> {
        let (longest, due) = (rules.deliveries_overdue?, self.backlog.oldest_due_at?);
        let late = now.since(due.max(self.counts_from));
        (!destination.is_paused && late > longest).then(|| Bad {
            kind: Kind::DeliveriesOverdue,
            subject: Subject::Destination(destination.name.clone()),
            since: Some(due),
            begins_at: None,
            hold: rules.damping.begin_after,
            detail: format!("the oldest has been due for {}, {} pending", in_words(now.since(due)), self.backlog.pending),
        })
    }

    pub(super) fn parked(&mut self, destination: &DestinationFacts, now: Timestamp, rule: Option<Growth>) -> Option<Bad> {
        let Growth { count, within } = rule?;
        self.parked.see(now, self.backlog.parked, within);
        let least = self.parked.values().min().unwrap_or_default();
        let more = self.backlog.parked.saturating_sub(least);
        (more >= count).then(|| Bad {
            kind: Kind::DeliveriesParked,
            subject: Subject::Destination(destination.name.clone()),
            since: None,
            begins_at: None,
            hold: Duration::ZERO,
            detail: format!("{more} more within {}, {} in all", in_words(within), self.backlog.parked),
        })
    }
}
