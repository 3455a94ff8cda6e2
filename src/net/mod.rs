//! Sockets and TLS, both ways: the listener that webhooks come in by, the client that takes them to applications, and what providers
//! publish for those who verify.
//!
//! Knows nothing of sources, events or deliveries.

pub mod challenges;
pub mod client;
pub mod client_certificate;
pub mod confirm;
mod connection;
pub mod dial;
pub mod door;
mod driver;
pub mod fetch;
pub mod forwarded;
mod h2;
mod hearing;
pub mod issued;
pub mod lag;
pub mod listener;
mod moving;
mod names;
pub mod otlp;
pub mod pool;
pub mod proxy_protocol;
mod public;
pub mod published;
pub mod redirect;
mod shelf;
pub mod threads;
pub mod tls;
