//! What is counted of spans.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::OfOutcome;

/// What became of spans.
#[derive(Debug)]
pub struct SpanMetrics {
    exported: Counter,
    dropped: Counter,
    failed: Counter,
}

impl SpanMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let spans = Family::<OfOutcome, Counter>::default();
        let of = |outcome| spans.get_or_create_owned(&OfOutcome { outcome });
        let made = Self { exported: of("exported"), dropped: of("dropped"), failed: of("failed") };
        registry.register("spans", "Spans of traces by what became of them", spans);
        made
    }

    /// Counts spans that the collector took.
    pub fn exported(&self, spans: u64) {
        self.exported.inc_by(spans);
    }

    /// Counts spans for which there was no room.
    pub fn dropped(&self, spans: u64) {
        self.dropped.inc_by(spans);
    }

    /// Counts spans that the collector did not take.
    pub fn failed(&self, spans: u64) {
        self.failed.inc_by(spans);
    }
}
