//! `destinations`: how each application stands, and pausing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::openapi::answers::{Missing, StoreTrouble};
use crate::admin::openapi::parameters::{PageParameters, text, word};
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::sight::Sight;
use crate::admin::standing::Standing;
use crate::admin::view::{DeliveryView, shown};
use crate::config::settings::Destination;
use crate::pace::bucket::Bucket;
use crate::record::{BreakerState, Name, StateName};
use crate::store::Pausable;
use crate::time::Timestamp;

/// Deliveries that others wait for, in one answer.
const BLOCKED_BY_MAX: usize = 20;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(pause)).routes(routes!(resume))
}

/// Which destinations a list shows, and which come first.
struct DestinationParameters;

impl IntoParams for DestinationParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            text("name", "Whose name has this text in it.", None),
            word("order", "Which come first: by name, or those that need a look.", ["name", "trouble"]),
        ]
    }
}

/// A page of destinations.
#[derive(Serialize, ToSchema)]
struct DestinationList {
    items: Vec<DestinationView>,
    /// The `cursor` of the next page; `null` at the end.
    #[schema(required)]
    next: Option<String>,
    /// How many there are, on all pages.
    total: usize,
    /// How many of them stand how; with `order=trouble`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<BTreeMap<String, u64>>)]
    standing: Option<BTreeMap<&'static str, u64>>,
}

/// One destination with what order keys hold up there (`order_by`).
#[derive(Serialize, ToSchema)]
#[schema(as = DestinationWithBlocked)]
struct WholeView {
    #[serde(flatten)]
    destination: DestinationView,
    /// Keys for which deliveries wait behind an earlier one.
    blocked_keys: u64,
    /// Some of those that they wait for.
    blocked_by: Vec<DeliveryView>,
}

/// A destination. `pending` does not include what is in flight. Last success and last error are those since the start.
#[derive(Serialize, ToSchema)]
#[schema(as = Destination)]
struct DestinationView {
    name: Name,
    /// Without what could be secret.
    url: String,
    paused: bool,
    #[schema(value_type = Standing)]
    standing: &'static str,
    #[schema(value_type = BreakerState)]
    breaker: &'static str,
    #[schema(required)]
    /// When the next attempt is made, where none is made now since no answer came.
    next_probe_at: Option<Timestamp>,
    /// Until when none is made, since the application asked for it (`Retry-After`).
    #[schema(required)]
    rests_until: Option<Timestamp>,
    in_flight: u64,
    pending: u64,
    parked: u64,
    #[schema(required)]
    oldest_due_at: Option<Timestamp>,
    #[schema(required)]
    last_success_at: Option<Timestamp>,
    #[schema(required)]
    last_error: Option<String>,
    /// When that was. Later than the last success: it fails now.
    #[schema(required)]
    last_error_at: Option<Timestamp>,
    /// Deliveries that it took since the start.
    delivered: u64,
    /// What relay.toml lets it have: attempts at once, and in a second (`None`: as many as there are).
    in_flight_max: usize,
    #[schema(required)]
    per_second: Option<f64>,
    /// Whether its deliveries are kept in order (`order_by`).
    is_ordered: bool,
}

/// Destinations, by name unless asked otherwise.
#[utoipa::path(
    get, path = "/destinations", operation_id = "listDestinations", tag = "destinations",
    params(DestinationParameters, PageParameters),
    responses((status = 200, description = "A page of destinations.", body = DestinationList), StoreTrouble)
)]
async fn list(State(context): State<Arc<Context>>, mut parameters: Parameters) -> Result<Json<DestinationList>, Problem> {
    let (page, part) = (parameters.named_page()?, parameters.text("name")?.unwrap_or_default());
    let by_trouble = parameters.take("order", "name or trouble", trouble_first)?.unwrap_or(false);
    parameters.finish()?;
    let settings = context.settings();
    let mut fitting: Vec<_> = settings.destinations.iter().filter(|d| d.name.as_str().contains(&part)).cloned().collect();
    let total = fitting.len();
    if !by_trouble {
        let (shown, next) = page.of(&fitting, |d| &d.name);
        let mut items = Vec::with_capacity(shown.len());
        for destination in shown {
            items.push(view(&context, destination).await?);
        }
        return Ok(Json(DestinationList { items, next, total, standing: None }));
    }
    fitting.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut all, mut standing) = (Vec::with_capacity(total), BTreeMap::new());
    for destination in &fitting {
        let (found, view) = stands(&context, destination).await?;
        *standing.entry(found.as_str()).or_default() += 1;
        all.push((found, view));
    }
    // By name they are already, and this order is stable.
    all.sort_by_key(|(found, _)| *found);
    let (items, next) = page.of_ordered(all, |(_, view)| &view.name);
    Ok(Json(DestinationList { items: items.into_iter().map(|(_, view)| view).collect(), next, total, standing: Some(standing) }))
}

/// `order=trouble`: for who looks whether all is well.
fn trouble_first(word: &str) -> Option<bool> {
    match word {
        "name" => Some(false),
        "trouble" => Some(true),
        _ => None,
    }
}

/// One destination, and what order keys hold up there.
#[utoipa::path(
    get, path = "/destinations/{name}", operation_id = "showDestination", tag = "destinations", params(("name" = Name, Path)),
    responses((status = 200, description = "The destination.", body = WholeView), Missing, StoreTrouble)
)]
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

/// Sends nothing more to a destination; what is for it is kept. Attempts under way end.
#[utoipa::path(
    post, path = "/destinations/{name}/pause", operation_id = "pauseDestination", tag = "destinations", params(("name" = Name, Path)),
    responses((status = 200, description = "The destination as it is now.", body = DestinationView), Missing, StoreTrouble)
)]
async fn pause(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
) -> Result<Json<DestinationView>, Problem> {
    change(&context, &caller, &name, true).await
}

/// Sends again, and at once where no answer came or a rest was asked for.
#[utoipa::path(
    post, path = "/destinations/{name}/resume", operation_id = "resumeDestination", tag = "destinations", params(("name" = Name, Path)),
    responses((status = 200, description = "The destination as it is now.", body = DestinationView), Missing, StoreTrouble)
)]
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
    stands(context, destination).await.map(|(_, view)| view)
}

async fn stands(context: &Context, destination: &Destination) -> Result<(Standing, DestinationView), Problem> {
    let backlog = context.store.backlog(&destination.name).await?;
    let metrics = context.metrics.destination(&destination.name);
    let (breaker, next_probe_at) = metrics.breaker();
    let now = context.clock.now();
    let (last_error_at, last_error) = metrics.last_error().unzip();
    let paused = context.pauses.is_paused(Pausable::Destination, &destination.name);
    let standing = Standing::of(paused, &metrics, &backlog, now);
    let view = DestinationView {
        name: destination.name.clone(),
        url: shown(destination),
        paused,
        standing: standing.as_str(),
        breaker: breaker.as_str(),
        next_probe_at,
        rests_until: metrics.rests_until().filter(|until| *until > now),
        in_flight: backlog.in_flight,
        pending: backlog.pending.saturating_sub(backlog.in_flight),
        parked: backlog.parked,
        oldest_due_at: backlog.oldest_due_at,
        last_success_at: metrics.last_success_at(),
        last_error,
        last_error_at,
        delivered: metrics.settled_so_far(StateName::Delivered),
        in_flight_max: destination.in_flight,
        per_second: destination.per_second.as_ref().map(Bucket::per_second),
        is_ordered: destination.order_by.is_some(),
    };
    Ok((standing, view))
}
