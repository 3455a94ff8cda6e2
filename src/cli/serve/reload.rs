//! Takes a new configuration while everything runs: whole, or not at all. Queues, dedupe, and open connections stay as they are.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest, Sha256};

use super::descriptors::Descriptors;
use super::start::{PAUSES_UNREADABLE, Relay, arming, fetcher, known, pairs, quarantine_bounds};
use super::traces::Traces;
use super::{audit_log, serving};
use crate::acme::Acme;
use crate::admin::{Configuration, Told};
use crate::config::settings::{Retention, Settings, Tls};
use crate::config::{Change, ChangeKind, Imprint, Loaded};
use crate::ingest::{Gate, Line};
use crate::metrics::Metrics;
use crate::net::tls::{self, Certificates};
use crate::record::Name;
use crate::store::{AuditLog, Pauses, Quarantine};
use crate::watch::Watch;

/// Certificates are looked at so often. Their files may be links into folders that are exchanged whole, which no watch of a file sees.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(10);

/// What a new configuration changes.
pub(super) struct Changing {
    pub(super) imprint: Imprint,
    pub(super) line: Arc<Line>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) told: Arc<Told>,
    pub(super) configuration: Arc<Configuration>,
    pub(super) pauses: Arc<Pauses>,
    pub(super) acme: Acme,
    pub(super) metrics: Arc<Metrics>,
    pub(super) watch: Arc<Watch>,
    pub(super) audit: Arc<AuditLog>,
}

impl Relay {
    /// Applies a new configuration, and tells what is different, a line each. Where a part of it cannot be used, everything stays as
    /// it was.
    pub async fn reload(&mut self, loaded: Loaded) -> anyhow::Result<Vec<String>> {
        let Loaded { settings, imprint, warnings, shown } = loaded;
        let Changing { line, quarantine, told, pauses, acme, metrics, watch, audit, .. } = &self.changing;
        let (before, settings) = (told.settings(), Arc::new(settings));
        // What can fail comes first.
        let changes = self.changing.imprint.changes(&imprint);
        let is_same =
            |name: &Name| !changes.iter().any(|change| change.section.strip_prefix("destinations.") == Some(name.as_str()));
        let traces = match changes.iter().any(|change| change.section == "telemetry") {
            true => Traces::prepare(settings.traces.as_ref(), metrics).context("telemetry.traces cannot be used")?,
            false => self.traces.unchanged(),
        };
        let lanes = self.lanes.prepare(&settings, traces.spans(), is_same)?;
        let fetcher = fetcher(&settings)?;
        let arming = arming(&settings)?;
        let pausable = pauses.prepare(&settings).context(PAUSES_UNREADABLE)?;
        let watched = Watch::prepare(settings.clone())?;
        let listeners = self.listeners.prepare(&settings)?;
        let issued = Acme::prepare(&settings)?;
        acme.certificates().replace(&pairs(&settings.tls)?)?;
        acme.replace(issued);

        // First: the gate and the lanes ask for their valves.
        pauses.replace(pausable);
        let arming = Arc::new(arming.continuing(&told.arming()));
        let gate = line.gate();
        let outside = gate.outside().renewed(fetcher, known(&settings));
        let gate = Gate::new(&settings, metrics, outside, (arming.clone(), pauses), Some(&gate));
        line.replace(gate.traced(traces.spans().clone()));
        self.edge_follows(&before, &settings);
        self.lanes.replace(lanes);
        self.traces.follow(traces);
        quarantine.set_bounds(quarantine_bounds(&settings));
        audit.set_bounds(audit_log::bounds(settings.admin.audit));
        told.replace(settings.clone(), arming);
        watch.replace(watched);
        self.changing.configuration.replace(shown, warnings);
        let mut changes = self.told_of(&changes).await;
        // Last: what comes there now is judged by the rest.
        changes.extend(self.listeners.replace(listeners));
        changes.extend(later(&before, &settings).map(|setting| format!("{setting}: takes effect at the next start")));
        self.changing.imprint = imprint;
        Ok(changes)
    }
}

impl Relay {
    /// What connections may do, and how TLS is spoken.
    fn edge_follows(&self, before: &Settings, settings: &Settings) {
        let (door, speech) = (&self.listeners.service.door, &self.listeners.service.speech);
        door.replace(serving::bounds(settings));
        door.resize(Descriptors::present(settings).connections);
        speech.asking.replace(serving::asked(settings));
        if before.tls_min != settings.tls_min {
            speech.replace(settings.tls_min);
        }
    }

    /// The changes as lines. A destination that is gone keeps what waits for it, and whoever took it out should know.
    async fn told_of(&self, changes: &[Change]) -> Vec<String> {
        let mut lines = Vec::with_capacity(changes.len());
        for change in changes {
            let gone = change.section.strip_prefix("destinations.").filter(|_| change.kind == ChangeKind::Removed);
            let gone = gone.and_then(|name| Name::try_new(name).ok());
            let left = match gone {
                Some(name) => self.store.backlog(&name).await.map_or(0, |backlog| backlog.pending),
                None => 0,
            };
            lines.push(match left {
                0 => change.to_string(),
                1 => format!("{change}; 1 delivery waits for it"),
                left => format!("{change}; {left} deliveries wait for it"),
            });
        }
        lines
    }
}

/// How long events are kept.
fn of_events(settings: &Settings) -> Retention {
    Retention { quarantined: Duration::ZERO, ..settings.store.retention }
}

/// What is different and cannot change while the relay runs.
fn later(before: &Settings, after: &Settings) -> impl Iterator<Item = &'static str> {
    let settings = [
        ("store.path", before.store.path != after.store.path),
        ("store.max_bytes", before.store.max_bytes != after.store.max_bytes),
        ("store.retention of events", of_events(before) != of_events(after)),
        ("log.format", before.log.format != after.log.format),
    ];
    settings.into_iter().filter_map(|(setting, differs)| differs.then_some(setting))
}

/// Shows renewed certificates as soon as their files hold them, until nobody shows certificates any more.
pub(super) fn watch_certificates(certificates: &Arc<Certificates>, told: &Arc<Told>, audit: &Arc<AuditLog>) {
    tokio::spawn(look_at_certificates(Arc::downgrade(certificates), Arc::downgrade(told), Arc::downgrade(audit)));
}

async fn look_at_certificates(certificates: Weak<Certificates>, told: Weak<Told>, audit: Weak<AuditLog>) {
    let mut shown = None;
    loop {
        let (Some(certificates), Some(told), Some(audit)) = (certificates.upgrade(), told.upgrade(), audit.upgrade()) else {
            return;
        };
        let settings = told.settings();
        // Files are read elsewhere: a slow disk must not hold up requests.
        let looked = tokio::task::spawn_blocking(move || look(&certificates, &settings, &audit, shown)).await;
        shown = looked.ok().flatten();
        tokio::time::sleep(CERTIFICATE_LOOK).await;
    }
}

/// Loads the certificates where their files differ from `shown`; the digest of what they hold now.
fn look(certificates: &Certificates, settings: &Settings, audit: &AuditLog, shown: Option<[u8; 32]>) -> Option<[u8; 32]> {
    // Nothing is made here: what is missing, a start or a reload makes.
    let pairs = match &settings.tls {
        Tls::SelfSigned { folder } => vec![tls::self_signed_files(folder)],
        Tls::Certificates(files) => files.iter().map(|files| (files.cert.clone(), files.key.clone())).collect(),
    };
    let found = digest(&pairs);
    if found.is_none() || found == shown || shown.is_none() {
        return found.or(shown);
    }
    let replaced = certificates.replace(&pairs);
    let came = replaced.as_ref().map(|()| String::new()).map_err(ToString::to_string);
    audit_log::note(audit, "files", "certificates", came);
    match replaced {
        Ok(()) => tracing::info!("certificates were renewed"),
        Err(error) => tracing::error!(%error, "renewed certificates cannot be used; the old ones are shown"),
    }
    found
}

/// `None` where a file cannot be read: it may be just being replaced.
fn digest(pairs: &[(PathBuf, PathBuf)]) -> Option<[u8; 32]> {
    let mut digest = Sha256::new();
    for file in pairs.iter().flat_map(|(cert, key)| [cert, key]) {
        let content = std::fs::read(file).ok()?;
        digest.update((content.len() as u64).to_be_bytes());
        digest.update(content);
    }
    Some(digest.finalize().into())
}
