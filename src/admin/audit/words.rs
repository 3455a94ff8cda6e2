//! What a change is called, what it is about, and what else is kept of what its caller said.
//!
//! The word comes from the route, so that every route has one. Of a body only what is in the list is kept: a member that is not may
//! hold anything.

use axum::body::Bytes;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use serde_json::{Map, Value};

const API: &str = "/api/v1/";
/// What a route without a verb is called: who posts to a list makes something.
const LISTS: [&str; 1] = ["replays"];
/// Members of bodies that say what is changed, and how.
const MEMBERS: [&str; 19] = [
    "filter",
    "source",
    "sources",
    "type",
    "state",
    "destination",
    "destinations",
    "event",
    "ids",
    "reason",
    "since",
    "until",
    "to",
    "rate_per_s",
    "dry_run",
    "force",
    "for_ms",
    "provider_event_id",
    "cursor",
];
/// A text of a body that is longer is no name, no id and no time.
const TEXT_CHARS_MAX: usize = 200;
/// Values of a list: a release names so many requests at most.
const ITEMS_MAX: usize = 500;
/// Of what is in the path.
const TARGET_CHARS_MAX: usize = 100;

/// The word for what a request wants, such as `deliveries.retry`, and the id or the name that it is about; `None` where no route
/// takes it.
pub(super) fn action(request: &Request) -> Option<(String, Option<String>)> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    Some((word(request.method(), route), target(route, request.uri().path())))
}

fn word(method: &Method, route: &str) -> String {
    let rest = route.strip_prefix(API).unwrap_or(route);
    let mut words: Vec<&str> = rest.split('/').filter(|part| !part.is_empty() && !part.starts_with('{')).collect();
    match *method {
        Method::POST if words.len() == 1 && LISTS.contains(&words[0]) => words.push("create"),
        Method::DELETE => words.push("delete"),
        Method::PUT | Method::PATCH => words.push("set"),
        _ => {}
    }
    words.join(".")
}

fn target(route: &str, path: &str) -> Option<String> {
    let mut parts = route.split('/').zip(path.split('/')).filter(|(pattern, _)| pattern.starts_with('{'));
    // Ids and names have no other characters; what has is none.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let (_, named) = parts.next()?;
    // A client may write any character as `%XX`.
    let named = percent_encoding::percent_decode_str(named).decode_utf8_lossy();
    Some(named.chars().map(|c| if is_plain(c) { c } else { '?' }).take(TARGET_CHARS_MAX).collect())
}

/// What is kept of a body.
pub(super) fn parameters(body: &Bytes) -> Option<Value> {
    let Ok(Value::Object(said)) = serde_json::from_slice(body) else { return None };
    let kept = members(said);
    (!kept.is_empty()).then_some(Value::Object(kept))
}

fn members(said: Map<String, Value>) -> Map<String, Value> {
    let known = said.into_iter().filter(|(name, value)| MEMBERS.contains(&name.as_str()) && !value.is_null());
    known.map(|(name, value)| (name, kept(value))).collect()
}

fn kept(value: Value) -> Value {
    match value {
        Value::Object(said) => Value::Object(members(said)),
        Value::Array(items) => items.into_iter().take(ITEMS_MAX).map(scalar).collect(),
        other => scalar(other),
    }
}

fn scalar(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.chars().take(TEXT_CHARS_MAX).collect()),
        Value::Object(_) | Value::Array(_) => Value::Null,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_has_a_word() {
        for (method, route, expected) in [
            (Method::POST, "/api/v1/deliveries/{id}/retry", "deliveries.retry"),
            (Method::POST, "/api/v1/deliveries/cancel", "deliveries.cancel"),
            (Method::POST, "/api/v1/replays", "replays.create"),
            (Method::POST, "/api/v1/reload", "reload"),
            (Method::DELETE, "/api/v1/quarantine/{id}", "quarantine.delete"),
            (Method::GET, "/api/v1/backup", "backup"),
            (Method::POST, "/login", "login"),
        ] {
            assert_eq!(word(&method, route), expected);
        }
    }

    #[test]
    fn what_a_path_names_is_plain() {
        let route = "/api/v1/sources/{name}/pause";
        assert_eq!(target(route, "/api/v1/sources/gh-1.x/pause").as_deref(), Some("gh-1.x"));
        assert_eq!(target(route, "/api/v1/sources/gh%2D1%2ex/pause").as_deref(), Some("gh-1.x"));
        assert_eq!(target(route, "/api/v1/sources/%0a<b>%ff/pause").as_deref(), Some("??b??"));
        assert_eq!(target(route, &format!("/api/v1/sources/{}/pause", "x".repeat(1000))).unwrap().len(), TARGET_CHARS_MAX);
        assert_eq!(target("/api/v1/reload", "/api/v1/reload"), None);
    }

    #[test]
    fn of_a_body_only_known_members_are_kept() {
        let kept = |body: Value| parameters(&Bytes::from(body.to_string()));
        let body = json!({
            "filter": {"source": "gh", "since": null, "password": "x"}, "token": "secret", "force": true,
            "ids": ["a", {"b": 1}, 5], "to": "y".repeat(500),
        });
        let expected = json!({"filter": {"source": "gh"}, "force": true, "ids": ["a", null, 5], "to": "y".repeat(200)});
        assert_eq!(kept(body), Some(expected));
        assert_eq!([kept(json!({"token": "secret"})), kept(json!([1])), kept(json!("secret"))], [None, None, None]);
        assert_eq!(parameters(&Bytes::from_static(b"secret")), None);
    }
}
