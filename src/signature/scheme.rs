//! How a provider signs, names and dates its webhooks: data.

use serde::Deserialize;

/// A provider's way to sign, as a preset or relay.toml writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {}
