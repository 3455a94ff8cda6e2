//! From a due delivery to its outcome. Knows the store, never ingest.

mod attempt;
mod gate;
mod lane;
mod lanes;
mod prepare;
mod replays;
mod road;
mod routed;
mod spans;
mod token;
mod trace;

pub use lanes::{Lanes, Surroundings};
pub use prepare::forwarded;
pub use replays::{NotReplayed, Replay, ReplayState, Replays, Sources, Wanted};
pub use routed::routed;
