//! Logging in and out. A token is given once, for a cookie that scripts cannot read and other sites cannot use.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use super::abilities;
use crate::admin::auth::{Caller, Door, with_secret};
use crate::admin::guesses::TooMany;
use crate::admin::parameters::NoParameters;
use crate::admin::problem::Problem;
use crate::admin::session::SESSION_TIME;
use crate::admin::{Peer, auth};
use crate::config::settings::Token;
use crate::record::Name;
use crate::time::Timestamp;

/// Who looks at the dashboard, and what it can show them.
#[derive(Serialize)]
pub(super) struct SessionView {
    /// Whether a token is needed and none was given: nothing can be shown.
    needs_login: bool,
    /// Whether there are tokens, so that there is something to log out of.
    has_login: bool,
    who: Option<Name>,
    role: Option<&'static str>,
    /// What the API of this version can do.
    abilities: Vec<&'static str>,
}

/// Answers everybody, so that a page that opens asks nothing that would be refused.
pub(super) async fn session(
    State(door): State<Arc<Door>>,
    Extension(api): Extension<Router>,
    caller: Option<Extension<Caller>>,
    _: NoParameters,
) -> Json<SessionView> {
    let has_login = !door.context.settings().admin.tokens.is_empty();
    let Some(Extension(caller)) = caller else {
        return Json(SessionView { needs_login: true, has_login, who: None, role: None, abilities: Vec::new() });
    };
    let abilities = abilities::of(api).await;
    Json(SessionView { needs_login: false, has_login, who: caller.who, role: Some(caller.role.as_str()), abilities })
}

/// What a login may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

pub(super) async fn login(
    State(door): State<Arc<Door>>,
    peer: Option<Extension<Peer>>,
    _: NoParameters,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|_| Problem::bad_body("the body could not be read"))?;
    // What serde says of a wrong body could hold the token.
    let given: Login = serde_json::from_slice(&body).map_err(|_| Problem::bad_body("the body is not {\"token\": \"...\"}"))?;
    let (clock, given) = (door.context.clock, given.token.trim().as_bytes());
    let (settings, now) = (door.context.settings(), clock.now());
    let strong = settings.admin.tokens.iter().filter(|token| token.proof.is_strong());
    // What nobody guesses needs no line, and so nobody who guesses at the same address can hold it up.
    if let Some(token) = with_secret(strong, given, now) {
        return Ok(begun(&door, token, now));
    }
    let peer = auth::address(peer.map(|Extension(peer)| peer));
    match door.logins.begin(peer, clock.now()) {
        Ok(wait) => tokio::time::sleep(wait).await,
        Err(TooMany(wait)) => {
            let problem = Problem::too_many("too many wrong tokens came from your address: wait a little");
            return Ok(([(header::RETRY_AFTER, (wait.as_secs() + 1).to_string())], problem).into_response());
        }
    }
    let (settings, now) = (door.context.settings(), clock.now());
    let Some(token) = with_secret(&settings.admin.tokens, given, now) else {
        tracing::warn!(%peer, "a login with a token that is not known");
        return Err(Problem::unauthorized("the token is not known", r#"Bearer realm="hookhold""#));
    };
    door.logins.right(peer);
    Ok(begun(&door, token, now))
}

/// A session begins. Who it is for is said to who keeps the audit log.
fn begun(door: &Door, token: &Token, now: Timestamp) -> Response {
    tracing::info!(who = %token.name, "a login");
    let id = door.sessions.begin(token, rand::random(), now);
    let caller = Extension(Caller::from(token));
    (StatusCode::NO_CONTENT, caller, [(header::SET_COOKIE, cookie(door, &id, SESSION_TIME.as_secs()))]).into_response()
}

/// Ends the session, if there is one, and takes the cookie back.
pub(super) async fn logout(
    State(door): State<Arc<Door>>,
    caller: Option<Extension<Caller>>,
    _: NoParameters,
    headers: HeaderMap,
) -> impl IntoResponse {
    if let Some(id) = door.session_id(&headers) {
        door.sessions.end(id);
    }
    (StatusCode::NO_CONTENT, caller, [(header::SET_COOKIE, cookie(&door, "", 0))])
}

fn cookie(door: &Door, id: &str, seconds: u64) -> String {
    let secure = if door.is_tls { "; Secure" } else { "" };
    format!("{}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", door.cookie)
}
