//! All lanes: started together, stopped together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::gate::AHEAD_TIME;
use super::lane::Lane;
use super::prepare::Shape;
use super::road::Road;
use crate::config::settings::{Destination, Settings, Source, SourcePath};
use crate::metrics::Metrics;
use crate::net::client::Server;
use crate::net::pool::Pool;
use crate::net::tls;
use crate::record::Name;
use crate::store::{Pausable, Pauses, Store};
use crate::time::Clock;

/// Attempts in flight may end for so long after a stop.
const STOP_TIME: Duration = Duration::from_secs(8);

/// The lanes of all destinations.
pub struct Lanes {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    cut: CancellationToken,
}

/// Just stored deliveries that may wait for a lane, for each attempt that it may make at once: a whole commit group comes at a
/// time, and what finds no room costs a read.
const HANDOVERS_PER_ATTEMPT: usize = 64;

/// A destination that cannot be spoken to as configured.
#[derive(Debug, thiserror::Error)]
#[error("destinations.{name}: {why}")]
pub struct BadDestination {
    name: Name,
    why: String,
}

impl Lanes {
    /// Starts a lane for each destination of `settings`.
    pub fn start(
        settings: &Settings,
        store: &Arc<dyn Store>,
        pauses: &Pauses,
        metrics: &Metrics,
        clock: Clock,
    ) -> Result<Self, BadDestination> {
        let mut lanes = Self { tasks: JoinSet::new(), stop: CancellationToken::new(), cut: CancellationToken::new() };
        let prefixes = Arc::new(prefixes(settings));
        let signed_in = Arc::new(signed_in(settings));
        for destination in &settings.destinations {
            let (pool, shape) =
                line_up(destination, &signed_in).map_err(|why| BadDestination { name: destination.name.clone(), why })?;
            let road = Road {
                destination: destination.clone(),
                store: store.clone(),
                pool,
                shape,
                metrics: metrics.destination(&destination.name),
                clock,
                prefixes: prefixes.clone(),
            };
            let fresh = store.handoff(&destination.name, handovers(destination));
            let valve = pauses.valve(Pausable::Destination, &destination.name);
            lanes.tasks.spawn(Lane::new(Arc::new(road), fresh, valve).run(lanes.stop.clone(), lanes.cut.clone()));
        }
        Ok(lanes)
    }

    /// Starts nothing new, lets attempts in flight end within 8 s, cuts the rest off, and returns when all are recorded.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::pin!(all);
        if tokio::time::timeout(STOP_TIME, &mut all).await.is_err() {
            self.cut.cancel();
            all.await;
        }
    }
}

/// How many just stored deliveries may wait for the lane: no more than a slow rate takes in a short while.
fn handovers(destination: &Destination) -> usize {
    let most = destination.in_flight * HANDOVERS_PER_ATTEMPT;
    destination.per_second.as_ref().map_or(most, |bucket| most.min(bucket.turns_in(AHEAD_TIME)))
}

fn line_up(destination: &Destination, signed_in: &Arc<SignedIn>) -> Result<(Pool, Shape), String> {
    let tls = tls::client_config(destination.ca.as_deref()).map_err(|e| e.to_string())?;
    let server = Server::of(&destination.url, tls, destination.title_case_headers).map_err(|e| e.to_string())?;
    let shape = Shape {
        url: destination.url.clone(),
        host: HeaderValue::try_from(server.authority()).map_err(|e| e.to_string())?,
        sign: destination.sign.clone(),
        signed_in: signed_in.clone(),
        set: destination.headers.clone(),
        append_path: destination.append_path,
    };
    Ok((Pool::new(server, destination.in_flight, destination.connection_age), shape))
}

/// The headers of signatures, by source.
type SignedIn = HashMap<Name, Vec<(String, bool)>>;

fn signed_in(settings: &Settings) -> SignedIn {
    let of = |source: &Arc<Source>| Some((source.name.clone(), source.verifier.scheme()?.signature_headers()));
    settings.sources.iter().filter_map(of).collect()
}

fn prefixes(settings: &Settings) -> HashMap<Name, String> {
    let below = settings.sources.iter().filter_map(|source| match &source.path {
        SourcePath::Below(path) => Some((source.name.clone(), path.clone())),
        SourcePath::Exact(_) => None,
    });
    below.collect()
}
