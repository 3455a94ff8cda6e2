//! From a due delivery to its outcome. Knows the store, never ingest.

mod attempt;
mod gate;
mod lane;
mod lanes;
mod prepare;
mod road;

pub use lanes::Lanes;
