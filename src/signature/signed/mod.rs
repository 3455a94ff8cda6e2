//! Schemes whose signature is made with a public key, or stands in a token: where the key is, what is signed, and what must hold of
//! it. The ways to sign with a shared secret alone are in `proof`.

mod document;
mod jira;
pub(super) mod key_source;
pub(super) mod proof;
pub(super) mod ring;
pub(super) mod rule;
pub(super) mod scheme;
pub(super) mod settings;
pub(super) mod written;

pub(super) use key_source::{Keys, Wish};
pub(super) use proof::Case;
pub use ring::ConfiguredKey;
pub(super) use ring::{Maker, Ring, RingKey};
pub use rule::Requirement;
pub(super) use rule::Rule;
pub(super) use scheme::{Signed, SignedKind, settings_of};
pub use settings::{Setting, Settings, Without};
