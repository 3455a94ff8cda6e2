//! What systemd hears of the relay (sd_notify(3), `Type=notify`): when it serves, reads its configuration, makes way for its successor, and
//! ends; and that it lives, where a watchdog asks for that. Where nobody listens, nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

/// Of the watchdog's time, the relay speaks after this part.
const WATCHDOG_PART: u32 = 3;

/// What the relay says of itself when all is well.
pub(super) const SERVES: &str = "takes and delivers webhooks";

/// The relay serves, and what it says of itself.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It is busy with something that ends in [`ready`].
pub(super) fn reloading(status: &str) {
    // Without the time systemd would not take the word.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status(status)]),
        Err(error) => tracing::debug!(%error, "the time for systemd cannot be read"),
    }
}

/// It ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the relay lives, as long as its tasks run: from before the store is opened until the process ends.
pub(super) fn live() {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval((within / WATCHDOG_PART).max(Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    });
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}
