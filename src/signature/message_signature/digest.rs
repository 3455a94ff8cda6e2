//! `Content-Digest` (RFC 9530): a signature that covers this field covers the body only if the body has that hash.

use super::component::joined;
use super::structured::{self, Bare, Item, Member};
use crate::signature::Reason;
use crate::signature::hash::Hash;
use crate::signature::view::View;

/// The field's name.
pub(super) const FIELD: &str = "content-digest";

/// Whether every hash in the field that can be checked is the body's, and at least one can.
pub(super) fn holds(view: &View<'_>) -> Result<(), Reason> {
    let lines: Vec<&[u8]> = view.headers.all(FIELD).collect();
    let members = structured::dictionary(&joined(&lines)?).ok_or(Reason::BadEncoding)?;
    let mut checked = false;
    for (name, member) in &members {
        let hash = match name.as_str() {
            "sha-256" => Hash::Sha256,
            "sha-512" => Hash::Sha512,
            _ => continue,
        };
        let Member::Item(Item { value: Bare::Bytes(claimed), .. }) = member else { return Err(Reason::BadEncoding) };
        if !hash.of(|sink| view.body.feed(sink))?.is(claimed) {
            return Err(Reason::Mismatch);
        }
        checked = true;
    }
    if checked { Ok(()) } else { Err(Reason::UnknownVersion) }
}
