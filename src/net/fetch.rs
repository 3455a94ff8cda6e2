//! Requests that the relay makes because a provider's request asked for it: for what is published, and to confirm a subscription.
//!
//! Addresses come from schemes only. Redirects are not followed, and a name that leads to an address that is not public is not
//! connected to, unless it was configured. Each costs one connection and bounded bytes; the time is the caller's to bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use rustls::ClientConfig;
use url::Url;

use super::client::{self, Payload, Server};
use super::pool::Pool;
use crate::signature::{DOCUMENT_BYTES_MAX, Secret};

/// How one host is spoken to.
#[derive(Clone, Debug)]
pub struct Host {
    /// Whom it must be.
    pub tls: Arc<ClientConfig>,
    /// Whether it may have an address that is not public: it was configured, and no sender can choose it.
    pub may_be_private: bool,
    /// Fields of requests to it. Values may be secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Members of what is posted to it, beside the key's id.
    pub members: Vec<(String, Secret)>,
}

/// Why nothing came of a fetch.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No server is named.
    #[error("its address names no server")]
    Address,
    /// There was no whole answer.
    #[error("{0}")]
    Exchange(#[from] client::Error),
    /// There was none in time.
    #[error("it took too long")]
    Time,
    /// The answer was another than a good one.
    #[error("status {0}")]
    Status(http::StatusCode),
    /// The answer cannot be used.
    #[error("it is too large, or no text")]
    Content,
    /// What must be posted is not known.
    #[error("the source does not say how to ask for it")]
    Members,
    /// There were many, and more would be somebody's tool.
    #[error("there were too many within a minute")]
    Often,
}

/// Makes such requests.
#[derive(Clone, Debug)]
pub struct Fetcher {
    /// For hosts that are not in `hosts`.
    web: Arc<ClientConfig>,
    /// By host and port, as a URL writes them.
    hosts: HashMap<String, Host>,
}

impl Fetcher {
    /// Trusts the web's roots but where `hosts` says otherwise.
    pub fn new(web: Arc<ClientConfig>, hosts: HashMap<String, Host>) -> Self {
        Self { web, hosts }
    }

    /// The document at an address; behind a `#` stands the key's id that it is asked for.
    pub(super) async fn document(&self, address: &str) -> Result<String, Failure> {
        let (place, id) = address.split_once('#').map_or((address, None), |(place, id)| (place, Some(id)));
        let url = Url::parse(place).map_err(|_| Failure::Address)?;
        let host = self.hosts.get(&host_of(address));
        let server = self.server(&url, host)?;
        let request = request(&url, &server, id, host)?;
        let answer = Pool::new(server, 0, Duration::ZERO).exchange(request, DOCUMENT_BYTES_MAX).await?;
        match answer.status {
            StatusCode::OK if answer.truncated => Err(Failure::Content),
            StatusCode::OK => String::from_utf8(answer.body.into()).map_err(|_| Failure::Content),
            other => Err(Failure::Status(other)),
        }
    }

    /// Asks for an address and succeeds where the answer is 2xx. What the answer holds is not kept, and nothing secret is sent.
    pub(super) async fn visit(&self, address: &str) -> Result<(), Failure> {
        let url = Url::parse(address).map_err(|_| Failure::Address)?;
        let server = self.server(&url, self.hosts.get(&host_of(address)))?;
        let request = request(&url, &server, None, None)?;
        let answer = Pool::new(server, 0, Duration::ZERO).exchange(request, 0).await?;
        if answer.status.is_success() { Ok(()) } else { Err(Failure::Status(answer.status)) }
    }

    fn server(&self, url: &Url, host: Option<&Host>) -> Result<Server, Failure> {
        let tls = host.map_or(&self.web, |host| &host.tls);
        let server = Server::of(url, tls.clone(), false).map_err(|_| Failure::Address)?;
        Ok(if host.is_some_and(|host| host.may_be_private) { server } else { server.only_public() })
    }
}

fn request(url: &Url, server: &Server, id: Option<&str>, host: Option<&Host>) -> Result<Request<Payload>, Failure> {
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = Request::builder().uri(target).header(http::header::HOST, server.authority());
    request = request.header(http::header::USER_AGENT, concat!("hookhold/", env!("CARGO_PKG_VERSION")));
    for (name, value) in host.iter().flat_map(|host| &host.headers) {
        request = request.header(name, value);
    }
    let request = match id {
        None => request.body(Full::default()),
        Some(id) => {
            let members = host.map(|host| &host.members[..]).filter(|members| !members.is_empty()).ok_or(Failure::Members)?;
            let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
            let mut json: serde_json::Map<_, _> =
                members.iter().map(|(name, value)| (name.clone(), text(value).into())).collect();
            json.insert("key_id".to_owned(), id.into());
            let body = Bytes::from(serde_json::Value::Object(json).to_string());
            request.method(Method::POST).header(http::header::CONTENT_TYPE, "application/json").body(Full::from(body))
        }
    };
    request.map_err(|_| Failure::Address)
}

/// Host and port of an address, as a URL writes them.
pub fn host_of(address: &str) -> String {
    let url = Url::parse(address).ok();
    url.map(|url| url[url::Position::BeforeHost..url::Position::AfterPort].to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls;

    #[test]
    fn what_is_posted_holds_the_id_and_the_sources_members() {
        let url = Url::parse("https://keys.example/get").unwrap();
        let tls = {
            tls::install_provider();
            tls::client_config(None).unwrap()
        };
        let server = Server::of(&url, tls.clone(), false).unwrap();
        let secret = Secret::try_new(b"s3cr3t".to_vec(), None).unwrap();
        let host = Host { tls, may_be_private: false, headers: Vec::new(), members: vec![("client_id".to_owned(), secret)] };
        let posted = request(&url, &server, Some("k1"), Some(&host)).unwrap();
        assert_eq!((posted.method(), posted.uri().to_string().as_str()), (&Method::POST, "/get"));
        assert!(matches!(request(&url, &server, Some("k1"), None), Err(Failure::Members)));
        let asked = request(&url, &server, None, Some(&host)).unwrap();
        assert_eq!((asked.method(), &asked.headers()["host"]), (&Method::GET, &HeaderValue::from_static("keys.example")));
    }
}
