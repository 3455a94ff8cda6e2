//! Where webhooks come in, and what is asked of those who bring them.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::pace::meter::Meter;

/// `[listen]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The listeners, in the order of the file, HTTPS first. One of them at least takes webhooks.
    pub listeners: Vec<Listener>,
    /// Peers that are believed when they say for whom they speak.
    pub trusted_proxies: Vec<IpNet>,
}

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub is_https: bool,
    /// What it is for.
    pub serve: Serve,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// It takes webhooks.
    Webhooks,
    /// It sends everybody to HTTPS.
    Redirect,
}

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// None does.
    #[default]
    Off,
    /// Each does, and whoever is no trusted proxy is let go.
    Required,
    /// Those of trusted proxies do, and no others.
    FromTrusted,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    #[default]
    V12,
    /// 1.3
    V13,
}

impl Listen {
    /// The listeners that take webhooks.
    pub fn webhooks(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| listener.serve == Serve::Webhooks)
    }

    /// The addresses that speak TLS.
    pub fn https(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter(|listener| listener.is_https).map(|listener| listener.address)
    }

    /// Whether an IPv6 wildcard must leave IPv4 to another listener.
    pub fn has_both_families(&self, address: SocketAddr) -> bool {
        address.is_ipv6() && self.listeners.iter().any(|other| other.address.is_ipv4() && other.address.port() == address.port())
    }
}

/// What of `[limits]` is about connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeLimits {
    /// Connections at once of one address.
    pub connections_per_address: usize,
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// Requests of one address; `None`: as many as come.
    pub per_second_per_address: Option<Meter>,
    /// Header fields of one request.
    pub header_fields: usize,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams: u32,
    /// Requests on one connection.
    pub requests_per_connection: u64,
    /// A connection takes no more requests when it is so old.
    pub connection_age: Duration,
    /// A connection on which nothing is asked for so long is closed.
    pub keep_alive: Duration,
}

impl EdgeLimits {
    /// What counts where nothing is said and there may be so many connections.
    pub fn of(connections: usize) -> Self {
        Self {
            // Nobody takes all places, and no half-open connections those of whole ones.
            connections_per_address: connections.div_ceil(2),
            handshakes: connections.div_ceil(2),
            per_second_per_address: None,
            header_fields: 100,
            http2_streams: 100,
            requests_per_connection: 10_000,
            connection_age: Duration::from_secs(60 * 60),
            keep_alive: Duration::from_secs(60),
        }
    }
}
