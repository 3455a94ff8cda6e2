//! `events`: lists, one event, its body, and its replay.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::deliveries;
use super::search;
use crate::admin::auth::Caller;
use crate::admin::body::MaybeJson;
use crate::admin::openapi::answers::{BadBodies, Conflicts, Kept, Missing, StoreTrouble};
use crate::admin::openapi::parameters::{PageParameters, query, text, word};
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::sight::{Named, Sight};
use crate::admin::view::{EventView, List};
use crate::admin::{Context, etag};
use crate::delivery::routed;
use crate::record::{DeliveryId, Event, EventId, Name};
use crate::store::{Cursor, EventFilter, EventState};
use crate::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(body)).routes(routes!(replay))
}

/// Deliveries of all events of a page, but for those of its last one: an event that was replayed often has many, and each is read.
const DELIVERIES_MAX: usize = 2000;

/// Which events a list shows.
struct EventParameters;

impl IntoParams for EventParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            query::<Name>("source", "Of this source."),
            text("type", "Of this type (the provider's word).", None),
            query::<EventState>("state", "In this state."),
            query::<Name>("destination", "With a delivery to this destination."),
            query::<Timestamp>("since", "Received at this time or later."),
            query::<Timestamp>("until", "Received before this time."),
            text("provider_event_id", "With this id of the provider.", None),
            text("q", search::ABOUT, Some(search::TEXT_CHARS_MAX)),
            word("order", "Which come first.", ["newest", "oldest"]),
        ]
    }
}

/// Events, newest first unless asked otherwise.
#[utoipa::path(
    get, path = "/events", operation_id = "listEvents", tag = "events",
    params(EventParameters, PageParameters),
    responses((status = 200, description = "A page of events.", body = List<EventView>), StoreTrouble)
)]
async fn list(
    State(context): State<Arc<Context>>,
    sight: Sight,
    mut parameters: Parameters,
) -> Result<Json<List<EventView>>, Problem> {
    let (filter, page) = (filter(&mut parameters)?, parameters.page()?);
    let oldest_first = parameters.take("order", "newest or oldest", oldest_first)?.unwrap_or(false);
    parameters.finish()?;
    if filter.text.is_some() && !sight.may_search(filter.source.as_ref()) {
        return Err(Problem::forbidden(
            "this token may not see all of every body: name a `source` whose bodies it sees whole, or search with another token",
        ));
    }
    may_filter(&sight, &filter)?;
    let filter = search::bounded(filter, context.clock.now())?;
    let listed = match oldest_first {
        true => context.store.events_oldest_first(&filter, page).await?,
        false => context.store.events(&filter, page).await?,
    };
    let (mut items, mut shown, mut left) = (Vec::with_capacity(listed.items.len()), 0, listed.items.into_iter().peekable());
    while let Some(event) = left.next() {
        let (id, deliveries) = (event.id, context.store.deliveries_of(event.id).await?);
        shown += deliveries.len();
        items.push(EventView::new(&sight, event, deliveries));
        if shown >= DELIVERIES_MAX && left.peek().is_some() {
            let next = Cursor(DeliveryId { event: id, ordinal: 0 });
            return Ok(Json(List { items, next: Some(next.to_string()) }));
        }
    }
    Ok(Json(List { items, next: listed.next.map(|cursor| cursor.to_string()) }))
}

/// Whether this caller may look for what the filter names: who sees masks could guess what is behind them.
pub(super) fn may_filter(sight: &Sight, filter: &EventFilter) -> Result<(), Problem> {
    let refuses = |is_asked: bool, what| is_asked && !sight.may_filter_by(what, filter.source.as_ref());
    let refused =
        [(filter.kind.is_some(), Named::Kind, "type"), (filter.provider_event_id.is_some(), Named::Id, "provider_event_id")];
    match refused.into_iter().find(|(is_asked, what, _)| refuses(*is_asked, *what)) {
        None => Ok(()),
        Some((.., field)) => Err(Problem::forbidden(&format!(
            "`{field}` comes from a part of requests that this token may not see: name another `source`, or use another token"
        ))),
    }
}

/// `order=oldest`: for who follows what comes, from a time (`since`) or a cursor on.
fn oldest_first(word: &str) -> Option<bool> {
    match word {
        "newest" => Some(false),
        "oldest" => Some(true),
        _ => None,
    }
}

fn filter(parameters: &mut Parameters) -> Result<EventFilter, Problem> {
    Ok(EventFilter {
        source: parameters.name("source")?,
        kind: parameters.text("type")?,
        state: parameters.take("state", "pending, parked, delivered, cancelled or unrouted", state)?,
        destination: parameters.name("destination")?,
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        provider_event_id: parameters.text("provider_event_id")?,
        text: parameters.text("q")?,
    })
}

pub(super) fn state(word: &str) -> Option<EventState> {
    EventState::ALL.into_iter().find(|state| state.as_str() == word)
}

/// One event, with its header fields, its deliveries and their attempts.
#[utoipa::path(
    get, path = "/events/{id}", operation_id = "showEvent", tag = "events", params(("id" = EventId, Path)),
    responses((status = 200, description = "The event.", body = EventView), Kept, Missing, StoreTrouble)
)]
async fn show(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(id): Id<EventId>,
    headers: HeaderMap,
    _: NoParameters,
) -> Result<Response, Problem> {
    let event = existing(&context, id).await?;
    let deliveries = context.store.deliveries_of(id).await?;
    let mut shown = Vec::with_capacity(deliveries.len());
    for delivery in deliveries.iter().cloned() {
        shown.push(deliveries::whole(&context, &sight, delivery).await?);
    }
    let fields = event.headers.clone();
    let view = EventView::new(&sight, event, deliveries).with_headers(&sight, &fields).with_deliveries(shown);
    etag::json(&headers, &view)
}

/// The bytes of an event's body, as they came; for those who may not see all of them JSON with masks.
///
/// They never change: the `ETag` stands for them. What has masks has none.
#[utoipa::path(
    get, path = "/events/{id}/body", operation_id = "readEventBody", tag = "events", params(("id" = EventId, Path)),
    responses(
        (status = 200, description = "The body.", body = Vec<u8>, content_type = "application/octet-stream"),
        Kept, Missing, StoreTrouble,
    )
)]
async fn body(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(id): Id<EventId>,
    asked: HeaderMap,
    _: NoParameters,
) -> Result<Response, Problem> {
    let (source, tag) = (existing(&context, id).await?.source, etag::quoted(&id.to_string()));
    let veil = sight.of(&source);
    if veil.is_open() && etag::is_known(&asked, &tag) {
        return Ok(etag::answer(&asked, tag, Default::default));
    }
    let body = context.store.body(id).await?.ok_or_else(|| unknown(id))?;
    let shown = veil.body(body)?;
    Ok(if shown.is_whole() { etag::answer(&asked, tag, || shown.saved_as(id)) } else { shown.saved_as(id) })
}

/// What a replay may say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventReplay)]
struct ReplayRequest {
    /// Where it goes; where nothing is said, where its source would send it now.
    #[schema(min_items = 1, value_type = Option<Vec<Name>>)]
    destinations: Option<Vec<String>>,
}

/// What a replay made, or hurried.
#[derive(Serialize, ToSchema)]
struct Replayed {
    deliveries: Vec<DeliveryId>,
}

/// Delivers an event again.
///
/// Where a delivery to a destination is still pending, that one is made due now and named; else a new one is made.
#[utoipa::path(
    post, path = "/events/{id}/replay", operation_id = "replayEvent", tag = "events", params(("id" = EventId, Path)),
    request_body = Option<ReplayRequest>,
    responses(
        (status = 202, description = "The deliveries.", body = Replayed),
        Missing, Conflicts, BadBodies, StoreTrouble,
    )
)]
async fn replay(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<EventId>,
    _: NoParameters,
    MaybeJson(request): MaybeJson<ReplayRequest>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
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
