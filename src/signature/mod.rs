//! Proves who sent a request: the only place where a [`Secret`] is read and where a [`Verified`] can be made.
//!
//! Pure: no socket, no clock. A [`Scheme`] tells how a provider signs, names and dates its webhooks; it is data (a preset, or
//! written in relay.toml). A [`Verifier`] is a scheme with one source's secrets. Verification reads raw bytes only and
//! compares in constant time.

pub mod handshake;
pub mod preset;

mod address;
mod asks;
mod body;
mod captured;
mod captured_keys;
mod claim;
mod documents;
mod element;
mod encoding;
mod few;
mod form;
mod hash;
mod json;
mod jwt;
mod key;
mod message_signature;
mod multipart;
mod naming;
mod order_key;
mod places;
mod proof;
mod public_key;
mod ready;
mod refusal;
mod resign;
mod scheme;
mod sealed;
mod secret;
mod selector;
mod sign;
mod signed;
mod stamp;
mod template;
mod verified;
mod verifier;
mod view;
mod words;
mod written;
mod x509;

pub use captured::{Captured, CapturedAnswer, CapturedSecret, Config, Judgement, Outcome, WrittenHandshake, verify_captured};
pub use captured_keys::{CapturedKeys, CapturedTerms};
pub use documents::{DOCUMENT_BYTES_MAX, Documents, Needed};
#[cfg(fuzzing)]
pub use message_signature::dictionary_text;
pub use places::is_proof_header;
pub use public_key::BadKey;
pub use ready::{Terms, Unready};
pub use refusal::{Reason, Refused};
pub use resign::{BadResigner, NotSigned, Resigner};
pub use scheme::{BadScheme, Scheme};
pub use secret::{BadSecret, Secret};
pub use selector::{BadSelector, EVENT_ID_BYTES_MAX, Selector};
pub use sign::{Signer, Unsignable, Unsigned};
pub use signed::key_source::is_address as is_key_address;
pub use signed::{ConfiguredKey, Requirement, Setting, Settings, Without};
pub use template::BadTemplate;
pub use verified::Verified;
pub use verifier::{Options, Verifier};
pub use x509::chain::BadRoots;
pub use x509::facts::CertificateFacts;
