//! One life of the relay: its real parts, put together as `cli/serve` does, and how it ends.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hookhold::chance::Chance;
use hookhold::config::settings::Settings;
use hookhold::config::{Imprint, Loaded};
use hookhold::delivery::{Lanes, Replays, Surroundings};
use hookhold::ingest::{Arming, Gate, Line, Outside};
use hookhold::metrics::Metrics;
use hookhold::net::confirm::Confirmer;
use hookhold::net::fetch::Fetcher;
use hookhold::net::published::Published;
use hookhold::record::Name;
use hookhold::store::{Brought, Memory, Pauses, Quarantine, QuarantineBounds, Space};
use hookhold::telemetry::Spans;
use hookhold::time::Clock;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::kept::{Kept, OnSled};
use crate::network::{Applications, Wire};
use crate::script::Fault;
use crate::sender::trust;
use crate::store::Grouped;
use crate::truth::Truth;

/// What every life of a story shares.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) applications: Applications,
    pub(crate) truth: Arc<Truth>,
    pub(crate) clock: Clock,
    pub(crate) chance: Chance,
    pub(crate) fault: Option<Fault>,
}

/// A relay that runs.
pub(crate) struct Life {
    pub(crate) store: Arc<Grouped>,
    pub(crate) replays: Arc<Replays>,
    pub(crate) pauses: Arc<Pauses>,
    pub(crate) line: Arc<Line>,
    /// Connections of senders.
    pub(crate) requests: Arc<Mutex<JoinSet<()>>>,
    lanes: Lanes,
    metrics: Arc<Metrics>,
    settings: Arc<Mutex<Arc<Settings>>>,
    imprint: Imprint,
    folder: TempDir,
    is_alive: Arc<AtomicBool>,
}

/// What is left when a relay has ended.
pub(crate) struct Remains {
    kept: Arc<dyn Kept>,
    folder: TempDir,
}

impl Remains {
    pub(crate) fn nothing(on_sled: bool) -> Self {
        let kept: Arc<dyn Kept> = if on_sled { Arc::new(OnSled::new()) } else { Arc::new(Memory::new()) };
        Self { kept, folder: folder() }
    }
}

impl Life {
    pub(crate) fn start(ground: &Ground, config: &Config, remains: Remains) -> Self {
        let Ground { applications, truth, clock, chance, fault } = ground.clone();
        let Remains { kept, folder } = remains;
        truth.new_life();
        truth.follow(config);
        let Loaded { settings, imprint, .. } = config.read();
        let (settings, metrics) = (Arc::new(settings), Metrics::new());
        let store = Grouped::start(kept, truth.clone(), chance.clone(), fault);
        let pauses = Arc::new(Pauses::open(folder.path(), &settings).unwrap());
        let told = Arc::new(Mutex::new(settings.clone()));
        let sources = {
            let told = told.clone();
            move |name: &Name| told.lock().unwrap().sources.iter().find(|source| source.name == *name).cloned()
        };
        let replays = Arc::new(Replays::open(folder.path(), store.clone(), Arc::new(sources), clock).unwrap());
        let is_alive = Arc::new(AtomicBool::new(true));
        let network = Arc::new(Wire { applications, truth, store: store.clone(), is_alive: is_alive.clone() });
        let surroundings = Surroundings { network, clock, chance, spans: Spans::default() };
        let (told_pauses, told_replays) = (pauses.clone(), replays.clone());
        let lanes = Lanes::start(&settings, store.clone(), (told_pauses, told_replays), metrics.clone(), surroundings).unwrap();
        let outside =
            Outside { published: Published::start(fetcher(), Vec::new(), clock), confirmer: Confirmer::new(fetcher(), clock) };
        let arming = Arc::new(Arming::new(&settings, Brought::below(folder.path())).unwrap());
        let gate = Gate::new(&settings, &metrics, outside, (arming, &pauses), None);
        let space = Arc::new(Space::new(folder.path(), None));
        let quarantine = Arc::new(Quarantine::open(folder.path(), QuarantineBounds::default(), clock).unwrap());
        let line = Arc::new(Line::new(gate, (store.clone(), space), quarantine, metrics.clone(), clock));
        let requests = Arc::default();
        Self { store, replays, pauses, line, requests, lanes, metrics, settings: told, imprint, folder, is_alive }
    }

    /// As `Relay::reload` does it.
    pub(crate) fn reload(&mut self, truth: &Truth, config: &Config) {
        let Loaded { settings, imprint, .. } = config.read();
        let settings = Arc::new(settings);
        let changes = self.imprint.changes(&imprint);
        let is_same =
            |name: &Name| !changes.iter().any(|change| change.section.strip_prefix("destinations.") == Some(name.as_str()));
        let lanes = self.lanes.prepare(&settings, &Spans::default(), is_same).unwrap();
        let arming = Arc::new(Arming::new(&settings, Brought::below(self.folder.path())).unwrap());
        self.pauses.replace(self.pauses.prepare(&settings).unwrap());
        let gate = self.line.gate();
        let outside = gate.outside().renewed(fetcher(), Vec::new());
        self.line.replace(Gate::new(&settings, &self.metrics, outside, (arming, &self.pauses), Some(&gate)));
        self.lanes.replace(lanes);
        *self.settings.lock().unwrap() = settings;
        self.imprint = imprint;
        truth.follow(config);
    }

    /// It is killed, and everything that was not durable with it.
    pub(crate) async fn crash(self, truth: &Truth) -> Remains {
        self.is_alive.store(false, Ordering::SeqCst);
        // What the dead do until they are gone happens elsewhere.
        let folder = copy(self.folder.path());
        let kept = self.store.crash().await;
        truth.new_life();
        self.requests.lock().unwrap().abort_all();
        Remains { kept, folder }
    }

    /// It ends in order.
    pub(crate) async fn stop(self) -> Remains {
        self.requests.lock().unwrap().abort_all();
        self.lanes.stop().await;
        self.replays.stop();
        self.is_alive.store(false, Ordering::SeqCst);
        let folder = copy(self.folder.path());
        Remains { kept: self.store.end().await, folder }
    }
}

fn fetcher() -> Fetcher {
    Fetcher::new(trust(), HashMap::new())
}

/// In memory where that can be had: what is synced is small and many.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

fn copy(from: &Path) -> TempDir {
    let to = folder();
    for part in ["pauses", "replays"].map(Path::new) {
        let Ok(files) = fs::read_dir(from.join(part)) else { continue };
        fs::create_dir(to.path().join(part)).unwrap();
        for file in files.map(Result::unwrap) {
            fs::copy(file.path(), to.path().join(part).join(file.file_name())).unwrap();
        }
    }
    to
}
