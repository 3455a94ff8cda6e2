//! When something is wrong: the thresholds, each with what counts where nothing is said.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The thresholds. What is `None` is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// How alarms begin, last and end.
    pub damping: Damping,
    /// Requests of a source that were not believed.
    pub bad_signatures: Option<Burst>,
    /// A destination fails, and succeeds at nothing, for so long.
    pub destination_failing: Option<Duration>,
    /// A destination's breaker is not closed for so long.
    pub breaker_open: Option<Duration>,
    /// A delivery is due, and not attempted, for so long.
    pub deliveries_overdue: Option<Duration>,
    /// Deliveries that were parked.
    pub deliveries_parked: Option<Growth>,
    /// This part of what the store may take is taken by what must be kept.
    pub quota_near: Option<f64>,
    /// Fewer bytes of the store's disk are free. Of a small disk a part is enough.
    pub disk_nearly_full: Option<u64>,
    /// A certificate ends within this time.
    pub certificate_expiring: Option<Duration>,
    /// A host's orders come to nothing for so long. One that has no certificate alarms sooner.
    pub certificate_not_issued: Option<Duration>,
    /// Nothing new is accepted for so long.
    pub store_not_ready: Option<Duration>,
    /// So many records cannot be read.
    pub store_damaged: Option<u64>,
}

/// How alarms begin, last and end, so that what changes from moment to moment is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// A condition that has no time of its own holds for so long before its alarm begins.
    pub begin_after: Duration,
    /// Nothing is wrong any more for so long before an alarm ends.
    pub end_after: Duration,
    /// An alarm that lasts is told again after this time.
    pub repeat: Duration,
    /// An alarm that ended is not told again before this time has passed since it was last told to begin or last.
    pub cool_down: Duration,
}

/// So many of a source's requests, and this part of all of them, within a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// At least so many.
    pub count: u64,
    /// At least this part of all requests.
    pub share: f64,
    /// Within this time.
    pub within: Duration,
}

/// So many more within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// At least so many.
    pub count: u64,
    /// Within this time.
    pub within: Duration,
}

impl Default for Damping {
    fn default() -> Self {
        Self {
            begin_after: Duration::from_secs(30),
            end_after: MINUTE,
            // Somebody who was asleep hears of it in the morning, and nobody has a hundred messages.
            repeat: HOUR.saturating_mul(4),
            cool_down: MINUTE.saturating_mul(10),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            damping: Damping::default(),
            // Somebody who tries an address out has a few; a secret that was changed at the provider has all.
            bad_signatures: Some(Burst { count: 20, share: 0.2, within: MINUTE.saturating_mul(10) }),
            // A restart or a deployment is over by then.
            destination_failing: Some(MINUTE.saturating_mul(10)),
            breaker_open: Some(MINUTE.saturating_mul(5)),
            deliveries_overdue: Some(MINUTE.saturating_mul(15)),
            deliveries_parked: Some(Growth { count: 10, within: HOUR }),
            quota_near: Some(0.8),
            // Four times what the relay leaves free in any case.
            disk_nearly_full: Some(1 << 30),
            // Whoever renews by a program does so 30 days before the end, and by hand needs some days.
            certificate_expiring: Some(DAY.saturating_mul(14)),
            // A third of a certificate's lifetime is left for it, and most of what a CA is troubled with is over by then.
            certificate_not_issued: Some(HOUR.saturating_mul(2)),
            store_not_ready: Some(Duration::from_secs(30)),
            store_damaged: Some(1),
        }
    }
}
