//! Which deliveries or events a command is about: the same words for listing, trying again, calling off and replaying.

use anyhow::ensure;
use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use super::Failure;

/// Deliveries that fit what is said.
#[derive(ClapArgs)]
pub(super) struct Which {
    /// pending, in_flight, delivered, parked or cancelled.
    #[arg(long)]
    state: Option<String>,
    /// To this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Of this source.
    #[arg(long)]
    source: Option<String>,
    /// Of the event with this id.
    #[arg(long)]
    event: Option<String>,
    /// Whose event was received at this time (RFC 3339) or later.
    #[arg(long)]
    since: Option<String>,
    /// Whose event was received before this time (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

/// Their names on the command line: what one delivery's id stands against.
pub(super) const NAMES: [&str; 6] = ["state", "destination", "source", "event", "since", "until"];

impl Which {
    /// All that can be said, in the API's words.
    pub(super) fn all(&self) -> [(&'static str, &Option<String>); 6] {
        [
            ("state", &self.state),
            ("destination", &self.destination),
            ("source", &self.source),
            ("event", &self.event),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    /// What is said, as a filter for a change. Nobody changes everything by saying nothing.
    pub(super) fn filter(&self) -> anyhow::Result<Value> {
        let given = given(&self.all());
        let what = "name a delivery, or say which ones: --destination, --source, --state, --event, --since, --until";
        ensure!(!given.is_empty(), Failure::Usage(what.to_owned()));
        Ok(Value::Object(given))
    }
}

/// Events that fit what is said.
#[derive(ClapArgs)]
pub(super) struct WhichEvents {
    /// Of this source.
    #[arg(long)]
    source: Option<String>,
    /// Of this type.
    #[arg(long = "type")]
    kind: Option<String>,
    /// pending, delivered, parked, cancelled or unrouted.
    #[arg(long)]
    state: Option<String>,
    /// With a delivery to this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Received at this time (RFC 3339) or later.
    #[arg(long)]
    since: Option<String>,
    /// Received before this time (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

impl WhichEvents {
    /// All that can be said, in the API's words.
    pub(super) fn all(&self) -> [(&'static str, &Option<String>); 6] {
        [
            ("source", &self.source),
            ("type", &self.kind),
            ("state", &self.state),
            ("destination", &self.destination),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }
}

/// What is said, in the API's words.
pub(super) fn given(all: &[(&str, &Option<String>)]) -> Map<String, Value> {
    all.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!(value.as_ref()?)))).collect()
}
