//! What must be true of a request's head before anything is made of it: one reading, and no more than fits.
//!
//! hyper refuses most of what RFC 9112 forbids. Here is what it lets pass: the rest of framing, hosts that are none, and bounds.

use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Version};

use super::reply::Refusal;

/// All fields together, as they stand in a head of HTTP/1.1: hyper's own bound is that of a buffer, which may be larger.
const FIELD_BYTES_MAX: usize = 32 * 1024;
/// What a field has beside its name and its value: `: ` and CRLF.
const FIELD_BYTES_BESIDE: usize = 4;

/// Refuses a head that is too large, or that others could read in another way.
pub(super) fn prove(head: &Parts, fields_max: usize) -> Result<(), Refusal> {
    let of_field =
        |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + FIELD_BYTES_BESIDE;
    if head.headers.len() > fields_max || head.headers.iter().map(of_field).sum::<usize>() > FIELD_BYTES_MAX {
        return Err(Refusal::LargeHead);
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    // Another coding around the body would have to be taken off.
    let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    if is_chunked { Ok(()) } else { Err(Refusal::UnknownCoding) }
}

/// Whether nothing more may be read from its connection: hyper goes by `Transfer-Encoding` and takes out a `Content-Length` beside it before
/// it is seen here, but whoever went by that would begin the next request elsewhere (RFC 9112 §6.1).
pub(super) fn is_last(version: Version, headers: &HeaderMap) -> bool {
    version < Version::HTTP_2 && headers.contains_key(TRANSFER_ENCODING)
}

/// The host that the request is for; `None` where it names none, more than one, or what is none (RFC 9112 §3.2).
pub(super) fn authority(head: &Parts) -> Option<String> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return None;
    }
    let host = host.map(|host| host.to_str().ok().filter(|host| host.bytes().all(is_of_host)));
    match (head.uri.authority(), host) {
        (_, Some(None)) => None,
        // Whoever names a user there, too, wants it to be taken for a host (RFC 9110 §4.2.4).
        (Some(authority), _) => Some(authority.as_str().to_owned()).filter(|host| host.bytes().all(is_of_host)),
        (None, Some(Some(host))) => Some(host.to_owned()),
        // HTTP/1.0 knows no Host.
        (None, None) => (head.version <= Version::HTTP_10).then(String::new),
    }
}

/// What stands in a host and its port (RFC 3986 §3.2.2).
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(version: Version, target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_head_has_one_reading() {
        let [fits, long] = [5, 4].map(|less| "x".repeat(FIELD_BYTES_MAX - less));
        let proved = |fields: &[_]| prove(&head(Version::HTTP_11, "/", fields), 3);
        assert_eq!(proved(&[("content-length", "1")]), Ok(()));
        assert_eq!(proved(&[("transfer-encoding", "Chunked")]), Ok(()));
        for coding in ["gzip, chunked", "identity", "chunked;q=1", ""] {
            assert_eq!(proved(&[("transfer-encoding", coding)]), Err(Refusal::UnknownCoding), "{coding}");
        }
        assert_eq!(proved(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]), Err(Refusal::UnknownCoding));
        assert_eq!(proved(&[("a", "1"), ("a", "2"), ("b", "3")]), Ok(()));
        assert_eq!(proved(&[("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")]), Err(Refusal::LargeHead));
        assert_eq!([proved(&[("a", &fits)]), proved(&[("a", &long)])], [Ok(()), Err(Refusal::LargeHead)]);
    }

    #[test]
    fn a_request_is_for_one_host() {
        let of = |version, target, fields: &[_]| authority(&head(version, target, fields));
        let is = |host: &str| Some(host.to_owned());
        assert_eq!(of(Version::HTTP_11, "/", &[("host", "h.example:8443")]), is("h.example:8443"));
        assert_eq!(of(Version::HTTP_11, "/", &[("host", "[::1]:1")]), is("[::1]:1"));
        assert_eq!(of(Version::HTTP_11, "http://other/", &[("host", "h")]), is("other"));
        assert_eq!(of(Version::HTTP_2, "https://h/", &[]), is("h"));
        for target in ["http://u@h/", "http://u:p@h/", "http://@h/"] {
            assert_eq!(of(Version::HTTP_11, target, &[("host", "h")]), None, "{target}");
            assert_eq!(of(Version::HTTP_2, target, &[]), None, "{target}");
        }
        assert_eq!(of(Version::HTTP_10, "/", &[]), is(""));
        assert_eq!(of(Version::HTTP_11, "/", &[]), None);
        for host in ["a b", "u@h", "a/b", "a\"b", "a\\b", "h\u{e9}"] {
            assert_eq!(of(Version::HTTP_11, "/", &[("host", host)]), None, "{host:?}");
            assert_eq!(of(Version::HTTP_11, "http://other/", &[("host", host)]), None, "{host:?}");
        }
        assert_eq!(of(Version::HTTP_11, "/", &[("host", "a"), ("host", "a")]), None);
    }
}
