//! `deliveries/cancel`: calls off all deliveries that fit a filter, in steps: one call changes a bounded number of them and tells
//! whether there may be more.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use utoipa::ToSchema;

use super::deliveries::state;
use crate::admin::Context;
use crate::admin::audit::Told;
use crate::admin::auth::Caller;
use crate::admin::body::{JsonBody, Object, given};
use crate::admin::openapi::answers::{BadBodies, StoreTrouble};
use crate::admin::parameters::NoParameters;
use crate::admin::problem::Problem;
use crate::record::{Delivery, DeliveryId, EventId, Name, StateName};
use crate::store::{DeliveryFilter, Error, Page};
use crate::time::Timestamp;

/// Deliveries that one call looks at: it ends within seconds.
const LOOKED_AT_MAX: usize = 10_000;
/// Changes that wait together: they share syncs.
const AT_ONCE: usize = 250;

/// Which deliveries.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelRequest {
    #[schema(value_type = Filter)]
    filter: Object<Filter>,
}

/// At least one of these must be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelFilter, min_properties = 1)]
struct Filter {
    /// `pending` (where nothing is said) or `parked`.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, pattern = "^(pending|parked)$")]
    state: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<Name>)]
    destination: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<Name>)]
    source: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<EventId>)]
    event: Option<String>,
    /// Whose event was received at this time or later.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    since: Option<Timestamp>,
    /// Whose event was received before this time.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    until: Option<Timestamp>,
}

/// What was called off.
#[derive(Serialize, ToSchema)]
pub(super) struct Cancelled {
    cancelled: u64,
    /// There may be more: call again.
    more: bool,
}

/// Calls off the deliveries that fit a filter.
///
/// One call looks at a bounded number; `more` says that there may be others.
#[utoipa::path(
    post, path = "/deliveries/cancel", operation_id = "cancelDeliveries", tag = "deliveries",
    request_body = CancelRequest,
    responses((status = 202, description = "What was called off.", body = Cancelled), BadBodies, StoreTrouble)
)]
pub(super) async fn cancel_all(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
    JsonBody(request): JsonBody<CancelRequest>,
) -> Result<(StatusCode, Extension<Told>, Json<Cancelled>), Problem> {
    let cancelled = all_that_fit(&context, &filter(request.filter.0)?).await;
    caller.logs("cancel", &"all that fit a filter", &cancelled);
    let cancelled = cancelled?;
    let told = Told(format!("{} cancelled", cancelled.cancelled));
    Ok((StatusCode::ACCEPTED, Extension(told), Json(cancelled)))
}

/// The filter, which must say something: who means everything says `"state": "pending"`.
fn filter(written: Filter) -> Result<DeliveryFilter, Problem> {
    let Filter { state: word, destination, source, event, since, until } = written;
    let names_nothing = word.is_none() && destination.is_none() && source.is_none() && event.is_none();
    if names_nothing && since.is_none() && until.is_none() {
        return Err(Problem::field("filter", "say which: a state, a destination, a source, an event, or a time"));
    }
    let state = match word.as_deref().map_or(Some((Some(StateName::Pending), Some(false))), state) {
        Some((Some(StateName::Pending), in_flight)) => (Some(StateName::Pending), in_flight),
        Some((Some(StateName::Parked), _)) => (Some(StateName::Parked), None),
        _ => return Err(Problem::field("state", "state must be pending or parked: nothing else can be called off")),
    };
    let name = |field: &'static str, text: Option<String>| {
        let bad = || Problem::field(field, format!("{field} must be the name of a source or a destination"));
        text.map(|text| Name::try_new(&text).map_err(|_| bad())).transpose()
    };
    let bad = || Problem::field("event", "event must be an event's id");
    let event = event.map(|text| text.parse::<EventId>().map_err(|_| bad())).transpose()?;
    let (destination, source) = (name("destination", destination)?, name("source", source)?);
    Ok(DeliveryFilter { state: state.0, in_flight: state.1, destination, source, event, since, until })
}

async fn all_that_fit(context: &Context, filter: &DeliveryFilter) -> Result<Cancelled, Problem> {
    let (mut done, mut looked_at, mut after) = (Cancelled { cancelled: 0, more: false }, 0, None);
    loop {
        let listed = context.store.deliveries(filter, Page { after, limit: AT_ONCE }).await?;
        looked_at += listed.items.len();
        done.cancelled += cancel_each(context, listed.items.into_iter().map(|tracked| tracked.delivery.id)).await?;
        after = listed.next;
        if after.is_none() {
            return Ok(done);
        }
        if looked_at >= LOOKED_AT_MAX {
            return Ok(Cancelled { more: true, ..done });
        }
    }
}

/// Calls these off, but for those that went their way meanwhile.
async fn cancel_each(context: &Context, ids: impl Iterator<Item = DeliveryId>) -> Result<u64, Problem> {
    let mut changes = JoinSet::new();
    for id in ids {
        let (store, now) = (context.store.clone(), context.clock.now());
        changes.spawn(async move { store.cancel(id, now).await });
    }
    let mut cancelled = 0;
    while let Some(changed) = changes.join_next().await {
        let changed: Result<Delivery, Error> = changed.unwrap_or_else(|error| Err(Error::Failed(error.to_string())));
        match changed {
            Ok(delivery) => {
                context.metrics.destination(&delivery.destination).settled(StateName::Cancelled);
                cancelled += 1;
            }
            Err(Error::Conflict(_) | Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(cancelled)
}
