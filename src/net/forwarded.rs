//! Who the client is where proxies stand before the relay: what `Forwarded` (RFC 7239) and `X-Forwarded-For` say, as far as it can be
//! believed. A rule, without a socket.
//!
//! The fields are read from the right: what a proxy wrote stands behind what it was sent. Never here: a word of a peer that is not
//! trusted, nor a guess. Where what is written makes no sense the client is not known, and whoever lists addresses refuses it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use http::header::FORWARDED;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

/// More proxies than stand in any row; a longer one is somebody's play.
const HOPS_MAX: usize = 32;
/// A port has no more digits.
const PORT_DIGITS_MAX: usize = 5;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The proxies that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; where that is not known, the nearest one that is.
    pub address: IpAddr,
    /// Whether that is the client's own.
    pub is_known: bool,
    /// The host that it asked for, where a proxy says another one than it asks for itself.
    pub host: Option<String>,
}

/// An address, or the nearest one to it that is known.
type Found = Result<IpAddr, IpAddr>;

impl Proxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether this address is one of them.
    pub fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who sent a request with these fields on a connection of `peer`.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        if !self.trust(peer) {
            return Client { address: peer, is_known: true, host: None };
        }
        let (forwarded, host) = match headers.contains_key(FORWARDED) {
            true => self.of_forwarded(peer, headers),
            false => (None, None),
        };
        let listed = headers.contains_key(X_FORWARDED_FOR).then(|| self.of_list(peer, headers));
        let found = match (forwarded, listed) {
            (None, None) => Ok(peer),
            (Some(one), None) | (None, Some(one)) => one,
            (Some(one), Some(other)) if one == other => one,
            // A proxy passes on the field that it does not write: one of them may be the sender's own.
            (Some(_), Some(_)) => Err(peer),
        };
        let host = host.or_else(|| one_host(headers));
        let (Ok(address) | Err(address)) = found;
        Client { address, is_known: found.is_ok(), host }
    }

    fn of_list(&self, peer: IpAddr, headers: &HeaderMap) -> Found {
        let mut walk = Walk { proxies: self, nearest: peer, hops: 0 };
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        for node in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            if let ControlFlow::Break(found) = walk.step(listed_node(node)) {
                return found;
            }
        }
        Ok(walk.nearest)
    }

    fn of_forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> (Option<Found>, Option<String>) {
        let mut walk = Walk { proxies: self, nearest: peer, hops: 0 };
        let mut host = None;
        for line in headers.get_all(FORWARDED).iter().rev() {
            let Some(elements) = elements(line.as_bytes()) else { return (Some(Err(walk.nearest)), None) };
            for element in elements.into_iter().rev() {
                let step = walk.step(element.node);
                host = element.host;
                if let ControlFlow::Break(found) = step {
                    return (Some(found), host.filter(|_| found.is_ok()));
                }
            }
        }
        (Some(Ok(walk.nearest)), host)
    }
}

/// A walk from the relay towards the client.
struct Walk<'a> {
    proxies: &'a Proxies,
    nearest: IpAddr,
    hops: usize,
}

impl Walk<'_> {
    /// The next node; what was found where the walk ends with it.
    fn step(&mut self, node: Option<IpAddr>) -> ControlFlow<Found> {
        self.hops += 1;
        let Some(address) = node.filter(|_| self.hops <= HOPS_MAX) else { return ControlFlow::Break(Err(self.nearest)) };
        self.nearest = address.to_canonical();
        if self.proxies.trust(self.nearest) { ControlFlow::Continue(()) } else { ControlFlow::Break(Ok(self.nearest)) }
    }
}

/// The one host that `X-Forwarded-Host` names; `None` where it names several, or what is none.
fn one_host(headers: &HeaderMap) -> Option<String> {
    let mut lines = headers.get_all(X_FORWARDED_HOST).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    HeaderValue::to_str(line).ok().and_then(|text| host(text.trim_matches([' ', '\t'])))
}

/// A host, with a port or without. The grammar of URLs lets its name have a comma, which parts values here.
fn host(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    (!text.contains(['@', ',']) && !authority.host().is_empty()).then(|| text.to_owned())
}

/// An element of `X-Forwarded-For`. There is no rule for it but custom: addresses, IPv6 with or without brackets, and a port.
fn listed_node(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\t']);
    node(text).or_else(|| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6))
}

/// A node of RFC 7239 §6; `None` where it is no address (`unknown`, `_hidden`) or no node.
fn node(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| is_whole).map(IpAddr::V6);
    }
    let (address, port) = text.split_once(':').map_or((text, None), |(address, port)| (address, Some(port)));
    address.parse::<Ipv4Addr>().ok().filter(|_| port.is_none_or(is_port)).map(IpAddr::V4)
}

fn is_port(text: &str) -> bool {
    let is_number = (1..=PORT_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let of_hidden = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    is_number || text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(of_hidden))
}

/// What an element of `Forwarded` says.
#[derive(Debug, Default)]
struct Element {
    node: Option<IpAddr>,
    host: Option<String>,
}

/// The elements of one line; `None` where it breaks the grammar of RFC 7239 §4: nothing of it can be told apart then.
fn elements(line: &[u8]) -> Option<Vec<Element>> {
    let mut cursor = Cursor(line);
    let mut elements = vec![cursor.element()?];
    while cursor.takes(b',') {
        elements.push(cursor.element()?);
    }
    cursor.0.is_empty().then_some(elements)
}

/// What is left of a line.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Pairs with `;` between them, up to a `,` or the end.
    fn element(&mut self) -> Option<Element> {
        let (mut of, mut host_of) = (None, None);
        loop {
            self.skip_space();
            if let Some(name) = self.token(is_token).map(<[u8]>::to_ascii_lowercase) {
                let value = if self.takes(b'=') { self.value()? } else { return None };
                let place = match name.as_slice() {
                    b"for" => Some(&mut of),
                    b"host" => Some(&mut host_of),
                    _ => None,
                };
                if place.is_some_and(|place| place.replace(value).is_some()) {
                    return None;
                }
                self.skip_space();
            }
            if !self.takes(b';') {
                break;
            }
        }
        let text = |value: Option<Vec<u8>>| value.and_then(|value| String::from_utf8(value).ok());
        Some(Element { node: text(of).and_then(|text| node(&text)), host: text(host_of).and_then(|text| host(&text)) })
    }

    /// A token, or a quoted string without its quotes.
    fn value(&mut self) -> Option<Vec<u8>> {
        if !self.takes(b'"') {
            // Without quotes these are no part of a token, but proxies write them.
            return self.token(|byte| is_token(byte) || b":[]".contains(&byte)).map(<[u8]>::to_vec);
        }
        let mut value = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(value),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    value.push(escaped);
                }
                byte => value.push(byte),
            }
        }
    }

    fn token(&mut self, of_token: impl Fn(u8) -> bool) -> Option<&[u8]> {
        let end = self.0.iter().position(|byte| !of_token(*byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    fn takes(&mut self, wanted: u8) -> bool {
        let rest = self.0.strip_prefix(&[wanted]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn proxies() -> Proxies {
        Proxies::new(["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().unwrap()).to_vec())
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    /// The client's address as a peer of the balancer tells it; `None` where it is not known.
    fn told(fields: &[(&'static str, &str)]) -> Option<String> {
        let client = proxies().client(ip("10.0.0.1"), &headers(fields));
        client.is_known.then(|| client.address.to_string())
    }

    fn of_list(value: &str) -> Option<String> {
        told(&[("x-forwarded-for", value)])
    }

    fn of_forwarded(value: &str) -> Option<String> {
        told(&[("forwarded", value)])
    }

    fn is(address: &str) -> Option<String> {
        Some(address.to_owned())
    }

    #[test]
    fn a_stranger_is_whoever_it_is() {
        let fields =
            [("x-forwarded-for", "10.0.0.2, 192.0.2.1"), ("forwarded", "for=192.0.2.1;host=h"), ("x-forwarded-host", "h")];
        let stranger = Client { address: ip("192.0.2.9"), is_known: true, host: None };
        assert_eq!(proxies().client(ip("192.0.2.9"), &headers(&fields)), stranger);
        assert_eq!(Proxies::default().client(ip("192.0.2.9"), &headers(&fields)), stranger);
        assert_eq!(told(&[]), is("10.0.0.1"));
    }

    #[test]
    fn lists_are_read_from_the_right() {
        assert_eq!(of_list("192.0.2.1"), is("192.0.2.1"));
        assert_eq!(of_list("203.0.113.7, 192.0.2.1"), is("192.0.2.1"), "what a client says of itself is not believed");
        assert_eq!(of_list("203.0.113.7, 192.0.2.1, 10.9.9.9,10.0.0.2"), is("192.0.2.1"));
        assert_eq!(of_list("10.0.0.3, 10.0.0.2"), is("10.0.0.3"), "nobody but proxies");
        assert_eq!(told(&[("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "192.0.2.1, 10.0.0.2")]), is("192.0.2.1"));
        assert_eq!(of_list("192.0.2.1:4711"), is("192.0.2.1"));
        assert_eq!(of_list("2001:db8::1"), is("2001:db8::1"));
        assert_eq!(of_list("[2001:db8::1]:443 "), is("2001:db8::1"));
        assert_eq!(of_list("192.0.2.1, 2001:db8:1::7"), is("192.0.2.1"));
        assert_eq!(of_list("::ffff:192.0.2.1"), is("192.0.2.1"));
    }

    #[test]
    fn what_makes_no_sense_makes_nobody_known() {
        let long = format!("192.0.2.1{}", ", 10.0.0.2".repeat(HOPS_MAX));
        for value in
            ["", ",", "192.0.2.1,", "unknown", "192.0.2.1, unknown, 10.0.0.2", "_hidden", "192.0.2", "192.0.2.01", "a.example"]
        {
            assert_eq!(of_list(value), None, "{value:?}");
        }
        for value in
            ["\"192.0.2.1\"", "192.0.2.1:123456", "192.0.2.1:", "[192.0.2.1]", "[::1", "fe80::1%eth0", "192.0.2.1 x", &long]
        {
            assert_eq!(of_list(value), None, "{value:?}");
        }
        let client = proxies().client(ip("10.0.0.1"), &headers(&[("x-forwarded-for", "192.0.2.1, unknown, 10.0.0.2")]));
        assert_eq!((client.address, client.is_known), (ip("10.0.0.2"), false), "the nearest that is known");
    }

    #[test]
    fn forwarded_is_read_as_its_grammar_says() {
        assert_eq!(of_forwarded("for=192.0.2.1"), is("192.0.2.1"));
        assert_eq!(of_forwarded("For=\"192.0.2.1:4711\";Proto=https , FOR=10.0.0.2"), is("192.0.2.1"));
        assert_eq!(of_forwarded("for=203.0.113.7, for=\"[2001:db8::1]:_p\";by=_x"), is("2001:db8::1"));
        assert_eq!(of_forwarded("for=\"\\1\\92.0.2.1\""), is("192.0.2.1"));
        assert_eq!(of_forwarded("by=10.0.0.9; for=192.0.2.1;"), is("192.0.2.1"));
        assert_eq!(of_forwarded("ext=\"a, for=203.0.113.7\";for=192.0.2.1"), is("192.0.2.1"));
        for value in
            ["", "for", "for=", "for = 192.0.2.1", "for=unknown", "for=_gazonk", "for=\"192.0.2.1", "proto=https", "192.0.2.1"]
        {
            assert_eq!(of_forwarded(value), None, "{value:?}");
        }
        for value in ["for=192.0.2.1;for=192.0.2.1", "for=\"2001:db8::1\"", "for=192.0.2.1,", "for=192.0.2.1 for=192.0.2.2"] {
            assert_eq!(of_forwarded(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_quote_of_the_sender_cannot_swallow_what_a_proxy_adds() {
        for begun in ["for=\"", "for=203.0.113.7;x=\"", "for=203.0.113.7;x=\"\\", "for=203.0.113.7;x=\"a\""] {
            for added in
                ["for=192.0.2.1", "for=\"192.0.2.1\"", "for=\"[2001:db8::1]\";proto=\"https\"", "by=\"_a\";for=192.0.2.1"]
            {
                let found = of_forwarded(&format!("{begun}, {added}"));
                assert!(found.is_none() || !found.as_ref().unwrap().starts_with("203."), "{begun} {added}: {found:?}");
                // On a line of its own it is read for itself.
                let found = told(&[("forwarded", begun), ("forwarded", added)]);
                assert!(found.is_some_and(|found| !found.starts_with("203.")), "{begun} {added}");
            }
        }
    }

    #[test]
    fn two_fields_that_differ_say_nothing() {
        let both = |forwarded, list| told(&[("forwarded", forwarded), ("x-forwarded-for", list)]);
        assert_eq!(both("for=192.0.2.1", "192.0.2.1"), is("192.0.2.1"));
        assert_eq!(both("for=192.0.2.1", "203.0.113.7, 192.0.2.1, 10.0.0.2"), is("192.0.2.1"));
        assert_eq!(both("for=203.0.113.7", "192.0.2.1"), None);
        assert_eq!(both("for=unknown", "192.0.2.1"), None);
        assert_eq!(both("for=192.0.2.1", "unknown"), None);
    }

    #[test]
    fn the_host_is_what_the_outermost_proxy_was_asked_for() {
        let host = |fields: &[_]| proxies().client(ip("10.0.0.1"), &headers(fields)).host;
        assert_eq!(host(&[("forwarded", "for=192.0.2.1;host=\"a.example:8443\", for=10.0.0.2;host=b")]), is("a.example:8443"));
        assert_eq!(host(&[("x-forwarded-host", "a.example")]), is("a.example"));
        assert_eq!(host(&[("forwarded", "for=192.0.2.1;host=a"), ("x-forwarded-host", "b")]), is("a"));
        for value in [",", "a,b", "a, b", "", "a/b", "u@a", "a b"] {
            assert_eq!(host(&[("x-forwarded-host", value)]), None, "{value:?}");
        }
        assert_eq!(host(&[("x-forwarded-host", "a"), ("x-forwarded-host", "a")]), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nobody_is_a_proxy_by_his_own_word(forwarded in "[ -~\t]{0,200}", list in "[ -~\t]{0,200}") {
            let fields = [("forwarded", forwarded.as_str()), ("x-forwarded-for", list.as_str())];
            let client = proxies().client(ip("10.0.0.1"), &headers(&fields));
            prop_assert!(client.is_known || proxies().trust(client.address));
        }

        #[test]
        fn what_a_proxy_adds_decides(before in "[ -~]{0,80}", address: std::net::Ipv4Addr) {
            prop_assume!(!proxies().trust(address.into()));
            prop_assert_eq!(of_list(&format!("{before}, {address}")), is(&address.to_string()));
            let found = of_forwarded(&format!("{before}, for={address}"));
            prop_assert!(found.is_none() || found == is(&address.to_string()));
            prop_assert_eq!(told(&[("forwarded", &before), ("forwarded", &format!("for={address}"))]), is(&address.to_string()));
        }
    }
}
