//! Certificates and keys that relay.toml names: proved to be there, to be PEM, and to belong together.
//!
//! Whether a chain is complete, and whom clients trust, is not judged here.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;

use super::key::{Key, Kind, Others, Table};
use super::secret::warn_if_open;
use super::settings::CertificateFiles;
use super::value::Value;

/// A bundle of all roots of the web has a quarter of this; a device file cannot fill the memory.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

pub(super) static PAIR: Table = Table {
    name: "certificates",
    tells: "In `[tls]`, and as `client_certificate` of a destination: a chain and its key, as PEM. The files of `[tls]` are looked at \
            every few seconds; new ones are used without a restart.",
    example: r#"
[tls]
certificates = [
    { cert = "certs/hooks.pem", key = "certs/hooks-key.pem" },
    { cert = "certs/other.pem", key = "certs/other-key.pem" },
]
"#,
    keys: &[
        Key::needed("cert", Kind::Text, "The file of the chain, the server's certificate first."),
        Key::needed("key", Kind::Text, "The file of its private key."),
    ],
    later: &[],
    others: Others::None,
};

/// One entry of `[tls] certificates`, or a destination's `client_certificate`.
pub(super) fn pair(value: &Value<'_>) -> Option<CertificateFiles> {
    let mut section = value.inner()?;
    let cert = section.require("cert", "write cert = \"certs/hooks.pem\"");
    let key = section.require("key", "write key = \"certs/hooks-key.pem\"");
    section.finish();
    let chain = cert.as_ref().and_then(chain);
    let private = key.as_ref().and_then(private_key);
    let ((chain, cert), (private, key_path)) = (chain?, private?);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match rustls::sign::CertifiedKey::from_der(chain, private, &provider) {
        Ok(_) => Some(CertificateFiles { cert, key: key_path }),
        Err(rustls::Error::InconsistentKeys(_)) => value.error("has a key that does not belong to its certificate"),
        Err(error) => value.error(&format!("cannot be used: {error}")),
    }
}

/// A file of root certificates.
pub(super) fn roots(value: &Value<'_>) -> Option<PathBuf> {
    let (certificates, path) = chain(value)?;
    let mut store = rustls::RootCertStore::empty();
    match certificates.into_iter().try_for_each(|certificate| store.add(certificate)) {
        Ok(()) => Some(path),
        Err(error) => value.error(&format!("holds a certificate that cannot be a root, {}: {error}", path.display())),
    }
}

/// What judges the certificates of callers: these roots, and nobody else.
pub(super) fn callers(value: &Value<'_>) -> Option<Arc<dyn ClientCertVerifier>> {
    let path = roots(value)?;
    let (certificates, _) = chain(value)?;
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    match rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build() {
        Ok(verifier) => Some(verifier),
        Err(error) => value.error(&format!("cannot be used, {}: {error}", path.display())),
    }
}

/// The text of a file of root certificates.
pub(super) fn text(value: &Value<'_>) -> Option<String> {
    let path = roots(value)?;
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => value.unreadable(&path, &error),
    }
}

fn chain(value: &Value<'_>) -> Option<(Vec<CertificateDer<'static>>, PathBuf)> {
    let (_, pem, path) = open(value)?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if chain.is_empty() => value.error(&format!("has no certificate in it: {}", path.display())),
        Ok(chain) => Some((chain, path)),
        Err(_) => value.error(&format!("is not PEM: {}", path.display())),
    }
}

fn private_key(value: &Value<'_>) -> Option<(PrivateKeyDer<'static>, PathBuf)> {
    let (file, pem, path) = open(value)?;
    warn_if_open(&file, value);
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Some((key, path)),
        Err(PemError::NoItemsFound) => value.error(&format!("has no private key in it: {}", path.display())),
        Err(_) => value.error(&format!("is not PEM: {}", path.display())),
    }
}

fn open(value: &Value<'_>) -> Option<(File, Vec<u8>, PathBuf)> {
    let path = value.reading().path(value.text()?);
    let read = || -> io::Result<_> {
        let (file, mut pem) = (File::open(&path)?, Vec::new());
        (&file).take(PEM_BYTES_MAX).read_to_end(&mut pem)?;
        Ok((file, pem))
    };
    match read() {
        Ok((file, pem)) => {
            value.was_read(&pem);
            Some((file, pem, path))
        }
        Err(error) => value.unreadable(&path, &error),
    }
}
