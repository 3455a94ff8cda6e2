//! Asks how everything stands: metrics for what happened since the start, the store for what waits and what was before.

use std::sync::Arc;

use super::{Watch, lock};
use crate::alarm::{Backlog, CertificateFacts, DestinationFacts, Facts, FailingOrders, HostFacts, SourceFacts, StoreFacts};
use crate::config::settings::{Destination, Settings, Source};
use crate::metrics::AcmeHost;
use crate::record::{BreakerState, Name};
use crate::store::{EventFilter, Page, Pausable};
use crate::time::Timestamp;

impl Watch {
    pub(super) async fn facts(&self, settings: &Settings) -> Facts {
        let mut facts = Facts { started_at: self.asked.started_at, ..Facts::default() };
        for source in &settings.sources {
            facts.sources.push(self.of_source(source).await);
        }
        if settings.sources.iter().any(|source| source.expect_every.is_some()) {
            facts.heard_before = self.heard_before().await;
        }
        for destination in &settings.destinations {
            facts.destinations.push(self.of_destination(destination).await);
        }
        let certificate = |(file, ends_at): (Arc<str>, Timestamp)| CertificateFacts { file, ends_at };
        facts.certificates = self.asked.certificates.ends().into_iter().map(certificate).collect();
        facts.hosts = self.asked.metrics.acme_hosts().iter().map(of_host).collect();
        facts.store = self.of_store();
        // What was asked before is not newer than this.
        facts.now = self.asked.clock.now();
        facts
    }

    async fn of_source(&self, source: &Source) -> SourceFacts {
        let metrics = self.asked.metrics.source(&source.name);
        let mut last_event_at = metrics.last_event_at();
        if last_event_at.is_none() && source.expect_every.is_some() {
            last_event_at = self.last_before(&source.name).await;
        }
        SourceFacts {
            name: source.name.clone(),
            is_paused: self.asked.pauses.is_paused(Pausable::Source, &source.name),
            expect_every: source.expect_every,
            last_event_at,
            requests: metrics.requests(),
            bad_signatures: metrics.bad_signatures(),
        }
    }

    async fn of_destination(&self, destination: &Destination) -> DestinationFacts {
        let name = &destination.name;
        let metrics = self.asked.metrics.destination(name);
        let backlog = self.asked.store.backlog(name).await.ok();
        DestinationFacts {
            name: name.clone(),
            is_paused: self.asked.pauses.is_paused(Pausable::Destination, name),
            last_success_at: metrics.last_success_at(),
            last_failure_at: metrics.last_failure_at(),
            last_error: metrics.last_error().map(|(_, how)| how),
            is_cut_off: metrics.breaker().0 != BreakerState::Closed,
            backlog: backlog.map(|backlog| Backlog {
                pending: backlog.pending,
                parked: backlog.parked,
                oldest_due_at: backlog.oldest_due_at,
            }),
        }
    }

    fn of_store(&self) -> StoreFacts {
        let (store, space) = (&self.asked.store, &self.asked.space);
        let counts = store.counts();
        StoreFacts {
            not_ready: store.health().err().or_else(|| space.full()),
            damaged: counts.damaged,
            kept_bytes: counts.bytes.saturating_sub(counts.done_bytes),
            bytes_max: space.events_bytes_max(),
            disk: space.disk(),
        }
    }

    /// When a source had its last event before the start.
    async fn last_before(&self, source: &Name) -> Option<Timestamp> {
        if let Some(known) = lock(&self.before).get(source) {
            return *known;
        }
        let found = self.newest(EventFilter { source: Some(source.clone()), ..EventFilter::default() }).await?;
        lock(&self.before).insert(source.clone(), found);
        found
    }

    /// When any source had one.
    async fn heard_before(&self) -> Option<Timestamp> {
        if let Some(known) = *lock(&self.heard_before) {
            return known;
        }
        let found = self.newest(EventFilter::default()).await?;
        *lock(&self.heard_before) = Some(found);
        found
    }

    /// When the newest event came that was there before the start; `None` where the store cannot tell.
    async fn newest(&self, filter: EventFilter) -> Option<Option<Timestamp>> {
        let filter = EventFilter { until: Some(self.asked.started_at), ..filter };
        let listed = self.asked.store.events(&filter, Page { after: None, limit: 1 }).await.ok()?;
        Some(listed.items.first().map(|event| event.received_at))
    }
}

fn of_host(AcmeHost { host, wanted_since, ends_at, failing }: &AcmeHost) -> HostFacts {
    let failing = failing.as_ref();
    let failing =
        failing.map(|failing| FailingOrders { since: failing.since, tries: failing.tries, error: failing.error.clone() });
    HostFacts { host: host.clone(), wanted_since: *wanted_since, ends_at: *ends_at, failing }
}
