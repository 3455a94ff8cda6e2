//! `quarantine`: requests that were not believed, and the way out for those that are believed now.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Object, RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::audit::Told;
use crate::admin::auth::Caller;
use crate::admin::body::{MaybeJson, given};
use crate::admin::openapi::answers::{BadBodies, Missing, StoreTrouble};
use crate::admin::openapi::parameters::{PageParameters, query};
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

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(super::reasons::list))
        .routes(routes!(release))
        .routes(routes!(show, drop_one))
        .routes(routes!(body))
}

/// Which requests a list shows.
struct QuarantineParameters;

impl IntoParams for QuarantineParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            query::<Name>("source", "For this source."),
            query::<Reason>("reason", "Not believed for this reason."),
            query::<Timestamp>("since", "That came at this time or later."),
            query::<Timestamp>("until", "That came before this time."),
        ]
    }
}

/// Requests that were not believed, newest first.
#[utoipa::path(
    get, path = "/quarantine", operation_id = "listQuarantine", tag = "quarantine",
    params(QuarantineParameters, PageParameters),
    responses((status = 200, description = "A page of requests.", body = List<QuarantinedView>))
)]
async fn list(
    State(context): State<Arc<Context>>,
    sight: Sight,
    mut parameters: Parameters,
) -> Result<Json<List<QuarantinedView>>, Problem> {
    let filter = QuarantineFilter {
        source: parameters.name("source")?,
        reason: parameters.take("reason", "a reason of refusals, like mismatch", reason_of)?,
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

fn reason_of(word: &str) -> Option<String> {
    Reason::from_word(word).map(|reason| reason.as_str().to_owned())
}

/// One request, with its header fields.
#[utoipa::path(
    get, path = "/quarantine/{id}", operation_id = "showQuarantined", tag = "quarantine", params(("id" = EventId, Path)),
    responses((status = 200, description = "The request.", body = QuarantinedView), Missing, StoreTrouble)
)]
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

/// The bytes of a request's body, as they came; for those who may not see all of them JSON with masks.
#[utoipa::path(
    get, path = "/quarantine/{id}/body", operation_id = "readQuarantinedBody", tag = "quarantine", params(("id" = EventId, Path)),
    responses(
        (status = 200, description = "The body.", body = Vec<u8>, content_type = "application/octet-stream"),
        Missing, StoreTrouble,
    )
)]
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

/// Lets a request go for good.
#[utoipa::path(
    delete, path = "/quarantine/{id}", operation_id = "dropQuarantined", tag = "quarantine", params(("id" = EventId, Path)),
    responses((status = 204, description = "It is gone."), Missing, StoreTrouble)
)]
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

/// What is judged again; nothing said: everything. So a field that is there says something.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReleaseRequest {
    #[serde(deserialize_with = "given")]
    source: Option<Name>,
    #[serde(deserialize_with = "given")]
    ids: Option<Vec<EventId>>,
    #[serde(deserialize_with = "given")]
    reason: Option<String>,
    #[serde(deserialize_with = "given")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "given")]
    until: Option<Timestamp>,
    /// Without a proof: a person says that these ids are what they claim to be.
    force: bool,
}

impl ToSchema for ReleaseRequest {}
impl PartialSchema for ReleaseRequest {
    /// Ids or a filter, not both.
    fn schema() -> RefOr<Schema> {
        let of = |about: &str| {
            let nothing_else = utoipa::openapi::schema::AdditionalProperties::FreeForm(false);
            ObjectBuilder::new().description(Some(about)).additional_properties(Some(nothing_else))
        };
        let ids = ArrayBuilder::new().items(EventId::schema()).min_items(Some(1)).max_items(Some(IDS_MAX));
        let ids = of("Requests by their ids; with `force` without a proof, as a person vouches for them.")
            .property("ids", ids)
            .property("force", Object::with_type(Type::Boolean))
            .required("ids");
        let never = ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false]));
        let fitting = of("Those that fit; what is left out does not matter.")
            .property("source", Name::schema())
            .property("reason", Reason::schema())
            .property("since", Timestamp::schema())
            .property("until", Timestamp::schema())
            .property("force", never);
        RefOr::T(Schema::AnyOf(AnyOfBuilder::new().item(ids).item(fitting).build()))
    }
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Released)]
struct ReleasedView {
    released: u64,
    still_refused: u64,
}

/// Judges requests again with the present secrets. What is believed now becomes an event of the time at which it came.
#[utoipa::path(
    post, path = "/quarantine/release", operation_id = "releaseQuarantined", tag = "quarantine",
    request_body = Option<ReleaseRequest>,
    responses((status = 200, description = "What came of it.", body = ReleasedView), BadBodies, StoreTrouble)
)]
async fn release(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
    MaybeJson(request): MaybeJson<ReleaseRequest>,
) -> Result<(Extension<Told>, Json<ReleasedView>), Problem> {
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
    let known = |word: String| reason_of(&word).ok_or_else(|| Problem::field("reason", format!("{word:?} is no reason")));
    let filter = QuarantineFilter { source, reason: reason.map(known).transpose()?, since, until };
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
