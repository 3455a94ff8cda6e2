//! Points in time, and the only reader of clocks.
//!
//! Rules take a [`Timestamp`] as an argument; the asynchronous shell asks a [`Clock`] for one. In tests the clock follows
//! tokio's paused time, so that days of retries run in milliseconds. Nothing else in the crate may read a clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

/// Milliseconds since the Unix epoch, UTC.
///
/// Text form (JSON, logs, headers): RFC 3339 with milliseconds and `Z`. Binary form: the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The end of the range that this type can print (year 9999).
    pub const MAX: Self = Self(253_402_207_200_000);

    /// From milliseconds since the Unix epoch; later than [`Self::MAX`] becomes [`Self::MAX`].
    pub const fn from_ms(ms: u64) -> Self {
        Self(if ms < Self::MAX.0 { ms } else { Self::MAX.0 })
    }

    /// Milliseconds since the Unix epoch.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This time and `wait` later, at most [`Self::MAX`].
    pub fn after(self, wait: Duration) -> Self {
        Self::from_ms(self.0.saturating_add(millis(wait)))
    }

    /// This time and `age` earlier, at least the epoch.
    pub fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub(millis(age)))
    }

    /// How long after `earlier` this is; zero where it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// From RFC 3339 text with any offset; `None` where it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(at.as_millisecond()).ok().map(Self::from_ms)
    }

    /// From a system time (a file's, a certificate's); before the epoch becomes the epoch.
    pub fn from_system(at: SystemTime) -> Self {
        Self::from_ms(millis(at.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(ms).map_err(|_| fmt::Error)?;
        write!(f, "{at:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return u64::deserialize(d).map(Self::from_ms);
        }
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a time must be RFC 3339, like 2026-11-25T10:00:00Z"))
    }
}

/// Where the present comes from: the system, or (in tests) tokio's clock, which can be paused.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Option<(Timestamp, Instant)>);

impl Clock {
    /// The system's wall clock.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that says `start` now and then moves with tokio's time.
    pub fn following_tokio(start: Timestamp) -> Self {
        Self(Some((start, Instant::now())))
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            None => Timestamp::from_system(SystemTime::now()),
            Some((start, since)) => start.after(since.elapsed()),
        }
    }

    /// The present in nanoseconds since the Unix epoch, for what is shorter than a [`Timestamp`] can tell.
    pub fn now_ns(&self) -> u64 {
        let since_epoch = match self.0 {
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Some((start, since)) => Duration::from_millis(start.ms()).saturating_add(since.elapsed()),
        };
        u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Measures how long something took, by tokio's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_rfc3339_in_utc_with_milliseconds() {
        assert_eq!(Timestamp::from_ms(1_790_000_000_007).to_string(), "2026-09-21T14:13:20.007Z");
        assert_eq!(Timestamp::parse("2026-09-21T16:13:20.007+02:00"), Some(Timestamp::from_ms(1_790_000_000_007)));
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(Timestamp::from_ms(u64::MAX).to_string(), Timestamp::MAX.to_string());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_in_tests_follows_paused_time() {
        let clock = Clock::following_tokio(Timestamp::from_ms(1000));
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(clock.now().ms(), 86_401_000);
        tokio::time::advance(Duration::from_nanos(1_000_007)).await;
        assert_eq!(clock.now_ns(), 86_401_001_000_007);
    }
}
