//! What a plain listener answers that serves nothing: the same address over HTTPS.

use bytes::Bytes;
use http::header::{CONNECTION, HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;

/// The port that an address need not name.
const HTTPS_PORT: u16 = 443;

/// The answer to a request: 308, so that its method stays; 400 where it does not say which host it is for. `port`: where HTTPS is.
pub fn answer<B>(request: &Request<B>, port: u16) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    match location(request, port) {
        Some(location) => {
            *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
            answer.headers_mut().insert(LOCATION, location);
        }
        None => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    // Whatever body it has is not read.
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn location<B>(request: &Request<B>, port: u16) -> Option<HeaderValue> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, None) = (hosts.next()?.to_str().ok()?, hosts.next()) else { return None };
    let authority: Authority = host.parse().ok()?;
    if host.contains('@') || authority.host().is_empty() {
        return None;
    }
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    target.starts_with('/').then(|| format!("https://{}{port}{target}", authority.host()).parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(target: &str, hosts: &[&str], port: u16) -> Option<String> {
        let mut request = Request::builder().method("POST").uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let answer = answer(&request.body(()).unwrap(), port);
        let location = answer.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(answer.status(), if location.is_some() { 308 } else { 400 });
        location
    }

    #[test]
    fn the_same_address_over_https() {
        assert_eq!(location("/in/a%2fb?x=%7E", &["h.example:80"], 443).unwrap(), "https://h.example/in/a%2fb?x=%7E");
        assert_eq!(location("/", &["[::1]:8080"], 8443).unwrap(), "https://[::1]:8443/");
        assert_eq!(location("http://other.example/x", &["h.example"], 443).unwrap(), "https://h.example/x");
        for hosts in [&[][..], &["a", "b"], &[""], &["u@a"], &["a/b"], &["a b"]] {
            assert_eq!(location("/", hosts, 443), None, "{hosts:?}");
        }
        assert_eq!(location("*", &["h"], 443), None);
    }
}
