//! Durations ("30s", "1h30m") and sizes ("10MiB") as relay.toml writes them. A number without a unit is never one of them.

use std::time::Duration;

use bytesize::ByteSize;

/// The units of durations. No month and no year (their length varies), and so no `M` that is mistaken for `m`.
const DURATION_UNITS: [&str; 6] = ["ms", "s", "m", "h", "d", "w"];
/// The units of sizes. No bare `M` or `k`, which mean different things to different people.
const SIZE_UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "KB", "MB", "GB", "TB"];

/// What a duration looks like.
pub(super) const DURATION: &str = "a duration such as \"200ms\", \"30s\", \"10m\", \"72h\" or \"7d\"";
/// What a size looks like.
pub(super) const SIZE: &str = "a size such as \"1000B\", \"64KiB\" or \"10MiB\"";

/// A duration; `None` where it is not one.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut units = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|unit| !unit.is_empty()).peekable();
    let known = units.peek().is_some() && units.all(|unit| DURATION_UNITS.contains(&unit));
    known.then(|| humantime::parse_duration(text).ok()).flatten()
}

/// A size in bytes; `None` where it is not one.
pub(super) fn size(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ');
    SIZE_UNITS.contains(&unit).then(|| text.parse::<ByteSize>().ok().map(|size| size.as_u64())).flatten()
}

/// What a duration looks like, as a regular expression.
pub(super) fn duration_pattern() -> String {
    format!("^( *[0-9]+ *({}))+ *$", DURATION_UNITS.join("|"))
}

/// What a size looks like, as a regular expression.
pub(super) fn size_pattern() -> String {
    format!("^[0-9]+(\\.[0-9]+)? *({})$", SIZE_UNITS.join("|"))
}

/// A duration as relay.toml would write it.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let fits = units.into_iter().find(|(_, length)| ms > 0 && ms.is_multiple_of(*length));
    let ms_unit = if ms == 0 { "s" } else { "ms" };
    fits.map_or_else(|| format!("{ms}{ms_unit}"), |(unit, length)| format!("{}{unit}", ms / length))
}

/// A size as relay.toml would write it.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fits = units.into_iter().find(|(_, bits)| bytes > 0 && bytes.is_multiple_of(1 << bits));
    fits.map_or_else(|| format!("{bytes}B"), |(unit, bits)| format!("{}{unit}", bytes >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_units() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("200ms"), Some(200));
        assert_eq!(ms("2s"), Some(2000));
        assert_eq!(ms("1h 30m"), Some(5_400_000));
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("72h"), ms("3d"));
        assert_eq!(ms("1w"), ms("7d"));
        for bad in ["", "30", "s", "0", "-2s", "10M", "1y", "1 month", "5 minutes", "ten s", "2s5", "99999999999999999999s"] {
            assert_eq!(ms(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("1000B"), Some(1000));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("10 MiB"), Some(10_485_760));
        assert_eq!(size("1.5MB"), Some(1_500_000));
        for bad in ["", "1000", "10M", "10k", "10mib", "-1B", "B", "1.2.3MiB", "1e3B"] {
            assert_eq!(size(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read(number: u32) {
            let wait = Duration::from_millis(number.into());
            prop_assert_eq!(duration(&show_duration(wait)), Some(wait));
            let bytes = u64::from(number) << (number % 16);
            prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (duration(&text), size(&text));
        }
    }
}
