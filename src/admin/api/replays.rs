//! `replays`: deliver old events again, by a filter, as a stored job.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use super::events::state;
use crate::admin::Context;
use crate::admin::audit::Told;
use crate::admin::auth::Caller;
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::view::List;
use crate::delivery::{NotReplayed, Replay, Wanted};
use crate::record::{EventId, Name};
use crate::store::EventFilter;
use crate::time::Timestamp;

/// Events in a second: once in a day to more than a lane makes.
const RATES: std::ops::RangeInclusive<f64> = 0.00001..=100_000.0;

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/replays", get(list).post(create))
        .route("/replays/{id}", get(show))
        .route("/replays/{id}/pause", post(pause))
        .route("/replays/{id}/resume", post(resume))
        .route("/replays/{id}/cancel", post(cancel))
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default)]
    filter: FilterRequest,
    to: Option<Vec<String>>,
    rate_per_s: Option<f64>,
    #[serde(default)]
    dry_run: bool,
}

/// Which events; what is left out does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterRequest {
    source: Option<Name>,
    r#type: Option<String>,
    state: Option<String>,
    destination: Option<Name>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

#[derive(Serialize)]
struct Matched {
    matched: u64,
}

/// A replay. `through`: of the events that it covers, those that it is through with.
#[derive(Serialize)]
struct ReplayView {
    id: EventId,
    state: &'static str,
    filter: serde_json::Value,
    to: Vec<Name>,
    matched: u64,
    through: u64,
    created: u64,
    delivered: u64,
    failed: u64,
    rate_per_s: Option<f64>,
    created_at: Timestamp,
}

impl From<Replay> for ReplayView {
    fn from(replay: Replay) -> Self {
        let Replay { id, state, created_at, matched, through, created, delivered, failed, to, rate_per_s, filter } = replay;
        Self { id, state: state.as_str(), filter, to, matched, through, created, delivered, failed, rate_per_s, created_at }
    }
}

async fn create(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|_| Problem::bad_body("the body could not be read"))?;
    let request: Request =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_body(format!("the body is not a replay: {error}")))?;
    let is_dry = request.dry_run;
    let (wanted, asked) = wanted(&context, request)?;
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
    let asked = asked(&request.filter);
    let FilterRequest { source, r#type, state: word, destination, since, until } = request.filter;
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
    let filter = EventFilter { source, kind: r#type, state, destination, since, until, provider_event_id: None };
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

async fn show(State(context): State<Arc<Context>>, Id(id): Id<EventId>, _: NoParameters) -> Result<Json<ReplayView>, Problem> {
    let found = context.replays.find(id).ok_or(NotReplayed::Unknown(id)).map_err(problem)?;
    Ok(Json(found.into()))
}

async fn pause(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Json<ReplayView>, Problem> {
    changed(&caller, "pause replay", id, context.replays.pause(id))
}

async fn resume(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Json<ReplayView>, Problem> {
    changed(&caller, "resume replay", id, context.replays.resume(id))
}

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
