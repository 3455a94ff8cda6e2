//! Certificates that a CA is asked for (ACME, RFC 8555): ordered, kept in the store's folder, shown, and renewed in time.
//!
//! ```text
//! task       one for all hosts: whose turn it is, and what came of it
//!   plan       when to renew, and when to try again (pure)
//!   renewal    when the CA wants that
//!   account    as whom the CA knows the relay
//!   order      one certificate: order, challenge, key, chain
//!     call       one request to the CA, within bounds
//!   folder     account and certificates on stable storage
//! ```
//!
//! One host at a time, and each has a certificate of its own: where one name is in trouble the others are not. What is shown stays until
//! something better is there. Nothing here may hold up a request, or end the relay.

mod account;
mod call;
mod folder;
mod order;
mod plan;
mod renewal;
mod task;

pub use folder::Folder;
pub use task::{Acme, Prepared, Surroundings};
