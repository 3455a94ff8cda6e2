//! `deliveries`: lists, one delivery, and what a person can do with it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};

use super::cancel_all::cancel_all;
use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::sight::Sight;
use crate::admin::view::{DeliveryView, List};
use crate::record::{Delivery, DeliveryId, StateName};
use crate::store::{DeliveryFilter, Tracked};

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/deliveries", get(list))
        .route("/deliveries/cancel", post(cancel_all))
        .route("/deliveries/{id}", get(show))
        .route("/deliveries/{id}/retry", post(retry))
        .route("/deliveries/{id}/park", post(park))
        .route("/deliveries/{id}/cancel", post(cancel))
}

/// A delivery with its attempts and its destination's URL.
pub(super) async fn whole(context: &Context, sight: &Sight, delivery: Tracked) -> Result<DeliveryView, Problem> {
    let attempts = context.store.attempts(delivery.delivery.id).await?;
    let settings = context.settings();
    let destination = settings.destinations.iter().find(|d| d.name == delivery.delivery.destination);
    Ok(DeliveryView::new(sight, delivery).with_attempts(sight, attempts).with_url(destination.map(|d| &**d)))
}

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
    Some(match word {
        "pending" => (Some(StateName::Pending), Some(false)),
        "in_flight" => (None, Some(true)),
        "delivered" => (Some(StateName::Delivered), None),
        "parked" => (Some(StateName::Parked), None),
        "cancelled" => (Some(StateName::Cancelled), None),
        _ => return None,
    })
}

async fn show(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(id): Id<DeliveryId>,
    _: NoParameters,
) -> Result<Json<DeliveryView>, Problem> {
    let found = context.store.delivery(id).await?;
    let delivery = found.ok_or_else(|| Problem::not_found(format!("no delivery has the id {id}")))?;
    whole(&context, &sight, delivery).await.map(Json)
}

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
