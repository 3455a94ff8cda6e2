//! `alerts`: what is wrong, what was lately, and whether those who should hear of it can be reached.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::openapi::answers::Conflicts;
use crate::admin::openapi::parameters::{PageParameters, query};
use crate::admin::parameters::{NoParameters, Parameters};
use crate::admin::problem::Problem;
use crate::alarm::{Alarm, Kind, State};
use crate::time::Timestamp;
use crate::watch::{Standing, Tried};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(test))
}

/// Which alarms a list shows.
struct AlertParameters;

impl IntoParams for AlertParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![query::<State>("state", "In this state."), query::<Kind>("kind", "Of this kind.")]
    }
}

/// Alarms, and who hears of them.
#[derive(Serialize, ToSchema)]
struct Alerts {
    items: Vec<AlertView>,
    /// The `cursor` of the next page.
    #[schema(required)]
    next: Option<String>,
    /// Whether anything can alarm: there is a table `[alerts]`.
    enabled: bool,
    receivers: Vec<ReceiverView>,
}

/// An alarm.
#[derive(Serialize, ToSchema)]
#[schema(as = Alert)]
struct AlertView {
    id: String,
    #[schema(value_type = Kind)]
    kind: &'static str,
    /// `{"source": "NAME"}`, `{"destination": "NAME"}`, `{"certificate": "FILE"}`, `{"host": "NAME"}` or `{"part": "store"}`.
    #[schema(value_type = Object)]
    subject: Value,
    #[schema(value_type = State)]
    state: &'static str,
    /// What is wrong, as a sentence without its end.
    summary: String,
    /// How much.
    detail: String,
    /// What to do next.
    advice: String,
    since: Timestamp,
    #[schema(required)]
    began_at: Option<Timestamp>,
    #[schema(required)]
    ended_at: Option<Timestamp>,
    /// When the receivers were last told.
    #[schema(required)]
    last_sent_at: Option<Timestamp>,
}

/// Who hears of it; the address is masked.
#[derive(Serialize, ToSchema)]
#[schema(as = Receiver)]
struct ReceiverView {
    to: String,
    form: &'static str,
    /// Messages that it has not taken yet.
    waiting: usize,
    #[schema(required)]
    last_sent_at: Option<Timestamp>,
    #[schema(required)]
    last_error: Option<String>,
}

/// What came of a test message, receiver by receiver.
#[derive(Serialize, ToSchema)]
struct Tests {
    results: Vec<TestView>,
}

/// What a receiver answered: its status and first words, or in their place why there was no answer.
#[derive(Serialize, ToSchema)]
#[schema(as = Test)]
struct TestView {
    to: String,
    form: &'static str,
    took_ms: u64,
    #[schema(required)]
    status: Option<u16>,
    #[schema(required)]
    answer: Option<String>,
    #[schema(required)]
    error: Option<String>,
}

/// Alarms, newest first.
///
/// Those that ended go after a while, and with a restart.
#[utoipa::path(
    get, path = "/alerts", operation_id = "listAlerts", tag = "alerts",
    params(AlertParameters, PageParameters),
    responses((status = 200, description = "A page of alarms.", body = Alerts))
)]
async fn list(Shared(context): Shared<Arc<Context>>, mut parameters: Parameters) -> Result<Json<Alerts>, Problem> {
    let state =
        parameters.take("state", "pending, firing or ended", |text| State::ALL.into_iter().find(|s| s.as_str() == text))?;
    let kind = parameters.take("kind", "a kind of alarm", |text| Kind::ALL.into_iter().find(|k| k.as_str() == text))?;
    let (after, limit) = parameters.page_of_ids::<u64>()?;
    parameters.finish()?;
    let mut alarms = context.watch.alarms();
    alarms.retain(|alarm| state.is_none_or(|state| alarm.state == state) && kind.is_none_or(|kind| alarm.kind == kind));
    alarms.retain(|alarm| after.is_none_or(|after| alarm.number < after));
    let more = alarms.len() > limit;
    alarms.truncate(limit);
    let next = alarms.last().filter(|_| more).map(|alarm| alarm.number.to_string());
    let receivers = context.watch.receivers();
    Ok(Json(Alerts {
        items: alarms.into_iter().map(AlertView::new).collect(),
        next,
        enabled: receivers.is_some(),
        receivers: receivers.unwrap_or_default().into_iter().map(ReceiverView::new).collect(),
    }))
}

/// Sends a test message to each receiver.
#[utoipa::path(
    post, path = "/alerts/test", operation_id = "testAlerts", tag = "alerts",
    responses((status = 200, description = "What each receiver answered.", body = Tests), Conflicts)
)]
async fn test(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
) -> Result<Json<Tests>, Problem> {
    let results = match context.watch.receivers() {
        Some(receivers) if !receivers.is_empty() => Ok(context.watch.test().await),
        _ => Err(Problem::conflict("nobody hears of alarms: write [alerts] with to = [...] in relay.toml")),
    };
    caller.logs("test", &"alerts", &results);
    Ok(Json(Tests { results: results?.into_iter().map(TestView::new).collect() }))
}

impl AlertView {
    fn new(alarm: Alarm) -> Self {
        Self {
            id: alarm.number.to_string(),
            kind: alarm.kind.as_str(),
            subject: json!({ alarm.subject.field(): alarm.subject.to_string() }),
            state: alarm.state.as_str(),
            summary: alarm.kind.sentence(&alarm.subject),
            detail: alarm.detail,
            advice: alarm.kind.advice(&alarm.subject),
            since: alarm.since,
            began_at: alarm.began_at,
            ended_at: alarm.ended_at,
            last_sent_at: alarm.last_sent_at,
        }
    }
}

impl ReceiverView {
    fn new(Standing { to, form, waiting, last_sent_at, last_error }: Standing) -> Self {
        Self { to, form, waiting, last_sent_at, last_error }
    }
}

impl TestView {
    fn new(Tried { to, form, took, answer }: Tried) -> Self {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let view = Self { to, form, took_ms, status: None, answer: None, error: None };
        match answer {
            Ok((status, words)) => Self { status: Some(status.as_u16()), answer: Some(words), ..view },
            Err(error) => Self { error: Some(error), ..view },
        }
    }
}
