//! The way to an application: its connections, and what leaves on them.

mod authority;
mod authorization;
mod connections;
mod early;
mod frames;
mod headers;
mod places;
mod proof;
mod raw;
mod secure;
mod shared;
mod upstream;
