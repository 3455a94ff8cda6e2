//! Tests of the whole relay: over real sockets and TLS, on real stores, and of the shape of the code.

mod admin;
mod kill;
mod line;
mod store_story;
mod tidy;
mod world;
