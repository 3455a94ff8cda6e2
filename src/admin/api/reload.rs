//! `reload`: the configuration is read again, and is in force whole or not at all.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::audit::Told;
use crate::admin::auth::Caller;
use crate::admin::openapi::answers::{StoreTrouble, Unusable};
use crate::admin::parameters::NoParameters;
use crate::admin::problem::Problem;
use crate::admin::{Context, Reload};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(reload))
}

/// What is different, a line each: `sources.stripe: changed`.
#[derive(Serialize, ToSchema)]
struct Reloaded {
    changed: Vec<String>,
}

/// Reads relay.toml again. The new configuration is in force whole, or not at all.
#[utoipa::path(
    post, path = "/reload", operation_id = "reload", tag = "relay",
    responses((status = 200, description = "What is different.", body = Reloaded), Unusable, StoreTrouble)
)]
async fn reload(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
) -> Result<(Extension<Told>, Json<Reloaded>), Problem> {
    let done = reloaded(&context).await;
    caller.logs("reload", &"configuration", &done);
    done.map(|changed| (Extension(Told(changed.join("; "))), Json(Reloaded { changed })))
}

async fn reloaded(context: &Context) -> Result<Vec<String>, Problem> {
    let (answer, done) = oneshot::channel();
    context
        .reloads
        .try_send(Reload(answer))
        .map_err(|_| Problem::unavailable("it is being reloaded, or the relay is stopping"))?;
    match done.await {
        Ok(Ok(changed)) => Ok(changed),
        Ok(Err(problems)) => Err(Problem::unusable("the new configuration cannot be used; the old one stays in force", problems)),
        Err(_) => Err(Problem::unavailable("the relay is stopping")),
    }
}
