//! Contentful signs a canonical request: path and query escaped anew, and the headers that one header lists, by name. As its
//! `node-apps-toolkit` does it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::Reason;
use super::super::address;
use super::super::view::View;

const LIST: &str = "x-contentful-signed-headers";
const STAMP: &str = "x-contentful-timestamp";
/// Listed headers: Contentful lists fewer than ten.
const HEADERS_MAX: usize = 64;

/// What JavaScript's `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// What its `encodeURI` leaves as it is.
const WHOLE: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b',')
    .remove(b'#');

/// The path, and the query escaped twice.
pub(super) fn path(target: &str) -> Vec<u8> {
    let (path, query) = (address::path_of(target), address::query_of(target));
    let mut out = utf8_percent_encode(path, WHOLE).to_string();
    if !query.is_empty() {
        out.push('?');
        let once = utf8_percent_encode(query, COMPONENT).to_string();
        out.extend(utf8_percent_encode(&once, WHOLE));
    }
    out.into_bytes()
}

/// `name:value` of each listed header, with `;` between them. The timestamp must be one of them, and so must the list itself:
/// otherwise they could be changed.
pub(super) fn headers(view: &View<'_>) -> Result<Vec<u8>, Reason> {
    let list = view.header(LIST)?.ok_or(Reason::MissingPart)?;
    let list = std::str::from_utf8(list).map_err(|_| Reason::BadEncoding)?;
    let mut names: Vec<String> = list.split(',').take(HEADERS_MAX + 1).map(|name| name.trim().to_ascii_lowercase()).collect();
    if names.len() > HEADERS_MAX {
        return Err(Reason::BadEncoding);
    }
    names.sort();
    names.dedup();
    if ![LIST, STAMP].iter().all(|needed| names.iter().any(|name| name == needed)) {
        return Err(Reason::MissingPart);
    }
    let mut out = Vec::new();
    for name in &names {
        let mut lines = view.headers.all(name);
        let value = lines.next().ok_or(Reason::MissingPart)?;
        if lines.next().is_some() {
            return Err(Reason::BadEncoding);
        }
        if !out.is_empty() {
            out.push(b';');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(value.trim_ascii());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::on_request;
    use super::*;

    #[test]
    fn a_query_is_escaped_twice() {
        let path = |target| String::from_utf8(path(target)).unwrap();
        assert_eq!(path("/hook"), "/hook");
        assert_eq!(path("/a%20b/c;d?"), "/a%2520b/c;d");
        assert_eq!(path("/hook?x=1&y=a%20b"), "/hook?x%253D1%2526y%253Da%252520b");
    }

    fn listed(headers_given: &[(&str, &str)]) -> Result<String, Reason> {
        on_request("POST", "/", headers_given, "", |view| headers(view).map(|out| String::from_utf8(out).unwrap()))
    }

    #[test]
    fn listed_headers_stand_by_name() {
        let list = "x-contentful-timestamp,A,x-contentful-signed-headers";
        let given = [(LIST, list), (STAMP, "5"), ("a", " x ")];
        let expected = format!("a:x;{LIST}:{list};{STAMP}:5");
        assert_eq!(listed(&given), Ok(expected));
        assert_eq!(listed(&given[..2]), Err(Reason::MissingPart));
        assert_eq!(listed(&[given[0], given[1], given[2], ("a", "y")]), Err(Reason::BadEncoding));
    }

    #[test]
    fn what_must_be_listed_is() {
        assert_eq!(listed(&[]), Err(Reason::MissingPart));
        assert_eq!(listed(&[(LIST, LIST)]), Err(Reason::MissingPart));
        assert_eq!(listed(&[(LIST, STAMP), (STAMP, "5")]), Err(Reason::MissingPart));
        let many = format!("{LIST},{STAMP}{}", ",a".repeat(HEADERS_MAX));
        assert_eq!(listed(&[(LIST, &many), (STAMP, "5"), ("a", "")]), Err(Reason::BadEncoding));
    }
}
