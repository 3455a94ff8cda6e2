//! Takes the relay down: no new requests, then what is under way ends within a bound, then the store is closed.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::start::Relay;

/// Requests that are under way may end for so long; attempts have their own bound of 8 s, beside it.
const REQUESTS_TIME: Duration = Duration::from_secs(8);
/// Admin calls that are under way may end for so long.
const ADMIN_TIME: Duration = Duration::from_millis(500);

impl Relay {
    /// Stops the relay in order. `Err` says why something may not be durable.
    pub async fn stop(self) -> Result<(), String> {
        let Self { store, lanes, retention, public, private, .. } = self;
        public.stop.cancel();
        let (_, ()) = tokio::join!(tokio::time::timeout(REQUESTS_TIME, public.task), lanes.stop());
        retention.stop().await;
        private.stop.cancel();
        let _ = tokio::time::timeout(ADMIN_TIME, private.task).await;
        let health = store.health();
        store.close().await.map_err(|error| error.to_string())?;
        health
    }
}

/// Waits for SIGTERM or SIGINT and stops the relay; a second signal exits at once.
pub(super) async fn run(relay: Relay) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut term), Ok(mut int), Ok(hangup)) = signals else {
        tracing::error!("signals cannot be waited for");
        return ExitCode::FAILURE;
    };
    tokio::spawn(note_hangups(hangup));
    any(&mut term, &mut int).await;
    tracing::info!("stopping; a second signal exits at once");
    tokio::select! {
        stopped = relay.stop() => match stopped {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error, "the store did not end well");
                ExitCode::FAILURE
            }
        },
        () = any(&mut term, &mut int) => {
            tracing::warn!("exiting at once");
            std::process::exit(1);
        }
    }
}

/// SIGHUP asks for a new configuration, which this version can only take at a start; it must not end the relay.
async fn note_hangups(mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        tracing::warn!("SIGHUP: this version does not reload its configuration; restart the relay to apply a change");
    }
}

async fn any(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
