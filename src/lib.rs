//! Hookhold: a webhook relay that proves who sent a webhook, makes it durable before it answers, and delivers it for as long as
//! the application needs.
//!
//! # The path of one event
//!
//! ```text
//! net::listener   TCP and TLS accept, connection bounds
//! ingest::handler the line: source -> body -> verify -> Intake -> append -> answer
//!   ingest::body      reads the body, bounded in bytes, memory and time
//!   signature         raw bytes -> Verified, or a Reason
//!   route::filter     which destinations it goes to
//!   store::Intake     can only be built from Verified
//! store           append: group commit, synced, then the answer       [ingest ends; the store is the border]
//! delivery::lane  one a destination: takes what is due, bounded
//!   delivery::prepare  the outgoing request
//!   delivery::attempt  one HTTP exchange -> Outcome
//!   pace::retry        Outcome -> Verdict
//! store           settle                                              [delivery ends]
//! ```
//!
//! `ingest` and `delivery` never call each other. Rules (`record`, `signature`, `route`, `pace`, `alarm`) are pure: `now` and random
//! numbers are arguments. Imports point down only, in the order of the list below; `tests/it/tidy.rs` holds this true.

pub mod chance;
mod disk;
mod pointer;
pub mod time;

pub mod metrics;
pub mod record;
pub mod telemetry;

pub mod alarm;
pub mod pace;
pub mod route;
pub mod signature;

pub mod config;

pub mod net;
pub mod store;

pub mod acme;
pub mod delivery;
pub mod ingest;
pub mod watch;

pub mod admin;

pub mod cli;
