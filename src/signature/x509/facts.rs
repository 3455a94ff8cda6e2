//! What people want to know of a certificate that the relay shows: the names it is for, and until when it counts.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Certificate;
use crate::signature::public_key::der::{self, Reader};
use crate::time::Timestamp;

/// `subjectAltName` (2.5.29.17).
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// `authorityKeyIdentifier` (2.5.29.35), and in it the key's identifier.
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
const KEY_IDENTIFIER: u8 = 0x80;
/// Of `GeneralName` (RFC 5280, section 4.2.1.6): a DNS name, and an address of 4 or 16 bytes.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// More names than a public authority puts into one.
const NAMES_MAX: usize = 200;

/// For people; nothing is proved by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Host names and addresses.
    pub names: Vec<String>,
    /// From when on it counts.
    pub not_before: Timestamp,
    /// Until when; the end of time where it has no end.
    pub not_after: Timestamp,
    /// Its serial number, as DER writes it.
    pub serial: Vec<u8>,
    /// The identifier of the key that signed it, where it says so.
    pub authority_key: Option<Vec<u8>>,
}

impl CertificateFacts {
    /// From DER; `None` where it cannot be read.
    pub fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::read(der)?;
        let names = certificate.extension(ALTERNATIVE_NAMES).map(names).unwrap_or_default();
        let (from, until) = certificate.valid;
        let authority_key = certificate.extension(AUTHORITY_KEY).and_then(key_identifier).map(<[u8]>::to_vec);
        let serial = certificate.serial.to_vec();
        Some(Self { names, not_before: at(from), not_after: at(until), serial, authority_key })
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_ms(u64::try_from(second).unwrap_or_default().saturating_mul(1000))
}

fn key_identifier(extension: &[u8]) -> Option<&[u8]> {
    // It is the first of three that may be missing.
    der::whole_sequence(extension)?.tagged(KEY_IDENTIFIER)
}

/// The names that are understood, up to the first that is no DER.
fn names(extension: &[u8]) -> Vec<String> {
    let mut list = der::whole_sequence(extension).unwrap_or(Reader::new(&[]));
    std::iter::from_fn(|| list.next()).take(NAMES_MAX).filter_map(|(tag, content)| name(tag, content)).collect()
}

fn name(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        DNS_NAME => std::str::from_utf8(content).ok().map(str::to_owned),
        IP_ADDRESS => match content.len() {
            4 => <[u8; 4]>::try_from(content).ok().map(|bytes| Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(content).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_read() {
        let names = ["hooks.example", "*.example", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = rcgen::CertificateParams::new(names.to_vec()).unwrap();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2027, 1, 1));
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let facts = CertificateFacts::read(made.der()).unwrap();
        assert_eq!(facts.names, names);
        let text = |at: Timestamp| at.to_string();
        assert_eq!([text(facts.not_before), text(facts.not_after)], ["2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"]);
        assert_eq!((facts.serial.is_empty(), facts.authority_key), (false, None));
        assert_eq!(CertificateFacts::read(b"junk"), None);
    }
}
