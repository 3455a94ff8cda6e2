//! The admin listener: the dashboard, the API under `/api/v1`, health and metrics.
//!
//! ```text
//! request -> secured (headers of every answer) -> auth::admit (who, and may they) -> audit::watch (what is changed is written down)
//!         -> api::*, health or dashboard; what came from outside is shown through a sight::Sight (who may see it)
//! ```
//!
//! Handlers read parameters, ask the store, and shape the answer; rules about states live in `record` and in the store.
//! Errors are problem documents (RFC 9457). Never here: a write past the store's trait, or a secret in an answer or a log line.

mod api;
mod audit;
mod auth;
mod body;
mod configuration;
mod dashboard;
mod etag;
mod guesses;
mod health;
pub mod history;
mod openapi;
mod parameters;
mod problem;
mod session;
mod sight;
mod standing;
mod view;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::{Extension, Router};
use tokio::sync::{mpsc, oneshot};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::config::settings::Settings;
use crate::delivery::Replays;
use crate::ingest::{Arming, Line};
use crate::metrics::Metrics;
use crate::store::{AuditLog, Pauses, Quarantine, Space, Store};
use crate::time::{Clock, Timestamp};
use crate::watch::Watch;
pub use configuration::{Configuration, LastReload};
use history::History;
use openapi::Described;
use problem::Problem;

/// What a change may say in its body: a list of names at most.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Set on every answer: what the relay shows came from outside, so a browser must not interpret, frame or keep it.
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The address that a request comes from: an extension of the request, set by who has the socket.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What the admin listener works on.
pub struct Context {
    /// The events and deliveries.
    pub store: Arc<dyn Store>,
    /// Requests that were not believed.
    pub quarantine: Arc<Quarantine>,
    /// What judges them again.
    pub line: Arc<Line>,
    /// Old events, delivered again.
    pub replays: Arc<Replays>,
    /// Whether there is room for more of them.
    pub space: Arc<Space>,
    /// What the relay was told.
    pub told: Arc<Told>,
    /// The same for people, without secrets.
    pub configuration: Arc<Configuration>,
    /// What the relay counted.
    pub metrics: Arc<Metrics>,
    /// What is wrong, and who hears of it.
    pub watch: Arc<Watch>,
    /// What of it in the last day.
    pub history: Arc<History>,
    /// Who did what.
    pub audit: Arc<AuditLog>,
    /// Which sources and destinations are paused.
    pub pauses: Arc<Pauses>,
    /// Where somebody who wants the configuration read again says so.
    pub reloads: mpsc::Sender<Reload>,
    /// The present.
    pub clock: Clock,
    /// When the relay started.
    pub started_at: Timestamp,
}

/// What the relay was told last. It is replaced when the configuration is read again.
pub struct Told {
    settings: ArcSwap<Settings>,
    arming: ArcSwap<Arming>,
}

impl Told {
    /// From the first configuration, and the sources whose secret comes in a request.
    pub fn new(settings: Arc<Settings>, arming: Arc<Arming>) -> Self {
        Self { settings: ArcSwap::new(settings), arming: ArcSwap::new(arming) }
    }

    /// Both are others from now on.
    pub fn replace(&self, settings: Arc<Settings>, arming: Arc<Arming>) {
        self.settings.store(settings);
        self.arming.store(arming);
    }

    /// The present settings.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// The sources whose secret comes in a request.
    pub fn arming(&self) -> Arc<Arming> {
        self.arming.load_full()
    }
}

/// The wish that the configuration is read again, with the place for what came of it: the changes, or the problems.
pub struct Reload(pub oneshot::Sender<Result<Vec<String>, Vec<String>>>);

impl Context {
    fn settings(&self) -> Arc<Settings> {
        self.told.settings()
    }
}

/// Everything that the admin listener answers.
pub fn router(context: Arc<Context>) -> Router {
    show_what_is_known(&context);
    let door = Arc::new(auth::Door::new(context.clone()));
    let (api, description) = api();
    Router::new()
        .merge(dashboard::routes(door.clone(), api.clone().with_state(context.clone())))
        .merge(api)
        .layer(Extension(Arc::new(Described::new(&description))))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(door.clone(), audit::watch))
        .layer(from_fn_with_state(door, auth::admit))
        .layer(map_response(secured))
        .with_state(context)
}

/// All that is for programs, with its description.
fn api() -> (Router<Arc<Context>>, OpenApi) {
    let routes = OpenApiRouter::new().nest("/api/v1", api::routes()).merge(health::routes()).merge(openapi::routes());
    openapi::described(routes)
}

/// What a relay of this version serves at `/openapi.json`, in lines.
pub fn description() -> String {
    Described::pretty(&api().1)
}

/// Metrics of what is configured are there, at zero, before the first request.
fn show_what_is_known(context: &Context) {
    context.metrics.set_started_at(context.started_at);
    context.settings().sources.iter().for_each(|s| drop(context.metrics.source(&s.name)));
    context.settings().destinations.iter().for_each(|d| drop(context.metrics.destination(&d.name)));
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::not_found(format!("nothing is at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("{} does not take {method}", uri.path()))
}

async fn secured(mut answer: Response) -> Response {
    set_security_headers(answer.headers_mut());
    answer
}

/// What an answer says itself stays: the dashboard's own files have a policy of their own.
fn set_security_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
