//! X.509 certificates: what is in one, whom a chain leads to, and from which addresses one may be fetched.

pub(super) mod address;
pub(super) mod chain;
pub(super) mod facts;

mod time;

use super::public_key::der::{self, BOOLEAN, OCTET_STRING, OID, Reader, SEQUENCE};

/// What is needed of a certificate (RFC 5280, section 4.1). It proves nothing by itself.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    /// Its serial number, as DER writes it.
    pub(super) serial: &'a [u8],
    /// Its `SubjectPublicKeyInfo`.
    pub(super) spki: &'a [u8],
    /// The first and the last second at which it counts, since the epoch.
    pub(super) valid: (i64, i64),
    /// Its extensions: the object identifier, as DER writes it, and the value.
    extensions: Vec<(&'a [u8], &'a [u8])>,
}

/// Extensions of one certificate: they have ten.
const EXTENSIONS_MAX: usize = 64;
/// Tags of the parts of `TBSCertificate` that may be missing.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

impl<'a> Certificate<'a> {
    /// From its DER; `None` where it is no certificate of version 3 (or 1).
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut certificate = der::whole_sequence(bytes)?;
        let mut inside = certificate.sequence()?;
        if inside.tag() == Some(VERSION) {
            inside.next()?;
        }
        let serial = inside.tagged(der::INTEGER)?;
        inside.sequence()?;
        inside.sequence()?;
        let valid = time::validity(inside.sequence()?)?;
        inside.sequence()?;
        let spki = inside.raw(SEQUENCE)?;
        let mut extensions = Vec::new();
        while !inside.is_empty() {
            let (tag, content) = inside.next()?;
            if tag == EXTENSIONS {
                extensions = listed(der::whole_sequence(content)?)?;
            }
        }
        Some(Self { serial, spki, valid, extensions })
    }

    /// Whether it has that extension; the identifier is written as DER writes it.
    pub(super) fn has_extension(&self, oid: &[u8]) -> bool {
        self.extension(oid).is_some()
    }

    /// The value of that extension.
    fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        self.extensions.iter().find(|(known, _)| *known == oid).map(|(_, value)| *value)
    }

    /// Whether it counts at that second.
    pub(super) fn is_valid_at(&self, second: i64) -> bool {
        (self.valid.0..=self.valid.1).contains(&second)
    }
}

fn listed(mut list: Reader<'_>) -> Option<Vec<(&[u8], &[u8])>> {
    let mut found = Vec::new();
    while !list.is_empty() {
        let mut extension = list.sequence()?;
        let oid = extension.tagged(OID)?;
        if extension.tag() == Some(BOOLEAN) {
            extension.next()?;
        }
        let value = extension.tagged(OCTET_STRING)?;
        if found.len() == EXTENSIONS_MAX || !extension.is_empty() {
            return None;
        }
        found.push((oid, value));
    }
    Some(found)
}
