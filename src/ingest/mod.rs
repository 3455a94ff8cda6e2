//! From a request to a durable event and its answer. Knows the store, never delivery.

mod body;
mod handler;
mod reply;

pub use handler::Line;
