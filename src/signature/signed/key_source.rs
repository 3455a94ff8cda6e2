//! Where the key of a request is found: in the source's own keys, in a document that the provider publishes, or in a certificate.
//! The request chooses among what the scheme allows and nothing else; no address is taken from it but by a rule.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use super::ring::{Maker, Ring, RingKey};
use super::written::{IdShape, WrittenCertificate, WrittenChain, WrittenDocument, WrittenKey};
use crate::signature::documents::Shelf;
use crate::signature::public_key::jwk::{self, Jwk};
use crate::signature::public_key::{Algorithm, Material, PublicKey, der};
use crate::signature::scheme::{BadScheme, prove_name};
use crate::signature::view::View;
use crate::signature::written::Place;
use crate::signature::x509::address::{self, Rule};
use crate::signature::x509::chain::{self, LeafName, Roots};
use crate::signature::{Reason, json};
use crate::time::Timestamp;

/// Bytes of a key's id: it is compared, and may become part of an address.
const ID_BYTES_MAX: usize = 128;
/// Keys of one id that are tried: while a provider changes them there may be two.
const SAME_ID_MAX: usize = 4;
/// Certificates in a token's header: leaf, one between, root.
const CHAIN: usize = 3;
/// Base64 of one certificate there.
const CERTIFICATE_BYTES_MAX: usize = 8 << 10;

/// Where a key is found, proved.
#[derive(Clone, Debug)]
pub(in crate::signature) enum KeySource {
    /// In the source's keys.
    Configured,
    /// In a set of JSON web keys at this address.
    Set(String),
    Document(Document),
    Certificate {
        place: Place,
        name: String,
        rules: Vec<Rule>,
        leaf: Option<LeafName>,
    },
    Chain {
        leaf: Vec<u8>,
        intermediate: Vec<u8>,
    },
}

/// A document that holds a key, or a list of them.
#[derive(Clone, Debug)]
pub(in crate::signature) struct Document {
    address: String,
    at: Option<String>,
    list: Option<(String, String)>,
    shape: IdShape,
    expired_at: Option<String>,
    post: Vec<String>,
}

/// What a source has to find keys with.
#[derive(Debug)]
pub(in crate::signature) struct Keys {
    pub(in crate::signature) ring: Ring,
    pub(in crate::signature) roots: Roots,
    /// In place of the scheme's address.
    pub(in crate::signature) address: Option<String>,
}

/// Which key a request asks for.
#[derive(Clone, Copy)]
pub(in crate::signature) struct Wish<'a> {
    pub(in crate::signature) maker: Maker,
    /// Its name where keys say what they are for.
    pub(in crate::signature) jose: Option<&'a str>,
    pub(in crate::signature) id: Option<&'a str>,
    pub(in crate::signature) at: Timestamp,
}

impl KeySource {
    /// From what is written.
    pub(super) fn try_new(written: &WrittenKey) -> Result<Self, BadScheme> {
        let sources =
            [written.jwks.is_some(), written.document.is_some(), written.certificate.is_some(), written.chain.is_some()];
        if sources.into_iter().filter(|&there| there).count() > 1 {
            return Err(BadScheme::Unused("any second place in key"));
        }
        if let Some(jwks) = &written.jwks {
            let good = jwks.is_empty() || is_address(jwks);
            return if good { Ok(Self::Set(jwks.clone())) } else { Err(BadScheme::Value("key.jwks", jwks.clone())) };
        }
        if let Some(document) = &written.document {
            return Document::try_new(document).map(Self::Document);
        }
        match (&written.certificate, &written.chain) {
            (Some(certificate), _) => Self::of_certificate(certificate),
            (None, Some(chain)) => Self::of_chain(chain),
            (None, None) => Ok(Self::Configured),
        }
    }

    fn of_certificate(written: &WrittenCertificate) -> Result<Self, BadScheme> {
        let bad = |text: &str| BadScheme::Value("key.certificate.addresses", text.to_owned());
        let rules = written.addresses.iter().map(|text| Rule::parse(text).ok_or_else(|| bad(text)));
        let leaf = written.leaf.as_ref().map(|name| match name.starts_with('.') {
            true => LeafName::Below(name.to_ascii_lowercase()),
            false => LeafName::Exact(name.clone()),
        });
        let name = prove_name(written.place, &written.name, "key.certificate.name")?;
        Ok(Self::Certificate { place: written.place, name, rules: rules.collect::<Result<_, _>>()?, leaf })
    }

    fn of_chain(written: &WrittenChain) -> Result<Self, BadScheme> {
        let oid = |text: &str| der::oid(text).ok_or_else(|| BadScheme::Value("key.chain", text.to_owned()));
        Ok(Self::Chain { leaf: oid(&written.leaf_extension)?, intermediate: oid(&written.intermediate_extension)? })
    }

    /// Whether it cannot be used without keys of the source, without an address of the source, without roots of the source.
    pub(in crate::signature) fn lacks(&self, keys: &Keys) -> Option<&'static str> {
        match self {
            _ if !keys.ring.is_empty() => None,
            Self::Configured => Some("keys"),
            Self::Set(address) if address.is_empty() && keys.address.is_none() => Some("key_url"),
            Self::Chain { .. } if matches!(keys.roots, Roots::Public) => Some("roots"),
            _ => None,
        }
    }

    /// The address that every request needs; `None` where each names its own, or none is needed.
    pub(in crate::signature) fn fixed_address(&self, keys: &Keys) -> Option<String> {
        let own = match self {
            _ if !keys.ring.is_empty() => return None,
            Self::Set(own) => own,
            Self::Document(document) if document.post.is_empty() => &document.address,
            _ => return None,
        };
        Some(keys.address.clone().unwrap_or_else(|| own.clone())).filter(|address| !address.contains("{kid}"))
    }

    /// The scheme's own address, if it has one.
    pub(in crate::signature) fn own_address(&self) -> Option<&str> {
        match self {
            Self::Set(own) => Some(own.as_str()).filter(|own| !own.is_empty()),
            Self::Document(document) => Some(&document.address),
            _ => None,
        }
    }

    /// The members that must be posted for a document, beside the key's id.
    pub(in crate::signature) fn members(&self) -> &[String] {
        if let Self::Document(document) = self { &document.post } else { &[] }
    }

    /// Whether the source may name another address.
    pub(in crate::signature) fn takes_address(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Document(_))
    }

    /// Whether the source may name other roots.
    pub(in crate::signature) fn takes_roots(&self) -> bool {
        matches!(self, Self::Certificate { leaf: Some(_), .. } | Self::Chain { .. })
    }

    /// The keys that can have signed; at least one.
    pub(in crate::signature) fn find<'k>(
        &self,
        wish: Wish<'_>,
        keys: &'k Keys,
        view: &View<'_>,
        shelf: &Shelf<'_>,
    ) -> Result<Vec<Cow<'k, RingKey>>, Reason> {
        if wish.id.is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
            return Err(Reason::UnknownKey);
        }
        if !keys.ring.is_empty() {
            let found = keys.ring.find(Some(wish.maker), wish.id, wish.at)?;
            return Ok(found.into_iter().map(Cow::Borrowed).collect());
        }
        let Maker::Public(algorithm) = wish.maker else { return Err(Reason::NoSecret) };
        let address = |own: &str| keys.address.clone().unwrap_or_else(|| own.to_owned());
        let found = match self {
            Self::Configured => return Err(Reason::NoSecret),
            Self::Set(own) => of_set(&address(own), algorithm, wish, shelf)?,
            Self::Document(document) => vec![document.key(&address(&document.address), algorithm, wish, shelf)?],
            Self::Certificate { place, name, rules, leaf } => {
                let text = view.value(*place, name)?.ok_or(Reason::MissingPart)?;
                let text = std::str::from_utf8(&text).map_err(|_| Reason::BadCertificate)?;
                let address = address::allowed(rules, text).ok_or(Reason::BadCertificate)?;
                vec![of_certificate(shelf.text(&address)?, leaf.as_ref(), &keys.roots, algorithm, wish.at)?]
            }
            Self::Chain { leaf, intermediate } => {
                vec![of_chain(view, [leaf, intermediate], &keys.roots, algorithm, wish.at)?]
            }
        };
        Ok(found.into_iter().map(|key| Cow::Owned(RingKey::Public(key))).collect())
    }
}

impl Document {
    fn try_new(written: &WrittenDocument) -> Result<Self, BadScheme> {
        if !is_address(&written.address.replace("{kid}", "x")) {
            return Err(BadScheme::Value("key.document.address", written.address.clone()));
        }
        let pointer = |pointer: &Option<String>| {
            pointer.as_ref().map(|pointer| prove_name(Place::Json, pointer, "key.document.at")).transpose()
        };
        Ok(Self {
            address: written.address.clone(),
            at: pointer(&written.at)?,
            list: written.list.clone(),
            shape: written.id_shape,
            expired_at: pointer(&written.expired_at)?,
            post: written.post.clone(),
        })
    }

    fn key(&self, address: &str, algorithm: Algorithm, wish: Wish<'_>, shelf: &Shelf<'_>) -> Result<PublicKey, Reason> {
        let id = wish.id.filter(|id| self.shape.fits(id)).ok_or(Reason::UnknownKey);
        let address = match (address.contains("{kid}"), self.post.is_empty()) {
            (true, _) => address.replace("{kid}", id?),
            (false, false) => format!("{address}#{}", id?),
            (false, true) => address.to_owned(),
        };
        let text = shelf.text(&address)?;
        if self.at.is_none() && self.list.is_none() {
            return PublicKey::read(algorithm, text).map_err(|_| Reason::UnknownKey);
        }
        let value = json::strict_object(text.as_bytes()).map_err(|_| Reason::KeyUnavailable)?;
        if self.expired_at.as_ref().and_then(|at| value.pointer(at)).is_some_and(|end| is_over(end, wish.at)) {
            return Err(Reason::UnknownKey);
        }
        let found = value.pointer(self.at.as_deref().unwrap_or_default()).ok_or(Reason::KeyUnavailable)?;
        let found = match &self.list {
            None => found,
            Some((id_member, key_member)) => {
                let wanted = wish.id.ok_or(Reason::UnknownKey)?;
                let mut elements = found.as_array().ok_or(Reason::KeyUnavailable)?.iter();
                let element = elements.find(|e| e.get(id_member).and_then(Value::as_str) == Some(wanted));
                element.and_then(|e| e.get(key_member)).ok_or_else(|| shelf.outdated(&address))?
            }
        };
        match found {
            Value::String(text) => PublicKey::read(algorithm, text).ok(),
            Value::Object(_) => Jwk::new(found).made_for(algorithm, wish.jose),
            _ => None,
        }
        .ok_or(Reason::UnknownKey)
    }
}

impl IdShape {
    fn fits(self, id: &str) -> bool {
        let hyphens = |i: usize| matches!(i, 8 | 13 | 18 | 23);
        match self {
            Self::Name => !id.starts_with('.') && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
            Self::Uuid => {
                id.len() == 36 && id.bytes().enumerate().all(|(i, b)| if hyphens(i) { b == b'-' } else { b.is_ascii_hexdigit() })
            }
        }
    }
}

/// Whether a key that ends at `end` (a second, or `null`) does not count any more. What cannot be read ends now.
fn is_over(end: &Value, at: Timestamp) -> bool {
    !end.is_null() && end.as_u64().is_none_or(|end| end <= at.seconds())
}

fn of_set(address: &str, algorithm: Algorithm, wish: Wish<'_>, shelf: &Shelf<'_>) -> Result<Vec<PublicKey>, Reason> {
    let set = json::strict_object(shelf.text(address)?.as_bytes()).map_err(|_| Reason::KeyUnavailable)?;
    let keys = jwk::keys(&set).ok_or(Reason::KeyUnavailable)?;
    let listed: Vec<Jwk<'_>> = match wish.id {
        Some(id) => keys.filter(|key| key.id() == Some(id)).take(SAME_ID_MAX).collect(),
        // A request that names none can only mean the only one.
        None => Some(keys.collect::<Vec<_>>()).filter(|keys| keys.len() == 1).ok_or(Reason::UnknownKey)?,
    };
    if listed.is_empty() {
        return Err(shelf.outdated(address));
    }
    let made: Vec<_> = listed.iter().filter_map(|key| key.made_for(algorithm, wish.jose)).collect();
    if made.is_empty() { Err(Reason::UnknownKey) } else { Ok(made) }
}

fn of_certificate(
    text: &str,
    leaf_name: Option<&LeafName>,
    roots: &Roots,
    algorithm: Algorithm,
    at: Timestamp,
) -> Result<PublicKey, Reason> {
    let certificates = chain::certificates(text).ok_or(Reason::BadCertificate)?;
    if let Some(name) = leaf_name {
        roots.lead_from(&certificates, name, at)?;
    }
    key_of_leaf(&certificates, algorithm, at)
}

/// The key of a chain in a token's header: exactly three certificates, with the extensions that say what they are for.
fn of_chain(
    view: &View<'_>,
    extensions: [&Vec<u8>; 2],
    roots: &Roots,
    algorithm: Algorithm,
    at: Timestamp,
) -> Result<PublicKey, Reason> {
    let texts = view.unpacked.envelope.and_then(|header| header.get("x5c")).and_then(Value::as_array);
    let texts = texts.filter(|texts| texts.len() == CHAIN).ok_or(Reason::BadCertificate)?;
    let der = |text: &Value| {
        let text = text.as_str().filter(|text| text.len() <= CERTIFICATE_BYTES_MAX)?;
        STANDARD.decode(text).ok().map(CertificateDer::from)
    };
    let certificates = texts.iter().map(der).collect::<Option<Vec<_>>>().ok_or(Reason::BadCertificate)?;
    for (certificate, extension) in certificates.iter().zip(extensions) {
        if !chain::leaf(std::slice::from_ref(certificate))?.has_extension(extension) {
            return Err(Reason::BadCertificate);
        }
    }
    // Leaf and the one between; the root at its end is the one that was fixed, whatever the token says.
    if roots.lead_from(&certificates[..CHAIN - 1], &LeafName::Any, at)? != 1 {
        return Err(Reason::BadCertificate);
    }
    key_of_leaf(&certificates, algorithm, at)
}

fn key_of_leaf(chain: &[CertificateDer<'_>], algorithm: Algorithm, at: Timestamp) -> Result<PublicKey, Reason> {
    let leaf = chain::leaf(chain)?;
    let second = i64::try_from(at.seconds()).map_err(|_| Reason::BadCertificate)?;
    if !leaf.is_valid_at(second) {
        return Err(Reason::BadCertificate);
    }
    let material = Material::from_spki(leaf.spki).ok_or(Reason::BadCertificate)?;
    PublicKey::try_new(algorithm, &material).map_err(|_| Reason::BadCertificate)
}

/// An address that documents can be fetched from.
pub fn is_address(text: &str) -> bool {
    let url = url::Url::parse(text);
    url.is_ok_and(|url| {
        url.scheme() == "https"
            && url.host_str().is_some_and(|h| !h.is_empty())
            && url.fragment().is_none()
            && url.username().is_empty()
    })
}
