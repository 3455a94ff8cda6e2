//! What a CA is answered that wants to see that a host leads here (RFC 8555 §8): one question at a time, and only while it is open.
//!
//! Nobody else notices: without an open question listeners do not even look for one.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// The protocol of a handshake that only shows a certificate (RFC 8737 §6.2).
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";
/// Where a CA asks over plain HTTP (RFC 8555 §8.3).
const PATH: &str = "/.well-known/acme-challenge/";
/// Bytes of a SHA-256 digest.
const DIGEST_BYTES: usize = 32;

/// The question that is open, if one is.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwapOption<Answer>);

/// What a CA is to see.
#[derive(Debug)]
pub struct Answer(Kind);

#[derive(Debug)]
enum Kind {
    Tls { host: String, config: Arc<ServerConfig> },
    Http { token: String, text: Bytes },
}

/// An open question; it is closed when this is dropped.
#[must_use]
pub struct Open<'a>(&'a Challenges);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.0.store(None);
    }
}

/// Why an answer cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the challenge cannot be answered: {0}")]
pub struct Unanswerable(String);

impl Answer {
    /// A handshake for `host` shows a certificate that holds the digest of the key authorization (RFC 8737 §3).
    pub fn tls_alpn(host: &str, digest: &[u8]) -> Result<Self, Unanswerable> {
        let wrong = |error: String| Unanswerable(error);
        if digest.len() != DIGEST_BYTES {
            return Err(wrong("its digest is not one of SHA-256".to_owned()));
        }
        let key = KeyPair::generate().map_err(|e| wrong(e.to_string()))?;
        let mut params = CertificateParams::new([host.to_owned()]).map_err(|e| wrong(e.to_string()))?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let made = params.self_signed(&key).map_err(|e| wrong(e.to_string()))?;
        let chain = vec![CertificateDer::from(made.der().to_vec())];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let private = provider.key_provider.load_private_key(private).map_err(|e| wrong(e.to_string()))?;
        // Nobody compares the two here: whoever reads certificates refuses one with an extension that is critical and unknown.
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, private));
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Each such handshake is a whole one: it has nothing to go on with.
        config.send_tls13_tickets = 0;
        Ok(Self(Kind::Tls { host: host.to_owned(), config: Arc::new(config) }))
    }

    /// A request for `token` is answered with the key authorization.
    pub fn http(token: &str, key_authorization: &str) -> Result<Self, Unanswerable> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if token.is_empty() || !token.bytes().all(is_plain) {
            return Err(Unanswerable("its token is not base64url".to_owned()));
        }
        Ok(Self(Kind::Http { token: token.to_owned(), text: Bytes::copy_from_slice(key_authorization.as_bytes()) }))
    }
}

impl Challenges {
    /// Answers so until what comes back is dropped. One question at a time: a later one takes the place of this.
    pub fn open(&self, answer: Answer) -> Open<'_> {
        self.0.store(Some(Arc::new(answer)));
        Open(self)
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.load().is_some()
    }

    /// The settings for a handshake that asks for nothing but this.
    pub(super) fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let answer = self.0.load_full()?;
        let Kind::Tls { host, config } = &answer.0 else { return None };
        let mut protocols = hello.alpn()?;
        let is_only = protocols.next() == Some(PROTOCOL) && protocols.next().is_none();
        let is_host = hello.server_name().is_some_and(|name| name.eq_ignore_ascii_case(host));
        (is_only && is_host).then(|| config.clone())
    }

    /// The answer to a request that asks for this.
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let token = request.uri().path().strip_prefix(PATH)?;
        let answer = self.0.load_full()?;
        let Kind::Http { token: asked, text } = &answer.0 else { return None };
        if token != asked || !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let mut answer = Response::new(Full::from(text.clone()));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn asked(challenges: &Challenges, method: &str, target: &str) -> Option<Response<Full<Bytes>>> {
        challenges.answer(&Request::builder().method(method).uri(target).body(()).unwrap())
    }

    #[tokio::test]
    async fn only_the_open_token_is_answered_and_only_while_it_is_open() {
        let (challenges, path) = (Challenges::default(), "/.well-known/acme-challenge/tok-_1");
        assert!(asked(&challenges, "GET", path).is_none());
        let open = challenges.open(Answer::http("tok-_1", "tok-_1.thumb").unwrap());
        let answer = asked(&challenges, "GET", &format!("http://a.example{path}")).unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/octet-stream");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "tok-_1.thumb");
        for other in ["/.well-known/acme-challenge/tok-_2", "/.well-known/acme-challenge/", "/tok-_1", "/"] {
            assert!(asked(&challenges, "GET", other).is_none(), "{other}");
        }
        assert!(asked(&challenges, "POST", path).is_none());
        drop(open);
        assert!(asked(&challenges, "GET", path).is_none());
    }

    #[test]
    fn what_a_ca_says_need_not_make_sense() {
        for token in ["", "a/b", "a b", "a\r\nb", "../x", "%2e"] {
            assert!(Answer::http(token, "x").is_err(), "{token:?}");
        }
        crate::net::tls::install_provider();
        assert!(Answer::tls_alpn("a.example", &[7; 31]).is_err());
        assert!(Answer::tls_alpn("a.example", &[7; 32]).is_ok());
    }
}
