//! From a request to a durable event and its answer. Knows the store, never delivery.

mod arming;
mod body;
mod challenge;
mod gate;
mod handler;
mod head;
mod overload;
mod proof;
mod release;
mod reply;
mod spans;
mod upstream;

pub use arming::{ARMED_TIME_MAX, Arming, NotArmed};
pub use gate::{Gate, Outside};
pub use handler::Line;
pub use release::{Released, Which};

/// The host that a request is for, and whether it is the last one of its connection; `None` where it is refused.
#[cfg(fuzzing)]
pub fn judged_head(head: &http::request::Parts, fields_max: usize) -> Option<(String, bool)> {
    head::prove(head, fields_max).ok()?;
    Some((head::authority(head)?, head::is_last(head.version, &head.headers)))
}
