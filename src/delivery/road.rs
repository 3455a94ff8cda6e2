//! What one lane works with: its destination and all that leads there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::prepare::Shape;
use super::replays::Replays;
use super::token::Tokens;
use crate::chance::Chance;
use crate::config::settings::Destination;
use crate::metrics::DestinationMetrics;
use crate::net::pool::Pool;
use crate::record::Name;
use crate::store::Store;
use crate::telemetry::Spans;
use crate::time::Clock;

/// What one lane works with.
pub(super) struct Road {
    pub(super) destination: Arc<Destination>,
    pub(super) store: Arc<dyn Store>,
    pub(super) pool: Arc<Pool>,
    /// What each attempt is authorised by, where a token is needed.
    pub(super) tokens: Option<Arc<Tokens>>,
    pub(super) shape: Shape,
    pub(super) metrics: Arc<DestinationMetrics>,
    /// Takes what is told of attempts, where somebody wants to hear it.
    pub(super) spans: Spans,
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    /// Told of what became of their deliveries.
    pub(super) replays: Arc<Replays>,
    /// The paths of sources that take everything below them.
    pub(super) prefixes: Arc<HashMap<Name, String>>,
    /// Sources that pass an application's answer on.
    pub(super) passing: Arc<HashSet<Name>>,
}
