//! What the store promises, under loss of power, failing calls and damage. docs/DURABILITY.md tells what is proved here and how.
//!
//! A child process runs a script on the real store below a shim that writes down every write, sync and change of a name. From
//! that record disks are rebuilt as they may look after loss of power, opened with the real store, and compared with what the
//! script was told. Children are this program again: see `child`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod check;
mod child;
mod damage;
mod disk;
mod expected;
mod faults;
mod images;
mod record;
mod script;
