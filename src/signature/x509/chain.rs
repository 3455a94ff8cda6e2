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
#[derive(Clone, Debug, Default)]
pub(in crate::signature) enum Roots {
    /// The roots that browsers trust.
    #[default]
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        date_time_ymd,
    };

    const IN_2026: Timestamp = Timestamp::from_ms(1_790_000_000_000);
    /// An extension, as its identifier is written and as DER has it.
    const MARKER: [u64; 5] = [1, 2, 840, 113_635, 100];

    fn params(name: &str, ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new(if ca { vec![] } else { vec![name.to_owned()] }).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        params
    }

    /// Leaf, intermediate, root; and the root's PEM.
    fn chain(change: impl FnOnce(&mut CertificateParams)) -> (Vec<CertificateDer<'static>>, String) {
        let keys: Vec<KeyPair> = (0..3).map(|_| KeyPair::generate().unwrap()).collect();
        let (root, between) = (params("root", true), params("between", true));
        let mut leaf = params("Hooks.Provider.example", false);
        change(&mut leaf);
        let root_made = root.self_signed(&keys[0]).unwrap();
        let between_made = between.signed_by(&keys[1], &Issuer::from_params(&root, &keys[0])).unwrap();
        let leaf_made = leaf.signed_by(&keys[2], &Issuer::from_params(&between, &keys[1])).unwrap();
        let pem = root_made.pem();
        (vec![leaf_made.into(), between_made.into(), root_made.into()], pem)
    }

    fn below() -> LeafName {
        LeafName::Below(".provider.example".into())
    }

    #[test]
    fn a_chain_leads_to_a_fixed_root_or_nowhere() {
        let (good, root) = chain(|_| ());
        let roots = Roots::read(&[root]).unwrap();
        let leads = |chain: &[CertificateDer<'_>], name: &LeafName, at| roots.lead_from(chain, name, at).ok();
        assert_eq!(leads(&good, &below(), IN_2026), Some(1));
        assert_eq!(leads(&good[..2], &LeafName::Exact("hooks.provider.example".into()), IN_2026), Some(1));
        assert_eq!(leads(&good, &LeafName::Exact("other.provider.example".into()), IN_2026), None);
        assert_eq!(leads(&good, &LeafName::Below(".hooks.provider.example".into()), IN_2026), None);
        assert_eq!(leads(&good[..1], &below(), IN_2026), None);
        assert_eq!(leads(&good[1..], &LeafName::Any, IN_2026), None, "a CA is no leaf");
        assert_eq!(leads(&[], &LeafName::Any, IN_2026), None);
        assert_eq!(leads(&vec![good[0].clone(); CERTIFICATES_MAX + 1], &LeafName::Any, IN_2026), None);
        for outside in [1_767_225_599_000, 1_798_761_601_000, 0, u64::MAX] {
            assert_eq!(leads(&good, &below(), Timestamp::from_ms(outside)), None, "{outside}");
        }
        let (foreign, _) = chain(|_| ());
        assert_eq!(leads(&foreign, &below(), IN_2026), None);
        assert_eq!(leads(&[foreign[0].clone(), good[1].clone()], &below(), IN_2026), None);
        assert_eq!(Roots::Public.lead_from(&good, &below(), IN_2026), Err(Reason::BadCertificate));
    }

    #[test]
    fn a_leaf_with_a_name_is_made_for_servers() {
        for (purpose, good) in [(ExtendedKeyUsagePurpose::ServerAuth, true), (ExtendedKeyUsagePurpose::ClientAuth, false)] {
            let (chain, root) = chain(|leaf| leaf.extended_key_usages = vec![purpose.clone()]);
            let roots = Roots::read(&[root]).unwrap();
            assert_eq!(roots.lead_from(&chain, &below(), IN_2026).is_ok(), good);
            assert!(roots.lead_from(&chain, &LeafName::Any, IN_2026).is_ok());
        }
    }

    #[test]
    fn what_is_in_a_leaf_is_read() {
        let extension = CustomExtension::from_oid_content(&MARKER, vec![5, 0]);
        let (chain, _) = chain(|params| params.custom_extensions = vec![extension]);
        let read = leaf(&chain).unwrap();
        let marker = crate::signature::public_key::der::oid("1.2.840.113635.100").unwrap();
        assert!(read.has_extension(&marker) && !read.has_extension(&marker[1..]));
        assert!(read.is_valid_at(1_790_000_000) && !read.is_valid_at(1_767_225_599) && !read.is_valid_at(1_798_761_601));
        assert!(crate::signature::public_key::Material::from_spki(read.spki).is_some());
        let ends = crate::signature::CertificateFacts::read(&chain[0]).map(|facts| facts.not_after);
        assert_eq!(ends, Timestamp::parse("2027-01-01T00:00:00Z"));
        let bytes = chain[0].to_vec();
        for end in 0..bytes.len() {
            assert!(Certificate::read(&bytes[..end]).is_none(), "{end}");
        }
        assert!(Certificate::read(&[&bytes[..], &[0]].concat()).is_none());
    }

    #[test]
    fn only_certificates_are_roots() {
        for bad in ["", "junk", "-----BEGIN PUBLIC KEY-----YWJj-----END PUBLIC KEY-----"] {
            assert_eq!(Roots::read(&[bad.to_owned()]).err(), Some(BadRoots), "{bad}");
        }
        assert_eq!(Roots::read(&[]).err(), Some(BadRoots));
    }
}
