//! Certificates that CAs are asked for: what is counted, and how each host stands.

use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, OfOutcome, as_gauge, lock};
use crate::time::Timestamp;

/// How a host stands for which a CA is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeHost {
    /// Its name.
    pub host: Arc<str>,
    /// Since when it is wanted, in this run.
    pub wanted_since: Timestamp,
    /// When the certificate ends that is shown for it; `None` where there is none.
    pub ends_at: Option<Timestamp>,
    /// What came of its orders, where the last one came to nothing.
    pub failing: Option<AcmeFailing>,
}

/// Orders that came to nothing, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeFailing {
    /// When the first of them did.
    pub since: Timestamp,
    /// So many.
    pub tries: u32,
    /// Why the last of them did.
    pub error: String,
}

/// What became of orders.
#[derive(Debug)]
pub(super) struct AcmeMetrics {
    issued: Counter,
    failed: Counter,
    failing: Gauge,
    missing: Gauge,
    hosts: Mutex<Arc<[AcmeHost]>>,
}

impl AcmeMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let orders = Family::<OfOutcome, Counter>::default();
        let count = |outcome| orders.get_or_create_owned(&OfOutcome { outcome });
        let (issued, failed) = (count("issued"), count("failed"));
        let made = Self { issued, failed, failing: Gauge::default(), missing: Gauge::default(), hosts: Mutex::new([].into()) };
        registry.register("acme_orders", "Certificates that a CA was asked for, by what came of it", orders);
        registry.register("acme_failing", "Hosts whose last order came to nothing", made.failing.clone());
        registry.register("acme_missing", "Hosts for which no certificate is shown", made.missing.clone());
        made
    }

    pub(super) fn ordered(&self, ok: bool) {
        let counter = if ok { &self.issued } else { &self.failed };
        counter.inc();
    }

    pub(super) fn set_hosts(&self, hosts: Vec<AcmeHost>) {
        let count = |is: fn(&&AcmeHost) -> bool| as_gauge(hosts.iter().filter(is).count() as u64);
        self.failing.set(count(|host| host.failing.is_some()));
        self.missing.set(count(|host| host.ends_at.is_none()));
        *lock(&self.hosts) = hosts.into();
    }

    pub(super) fn hosts(&self) -> Arc<[AcmeHost]> {
        lock(&self.hosts).clone()
    }
}

impl Metrics {
    /// Counts a certificate that a CA was asked for, and whether it came.
    pub fn acme_order(&self, ok: bool) {
        self.whole.acme.ordered(ok);
    }

    /// How all hosts stand for which a CA is asked.
    pub fn set_acme_hosts(&self, hosts: Vec<AcmeHost>) {
        self.whole.acme.set_hosts(hosts);
    }

    /// How they stand.
    pub fn acme_hosts(&self) -> Arc<[AcmeHost]> {
        self.whole.acme.hosts()
    }
}
