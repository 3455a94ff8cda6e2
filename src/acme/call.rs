//! One request to a CA and its answer, within bounds of time and bytes, over TLS only. What the CA says of when to come again is kept
//! for whoever wants to know.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use url::Url;

use crate::net::client::{self, Answer, Payload, Server};
use crate::net::pool::Pool;
use crate::time::{Clock, Timestamp};

/// For one request and its answer.
const CALL_TIME: Duration = Duration::from_secs(30);
/// More than any chain or directory.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// A connection is kept through an order, not until the next.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// A directory may name other servers, but not any number of them.
const SERVERS_MAX: usize = 4;
const AGENT: &str = concat!("hookhold/", env!("CARGO_PKG_VERSION"));

/// Speaks to a CA.
#[derive(Clone)]
pub(super) struct Caller(Arc<Inner>);

struct Inner {
    tls: Arc<ClientConfig>,
    clock: Clock,
    pools: Mutex<HashMap<String, Arc<Pool>>>,
    /// What the last answer said of when to come again.
    asked: Mutex<Option<Duration>>,
}

/// Why nothing came of a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the CA names an address that is none of HTTPS")]
    Address,
    #[error("the CA cannot be reached: {0}")]
    Exchange(#[from] client::Error),
    #[error("the CA does not answer in time")]
    Time,
    #[error("the CA's answer is too large")]
    Size,
    #[error("the CA answers with status {0}")]
    Status(StatusCode),
}

impl Caller {
    pub(super) fn new(tls: Arc<ClientConfig>, clock: Clock) -> Self {
        Self(Arc::new(Inner { tls, clock, pools: Mutex::default(), asked: Mutex::default() }))
    }

    /// How long the CA wants to be left alone, by its last answer.
    pub(super) fn asked(&self) -> Option<Duration> {
        *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands at an address that the CA names, which need not know who asks.
    pub(super) async fn get(&self, address: &str) -> Result<(StatusCode, Bytes), Failure> {
        let request = Request::get(address).body(Bytes::new()).map_err(|_| Failure::Address)?;
        let answer = self.0.exchange(request).await?;
        Ok((answer.status, answer.body))
    }
}

impl Inner {
    async fn call(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let answer = self.exchange(Request::from_parts(head, body)).await?;
        let mut response = Response::new(Full::<Bytes>::from(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response.into())
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Answer, Failure> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string()).ok().filter(|url| url.scheme() == "https" && url.username().is_empty());
        let url = url.ok_or(Failure::Address)?;
        let pool = self.pool(&url)?;
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut ours: Request<Payload> = Request::new(Full::from(body));
        *ours.method_mut() = head.method;
        *ours.uri_mut() = target.parse().map_err(|_| Failure::Address)?;
        *ours.headers_mut() = head.headers;
        ours.headers_mut().insert(HOST, pool.server().authority().parse().map_err(|_| Failure::Address)?);
        ours.headers_mut().insert(USER_AGENT, http::HeaderValue::from_static(AGENT));
        let exchange = tokio::time::timeout(CALL_TIME, pool.exchange(ours, ANSWER_BYTES_MAX));
        let answer = exchange.await.map_err(|_| Failure::Time)??;
        if answer.truncated {
            return Err(Failure::Size);
        }
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = retry_after(&answer.headers, self.clock.now());
        Ok(answer)
    }

    fn pool(&self, url: &Url) -> Result<Arc<Pool>, Failure> {
        let server = Server::of(url, self.tls.clone(), false).map_err(|_| Failure::Address)?;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= SERVERS_MAX && !pools.contains_key(server.authority()) {
            pools.clear();
        }
        let authority = server.authority().to_owned();
        Ok(pools.entry(authority).or_insert_with(|| Arc::new(Pool::new(server, 1, CONNECTION_AGE))).clone())
    }
}

impl HttpClient for Caller {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.call(request).await.map_err(|failure| Error::Other(Box::new(failure))) })
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 §10.2.3); nonsense is no wish.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    Some(Timestamp::from_system(httpdate::parse_http_date(value).ok()?).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_be_left_alone_is_heard_in_both_forms() {
        let now = Timestamp::parse("2026-11-28T00:00:00Z").unwrap();
        let heard = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(heard("90"), Some(Duration::from_secs(90)));
        assert_eq!(heard("Sat, 28 Nov 2026 01:00:00 GMT"), Some(Duration::from_secs(3600)));
        assert_eq!(heard("Fri, 27 Nov 2026 01:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!((heard("soon"), heard("-1"), heard("")), (None, None, None));
        assert!(heard("99999999999999999999").is_some());
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
