//! `history`: what happened in the last day.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::history::{STEP, STEPS_MAX, Step};
use crate::admin::parameters::NoParameters;
use crate::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The last day in steps, oldest first. A step in which the relay did not run is not there; the last one is not over.
#[derive(Serialize, ToSchema)]
#[schema(as = History)]
struct HistoryView {
    /// How long each step is.
    step_ms: u64,
    /// The beginning of the oldest step that could be there.
    since: Timestamp,
    /// The present.
    until: Timestamp,
    /// At most 288.
    items: Vec<Step>,
}

/// What happened in the last day, in steps of five minutes.
#[utoipa::path(
    get, path = "/history", operation_id = "showHistory", tag = "relay",
    responses((status = 200, description = "The steps, oldest first.", body = HistoryView))
)]
async fn show(State(context): State<Arc<Context>>, _: NoParameters) -> Json<HistoryView> {
    let items = context.history.steps();
    let until = context.clock.now();
    let step_ms = u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX);
    let last = Timestamp::from_ms(until.ms() - until.ms() % step_ms);
    let since = last.before(STEP * (STEPS_MAX as u32 - 1));
    Json(HistoryView { step_ms, since, until, items })
}
