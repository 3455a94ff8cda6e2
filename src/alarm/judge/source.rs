//! Whether a source is silent, and whether many of its requests are not believed.

use std::time::Duration;

use super::Bad;
use crate::alarm::window::Window;
use crate::alarm::words::in_words;
use crate::alarm::{Burst, Facts, Kind, Rules, SourceFacts, Subject};
use crate::time::Timestamp;

/// Providers try again within minutes once a relay is back: a source is not called silent before that.
const START_GRACE: Duration = Duration::from_secs(5 * 60);
/// What is remembered of a source.
#[derive(Debug)]
pub(super) struct SourceMemory {
    /// Silence counts from here, or from the last event after it.
    counts_from: Timestamp,
    /// And so much of it was known before.
    carried: Duration,
    /// Requests that were not believed, and all.
    asked: Window<(u64, u64)>,
}

impl SourceMemory {
    pub(super) fn new(source: &SourceFacts, facts: &Facts, rules: &Rules, is_first: bool) -> Self {
        let SourceFacts { last_event_at, requests, bad_signatures, .. } = *source;
        let last_before = last_event_at.filter(|at| is_first && *at < facts.started_at);
        // The relay was there to hear from it until then, whatever happened afterwards.
        let carried = facts.heard_before.zip(last_before).map(|(heard, last)| heard.since(last)).unwrap_or_default();
        let counts_from = if is_first && last_event_at.is_some() { facts.started_at } else { facts.now };
        let within = rules.bad_signatures.map_or(Duration::ZERO, |burst| burst.within);
        let asked = match is_first && facts.now.since(facts.started_at) <= within {
            true => Window::new(facts.started_at, (0, 0)),
            false => Window::new(facts.now, (bad_signatures, requests)),
        };
        Self { counts_from, carried, asked }
    }

    pub(super) fn silent(&mut self, source: &SourceFacts, facts: &Facts) -> Option<Bad> {
        if source.is_paused {
            (self.counts_from, self.carried) = (facts.now, Duration::ZERO);
            return None;
        }
        let expected = source.expect_every?;
        let heard_since = source.last_event_at.filter(|at| *at >= self.counts_from);
        let silence = match heard_since {
            Some(at) => facts.now.since(at),
            None => self.carried.saturating_add(facts.now.since(self.counts_from)),
        };
        (silence > expected).then(|| Bad {
            kind: Kind::SourceSilent,
            subject: Subject::Source(source.name.clone()),
            since: Some(source.last_event_at.unwrap_or(self.counts_from)),
            begins_at: Some(facts.now.max(facts.started_at.after(expected.min(START_GRACE)))),
            hold: Duration::ZERO,
            detail: match source.last_event_at {
                Some(at) => format!("its last event was {} ago, one is expected every {}", since(facts, at), in_words(expected)),
                None => format!("it had no event yet, one is expected every {}", in_words(expected)),
            },
        })
    }

    pub(super) fn unbelieved(&mut self, source: &SourceFacts, facts: &Facts, rule: Option<Burst>) -> Option<Bad> {
        let Burst { count, share, within } = rule?;
        let SourceFacts { requests, bad_signatures, .. } = *source;
        self.asked.see(facts.now, (bad_signatures, requests), within);
        let (bad_before, all_before) = self.asked.first()?;
        let bad = bad_signatures.saturating_sub(bad_before);
        let all = requests.saturating_sub(all_before).max(bad);
        // Precise below 2^53 requests.
        let is_bad = bad >= count && bad as f64 >= share * all as f64;
        is_bad.then(|| Bad {
            kind: Kind::BadSignatures,
            subject: Subject::Source(source.name.clone()),
            since: None,
            begins_at: None,
            hold: Duration::ZERO,
            detail: format!("{bad} of {all} requests within {}", in_words(within)),
        })
    }
}

fn since(facts: &Facts, at: Timestamp) -> String {
    in_words(facts.now.since(at))
}
