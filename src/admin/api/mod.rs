//! The resources of `/api/v1`, one file each.

mod backup;
mod deliveries;
mod destinations;
mod events;
mod quarantine;
mod reload;
mod sources;
mod status;

use std::sync::Arc;

use axum::Router;

use super::Context;

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .merge(events::routes())
        .merge(deliveries::routes())
        .merge(destinations::routes())
        .merge(sources::routes())
        .merge(status::routes())
        .merge(reload::routes())
        .merge(quarantine::routes())
        .merge(backup::routes())
}
