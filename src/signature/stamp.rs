//! Timestamps of schemes: read strictly, judged against the time that the request arrived, signed as the text that they are.

use super::Reason;
use super::written::{StampFormat, WrittenStamp};
use crate::time::Timestamp;

/// Seconds since the epoch stay below this until the year 5138, and milliseconds have been above it since 1973.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

impl WrittenStamp {
    /// Whether anybody bounds it: what nobody does may be missing. `tolerance`: seconds that the source says.
    pub(super) fn is_bounded(&self, tolerance: Option<u32>) -> bool {
        tolerance.or(self.max_age).or(self.max_future).is_some()
    }

    /// Whether `text` is a time that is neither too old nor too far ahead at `now`. `tolerance`: seconds that the source says.
    pub(super) fn judge(&self, text: &str, now: Timestamp, tolerance: Option<u32>) -> Result<(), Reason> {
        let (then, now) = self.format.read(text, now).ok_or(Reason::BadTimestamp)?;
        let bound_ms = |seconds: Option<u32>| seconds.map_or(u64::MAX, |s| u64::from(s) * 1000);
        if now.saturating_sub(then) > bound_ms(tolerance.or(self.max_age)) {
            return Err(Reason::TimestampTooOld);
        }
        if then.saturating_sub(now) > bound_ms(self.max_future.or(tolerance)) {
            return Err(Reason::TimestampInFuture);
        }
        Ok(())
    }
}

impl StampFormat {
    /// The time of `text`, and the present in the same precision, both in milliseconds.
    fn read(self, text: &str, now: Timestamp) -> Option<(u64, u64)> {
        let whole_seconds = |then_ms| Some((then_ms, now.seconds() * 1000));
        match self {
            Self::Unix => whole_seconds(digits(text)?.checked_mul(1000)?),
            Self::UnixMs => Some((digits(text)?, now.ms())),
            Self::UnixAuto => match digits(text)? {
                ms if ms >= MILLISECONDS_FROM => Some((ms, now.ms())),
                seconds => whole_seconds(seconds * 1000),
            },
            Self::Iso8601 => {
                let zoned = text.contains(['T', 't']) && !text.contains(['[', ' ']);
                let at = zoned.then(|| Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}Z"))))??;
                Some((at.ms(), now.ms()))
            }
            Self::SpacedUtc => {
                let (date, time) = text.split_once(' ')?;
                let plain = date.len() == 10 && time.len() == 8 && !text.contains(['T', 't', 'Z', 'z', '+']);
                whole_seconds(plain.then(|| Timestamp::parse(&format!("{date}T{time}Z")))??.ms())
            }
            Self::HttpDate => whole_seconds(Timestamp::from_system(httpdate::parse_http_date(text).ok()?).ms()),
        }
    }

    /// `now` in this format, as one who signs writes it.
    pub(super) fn write(self, now: Timestamp) -> String {
        match self {
            Self::Unix | Self::UnixAuto => now.seconds().to_string(),
            Self::UnixMs => now.ms().to_string(),
            Self::Iso8601 => now.to_string(),
            Self::SpacedUtc => now.to_string().replace('T', " ").chars().take("2026-01-01 00:00:00".len()).collect(),
            Self::HttpDate => httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(now.seconds())),
        }
    }
}

/// Decimal digits and nothing else: `parse` would take a `+` before them.
fn digits(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::written::Place;
    use proptest::prelude::*;

    const NOW: u64 = 1_790_000_000;

    fn stamp(format: StampFormat) -> WrittenStamp {
        let (max_age, max_future) = (Some(300), Some(60));
        WrittenStamp { place: Place::Header, name: "t".into(), fallback: vec![], element: None, format, max_age, max_future }
    }

    #[test]
    fn what_the_source_says_counts_for_the_age() {
        let judge = |text: &str, tolerance| stamp(StampFormat::Unix).judge(text, Timestamp::from_ms(NOW * 1000), tolerance);
        assert_eq!(judge(&(NOW - 301).to_string(), Some(400)), Ok(()));
        assert_eq!(judge(&(NOW - 101).to_string(), Some(100)), Err(Reason::TimestampTooOld));
        assert_eq!(judge(&(NOW + 61).to_string(), Some(100)), Err(Reason::TimestampInFuture));
        let unbounded = WrittenStamp { max_age: None, max_future: None, ..stamp(StampFormat::Unix) };
        assert!(!unbounded.is_bounded(None) && unbounded.is_bounded(Some(1)));
        assert_eq!(unbounded.judge("1", Timestamp::from_ms(NOW * 1000), None), Ok(()));
    }

    fn judge(format: StampFormat, text: &str) -> Result<(), Reason> {
        stamp(format).judge(text, Timestamp::from_ms(NOW * 1000 + 999), None)
    }

    #[test]
    fn the_window_has_sharp_edges() {
        let unix = |t: u64| judge(StampFormat::Unix, &t.to_string());
        assert_eq!(unix(NOW - 300), Ok(()));
        assert_eq!(unix(NOW - 301), Err(Reason::TimestampTooOld));
        assert_eq!(unix(NOW + 60), Ok(()));
        assert_eq!(unix(NOW + 61), Err(Reason::TimestampInFuture));
        let ms = |t: u64| judge(StampFormat::UnixMs, &t.to_string());
        assert_eq!(ms(NOW * 1000 + 999 - 300_000), Ok(()));
        assert_eq!(ms(NOW * 1000 + 998 - 300_000), Err(Reason::TimestampTooOld));
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for bad in [
            "",
            "+",
            "+1790000000",
            "++1790000000",
            "-1790000000",
            "-0",
            "-1",
            " 1790000000",
            "1790000000 ",
            "1790000000.0",
            "1e9",
            "0x1",
            "٣",
            "99999999999999999999",
        ] {
            assert_eq!(judge(StampFormat::Unix, bad), Err(Reason::BadTimestamp), "{bad:?}");
        }
        for bad in ["", "2026-09-21", "2026-09-21 14:13:20Z", "1790000000", "2026-13-01T00:00:00Z"] {
            assert_eq!(judge(StampFormat::Iso8601, bad), Err(Reason::BadTimestamp), "{bad:?}");
        }
    }

    #[test]
    fn every_format_reads_what_it_writes() {
        use StampFormat::*;
        for format in [Unix, UnixMs, UnixAuto, Iso8601, HttpDate, SpacedUtc] {
            let text = format.write(Timestamp::from_ms(NOW * 1000));
            assert_eq!(judge(format, &text), Ok(()), "{text}");
        }
        assert_eq!(judge(Iso8601, "2026-09-21T16:13:20.123456789+02:00"), Ok(()));
        assert_eq!(judge(Iso8601, "2026-09-21T14:13:20.5"), Ok(()));
        assert_eq!(judge(UnixAuto, "1790000000000"), Ok(()));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text: String, now: u64) {
            use StampFormat::*;
            for format in [Unix, UnixMs, UnixAuto, Iso8601, HttpDate, SpacedUtc] {
                let _ = stamp(format).judge(&text, Timestamp::from_ms(now), None);
            }
        }
    }
}
