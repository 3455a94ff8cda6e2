//! `q`: text in bodies, within a bounded range of time. There is no index of what bodies hold, so a search reads them.
//!
//! The store bounds the bytes of one page, and a page that met the bound goes on where its `next` says. What is bounded here is how
//! far such pages can lead.

use std::time::Duration;

use crate::admin::problem::Problem;
use crate::store::EventFilter;
use crate::time::Timestamp;

/// The longest text: enough for any id or address.
pub(super) const TEXT_CHARS_MAX: usize = 256;

/// The longest range of one search: a month has it.
const RANGE_MAX: Duration = Duration::from_secs(31 * 86_400);

/// What it is, for the description.
pub(super) const ABOUT: &str = "With this text in the body: these UTF-8 bytes, as they are. Upper and lower case differ, and nothing is \
    decoded: neither escapes of JSON nor compression. `since` is needed, and the range until `until` (or now) may be 31 days. A page reads \
    a bounded number of bytes: it may have few items, or none, and a `next` that goes on.";

/// The filter, where its search is bounded.
pub(super) fn bounded(filter: EventFilter, now: Timestamp) -> Result<EventFilter, Problem> {
    let Some(text) = &filter.text else { return Ok(filter) };
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(Problem::field("q", format!("q must have {TEXT_CHARS_MAX} characters at most")));
    }
    let Some(since) = filter.since else {
        return Err(Problem::field(
            "since",
            "a search reads bodies: say `since`, from when on to look (and `until`, if not to now)",
        ));
    };
    let range = filter.until.unwrap_or(now).since(since);
    if range > RANGE_MAX {
        let days = RANGE_MAX.as_secs() / 86_400;
        return Err(Problem::field("since", format!("a search may look at {days} days: move `since` closer to `until`")));
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_a_range() {
        let now = Timestamp::from_ms(1_790_000_000_000);
        let asks = |text: &str, since: Option<Timestamp>, until| {
            let filter = EventFilter { text: Some(text.to_owned()), since, until, ..EventFilter::default() };
            bounded(filter, now).is_ok()
        };
        let ago = |days: u64| Some(now.before(Duration::from_secs(days * 86_400)));
        assert!(asks("x", ago(31), None) && asks("x", ago(400), ago(380)) && asks(&"ä".repeat(TEXT_CHARS_MAX), ago(1), None));
        assert!(
            !asks("x", None, None) && !asks("x", None, ago(1)) && !asks("x", ago(32), None) && !asks("x", ago(400), ago(360))
        );
        assert!(!asks(&"x".repeat(TEXT_CHARS_MAX + 1), ago(1), None));
        assert!(bounded(EventFilter::default(), now).is_ok());
    }
}
