//! `deliveries`: lists, one delivery, and what a person can do with it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::many;
use crate::admin::auth::Caller;
use crate::admin::openapi::answers::{Conflicts, Kept, Missing, StoreTrouble};
use crate::admin::openapi::parameters::{PageParameters, query};
use crate::admin::openapi::schema::{DeliveryState, IN_FLIGHT};
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::sight::Sight;
use crate::admin::view::{DeliveryView, List};
use crate::admin::{Context, etag};
use crate::record::{Delivery, DeliveryId, EventId, Name, StateName};
use crate::store::{DeliveryFilter, Tracked};
use crate::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(many::cancel_all))
        .routes(routes!(many::retry_all))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(park))
        .routes(routes!(cancel))
}

/// Which deliveries a list shows.
struct DeliveryParameters;

impl IntoParams for DeliveryParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            query::<DeliveryState>("state", "In this state."),
            query::<Name>("destination", "To this destination."),
            query::<Name>("source", "Of this source."),
            query::<EventId>("event", "Of this event."),
            query::<Timestamp>("since", "Whose event was received at this time or later."),
            query::<Timestamp>("until", "Whose event was received before this time."),
        ]
    }
}

/// A delivery with its attempts and its destination's URL.
pub(super) async fn whole(context: &Context, sight: &Sight, delivery: Tracked) -> Result<DeliveryView, Problem> {
    let attempts = context.store.attempts(delivery.delivery.id).await?;
    let settings = context.settings();
    let destination = settings.destinations.iter().find(|d| d.name == delivery.delivery.destination);
    Ok(DeliveryView::new(sight, delivery).with_attempts(sight, attempts).with_url(destination.map(|d| &**d)))
}

/// Deliveries, those of the newest event first.
#[utoipa::path(
    get, path = "/deliveries", operation_id = "listDeliveries", tag = "deliveries",
    params(DeliveryParameters, PageParameters),
    responses((status = 200, description = "A page of deliveries.", body = List<DeliveryView>), StoreTrouble)
)]
async fn list(
    State(context): State<Arc<Context>>,
    sight: Sight,
    mut parameters: Parameters,
) -> Result<Json<List<DeliveryView>>, Problem> {
    let (filter, page) = (filter(&mut parameters)?, parameters.page()?);
    parameters.finish()?;
    let listed = context.store.deliveries(&filter, page).await?;
    let items = listed.items.into_iter().map(|delivery| DeliveryView::new(&sight, delivery)).collect();
    Ok(Json(List { items, next: listed.next.map(|cursor| cursor.to_string()) }))
}

fn filter(parameters: &mut Parameters) -> Result<DeliveryFilter, Problem> {
    let state = parameters.take("state", "pending, in_flight, delivered, parked or cancelled", state)?;
    let (state, in_flight) = state.unwrap_or_default();
    Ok(DeliveryFilter {
        state,
        in_flight,
        destination: parameters.name("destination")?,
        source: parameters.name("source")?,
        event: parameters.take("event", "an event's id", |text| text.parse().ok())?,
        since: parameters.time("since")?,
        until: parameters.time("until")?,
    })
}

/// The API's word as the store's two conditions: `in_flight` is a claim on a pending delivery.
pub(super) fn state(word: &str) -> Option<(Option<StateName>, Option<bool>)> {
    if word == IN_FLIGHT {
        return Some((None, Some(true)));
    }
    let state = StateName::ALL.into_iter().find(|state| state.as_str() == word)?;
    Some((Some(state), (state == StateName::Pending).then_some(false)))
}

/// One delivery, with its attempts.
#[utoipa::path(
    get, path = "/deliveries/{id}", operation_id = "showDelivery", tag = "deliveries", params(("id" = DeliveryId, Path)),
    responses((status = 200, description = "The delivery.", body = DeliveryView), Kept, Missing, StoreTrouble)
)]
async fn show(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(id): Id<DeliveryId>,
    headers: HeaderMap,
    _: NoParameters,
) -> Result<Response, Problem> {
    let found = context.store.delivery(id).await?;
    let delivery = found.ok_or_else(|| Problem::not_found(format!("no delivery has the id {id}")))?;
    etag::json(&headers, &whole(&context, &sight, delivery).await?)
}

/// Gives a delivery a new budget, and makes it due now.
#[utoipa::path(
    post, path = "/deliveries/{id}/retry", operation_id = "retryDelivery", tag = "deliveries", params(("id" = DeliveryId, Path)),
    responses(
        (status = 202, description = "The delivery as it is now.", body = DeliveryView),
        Missing, Conflicts, StoreTrouble,
    )
)]
async fn retry(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    sight: Sight,
    Id(id): Id<DeliveryId>,
    _: NoParameters,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let retried = context.store.retry(id, context.clock.now()).await;
    caller.logs("retry", &id, &retried);
    changed(&context, &sight, retried?).await
}

/// Puts a pending delivery aside: it is kept, and holds nothing up.
#[utoipa::path(
    post, path = "/deliveries/{id}/park", operation_id = "parkDelivery", tag = "deliveries", params(("id" = DeliveryId, Path)),
    responses(
        (status = 202, description = "The delivery as it is now.", body = DeliveryView),
        Missing, Conflicts, StoreTrouble,
    )
)]
async fn park(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    sight: Sight,
    Id(id): Id<DeliveryId>,
    _: NoParameters,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let parked = context.store.park(id, context.clock.now()).await;
    caller.logs("park", &id, &parked);
    let parked = parked?;
    context.metrics.destination(&parked.destination).settled(StateName::Parked);
    changed(&context, &sight, parked).await
}

/// Calls a delivery off.
#[utoipa::path(
    post, path = "/deliveries/{id}/cancel", operation_id = "cancelDelivery", tag = "deliveries", params(("id" = DeliveryId, Path)),
    responses(
        (status = 202, description = "The delivery as it is now.", body = DeliveryView),
        Missing, Conflicts, StoreTrouble,
    )
)]
async fn cancel(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    sight: Sight,
    Id(id): Id<DeliveryId>,
    _: NoParameters,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let cancelled = context.store.cancel(id, context.clock.now()).await;
    caller.logs("cancel", &id, &cancelled);
    let cancelled = cancelled?;
    context.metrics.destination(&cancelled.destination).settled(StateName::Cancelled);
    changed(&context, &sight, cancelled).await
}

/// 202 with the delivery as the change left it; a lane may have claimed it since.
async fn changed(context: &Context, sight: &Sight, delivery: Delivery) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let view = whole(context, sight, Tracked { delivery, in_flight: false }).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}
