//! `events`: lists, one event, its body, and its replay.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::deliveries;
use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::sight::Sight;
use crate::admin::view::{EventView, List};
use crate::delivery::routed;
use crate::record::{DeliveryId, Event, EventId, Name};
use crate::store::{EventFilter, EventState};

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/events", get(list))
        .route("/events/{id}", get(show))
        .route("/events/{id}/body", get(body))
        .route("/events/{id}/replay", post(replay))
}

async fn list(
    State(context): State<Arc<Context>>,
    sight: Sight,
    mut parameters: Parameters,
) -> Result<Json<List<EventView>>, Problem> {
    let (filter, page) = (filter(&mut parameters)?, parameters.page()?);
    parameters.finish()?;
    let listed = context.store.events(&filter, page).await?;
    let mut items = Vec::with_capacity(listed.items.len());
    for event in listed.items {
        let deliveries = context.store.deliveries_of(event.id).await?;
        items.push(EventView::new(&sight, event, deliveries));
    }
    Ok(Json(List { items, next: listed.next.map(|cursor| cursor.to_string()) }))
}

fn filter(parameters: &mut Parameters) -> Result<EventFilter, Problem> {
    if parameters.text("q")?.is_some() {
        return Err(Problem::field("q", "search is not supported by this version"));
    }
    Ok(EventFilter {
        source: parameters.name("source")?,
        kind: parameters.text("type")?,
        state: parameters.take("state", "pending, parked, delivered, cancelled or unrouted", state)?,
        destination: parameters.name("destination")?,
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        provider_event_id: parameters.text("provider_event_id")?,
    })
}

pub(super) fn state(word: &str) -> Option<EventState> {
    use EventState::{Cancelled, Delivered, Parked, Pending, Unrouted};
    [Pending, Parked, Delivered, Cancelled, Unrouted].into_iter().find(|state| state.as_str() == word)
}

async fn show(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Json<EventView>, Problem> {
    let event = existing(&context, id).await?;
    let deliveries = context.store.deliveries_of(id).await?;
    let mut shown = Vec::with_capacity(deliveries.len());
    for delivery in deliveries.iter().cloned() {
        shown.push(deliveries::whole(&context, &sight, delivery).await?);
    }
    let headers = event.headers.clone();
    Ok(Json(EventView::new(&sight, event, deliveries).with_headers(&sight, &headers).with_deliveries(shown)))
}

/// The raw bytes, or for those who may not see all of them JSON with masks.
async fn body(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let source = existing(&context, id).await?.source;
    let body = context.store.body(id).await?.ok_or_else(|| unknown(id))?;
    sight.of(&source).body(body).map(|shown| shown.saved_as(id))
}

/// What a replay may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayRequest {
    destinations: Option<Vec<String>>,
}

/// What a replay made, or hurried.
#[derive(Serialize)]
struct Replayed {
    deliveries: Vec<DeliveryId>,
}

async fn replay(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<EventId>,
    _: NoParameters,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let request = replay_request(body)?;
    let replayed = replayed(&context, id, request).await;
    caller.logs("replay", &id, &replayed);
    Ok((StatusCode::ACCEPTED, Json(replayed?)))
}

async fn replayed(context: &Context, id: EventId, request: ReplayRequest) -> Result<Replayed, Problem> {
    let event = existing(context, id).await?;
    let destinations = match request.destinations {
        Some(names) => named(context, &names)?,
        None => usual(context, &event).await?,
    };
    let deliveries = context.store.replay(id, &destinations, context.clock.now()).await?;
    Ok(Replayed { deliveries })
}

/// No body is as good as `{}`.
fn replay_request(body: Result<Bytes, BytesRejection>) -> Result<ReplayRequest, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::large_body(),
        _ => Problem::bad_body("the body could not be read"),
    })?;
    if body.trim_ascii().is_empty() {
        return Ok(ReplayRequest::default());
    }
    serde_json::from_slice(&body).map_err(|error| Problem::bad_body(format!("the body is not a replay: {error}")))
}

/// The destinations that the caller names, each once.
fn named(context: &Context, names: &[String]) -> Result<Vec<Name>, Problem> {
    if names.is_empty() {
        return Err(Problem::field("destinations", "name a destination, or leave `destinations` out"));
    }
    let settings = context.settings();
    let known = |name: &String| {
        let found = settings.destinations.iter().find(|d| d.name.as_str() == name);
        found.map(|d| d.name.clone()).ok_or_else(|| Problem::field("destinations", format!("{name:?} is no destination")))
    };
    let mut found = names.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::new();
    found.retain(|name| seen.insert(name.clone()));
    Ok(found)
}

/// Where the event's source would send it now; or where it went, where that source is gone or has nothing for it.
async fn usual(context: &Context, event: &Event) -> Result<Vec<Name>, Problem> {
    let settings = context.settings();
    let source = settings.sources.iter().find(|s| s.name == event.source);
    if let Some(source) = source {
        let routed = routed(&*context.store, source, event).await?;
        if !routed.is_empty() {
            return Ok(routed.to_vec());
        }
    }
    let earlier = context.store.deliveries_of(event.id).await?;
    let earlier: HashSet<Name> = earlier.into_iter().map(|d| d.delivery.destination).collect();
    let left: Vec<Name> = settings.destinations.iter().map(|d| d.name.clone()).filter(|n| earlier.contains(n)).collect();
    if left.is_empty() {
        return Err(Problem::field(
            "destinations",
            "no route sends this event anywhere, and it went nowhere: name a destination",
        ));
    }
    Ok(left)
}

async fn existing(context: &Context, id: EventId) -> Result<Event, Problem> {
    context.store.event(id).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: EventId) -> Problem {
    Problem::not_found(format!("no event has the id {id}"))
}
