//! Certificates that a CA is asked for.

use std::path::PathBuf;

use url::Url;

use crate::signature::Secret;

/// `[tls.acme]`
#[derive(Debug)]
pub struct Acme {
    /// The names, lower case and ASCII; one at least, each with a certificate of its own.
    pub hosts: Vec<String>,
    /// Where the CA writes to, as a URI.
    pub contact: Option<String>,
    /// Where the CA is asked: `https`.
    pub directory: Url,
    /// The only roots that are trusted there; `None`: those of the web.
    pub ca: Option<PathBuf>,
    /// How it is shown that a name leads here: what is tried first, first.
    pub challenges: Vec<Challenge>,
    /// As which of its customers the CA knows the relay.
    pub external_account: Option<ExternalAccount>,
}

/// How it is shown that a name leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By what is shown in a TLS handshake (RFC 8737).
    TlsAlpn,
    /// By what is answered over plain HTTP (RFC 8555 §8.3).
    Http,
}

/// `external_account`: what a CA gave its customer (RFC 8555 §7.3.4).
#[derive(Debug)]
pub struct ExternalAccount {
    /// The key's id.
    pub key_id: String,
    /// The key, decoded.
    pub key: Secret,
}
