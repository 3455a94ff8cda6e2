//! `deliveries/cancel` and `deliveries/retry`: calls off, or tries again, all deliveries that fit a filter, in steps: one call changes a
//! bounded number of them and tells whether there may be more.

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
use crate::store::{Cursor, DeliveryFilter, Error, Page, Store};
use crate::time::Timestamp;

/// Deliveries that one call looks at: it ends within seconds.
const LOOKED_AT_MAX: usize = 10_000;
/// Changes that wait together: they share syncs.
const AT_ONCE: usize = 250;

/// What is done with them.
#[derive(Clone, Copy)]
enum Change {
    Cancel,
    Retry,
}

/// Which deliveries are called off.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelRequest {
    #[schema(value_type = Filter)]
    filter: Object<Filter>,
}

/// Which deliveries are tried again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryRequest {
    #[schema(value_type = Filter)]
    filter: Object<Filter>,
    /// The `next` of an earlier call.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    cursor: Option<String>,
}

/// At least one of these must be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeliveryFilter, min_properties = 1)]
struct Filter {
    /// `pending` or `parked`. Where nothing is said: what is pending is called off, what is parked is tried again.
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

/// What is tried again.
#[derive(Serialize, ToSchema)]
pub(super) struct Retried {
    /// Deliveries that are due now.
    retried: u64,
    /// There may be more: call again with this `cursor`. Who begins anew meets those that gave up again meanwhile.
    #[schema(required)]
    next: Option<String>,
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
    let filter = filter(request.filter.0, StateName::Pending)?;
    let done = all_that_fit(&context, &filter, None, Change::Cancel).await;
    caller.logs("cancel", &"all that fit a filter", &done);
    let (cancelled, next) = done?;
    let told = Told(format!("{cancelled} cancelled"));
    Ok((StatusCode::ACCEPTED, Extension(told), Json(Cancelled { cancelled, more: next.is_some() })))
}

/// Gives the deliveries that fit a filter a new budget, and makes them due now.
///
/// One call looks at a bounded number; `next` says that there may be others. What gives up again meanwhile is not met again.
#[utoipa::path(
    post, path = "/deliveries/retry", operation_id = "retryDeliveries", tag = "deliveries",
    request_body = RetryRequest,
    responses((status = 202, description = "What is tried again.", body = Retried), BadBodies, StoreTrouble)
)]
pub(super) async fn retry_all(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
    JsonBody(request): JsonBody<RetryRequest>,
) -> Result<(StatusCode, Extension<Told>, Json<Retried>), Problem> {
    let filter = filter(request.filter.0, StateName::Parked)?;
    let bad = || Problem::field("cursor", "cursor must be the `next` of an earlier call");
    let after = request.cursor.map(|text| text.parse::<Cursor>().map_err(|_| bad())).transpose()?;
    let done = all_that_fit(&context, &filter, after, Change::Retry).await;
    caller.logs("retry", &"all that fit a filter", &done);
    let (retried, next) = done?;
    let told = Told(format!("{retried} retried"));
    Ok((StatusCode::ACCEPTED, Extension(told), Json(Retried { retried, next: next.map(|next| next.to_string()) })))
}

/// The filter, which must say something: who means everything says a state. `usual`: the state where none is said.
fn filter(written: Filter, usual: StateName) -> Result<DeliveryFilter, Problem> {
    let Filter { state: word, destination, source, event, since, until } = written;
    let names_nothing = word.is_none() && destination.is_none() && source.is_none() && event.is_none();
    if names_nothing && since.is_none() && until.is_none() {
        return Err(Problem::field("filter", "say which: a state, a destination, a source, an event, or a time"));
    }
    let state = match state(word.as_deref().unwrap_or(usual.as_str())) {
        Some((Some(StateName::Pending), in_flight)) => (Some(StateName::Pending), in_flight),
        Some((Some(StateName::Parked), _)) => (Some(StateName::Parked), None),
        _ => return Err(Problem::field("state", "state must be pending or parked: what has ended stays as it is")),
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

/// How many were changed, and where to go on, where there may be more.
async fn all_that_fit(
    context: &Context,
    filter: &DeliveryFilter,
    mut after: Option<Cursor>,
    change: Change,
) -> Result<(u64, Option<Cursor>), Problem> {
    let (mut changed, mut looked_at) = (0, 0);
    loop {
        let listed = context.store.deliveries(filter, Page { after, limit: AT_ONCE }).await?;
        looked_at += listed.items.len();
        changed += change.each(context, listed.items.into_iter().map(|tracked| tracked.delivery.id)).await?;
        after = listed.next;
        if after.is_none() || looked_at >= LOOKED_AT_MAX {
            return Ok((changed, after));
        }
    }
}

impl Change {
    /// Changes these, but for those that went their way meanwhile.
    async fn each(self, context: &Context, ids: impl Iterator<Item = DeliveryId>) -> Result<u64, Problem> {
        let mut changes = JoinSet::new();
        for id in ids {
            let (store, now) = (context.store.clone(), context.clock.now());
            changes.spawn(async move { self.one(&*store, id, now).await });
        }
        let mut count = 0;
        while let Some(changed) = changes.join_next().await {
            match changed.unwrap_or_else(|error| Err(Error::Failed(error.to_string()))) {
                Ok(delivery) => {
                    if let Self::Cancel = self {
                        context.metrics.destination(&delivery.destination).settled(StateName::Cancelled);
                    }
                    count += 1;
                }
                Err(Error::Conflict(_) | Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    }

    async fn one(self, store: &dyn Store, id: DeliveryId, now: Timestamp) -> Result<Delivery, Error> {
        match self {
            Self::Cancel => store.cancel(id, now).await,
            Self::Retry => store.retry(id, now).await,
        }
    }
}
