//! `quarantine`: requests that were not believed, and the way out for those that are believed now.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use crate::admin::Context;
use crate::admin::audit::Told;
use crate::admin::auth::Caller;
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::sight::Sight;
use crate::admin::view::{List, QuarantinedView};
use crate::ingest::{Released, Which};
use crate::record::{EventId, Name};
use crate::signature::Reason;
use crate::store::{Kept, QuarantineFilter};
use crate::time::Timestamp;

/// Requests of one release by id: a person chose them.
const IDS_MAX: usize = 500;

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/quarantine", get(list))
        .route("/quarantine/release", post(release))
        .route("/quarantine/{id}", get(show).delete(drop_one))
        .route("/quarantine/{id}/body", get(body))
}

async fn list(
    State(context): State<Arc<Context>>,
    sight: Sight,
    mut parameters: Parameters,
) -> Result<Json<List<QuarantinedView>>, Problem> {
    let filter = QuarantineFilter {
        source: parameters.name("source")?,
        reason: parameters.take("reason", "a reason of refusals, like mismatch", reason)?,
        since: parameters.time("since")?,
        until: parameters.time("until")?,
    };
    let (after, limit) = parameters.page_of_ids::<EventId>()?;
    parameters.finish()?;
    // One more tells whether there is another page.
    let mut found = context.quarantine.list(&filter, after, limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Json(List { items: found.into_iter().map(|one| QuarantinedView::new(&sight, one)).collect(), next }))
}

fn reason(word: &str) -> Option<String> {
    Reason::from_word(word).map(|reason| reason.as_str().to_owned())
}

async fn show(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Json<QuarantinedView>, Problem> {
    let found = context.quarantine.find(id).ok_or_else(|| unknown(id))?;
    let kept = whole(&context, id).await?;
    let explained = Reason::from_word(&kept.reason).map(|reason| reason.to_string());
    Ok(Json(QuarantinedView::new(&sight, found).with_request(&sight, &kept.received, explained)))
}

async fn body(
    State(context): State<Arc<Context>>,
    sight: Sight,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let kept = whole(&context, id).await?;
    sight.of(&kept.source).body(kept.received.body).map(|shown| shown.saved_as(id))
}

async fn whole(context: &Context, id: EventId) -> Result<Kept, Problem> {
    let quarantine = context.quarantine.clone();
    let read = tokio::task::spawn_blocking(move || quarantine.read(id)).await;
    let read = read.map_err(|error| Problem::failed(error.to_string()))?;
    read.map_err(|error| Problem::failed(error.to_string()))?.ok_or_else(|| unknown(id))
}

async fn drop_one(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<StatusCode, Problem> {
    let removed = match context.quarantine.remove(id) {
        Ok(true) => Ok(()),
        Ok(false) => Err(unknown(id)),
        Err(error) => Err(Problem::failed(error.to_string())),
    };
    caller.logs("drop from quarantine", &id, &removed);
    removed.map(|()| StatusCode::NO_CONTENT)
}

/// What is judged again; nothing said: everything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseRequest {
    source: Option<Name>,
    ids: Option<Vec<EventId>>,
    reason: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Without a proof: a person says that these ids are what they claim to be.
    #[serde(default)]
    force: bool,
}

/// What came of it.
#[derive(Serialize)]
struct ReleasedView {
    released: u64,
    still_refused: u64,
}

async fn release(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Extension<Told>, Json<ReleasedView>), Problem> {
    let body = body.map_err(|_| Problem::bad_body("the body could not be read"))?;
    let request: ReleaseRequest = match body.trim_ascii() {
        b"" => ReleaseRequest::default(),
        text => serde_json::from_slice(text).map_err(|error| Problem::bad_body(format!("the body is not a release: {error}")))?,
    };
    let (what, vouched) = (format!("{request:?}"), request.force);
    let which = which(request)?;
    let released = context.line.release(which, vouched).await.map_err(Problem::from);
    caller.logs(if vouched { "release without proof" } else { "release" }, &what, &released);
    let Released { released, still_refused } = released?;
    let told = Told(format!("{released} released, {still_refused} still refused"));
    Ok((Extension(told), Json(ReleasedView { released, still_refused })))
}

fn which(request: ReleaseRequest) -> Result<Which, Problem> {
    let ReleaseRequest { source, ids, reason, since, until, force } = request;
    let filter = QuarantineFilter { source, reason, since, until };
    let is_empty = filter.source.is_none() && filter.reason.is_none() && filter.since.is_none() && filter.until.is_none();
    match ids {
        Some(ids) if ids.is_empty() || ids.len() > IDS_MAX => Err(Problem::field("ids", format!("name 1 to {IDS_MAX} requests"))),
        Some(ids) if is_empty => Ok(Which::Ids(ids)),
        Some(_) => Err(Problem::field("ids", "give either ids or a filter")),
        None if force => Err(Problem::field("force", "name the requests by `ids`: what nobody proved is released one by one")),
        None => Ok(Which::Fitting(filter)),
    }
}

fn unknown(id: EventId) -> Problem {
    Problem::not_found(format!("nothing with the id {id} is in quarantine"))
}
