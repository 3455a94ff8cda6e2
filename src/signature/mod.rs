//! Proves who sent a request: the only place where a [`Secret`] is read and where a [`Verified`] can be made.
//!
//! Pure: no socket, no clock. A [`Scheme`] tells how a provider signs, names and dates its webhooks; it is data (a preset, or
//! written in relay.toml). A [`Verifier`] is a scheme with one source's secrets. Verification reads raw bytes only and
//! compares in constant time.

pub mod preset;
mod refusal;
mod scheme;
mod secret;
mod selector;
mod verified;
mod verifier;

pub use refusal::{Reason, Refused};
pub use scheme::Scheme;
pub use secret::{BadSecret, Secret};
pub use selector::Selector;
pub use verified::Verified;
pub use verifier::{Options, Verifier};
