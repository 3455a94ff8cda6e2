//! Health for load balancers and supervisors, and metrics. Plain text; nothing about events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Context;
use crate::metrics;
use crate::record::Name;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(exposition))
}

/// 200 while the process works. Everybody may ask.
#[utoipa::path(
    get, path = "/healthz", operation_id = "isAlive", tag = "relay", security(()),
    responses((status = 200, description = "It works.", body = String, content_type = "text/plain"))
)]
async fn alive() -> &'static str {
    "ok\n"
}

/// 200 while the relay can accept durably, else 503 and why not. Everybody may ask.
#[utoipa::path(
    get, path = "/readyz", operation_id = "isReady", tag = "relay", security(()),
    responses(
        (status = 200, description = "It can.", body = String, content_type = "text/plain"),
        (status = 503, description = "It cannot: why not.", body = String, content_type = "text/plain"),
    )
)]
async fn ready(State(context): State<Arc<Context>>) -> impl IntoResponse {
    match context.store.health().and_then(|()| context.space.full().map_or(Ok(()), Err)) {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// What the relay counts, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "showMetrics", tag = "relay",
    responses((status = 200, description = "The metrics.", body = String, content_type = metrics::CONTENT_TYPE))
)]
async fn exposition(State(context): State<Arc<Context>>) -> impl IntoResponse {
    for destination in &context.settings().destinations {
        refresh(&context, &destination.name).await;
    }
    let counts = context.store.counts();
    // A store that cannot tell its size is reported by `store_ready`.
    let bytes = context.store.bytes().await.unwrap_or_default();
    context.metrics.set_store(bytes, counts.events, context.store.health().is_ok(), counts.damaged);
    context.metrics.set_space(counts.bytes, context.space.free_bytes(), context.space.is_full());
    context.metrics.set_waits(context.store.wait(), context.line.lag());
    context.watch.show_certificates();
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], context.metrics.render())
}

/// Brings the backlog's gauges up to date. A store that cannot tell leaves them as they were: the other metrics matter most then.
async fn refresh(context: &Context, destination: &Name) {
    if let Ok(backlog) = context.store.backlog(destination).await {
        let age = backlog.oldest_due_at.map(|due| context.clock.now().since(due)).unwrap_or_default();
        context.metrics.destination(destination).set_backlog(backlog.pending, age.as_secs_f64());
    }
}
