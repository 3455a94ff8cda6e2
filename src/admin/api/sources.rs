//! `sources`: where webhooks enter, how many did, pausing one, and letting one take the secret that its provider brings.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::admin::view::List;
use crate::config::settings::{Source, SourcePath};
use crate::ingest::ARMED_TIME_MAX;
use crate::record::Name;
use crate::store::Pausable;
use crate::time::Timestamp;

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/sources", get(list))
        .route("/sources/{name}/arm", post(arm))
        .route("/sources/{name}/disarm", post(disarm))
        .route("/sources/{name}/pause", post(pause))
        .route("/sources/{name}/resume", post(resume))
}

/// How long a source waits for its secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArmRequest {
    for_ms: u64,
}

/// A source that waits for its secret.
#[derive(Serialize)]
struct Armed {
    source: Name,
    armed_until: Timestamp,
}

async fn arm(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Armed>, Problem> {
    let body = body.map_err(|_| Problem::bad_body("the body could not be read"))?;
    let request: ArmRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_body(format!("the body is not {{\"for_ms\": N}}: {error}")))?;
    let armed = armed(&context, &name, request);
    caller.logs("arm", &name, &armed);
    armed.map(Json)
}

fn armed(context: &Context, name: &str, request: ArmRequest) -> Result<Armed, Problem> {
    let time = Duration::from_millis(request.for_ms);
    if time.is_zero() || time > ARMED_TIME_MAX {
        return Err(Problem::field("for_ms", format!("must be between 1 and {}", ARMED_TIME_MAX.as_millis())));
    }
    let source = named(context, name)?.name.clone();
    let armed_until = context.clock.now().after(time);
    context.told.arming().arm(&source, armed_until).map_err(|error| Problem::conflict(error.to_string()))?;
    Ok(Armed { source, armed_until })
}

/// A source that does not wait any more.
#[derive(Serialize)]
struct Disarmed {
    source: Name,
    was_armed: bool,
}

async fn disarm(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
) -> Result<Json<Disarmed>, Problem> {
    let disarmed = disarmed(&context, &name);
    caller.logs("disarm", &name, &disarmed);
    disarmed.map(Json)
}

fn disarmed(context: &Context, name: &str) -> Result<Disarmed, Problem> {
    let source = named(context, name)?.name.clone();
    let was_armed = context.told.arming().disarm(&source, context.clock.now());
    Ok(Disarmed { was_armed: was_armed.map_err(|error| Problem::conflict(error.to_string()))?, source })
}

async fn pause(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
) -> Result<Json<SourceView>, Problem> {
    change(&context, &caller, &name, true).await
}

async fn resume(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
) -> Result<Json<SourceView>, Problem> {
    change(&context, &caller, &name, false).await
}

async fn change(context: &Context, caller: &Caller, name: &str, pause: bool) -> Result<Json<SourceView>, Problem> {
    let source = named(context, name)?;
    super::set_paused(context, caller, Pausable::Source, &source.name, pause).await?;
    Ok(Json(view(context, &source)))
}

fn named(context: &Context, name: &str) -> Result<Arc<Source>, Problem> {
    let settings = context.settings();
    let found = settings.sources.iter().find(|source| source.name.as_str() == name);
    found.cloned().ok_or_else(|| Problem::not_found(format!("no source is named {name:?}")))
}

/// A source. The counts, and the time of the last event, are those since the start.
#[derive(Serialize)]
struct SourceView {
    name: Name,
    host: Option<String>,
    path: String,
    provider: Arc<str>,
    /// Whether its provider brings the secret, so that it can be armed.
    takes_secret: bool,
    /// What the answer waits for, as relay.toml has it: `stored`, `upstream` or `upstream-else-stored`.
    ack: &'static str,
    paused: bool,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    quarantined: u64,
    last_event_at: Option<Timestamp>,
}

async fn list(State(context): State<Arc<Context>>, mut parameters: Parameters) -> Result<Json<List<SourceView>>, Problem> {
    let page = parameters.named_page()?;
    parameters.finish()?;
    let settings = context.settings();
    let (shown, next) = page.of(&settings.sources, |s| &s.name);
    Ok(Json(List { items: shown.into_iter().map(|source| view(&context, source)).collect(), next }))
}

fn view(context: &Context, source: &Source) -> SourceView {
    let metrics = context.metrics.source(&source.name);
    SourceView {
        name: source.name.clone(),
        host: source.host.clone(),
        path: written(&source.path),
        provider: source.provider.clone(),
        takes_secret: source.takes_secret,
        ack: source.ack.as_str(),
        paused: context.pauses.is_paused(Pausable::Source, &source.name),
        accepted: metrics.accepted(),
        rejected: metrics.rejected(),
        duplicates: metrics.duplicates(),
        quarantined: context.quarantine.count_of(&source.name),
        last_event_at: metrics.last_event_at(),
    }
}

/// As it is written in relay.toml.
fn written(path: &SourcePath) -> String {
    match path {
        SourcePath::Exact(path) => path.clone(),
        SourcePath::Below(path) => format!("{path}/*"),
    }
}
