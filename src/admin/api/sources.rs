//! `sources`: where webhooks enter, and how many did.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::admin::Context;
use crate::admin::parameters::Parameters;
use crate::admin::problem::Problem;
use crate::admin::view::List;
use crate::config::settings::{Source, SourcePath};
use crate::record::Name;
use crate::time::Timestamp;

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new().route("/sources", get(list))
}

/// A source. The counts, and the time of the last event, are those since the start.
#[derive(Serialize)]
struct SourceView {
    name: Name,
    host: Option<String>,
    path: String,
    provider: Arc<str>,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    quarantined: u64,
    last_event_at: Option<Timestamp>,
}

async fn list(State(context): State<Arc<Context>>, mut parameters: Parameters) -> Result<Json<List<SourceView>>, Problem> {
    let page = parameters.named_page()?;
    parameters.finish()?;
    let (shown, next) = page.of(&context.settings.sources, |s| &s.name);
    Ok(Json(List { items: shown.into_iter().map(|source| view(&context, source)).collect(), next }))
}

fn view(context: &Context, source: &Source) -> SourceView {
    let metrics = context.metrics.source(&source.name);
    SourceView {
        name: source.name.clone(),
        host: source.host.clone(),
        path: written(&source.path),
        provider: source.provider.clone(),
        accepted: metrics.accepted(),
        rejected: metrics.rejected(),
        duplicates: metrics.duplicates(),
        // Nothing is kept aside yet.
        quarantined: 0,
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
