//! Sockets and TLS, both ways: the listener that webhooks come in by, the client that takes them to applications, and what providers
//! publish for those who verify.
//!
//! Knows nothing of sources, events or deliveries.

pub mod client;
pub mod confirm;
pub mod dial;
mod driver;
pub mod fetch;
mod h2;
pub mod listener;
mod moving;
pub mod otlp;
pub mod pool;
mod public;
pub mod published;
mod shelf;
pub mod tls;
