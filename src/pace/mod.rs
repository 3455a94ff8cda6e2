//! When: to try again, and how fast. Pure: no socket, no clock.

pub mod breaker;
pub mod bucket;
pub mod meter;
pub mod retry;
