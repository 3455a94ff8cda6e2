//! The words of the relay as types: ids, what was received, events, deliveries, attempts.
//!
//! Pure data and the legal changes of it: no socket, no clock, no global.

mod attempt;
mod breaker;
mod delivery;
mod event;
mod id;
mod name;
mod received;

pub use attempt::{Answer, Attempt, Failure, Outcome};
pub use breaker::BreakerState;
pub use delivery::{Budget, Delivery, IllegalChange, ParkReason, State, StateName, Verdict};
pub use event::Event;
pub use id::{BadId, DeliveryId, EventId, EventIds};
pub use name::{BadName, Name};
pub use received::{CLIENT, Headers, Received};
