//! The gate: what the configuration says of requests. It can be replaced at any time; a request is judged by one gate to its end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::arming::Arming;
use super::body::{Bounds, Memory};
use crate::config::settings::{Settings, Source, SourcePath};
use crate::metrics::{Metrics, SourceMetrics};
use crate::net::confirm::Confirmer;
use crate::net::fetch::Fetcher;
use crate::net::forwarded::Proxies;
use crate::net::published::Published;
use crate::pace::meter::{Crowd, Meter, Metered};
use crate::pace::overload::Patience;
use crate::record::Name;
use crate::route;
use crate::signature::Selector;
use crate::store::{Pausable, Pauses, Valve};
use crate::telemetry::Spans;

/// Addresses that are known at once: some megabytes.
const ADDRESSES_MAX: usize = 65_536;

/// The sources and their bounds.
pub struct Gate {
    pub(super) sources: route::Table<Entry>,
    pub(super) proxies: Proxies,
    pub(super) header_fields_max: usize,
    pub(super) pending_max: Option<u64>,
    pub(super) patience: Patience,
    pub(super) outside: Outside,
    pub(super) arming: Arc<Arming>,
    pub(super) spans: Spans,
    memory: Memory,
    /// What came of each source that has a rate, and of each address where those have one.
    rates: HashMap<Name, Arc<Metered>>,
    crowd: Option<Arc<Mutex<Crowd>>>,
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
    /// How many events a second it takes, where that has a bound.
    pub(super) rate: Option<Arc<Metered>>,
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
        let rate = |source: &Source| {
            let known = before.and_then(|before| before.rates.get(&source.name));
            source.per_second.map(|meter| Arc::new(Metered::new(meter, known.map(|known| &**known))))
        };
        let mut rates = HashMap::new();
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
                rate: rate(source),
            };
            rates.extend(entry.rate.clone().map(|rate| (source.name.clone(), rate)));
            match &source.path {
                SourcePath::Exact(path) => sources.add_exact(source.host.clone(), path, entry),
                SourcePath::Below(path) => sources.add_below(source.host.clone(), path, entry),
            }
        }
        let proxies = Proxies::new(settings.listen.trusted_proxies.clone());
        let crowd = settings.limits.edge.per_second_per_address.map(|meter| crowd(meter, before));
        let (header_fields_max, pending_max) = (settings.limits.edge.header_fields, settings.limits.pending);
        let (patience, spans) = (Patience::new(settings.limits.accept_within), Spans::default());
        Self { sources, proxies, header_fields_max, pending_max, patience, outside, arming, spans, memory, rates, crowd }
    }

    /// The same, and the spans of requests go there.
    pub fn traced(self, spans: Spans) -> Self {
        Self { spans, ..self }
    }

    /// Whether one more request of this address may come now; how long it should wait where not.
    pub(super) fn admits(&self, client: IpAddr, now: impl FnOnce() -> u64) -> Result<(), Duration> {
        let Some(crowd) = &self.crowd else { return Ok(()) };
        crowd.lock().unwrap_or_else(PoisonError::into_inner).take(client, now())
    }

    /// What is asked outside.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }
}

/// The addresses that are known, under this rate from now on.
fn crowd(meter: Meter, before: Option<&Gate>) -> Arc<Mutex<Crowd>> {
    let Some(known) = before.and_then(|before| before.crowd.clone()) else {
        return Arc::new(Mutex::new(Crowd::new(meter, ADDRESSES_MAX)));
    };
    known.lock().unwrap_or_else(PoisonError::into_inner).follow(meter);
    known
}

fn order_by(settings: &Settings, source: &Source) -> Vec<Option<Selector>> {
    let of = |name: &Name| settings.destinations.iter().find(|d| d.name == *name).and_then(|d| d.order_by.clone());
    let order_by: Vec<_> = source.destinations.iter().map(of).collect();
    if order_by.iter().any(Option::is_some) { order_by } else { Vec::new() }
}
