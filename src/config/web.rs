//! URLs and hosts. A URL's user and password never stay in it, and no URL is shown in a message: it may hold them.

use std::path::PathBuf;

use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::value::Value;
use super::{auth, secret};

/// Where collectors listen for OTLP by the protocol's own words.
const OTLP_GRPC_PORT: u16 = 4317;
const OTLP_HTTP_PORT: u16 = 4318;

/// The host that a source answers to: lower case, without port.
pub(super) fn host(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    match Host::parse(text) {
        // Nothing is matched but whole names.
        Ok(host) if !text.contains('*') => Some(host.to_string()),
        _ => value.error("must be a host name without scheme and port, such as \"hooks.example.com\""),
    }
}

/// What a provider calls, up to the request's own path.
pub(super) fn base(value: &Value<'_>) -> Option<Url> {
    let url = web_url(value, "must start with http:// or https://")?;
    if url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
        return value.error("must have neither a query nor a user");
    }
    Some(url)
}

/// Where tokens are given out.
pub(super) fn token(value: &Value<'_>) -> Option<Url> {
    let url = web_url(value, "must start with https:// or http://")?;
    if !url.username().is_empty() || url.password().is_some() {
        return value.error("must have no user: write client_id and client_secret");
    }
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !is_here {
        value.warn("is not https: the client's secret goes there for everybody on the way to read", None);
    }
    Some(url)
}

/// Where a collector takes traces: OTLP's own path, below the one that is written.
pub(super) fn collector(value: &Value<'_>) -> Option<Url> {
    const PATH: &str = "/v1/traces";
    let mut url = web_url(value, "must start with http:// or https://")?;
    if url.query().is_some() {
        return value.error("must have no query");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return value.error_help("must have no user", Some("write headers = { authorization = { env = \"NAME\" } }".to_owned()));
    }
    if url.port() == Some(OTLP_GRPC_PORT) {
        let help = format!("did you mean port {OTLP_HTTP_PORT}?");
        value.warn("has the port of OTLP over gRPC, and the relay speaks OTLP over HTTP", Some(help));
    }
    let base = url.path().trim_end_matches('/');
    if !base.ends_with(PATH) {
        let path = format!("{base}{PATH}");
        url.set_path(&path);
    }
    Some(url)
}

/// The longest path of a socket that Linux takes (`sun_path`, with the zero at its end).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where an application is.
pub(super) struct Place {
    /// What it is asked for.
    pub(super) url: Url,
    /// The `Authorization` that the URL's user and password stand for.
    pub(super) authorization: Option<HeaderValue>,
    /// The Unix socket that it listens on, in place of the URL's host.
    pub(super) socket: Option<PathBuf>,
}

/// An application's URL, or `unix:SOCKET:PATH`.
pub(super) fn application(value: &Value<'_>) -> Option<Place> {
    let text = value.text()?;
    // nginx writes `http://unix:`, where no host can be named so.
    if let Some(rest) = text.strip_prefix("http://").unwrap_or(text).strip_prefix("unix:") {
        return at_socket(value, rest);
    }
    let (url, authorization) = without_user(web_url(value, "must start with http://, https:// or unix:")?)?;
    Some(Place { url, authorization, socket: None })
}

/// Where somebody hears of alarms; such an address may be a secret, and then it stands elsewhere. The `Authorization` that its user
/// and password stand for is beside it.
pub(super) fn receiver(value: &Value<'_>) -> Option<(Url, Option<HeaderValue>)> {
    const WRONG: &str = "must start with https:// or http://";
    if !value.is_table() {
        return without_user(web_url(value, WRONG)?);
    }
    let secret = secret::read_lasting(value)?;
    match std::str::from_utf8(secret.expose()) {
        Ok(text) => without_user(web_url_of(value, text, WRONG)?),
        Err(_) => value.error("is no text"),
    }
}

/// A URL without its user and password, and the `Authorization` that they stand for.
fn without_user(mut url: Url) -> Option<(Url, Option<HeaderValue>)> {
    if url.username().is_empty() && url.password().is_none() {
        return Some((url, None));
    }
    let decoded = |text: &str| Zeroizing::new(percent_decode_str(text).collect::<Vec<u8>>());
    let basic = auth::basic(&decoded(url.username()), &decoded(url.password().unwrap_or_default()))?;
    // Cannot fail for http and https, which have a host.
    (url.set_username(""), url.set_password(None)).0.ok()?;
    Some((url, Some(basic)))
}

/// `SOCKET:PATH`; without a path it is `/`.
fn at_socket(value: &Value<'_>, text: &str) -> Option<Place> {
    let (file, path) = text.split_once(':').unwrap_or((text, "/"));
    let path = if path.is_empty() { "/" } else { path };
    if file.is_empty() || !path.starts_with('/') {
        return value.error("must be like \"unix:/run/app.sock:/path\"");
    }
    let socket = value.reading().path(file);
    if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return value.error(&format!("names a socket by more than {SOCKET_PATH_BYTES_MAX} bytes, which no system takes"));
    }
    Some(Place { url: parse(value, &format!("http://localhost{path}"))?, authorization: None, socket: Some(socket) })
}

/// `wrong`: what is said where it is none.
fn web_url(value: &Value<'_>, wrong: &str) -> Option<Url> {
    web_url_of(value, value.text()?, wrong)
}

/// `text`: what the value is, or names.
fn web_url_of(value: &Value<'_>, text: &str, wrong: &str) -> Option<Url> {
    let after_scheme = ["http://", "https://"].into_iter().find_map(|scheme| {
        let start = text.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    });
    let Some(rest) = after_scheme else { return value.error(wrong) };
    // Such an URL would be repaired rather than refused.
    if rest.is_empty() || rest.starts_with(['/', '\\', '?', '#']) {
        return value.error("has no host");
    }
    parse(value, text)
}

fn parse(value: &Value<'_>, text: &str) -> Option<Url> {
    match Url::parse(text) {
        Ok(url) if url.fragment().is_some() => value.error("has a fragment (#), which is never sent"),
        Ok(url) => Some(url),
        Err(error) => value.error(&format!("is not a URL: {error}")),
    }
}
