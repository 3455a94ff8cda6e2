//! `replays`: deliver old events again, by a filter, as a stored job.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::{may_filter, state};
use crate::admin::Context;
use crate::admin::audit::Told;
use crate::admin::auth::Caller;
use crate::admin::body::{JsonBody, Object};
use crate::admin::openapi::answers::{BadBodies, Conflicts, Missing, StoreTrouble};
use crate::admin::openapi::parameters::PageParameters;
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::sight::Sight;
use crate::admin::view::List;
use crate::delivery::{NotReplayed, Replay, ReplayState, Wanted};
use crate::record::{EventId, Name};
use crate::store::{EventFilter, EventState};
use crate::time::Timestamp;

/// Events in a second: once in a day to more than a lane makes.
const RATES: std::ops::RangeInclusive<f64> = RATE_MIN..=RATE_MAX;
const RATE_MIN: f64 = 0.00001;
const RATE_MAX: f64 = 100_000.0;
// The description takes numbers only.
const _: () = assert!(RATE_MIN == 0.00001 && RATE_MAX == 100_000.0);

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayRequest)]
struct Request {
    #[serde(default)]
    #[schema(value_type = FilterRequest, required = false)]
    filter: Object<FilterRequest>,
    /// Where they go; where nothing is said, where each event's source would send it now.
    #[schema(min_items = 1, value_type = Option<Vec<Name>>)]
    to: Option<Vec<String>>,
    /// So many events in a second at most.
    #[schema(minimum = 0.00001, maximum = 100000)]
    rate_per_s: Option<f64>,
    /// Only count the events.
    #[serde(default)]
    dry_run: bool,
}

/// Which events; what is left out does not matter.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayFilter)]
struct FilterRequest {
    source: Option<Name>,
    r#type: Option<String>,
    #[schema(value_type = Option<EventState>)]
    state: Option<String>,
    destination: Option<Name>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// What a dry run counts.
#[derive(Serialize, ToSchema)]
struct Matched {
    matched: u64,
}

/// A replay by filter.
#[derive(Serialize, ToSchema)]
#[schema(as = Replay)]
struct ReplayView {
    id: EventId,
    #[schema(value_type = ReplayState)]
    state: &'static str,
    /// As it was asked for.
    #[schema(value_type = Object)]
    filter: serde_json::Value,
    /// Where events go, where that was said.
    to: Vec<Name>,
    /// Events that it covers.
    matched: u64,
    /// Of these, those that it is through with.
    through: u64,
    /// Deliveries that it made.
    created: u64,
    delivered: u64,
    failed: u64,
    #[schema(required)]
    rate_per_s: Option<f64>,
    created_at: Timestamp,
}

impl From<Replay> for ReplayView {
    fn from(replay: Replay) -> Self {
        let Replay { id, state, created_at, matched, through, created, delivered, failed, to, rate_per_s, filter } = replay;
        Self { id, state: state.as_str(), filter, to, matched, through, created, delivered, failed, rate_per_s, created_at }
    }
}

/// Delivers the events that fit a filter again, as a job that is kept.
#[utoipa::path(
    post, path = "/replays", operation_id = "createReplay", tag = "replays", request_body = Request,
    responses(
        (status = 200, description = "A dry run: nothing is made.", body = Matched),
        (status = 202, description = "It has begun.", body = ReplayView),
        Conflicts, BadBodies, StoreTrouble,
    )
)]
async fn create(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    sight: Sight,
    _: NoParameters,
    JsonBody(request): JsonBody<Request>,
) -> Result<Response, Problem> {
    let is_dry = request.dry_run;
    let (wanted, asked) = wanted(&context, request)?;
    may_filter(&sight, &wanted.filter)?;
    if is_dry {
        let matched = context.replays.count(&wanted.filter).await?;
        return Ok(Json(Matched { matched }).into_response());
    }
    let made = context.replays.create(wanted, asked.clone()).await.map_err(problem);
    caller.logs("replay by filter", &asked, &made);
    let made = made?;
    let told = Told(format!("replay {} of {} events", made.id, made.matched));
    Ok((StatusCode::ACCEPTED, Extension(told), Json(ReplayView::from(made))).into_response())
}

fn wanted(context: &Context, request: Request) -> Result<(Wanted, serde_json::Value), Problem> {
    let asked = asked(&request.filter.0);
    let FilterRequest { source, r#type, state: word, destination, since, until } = request.filter.0;
    let state = match word {
        None => None,
        Some(word) => Some(state(&word).ok_or_else(|| Problem::field("filter.state", format!("{word:?} is no state")))?),
    };
    if let Some(rate) = request.rate_per_s.filter(|rate| !RATES.contains(rate)) {
        return Err(Problem::field("rate_per_s", format!("{rate} is not between {} and {}", RATES.start(), RATES.end())));
    }
    let settings = context.settings();
    let known = |name: &String| {
        let found = settings.destinations.iter().find(|d| d.name.as_str() == name);
        found.map(|d| d.name.clone()).ok_or_else(|| Problem::field("to", format!("{name:?} is no destination")))
    };
    let to = match &request.to {
        Some(names) if names.is_empty() => return Err(Problem::field("to", "name a destination, or leave `to` out")),
        Some(names) => names.iter().map(known).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let filter = EventFilter { source, kind: r#type, state, destination, since, until, provider_event_id: None, text: None };
    Ok((Wanted { filter, to, rate_per_s: request.rate_per_s }, asked))
}

/// The filter as JSON, without what was left out.
fn asked(filter: &FilterRequest) -> serde_json::Value {
    let FilterRequest { source, r#type, state, destination, since, until } = filter;
    let fields = serde_json::json!({
        "source": source, "type": r#type, "state": state, "destination": destination, "since": since, "until": until,
    });
    let fields: serde_json::Map<_, _> = fields
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    serde_json::Value::Object(fields)
}

/// Replays, newest first.
#[utoipa::path(
    get, path = "/replays", operation_id = "listReplays", tag = "replays", params(PageParameters),
    responses((status = 200, description = "A page of replays.", body = List<ReplayView>))
)]
async fn list(State(context): State<Arc<Context>>, mut parameters: Parameters) -> Result<Json<List<ReplayView>>, Problem> {
    let (after, limit) = parameters.page_of_ids::<EventId>()?;
    parameters.finish()?;
    let mut all = context.replays.list();
    all.retain(|replay| after.is_none_or(|after| replay.id < after));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Json(List { items: all.into_iter().map(ReplayView::from).collect(), next }))
}

/// One replay.
#[utoipa::path(
    get, path = "/replays/{id}", operation_id = "showReplay", tag = "replays", params(("id" = EventId, Path)),
    responses((status = 200, description = "The replay.", body = ReplayView), Missing)
)]
async fn show(State(context): State<Arc<Context>>, Id(id): Id<EventId>, _: NoParameters) -> Result<Json<ReplayView>, Problem> {
    let found = context.replays.find(id).ok_or(NotReplayed::Unknown(id)).map_err(problem)?;
    Ok(Json(found.into()))
}

/// Holds a replay.
#[utoipa::path(
    post, path = "/replays/{id}/pause", operation_id = "pauseReplay", tag = "replays", params(("id" = EventId, Path)),
    responses((status = 200, description = "The replay as it is now.", body = ReplayView), Missing, Conflicts, StoreTrouble)
)]
async fn pause(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Json<ReplayView>, Problem> {
    changed(&caller, "pause replay", id, context.replays.pause(id))
}

/// Lets a replay go on.
#[utoipa::path(
    post, path = "/replays/{id}/resume", operation_id = "resumeReplay", tag = "replays", params(("id" = EventId, Path)),
    responses((status = 200, description = "The replay as it is now.", body = ReplayView), Missing, Conflicts, StoreTrouble)
)]
async fn resume(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Json<ReplayView>, Problem> {
    changed(&caller, "resume replay", id, context.replays.resume(id))
}

/// Calls a replay off; what it made stays.
#[utoipa::path(
    post, path = "/replays/{id}/cancel", operation_id = "cancelReplay", tag = "replays", params(("id" = EventId, Path)),
    responses((status = 200, description = "The replay as it is now.", body = ReplayView), Missing, Conflicts, StoreTrouble)
)]
async fn cancel(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Json<ReplayView>, Problem> {
    changed(&caller, "cancel replay", id, context.replays.cancel(id))
}

fn changed(caller: &Caller, what: &str, id: EventId, done: Result<Replay, NotReplayed>) -> Result<Json<ReplayView>, Problem> {
    caller.logs(what, &id, &done);
    done.map(|replay| Json(replay.into())).map_err(problem)
}

fn problem(error: NotReplayed) -> Problem {
    match error {
        NotReplayed::Unknown(_) => Problem::not_found(error.to_string()),
        NotReplayed::State(..) | NotReplayed::TooMany => Problem::conflict(error.to_string()),
        NotReplayed::Store(error) => error.into(),
        NotReplayed::Io(_) => Problem::failed(error.to_string()),
    }
}
