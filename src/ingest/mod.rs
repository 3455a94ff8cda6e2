//! From a request to a durable event and its answer. Knows the store, never delivery.

mod arming;
mod body;
mod challenge;
mod gate;
mod handler;
mod head;
mod release;
mod reply;
mod spans;
mod upstream;

pub use arming::{ARMED_TIME_MAX, Arming, NotArmed};
pub use gate::{Gate, Outside};
pub use handler::Line;
pub use release::{Released, Which};
