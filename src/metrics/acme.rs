//! Certificates that CAs are asked for.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{OfOutcome, as_gauge};

/// What became of orders.
#[derive(Debug)]
pub(super) struct AcmeMetrics {
    issued: Counter,
    failed: Counter,
    failing: Gauge,
}

impl AcmeMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let orders = Family::<OfOutcome, Counter>::default();
        let count = |outcome| orders.get_or_create_owned(&OfOutcome { outcome });
        let made = Self { issued: count("issued"), failed: count("failed"), failing: Gauge::default() };
        registry.register("acme_orders", "Certificates that a CA was asked for, by what came of it", orders);
        registry.register("acme_failing", "Hosts whose last order came to nothing", made.failing.clone());
        made
    }

    pub(super) fn ordered(&self, ok: bool) {
        let counter = if ok { &self.issued } else { &self.failed };
        counter.inc();
    }

    pub(super) fn set_failing(&self, hosts: usize) {
        self.failing.set(as_gauge(hosts as u64));
    }
}
