//! What providers publish for those who verify (sets of keys, certificates), as it was when a request is judged. Nothing is fetched
//! here: what is missing is named, and somebody above can fetch it and judge again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::Reason;

/// Bytes of one document: a set of keys has a few thousand.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// Documents by address. An address may end in `#` and a key's id, where the id is part of what is asked for and not of the address.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// `None`: it cannot be had now.
    texts: HashMap<String, Option<Arc<str>>>,
    /// What is not here cannot be had either.
    complete: bool,
}

/// A document that a judgement lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    address: String,
    newer: bool,
}

impl Needed {
    /// One that there is no copy of; for tests of those who fetch.
    #[cfg(test)]
    pub(crate) fn missing(address: &str) -> Self {
        Self { address: address.to_owned(), newer: false }
    }

    /// Its address, made of a scheme's own address or rule only.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// There is a copy, but it does not hold the key that the request names: a newer one could.
    pub fn newer(&self) -> bool {
        self.newer
    }
}

impl Documents {
    /// With these, and nothing else can be had.
    pub fn complete(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut documents = Self { complete: true, ..Self::default() };
        texts.into_iter().for_each(|(address, text)| documents.insert(address, &text));
        documents
    }

    /// Adds one, or puts a newer copy in its place. One that is too long is one that cannot be had.
    pub fn insert(&mut self, address: String, text: &str) {
        self.texts.insert(address, (text.len() <= DOCUMENT_BYTES_MAX).then(|| text.into()));
    }

    /// Takes one away.
    pub fn forget(&mut self, address: &str) {
        self.texts.remove(address);
    }

    /// Notes that one cannot be had now.
    pub fn unavailable(&mut self, address: String) {
        self.texts.insert(address, None);
    }
}

/// The documents of one judgement, and what it lacked.
pub(super) struct Shelf<'a> {
    documents: &'a Documents,
    needed: RefCell<Option<Needed>>,
}

impl<'a> Shelf<'a> {
    /// Of these documents.
    pub(super) fn new(documents: &'a Documents) -> Self {
        Self { documents, needed: RefCell::default() }
    }

    /// The text of the document at `address`.
    pub(super) fn text(&self, address: &str) -> Result<&'a str, Reason> {
        match self.documents.texts.get(address) {
            Some(Some(text)) => return Ok(text),
            None if !self.documents.complete => self.note(address, false),
            _ => {}
        }
        Err(Reason::KeyUnavailable)
    }

    /// Notes that the copy of a document does not hold what the request names.
    pub(super) fn outdated(&self, address: &str) -> Reason {
        if !self.documents.complete {
            self.note(address, true);
        }
        Reason::UnknownKey
    }

    /// What was missing.
    pub(super) fn into_needed(self) -> Option<Needed> {
        self.needed.into_inner()
    }

    /// A document that is missing counts more than one that is old.
    fn note(&self, address: &str, newer: bool) {
        let mut needed = self.needed.borrow_mut();
        if needed.as_ref().is_none_or(|needed| needed.newer) {
            *needed = Some(Needed { address: address.to_owned(), newer });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let mut documents = Documents::default();
        documents.insert("https://a/".into(), "text");
        documents.insert("https://long/".into(), &"x".repeat(DOCUMENT_BYTES_MAX + 1));
        documents.unavailable("https://down/".into());
        let needs = |judge: fn(&Shelf<'_>)| {
            let shelf = Shelf::new(&documents);
            judge(&shelf);
            shelf.into_needed().map(|n| (n.address, n.newer))
        };
        assert_eq!(Shelf::new(&documents).text("https://a/"), Ok("text"));
        assert_eq!(Shelf::new(&documents).text("https://long/"), Err(Reason::KeyUnavailable));
        assert_eq!(needs(|shelf| assert!(shelf.text("https://down/").is_err())), None);
        assert_eq!(needs(|shelf| assert!(shelf.text("https://b/").is_err())), Some(("https://b/".into(), false)));
        let both = needs(|shelf| {
            let _ = shelf.outdated("https://a/");
            let _ = shelf.text("https://b/");
            let _ = shelf.outdated("https://a/");
        });
        assert_eq!(both, Some(("https://b/".into(), false)));
    }

    #[test]
    fn nothing_is_asked_of_complete_documents() {
        let documents = Documents::complete([("https://a/".to_owned(), "text".to_owned())]);
        let shelf = Shelf::new(&documents);
        assert_eq!(shelf.text("https://b/"), Err(Reason::KeyUnavailable));
        assert_eq!(shelf.outdated("https://a/"), Reason::UnknownKey);
        assert_eq!(shelf.into_needed(), None);
    }
}
