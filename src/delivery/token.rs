//! The tokens that a destination asks for (OAuth 2.0, client credentials: RFC 6749 §4.4): fetched before an attempt needs one,
//! kept while they are good, one fetch at a time.
//!
//! Never shown or logged: a token, the client's secret, and what the token's server says beside its error code.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use url::{Position, form_urlencoded};
use zeroize::Zeroizing;

use super::attempt;
use crate::config::settings::OAuth2;
use crate::net::client::{self, Payload, Server};
use crate::net::dial::Dial;
use crate::net::pool::Pool;
use crate::net::tls;
use crate::record::Failure;
use crate::time::Stopwatch;

/// A server that gives out tokens answers within this, or the attempt fails. An attempt's own time ends it, too.
const FETCH_TIME: Duration = Duration::from_secs(10);
/// A token of 16 KiB, and what stands around it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A token is left so long before it ends, so that it does not end on its way; of short-lived ones a tenth of their time.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a token is kept of which its server does not say it: it costs little to ask.
const KEPT_UNSAID: Duration = Duration::from_secs(300);
/// No token is kept for longer.
const KEPT_MAX: Duration = Duration::from_secs(86_400);
/// After a token was refused and another one fetched, that one is kept for so long, refused or not: an application that refuses
/// all of them must not make the relay ask for one at each attempt.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);
/// An error code of RFC 6749 is one of a few words.
const CODE_BYTES_MAX: usize = 64;

/// The tokens of one destination.
pub(super) struct Tokens {
    oauth2: Arc<OAuth2>,
    pool: Pool,
    /// Held while a token is fetched.
    fetch: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    token: Option<Token>,
    /// When a token was last dropped because it was refused.
    dropped: Option<Stopwatch>,
    /// How many fetches failed, and why the last one did.
    failures: u64,
    failure: Option<NoToken>,
}

struct Token {
    /// `Authorization`.
    value: HeaderValue,
    age: Stopwatch,
    kept: Duration,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no token from {host}: {why}")]
pub(super) struct NoToken {
    host: String,
    why: String,
    /// The word for it.
    pub(super) failure: Failure,
}

impl Tokens {
    /// Over `network`.
    pub(super) fn new(oauth2: Arc<OAuth2>, network: Arc<dyn Dial>) -> Result<Self, String> {
        let tls = tls::client_config(oauth2.ca.as_deref()).map_err(|e| e.to_string())?;
        let server = Server::of(&oauth2.token_url, tls, false).map_err(|e| e.to_string())?;
        // A connection in an hour need not be kept.
        let pool = Pool::new(server.over(network).connecting_within(FETCH_TIME), 0, Duration::ZERO);
        Ok(Self { oauth2, pool, fetch: tokio::sync::Mutex::default(), known: Mutex::default() })
    }

    /// The `Authorization` of the next attempt.
    pub(super) async fn authorization(&self) -> Result<HeaderValue, NoToken> {
        let failures = {
            let known = self.known();
            if let Some(token) = known.good() {
                return Ok(token);
            }
            known.failures
        };
        let _one = self.fetch.lock().await;
        {
            // Whoever was here before may have got one, or heard why there is none.
            let known = self.known();
            if let Some(token) = known.good() {
                return Ok(token);
            }
            if let Some(failure) = known.failure.as_ref().filter(|_| known.failures != failures) {
                return Err(failure.clone());
            }
        }
        let fetched = tokio::time::timeout(FETCH_TIME, self.fetched()).await;
        let fetched = fetched.unwrap_or_else(|_| Err((Failure::Timeout, format!("no whole answer within {FETCH_TIME:?}"))));
        let mut known = self.known();
        match fetched {
            Ok(token) => {
                let value = token.value.clone();
                known.token = Some(token);
                Ok(value)
            }
            Err((failure, why)) => {
                let failure = NoToken { host: self.pool.server().authority().to_owned(), why, failure };
                (known.failures, known.failure) = (known.failures + 1, Some(failure.clone()));
                Err(failure)
            }
        }
    }

    /// The application does not take it: the next attempt gets another one.
    pub(super) fn refused(&self, value: &HeaderValue) {
        let mut known = self.known();
        let is_soon = known.dropped.is_some_and(|dropped| dropped.elapsed() < RENEWAL_PAUSE);
        if !is_soon && known.token.as_ref().is_some_and(|token| token.value == value) {
            (known.token, known.dropped) = (None, Some(Stopwatch::start()));
        }
    }

    async fn fetched(&self) -> Result<Token, (Failure, String)> {
        let request = request(&self.oauth2, self.pool.server()).map_err(|error| (Failure::Protocol, error.to_string()))?;
        let age = Stopwatch::start();
        let answer = self.pool.exchange(request, ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|error| (attempt::kind(&error), attempt::in_words(&error)))?;
        let (text, kept) = token(&answer).map_err(|why| (Failure::Protocol, why))?;
        let mut value = HeaderValue::try_from(format!("Bearer {text}"))
            .map_err(|_| (Failure::Protocol, "its token has characters that no header can hold".to_owned()))?;
        value.set_sensitive(true);
        Ok(Token { value, age, kept })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn good(&self) -> Option<HeaderValue> {
        self.token.as_ref().filter(|token| token.age.elapsed() < token.kept).map(|token| token.value.clone())
    }
}

/// What asks for a token.
fn request(oauth2: &OAuth2, server: &Server) -> Result<Request<Payload>, http::Error> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    form.extend_pairs(oauth2.scope.iter().map(|scope| ("scope", scope)));
    form.extend_pairs(oauth2.audience.iter().map(|audience| ("audience", audience)));
    let secret = encoded(oauth2.client_secret.expose());
    let mut request = Request::builder().method(Method::POST);
    let mut body = if oauth2.secret_in_body {
        form.append_pair("client_id", &oauth2.client_id);
        form.finish() + "&client_secret=" + &secret
    } else {
        // Both are encoded before they are joined (RFC 6749 §2.3.1).
        let both = Zeroizing::new(format!("{}:{}", *encoded(oauth2.client_id.as_bytes()), *secret));
        let mut basic = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(both.as_bytes())))?;
        basic.set_sensitive(true);
        request = request.header(AUTHORIZATION, basic);
        form.finish()
    };
    request
        .uri(&oauth2.token_url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, server.authority())
        .header(USER_AGENT, concat!("hookhold/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(std::mem::take(&mut body))))
}

fn encoded(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(form_urlencoded::byte_serialize(bytes).collect())
}

/// The token of an answer, and how long it is kept.
fn token(answer: &client::Answer) -> Result<(String, Duration), String> {
    let content: Option<Value> = serde_json::from_slice(&answer.body).ok().filter(|_| !answer.truncated);
    if answer.status != StatusCode::OK {
        let code = content.as_ref().and_then(|content| content["error"].as_str()).filter(|code| is_code(code));
        return Err(format!("status {}{}", answer.status.as_u16(), code.map(|code| format!(", {code}")).unwrap_or_default()));
    }
    let content = content.ok_or("its answer is not JSON, or too large")?;
    let is_bearer = content["token_type"].as_str().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let text = content["access_token"].as_str().filter(|text| !text.is_empty());
    match text {
        Some(text) if is_bearer => Ok((text.to_owned(), kept(&content["expires_in"]))),
        Some(_) => Err("its token is of another type than Bearer".to_owned()),
        None => Err("its answer has no access_token".to_owned()),
    }
}

/// How long a token is kept that ends after so many seconds. Some servers write the number as text.
fn kept(expires_in: &Value) -> Duration {
    let seconds = expires_in.as_f64().or_else(|| expires_in.as_str()?.parse().ok());
    let Some(seconds) = seconds else { return KEPT_UNSAID };
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(KEPT_MAX);
    whole - MARGIN.min(whole / 10)
}

fn is_code(code: &str) -> bool {
    code.len() <= CODE_BYTES_MAX && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn read(status: u16, body: &str) -> Result<(String, Duration), String> {
        let status = StatusCode::from_u16(status).unwrap();
        token(&client::Answer { status, headers: HeaderMap::new(), body: body.to_owned().into(), truncated: false })
    }

    #[test]
    fn a_token_is_left_shortly_before_it_ends() {
        let kept = |expires: &str| read(200, &format!(r#"{{"access_token":"t"{expires}}}"#)).unwrap().1.as_secs();
        assert_eq!(kept(r#","expires_in":3600"#), 3570);
        assert_eq!(kept(r#","expires_in":"3600""#), 3570);
        assert_eq!(kept(r#","expires_in":10"#), 9);
        assert_eq!((kept(r#","expires_in":0"#), kept(r#","expires_in":-5"#)), (0, 0));
        assert_eq!((kept(""), kept(r#","expires_in":null"#)), (300, 300));
        assert_eq!(kept(r#","expires_in":1e300"#), 0);
        assert_eq!(kept(r#","expires_in":100000000"#), 86_370);
    }

    #[test]
    fn what_is_no_token_is_told_without_what_the_server_says() {
        let wrong = [
            (401, r#"{"error":"invalid_client","error_description":"LITERAL"}"#, "status 401, invalid_client"),
            (400, r#"{"error":"LITERAL with spaces"}"#, "status 400"),
            (302, "", "status 302"),
            (200, "LITERAL", "its answer is not JSON, or too large"),
            (200, r#"{"access_token":""}"#, "its answer has no access_token"),
            (200, r#"{"access_token":"LITERAL","token_type":"mac"}"#, "its token is of another type than Bearer"),
        ];
        for (status, body, why) in wrong {
            assert_eq!(read(status, body), Err(why.to_owned()), "{body}");
        }
        assert!(read(200, r#"{"access_token":"t","token_type":"bearer"}"#).is_ok());
    }
}
