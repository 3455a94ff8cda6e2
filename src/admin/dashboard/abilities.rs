//! What this relay's API can do, as the dashboard has to know before it shows a page or a button.
//!
//! The API itself is asked: a path that is there refuses a method that nothing uses with 405, and one that is not there is 404.
//! So nobody has to keep a list, and a browser does not have to try what is not there.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

/// The dashboard's word, and a path that is there where the API can do it.
const PATHS: [(&str, &str); 8] = [
    ("alerts", "/api/v1/alerts"),
    ("audit", "/api/v1/audit"),
    ("live", "/api/v1/live"),
    ("quarantine", "/api/v1/quarantine"),
    ("replays", "/api/v1/replays"),
    ("pause_destination", "/api/v1/destinations/any/pause"),
    ("pause_source", "/api/v1/sources/any/pause"),
    ("arm_source", "/api/v1/sources/any/arm"),
];

/// The words of what this API can do.
pub(super) async fn of(api: Router) -> Vec<&'static str> {
    let api = TowerToHyperService::new(api);
    let mut found = Vec::with_capacity(PATHS.len());
    for (word, path) in PATHS {
        let mut question = Request::new(Body::empty());
        *question.method_mut() = Method::TRACE;
        *question.uri_mut() = axum::http::Uri::from_static(path);
        let Ok(answer) = api.call(question).await;
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            found.push(word);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, post};

    #[tokio::test]
    async fn what_is_there_is_found_and_not_called() {
        let api = Router::new()
            .route("/api/v1/live", get(async || "called"))
            .route("/api/v1/sources/{name}/arm", post(async || "called"));
        assert_eq!(of(api).await, ["live", "arm_source"]);
    }
}
