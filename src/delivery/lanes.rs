//! All lanes: started together, stopped together, and given other roads while they run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::lane::{Lane, Left, handovers};
use super::prepare::{Shape, Target};
use super::replays::Replays;
use super::road::Road;
use super::token::Tokens;
use crate::chance::Chance;
use crate::config::settings::{Destination, Settings, Source, SourcePath};
use crate::metrics::Metrics;
use crate::net::client::Server;
use crate::net::dial::{Dial, Network, SocketFile};
use crate::net::pool::Pool;
use crate::net::tls;
use crate::record::Name;
use crate::store::{Pausable, Pauses, Store};
use crate::telemetry::Spans;
use crate::time::Clock;

/// Attempts in flight may end for so long after a stop.
const STOP_TIME: Duration = Duration::from_secs(8);

/// The lanes of all destinations.
pub struct Lanes {
    tasks: JoinSet<()>,
    /// By destination.
    open: BTreeMap<Name, Open>,
    /// Lanes of destinations that are gone. One that comes back waits until the earlier lane's attempts have ended, and goes on with
    /// what that one knew: so neither its bound nor its rate is exceeded.
    gone: BTreeMap<Name, oneshot::Receiver<Left>>,
    store: Arc<dyn Store>,
    pauses: Arc<Pauses>,
    replays: Arc<Replays>,
    metrics: Arc<Metrics>,
    surroundings: Surroundings,
    stop: CancellationToken,
    cut: CancellationToken,
}

/// What all lanes work in.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where the applications are.
    pub network: Arc<dyn Dial>,
    /// Where the present comes from.
    pub clock: Clock,
    /// Where the jitter of retries comes from.
    pub chance: Chance,
    /// What takes the spans of attempts.
    pub spans: Spans,
}

impl Surroundings {
    /// This machine's network and random numbers.
    pub fn of_system(clock: Clock) -> Self {
        Self { network: Arc::new(Network::whole()), clock, chance: Chance::system(), spans: Spans::default() }
    }
}

/// A lane that runs: the road that its next attempts take, how to end it, and what it leaves.
struct Open {
    road: watch::Sender<Arc<Road>>,
    stop: CancellationToken,
    left: oneshot::Receiver<Left>,
}

/// Roads that are ready to be taken.
pub struct Roads(Vec<Road>);

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
        store: Arc<dyn Store>,
        (pauses, replays): (Arc<Pauses>, Arc<Replays>),
        metrics: Arc<Metrics>,
        surroundings: Surroundings,
    ) -> Result<Self, BadDestination> {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let (tasks, open, gone) = (JoinSet::new(), BTreeMap::new(), BTreeMap::new());
        let mut lanes = Self { tasks, open, gone, store, pauses, replays, metrics, surroundings, stop, cut };
        let spans = lanes.surroundings.spans.clone();
        let roads = lanes.prepare(settings, &spans, |_| false)?;
        lanes.replace(roads);
        Ok(lanes)
    }

    /// The roads to the destinations of `settings`, with what takes the spans of attempts from then on. Nothing changes yet. `is_same`:
    /// whether a destination is as it was before, so that its connections can be used on.
    pub fn prepare(&self, settings: &Settings, spans: &Spans, is_same: impl Fn(&Name) -> bool) -> Result<Roads, BadDestination> {
        let prefixes = Arc::new(prefixes(settings));
        let signed_in = Arc::new(signed_in(settings));
        let passing = Arc::new(passing(settings));
        let road = |destination: &Arc<Destination>| {
            let network = self.surroundings.network.clone();
            let bad = |why| BadDestination { name: destination.name.clone(), why };
            let tokens = destination.oauth2.clone().map(|oauth2| Tokens::new(oauth2, network.clone()).map(Arc::new));
            let tokens = tokens.transpose().map_err(bad)?;
            let (pool, shape) = line_up(destination, &signed_in, network).map_err(bad)?;
            let before = self.open.get(&destination.name).filter(|_| is_same(&destination.name));
            let (pool, tokens) = before.map_or_else(
                || (Arc::new(pool), tokens),
                |open| {
                    let road = open.road.borrow();
                    (road.pool.clone(), road.tokens.clone())
                },
            );
            Ok(Road {
                destination: destination.clone(),
                store: self.store.clone(),
                pool,
                tokens,
                shape,
                metrics: self.metrics.destination(&destination.name),
                spans: spans.clone(),
                clock: self.surroundings.clock,
                chance: self.surroundings.chance.clone(),
                replays: self.replays.clone(),
                prefixes: prefixes.clone(),
                passing: passing.clone(),
            })
        };
        settings.destinations.iter().map(road).collect::<Result<_, _>>().map(Roads)
    }

    /// Makes these the only roads: lanes that are there go on with theirs, new ones begin, and those without one end. What waits for
    /// a destination that is gone stays in the store; attempts that are under way end as they began.
    pub fn replace(&mut self, Roads(roads): Roads) {
        // Lanes that ended before are let go.
        while self.tasks.try_join_next().is_some() {}
        let mut before = std::mem::take(&mut self.open);
        for road in roads {
            let (name, road) = (road.destination.name.clone(), Arc::new(road));
            let open = match before.remove(&name) {
                Some(open) => {
                    open.road.send_replace(road);
                    open
                }
                None => self.open_lane(road),
            };
            self.open.insert(name, open);
        }
        for (name, open) in before {
            open.stop.cancel();
            self.gone.insert(name, open.left);
        }
    }

    fn open_lane(&mut self, road: Arc<Road>) -> Open {
        let destination = &road.destination;
        let fresh = self.store.handoff(&destination.name, handovers(destination));
        let valve = self.pauses.valve(Pausable::Destination, &destination.name);
        let before = self.gone.remove(&destination.name);
        let (stop, (sender, receiver)) = (self.stop.child_token(), watch::channel(road));
        let (leave, left) = oneshot::channel();
        let mut lane = Lane::new(receiver, fresh, valve);
        let (stopped, cut) = (stop.clone(), self.cut.clone());
        self.tasks.spawn(async move {
            if let Some(before) = before
                && let Ok(left) = before.await
            {
                lane = lane.after(left);
            }
            // Nobody asks for it where the relay ends.
            let _ = leave.send(lane.run(stopped, cut).await);
        });
        Open { road: sender, stop, left }
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

fn line_up(destination: &Destination, signed_in: &Arc<SignedIn>, network: Arc<dyn Dial>) -> Result<(Pool, Shape), String> {
    let own = destination.client_certificate.as_ref();
    let certificate = own.map(|files| (files.cert.as_path(), files.key.as_path()));
    let client = tls::Client { roots: destination.ca.as_deref(), certificate, http2: destination.http2 };
    let tls = tls::client_config_of(client).map_err(|e| e.to_string())?;
    let network = match &destination.socket {
        Some(socket) => Arc::new(SocketFile(socket.clone())),
        None => network,
    };
    let server = Server::of(&destination.url, tls, destination.title_case_headers).map_err(|e| e.to_string())?;
    let server = server.over(network).connecting_within(destination.connect_timeout);
    let shape = Shape {
        target: Target::new(destination.url.clone(), destination.append_path).map_err(|e| e.to_string())?,
        host: HeaderValue::try_from(server.authority()).map_err(|e| e.to_string())?,
        sign: destination.sign.clone(),
        signed_in: signed_in.clone(),
        set: destination.headers.clone(),
        trace: destination.trace_context,
        idempotency_key: destination.idempotency_key,
    };
    let pool = Pool::new(server, destination.in_flight, destination.connection_age).idle_within(destination.connection_idle);
    Ok((pool, shape))
}

/// The headers of signatures, by source.
type SignedIn = HashMap<Name, Vec<(String, bool)>>;

fn signed_in(settings: &Settings) -> SignedIn {
    let of = |source: &Arc<Source>| Some((source.name.clone(), source.verifier.scheme()?.signature_headers()));
    settings.sources.iter().filter_map(of).collect()
}

fn passing(settings: &Settings) -> HashSet<Name> {
    settings.sources.iter().filter(|source| source.ack.waits().is_some()).map(|source| source.name.clone()).collect()
}

fn prefixes(settings: &Settings) -> HashMap<Name, String> {
    let below = settings.sources.iter().filter_map(|source| match &source.path {
        SourcePath::Below(path) => Some((source.name.clone(), path.clone())),
        SourcePath::Exact(_) => None,
    });
    below.collect()
}
