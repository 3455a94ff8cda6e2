//! A certificate that a CA gave for one host, with its key, in one file: the key first, then the chain. What exists was proved to be
//! whole, to be for that host, and to belong to its key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;

use super::tls::{Error, covers};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::signature::CertificateFacts;
use crate::time::Timestamp;

/// Such a certificate.
#[derive(Debug)]
pub struct Issued {
    host: String,
    file: PathBuf,
    key: Arc<CertifiedKey>,
    from: Timestamp,
    until: Timestamp,
    renewal_id: Option<(String, String)>,
}

impl Issued {
    /// For `host`, from what is, or will be, in `file`.
    pub fn read(host: &str, file: &Path, pem: &[u8]) -> Result<Self, Error> {
        let bad = |why: String| Error::File { file: file.into(), why };
        // What the parser says quotes lines, and some of them are secret.
        let not_pem = |what: &str| bad(format!("{what} is not PEM, or not whole"));
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|_| not_pem("it"))?;
        let Some(leaf) = chain.first() else { return Err(bad("no certificate is in it".to_owned())) };
        let facts = CertificateFacts::read(leaf).ok_or_else(|| bad("its certificate cannot be read".to_owned()))?;
        let private = PrivateKeyDer::from_pem_slice(pem).map_err(|_| not_pem("its key"))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, private, &provider).map_err(|e| bad(e.to_string()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|e| bad(e.to_string()))?;
        if !covers(&key, &name) {
            return Err(bad(format!("its certificate is not for {host}")));
        }
        let (from, until) = (facts.not_before, facts.not_after);
        let text = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let renewal_id = facts.authority_key.map(|key| (text(key), text(facts.serial)));
        Ok(Self { host: host.to_owned(), file: file.into(), key: Arc::new(key), from, until, renewal_id })
    }

    /// For which host it is shown.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// From when on it counts, and until when.
    pub fn valid(&self) -> (Timestamp, Timestamp) {
        (self.from, self.until)
    }

    /// As what its CA knows it: the key that signed it, and its serial number (RFC 9773, section 4.1).
    pub fn renewal_id(&self) -> Option<(&str, &str)> {
        self.renewal_id.as_ref().map(|(key, serial)| (key.as_str(), serial.as_str()))
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn pem(names: &[&str], key: &KeyPair, other: &KeyPair) -> String {
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        other.serialize_pem() + &params.self_signed(key).unwrap().pem()
    }

    /// The key and the serial number of RFC 9773, section 4.1, and what it makes of them.
    #[test]
    fn a_ca_knows_it_by_the_key_that_signed_it_and_its_number() {
        crate::net::tls::install_provider();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
        let authority = hex::decode("69885b6b87464041e1b37b847ba0ae2cde01c8d4").unwrap();
        params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(authority);
        let written = |params: &CertificateParams| key.serialize_pem() + &params.self_signed(&key).unwrap().pem();
        let file = Path::new("a.example.pem");
        let without = Issued::read("a.example", file, written(&params).as_bytes()).unwrap();
        assert_eq!(without.renewal_id(), None);
        params.use_authority_key_identifier_extension = true;
        let with = Issued::read("a.example", file, written(&params).as_bytes()).unwrap();
        assert_eq!(with.renewal_id(), Some(("aYhba4dGQEHhs3uEe6CuLN4ByNQ", "AIdlQyE")));
    }

    fn read(pem: &str) -> Result<Issued, String> {
        Issued::read("a.example", Path::new("a.example.pem"), pem.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_does_not_fit_is_kept_out() {
        crate::net::tls::install_provider();
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let good = pem(&["a.example"], &key, &key);
        assert_eq!(read(&good).unwrap().host(), "a.example");
        assert!(read(&pem(&["b.example"], &key, &key)).unwrap_err().ends_with("its certificate is not for a.example"));
        assert!(read(&pem(&["a.example"], &key, &other)).unwrap_err().contains("KeyMismatch"), "another's key");
        assert!(read(&good[..good.len() / 2]).is_err(), "half a file");
        let (private, chain) = good.split_once("-----BEGIN CERTIFICATE").unwrap();
        assert!(read(private).unwrap_err().contains("no certificate is in it"));
        assert!(read(&format!("-----BEGIN CERTIFICATE{chain}")).unwrap_err().contains("its key"));
        for junk in ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(read(junk).is_err(), "{junk:?}");
        }
    }
}
