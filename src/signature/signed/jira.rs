//! Atlassian's query hash: a claim that binds a token to the request (method, path and query, in an order of their own).

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::signature::address::{path_of, query_of};
use crate::signature::form;

/// RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The parameter that may hold the token itself.
const TOKEN: &str = "jwt";

/// The hash, in hexadecimal, of a request of `method` to `target`.
pub(in crate::signature) fn query_hash(method: &str, target: &str) -> String {
    hex::encode(Sha256::digest(canonical(method, target)))
}

fn canonical(method: &str, target: &str) -> String {
    let path = path_of(target).trim_end_matches('/').replace('&', "%26");
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    format!("{}&{path}&{}", method.to_ascii_uppercase(), sorted(query_of(target)))
}

fn sorted(query: &str) -> String {
    let encode = |text: &[u8]| utf8_percent_encode(&String::from_utf8_lossy(text), RESERVED).to_string();
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form::fields(query.as_bytes()).filter(|(name, _)| **name != *TOKEN.as_bytes()) {
        by_name.entry(encode(&name)).or_default().push(encode(&value));
    }
    let field = |(name, mut values): (String, Vec<String>)| {
        values.sort();
        format!("{name}={}", values.join(","))
    };
    by_name.into_iter().map(field).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Atlassian's documentation ("Creating a query string hash").
    #[test]
    fn order_and_encoding_are_atlassians() {
        let check = |method, target, expected: &str| assert_eq!(canonical(method, target), expected);
        check(
            "get",
            "/path/to/service?zee_last=param&repeated=parameter%201&first=param&repeated=parameter%202",
            "GET&/path/to/service&first=param&repeated=parameter%201,parameter%202&zee_last=param",
        );
        check("POST", "/", "POST&/&");
        check("POST", "/a&b/?jwt=x&c=*~+d", "POST&/a%26b&c=%2A~%20d");
    }
}
