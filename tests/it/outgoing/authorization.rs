//! As whom the relay speaks to an application: a fixed secret, or a token that it fetches.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::raw::tried;
use crate::world::{Got, OPEN, Reply, SECRET, Upstream, World, eventually, nowhere};

const EAGER: &str = r#"retry = { schedule = ["1ms", "1ms", "1h"] }"#;

/// An answer of a server of tokens.
fn token(text: &str, more: &str) -> Reply {
    let body = format!(r#"{{"access_token": "{text}", "token_type": "Bearer"{more}}}"#).into_bytes();
    Reply { body, ..Reply::status(200) }
}

/// A relay whose application wants tokens of this server.
async fn relay(address: SocketAddr, more: &str, settings: &str) -> World {
    let auth = format!(
        r#"auth = {{ oauth2 = {{ token_url = "http://{address}/token?t=1", client_id = "relay & co", client_secret = {{ file = "secret" }}{more} }} }}"#
    );
    World::start(&format!("{auth}\n{settings}"), OPEN).await
}

fn authorizations(got: &[Got]) -> Vec<&str> {
    got.iter().map(|got| got.header("authorization")).collect()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_on() {
    let tokens = Upstream::start().await;
    tokens.script([token("t-1", r#", "expires_in": 3600"#)]);
    let world = relay(tokens.address, r#", scope = "a b", audience = "https://app""#, EAGER).await;
    world.app.script([Reply::status(500)]);
    for _ in 0..2 {
        world.post("/in/open", &[("authorization", "Basic theirs")], b"x").await;
    }
    assert_eq!(authorizations(&world.app.got(3).await), ["Bearer t-1"; 3]);
    world.listed("/deliveries?state=delivered", 2).await;
    let asked = tokens.requests();
    assert_eq!((asked.len(), &asked[0].method, asked[0].target.as_str()), (1, &Method::POST, "/token?t=1"));
    // relay+%26+co:a+secret+for+tests
    assert_eq!(asked[0].header("authorization"), "Basic cmVsYXkrJTI2K2NvOmErc2VjcmV0K2Zvcit0ZXN0cw==");
    assert_eq!(asked[0].header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(&asked[0].body[..], b"grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapp");
}

#[tokio::test]
async fn where_it_is_wanted_the_secret_goes_in_the_body() {
    let tokens = Upstream::start().await;
    tokens.script([token("t-1", "")]);
    let world = relay(tokens.address, r#", secret_in = "body""#, EAGER).await;
    world.post("/in/open", &[], b"x").await;
    world.app.got(1).await;
    let asked = &tokens.requests()[0];
    let body = "grant_type=client_credentials&client_id=relay+%26+co&client_secret=a+secret+for+tests";
    assert_eq!((&asked.body[..], asked.header("authorization")), (body.as_bytes(), ""));
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_for_the_next_attempt() {
    let tokens = Upstream::start().await;
    tokens.script([token("t-1", ""), token("t-2", ""), token("t-3", "")]);
    let world = relay(tokens.address, "", EAGER).await;
    world.app.script([Reply::status(401), Reply::status(401)]);
    world.post("/in/open", &[], b"x").await;
    let delivered = tried(&world, "delivered", 3).await;
    let statuses: Vec<_> = delivered["attempts"].as_array().unwrap().iter().map(|a| a["status"].clone()).collect();
    assert_eq!(statuses, [401, 401, 200]);
    // Once: an application that refuses all of them does not make the relay ask for one at each attempt.
    assert_eq!(authorizations(&world.app.requests()), ["Bearer t-1", "Bearer t-2", "Bearer t-2"]);
    assert_eq!(tokens.requests().len(), 2);
}

#[tokio::test]
async fn without_a_token_an_attempt_fails_and_says_why() {
    let tokens = Upstream::start().await;
    let refused = br#"{"error": "invalid_client", "error_description": "a secret for tests"}"#.to_vec();
    let large = Reply { body: vec![b' '; 100_000], ..Reply::status(200) };
    tokens.script([Reply { body: refused, ..Reply::status(401) }, large, token("t-1", "")]);
    let world = relay(tokens.address, "", EAGER).await;
    world.post("/in/open", &[], b"x").await;
    let delivered = tried(&world, "delivered", 3).await;
    let attempts = delivered["attempts"].as_array().unwrap();
    let errors: Vec<_> = attempts.iter().map(|attempt| attempt["error"].clone()).collect();
    assert_eq!(errors, ["protocol".into(), "protocol".into(), Value::Null]);
    let detail = format!("no token from {}: status 401, invalid_client", tokens.address);
    assert_eq!(attempts[0]["detail"], detail);
    let shown = [delivered.to_string(), world.get("/destinations").await.to_string(), world.metrics().await];
    assert!(shown.iter().all(|text| !text.contains(SECRET) && !text.contains("t-1")), "{shown:?}");
    assert_eq!(world.app.requests().len(), 1);
}

#[tokio::test]
async fn a_server_of_tokens_that_is_gone_or_slow_is_told_as_that() {
    let tokens = Upstream::start().await;
    tokens.script([Reply { delay: Duration::from_secs(3600), ..token("t-1", "") }]);
    let world = relay(tokens.address, "", "timeout = \"300ms\"\nretry = { schedule = [\"1h\"] }").await;
    world.post("/in/open", &[], b"x").await;
    assert_eq!(tried(&world, "pending", 1).await["attempts"][0]["error"], "timeout");
    let world = relay(nowhere(), "", "retry = { schedule = [\"1h\"] }").await;
    world.post("/in/open", &[], b"x").await;
    assert_eq!(tried(&world, "pending", 1).await["attempts"][0]["error"], "connect");
}

#[tokio::test]
async fn attempts_that_need_a_token_at_once_share_one_fetch() {
    let tokens = Upstream::start().await;
    tokens.script([Reply::status(503), token("t-1", "")]);
    let world = relay(tokens.address, "", &format!("paused = true\n{EAGER}")).await;
    for _ in 0..8 {
        world.post("/in/open", &[], b"x").await;
    }
    let held = tokens.holds();
    world.admin(Method::POST, "/destinations/app/resume", b"").await;
    let all_wait = async || {
        eventually(async || (world.get("/destinations/app").await["in_flight"] == 8).then_some(())).await;
    };
    all_wait().await;
    let next = tokens.holds();
    drop(held);
    // None of them is sent before the second token is there, so they are all under way again.
    tokens.got(2).await;
    all_wait().await;
    drop(next);
    world.listed("/deliveries?state=delivered", 8).await;
    assert_eq!(authorizations(&world.app.requests()), ["Bearer t-1"; 8]);
    assert_eq!(tokens.requests().len(), 2);
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_used_again() {
    let tokens = Upstream::start().await;
    tokens.script([token("t-1", r#", "expires_in": 0"#), token("t-2", r#", "expires_in": 60"#)]);
    let world = relay(tokens.address, "", EAGER).await;
    for n in 1..=3 {
        world.post("/in/open", &[], b"x").await;
        world.app.got(n).await;
    }
    assert_eq!(authorizations(&world.app.requests()), ["Bearer t-1", "Bearer t-2", "Bearer t-2"]);
}

#[tokio::test]
async fn a_user_or_a_bearer_is_sent_in_place_of_what_came() {
    let auths = [
        (r#"auth = { bearer = { file = "secret" } }"#, "Bearer a secret for tests"),
        (r#"auth = { basic = { user = "relay", password = { file = "secret" } } }"#, "Basic cmVsYXk6YSBzZWNyZXQgZm9yIHRlc3Rz"),
    ];
    for (auth, sent) in auths {
        let world = World::start(auth, OPEN).await;
        world.post("/in/open", &[("authorization", "Basic theirs")], b"x").await;
        assert_eq!(authorizations(&world.app.got(1).await), [sent]);
    }
}
