//! `reload`: the configuration is read again, and is in force whole or not at all.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::admin::audit::Told;
use crate::admin::auth::Caller;
use crate::admin::parameters::NoParameters;
use crate::admin::problem::Problem;
use crate::admin::{Context, Reload};

pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new().route("/reload", post(reload))
}

/// What is different, a line each: `sources.stripe: changed`.
#[derive(Serialize)]
struct Reloaded {
    changed: Vec<String>,
}

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
