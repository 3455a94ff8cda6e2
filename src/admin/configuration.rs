//! The configuration in force, for people: what relay.toml said when it was read, and what came of the last reading.
//!
//! Never here: a secret. What is kept was masked when it was read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Shown, Warnings};
use crate::net::tls::Certificates;
use crate::time::{Clock, Timestamp};

/// What the relay was told, and when.
pub struct Configuration {
    certificates: Arc<Certificates>,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    shown: Arc<Shown>,
    warnings: Warnings,
    loaded_at: Timestamp,
    last_reload: Option<LastReload>,
}

/// What came of the last wish to read relay.toml again.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// When it was read.
    pub at: Timestamp,
    /// What is different, a line each; or why the old configuration stays in force.
    pub result: Result<Vec<String>, Vec<String>>,
}

/// The configuration at one moment.
pub(super) struct Snapshot {
    pub(super) shown: Arc<Shown>,
    /// Those of this moment, a line each.
    pub(super) warnings: Vec<String>,
    pub(super) loaded_at: Timestamp,
    pub(super) last_reload: Option<LastReload>,
}

impl Configuration {
    /// From the first reading. `warnings`: what somebody should look at all the same.
    pub fn new(shown: Shown, warnings: Warnings, certificates: Arc<Certificates>, clock: Clock) -> Self {
        let state = State { shown: Arc::new(shown), warnings, loaded_at: clock.now(), last_reload: None };
        Self { certificates, clock, state: Mutex::new(state) }
    }

    /// Another one is in force.
    pub fn replace(&self, shown: Shown, warnings: Warnings) {
        let mut state = self.lock();
        (state.shown, state.warnings, state.loaded_at) = (Arc::new(shown), warnings, self.clock.now());
    }

    /// Keeps what came of a wish to read it again.
    pub fn reloaded(&self, result: &Result<Vec<String>, Vec<String>>) {
        self.lock().last_reload = Some(LastReload { at: self.clock.now(), result: result.clone() });
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let State { shown, warnings, loaded_at, last_reload } = &*self.lock();
        let warnings = warnings.at(self.clock.now()).iter().map(ToString::to_string).collect();
        Snapshot { shown: shown.clone(), warnings, loaded_at: *loaded_at, last_reload: last_reload.clone() }
    }

    pub(super) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
