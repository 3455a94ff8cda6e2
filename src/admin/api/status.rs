//! `status`: the relay as a whole.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::admin::Context;
use crate::admin::parameters::NoParameters;
use crate::store;
use crate::time::Timestamp;

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new().route("/status", get(show))
}

#[derive(Serialize)]
struct StatusView {
    version: &'static str,
    started_at: Timestamp,
    ready: bool,
    store: StoreView,
    counts: CountsView,
}

#[derive(Serialize)]
struct StoreView {
    bytes: u64,
    events: u64,
    /// Of the events alone, without what the database and the journal need beside them.
    event_bytes: u64,
    free_bytes: u64,
    full: Option<String>,
    format: u32,
}

/// Deliveries by state; `pending` does not include what is in flight.
#[derive(Serialize)]
struct CountsView {
    pending: u64,
    in_flight: u64,
    parked: u64,
    delivered: u64,
    cancelled: u64,
    quarantined: u64,
}

async fn show(State(context): State<Arc<Context>>, _: NoParameters) -> Json<StatusView> {
    let counts = context.store.counts();
    // The status must show what is left to show when the store cannot tell its size.
    let bytes = context.store.bytes().await.unwrap_or_default();
    Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        started_at: context.started_at,
        ready: context.store.health().is_ok() && !context.space.is_full(),
        store: StoreView {
            bytes,
            events: counts.events,
            event_bytes: counts.bytes,
            free_bytes: context.space.free_bytes(),
            full: context.space.full(),
            format: store::FORMAT,
        },
        counts: CountsView {
            pending: counts.pending.saturating_sub(counts.in_flight),
            in_flight: counts.in_flight,
            parked: counts.parked,
            delivered: counts.delivered,
            cancelled: counts.cancelled,
            quarantined: context.quarantine.count(),
        },
    })
}
