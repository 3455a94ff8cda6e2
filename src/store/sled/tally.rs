//! Counts: how many events there are, and how many deliveries each destination has in each state.

use std::collections::{BTreeMap, BTreeSet};

use super::block::EventRecord;
use super::keys::{self, Key};
use crate::record::Name;
use crate::store::purge::Class;

/// How much there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) events: i64,
    /// What they take, by [`Class`].
    pub(super) bytes: [i64; 3],
    /// By destination and state.
    pub(super) deliveries: BTreeMap<Name, [i64; 4]>,
}

impl Tally {
    /// Adds an event `sign` times.
    pub(super) fn add(&mut self, record: &EventRecord, sign: i64) {
        self.events += sign;
        self.bytes[record.class() as usize] += sign * i64::try_from(record.bytes).unwrap_or(i64::MAX);
        for delivery in &record.deliveries {
            let delivery = &delivery.delivery;
            // Not `entry`: a name is cloned for a destination that was never seen, and for no other.
            match self.deliveries.get_mut(&delivery.destination) {
                Some(counts) => counts[delivery.state.name() as usize] += sign,
                None => {
                    let mut counts = [0; 4];
                    counts[delivery.state.name() as usize] = sign;
                    self.deliveries.insert(delivery.destination.clone(), counts);
                }
            }
        }
    }

    /// Takes `before` away and adds `after`; gives the destinations whose counts changed.
    pub(super) fn change(&mut self, before: &Self, after: &Self) -> BTreeSet<Name> {
        self.events += after.events - before.events;
        let bytes = before.bytes.iter().zip(after.bytes);
        self.bytes.iter_mut().zip(bytes).for_each(|(sum, (before, after))| *sum += after - before);
        let mut changed = BTreeSet::new();
        for (name, sign, counts) in
            before.deliveries.iter().map(|(n, c)| (n, -1, c)).chain(after.deliveries.iter().map(|(n, c)| (n, 1, c)))
        {
            let sums = self.deliveries.entry(name.clone()).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += sign * n);
            changed.insert(name.clone());
        }
        changed
    }

    /// The bytes of events of a class.
    pub(super) fn bytes_of(&self, class: Class) -> u64 {
        u64::try_from(self.bytes[class as usize]).unwrap_or(0)
    }

    /// The record of the number of events and their bytes.
    pub(super) fn record(&self) -> (Key, Vec<u8>) {
        let numbers = [self.events].into_iter().chain(self.bytes);
        (keys::key(keys::COUNT, &[]), numbers.flat_map(i64::to_be_bytes).collect())
    }

    /// The record of one destination's counts.
    pub(super) fn record_of(&self, destination: &Name) -> (Key, Vec<u8>) {
        let counts = self.deliveries.get(destination).copied().unwrap_or_default();
        (keys::key(keys::COUNT, &[destination.as_bytes()]), counts.iter().flat_map(|n| n.to_be_bytes()).collect())
    }

    /// Takes a record in.
    pub(super) fn read(&mut self, key: &[u8], value: &[u8]) {
        let numbers: Vec<i64> = value.chunks_exact(8).map(|n| i64::from_be_bytes(n.try_into().unwrap_or_default())).collect();
        match (std::str::from_utf8(&key[1..]).ok().map(Name::try_new), &numbers[..]) {
            (Some(Ok(name)), [a, b, c, d]) => drop(self.deliveries.insert(name, [*a, *b, *c, *d])),
            (_, [events, a, b, c]) => (self.events, self.bytes) = (*events, [*a, *b, *c]),
            _ => {}
        }
    }
}
