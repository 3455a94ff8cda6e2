//! The certificates of those who call: asked for in the handshake, where a source wants one, and judged for each source by itself.
//!
//! A handshake proves that the caller has the key of what it shows, no more. Whose it is follows from the source's own roots, when the
//! source is known. So a caller that shows a certificate which nobody asked for is served all the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use webpki::EndEntityCert;

use crate::time::Timestamp;

/// Names of one certificate that are looked at, and the bytes of each.
const NAMES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 256;

/// Tags of DER.
const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
/// Texts that are UTF-8, or part of it: UTF8String, PrintableString, IA5String.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// What of a subject has a name (RFC 4514 §3), by its object identifier.
const ATTRIBUTES: [(&[u8], &str); 8] = [
    (b"\x55\x04\x03", "CN"),
    (b"\x55\x04\x07", "L"),
    (b"\x55\x04\x08", "ST"),
    (b"\x55\x04\x0a", "O"),
    (b"\x55\x04\x0b", "OU"),
    (b"\x55\x04\x06", "C"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID"),
];

/// Whom a listener asks for a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// Nobody.
    #[default]
    Nobody,
    /// Whoever calls one of these hosts (lower case).
    Hosts(Vec<String>),
    /// Everybody.
    Everybody,
}

/// How a listener asks, and whom. Both can be replaced at any time.
#[derive(Debug)]
pub struct Asking {
    config: ArcSwap<ServerConfig>,
    whom: ArcSwap<Asked>,
}

impl Asking {
    /// With settings of TLS that ask: see [`AnyCertificate`].
    pub fn new(config: Arc<ServerConfig>, whom: Asked) -> Self {
        Self { config: ArcSwap::new(config), whom: ArcSwap::from_pointee(whom) }
    }

    /// Speaks TLS so from now on.
    pub fn replace_config(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    /// Asks others from now on.
    pub fn replace(&self, whom: Asked) {
        self.whom.store(Arc::new(whom));
    }

    /// Whether anybody is asked.
    pub(super) fn is_on(&self) -> bool {
        **self.whom.load() != Asked::Nobody
    }

    /// The settings for a caller that is asked.
    pub(super) fn config(&self, host: Option<&str>) -> Option<Arc<ServerConfig>> {
        let is_asked = match &**self.whom.load() {
            Asked::Nobody => false,
            Asked::Everybody => true,
            Asked::Hosts(hosts) => host.is_some_and(|host| hosts.iter().any(|asked| host.eq_ignore_ascii_case(asked))),
        };
        is_asked.then(|| self.config.load_full())
    }
}

/// Takes any certificate whose key the caller has.
#[derive(Debug)]
pub struct AnyCertificate;

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hint: callers show the one that they were given for this.
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate that a caller showed, with what stands between it and a root.
#[derive(Debug)]
pub struct Shown {
    chain: Vec<CertificateDer<'static>>,
    /// What was judged last: a connection asks for one source, mostly.
    judged: Mutex<Option<(Arc<dyn ClientCertVerifier>, bool)>>,
}

impl Shown {
    /// `None` where nothing was shown.
    pub fn new(chain: Option<&[CertificateDer<'_>]>) -> Option<Arc<Self>> {
        let chain: Vec<_> = chain.into_iter().flatten().map(|certificate| certificate.clone().into_owned()).collect();
        (!chain.is_empty()).then(|| Arc::new(Self { chain, judged: Mutex::default() }))
    }

    /// Whether these roots vouch for it. What is known of a connection's certificate is not asked again.
    pub fn is_of(&self, roots: &Arc<dyn ClientCertVerifier>, now: Timestamp) -> bool {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((by, is_of)) = &*judged
            && Arc::ptr_eq(by, roots)
        {
            return *is_of;
        }
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now.ms()));
        let is_of = self.chain.split_first().is_some_and(|(leaf, rest)| roots.verify_client_cert(leaf, rest, now).is_ok());
        *judged = Some((roots.clone(), is_of));
        is_of
    }

    /// What it says of whom it is for: `CN=...` and its like of the subject, then `dns:...` and `uri:...`.
    pub fn names(&self) -> Vec<String> {
        let Some(leaf) = self.chain.first().and_then(|leaf| EndEntityCert::try_from(leaf).ok()) else { return Vec::new() };
        let subject = attributes(leaf.subject()).unwrap_or_default();
        let dns = leaf.valid_dns_names().map(|name| format!("dns:{name}"));
        let uris = leaf.valid_uri_names().map(|name| format!("uri:{name}"));
        let is_fit = |name: &String| name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
        subject.into_iter().chain(dns).chain(uris).filter(is_fit).take(NAMES_MAX).collect()
    }
}

/// The attributes of a subject that have a name, in its order.
fn attributes(subject: &[u8]) -> Option<Vec<String>> {
    let (mut rest, mut found) = (subject, Vec::new());
    while !rest.is_empty() {
        let mut set = value(&mut rest, SET)?;
        while !set.is_empty() {
            let mut pair = value(&mut set, SEQUENCE)?;
            let kind = value(&mut pair, OID)?;
            let tag = *pair.first()?;
            let text = value(&mut pair, tag).filter(|_| TEXTS.contains(&tag));
            let text = text.and_then(|text| std::str::from_utf8(text).ok());
            let name = ATTRIBUTES.iter().find(|(id, _)| *id == kind).map(|(_, name)| *name);
            found.extend(name.zip(text).map(|(name, text)| format!("{name}={text}")));
        }
    }
    Some(found)
}

/// The content of the next value, which must have this tag.
fn value<'a>(rest: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    let (&[tag, first], after) = rest.split_first_chunk::<2>()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81 => after.split_first().map(|(length, after)| (usize::from(*length), after))?,
        0x82 => after.split_first_chunk::<2>().map(|(length, after)| (usize::from(u16::from_be_bytes(*length)), after))?,
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    (tag == wanted).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn shown(params: CertificateParams) -> Arc<Shown> {
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Shown::new(Some(&[certificate.der().clone()])).unwrap()
    }

    #[test]
    fn names_are_those_of_the_subject_and_of_its_alternatives() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://x/y".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Größe & Co, Ltd");
        params.distinguished_name.push(DnType::CommonName, "hooks");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "line\nbreak");
        assert_eq!(shown(params).names(), ["O=Größe & Co, Ltd", "CN=hooks", "dns:a.example", "uri:spiffe://x/y"]);
        let junk = Shown::new(Some(&[CertificateDer::from(vec![0x30, 0])])).unwrap();
        assert!(junk.names().is_empty() && Shown::new(Some(&[])).is_none() && Shown::new(None).is_none());
    }

    #[test]
    fn hosts_are_asked_by_their_names() {
        crate::net::tls::install_provider();
        let config = ServerConfig::builder().with_no_client_auth();
        let asking = Asking::new(Arc::new(config.with_cert_resolver(Arc::new(Nothing))), Asked::Nobody);
        let asked = |hosts: [Option<&str>; 3]| hosts.map(|host| asking.config(host).is_some());
        let hosts = [None, Some("Hooks.example"), Some("other")];
        assert!(!asking.is_on() && asked(hosts) == [false; 3]);
        asking.replace(Asked::Hosts(vec!["hooks.example".into()]));
        assert!(asking.is_on() && asked(hosts) == [false, true, false]);
        asking.replace(Asked::Everybody);
        assert!(asked(hosts) == [true; 3]);
    }

    #[derive(Debug)]
    struct Nothing;

    impl rustls::server::ResolvesServerCert for Nothing {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = attributes(&bytes);
        }
    }
}
