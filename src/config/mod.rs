//! relay.toml: as written, then as proven.
pub mod settings;
