//! `audit`: who did what. For operators: it has colleagues' addresses, and what each of them did.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::Value;

use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::parameters::Parameters;
use crate::admin::problem::Problem;
use crate::config::settings::Role;
use crate::record::EventId;
use crate::store::{AuditFilter, Audited};
use crate::time::Timestamp;

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new().route("/audit", get(list))
}

/// `GET /audit?who=&action=&since=&until=&limit=&cursor=`: a list, newest first.
#[derive(Serialize)]
struct AuditList {
    items: Vec<AuditView>,
    next: Option<String>,
    /// Lines of the log that could not be read on the way.
    damaged: usize,
}

/// One change, or refusals that were counted together.
#[derive(Serialize)]
struct AuditView {
    id: EventId,
    at: Timestamp,
    /// A token's name; `loopback`, `signal`, `files` or `command` where there was none; `null` where nobody knows.
    who: Option<String>,
    role: Option<String>,
    peer: Option<IpAddr>,
    /// A word such as `deliveries.retry`.
    action: String,
    /// The id or the name of what it was done to.
    target: Option<String>,
    /// What else was said: a filter, `force`.
    parameters: Option<Value>,
    /// `done`, `refused`, `failed`, or `unknown`: it is under way, or the relay ended before it could be written down.
    result: &'static str,
    status: Option<u16>,
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
