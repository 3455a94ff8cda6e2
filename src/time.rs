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

    /// From RFC 3339 text, and nothing that is only like it. What this type cannot say becomes the nearest that it can: a range may
    /// begin and end anywhere.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (seconds, rest) = text.split_at_checked(SECONDS.len())?;
        let is_like = |(given, like): (u8, &u8)| match like {
            b'0' => given.is_ascii_digit(),
            _ => given.to_ascii_uppercase() == *like,
        };
        let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        let (fraction, offset) = if digits > 0 { rest.split_at_checked(1 + digits)? } else { ("", rest) };
        if !seconds.bytes().zip(SECONDS).all(is_like) || !is_offset(offset.as_bytes()) {
            return None;
        }
        // Nanoseconds are the most that the library reads.
        let plain = format!("{seconds}{}{offset}", &fraction[..fraction.len().min(10)]).to_ascii_uppercase();
        match plain.parse::<jiff::Timestamp>() {
            Ok(at) => Some(Self::from_ms(u64::try_from(at.as_millisecond()).unwrap_or_default())),
            // The last day or two of the year 9999.
            Err(_) => {
                plain[..SECONDS.len()].parse::<jiff::civil::DateTime>().ok().filter(|at| at.year() == 9999).map(|_| Self::MAX)
            }
        }
    }

    /// From a system time (a file's, a certificate's); before the epoch becomes the epoch.
    pub fn from_system(at: SystemTime) -> Self {
        Self::from_ms(millis(at.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

/// A date and a time of RFC 3339, where 0 is any digit.
const SECONDS: &[u8] = b"0000-00-00T00:00:00";

/// Whether this is an offset of RFC 3339.
fn is_offset(text: &[u8]) -> bool {
    match text {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            [h1, h2, m1, m2].iter().all(|d| d.is_ascii_digit()) && [*h1, *h2] <= *b"23" && *m1 <= b'5'
        }
        _ => false,
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
        Self::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("a time must be RFC 3339, like 2026-11-25T10:00:00Z"))
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
    }

    #[test]
    fn only_rfc_3339_is_read_where_it_is_asked_for() {
        let read = |text| Timestamp::parse_rfc3339(text).map(|at| at.to_string());
        for (text, expected) in [
            ("2026-09-21T14:13:20.007Z", "2026-09-21T14:13:20.007Z"),
            ("2026-09-21t14:13:20z", "2026-09-21T14:13:20.000Z"),
            ("2026-09-21T16:13:20.0079999999999+02:00", "2026-09-21T14:13:20.007Z"),
            ("2026-12-31T23:59:60-00:00", "2026-12-31T23:59:59.000Z"),
            ("0000-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
            ("0001-01-01T00:00:00+23:59", "1970-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59-23:59", "9999-12-30T22:00:00.000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "2026-09-21",
            "2026-09-21T14:13Z",
            "2026-09-21 14:13:20Z",
            "20260921T141320Z",
            "2026-09-21T14:13:20",
            "2026-09-21T14:13:20.Z",
            "2026-09-21T14:13:20+0200",
            "2026-09-21T14:13:20+24:00",
            "2026-09-21T14:13:20Z[UTC]",
            "2026-02-30T00:00:00Z",
            "9999-02-30T00:00:00Z",
            "2026-09-21T25:00:00Z",
            "2026-09-21T14:13:20é",
            "é",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
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
