//! The way to an application: its connections, and what leaves on them.

mod connections;
mod headers;
mod places;
mod proof;
mod raw;
