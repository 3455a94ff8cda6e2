//! The description of the API, compared with what a relay answers: neither may have what the other has not.

use std::collections::BTreeSet;

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::world::World;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const PROBLEM: &str = "application/problem+json";

/// An operation: path, method, and what is said of it.
type Operation<'a> = (&'a str, &'a str, &'a Value);

fn operations(api: &Value) -> Vec<Operation<'_>> {
    let paths = api["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| METHODS.into_iter().filter_map(move |m| Some((path.as_str(), m, item.get(m)?)))).collect()
}

/// What is missing, or wrong, in a description.
fn faults(api: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let tags: BTreeSet<_> = api["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(api) {
        let mut fault = |what: String| faults.push(format!("{method} {path}: {what}"));
        let said = |name: &str| operation[name].as_str().is_some_and(|text| !text.trim().is_empty());
        if !said("summary") {
            fault("no summary: begin its handler with a doc comment".to_owned());
        }
        if !said("operationId") || !ids.insert(operation["operationId"].clone().to_string()) {
            fault(format!("operationId {} is missing, or another's", operation["operationId"]));
        }
        if !operation["tags"].as_array().is_some_and(|all| all.len() == 1 && tags.contains(all[0].as_str().unwrap())) {
            fault(format!("tags {}: name one of {tags:?}", operation["tags"]));
        }
        if in_path(path) != named(operation, "path") {
            fault(format!("parameters of its path are {:?}", in_path(path)));
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let is_described =
                parameter["schema"].is_object() && (parameter["in"] == "path" || parameter["description"].is_string());
            if !is_described {
                fault(format!("parameter {} is not described", parameter["name"]));
            }
        }
        answers(operation, &mut fault);
    }
    for (name, schema) in api["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            if property.get("default").is_some_and(Value::is_null) {
                faults.push(format!("{name}.{field}: left out is not `null`"));
            }
        }
    }
    let mut references = Vec::new();
    collect_references(api, &mut references);
    faults.extend(references.into_iter().filter(|to| api.pointer(&to[1..]).is_none()).map(|to| format!("{to} leads nowhere")));
    faults
}

fn answers(operation: &Value, fault: &mut impl FnMut(String)) {
    let answers = operation["responses"].as_object().unwrap();
    let has_tag = |status: &str| answers.get(status).is_some_and(|answer| answer["headers"]["ETag"].is_object());
    let (may_be_kept, asks) = (answers.contains_key("304"), named(operation, "header").contains("If-None-Match"));
    if [asks, has_tag("200"), has_tag("304")] != [may_be_kept; 3] {
        fault("304, If-None-Match and ETag go together".to_owned());
    }
    let is_open = operation["security"].is_array();
    for status in ["400", "401", "403"] {
        if !is_open && !answers.contains_key(status) {
            fault(format!("{status} can come, and is not described"));
        }
    }
    if !answers.keys().any(|status| status.starts_with('2')) {
        fault("no answer says that it went well".to_owned());
    }
    if operation["requestBody"].is_object() && !(answers.contains_key("413") && answers.contains_key("415")) {
        fault("it has a body, which may be too large or of another type".to_owned());
    }
    for content in operation["requestBody"]["content"].as_object().into_iter().flat_map(|all| all.values()) {
        if content["schema"]["$ref"].is_null() {
            fault(format!("its body is not one shape: {}", content["schema"]));
        }
    }
    for (status, answer) in answers {
        let is_error = status.starts_with('4') || status.starts_with('5');
        if !answer["description"].is_string() || (is_error && !is_open && answer["content"].get(PROBLEM).is_none()) {
            fault(format!("{status} is not described, or is no problem document"));
        }
    }
}

/// The names in a path's braces.
fn in_path(path: &str) -> BTreeSet<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

/// The names of an operation's parameters of a kind.
fn named<'a>(operation: &'a Value, kind: &str) -> BTreeSet<&'a str> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    all.filter(|parameter| parameter["in"] == kind).map(|parameter| parameter["name"].as_str().unwrap()).collect()
}

fn collect_references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| collect_references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, into)),
        _ => {}
    }
}

/// A path with something in each brace that could be there.
fn filled(path: &str) -> String {
    let part = |part: &str| match part {
        "{name}" => "nobody".to_owned(),
        "{id}" => "019abf3c-2b7b-7c43-a1de-3d4a4f1c9f60.1".to_owned(),
        other => other.to_owned(),
    };
    let path = path.split('/').map(part).collect::<Vec<_>>().join("/");
    if path.contains("/deliveries/") { path } else { path.replace(".1", "") }
}

#[tokio::test]
async fn each_operation_is_described() {
    let api = World::open().json("/openapi.json").await;
    assert!(operations(&api).len() > 30, "only {} operations", operations(&api).len());
    assert_eq!(faults(&api), [""; 0]);
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(api["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(api["security"], json!([{ "token": [] }, {}]), "a token, or none where none is configured");
    let parameters = api["paths"]["/api/v1/events"]["get"]["parameters"].as_array().unwrap();
    let limit = parameters.iter().find(|one| one["name"] == "limit").unwrap();
    assert_eq!([&limit["schema"]["minimum"], &limit["schema"]["maximum"]], [1, 500]);
}

#[tokio::test]
async fn what_is_not_described_is_missed() {
    let api = World::open().json("/openapi.json").await;
    let event = "/paths/~1api~1v1~1events~1{id}/get";
    for (at, key) in [
        (event, "summary"),
        (event, "operationId"),
        (event, "tags"),
        (event, "parameters"),
        (&format!("{event}/responses"), "200"),
        (&format!("{event}/responses"), "401"),
        (&format!("{event}/responses/404"), "content"),
        ("/paths/~1api~1v1~1events/get/parameters/0", "description"),
        ("/paths/~1api~1v1~1replays/post/responses", "415"),
        ("/components/schemas", "Event"),
    ] {
        let mut without = api.clone();
        let removed = without.pointer_mut(at).and_then(|place| place.as_object_mut()?.remove(key));
        assert!(removed.is_some(), "{at} has no {key}");
        assert_ne!(faults(&without), [""; 0], "{at} without {key}");
    }
}

#[tokio::test]
async fn methods_are_those_that_are_described() {
    let world = World::open();
    let api = world.json("/openapi.json").await;
    for (path, item) in api["paths"].as_object().unwrap() {
        let mut described: BTreeSet<String> =
            METHODS.iter().filter(|method| item.get(**method).is_some()).map(|method| method.to_uppercase()).collect();
        if described.contains("GET") {
            described.insert("HEAD".to_owned());
        }
        let refused = world.call(Method::from_bytes(b"BREW").unwrap(), &filled(path), &[], "").await;
        refused.problem(405);
        let allowed: BTreeSet<String> = refused.header("allow").split(',').map(|method| method.trim().to_owned()).collect();
        assert_eq!(allowed, described, "{path}");
    }
}

#[tokio::test]
async fn parameters_are_those_that_are_described() {
    let world = World::open();
    let api = world.json("/openapi.json").await;
    for (path, method, operation) in operations(&api) {
        if !path.starts_with("/api/") && path != "/openapi.json" {
            continue;
        }
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let reply = world.call(method.clone(), &format!("{}?no_such_parameter=1", filled(path)), &[], "").await;
        assert_eq!(reply.problem(400).as_deref(), Some("no_such_parameter"), "{method} {path}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        let known = detail.split_once("known are ").map(|(_, known)| known.to_owned()).unwrap_or_default();
        let known: BTreeSet<&str> = known.split(", ").filter(|name| !name.is_empty()).collect();
        assert_eq!(known, named(operation, "query"), "{method} {path}: {detail}");
    }
}

#[tokio::test]
async fn the_description_needs_a_token_where_there_are_any() {
    let world = World::guarded();
    world.get("/openapi.json").await.problem(401);
    let fields = [("authorization", "Bearer viewer-token")];
    let first = world.call(Method::GET, "/openapi.json", &fields, "").await;
    assert_eq!(first.status, StatusCode::OK);
    let again = [("authorization", "Bearer viewer-token"), ("if-none-match", first.header("etag"))];
    let again = world.call(Method::GET, "/openapi.json", &again, "").await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (StatusCode::NOT_MODIFIED, 0, first.header("etag")));
    assert_eq!(again.header("cache-control"), "private, no-cache");
}

#[tokio::test]
async fn who_has_an_answer_is_told_so() {
    let world = World::open();
    let id = world.stored("stripe", &["billing"], 0).await;
    for path in [format!("events/{id}"), format!("events/{id}/body"), format!("deliveries/{id}.1")] {
        let path = format!("/api/v1/{path}");
        let first = world.get(&path).await;
        let tag = first.header("etag").to_owned();
        let again = world.call(Method::GET, &path, &[("if-none-match", &tag)], "").await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (StatusCode::NOT_MODIFIED, 0, &*tag), "{path}");
        assert_eq!(again.headers[header::CACHE_CONTROL], "no-store", "no browser keeps what a webhook brought");
        let other = world.call(Method::GET, &path, &[("if-none-match", "\"other\"")], "").await;
        assert_eq!((other.status, other.body), (StatusCode::OK, first.body), "{path}");
    }
    let before = world.get(&format!("/api/v1/events/{id}")).await;
    world.claimed("billing").await;
    let after = world.call(Method::GET, &format!("/api/v1/events/{id}"), &[("if-none-match", before.header("etag"))], "").await;
    assert_eq!(after.status, StatusCode::OK, "it changed");
    let unknown = hookhold::record::EventId::first_at(super::world::START);
    let tag = format!("\"{unknown}\"");
    world.call(Method::GET, &format!("/api/v1/events/{unknown}/body"), &[("if-none-match", &tag)], "").await.problem(404);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let world = World::open();
    let id = world.stored("stripe", &["billing"], 0).await;
    let replay = format!("/api/v1/events/{id}/replay");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/xml"] {
        let refused = world.call(Method::POST, &replay, &[("content-type", kind)], "{}").await;
        refused.problem(415);
        assert_eq!(refused.header("accept"), "application/json");
    }
    for kind in ["application/json", "application/json; charset=utf-8"] {
        let taken = world.call(Method::POST, &replay, &[("content-type", kind)], "{}").await;
        assert_eq!(taken.status, StatusCode::ACCEPTED, "{kind}");
    }
    for (path, body) in [
        (&*replay, "[]"),
        ("/api/v1/replays", "[]"),
        ("/api/v1/replays", r#"{"filter": [], "dry_run": true}"#),
        ("/api/v1/replays", r#"{"filter": {}, "filter": {}, "dry_run": true}"#),
        ("/api/v1/deliveries/cancel", r#"{"filter": {"state": null}}"#),
        ("/api/v1/deliveries/cancel", r#"{"filter": ["parked"]}"#),
        ("/api/v1/quarantine/release", r#"{"ids": null}"#),
        ("/api/v1/quarantine/release", r#"{"reason": "no such"}"#),
        ("/api/v1/quarantine/release", "null"),
        ("/api/v1/sources/stripe/arm", r#"{"for_ms": 1e99}"#),
        ("/api/v1/sources/stripe/arm", "{\"for_ms\": \u{feff}1}"),
    ] {
        world.post(path, body).await.problem(400);
    }
    let wrong = world.post("/api/v1/replays", r#"{"filter": {"since": "yesterday"}}"#).await;
    assert_eq!(wrong.problem(400).as_deref(), Some("filter.since"));
    for path in
        [&*replay, "/api/v1/replays", "/api/v1/deliveries/cancel", "/api/v1/quarantine/release", "/api/v1/sources/stripe/arm"]
    {
        world.post(path, &" ".repeat(100_000)).await.problem(413);
    }
}

#[tokio::test]
async fn a_search_finds_bytes_in_bodies() {
    let world = World::open();
    let id = world.stored("stripe", &["billing"], 0).await.to_string();
    let since = "since=2026-09-21T00:00:00Z";
    assert_eq!(world.ids(&format!("/api/v1/events?q=%22a%22:&{since}")).await, [&*id]);
    for nothing in ["A", "b", "%22a%22:%20%22x"] {
        assert_eq!(world.ids(&format!("/api/v1/events?q={nothing}&{since}")).await, [""; 0], "{nothing}");
    }
    let reply = world.get("/api/v1/events?q=a").await;
    assert_eq!(reply.problem(400).as_deref(), Some("since"));
    assert!(reply.json()["detail"].as_str().unwrap().contains("say `since`"));
    assert_eq!(world.get("/api/v1/events?q=a&since=2026-01-01T00:00:00Z").await.problem(400).as_deref(), Some("since"));
    let long = "x".repeat(257);
    assert_eq!(world.get(&format!("/api/v1/events?q={long}&{since}")).await.problem(400).as_deref(), Some("q"));
}

#[tokio::test]
async fn a_cursor_is_a_place_in_the_list_whatever_the_filter() {
    let world = World::open();
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(world.stored(if n % 2 == 0 { "stripe" } else { "other" }, &["billing"], n).await.to_string());
    }
    let page = world.json("/api/v1/events?source=other&limit=1").await;
    let next = page["next"].as_str().unwrap();
    assert_eq!(world.ids(&format!("/api/v1/events?cursor={next}")).await, [&*ids[2], &*ids[1], &*ids[0]]);
    for list in ["events", "deliveries", "quarantine", "replays"] {
        for garbage in ["x", "0", "%00", "019abf3c-2b7b-7c43-a1de", "%F0%9F%92%A9", "-1.1"] {
            let reply = world.get(&format!("/api/v1/{list}?cursor={garbage}")).await;
            assert_eq!(reply.problem(400).as_deref(), Some("cursor"), "{list} {garbage}");
        }
    }
}
