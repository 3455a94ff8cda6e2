//! When: to try again, how fast, and whether at all. Pure: no socket, no clock.

pub mod breaker;
pub mod bucket;
pub mod meter;
pub mod overload;
pub mod retry;
