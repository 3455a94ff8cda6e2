//! What was counted of all sources and destinations together, since the start.

use super::{Metrics, lock};
use crate::record::StateName;

/// Counts of the whole relay. They only rise: a source that a new configuration took away keeps its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that became events.
    pub accepted: u64,
    /// Requests that the provider had sent before.
    pub duplicates: u64,
    /// Requests of known sources that were not taken, for whatever reason.
    pub refused: u64,
    /// Deliveries that an application took.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Deliveries that gave up, or were put aside.
    pub parked: u64,
}

impl Metrics {
    /// The counts so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for source in lock(&self.sources).values() {
            totals.accepted += source.accepted();
            totals.duplicates += source.duplicates();
            totals.refused += source.rejected();
        }
        for destination in lock(&self.destinations).values() {
            totals.delivered += destination.settled_so_far(StateName::Delivered);
            totals.failed_attempts += destination.failed_attempts();
            totals.parked += destination.settled_so_far(StateName::Parked);
        }
        totals
    }
}
