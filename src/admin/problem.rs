//! Errors as problem documents (RFC 9457). A detail is for people; it never holds a secret.

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::Told;
use crate::store;

/// Seconds after which an overloaded store is worth another try.
const RETRY_AFTER: &str = "1";

/// Why a request was not done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<String>,
    header: Option<(&'static str, &'static str)>,
    problems: Vec<String>,
}

/// Why a request was not done (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document {
    /// `about:blank`: the status tells the kind.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status again.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, for people.
    detail: String,
    /// The parameter, or the field of the body, that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// Each of several things that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<String>,
}

impl Problem {
    /// The status of its answer.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, header: None, problems: Vec::new() }
    }

    /// 400: a parameter, or a field of the body, is at fault.
    pub(super) fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// 400: the body cannot be read.
    pub(super) fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 413: the body is too large.
    pub(super) fn large_body() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
    }

    /// 415: the body is of another type.
    pub(super) fn unsupported_body() -> Self {
        let header = Some(("accept", "application/json"));
        let detail = "the body must be JSON: say `Content-Type: application/json`";
        Self { header, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail) }
    }

    /// 401: no token, or none that counts.
    pub(super) fn unauthorized(detail: &str, challenge: &'static str) -> Self {
        let header = Some(("www-authenticate", challenge));
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 403: known, and not allowed.
    pub(super) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409: what it is about is not so.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 422: what it is about cannot be used, for all these reasons.
    pub(super) fn unusable(detail: &str, problems: Vec<String>) -> Self {
        Self { problems, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// 429: too much of it; the caller of this adds `Retry-After`.
    pub(super) fn too_many(detail: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
    }

    /// 503: not now.
    pub(super) fn unavailable(detail: &str) -> Self {
        Self { header: Some(("retry-after", RETRY_AFTER)), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// 500: it could not be done, and it is not the caller's fault.
    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// 405. The router adds `Allow`.
    pub(super) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let status = match error {
            store::Error::NotFound(_) => StatusCode::NOT_FOUND,
            store::Error::Conflict(_) => StatusCode::CONFLICT,
            store::Error::Overloaded | store::Error::Failed(_) | store::Error::Closed => StatusCode::SERVICE_UNAVAILABLE,
            store::Error::Damaged(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let header = matches!(error, store::Error::Overloaded).then_some(("retry-after", RETRY_AFTER));
        Self { header, ..Self::new(status, error.to_string()) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            field: self.field,
            problems: self.problems,
        };
        // Text and a number: writing them as JSON cannot fail.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut answer = (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        answer.extensions_mut().insert(Told(self.detail));
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}
