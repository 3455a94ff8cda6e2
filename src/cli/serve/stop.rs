//! Takes the relay down: no new requests, then what is under way ends within a bound, then the store is closed.

use std::time::Duration;

use super::audit_log;
use super::start::Relay;

/// Requests that are under way may end for so long; attempts have their own bound of 8 s, beside it.
const REQUESTS_TIME: Duration = Duration::from_secs(8);
/// Admin calls that are under way may end for so long.
const ADMIN_TIME: Duration = Duration::from_millis(500);

/// In which order senders and applications are left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    AtOnce,
    AttemptsFirst,
}

impl Relay {
    /// Stops the relay in order. `Err` says why something may not be durable.
    pub async fn stop(self) -> Result<(), String> {
        self.stop_in(Order::AtOnce).await
    }

    /// The same for a relay that another follows on the same sockets: webhooks are taken as long as possible, and wait in the system's
    /// queue only while the store is exchanged.
    pub(super) async fn make_way(self) -> Result<(), String> {
        self.stop_in(Order::AttemptsFirst).await
    }

    async fn stop_in(self, order: Order) -> Result<(), String> {
        let Self { listeners, store, lanes, replays, retention, watching, history, changing, traces, .. } = self;
        changing.watch.stop();
        changing.acme.stop();
        // Streams would hold the admin listener for as long as somebody reads.
        store.feed().close();
        let lanes = match order {
            Order::AtOnce => Some(lanes),
            Order::AttemptsFirst => {
                lanes.stop().await;
                None
            }
        };
        let (ended, private) = listeners.stop();
        let attempts = async {
            if let Some(lanes) = lanes {
                lanes.stop().await;
            }
        };
        let (_, ()) = tokio::join!(tokio::time::timeout(REQUESTS_TIME, ended), attempts);
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
