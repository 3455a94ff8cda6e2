//! `status`: the relay as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::parameters::NoParameters;
use crate::store;
use crate::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The relay as a whole.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
struct StatusView {
    version: &'static str,
    started_at: Timestamp,
    /// Whether it can accept durably.
    ready: bool,
    store: StoreView,
    counts: CountsView,
}

/// What is stored.
#[derive(Serialize, ToSchema)]
#[schema(as = Store)]
struct StoreView {
    /// On disk.
    bytes: u64,
    events: u64,
    /// Of the events alone, without what the database and the journal need beside them.
    event_bytes: u64,
    free_bytes: u64,
    /// Why nothing more is taken, where that is so.
    #[schema(required)]
    full: Option<String>,
    /// The version of the stored format.
    format: u32,
}

/// Deliveries by state; `pending` does not include what is in flight.
#[derive(Serialize, ToSchema)]
#[schema(as = Counts)]
struct CountsView {
    pending: u64,
    in_flight: u64,
    parked: u64,
    delivered: u64,
    cancelled: u64,
    quarantined: u64,
}

/// How the relay stands.
#[utoipa::path(
    get, path = "/status", operation_id = "showStatus", tag = "relay",
    responses((status = 200, description = "The relay.", body = StatusView))
)]
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
