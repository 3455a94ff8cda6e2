//! The gate: what the configuration says of requests. It can be replaced at any time; a request is judged by one gate to its end.

use std::sync::Arc;

use tokio::sync::watch;

use super::arming::Arming;
use super::body::{Bounds, Memory};
use crate::config::settings::{Settings, Source, SourcePath};
use crate::metrics::{Metrics, SourceMetrics};
use crate::net::confirm::Confirmer;
use crate::net::fetch::Fetcher;
use crate::net::published::Published;
use crate::record::Name;
use crate::route;
use crate::signature::Selector;
use crate::store::{Pausable, Pauses, Valve};
use crate::telemetry::Spans;

/// The sources and their bounds.
pub struct Gate {
    pub(super) sources: route::Table<Entry>,
    pub(super) pending_max: Option<u64>,
    pub(super) outside: Outside,
    pub(super) arming: Arc<Arming>,
    pub(super) spans: Spans,
    memory: Memory,
}

/// What is asked outside for a judgement or an answer.
pub struct Outside {
    /// The keys that providers publish.
    pub published: Published,
    /// What visits the addresses that confirm a subscription.
    pub confirmer: Confirmer,
}

impl Outside {
    /// The same under other settings; what was fetched stays.
    pub fn renewed(&self, fetcher: Fetcher, known: Vec<String>) -> Self {
        let published = self.published.renewed(fetcher.clone(), known);
        Self { published, confirmer: self.confirmer.renewed(fetcher) }
    }
}

/// A source and what belongs to it here.
pub(super) struct Entry {
    pub(super) source: Arc<Source>,
    pub(super) bounds: Bounds,
    pub(super) metrics: Arc<SourceMetrics>,
    pub(super) valve: watch::Receiver<Valve>,
    /// By what each of its destinations wants events in order; empty where none does.
    pub(super) order_by: Vec<Option<Selector>>,
}

impl Gate {
    /// The gate of all sources in `settings`. `before`: the one that it replaces; both share one memory for bodies.
    pub fn new(
        settings: &Settings,
        metrics: &Metrics,
        outside: Outside,
        (arming, pauses): (Arc<Arming>, &Pauses),
        before: Option<&Self>,
    ) -> Self {
        let bytes = settings.limits.body_bytes_in_flight;
        let memory = before.map_or_else(|| Memory::new(bytes), |before| before.memory.resized(bytes));
        let mut sources = route::Table::default();
        for source in &settings.sources {
            let bounds = Bounds {
                bytes_max: source.body_bytes,
                bytes_per_second_min: settings.limits.body_bytes_per_second,
                memory: memory.clone(),
            };
            let entry = Entry {
                source: source.clone(),
                bounds,
                metrics: metrics.source(&source.name),
                valve: pauses.valve(Pausable::Source, &source.name),
                order_by: order_by(settings, source),
            };
            match &source.path {
                SourcePath::Exact(path) => sources.add_exact(source.host.clone(), path, entry),
                SourcePath::Below(path) => sources.add_below(source.host.clone(), path, entry),
            }
        }
        Self { sources, pending_max: settings.limits.pending, outside, arming, spans: Spans::default(), memory }
    }

    /// The same, and the spans of requests go there.
    pub fn traced(self, spans: Spans) -> Self {
        Self { spans, ..self }
    }

    /// What is asked outside.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }
}

fn order_by(settings: &Settings, source: &Source) -> Vec<Option<Selector>> {
    let of = |name: &Name| settings.destinations.iter().find(|d| d.name == *name).and_then(|d| d.order_by.clone());
    let order_by: Vec<_> = source.destinations.iter().map(of).collect();
    if order_by.iter().any(Option::is_some) { order_by } else { Vec::new() }
}
