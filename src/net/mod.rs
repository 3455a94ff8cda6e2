//! Sockets and TLS, both ways: the listener that webhooks come in by, and the client that takes them to applications.
//!
//! Knows nothing of sources, events or deliveries.

pub mod client;
pub mod listener;
pub mod pool;
pub mod tls;
