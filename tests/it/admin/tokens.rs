//! Tokens of every kind: long ones, those of which only the hash is known, and those that ended.

use http::{Method, StatusCode};
use serde_json::json;
use tokio::time::{Duration, Instant};

use super::world::{LONG_TOKEN, World};

const OWN: [(&str, &str); 2] = [("host", "relay.internal:9443"), ("origin", "https://relay.internal:9443")];

async fn login(world: &World, token: &str) -> StatusCode {
    world.call(Method::POST, "/login", &OWN, &json!({ "token": token }).to_string()).await.status
}

#[tokio::test(start_paused = true)]
async fn who_has_a_long_token_is_not_held_up_by_who_guesses_at_the_same_address() {
    let world = World::guarded();
    for _ in 0..8 {
        assert_eq!(login(&world, "guess").await, StatusCode::UNAUTHORIZED);
    }
    let begin = Instant::now();
    let right = async |token| (login(&world, token).await, begin.elapsed());
    let (_, many, long, short) =
        tokio::join!(login(&world, "guess"), login(&world, "guess"), right(LONG_TOKEN), right("operator-token"));
    assert_eq!(many, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(long, (StatusCode::NO_CONTENT, Duration::ZERO));
    assert_eq!(
        short.0,
        StatusCode::TOO_MANY_REQUESTS,
        "whether a short one is right is not told any faster than that it is wrong"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_of_which_only_the_hash_is_known_lets_in_until_its_end() {
    let world = World::guarded();
    let with = async |token: &str| {
        let bearer = format!("Bearer {token}");
        world.call(Method::GET, "/api/v1/status", &[("authorization", bearer.as_str())], "").await.status
    };
    assert_eq!(with("hashed-token").await, StatusCode::OK);
    assert_eq!(login(&world, "hashed-token").await, StatusCode::NO_CONTENT);
    for wrong in ["hashed-toke", "Hashed-token", "hashed-token2"] {
        assert_eq!(with(wrong).await, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    tokio::time::advance(Duration::from_secs(3601)).await;
    assert_eq!([with("hashed-token").await, login(&world, "hashed-token").await], [StatusCode::UNAUTHORIZED; 2]);
}

#[tokio::test(start_paused = true)]
async fn what_everybody_may_ask_tells_no_guesser_anything() {
    let world = World::guarded();
    let session = async |token: &str| {
        let bearer = format!("Bearer {token}");
        world.call(Method::GET, "/session", &[("authorization", bearer.as_str())], "").await
    };
    assert_eq!(session("operator-token").await.json()["who"], "operator");
    let begin = Instant::now();
    for _ in 0..8 {
        session("guess").await.problem(401);
    }
    assert!(begin.elapsed() > Duration::from_secs(3), "{:?}", begin.elapsed());
    world.audit.close().unwrap();
    let operator = [("authorization", "Bearer operator-token")];
    let audit = world.call(Method::GET, "/api/v1/audit?action=token", &operator, "").await.json();
    assert!(!audit["items"].as_array().unwrap().is_empty(), "{audit}");
    assert_eq!(world.get("/session").await.json()["needs_login"], true, "without a token nothing is guessed");
}
