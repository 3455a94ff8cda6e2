//! The resources of `/api/v1`, one file each.

mod alerts;
mod audit;
mod backup;
mod config;
mod deliveries;
mod destinations;
mod events;
mod history;
mod live;
mod many;
mod quarantine;
mod reasons;
mod reload;
mod replays;
mod search;
mod sources;
mod status;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::Context;
use super::auth::Caller;
use super::problem::Problem;
use crate::record::Name;
use crate::store::{Error, NotChanged, Pausable};

/// Each route with its description: see CONTRIBUTING, "A new endpoint".
pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .merge(events::routes())
        .merge(deliveries::routes())
        .merge(destinations::routes())
        .merge(sources::routes())
        .merge(status::routes())
        .merge(history::routes())
        .merge(config::routes())
        .merge(reload::routes())
        .merge(replays::routes())
        .merge(quarantine::routes())
        .merge(backup::routes())
        .merge(live::routes())
        .merge(alerts::routes())
        .merge(audit::routes())
}

/// Pauses a source or a destination, or lets it go on; durable when it returns.
async fn set_paused(context: &Context, caller: &Caller, what: Pausable, name: &Name, pause: bool) -> Result<(), Problem> {
    let (pauses, of) = (context.pauses.clone(), name.clone());
    let changed = tokio::task::spawn_blocking(move || pauses.set(what, &of, pause)).await;
    let changed = changed.unwrap_or_else(|error| Err(NotChanged::Io(std::io::Error::other(error))));
    caller.logs(if pause { "pause" } else { "resume" }, name, &changed);
    changed.map_err(|error| match error {
        NotChanged::Unknown => Problem::not_found(error.to_string()),
        NotChanged::Io(_) => Problem::from(Error::Failed(error.to_string())),
    })
}
