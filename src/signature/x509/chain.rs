//! Chains of certificates: from a leaf to a root that was fixed by configuration, at the time that the request arrived.

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage};

use super::Certificate;
use crate::signature::Reason;
use crate::signature::public_key::pem;
use crate::time::Timestamp;

/// Certificates that a chain may have, the root included.
pub(in crate::signature) const CERTIFICATES_MAX: usize = 6;

/// Whom a chain must lead to.
#[derive(Clone, Debug)]
pub(in crate::signature) enum Roots {
    /// The roots that browsers trust.
    Public,
    /// These.
    Own(Vec<TrustAnchor<'static>>),
}

/// What a leaf must be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::signature) enum LeafName {
    /// Whatever it likes: extensions tell what it is for.
    Any,
    /// This name.
    Exact(String),
    /// A name that ends so; it begins with a dot.
    Below(String),
}

/// Text that holds no usable root.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate of a root can be read from it (PEM)")]
pub struct BadRoots;

impl Roots {
    /// From PEM.
    pub(in crate::signature) fn read(texts: &[String]) -> Result<Self, BadRoots> {
        let mut anchors = Vec::new();
        for text in texts {
            for der in certificates(text).ok_or(BadRoots)? {
                let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| BadRoots)?;
                anchors.push(anchor.to_owned());
            }
        }
        if anchors.is_empty() { Err(BadRoots) } else { Ok(Self::Own(anchors)) }
    }

    fn anchors(&self) -> &[TrustAnchor<'static>] {
        match self {
            Self::Public => webpki_roots::TLS_SERVER_ROOTS,
            Self::Own(anchors) => anchors,
        }
    }

    /// Whether a chain, leaf first, leads to one of them at `at`, with a leaf of that name. Gives how many certificates lie between.
    pub(in crate::signature) fn lead_from(
        &self,
        chain: &[CertificateDer<'_>],
        name: &LeafName,
        at: Timestamp,
    ) -> Result<usize, Reason> {
        let [leaf, rest @ ..] = chain else { return Err(Reason::BadCertificate) };
        if chain.len() > CERTIFICATES_MAX {
            return Err(Reason::BadCertificate);
        }
        let leaf = EndEntityCert::try_from(leaf).map_err(|_| Reason::BadCertificate)?;
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.seconds()));
        let path = leaf
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                self.anchors(),
                rest,
                time,
                Usage { server: *name != LeafName::Any },
                None,
                None,
            )
            .map_err(|_| Reason::BadCertificate)?;
        if name.is_of(&leaf) { Ok(path.intermediate_certificates().count()) } else { Err(Reason::BadCertificate) }
    }
}

impl LeafName {
    fn is_of(&self, leaf: &EndEntityCert<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => {
                ServerName::try_from(name.as_str()).is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok())
            }
            Self::Below(end) => leaf.valid_dns_names().any(|name| {
                let name = name.to_ascii_lowercase();
                name.len() > end.len() && name.ends_with(end.as_str())
            }),
        }
    }
}

/// What the leaf is made for. One with a server's name must be made for servers; another is told by its own extensions.
struct Usage {
    server: bool,
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        if self.server { KeyUsage::server_auth().validate(purposes) } else { Ok(()) }
    }
}

/// The certificates of a PEM text, in order; `None` where something else is in it, or nothing.
pub(in crate::signature) fn certificates(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let blocks = pem::blocks(text)?;
    let all = blocks.len() <= CERTIFICATES_MAX && blocks.iter().all(|block| block.label == "CERTIFICATE");
    all.then(|| blocks.into_iter().map(|block| block.der.into()).collect())
}

/// The leaf of a chain.
pub(in crate::signature) fn leaf<'a>(chain: &'a [CertificateDer<'_>]) -> Result<Certificate<'a>, Reason> {
    chain.first().and_then(|der| Certificate::read(der)).ok_or(Reason::BadCertificate)
}
