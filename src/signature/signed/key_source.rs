//! Where the key of a request is found: in the source's own keys, in a document that the provider publishes, or in a certificate.
//! The request chooses among what the scheme allows and nothing else; no address is taken from it but by a rule.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use super::document::Document;
use super::ring::{Maker, Ring, RingKey};
use super::written::{WrittenCertificate, WrittenChain, WrittenKey};
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

/// What a source has to find keys with.
#[derive(Debug, Default)]
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

    /// Whether its keys are the provider's for everybody: published where the scheme says, and shown to whoever asks.
    pub(in crate::signature) fn is_for_all(&self) -> bool {
        match self {
            Self::Configured => false,
            Self::Set(own) => !own.is_empty(),
            Self::Document(document) => document.post.is_empty(),
            Self::Certificate { .. } | Self::Chain { .. } => true,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Received};
    use crate::signature::{Documents, Needed, Options, Refused, Scheme, Terms, Unready, Verifier};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use http::{HeaderName, HeaderValue};
    use std::net::{IpAddr, Ipv4Addr};

    const BODY: &str = r#"{"id":"1","account":"a1","n":7}"#;
    const SET: &str = "https://keys.example/set.json";

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
    }

    fn scheme(key: &str, more: &str) -> Scheme {
        let text = format!(
            r#"kind = "signature"
            algorithms = ["ed25519"]
            signature = [{{ in = "header", name = "X-Sig", encoding = "hex" }}]
            payload = "{{body}}"
            {more}
            [key]
            id = {{ in = "header", name = "X-Kid" }}
            {key}"#
        );
        toml::from_str(&text).unwrap()
    }

    fn received(id: &str) -> Received {
        let signature = hex::encode(pair().sign(BODY.as_bytes()));
        let field = |name: &'static str, value: &str| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        Received {
            method: "POST".into(),
            target: "/".into(),
            authority: "h".into(),
            headers: [field("x-sig", &signature), field("x-kid", id)].into_iter().collect::<Headers>(),
            body: BODY.into(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: Timestamp::from_ms(1_790_000_000_000),
        }
    }

    fn judge(scheme: Scheme, options: Options, documents: &Documents, id: &str) -> Option<(Reason, Option<Needed>)> {
        let verifier = Verifier::try_new(scheme, Vec::new(), options).unwrap();
        verifier.verify_with(received(id), documents).err().map(|refused| {
            let Refused { reason, needed, .. } = *refused;
            (reason, needed)
        })
    }

    fn jwk(id: &str) -> String {
        let x = URL_SAFE_NO_PAD.encode(pair().public_key().as_ref());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"{id}"}}"#)
    }

    fn documents(address: &str, text: &str) -> Documents {
        let mut documents = Documents::default();
        documents.insert(address.to_owned(), text);
        documents
    }

    #[test]
    fn a_set_is_asked_for_and_then_looked_into() {
        let scheme = scheme(&format!("jwks = \"{SET}\""), "");
        let judge = |documents: &Documents, id: &str| judge(scheme.clone(), Options::default(), documents, id);
        let (reason, needed) = judge(&Documents::default(), "k1").unwrap();
        assert_eq!(
            (reason, needed.map(|n| (n.address().to_owned(), n.newer()))),
            (Reason::KeyUnavailable, Some((SET.into(), false)))
        );
        let set = documents(SET, &format!("{{\"keys\":[{},{{\"kty\":\"odd\"}}]}}", jwk("k1")));
        assert_eq!(judge(&set, "k1"), None);
        let (reason, needed) = judge(&set, "k2").unwrap();
        assert_eq!((reason, needed.map(|n| n.newer())), (Reason::UnknownKey, Some(true)));
        assert_eq!(judge(&set, &"k".repeat(ID_BYTES_MAX + 1)), Some((Reason::UnknownKey, None)));
        for junk in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(judge(&documents(SET, junk), "k1").unwrap().0, Reason::KeyUnavailable, "{junk}");
        }
        let mut down = Documents::default();
        down.unavailable(SET.into());
        assert_eq!(judge(&down, "k1"), Some((Reason::KeyUnavailable, None)));
    }

    #[test]
    fn an_id_becomes_part_of_an_address_only_if_it_looks_like_one() {
        let address = "https://keys.example/{kid}";
        let plain = scheme(&format!("document = {{ address = \"{address}\" }}"), "");
        let needs = |scheme: &Scheme, id: &str| {
            let (reason, needed) = judge(scheme.clone(), Options::default(), &Documents::default(), id).unwrap();
            (reason, needed.map(|n| n.address().to_owned()))
        };
        assert_eq!(needs(&plain, "a-b_1.pem"), (Reason::KeyUnavailable, Some("https://keys.example/a-b_1.pem".into())));
        for bad in ["..", "../x", "a/b", "a%2fb", "a?b", "a#b", "a b", "@h", "é"] {
            assert_eq!(needs(&plain, bad), (Reason::UnknownKey, None), "{bad}");
        }
        let uuid = scheme(&format!("document = {{ address = \"{address}\", id_shape = \"uuid\" }}"), "");
        assert_eq!(needs(&uuid, "abc").0, Reason::UnknownKey);
        assert_eq!(needs(&uuid, "879dc113-5ca4-4ff7-a6b7-54652083fcf8").0, Reason::KeyUnavailable);
        let pem = hex::encode(pair().public_key().as_ref());
        assert_eq!(judge(plain, Options::default(), &documents("https://keys.example/k1", &pem), "k1"), None);
    }

    #[test]
    fn a_document_says_when_its_key_ends_and_whose_it_is() {
        let posted = scheme(
            "document = { address = \"https://keys.example/get\", at = \"/key\", expired_at = \"/key/end\", post = [\"client\"] }",
            "",
        );
        let judge = |member: &str, id: &str| {
            let key = jwk(id).replace('}', &format!("{member}}}"));
            let documents = documents("https://keys.example/get#k1", &format!("{{\"key\":{key}}}"));
            judge(posted.clone(), Options::default(), &documents, "k1").map(|(reason, _)| reason)
        };
        assert_eq!(judge("", "k1"), None);
        assert_eq!(judge(r#","end":null"#, "k1"), None);
        assert_eq!(judge(r#","end":1790000001"#, "k1"), None);
        for over in ["1790000000", "1", "\"soon\"", "-1", "true"] {
            assert_eq!(judge(&format!(",\"end\":{over}"), "k1"), Some(Reason::UnknownKey), "{over}");
        }
        assert_eq!(judge("", "k2"), Some(Reason::UnknownKey));
    }

    #[test]
    fn what_is_signed_for_somebody_else_is_refused() {
        let rules = r#"rules = [{ in = "json", name = ["/account", "/other"], setting = "accounts" }, { in = "json", name = "/n", equals = [7] }]"#;
        let scheme = scheme(&format!("jwks = \"{SET}\""), rules);
        let set = documents(SET, &format!("{{\"keys\":[{}]}}", jwk("k1")));
        let judge = |values: &[&str]| {
            let mut terms = Terms::default();
            terms.settings.insert("accounts".into(), values.iter().map(|v| Value::from(*v)).collect());
            judge(scheme.clone(), Options { terms, ..Options::default() }, &set, "k1").map(|(reason, _)| reason)
        };
        assert_eq!(judge(&["a0", "a1"]), None);
        assert_eq!(judge(&["any"]), None);
        assert_eq!(judge(&["a2"]), Some(Reason::OtherRecipient));
        assert_eq!(judge(&["any", "a2"]), Some(Reason::OtherRecipient));
    }

    #[test]
    fn what_cannot_do_without_a_setting_or_a_key_is_not_made() {
        let must = r#"rules = [{ in = "json", name = "/account", setting = "accounts", need = "must" }]"#;
        let make =
            |scheme: Scheme, terms: Terms| Verifier::try_new(scheme, Vec::new(), Options { terms, ..Options::default() }).err();
        let set = format!("jwks = \"{SET}\"");
        assert_eq!(make(scheme(&set, must), Terms::default()), Some(Unready::Missing("accounts".into())));
        let mut open = Terms::default();
        open.settings.insert("accounts".into(), vec!["any".into()]);
        assert_eq!(make(scheme(&set, must), open), Some(Unready::Missing("accounts".into())));
        assert_eq!(make(scheme("", ""), Terms::default()), Some(Unready::Missing("keys".into())));
        assert_eq!(make(scheme("jwks = \"\"", ""), Terms::default()), Some(Unready::Missing("key_url".into())));
    }

    #[test]
    fn addresses_of_keys_are_https_and_nothing_else() {
        for bad in ["", "http://h/", "https:", "https://u@h/", "https://h/#x", "file:///x", "h/x"] {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(is_address("https://h:8443/x?y"));
    }
}
