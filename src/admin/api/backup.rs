//! `backup`: all that is stored, as one stream of records. It is whole where it ends with its closing record.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use hyper::body::Frame;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Context;
use crate::admin::auth::Caller;
use crate::admin::openapi::answers::{Conflicts, StoreTrouble};
use crate::admin::parameters::NoParameters;
use crate::admin::problem::Problem;
use crate::store::{Backup, Error};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(send))
}

/// All that is stored, as one stream, whole where it ends with its closing record. An operator's: one at a time.
#[utoipa::path(
    get, path = "/backup", operation_id = "backup", tag = "relay",
    responses(
        (status = 200, description = "The stream.", body = Vec<u8>, content_type = "application/octet-stream"),
        Conflicts, StoreTrouble,
    )
)]
async fn send(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
) -> Result<impl IntoResponse, Problem> {
    if !caller.sees_all {
        return Err(Problem::forbidden("a backup holds what this token may not see"));
    }
    let backup = context.store.backup();
    caller.logs("backup", &"everything", &backup);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"hookhold-backup\""),
    ];
    Ok((headers, Body::new(Pieces(backup?))))
}

/// A backup as the body of an answer. An error cuts the connection: the answer must not look whole.
struct Pieces(Backup);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll(task).map_ok(Frame::data)
    }
}
