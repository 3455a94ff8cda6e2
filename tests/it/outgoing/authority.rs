//! Certificates for applications and for the relay.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Somebody who signs certificates for `localhost`.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &*self.0).unwrap();
        (made.der().clone(), key)
    }

    /// Writes a new certificate and its key, and gives the certificate.
    pub(crate) fn write(&self, cert: &Path, key: &Path) -> CertificateDer<'static> {
        let (made, private) = self.issue();
        let pem = self.0.pem();
        let leaf = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &made);
        std::fs::write(cert, format!("-----BEGIN CERTIFICATE-----\n{leaf}\n-----END CERTIFICATE-----\n{pem}")).unwrap();
        std::fs::write(key, private.serialize_pem()).unwrap();
        made
    }

    /// Its own certificate, as a file has it.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's settings, with what it speaks.
    pub(crate) fn server(&self, speaks: &[&[u8]]) -> Arc<ServerConfig> {
        hookhold::net::tls::install_provider();
        let (made, key) = self.issue();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made], key).unwrap();
        config.alpn_protocols = speaks.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    /// A server's settings that ask each client for a certificate of this authority.
    pub(crate) fn asking(&self) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let (made, key) = self.issue();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        Arc::new(ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(vec![made], key).unwrap())
    }
}
