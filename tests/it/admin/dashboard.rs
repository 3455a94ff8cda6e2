//! The dashboard as a browser gets it: its files, what it may do, and logging in.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use super::world::{Reply, World, hostile};

/// What the whole dashboard may weigh.
const BYTES_MAX: usize = 200 * 1024;

/// As a browser's own page calls.
const OWN: [(&str, &str); 3] =
    [("host", "relay.internal:9443"), ("origin", "https://relay.internal:9443"), ("sec-fetch-site", "same-origin")];

/// Every file that the page names, or that one of its modules imports.
async fn files(world: &World) -> Vec<(String, Reply)> {
    let (mut found, mut next) = (Vec::new(), vec!["/".to_owned()]);
    while let Some(path) = next.pop() {
        if found.iter().any(|(seen, _)| *seen == path) {
            continue;
        }
        let reply = world.get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        let base = url::Url::parse("http://relay/").unwrap().join(&path).unwrap();
        let named = text.split('"').filter(|part| part.ends_with(".js") || part.ends_with(".css") || part.ends_with(".svg"));
        next.extend(named.map(|part| base.join(part).unwrap().path().to_owned()));
        found.push((path, reply));
    }
    found
}

#[tokio::test]
async fn every_file_is_there_with_its_type_and_its_policy() {
    let world = World::guarded();
    let files = files(&world).await;
    assert!(files.len() > 15, "only {} files", files.len());
    for (path, reply) in &files {
        let kind = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!([reply.header("content-type"), reply.header("x-content-type-options")], [kind, "nosniff"], "{path}");
        assert_eq!([reply.header("cache-control"), reply.header("referrer-policy")], ["no-cache", "no-referrer"], "{path}");
        let policy = reply.header("content-security-policy");
        for rule in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
        assert!(policy.contains("require-trusted-types-for 'script'; trusted-types 'none'"));
    }
    let bytes: usize = files.iter().map(|(_, reply)| reply.body.len()).sum();
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
}

#[tokio::test]
async fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    let world = World::open();
    for (path, reply) in files(&world).await {
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{path}");
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            " style=",
            "<style",
            "javascript:",
        ] {
            assert!(!text.contains(way), "{path} has {way}");
        }
        if path == "/" {
            let scripts = text.matches("<script").count();
            assert!(scripts == 2 && scripts == text.matches("></script>").count(), "a script is inline");
            assert!(!text.contains(" on"), "a handler is inline");
        }
    }
}

#[tokio::test]
async fn modules_are_short_and_open_with_what_they_do() {
    let world = World::open();
    for (path, reply) in files(&world).await.into_iter().filter(|(path, _)| path.ends_with(".js")) {
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(text.starts_with("// "), "{path} does not say what it does");
        assert!(text.lines().count() <= 300, "{path} is long");
        let long = text.lines().position(|line| line.chars().count() > 140);
        assert_eq!(long, None, "{path} has a long line");
    }
}

#[tokio::test]
async fn a_file_is_sent_once() {
    let world = World::open();
    let first = world.get("/assets/app.js").await;
    let tag = first.header("etag").to_owned();
    let again = world.call(Method::GET, "/assets/app.js", &[("if-none-match", &format!("\"x\", W/{tag}"))], "").await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (StatusCode::NOT_MODIFIED, 0, tag.as_str()));
    let other = world.call(Method::GET, "/assets/style.css", &[("if-none-match", &tag)], "").await;
    assert_eq!(other.status, StatusCode::OK);
    let head = world.call(Method::HEAD, "/assets/app.js", &[], "").await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (StatusCode::OK, 0, tag.as_str()));
}

#[tokio::test]
async fn what_is_no_file_is_not_there() {
    let world = World::guarded();
    for path in ["/assets/", "/assets/x.js", "/assets/../Cargo.toml", "/assets/%2e%2e/Cargo.toml", "/assets/pages"] {
        world.get(path).await.problem(404);
    }
    world.call(Method::POST, "/", &OWN, "").await.problem(405);
    world.call(Method::POST, "/assets/app.js", &OWN, "").await.problem(405);
    let world = World::open();
    world.call(Method::GET, "/", &[("host", "rebound.example:9443")], "").await.problem(403);
}

#[tokio::test]
async fn hostile_text_is_in_json_only_and_never_in_a_page() {
    let world = World::open();
    let id = world.received("stripe", &["billing"], hostile()).await;
    for path in [format!("/api/v1/events/{id}"), "/api/v1/events".to_owned(), "/api/v1/events?type=%3Cscript%3E&x".to_owned()] {
        let reply = world.get(&path).await;
        assert!(reply.header("content-type").ends_with("json"), "{path}");
        assert_eq!([reply.header("x-content-type-options"), reply.header("cache-control")], ["nosniff", "no-store"]);
    }
    let body = world.get(&format!("/api/v1/events/{id}/body")).await;
    assert_eq!([body.header("content-type"), body.header("x-content-type-options")], ["application/octet-stream", "nosniff"]);
    assert!(body.header("content-disposition").starts_with("attachment"));
    for path in ["/", "/?<script>alert(1)</script>".replace(['<', '>'], "%3C").as_str()] {
        assert!(!String::from_utf8_lossy(&world.get(path).await.body).contains("alert"), "{path}");
    }
}

/// Logs in, and gives the cookie as a browser sends it.
async fn logged_in(world: &World, token: &str) -> String {
    let reply = world.call(Method::POST, "/login", &OWN, &json!({ "token": token }).to_string()).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{reply:?}");
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

fn with<'a>(cookie: &'a str, fields: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    [&[("cookie", cookie)], fields].concat()
}

#[tokio::test]
async fn a_login_gives_a_cookie_that_is_no_token() {
    let world = World::guarded();
    let reply = world.call(Method::POST, "/login", &OWN, r#"{"token": " operator-token "}"#).await;
    let cookie = reply.header("set-cookie");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("operator") && !cookie.contains("Secure") && cookie.starts_with("hookhold-0="), "{cookie}");
    let other = world.call(Method::POST, "/login", &OWN, r#"{"token": "operator-token"}"#).await;
    assert_ne!(other.header("set-cookie"), cookie);
    let guarded = World::guarded_with_tls();
    let reply = guarded.call(Method::POST, "/login", &OWN, r#"{"token": "operator-token"}"#).await;
    assert!(reply.header("set-cookie").starts_with("__Host-hookhold-0=") && reply.header("set-cookie").ends_with("; Secure"));
}

#[tokio::test]
async fn a_session_may_do_what_its_token_may() {
    let world = World::guarded();
    let id = world.stored("stripe", &["billing"], 0).await;
    let retry = format!("/api/v1/deliveries/{id}.1/retry");
    let (operator, viewer) = (logged_in(&world, "operator-token").await, logged_in(&world, "viewer-token").await);
    for cookie in [&operator, &viewer] {
        assert_eq!(world.call(Method::GET, "/api/v1/events", &[("cookie", cookie)], "").await.status, StatusCode::OK);
        let many = format!("a=b; {cookie}; c=d");
        assert_eq!(world.call(Method::GET, "/metrics", &[("cookie", &many)], "").await.status, StatusCode::OK);
    }
    assert_eq!(world.call(Method::POST, &retry, &with(&operator, &OWN), "").await.status, StatusCode::ACCEPTED);
    world.call(Method::POST, &retry, &with(&viewer, &OWN), "").await.problem(403);
    let wrong = [("authorization", "Bearer wrong"), ("cookie", operator.as_str())];
    world.call(Method::GET, "/api/v1/events", &wrong, "").await.problem(401);
    for cookie in
        ["", "hookhold-0=", "hookhold-0=x", "hookhold-0=operator-token", &operator[..operator.len() - 1], &operator[1..]]
    {
        world.call(Method::GET, "/api/v1/events", &[("cookie", cookie)], "").await.problem(401);
    }
}

#[tokio::test]
async fn a_cookie_acts_only_with_proof_of_its_own_page() {
    let world = World::guarded();
    let id = world.stored("stripe", &["billing"], 0).await;
    let retry = format!("/api/v1/deliveries/{id}.1/retry");
    let cookie = logged_in(&world, "operator-token").await;
    let host = ("host", "localhost:9443");
    for fields in [
        &[host][..],
        &[host, ("origin", "http://localhost:3000")],
        &[host, ("origin", "http://localhost:9443"), ("sec-fetch-site", "same-site")],
        &[host, ("sec-fetch-site", "none")],
        &[host, ("origin", "null")],
    ] {
        world.call(Method::POST, &retry, &with(&cookie, fields), "").await.problem(403);
    }
    for fields in [[host, ("origin", "http://localhost:9443")], [host, ("sec-fetch-site", "same-origin")]] {
        assert_eq!(world.call(Method::POST, &retry, &with(&cookie, &fields), "").await.status, StatusCode::ACCEPTED);
    }
    world.call(Method::GET, "/api/v1/events", &with(&cookie, &[("sec-fetch-site", "same-site")]), "").await.problem(403);
    let typed = with(&cookie, &[("sec-fetch-site", "none")]);
    assert_eq!(world.call(Method::GET, "/api/v1/events", &typed, "").await.status, StatusCode::OK);
    world
        .call(Method::POST, "/login", &[host, ("origin", "http://evil.example")], r#"{"token": "operator-token"}"#)
        .await
        .problem(403);
}

#[tokio::test]
async fn a_logout_ends_the_session() {
    let world = World::guarded();
    for token in ["operator-token", "viewer-token"] {
        let cookie = logged_in(&world, token).await;
        world.call(Method::POST, "/logout", &with(&cookie, &[("sec-fetch-site", "cross-site")]), "").await.problem(403);
        let reply = world.call(Method::POST, "/logout", &with(&cookie, &OWN), "").await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
        assert!(reply.header("set-cookie").starts_with("hookhold-0=; ") && reply.header("set-cookie").contains("Max-Age=0;"));
        world.call(Method::GET, "/api/v1/events", &[("cookie", &cookie)], "").await.problem(401);
    }
}

#[tokio::test]
async fn a_session_tells_who_looks_and_what_can_be_shown() {
    let world = World::guarded();
    let nobody = json!({"needs_login": true, "has_login": true, "who": null, "role": null, "abilities": []});
    assert_eq!(world.json("/session").await, nobody);
    let cookie = logged_in(&world, "viewer-token").await;
    let mut viewer = world.call(Method::GET, "/session", &[("cookie", &cookie)], "").await.json();
    let abilities = viewer["abilities"].take();
    assert!(abilities.as_array().unwrap().contains(&json!("arm_source")), "{abilities}");
    assert_eq!(viewer, json!({"needs_login": false, "has_login": true, "who": "viewer", "role": "viewer", "abilities": null}));
    let mut open = World::open().json("/session").await;
    open["abilities"].take();
    assert_eq!(open, json!({"needs_login": false, "has_login": false, "who": null, "role": "operator", "abilities": null}));
}

#[tokio::test(start_paused = true)]
async fn guessing_gets_slow() {
    let world = World::guarded();
    let begin = tokio::time::Instant::now();
    let wrong = |n: usize| json!({ "token": format!("guess-{n}") }).to_string();
    for n in 0..8 {
        world.call(Method::POST, "/login", &OWN, &wrong(n)).await.problem(401);
    }
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(20), "{took:?}");
    let guess = || world.call(Method::POST, "/login", &OWN, r#"{"token": "guess"}"#);
    let (first, second, third) = tokio::join!(guess(), guess(), guess());
    first.problem(401);
    for refused in [second, third] {
        refused.problem(429);
        assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    world.call(Method::POST, "/login", &OWN, "{").await.problem(400);
    tokio::time::advance(Duration::from_secs(60)).await;
    logged_in(&world, "operator-token").await;
    let begin = tokio::time::Instant::now();
    world.call(Method::POST, "/login", &OWN, r#"{"token": "former-token"}"#).await.problem(401);
    assert_eq!(begin.elapsed(), Duration::ZERO, "who was right has a clean slate");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_bearer_token_gets_slow_answers_and_a_right_one_does_not() {
    let world = World::guarded();
    let with = |token| [("authorization", token)];
    let begin = tokio::time::Instant::now();
    for _ in 0..8 {
        world.call(Method::GET, "/api/v1/events", &with("Bearer wrong"), "").await.problem(401);
    }
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(3), "{took:?}");
    let right = world.call(Method::GET, "/api/v1/events", &with("Bearer viewer-token"), "").await;
    assert_eq!((right.status, begin.elapsed()), (StatusCode::OK, took));
    world.get("/api/v1/events").await.problem(401);
    assert_eq!(begin.elapsed(), took, "no token is no guess");
}
