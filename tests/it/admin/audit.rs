//! Who did what: that every route which changes something is written down, what is written, and what happens where it cannot be.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use super::world::{START, World};
use hookhold::record::{EventId, ParkReason, Verdict};

const OPERATOR: (&str, &str) = ("authorization", "Bearer operator-token");
const VIEWER: (&str, &str) = ("authorization", "Bearer viewer-token");

/// The log, newest first.
async fn entries(world: &World, query: &str) -> Vec<Value> {
    let reply = world.call(Method::GET, &format!("/api/v1/audit?limit=500{query}"), &[OPERATOR], "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["damaged"], 0);
    reply.json()["items"].as_array().unwrap().clone()
}

/// The routes of a source text that can change something. A route that cannot be read here is an error: it could be one of them.
fn changing_routes(path: &str, text: &str) -> Result<Vec<(Method, String)>, String> {
    let product = text.split("#[cfg(test)]").next().unwrap();
    for way in
        ["route_service(", "nest_service(", "fallback_service(", " any(", " on(", "MethodFilter", "any_service(", "on_service("]
    {
        if product.contains(way) {
            return Err(format!("{path} has {way}: say here which methods it takes"));
        }
    }
    let base = if path.contains("/api/") { "/api/v1" } else { "" };
    let words = [("post(", Method::POST), ("put(", Method::PUT), ("patch(", Method::PATCH), ("delete(", Method::DELETE)];
    let mut found = Vec::new();
    for route in product.split(".route(").skip(1) {
        let Some(rest) = route.strip_prefix('"') else {
            // The dashboard's files, of which each has a path of its own.
            if route.starts_with("asset.path, serving(") {
                continue;
            }
            return Err(format!("{path} has a route whose path is not written there: {}", &route[..40.min(route.len())]));
        };
        let (at, rest) = rest.split_once('"').unwrap();
        let handlers = rest.split([';', '\n']).next().unwrap();
        if !["get(", "post(", "put(", "patch(", "delete("].iter().any(|word| handlers.contains(word)) {
            return Err(format!("{path}: {at} has no method here"));
        }
        let methods = words.iter().filter(|(word, _)| handlers.contains(word));
        found.extend(methods.map(|(_, method)| (method.clone(), format!("{base}{at}"))));
    }
    Ok(found)
}

fn all_changing_routes() -> Vec<(Method, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(changing_routes(path.to_str().unwrap(), &text).unwrap());
            }
        }
    }
    found
}

#[test]
fn routes_are_found_and_what_cannot_be_read_is_no_silence() {
    let text = ".route(\"/a\", get(list))\n.route(\"/b/{id}\", get(show).delete(drop_one))\n.route(\"/c\", post(c))\n#[cfg(test)] .route(\"/d\", post(d))";
    let expected = [(Method::DELETE, "/api/v1/b/{id}".to_owned()), (Method::POST, "/api/v1/c".to_owned())];
    assert_eq!(changing_routes("src/admin/api/x.rs", text).unwrap(), expected);
    for text in [".route(PATH, post(a))", ".route(\"/a\", any(a))", ".route_service(\"/a\", a)", ".route(\"/a\", handlers())"] {
        changing_routes("src/admin/x.rs", text).unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn every_route_that_changes_something_is_written_down() {
    let world = World::guarded();
    // Those of the API are described, each of them (a rule of the house sees to that); the others are read from the text.
    let api = world.call(Method::GET, "/openapi.json", &[OPERATOR], "").await.json();
    let described = api["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter(|method| *method != "get");
        methods.map(|method| (Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), path.clone()))
    });
    let routes: Vec<_> = all_changing_routes().into_iter().chain(described).collect();
    assert!(routes.len() >= 21, "only {routes:?}");
    let own = [("host", "relay.internal:9443"), ("origin", "https://relay.internal:9443")];
    let mut cookie = String::new();
    let ordered = |(_, path): &(Method, String)| (path == "/logout", path.clone());
    let mut routes = routes;
    routes.sort_by_key(ordered);
    let backup = (Method::GET, "/api/v1/backup".to_owned());
    for (method, route) in routes.into_iter().chain([backup]) {
        let (id, before) = (EventId::first_at(START), entries(&world, "").await.len());
        let path = route.replace("/deliveries/{id}", &format!("/deliveries/{id}.1")).replace("{id}", &id.to_string());
        let path = path.replace("{name}", "stripe");
        let reply = match route.as_str() {
            "/login" => world.call(method.clone(), &path, &own, &json!({ "token": "operator-token" }).to_string()).await,
            "/logout" => world.call(method.clone(), &path, &[&own[..], &[("cookie", cookie.as_str())]].concat(), "").await,
            _ => world.call(method.clone(), &path, &[OPERATOR], "{}").await,
        };
        if route == "/login" {
            cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
        }
        let after = entries(&world, "").await;
        assert_eq!(after.len(), before + 1, "{method} {route} is not in the audit log: {reply:?}");
        let shown = [&after[0]["who"], &after[0]["role"], &after[0]["status"]];
        assert_eq!(shown, [&json!("operator"), &json!("operator"), &json!(reply.status.as_u16())], "{method} {route}");
        let words: Vec<&str> =
            route.trim_start_matches("/api/v1").split('/').filter(|w| !w.is_empty() && !w.starts_with('{')).collect();
        assert!(after[0]["action"].as_str().unwrap().starts_with(&words.join(".")), "{route}: {}", after[0]);
        assert_eq!(after[0]["target"].is_string(), route.contains('{'), "{route}: {}", after[0]);
        assert!(after[0]["result"] != "unknown" && after[0]["count"] == 1, "{}", after[0]);
    }
    // What only looks is not.
    let before = entries(&world, "").await.len();
    for path in ["/api/v1/events", "/api/v1/audit", "/metrics", "/"] {
        world.call(Method::GET, path, &[VIEWER], "").await;
    }
    assert_eq!(entries(&world, "").await.len(), before);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_and_what_came_of_it_is_there() {
    let world = World::guarded();
    let id = world.stored("stripe", &["billing"], 0).await;
    let filter = json!({"filter": {"source": "stripe", "since": "2026-01-01T00:00:00Z"}, "to": ["audit"]}).to_string();
    assert_eq!(world.call(Method::POST, "/api/v1/replays", &[OPERATOR], &filter).await.status, 202);
    let release = json!({"ids": [id.to_string()], "force": true}).to_string();
    assert_eq!(world.call(Method::POST, "/api/v1/quarantine/release", &[OPERATOR], &release).await.status, 200);
    let nowhere = json!({"destinations": ["nowhere"]}).to_string();
    world.call(Method::POST, &format!("/api/v1/events/{id}/replay"), &[OPERATOR], &nowhere).await.problem(400);
    let all = entries(&world, "").await;
    let shown = |n: usize, field: &str| all[n][field].clone();
    assert_eq!([shown(2, "action"), shown(2, "result")], [json!("replays.create"), json!("done")]);
    assert_eq!(shown(2, "parameters"), json!({"filter": {"source": "stripe", "since": "2026-01-01T00:00:00Z"}, "to": ["audit"]}));
    assert!(shown(2, "detail").as_str().unwrap().contains("of 1 events"), "{}", all[2]);
    assert_eq!(
        [shown(1, "action"), shown(1, "parameters")],
        [json!("quarantine.release"), json!({"ids": [id.to_string()], "force": true})]
    );
    assert!(shown(1, "detail").is_string());
    assert_eq!([shown(0, "action"), shown(0, "target")], [json!("events.replay"), json!(id.to_string())]);
    assert_eq!(
        [shown(0, "result"), shown(0, "status"), shown(0, "detail")],
        [json!("refused"), json!(400), json!("\"nowhere\" is no destination")]
    );
    assert_eq!(entries(&world, "&action=quarantine").await.len(), 1);
    assert_eq!(entries(&world, "&who=viewer").await.len(), 0);
    let page = world.call(Method::GET, "/api/v1/audit?limit=1", &[OPERATOR], "").await.json();
    let next = page["next"].as_str().unwrap();
    let rest = world.call(Method::GET, &format!("/api/v1/audit?limit=2&cursor={next}"), &[OPERATOR], "").await.json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (2, &json!(null)));
    for wrong in ["since=yesterday", "colour=red"] {
        world.call(Method::GET, &format!("/api/v1/audit?{wrong}"), &[OPERATOR], "").await.problem(400);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_is_counted_and_says_nothing() {
    let world = World::guarded();
    let id = world.stored("stripe", &["billing"], 0).await;
    let retry = format!("/api/v1/deliveries/{id}.1/retry");
    for _ in 0..50 {
        world.call(Method::POST, &retry, &[VIEWER], "{\"force\":true}").await.problem(403);
        world.call(Method::POST, &retry, &[], "{\"force\":true}").await.problem(401);
        world.call(Method::POST, &retry, &[("authorization", "Bearer hush-wrong")], "").await.problem(401);
        world.call(Method::GET, "/api/v1/events?x=hush", &[("authorization", "Bearer hush-wrong")], "").await.problem(401);
        world.call(Method::POST, "/login", &[], "{\"token\": \"hush-wrong\"}").await;
    }
    world.audit.close().unwrap();
    let all = entries(&world, "").await;
    let counted: u64 = all.iter().map(|entry| entry["count"].as_u64().unwrap()).sum();
    assert!(counted == 250 && all.len() < 100, "{counted} in {} entries", all.len());
    assert!(all.iter().all(|entry| entry["result"] == "refused" && entry["parameters"].is_null()), "{all:?}");
    assert!(!serde_json::to_string(&all).unwrap().contains("hush"));
    let of = |action: &str, who: Value| all.iter().filter(|e| e["action"] == action && e["who"] == who).collect::<Vec<_>>();
    let viewer = of("deliveries.retry", json!("viewer"));
    assert!(!viewer.is_empty() && viewer.iter().all(|e| e["status"] == 403 && e["target"] == format!("{id}.1")), "{all:?}");
    assert!(of("deliveries.retry", json!(null)).iter().all(|e| e["status"] == 401 && e["target"].is_null()));
    assert!(!of("token", json!(null)).is_empty() && !of("login", json!(null)).is_empty());
    world.call(Method::GET, "/api/v1/audit", &[VIEWER], "").await.problem(403);
    world.call(Method::GET, "/api/v1/audit", &[], "").await.problem(401);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_is_not_done() {
    let world = World::guarded();
    world.stored("stripe", &["billing"], 0).await;
    let id = world.attempted("billing", Some(503), Verdict::Park(ParkReason::Refused)).await;
    let (folder, aside) = (world.folder.path().join("audit"), world.folder.path().join("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    let retry = format!("/api/v1/deliveries/{id}/retry");
    let reply = world.call(Method::POST, &retry, &[OPERATOR], "").await;
    reply.problem(503);
    assert!(reply.json()["detail"].as_str().unwrap().starts_with("the audit log cannot be written"));
    let state =
        async || world.call(Method::GET, &format!("/api/v1/deliveries/{id}"), &[VIEWER], "").await.json()["state"].clone();
    assert_eq!(state().await, "parked", "looking works, and nothing was changed");
    let own = [("host", "relay.internal:9443"), ("origin", "https://relay.internal:9443")];
    let login = world.call(Method::POST, "/login", &own, "{\"token\": \"operator-token\"}").await;
    assert_eq!(login.status, 204, "somebody must be able to look");
    std::fs::rename(&aside, &folder).unwrap();
    assert_eq!(world.call(Method::POST, &retry, &[OPERATOR], "").await.status, 202);
    assert_eq!(state().await, "pending");
}

#[tokio::test(start_paused = true)]
async fn without_tokens_it_was_somebody_on_this_machine() {
    let world = World::open();
    let id = world.stored("stripe", &["billing"], 0).await;
    assert_eq!(world.post(&format!("/api/v1/deliveries/{id}.1/cancel"), "").await.status, 202);
    world.call(Method::POST, "/api/v1/reload", &[("origin", "http://evil.example")], "").await.problem(403);
    let all = world.json("/api/v1/audit").await["items"].clone();
    assert_eq!([&all[1]["who"], &all[1]["role"], &all[1]["action"]], ["loopback", "operator", "deliveries.cancel"]);
    assert_eq!([&all[0]["who"], &all[0]["action"]], [&json!(null), &json!("reload")]);
}
