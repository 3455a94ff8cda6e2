//! `config`: what the running relay was told, in the words of relay.toml and without secrets, and the certificates that it shows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::configuration::{LastReload, Snapshot};
use crate::admin::parameters::NoParameters;
use crate::signature::CertificateFacts;
use crate::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What the relay was told.
#[derive(Serialize, ToSchema)]
#[schema(as = Configuration)]
struct ConfigView {
    /// The file, as the relay was started with.
    file: String,
    /// When what is in force was read.
    loaded_at: Timestamp,
    /// As text. What can be a secret is `***`; comments are left out.
    text: String,
    /// The same as a table.
    #[schema(value_type = Object)]
    config: Value,
    /// What somebody should look at all the same.
    warnings: Vec<String>,
    /// `None` where nobody wanted it to be read again since the start.
    #[schema(required)]
    last_reload: Option<ReloadView>,
    certificates: Vec<CertificateView>,
}

/// What came of reading it again: the changes, or the problems for which the old one stays in force.
#[derive(Serialize, ToSchema)]
#[schema(as = LastReload)]
struct ReloadView {
    at: Timestamp,
    done: bool,
    changed: Vec<String>,
    problems: Vec<String>,
}

/// A certificate that the listeners show; the first one for names that none is for.
#[derive(Serialize, ToSchema)]
#[schema(as = Certificate)]
struct CertificateView {
    file: String,
    names: Vec<String>,
    /// `None` where it cannot be read.
    #[schema(required)]
    not_before: Option<Timestamp>,
    #[schema(required)]
    not_after: Option<Timestamp>,
}

/// What the running relay was told, without secrets, and its certificates.
#[utoipa::path(
    get, path = "/config", operation_id = "showConfiguration", tag = "relay",
    responses((status = 200, description = "The configuration that is in force.", body = ConfigView))
)]
async fn show(State(context): State<Arc<Context>>, _: NoParameters) -> Json<ConfigView> {
    let Snapshot { shown, warnings, loaded_at, last_reload } = context.configuration.snapshot();
    let leaves = context.configuration.certificates().leaves();
    let certificates = leaves.into_iter().map(|(file, der)| {
        let facts = CertificateFacts::read(&der);
        CertificateView {
            file: file.display().to_string(),
            not_before: facts.as_ref().map(|facts| facts.not_before),
            not_after: facts.as_ref().map(|facts| facts.not_after),
            names: facts.map(|facts| facts.names).unwrap_or_default(),
        }
    });
    Json(ConfigView {
        file: shown.file.clone(),
        loaded_at,
        text: shown.text.clone(),
        config: Value::Object(shown.table.iter().map(|(key, value)| (key.clone(), json(value))).collect()),
        warnings,
        last_reload: last_reload.map(ReloadView::from),
        certificates: certificates.collect(),
    })
}

impl From<LastReload> for ReloadView {
    fn from(LastReload { at, result }: LastReload) -> Self {
        let done = result.is_ok();
        let (changed, problems) = match result {
            Ok(changed) => (changed, Vec::new()),
            Err(problems) => (Vec::new(), problems),
        };
        Self { at, done, changed, problems }
    }
}

/// A value of relay.toml as JSON: times become text.
fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(at) => at.to_string().into(),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect::<Map<_, _>>())
        }
    }
}
