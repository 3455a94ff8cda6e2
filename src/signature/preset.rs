//! The providers that the relay knows, as data.

use std::time::Duration;

use super::{Scheme, Selector};

/// What is known of one provider.
#[derive(Debug)]
pub struct Preset {
    /// Its name in relay.toml.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// How it signs.
    pub scheme: Scheme,
    /// Where its event's id is.
    pub event_id: Option<Selector>,
    /// Where its event's type is.
    pub kind: Option<Selector>,
    /// How long a repeat is known where the source does not say.
    pub dedupe: Option<Duration>,
}

/// The provider of that name or alias.
pub fn find(name: &str) -> Option<&'static Preset> {
    all().iter().find(|p| p.name == name)
}

/// Every provider, by name.
pub fn all() -> &'static [Preset] {
    &[]
}
