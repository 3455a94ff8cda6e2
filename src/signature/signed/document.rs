//! Documents that hold one key, or a list of them, in a form of their provider's own.

use serde_json::Value;

use super::key_source::{Wish, is_address};
use super::written::{IdShape, WrittenDocument};
use crate::signature::documents::Shelf;
use crate::signature::public_key::jwk::Jwk;
use crate::signature::public_key::{Algorithm, PublicKey};
use crate::signature::scheme::{BadScheme, prove_name};
use crate::signature::written::Place;
use crate::signature::{Reason, json};
use crate::time::Timestamp;

/// A document that holds a key, or a list of them.
#[derive(Clone, Debug)]
pub(in crate::signature) struct Document {
    pub(super) address: String,
    at: Option<String>,
    list: Option<(String, String)>,
    shape: IdShape,
    expired_at: Option<String>,
    pub(super) post: Vec<String>,
}

impl Document {
    /// From what is written.
    pub(super) fn try_new(written: &WrittenDocument) -> Result<Self, BadScheme> {
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

    /// The key that a request means.
    pub(super) fn key(
        &self,
        address: &str,
        algorithm: Algorithm,
        wish: Wish<'_>,
        shelf: &Shelf<'_>,
    ) -> Result<PublicKey, Reason> {
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
            Value::Object(_) => {
                let key = Jwk::new(found);
                // A document that names another key is not the one that was asked for.
                let is_it = key.id().is_none() || wish.id.is_none() || key.id() == wish.id;
                if is_it { key.made_for(algorithm, wish.jose) } else { None }
            }
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
