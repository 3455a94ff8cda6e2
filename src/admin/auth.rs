//! Who may call: Bearer tokens with roles, people who logged in with one (a cookie), or everybody where no token is configured
//! (which is on loopback only).
//!
//! A browser on the same machine is not everybody: a page of another site must not act through it. So a call whose `Origin` or
//! `Sec-Fetch-Site` is another site's changes nothing, a cookie changes something only with proof that the dashboard's own page
//! calls, and without tokens the host must be one that no outsider's DNS can name.
//! Never here: a token in a log line or an answer.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::guesses::{Guesses, TooMany};
use super::problem::Problem;
use super::session::Sessions;
use super::{Context, Peer, audit, dashboard};
use crate::config::settings::{Role, Token};
use crate::record::Name;
use crate::time::Timestamp;

/// Answered to everybody: a load balancer has no token, and they tell nothing about events.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Answered to those who may act, though nothing is changed: a backup is all that there is, and work for the relay.
const ACTING_PATHS: [&str; 1] = ["/api/v1/backup"];

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// `None`: nobody has a name where there are no tokens.
    pub(super) who: Option<Name>,
    /// What they may do.
    pub(super) role: Role,
    /// Whether masks do not count for them.
    pub(super) sees_all: bool,
}

/// Whether who was let in would be let in still, for what lasts longer than a request: a token may be taken away, a session ends.
#[derive(Clone)]
pub(super) struct Standing(Arc<dyn Fn() -> bool + Send + Sync>);

impl Standing {
    fn of(door: &Arc<Door>, request: &Request) -> Self {
        let mut again = Request::default();
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        let (door, again) = (door.clone(), std::sync::Mutex::new(again));
        let lasts = move || {
            let again = again.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            matches!(door.caller(&again), Ok(Some(_)))
        };
        Self(Arc::new(lasts))
    }

    /// Looks again.
    pub(super) fn lasts(&self) -> bool {
        (self.0)()
    }
}

/// What stands between a request and the API: who logged in, and who guesses.
pub(super) struct Door {
    pub(super) context: Arc<Context>,
    pub(super) sessions: Sessions,
    /// Wrong tokens at the login.
    pub(super) logins: Guesses,
    /// Wrong tokens in `Authorization`. Apart, so that a program with an old token locks nobody out.
    bearers: Guesses,
    /// The session's cookie. Browsers do not tell ports apart, so the port is in its name: two relays of one machine do not log
    /// each other out. With TLS a prefix keeps a page without, or of another subdomain, from setting it.
    pub(super) cookie: String,
    /// Whether the listener speaks TLS. A new configuration does not change that, nor the port.
    pub(super) is_tls: bool,
}

/// Why a request is not let in.
struct Refused {
    problem: Problem,
    /// A token that is not known; its answer takes its time.
    is_guess: bool,
    /// Who it is, where that is known.
    by: Option<Caller>,
}

impl Caller {
    /// Logs a change that this caller asked for, and what came of it.
    pub(super) fn logs<T, E: Display>(&self, change: &str, id: &dyn Display, result: &Result<T, E>) {
        let who = self.who.as_deref().unwrap_or("anonymous");
        match result {
            Ok(_) => tracing::info!(who, change, %id, result = "done", "admin change"),
            Err(error) => tracing::info!(who, change, %id, result = %error, "admin change"),
        }
    }
}

impl From<&Token> for Caller {
    fn from(token: &Token) -> Self {
        Self { who: Some(token.name.clone()), role: token.role, sees_all: token.unmasked }
    }
}

/// Lets a request through, with its [`Caller`], or answers why not. The dashboard's own files, which are the same for everybody,
/// need none; they get one if there is one.
pub(super) async fn admit(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    if OPEN_PATHS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    match door.caller(&request) {
        Ok(Some(caller)) => {
            let standing = Standing::of(&door, &request);
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(standing);
            next.run(request).await
        }
        Ok(None) => next.run(request).await,
        Err(refused) => {
            let Refused { problem, is_guess, by } = *refused;
            let from = address(request.extensions().get().copied());
            let refusal = audit::refusal(&request, by.as_ref(), (&problem, is_guess));
            // A request cannot be held while something is waited for.
            drop(request);
            if let Some(refusal) = refusal {
                refusal.keep(&door.context.audit).await;
            }
            if is_guess {
                let begun = door.bearers.begin(from, door.context.clock.now());
                tokio::time::sleep(begun.unwrap_or_else(|TooMany(wait)| wait)).await;
            }
            problem.into_response()
        }
    }
}

/// Whether this is for those only who may act, and is written down: all that can change something, and what is as good as that.
pub(super) fn acts(method: &Method, path: &str) -> bool {
    !matches!(*method, Method::GET | Method::HEAD) || ACTING_PATHS.contains(&path)
}

/// Where the request comes from. What came over no socket has no address.
pub(super) fn address(peer: Option<Peer>) -> IpAddr {
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |Peer(address)| address)
}

impl Door {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let admin = &context.settings().admin;
        let (is_tls, port) = (admin.tls, admin.listen.port());
        let cookie = format!("{}hookhold-{port}", if is_tls { "__Host-" } else { "" });
        let (sessions, logins, bearers) = (Sessions::default(), Guesses::default(), Guesses::default());
        Self { context, sessions, logins, bearers, cookie, is_tls }
    }

    fn caller(&self, request: &Request) -> Result<Option<Caller>, Box<Refused>> {
        let (headers, path) = (request.headers(), request.uri().path());
        let acts = acts(request.method(), path);
        if acts && is_cross_site(headers) {
            return Err(Problem::forbidden("a page of another site may not act here").into());
        }
        let settings = self.context.settings();
        let tokens = &settings.admin.tokens;
        if tokens.is_empty() {
            return match is_local(request.uri(), headers) {
                true => Ok(Some(Caller { who: None, role: Role::Operator, sees_all: true })),
                false => Err(Problem::forbidden("without tokens, the host must be an IP address or localhost").into()),
            };
        }
        let known = self.known(tokens, headers, acts);
        if dashboard::is_open(path) {
            return match known {
                // Whether a token is right is told nowhere any faster.
                Err(refused) if refused.is_guess => Err(refused),
                known => Ok(known.ok().map(Caller::from)),
            };
        }
        let token = known?;
        if acts && token.role < Role::Operator {
            tracing::warn!(who = %token.name, method = %request.method(), path, "a viewer may not act");
            let problem = Problem::forbidden("this token may look, not act");
            return Err(Box::new(Refused { problem, is_guess: false, by: Some(token.into()) }));
        }
        Ok(Some(token.into()))
    }

    /// The token that the request carries, or that its session was begun with.
    fn known<'a>(&self, tokens: &'a [Token], headers: &HeaderMap, acts: bool) -> Result<&'a Token, Box<Refused>> {
        let now = self.context.clock.now();
        if let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes())) {
            let challenge = r#"Bearer realm="hookhold", error="invalid_token""#;
            let unknown = || Problem::unauthorized("the token is not known", challenge);
            return with_secret(tokens, given, now)
                .ok_or_else(|| Box::new(Refused { problem: unknown(), is_guess: true, by: None }));
        }
        let id = self.session_id(headers);
        let Some(token) = id.and_then(|id| self.sessions.token(id, tokens, now)) else {
            let problem = Problem::unauthorized("a Bearer token is needed, or a login", r#"Bearer realm="hookhold""#);
            return Err(problem.into());
        };
        // A browser sends the cookie whoever made it call, and a page on another port is the same site to it.
        if is_cross_site(headers) || (acts && !is_own_page(headers)) {
            let problem = Problem::forbidden("a login acts through the dashboard's own page only");
            return Err(Box::new(Refused { problem, is_guess: false, by: Some(token.into()) }));
        }
        Ok(token)
    }

    /// The id in the session's cookie.
    pub(super) fn session_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let pairs = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(self.cookie.as_bytes())?.strip_prefix(b"=")).next()
    }
}

impl From<Problem> for Box<Refused> {
    fn from(problem: Problem) -> Self {
        Box::new(Refused { problem, is_guess: false, by: None })
    }
}

/// The token with this secret. Every one is compared, so that the time does not tell which one was close.
pub(super) fn with_secret<'a>(tokens: impl IntoIterator<Item = &'a Token>, given: &[u8], now: Timestamp) -> Option<&'a Token> {
    tokens.into_iter().fold(None, |known, token| if token.is(given, now) { Some(token) } else { known })
}

/// The token of an `Authorization` field (RFC 6750).
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

/// Whether a browser says that the dashboard's own page makes this call. (That no other one does is looked at before.)
fn is_own_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
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
