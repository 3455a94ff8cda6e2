//! Takes the relay down: no new requests, then what is under way ends within a bound, then the store is closed.

use std::time::Duration;

use super::audit_log;
use super::start::Relay;

/// Requests that are under way may end for so long; attempts have their own bound of 8 s, beside it.
const REQUESTS_TIME: Duration = Duration::from_secs(8);
/// Admin calls that are under way may end for so long.
const ADMIN_TIME: Duration = Duration::from_millis(500);

impl Relay {
    /// Stops the relay in order. `Err` says why something may not be durable.
    pub async fn stop(self) -> Result<(), String> {
        let Self { store, lanes, replays, retention, watching, history, public, private, changing, traces, .. } = self;
        changing.watch.stop();
        changing.acme.stop();
        public.iter().for_each(|serving| serving.stop.cancel());
        // Streams would hold the admin listener for as long as somebody reads.
        store.feed().close();
        let ended = async {
            for serving in public {
                let _ = serving.task.await;
            }
        };
        let (_, ()) = tokio::join!(tokio::time::timeout(REQUESTS_TIME, ended), lanes.stop());
        replays.stop();
        retention.stop().await;
        history.stop().await;
        private.stop.cancel();
        let _ = tokio::time::timeout(ADMIN_TIME, private.task).await;
        let _ = watching.await;
        audit_log::close(&changing.audit).await;
        let health = store.health();
        let (closed, ()) = tokio::join!(store.close(), traces.stop());
        closed.map_err(|error| error.to_string())?;
        health
    }
}
