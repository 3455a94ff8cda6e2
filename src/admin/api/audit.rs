//! `audit`: who did what. For operators: it has colleagues' addresses, and what each of them did.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::openapi::answers::StoreTrouble;
use crate::admin::openapi::parameters::{PageParameters, query, text};
use crate::admin::parameters::Parameters;
use crate::admin::problem::Problem;
use crate::config::settings::Role;
use crate::record::EventId;
use crate::store::{AuditFilter, Audited};
use crate::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What of the log a list shows.
struct AuditParameters;

impl IntoParams for AuditParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            text("who", "Done by this token.", None),
            text("action", "Of this kind, such as `deliveries.retry`, or `deliveries` for all of them.", None),
            query::<Timestamp>("since", "At this time or later."),
            query::<Timestamp>("until", "Before this time."),
        ]
    }
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
struct AuditList {
    items: Vec<AuditView>,
    /// The `cursor` of the next page.
    #[schema(required)]
    next: Option<String>,
    /// Lines of the log that could not be read on the way.
    damaged: usize,
}

/// One change, or refusals that were counted together.
#[derive(Serialize, ToSchema)]
#[schema(as = Audited)]
struct AuditView {
    id: EventId,
    at: Timestamp,
    /// A token's name; `loopback`, `signal`, `files`, `acme` or `command` where there was none; `null` where nobody knows.
    #[schema(required)]
    who: Option<String>,
    #[schema(required)]
    role: Option<String>,
    #[schema(required, value_type = Option<String>)]
    peer: Option<IpAddr>,
    /// A word such as `deliveries.retry`.
    action: String,
    /// The id or the name of what it was done to.
    #[schema(required)]
    target: Option<String>,
    /// What else was said: a filter, `force`.
    #[schema(required, value_type = Option<Object>)]
    parameters: Option<Value>,
    /// `done`, `refused`, `failed`, or `unknown`: it is under way, or the relay ended before it could be written down.
    result: &'static str,
    #[schema(required)]
    status: Option<u16>,
    #[schema(required)]
    detail: Option<String>,
    /// How often.
    count: u64,
}

impl From<Audited> for AuditView {
    fn from(Audited { id, at, deed, outcome, count }: Audited) -> Self {
        let result = match outcome.as_ref().map(|outcome| outcome.status) {
            None => "unknown",
            Some(..400) => "done",
            Some(400..500) => "refused",
            Some(500..) => "failed",
        };
        let (status, detail) = outcome.map_or((None, None), |outcome| (Some(outcome.status), outcome.detail));
        Self {
            id,
            at,
            who: deed.who,
            role: deed.role,
            peer: deed.peer,
            action: deed.action,
            target: deed.target,
            parameters: deed.parameters,
            result,
            status,
            detail,
            count,
        }
    }
}

/// Who changed what, and who was refused, newest first. For operators.
#[utoipa::path(
    get, path = "/audit", operation_id = "listAudit", tag = "relay",
    params(AuditParameters, PageParameters),
    responses((status = 200, description = "A page of the log.", body = AuditList), StoreTrouble)
)]
async fn list(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    mut parameters: Parameters,
) -> Result<Json<AuditList>, Problem> {
    if caller.role < Role::Operator {
        return Err(Problem::forbidden("the audit log is for operators: it tells what each of them did, and from where"));
    }
    let filter = AuditFilter {
        who: parameters.text("who")?,
        action: parameters.text("action")?,
        since: parameters.time("since")?,
        until: parameters.time("until")?,
    };
    let (after, limit) = parameters.page_of_ids::<EventId>()?;
    parameters.finish()?;
    let log = context.audit.clone();
    // One more tells whether there is another page.
    let found = tokio::task::spawn_blocking(move || log.list(&filter, after, limit + 1)).await;
    let found = found.map_err(|error| Problem::failed(error.to_string()))?;
    let (mut found, damaged) = found.map_err(|error| Problem::failed(format!("the audit log cannot be read: {error}")))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Json(AuditList { items: found.into_iter().map(AuditView::from).collect(), next, damaged }))
}
