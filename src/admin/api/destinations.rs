//! `destinations`: how each application stands, and pausing it.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;

use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::sight::Sight;
use crate::admin::view::{DeliveryView, List, shown};
use crate::config::settings::Destination;
use crate::record::Name;
use crate::store::Pausable;
use crate::time::Timestamp;

/// Deliveries that others wait for, in one answer.
const BLOCKED_BY_MAX: usize = 20;

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/destinations", get(list))
        .route("/destinations/{name}", get(show))
        .route("/destinations/{name}/pause", post(pause))
        .route("/destinations/{name}/resume", post(resume))
}

/// One destination with what order keys hold up there (`order_by`).
#[derive(Serialize)]
struct WholeView {
    #[serde(flatten)]
    destination: DestinationView,
    /// Keys for which deliveries wait behind an earlier one.
    blocked_keys: u64,
    /// Some of those that they wait for.
    blocked_by: Vec<DeliveryView>,
}

/// A destination. `pending` does not include what is in flight. Last success and last error are those since the start.
#[derive(Serialize)]
struct DestinationView {
    name: Name,
    url: String,
    paused: bool,
    breaker: &'static str,
    /// When the next attempt is made, where none is made now since no answer came.
    next_probe_at: Option<Timestamp>,
    /// Until when none is made, since the application asked for it (`Retry-After`).
    rests_until: Option<Timestamp>,
    in_flight: u64,
    pending: u64,
    parked: u64,
    oldest_due_at: Option<Timestamp>,
    last_success_at: Option<Timestamp>,
    last_error: Option<String>,
}

async fn list(State(context): State<Arc<Context>>, mut parameters: Parameters) -> Result<Json<List<DestinationView>>, Problem> {
    let page = parameters.named_page()?;
    parameters.finish()?;
    let settings = context.settings();
    let (shown, next) = page.of(&settings.destinations, |d| &d.name);
    let mut items = Vec::with_capacity(shown.len());
    for destination in shown {
        items.push(view(&context, destination).await?);
    }
    Ok(Json(List { items, next }))
}

async fn show(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(name): Id<String>,
    _: NoParameters,
) -> Result<Json<WholeView>, Problem> {
    let destination = named(&context, &name)?;
    let blocked = context.store.blocked(&destination.name, BLOCKED_BY_MAX).await?;
    let blocked_by = blocked.by.into_iter().map(|delivery| DeliveryView::new(&sight, delivery)).collect();
    Ok(Json(WholeView { destination: view(&context, &destination).await?, blocked_keys: blocked.keys, blocked_by }))
}

async fn pause(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
) -> Result<Json<DestinationView>, Problem> {
    change(&context, &caller, &name, true).await
}

async fn resume(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
) -> Result<Json<DestinationView>, Problem> {
    change(&context, &caller, &name, false).await
}

async fn change(context: &Context, caller: &Caller, name: &str, pause: bool) -> Result<Json<DestinationView>, Problem> {
    let destination = named(context, name)?;
    super::set_paused(context, caller, Pausable::Destination, &destination.name, pause).await?;
    view(context, &destination).await.map(Json)
}

fn named(context: &Context, name: &str) -> Result<Arc<Destination>, Problem> {
    let settings = context.settings();
    let found = settings.destinations.iter().find(|d| d.name.as_str() == name);
    found.cloned().ok_or_else(|| Problem::not_found(format!("no destination is named {name:?}")))
}

async fn view(context: &Context, destination: &Destination) -> Result<DestinationView, Problem> {
    let backlog = context.store.backlog(&destination.name).await?;
    let metrics = context.metrics.destination(&destination.name);
    let (breaker, next_probe_at) = metrics.breaker();
    let now = context.clock.now();
    Ok(DestinationView {
        name: destination.name.clone(),
        url: shown(destination),
        paused: context.pauses.is_paused(Pausable::Destination, &destination.name),
        breaker: breaker.as_str(),
        next_probe_at,
        rests_until: metrics.rests_until().filter(|until| *until > now),
        in_flight: backlog.in_flight,
        pending: backlog.pending.saturating_sub(backlog.in_flight),
        parked: backlog.parked,
        oldest_due_at: backlog.oldest_due_at,
        last_success_at: metrics.last_success_at(),
        last_error: metrics.last_error(),
    })
}
