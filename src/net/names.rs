//! Which of several certificates is for a name that a client asks for. Names are read once, when certificates are loaded, so a handshake
//! costs the same with one certificate and with hundreds.
//!
//! Which names a certificate is for is webpki's to say, never this file's: what is kept is only what it agrees to.

use std::borrow::Cow;
use std::collections::HashMap;

use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

/// What a certificate's name for all hosts of a domain begins with.
const WILDCARD: &str = "*.";
/// Stands for every label in the place of a wildcard. The shortest, as names have a length that they must not pass.
const ANY_LABEL: &str = "a.";

/// Names, and at which place the first certificate is that is for them.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, usize>,
    /// By what stands behind the first label and its dot.
    wildcard: HashMap<Box<str>, usize>,
}

impl Names {
    /// All names of these certificates, by their places.
    pub(super) fn of_certificates<'a>(leaves: impl Iterator<Item = Option<&'a CertificateDer<'a>>>) -> Self {
        let mut names = Self::default();
        for (place, leaf) in leaves.enumerate() {
            if let Some(leaf) = leaf.and_then(|der| EndEntityCert::try_from(der).ok()) {
                leaf.valid_dns_names().for_each(|name| names.add(&leaf, name, place));
            }
        }
        names
    }

    /// These hosts and no others, by their places.
    pub(super) fn of_hosts<'a>(hosts: impl Iterator<Item = &'a str>) -> Self {
        let mut names = Self::default();
        for (place, host) in hosts.enumerate() {
            names.exact.entry(host.to_ascii_lowercase().into()).or_insert(place);
        }
        names
    }

    /// The place of the first certificate for this name, which may have large letters, and a dot at its end.
    pub(super) fn first_for(&self, name: &str) -> Option<usize> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_lower = !name.bytes().any(|b| b.is_ascii_uppercase());
        let name = if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) };
        let exact = self.exact.get(&*name);
        let domain = name.split_once('.').filter(|(label, _)| !label.is_empty());
        let wildcard = domain.and_then(|(_, domain)| self.wildcard.get(domain));
        exact.into_iter().chain(wildcard).min().copied()
    }

    fn add(&mut self, leaf: &EndEntityCert<'_>, name: &str, place: usize) {
        let name = name.to_ascii_lowercase();
        let (all, key, asked) = match name.strip_prefix(WILDCARD) {
            None => (&mut self.exact, name.as_str(), Cow::Borrowed(name.as_str())),
            Some(domain) => (&mut self.wildcard, domain, Cow::Owned(format!("{ANY_LABEL}{domain}"))),
        };
        if ServerName::try_from(&*asked).is_ok_and(|asked| leaf.verify_is_valid_for_subject_name(&asked).is_ok()) {
            all.entry(key.into()).or_insert(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    /// Certificates for these names, and one whose name is none of an extension.
    fn certificates(names: &[&[&str]]) -> Vec<CertificateDer<'static>> {
        let key = KeyPair::generate().unwrap();
        let made = |names: &&[&str]| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "common.example");
            // Not by `new`, which proves names.
            params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
            params.self_signed(&key).unwrap().der().clone()
        };
        names.iter().map(made).collect()
    }

    fn names(all: &[CertificateDer<'static>]) -> Names {
        Names::of_certificates(all.iter().map(Some))
    }

    /// As each handshake did it: whichever certificate says first that the name is one of its own.
    fn asked_one_by_one(all: &[CertificateDer<'static>], name: &str) -> Option<usize> {
        let name = ServerName::try_from(name).ok()?;
        let is_for = |der| EndEntityCert::try_from(der).is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok());
        all.iter().position(is_for)
    }

    #[test]
    fn the_first_that_is_for_a_name_is_found() {
        let all = certificates(&[
            &["first.example"],
            &["*.wild.example", "Two.Example"],
            &["exact.wild.example", "first.example", "*.sub.wild.example"],
            &[],
            &["1.2.3.4", "dot.example.", "*", "*.com", "a.*.example", "*a.example", "-a.example", "under_score.example"],
        ]);
        let names = names(&all);
        for (name, place) in [
            ("first.example", Some(0)),
            ("FIRST.Example", Some(0)),
            ("first.example.", Some(0)),
            ("two.example", Some(1)),
            ("a.wild.example", Some(1)),
            ("A.WILD.example.", Some(1)),
            ("exact.wild.example", Some(1)),
            ("wild.example", None),
            ("a.b.wild.example", None),
            ("a.sub.wild.example", Some(2)),
            ("under_score.example", Some(4)),
            ("unknown.example", None),
            ("common.example", None),
            ("dot.example", None),
            ("a.com", None),
            ("x.a.example", None),
            ("a.example", None),
            ("localhost", None),
        ] {
            assert_eq!((names.first_for(name), asked_one_by_one(&all, name)), (place, place), "{name}");
        }
        assert_eq!(["", ".", "..", ".wild.example", "wild.example.."].map(|name| names.first_for(name)), [None; 5]);
    }

    #[test]
    fn hosts_are_found_as_they_are_written() {
        let names = Names::of_hosts(["a.example", "B.example", "a.example"].into_iter());
        assert_eq!(
            ["a.example", "A.example.", "b.example", "x.a.example"].map(|name| names.first_for(name)),
            [Some(0), Some(0), Some(1), None]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever stands in certificates and whatever is asked for: the choice is that of asking each.
        #[test]
        fn the_choice_is_that_of_asking_each(
            written in prop::collection::vec(prop::collection::vec("(\\*|[aB]{0,2})?(\\.[Ab*_-]{0,2}){0,3}\\.?", 0..4), 1..6),
            asked in prop::collection::vec("[aAb]{1,2}(\\.[abB]{1,2}){0,3}\\.?", 1..30),
        ) {
            let written: Vec<Vec<&str>> = written.iter().map(|names| names.iter().map(String::as_str).collect()).collect();
            let all = certificates(&written.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let names = names(&all);
            for name in asked {
                prop_assert_eq!(names.first_for(&name), asked_one_by_one(&all, &name), "{}", name);
            }
        }
    }
}
