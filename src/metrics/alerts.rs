//! What is counted of alarms, and when certificates end.
//!
//! Series are those of what is configured: one that is not any more goes away.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{OfOutcome, as_gauge, lock};
use crate::time::Timestamp;

/// What became of a message to one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentOutcome {
    /// The receiver took it.
    Sent,
    /// It did not, and is asked again.
    Retried,
    /// It did not, and is not asked again.
    Failed,
    /// There was no room for it, or its receiver is not configured any more.
    Dropped,
}

impl SentOutcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Sent, Self::Retried, Self::Failed, Self::Dropped];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct OfAlert {
    kind: &'static str,
    subject: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct OfCertificate {
    certificate: Arc<str>,
}

/// The handles of alarms and certificates.
#[derive(Debug)]
pub struct AlertMetrics {
    firing: Shown<OfAlert>,
    sent: [Counter; SentOutcome::ALL.len()],
    certificates: Shown<OfCertificate>,
}

/// Gauges whose series come and go.
#[derive(Debug)]
struct Shown<L> {
    family: Family<L, Gauge>,
    labels: Mutex<BTreeSet<L>>,
}

impl AlertMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let sent = Family::<OfOutcome, Counter>::default();
        let made = Self {
            firing: Shown::new(),
            sent: SentOutcome::ALL.map(|outcome| sent.get_or_create_owned(&OfOutcome { outcome: outcome.as_str() })),
            certificates: Shown::new(),
        };
        registry.register("alert_firing", "1 while an alarm has begun and is not over", made.firing.family.clone());
        registry.register("alerts_sent", "Messages of alarms, for each receiver, by what became of them", sent);
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When a certificate ends that the relay shows, since the Unix epoch",
            made.certificates.family.clone(),
        );
        made
    }

    /// All alarms that there can be: kind, subject, and whether it has begun and is not over.
    pub fn set_firing(&self, alarms: impl IntoIterator<Item = (&'static str, String, bool)>) {
        let labelled =
            |(kind, subject, is_firing): (_, String, _)| (OfAlert { kind, subject: subject.into() }, i64::from(is_firing));
        self.firing.set(alarms.into_iter().map(labelled));
    }

    /// Counts a message to one receiver.
    pub fn sent(&self, outcome: SentOutcome) {
        self.sent[outcome as usize].inc();
    }

    /// All certificates that are shown: their file, and when they end.
    pub fn set_certificates(&self, certificates: impl IntoIterator<Item = (Arc<str>, Timestamp)>) {
        let labelled = |(certificate, ends_at): (_, Timestamp)| (OfCertificate { certificate }, as_gauge(ends_at.seconds()));
        self.certificates.set(certificates.into_iter().map(labelled));
    }
}

impl<L: Clone + Ord + Hash> Shown<L> {
    fn new() -> Self {
        Self { family: Family::default(), labels: Mutex::default() }
    }

    /// These and no others.
    fn set(&self, series: impl Iterator<Item = (L, i64)>) {
        let mut labels = lock(&self.labels);
        let mut before = std::mem::take(&mut *labels);
        for (label, value) in series {
            self.family.get_or_create(&label).set(value);
            before.remove(&label);
            labels.insert(label);
        }
        for gone in &before {
            self.family.remove(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn series_come_and_go_with_what_is_configured() {
        let metrics = Metrics::new();
        let lines = |metrics: &Metrics, name: &str| {
            let text = metrics.render();
            text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect::<Vec<_>>()
        };
        let alerts = metrics.alerts();
        alerts.set_firing([("source_silent", "a".to_owned(), true), ("source_silent", "b".to_owned(), false)]);
        alerts.set_firing([("source_silent", "a".to_owned(), false)]);
        assert_eq!(lines(&metrics, "hookhold_alert_firing{"), [r#"hookhold_alert_firing{kind="source_silent",subject="a"} 0"#]);
        alerts.set_certificates([("a.pem".into(), Timestamp::from_ms(5000))]);
        let shown = [r#"hookhold_certificate_expiry_timestamp_seconds{certificate="a.pem"} 5"#];
        assert_eq!(lines(&metrics, "hookhold_certificate_expiry"), shown);
        alerts.sent(SentOutcome::Failed);
        let sent = lines(&metrics, "hookhold_alerts_sent_total");
        assert!(sent.len() == 4 && sent.contains(&r#"hookhold_alerts_sent_total{outcome="failed"} 1"#.to_owned()), "{sent:?}");
    }
}
