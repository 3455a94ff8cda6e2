//! The audit log of a relay that runs: opening it, looking after it, and what is done without a call of the admin API.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context as _;

pub(super) use crate::cli::audit::bounds;
use crate::config::settings::Settings;
use crate::store::{AuditLog, AuditOutcome, Deed};
use crate::time::Clock;

/// What was counted, or is too old, waits so long at most.
const TIDY_EACH: Duration = Duration::from_secs(60);

/// Opens the log, and looks after it until nobody writes to it any more.
pub(super) async fn open(settings: &Settings, clock: Clock) -> anyhow::Result<Arc<AuditLog>> {
    let (path, bounds) = (settings.store.path.clone(), bounds(settings.admin.audit));
    let opened = tokio::task::spawn_blocking(move || AuditLog::open(&path, bounds, clock)).await?;
    let log = Arc::new(opened.context("the audit log cannot be opened")?);
    tokio::spawn(look_after(Arc::downgrade(&log)));
    Ok(log)
}

async fn look_after(log: Weak<AuditLog>) {
    loop {
        tokio::time::sleep(TIDY_EACH).await;
        let Some(log) = log.upgrade() else { return };
        let tidied = tokio::task::spawn_blocking(move || log.tidy()).await;
        if let Ok(Err(error)) = tidied {
            tracing::warn!(%error, "the audit log cannot be looked after");
        }
    }
}

/// A signal made the relay do something. Who sends signals owns the process, and what is done may be the way out of trouble: a log that
/// cannot be written does not hold it up.
pub(super) async fn note_signal(log: &Arc<AuditLog>, action: &'static str, done: Result<Vec<String>, Vec<String>>) {
    let log = log.clone();
    let came = done.map(|changes| changes.join("; ")).map_err(|problems| problems.join("; "));
    // It is over when it is over: nobody waits for the task's end but this.
    let _ = tokio::task::spawn_blocking(move || note(&log, "signal", action, came)).await;
}

/// Something was done that nobody called for. Blocks.
pub(super) fn note(log: &AuditLog, who: &str, action: &str, came: Result<String, String>) {
    let status = if came.is_ok() { 200 } else { 422 };
    let detail = Some(came.unwrap_or_else(|problem| problem)).filter(|text| !text.is_empty());
    let deed = Deed { who: Some(who.to_owned()), action: action.to_owned(), ..Deed::default() };
    if let Err(error) = log.note(deed, AuditOutcome { status, detail }) {
        tracing::error!(action, who, %error, "what was done cannot be written to the audit log");
    }
}

/// The relay ends: what was counted is written.
pub(super) async fn close(log: &Arc<AuditLog>) {
    let log = log.clone();
    let closed = tokio::task::spawn_blocking(move || log.close()).await;
    if let Ok(Err(error)) = closed {
        tracing::error!(%error, "refusals cannot be written to the audit log");
    }
}
