//! What is in the quarantine, in memory: for lists, and to know what has to go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Bounds, Group, Quarantined};
use crate::record::{EventId, Name};
use crate::time::Timestamp;

/// Requests without any signature are what scanners send. They go first, so that they cannot push out what a provider signed.
const UNSIGNED: &str = "missing_header";

/// All requests by id, and what each source has.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) bounds: Bounds,
    requests: BTreeMap<EventId, Quarantined>,
    sources: HashMap<Name, Usage>,
}

/// What a source has.
#[derive(Debug, Default)]
struct Usage {
    bytes: u64,
    /// What is there for each reason, none of them empty.
    reasons: BTreeMap<Arc<str>, BTreeSet<EventId>>,
}

impl Usage {
    fn requests(&self) -> usize {
        self.reasons.values().map(BTreeSet::len).sum()
    }

    fn put(&mut self, found: &Quarantined) {
        self.bytes += found.file_bytes;
        self.reasons.entry(found.reason.clone()).or_default().insert(found.id);
    }

    fn remove(&mut self, found: &Quarantined) {
        self.bytes -= found.file_bytes;
        if let Some(ids) = self.reasons.get_mut(&found.reason) {
            ids.remove(&found.id);
            if ids.is_empty() {
                self.reasons.remove(&found.reason);
            }
        }
    }

    /// What goes next.
    fn first(&self) -> Option<EventId> {
        let unsigned = self.reasons.get(UNSIGNED).and_then(BTreeSet::first);
        unsigned.or_else(|| self.reasons.values().filter_map(BTreeSet::first).min()).copied()
    }
}

impl Shelf {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, requests: BTreeMap::new(), sources: HashMap::new() }
    }

    pub(super) fn put(&mut self, found: Quarantined) {
        self.sources.entry(found.source.clone()).or_default().put(&found);
        self.requests.insert(found.id, found);
    }

    pub(super) fn get(&self, id: EventId) -> Option<&Quarantined> {
        self.requests.get(&id)
    }

    pub(super) fn remove(&mut self, id: EventId) -> Option<Quarantined> {
        let found = self.requests.remove(&id)?;
        if let Some(usage) = self.sources.get_mut(&found.source) {
            usage.remove(&found);
        }
        Some(found)
    }

    pub(super) fn newest_first(&self, after: Option<EventId>) -> impl Iterator<Item = &Quarantined> {
        let behind = match after {
            Some(after) => self.requests.range(..after),
            None => self.requests.range(..),
        };
        behind.rev().map(|(_, found)| found)
    }

    /// What is there by source and reason, in no order.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group> {
        let groups = self.sources.iter().flat_map(|(source, usage)| usage.reasons.iter().map(move |found| (source, found)));
        groups.filter_map(|(source, (reason, ids))| {
            let (first_at, last_at) = (ids.first()?.made_at(), ids.last()?.made_at());
            Some(Group { source: source.clone(), reason: reason.clone(), requests: ids.len() as u64, first_at, last_at })
        })
    }

    pub(super) fn count(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn count_of(&self, source: &Name) -> usize {
        self.sources.get(source).map_or(0, Usage::requests)
    }

    /// Takes out what is too old, and what is more than a source may have.
    pub(super) fn too_much(&mut self, now: Timestamp) -> Vec<Quarantined> {
        let mut gone = Vec::new();
        while let Some((id, found)) = self.requests.first_key_value() {
            if now.since(found.at) < self.bounds.age {
                break;
            }
            let id = *id;
            gone.extend(self.remove(id));
        }
        let bounds = self.bounds;
        let over = |usage: &Usage| usage.requests() > bounds.requests || usage.bytes > bounds.bytes;
        let full: Vec<Name> = self.sources.iter().filter(|(_, usage)| over(usage)).map(|(name, _)| name.clone()).collect();
        for name in full {
            while let Some(id) = self.sources.get(&name).filter(|usage| over(usage)).and_then(Usage::first) {
                gone.extend(self.remove(id));
            }
        }
        gone
    }
}
