//! Calls to the running relay's admin API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::runtime::Runtime;
use url::Url;

use super::Failure;
use crate::acme::Folder;
use crate::config::settings::{Acme, Tls};
use crate::config::{self, Entrance};
use crate::net::client::Server;
use crate::net::pool::Pool;
use crate::net::tls;

/// One call may take so long.
const CALL_TIME: Duration = Duration::from_secs(30);
/// The longest answer that is read: larger than any body that the relay takes by default.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// More than any problem document has.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// Where the last stream ended.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where a token comes from when the configuration names none: for a relay on another machine.
const TOKEN_VARIABLE: &str = "HOOKHOLD_TOKEN";

/// A client of the admin API.
pub(super) struct Client {
    pool: Pool,
    address: String,
    token: Option<HeaderValue>,
    /// Where that token is from, for people.
    token_from: String,
    runtime: Runtime,
}

/// A token, and where it is from.
type Token = (Vec<u8>, String);

impl Client {
    /// For the relay of this configuration, or the one at `address`.
    pub(super) fn new(config: &Path, address: Option<&str>) -> anyhow::Result<Self> {
        match address {
            Some(address) => {
                let url = address.parse().ok().filter(|url: &Url| ["http", "https"].contains(&url.scheme()));
                let wrong = || Failure::Usage(format!("--admin {address}: write http://HOST:PORT or https://HOST:PORT"));
                let url = url.ok_or_else(wrong)?;
                Self::at(&url, tls::client_config(None)?, token_of_environment())
            }
            None => Self::of(&config::entrance(config)?),
        }
    }

    fn of(admin: &Entrance) -> anyhow::Result<Self> {
        let certificate = admin.certificates.as_ref().filter(|_| admin.tls);
        let trust = match certificate.and_then(|(tls, acme)| default_certificate(tls, acme.as_deref(), &admin.store)) {
            Some(file) => tls::client_config_pinning(&file)?,
            None => tls::client_config(None)?,
        };
        let scheme = if admin.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}", reachable(admin.listen)).parse()?;
        // Of some only the hash is known.
        let known = || admin.tokens.iter().filter_map(|t| Some((t.role, t.unmasked, t, t.proof.secret()?)));
        let configured = || {
            let (.., token, secret) = known().max_by_key(|t| (t.0, t.1))?;
            Some((secret.expose().to_vec(), format!("the token {:?} of the configuration", token.name.as_str())))
        };
        Self::at(&url, trust, token_of_environment().or_else(configured))
    }

    fn at(url: &Url, trust: std::sync::Arc<rustls::ClientConfig>, token: Option<Token>) -> anyhow::Result<Self> {
        let server = Server::of(url, trust, false)?;
        let (token, token_from) = token.unzip();
        let token = token.map(|t| HeaderValue::from_bytes(&[b"Bearer ", &t[..]].concat())).transpose();
        Ok(Self {
            pool: Pool::new(server, 1, CALL_TIME),
            address: url.to_string(),
            token: token.context("the admin token cannot be sent in a header")?,
            token_from: token_from.unwrap_or_default(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    /// `GET` of a path below `/api/v1`.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.json(&self.get_bytes(path)?)
    }

    /// `GET` of a path below `/api/v1`, as bytes.
    pub(super) fn get_bytes(&self, path: &str) -> anyhow::Result<Bytes> {
        self.call(Method::GET, path, Bytes::new())
    }

    /// `POST` of JSON to a path below `/api/v1`.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.json(&self.call(Method::POST, path, body.to_string().into())?)
    }

    fn json(&self, body: &[u8]) -> anyhow::Result<Value> {
        serde_json::from_slice(body).map_err(|_| self.stranger("it sent no JSON".to_owned()))
    }

    /// `DELETE` of a path below `/api/v1`.
    pub(super) fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.call(Method::DELETE, path, Bytes::new()).map(drop)
    }

    /// `GET` of a path below `/api/v1`, whose answer may have any length: `take` gets it piece by piece.
    pub(super) fn stream(&self, path: &str, take: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        self.runtime.block_on(self.stream_in_time(request, take))
    }

    async fn stream_in_time(
        &self,
        request: Request<Full<Bytes>>,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (head, mut body) = self.opened(request).await?.into_parts();
        let mut problem = Vec::new();
        while let Some(frame) = tokio::time::timeout(CALL_TIME, body.frame()).await.context("the answer does not go on")? {
            let Ok(data) = frame.context("the answer was cut off")?.into_data() else { continue };
            if head.status.is_success() {
                take(&data)?;
            } else if problem.len() < PROBLEM_BYTES_MAX {
                problem.extend_from_slice(&data);
            }
        }
        if head.status.is_success() { Ok(()) } else { Err(self.refused(head.status, &problem)) }
    }

    /// The stream at a path below `/api/v1`, behind what came last on an earlier one. Its head is there, and says that it is a good one.
    pub(super) async fn watch(&self, path: &str, last: Option<&str>) -> anyhow::Result<Incoming> {
        let mut request = self.request(Method::GET, path, Bytes::new())?;
        if let Some(last) = last {
            request.headers_mut().insert(LAST_EVENT_ID, HeaderValue::try_from(last)?);
        }
        let (head, body) = self.opened(request).await?.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let problem = tokio::time::timeout(CALL_TIME, Limited::new(body, PROBLEM_BYTES_MAX).collect()).await;
        let problem = problem.ok().and_then(Result::ok).map(|whole| whole.to_bytes()).unwrap_or_default();
        Err(self.refused(head.status, &problem))
    }

    async fn opened(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let opened = async { self.pool.server().connect().await?.open(request).await };
        match tokio::time::timeout(CALL_TIME, opened).await {
            Err(_) => Err(self.unreachable("no answer in time".to_owned())),
            Ok(Err(error)) => Err(self.unreachable(error.to_string())),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(HOST, self.pool.server().authority())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        request.headers_mut().extend(self.token.clone().map(|token| (AUTHORIZATION, token)));
        Ok(request)
    }

    fn unreachable(&self, why: String) -> anyhow::Error {
        Failure::Unreachable { address: self.address.clone(), why }.into()
    }

    fn stranger(&self, why: String) -> anyhow::Error {
        Failure::Stranger { address: self.address.clone(), why }.into()
    }

    /// What a problem document says.
    fn refused(&self, status: StatusCode, body: &[u8]) -> anyhow::Error {
        let Ok(problem @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
            return self.stranger(format!("it said {status}, and not why"));
        };
        let detail = problem["detail"].as_str().or_else(|| problem["title"].as_str());
        let mut said = detail.map_or_else(|| format!("the relay answered {status}"), str::to_owned);
        for more in problem["problems"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            said = format!("{said}\n{more}");
        }
        match status {
            StatusCode::NOT_FOUND => Failure::NotFound(said).into(),
            StatusCode::UNAUTHORIZED => anyhow!("{said}\n{}", self.other_token()),
            StatusCode::FORBIDDEN if !self.token_from.is_empty() => anyhow!("{said}\nThis is {}.", self.token_from),
            _ => anyhow!(said),
        }
    }

    /// What to do where the token is missing or refused.
    fn other_token(&self) -> String {
        if self.token.is_none() {
            return format!(
                "It wants a token and none was sent: set {TOKEN_VARIABLE} to one of [admin] tokens in its relay.toml, or name that \
                 file with --config."
            );
        }
        format!("It does not take {}. Set {TOKEN_VARIABLE} to one of [admin] tokens in its relay.toml.", self.token_from)
    }

    fn call(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let request = self.request(method, path, body)?;
        self.runtime.block_on(self.exchange(request))
    }

    /// `GET` of a path below `/api/v1`, as bytes, within [`Self::block_on`].
    pub(super) async fn ask(&self, path: &str) -> anyhow::Result<Bytes> {
        self.exchange(self.request(Method::GET, path, Bytes::new())?).await
    }

    /// Works on something that asks more than once, or waits.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Where the relay is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
        match tokio::time::timeout(CALL_TIME, self.pool.exchange(request, ANSWER_BYTES_MAX)).await {
            Err(_) => Err(self.unreachable("no answer in time".to_owned())),
            Ok(Err(error)) => Err(self.unreachable(error.to_string())),
            Ok(Ok(answer)) if answer.status.is_success() => Ok(answer.body),
            Ok(Ok(answer)) => Err(self.refused(answer.status, &answer.body)),
        }
    }
}

fn token_of_environment() -> Option<Token> {
    let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())?;
    Some((token.into_bytes(), format!("the token in {TOKEN_VARIABLE}")))
}

/// The certificate that a relay with these shows to callers who name no host, as this program does; `None` where it has none.
/// It need not be there yet.
pub(super) fn default_certificate(shown: &Tls, acme: Option<&Acme>, store: &Path) -> Option<PathBuf> {
    match shown {
        Tls::SelfSigned { folder } => return Some(folder.join(tls::SELF_SIGNED_FILES[0])),
        Tls::Certificates(files) if !files.is_empty() => return files.first().map(|files| files.cert.clone()),
        Tls::Certificates(_) => {}
    }
    let acme = acme?;
    let folder = Folder::of(store, &acme.directory);
    let mut files = acme.hosts.iter().map(|host| folder.certificate(host));
    files.clone().find(|file| file.exists()).or_else(|| files.next())
}

/// An address that a listener on every interface can be called at.
pub(super) fn reachable(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        let loopback = match listen {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

/// All items of a list, page by page.
pub(super) fn all(client: &Client, path: &str) -> anyhow::Result<Vec<Value>> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?limit=500{cursor}"))?;
        found.extend(page["items"].as_array().into_iter().flatten().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encoded(next)),
            None => return Ok(found),
        }
    }
}

/// A value in a path or query, percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
