//! What proxies say of their clients: a client that is known is named by the field's text, or is the proxy.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use hookhold::net::forwarded::Proxies;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

static PROXIES: LazyLock<Proxies> =
    LazyLock::new(|| Proxies::new(vec!["10.0.0.0/8".parse().expect("a network"), "2001:db8::/32".parse().expect("a network")]));
const FIELDS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((which, value)) = line.split_first() else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.append(HeaderName::from_static(FIELDS[usize::from(*which) % FIELDS.len()]), value);
    }
    let peer = IpAddr::from([10, 0, 0, 1]);
    let client = PROXIES.client(peer, &headers);
    assert!(client.is_known || PROXIES.trust(client.address), "{client:?}");
    assert!(client.host.is_none_or(|host| !host.contains(['@', '/', ',', ' ', '"'])));

    // What the proxy adds on a line of its own decides, whatever it passed on.
    headers.remove("x-forwarded-for");
    headers.append("forwarded", HeaderValue::from_static("for=192.0.2.1"));
    let client = PROXIES.client(peer, &headers);
    assert_eq!((client.address, client.is_known), (IpAddr::from([192, 0, 2, 1]), true));
});
