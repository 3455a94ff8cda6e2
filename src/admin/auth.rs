//! Who may call: Bearer tokens with roles, or everybody where no token is configured (which is on loopback only).
//!
//! A browser on the same machine is not everybody: a page of another site must not act through it. So a call whose `Origin` or
//! `Sec-Fetch-Site` is another site's changes nothing, and without tokens the host must be one that no outsider's DNS can name.
//! Never here: a token in a log line or an answer.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Context;
use super::problem::Problem;
use crate::config::settings::{Role, Token};
use crate::record::Name;
use crate::time::Timestamp;

/// Answered to everybody: a load balancer has no token, and they tell nothing about events.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Answered to those who may act, though nothing is changed: a backup is all that there is, and work for the relay.
const ACTING_PATHS: [&str; 1] = ["/api/v1/backup"];

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller(Option<Name>);

impl Caller {
    /// Logs a change that this caller asked for, and what came of it.
    pub(super) fn logs<T, E: Display>(&self, change: &str, id: &dyn Display, result: &Result<T, E>) {
        let who = self.0.as_deref().unwrap_or("anonymous");
        match result {
            Ok(_) => tracing::info!(who, change, %id, result = "done", "admin change"),
            Err(error) => tracing::info!(who, change, %id, result = %error, "admin change"),
        }
    }
}

/// Lets a request through, with its [`Caller`], or answers why not.
pub(super) async fn admit(State(context): State<Arc<Context>>, mut request: Request, next: Next) -> Response {
    if OPEN_PATHS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    match caller(&context.settings().admin.tokens, &request, context.clock.now()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn caller(tokens: &[Token], request: &Request, now: Timestamp) -> Result<Caller, Problem> {
    let acts = !matches!(*request.method(), Method::GET | Method::HEAD) || ACTING_PATHS.contains(&request.uri().path());
    if acts && is_cross_site(request.headers()) {
        return Err(Problem::forbidden("a page of another site may not act here"));
    }
    if tokens.is_empty() {
        return match is_local(request.uri(), request.headers()) {
            true => Ok(Caller(None)),
            false => Err(Problem::forbidden("without tokens, the host must be an IP address or localhost")),
        };
    }
    let token = authenticated(tokens, request.headers(), now)?;
    if acts && token.role < Role::Operator {
        tracing::warn!(who = %token.name, method = %request.method(), path = request.uri().path(), "a viewer may not act");
        return Err(Problem::forbidden("this token may look, not act"));
    }
    Ok(Caller(Some(token.name.clone())))
}

/// The token that the request carries (RFC 6750).
fn authenticated<'a>(tokens: &'a [Token], headers: &HeaderMap, now: Timestamp) -> Result<&'a Token, Problem> {
    let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes())) else {
        return Err(Problem::unauthorized("a Bearer token is needed", r#"Bearer realm="hookhold""#));
    };
    // Every token is compared, so that the time does not tell which one was close.
    let known = tokens.iter().fold(None, |known, token| {
        let equal = token.secret.equals(given) & token.secret.is_valid_at(now);
        if equal { Some(token) } else { known }
    });
    known.ok_or_else(|| Problem::unauthorized("the token is not known", r#"Bearer realm="hookhold", error="invalid_token""#))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether a browser says that a page of another origin makes this call. What is no browser sends neither header.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let fetched_elsewhere = headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none");
    let own = headers.get(header::HOST).map(|host| host.as_bytes());
    let is_own = |origin: &[u8]| {
        let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        authority.zip(own).is_some_and(|(origin, own)| origin.eq_ignore_ascii_case(own))
    };
    fetched_elsewhere || headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(origin.as_bytes()))
}

/// Whether the request names its host as an IP address or `localhost`: names that DNS rebinding cannot take.
fn is_local(uri: &Uri, headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::HOST).iter().map(|host| Authority::try_from(host.as_bytes()).ok());
    let mut hosts = named.chain(uri.authority().cloned().map(Some)).peekable();
    hosts.peek().is_some() && hosts.all(|host| host.is_some_and(|host| is_local_host(host.host())))
}

fn is_local_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_that_dns_cannot_give_are_local() {
        let local = |host| is_local(&Uri::from_static("/"), &headers(&[("host", host)]));
        for host in ["127.0.0.1:9443", "127.0.0.1", "[::1]:9443", "localhost", "LocalHost:9443"] {
            assert!(local(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9443", "127.0.0.1.evil.example", "localhost@evil.example", "a b"] {
            assert!(!local(host), "{host}");
        }
        assert!(!is_local(&Uri::from_static("/"), &HeaderMap::new()));
        assert!(!is_local(&Uri::from_static("http://evil.example/"), &headers(&[("host", "localhost")])));
    }

    #[test]
    fn another_origin_is_cross_site() {
        let cross = |name, value| is_cross_site(&headers(&[("host", "localhost:9443"), (name, value)]));
        for (name, value) in [
            ("origin", "http://evil.example"),
            ("origin", "http://localhost:3000"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(cross(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("origin", "http://localhost:9443"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("accept", "*/*"),
        ] {
            assert!(!cross(name, value), "{name}: {value}");
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert_eq!(bearer(b"bEARER  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bearer"), None);
    }
}
