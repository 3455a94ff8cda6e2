//! `sources`: where webhooks enter, how many did, pausing one, and letting one take the secret that its provider brings.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::body::{JsonBody, whole};
use crate::admin::openapi::answers::{BadBodies, Conflicts, Missing, StoreTrouble};
use crate::admin::openapi::parameters::{PageParameters, text, word};
use crate::admin::parameters::{Id, NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::config::settings::{Source, SourcePath};
use crate::ingest::ARMED_TIME_MAX;
use crate::record::Name;
use crate::store::Pausable;
use crate::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(arm))
        .routes(routes!(disarm))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// The longest time for which a source can be armed, as it is written.
const ARMED_MS_MAX: u64 = ARMED_TIME_MAX.as_millis() as u64;
// The description takes a number only.
const _: () = assert!(ARMED_MS_MAX == 3_600_000);

/// How long a source waits for its secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ArmRequest {
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 3_600_000)]
    for_ms: u64,
}

/// A source that waits for its secret.
#[derive(Serialize, ToSchema)]
struct Armed {
    source: Name,
    armed_until: Timestamp,
}

/// Lets a source take the secret that its provider is about to send.
#[utoipa::path(
    post, path = "/sources/{name}/arm", operation_id = "armSource", tag = "sources", params(("name" = Name, Path)),
    request_body = ArmRequest,
    responses((status = 200, description = "Until when it waits.", body = Armed), Missing, Conflicts, BadBodies)
)]
async fn arm(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
    JsonBody(request): JsonBody<ArmRequest>,
) -> Result<Json<Armed>, Problem> {
    let armed = armed(&context, &name, request);
    caller.logs("arm", &name, &armed);
    armed.map(Json)
}

fn armed(context: &Context, name: &str, request: ArmRequest) -> Result<Armed, Problem> {
    let time = Duration::from_millis(request.for_ms);
    if time.is_zero() || time > ARMED_TIME_MAX {
        return Err(Problem::field("for_ms", format!("must be between 1 and {ARMED_MS_MAX}")));
    }
    let source = named(context, name)?.name.clone();
    let armed_until = context.clock.now().after(time);
    context.told.arming().arm(&source, armed_until).map_err(|error| Problem::conflict(error.to_string()))?;
    Ok(Armed { source, armed_until })
}

/// A source that does not wait any more.
#[derive(Serialize, ToSchema)]
struct Disarmed {
    source: Name,
    was_armed: bool,
}

/// Takes that back: the source takes no secret any more.
#[utoipa::path(
    post, path = "/sources/{name}/disarm", operation_id = "disarmSource", tag = "sources", params(("name" = Name, Path)),
    responses((status = 200, description = "Whether it waited.", body = Disarmed), Missing, Conflicts)
)]
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

/// Answers a source's provider with 503, so that it comes again later.
#[utoipa::path(
    post, path = "/sources/{name}/pause", operation_id = "pauseSource", tag = "sources", params(("name" = Name, Path)),
    responses((status = 200, description = "The source as it is now.", body = SourceView), Missing, StoreTrouble)
)]
async fn pause(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id<String>,
    _: NoParameters,
) -> Result<Json<SourceView>, Problem> {
    change(&context, &caller, &name, true).await
}

/// Takes a source's events again.
#[utoipa::path(
    post, path = "/sources/{name}/resume", operation_id = "resumeSource", tag = "sources", params(("name" = Name, Path)),
    responses((status = 200, description = "The source as it is now.", body = SourceView), Missing, StoreTrouble)
)]
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
#[derive(Serialize, ToSchema)]
#[schema(as = Source)]
struct SourceView {
    name: Name,
    #[schema(required)]
    host: Option<String>,
    /// As it is in relay.toml.
    path: String,
    #[schema(value_type = String)]
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
    #[schema(required)]
    last_event_at: Option<Timestamp>,
}

/// Which sources a list shows, and which come first.
struct SourceParameters;

impl IntoParams for SourceParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            text("name", "Whose name has this text in it.", None),
            word("order", "Which come first: by name, or those with the latest event.", ["name", "latest"]),
        ]
    }
}

/// A page of sources.
#[derive(Serialize, ToSchema)]
struct SourceList {
    items: Vec<SourceView>,
    /// The `cursor` of the next page; `null` at the end.
    #[schema(required)]
    next: Option<String>,
    /// How many there are, on all pages.
    total: usize,
}

/// Sources, by name unless asked otherwise.
#[utoipa::path(
    get, path = "/sources", operation_id = "listSources", tag = "sources", params(SourceParameters, PageParameters),
    responses((status = 200, description = "A page of sources.", body = SourceList))
)]
async fn list(State(context): State<Arc<Context>>, mut parameters: Parameters) -> Result<Json<SourceList>, Problem> {
    let (page, part) = (parameters.named_page()?, parameters.text("name")?.unwrap_or_default());
    let by_event = parameters.take("order", "name or latest", latest_first)?.unwrap_or(false);
    parameters.finish()?;
    let settings = context.settings();
    let mut fitting: Vec<_> = settings.sources.iter().filter(|s| s.name.as_str().contains(&part)).cloned().collect();
    let total = fitting.len();
    let (shown, next) = if by_event {
        let latest = |source: &Arc<Source>| context.metrics.source(&source.name).last_event_at();
        fitting.sort_by_cached_key(|source| (Reverse(latest(source)), source.name.clone()));
        page.of_ordered(fitting.iter().map(Arc::as_ref).collect(), |s| &s.name)
    } else {
        page.of(&fitting, |s| &s.name)
    };
    Ok(Json(SourceList { items: shown.into_iter().map(|source| view(&context, source)).collect(), next, total }))
}

/// `order=latest`: for who looks whether anything comes.
fn latest_first(word: &str) -> Option<bool> {
    match word {
        "name" => Some(false),
        "latest" => Some(true),
        _ => None,
    }
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
