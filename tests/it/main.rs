//! Tests of the whole relay: over real sockets and TLS, on real stores, and of the shape of the code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod abilities;
mod ack;
#[cfg(unix)]
mod acme;
mod admin;
mod alerts;
mod audit;
mod backup;
mod command_line;
mod commands;
mod confirmed;
mod doctor;
mod documents;
mod edge;
mod forward;
mod golden;
mod handshakes;
mod held;
mod kill;
mod line;
mod live;
mod metrics;
mod order;
mod outgoing;
mod pace;
mod pause;
mod privacy;
mod private;
mod process;
mod published;
mod quarantine;
mod refused;
mod reload;
mod replays;
mod restart;
mod retention;
mod route_test;
mod routing;
mod sign;
mod store_story;
mod tasks;
mod tidy;
mod told;
mod torn;
mod traces;
mod trouble;
mod world;
