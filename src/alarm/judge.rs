//! Which conditions hold, and since when. Remembers what one look at the facts cannot tell: how numbers changed, and since when
//! something is as it is.

mod destination;
mod source;
mod whole;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use destination::DestinationMemory;
use source::SourceMemory;
use whole::{expiring, not_issued, of_store};

use super::{Facts, Finding, Kind, Rules, Subject};
use crate::record::Name;
use crate::time::Timestamp;

/// Judges, look by look. What it remembers is bounded by what is configured.
#[derive(Debug, Default)]
pub struct Judge {
    sources: HashMap<Name, SourceMemory>,
    destinations: HashMap<Name, DestinationMemory>,
    /// Since when each condition holds.
    held: HashMap<(Kind, Subject), Timestamp>,
    is_used: bool,
}

/// A condition that holds. `since` and `begins_at` are those of the first look that found it, where they are not given.
struct Bad {
    kind: Kind,
    subject: Subject,
    since: Option<Timestamp>,
    begins_at: Option<Timestamp>,
    hold: Duration,
    detail: String,
}

impl Judge {
    /// What is wrong now.
    pub fn look(&mut self, facts: &Facts, rules: &Rules) -> Vec<Finding> {
        let mut found = Vec::new();
        let is_first = !std::mem::replace(&mut self.is_used, true);
        let sources: HashSet<&Name> = facts.sources.iter().map(|source| &source.name).collect();
        let destinations: HashSet<&Name> = facts.destinations.iter().map(|destination| &destination.name).collect();
        self.sources.retain(|name, _| sources.contains(name));
        self.destinations.retain(|name, _| destinations.contains(name));
        for source in &facts.sources {
            let new = || SourceMemory::new(source, facts, rules, is_first);
            let memory = self.sources.entry(source.name.clone()).or_insert_with(new);
            found.extend(memory.silent(source, facts));
            found.extend(memory.unbelieved(source, facts, rules.bad_signatures));
        }
        for destination in &facts.destinations {
            let new = || DestinationMemory::new(destination, facts, is_first);
            let memory = self.destinations.entry(destination.name.clone()).or_insert_with(new);
            memory.see(destination, facts.now);
            found.extend(memory.failing(destination, facts.now, rules));
            found.extend(memory.overdue(destination, facts.now, rules));
            found.extend(memory.parked(destination, facts.now, rules.deliveries_parked));
        }
        found.extend(expiring(facts, rules));
        found.extend(not_issued(facts, rules));
        found.extend(of_store(&facts.store, rules));
        self.timed(found, facts.now)
    }

    /// Gives each its times.
    fn timed(&mut self, found: Vec<Bad>, now: Timestamp) -> Vec<Finding> {
        let before = std::mem::take(&mut self.held);
        let timed = |Bad { kind, subject, since, begins_at, hold, detail }: Bad| {
            let key = (kind, subject.clone());
            let first = before.get(&key).copied().unwrap_or(now);
            self.held.insert(key, first);
            let begins_at = begins_at.unwrap_or_else(|| first.after(hold));
            Finding { kind, subject, since: since.unwrap_or(first), begins_at, detail }
        };
        found.into_iter().map(timed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::{Backlog, CertificateFacts, DestinationFacts, FailingOrders, HostFacts, SourceFacts, StoreFacts};

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_ms(1_790_000_000_000 + minutes * 60_000)
    }

    fn name(text: &str) -> Name {
        Name::try_new(text).unwrap()
    }

    fn source(expected: u64, last: Option<u64>) -> SourceFacts {
        SourceFacts {
            name: name("s"),
            is_paused: false,
            expect_every: Some(MINUTE * u32::try_from(expected).unwrap()),
            last_event_at: last.map(at),
            requests: 0,
            bad_signatures: 0,
        }
    }

    fn destination() -> DestinationFacts {
        DestinationFacts {
            name: name("d"),
            is_paused: false,
            last_success_at: None,
            last_failure_at: None,
            last_error: Some("answered 503".to_owned()),
            is_cut_off: false,
            backlog: Some(Backlog { pending: 1, ..Backlog::default() }),
        }
    }

    /// A relay that started at minute 1000, at another one.
    fn facts(now: u64) -> Facts {
        Facts { now: at(now), started_at: at(1000), ..Facts::default() }
    }

    /// Looks each minute of a range; the first at which an alarm of this kind would begin, and since when it holds.
    fn begins(
        judge: &mut Judge,
        rules: &Rules,
        minutes: std::ops::Range<u64>,
        kind: Kind,
        mut facts: impl FnMut(u64) -> Facts,
    ) -> Option<(u64, Timestamp)> {
        let mut first = None;
        for minute in minutes {
            let found = judge.look(&facts(minute), rules);
            let begun = found.into_iter().find(|f| f.kind == kind && f.begins_at <= at(minute));
            first = first.or(begun.map(|finding| (minute, finding.since)));
        }
        first
    }

    fn silent(expected: u64, last: Option<u64>, heard_before: Option<u64>) -> Option<(u64, Timestamp)> {
        begins(&mut Judge::default(), &Rules::default(), 1000..1200, Kind::SourceSilent, |now| Facts {
            sources: vec![source(expected, last)],
            heard_before: heard_before.map(at),
            ..facts(now)
        })
    }

    #[test]
    fn silence_counts_while_the_relay_was_up() {
        assert_eq!(silent(60, None, None), Some((1061, at(1000))), "never an event: from the start on");
        assert_eq!(silent(60, Some(1010), None), Some((1071, at(1010))));
        assert_eq!(silent(60, Some(100), Some(100)), Some((1061, at(100))), "the relay was down for long");
        assert_eq!(silent(60, Some(940), Some(990)), Some((1011, at(940))), "of an hour, 50 minutes were before the start");
        assert_eq!(
            silent(60, Some(100), Some(990)),
            Some((1005, at(100))),
            "it was silent before, and has a moment after the start"
        );
        assert_eq!(silent(2, Some(100), Some(990)), Some((1002, at(100))));
        assert_eq!(silent(300, Some(990), Some(990)), None);
    }

    #[test]
    fn a_paused_source_is_not_silent_and_begins_anew() {
        let found = begins(&mut Judge::default(), &Rules::default(), 1000..1300, Kind::SourceSilent, |now| Facts {
            sources: vec![SourceFacts { is_paused: (1010..1200).contains(&now), ..source(60, None) }],
            ..facts(now)
        });
        assert_eq!(found, Some((1260, at(1199))));
    }

    #[test]
    fn a_burst_is_many_and_a_part_of_all() {
        let burst = |bad: u64, all: u64| {
            let looked = begins(&mut Judge::default(), &Rules::default(), 1000..1100, Kind::BadSignatures, |now| {
                let minutes = now - 1000;
                let source = SourceFacts { requests: all * minutes, bad_signatures: bad * minutes, ..source(6000, None) };
                Facts { sources: vec![source], ..facts(now) }
            });
            looked.map(|(minute, _)| minute)
        };
        assert_eq!(burst(1, 1), None, "10 in 10 minutes");
        assert_eq!(burst(2, 2), Some(1010));
        assert_eq!(burst(20, 20), Some(1001));
        assert_eq!(burst(20, 100), Some(1001));
        assert_eq!(burst(20, 101), None);
        let mut judge = Judge::default();
        let found = begins(&mut judge, &Rules::default(), 2000..2100, Kind::BadSignatures, |now| {
            let source = SourceFacts { requests: 500, bad_signatures: 500, ..source(6000, None) };
            Facts { sources: vec![source], ..facts(now) }
        });
        assert_eq!(found, None, "what happened before anybody looked is not within the window");
    }

    #[test]
    fn a_destination_fails_while_nothing_succeeds() {
        let failing = |change: &dyn Fn(u64, &mut DestinationFacts)| {
            begins(&mut Judge::default(), &Rules::default(), 1000..1100, Kind::DestinationFailing, |now| {
                let mut destination = destination();
                change(now, &mut destination);
                Facts { destinations: vec![destination], ..facts(now) }
            })
        };
        assert_eq!(failing(&|_, _| ()), None, "no failure");
        assert_eq!(failing(&|now, d| d.last_failure_at = Some(at(now))), Some((1011, at(1001))));
        assert_eq!(failing(&|_, d| d.last_failure_at = Some(at(1001))), Some((1011, at(1001))), "it waits for its next try");
        let parked = |_: u64, d: &mut DestinationFacts| {
            (d.last_failure_at, d.backlog) = (Some(at(1001)), Some(Backlog { parked: 1, ..Backlog::default() }));
        };
        assert_eq!(failing(&parked), None, "one was refused, and that is all");
        let flaps = |now: u64, d: &mut DestinationFacts| {
            (d.last_failure_at, d.last_success_at) = (Some(at(now)), Some(at(now - now % 5)));
        };
        assert_eq!(failing(&flaps), None);
        assert_eq!(failing(&|_, d| d.is_cut_off = true), Some((1005, at(1000))));
        let paused = |now: u64, d: &mut DestinationFacts| {
            (d.is_paused, d.is_cut_off, d.last_failure_at) = (now < 1050, true, Some(at(now)));
        };
        assert_eq!(failing(&paused), Some((1055, at(1050))));
        let unknown = |now: u64, d: &mut DestinationFacts| {
            (d.last_failure_at, d.backlog) = (Some(at(1001)), d.backlog.filter(|_| now < 1005));
        };
        assert_eq!(failing(&unknown), Some((1011, at(1001))), "a store that cannot tell does not end it");
    }

    #[test]
    fn what_is_due_before_the_start_counts_from_the_start() {
        let overdue = |due: u64, is_paused: &dyn Fn(u64) -> bool| {
            begins(&mut Judge::default(), &Rules::default(), 1000..1100, Kind::DeliveriesOverdue, |now| {
                let backlog = Some(Backlog { pending: 3, parked: 0, oldest_due_at: Some(at(due)) });
                Facts {
                    destinations: vec![DestinationFacts { backlog, is_paused: is_paused(now), ..destination() }],
                    ..facts(now)
                }
            })
        };
        assert_eq!(overdue(10, &|_| false), Some((1017, at(10))));
        assert_eq!(overdue(1020, &|_| false), Some((1037, at(1020))));
        assert_eq!(overdue(10, &|now| now < 1040), Some((1056, at(10))));
        assert_eq!(overdue(1090, &|_| false), None);
    }

    #[test]
    fn parked_deliveries_count_as_they_become_more() {
        let parked = |count: &dyn Fn(u64) -> u64| {
            let found = begins(&mut Judge::default(), &Rules::default(), 1000..1200, Kind::DeliveriesParked, |now| {
                let backlog = Some(Backlog { parked: count(now - 1000), ..Backlog::default() });
                Facts { destinations: vec![DestinationFacts { backlog, ..destination() }], ..facts(now) }
            });
            found.map(|(minute, _)| minute - 1000)
        };
        assert_eq!(parked(&|_| 1000), None, "they were there before");
        assert_eq!(parked(&|minute| minute / 10), None, "six in an hour");
        assert_eq!(parked(&|minute| minute / 5), Some(50));
        assert_eq!(parked(&|minute| if minute < 20 { 1000 } else { minute }), Some(30), "people settled them, and more came");
    }

    #[test]
    fn the_store_and_its_disk_are_judged() {
        let kinds = |store: StoreFacts, rules: &Rules| {
            let mut judge = Judge::default();
            judge.look(&Facts { store: store.clone(), ..facts(1000) }, rules);
            let found = judge.look(&Facts { store, ..facts(1001) }, rules);
            found.into_iter().filter(|f| f.begins_at <= at(1001)).map(|f| f.kind).collect::<Vec<_>>()
        };
        let default = Rules::default();
        let [kept, free] = [
            |kept| StoreFacts { kept_bytes: kept, bytes_max: Some(100), ..StoreFacts::default() },
            |free| StoreFacts { disk: Some((free, 100 << 30)), ..StoreFacts::default() },
        ];
        assert_eq!((kinds(kept(79), &default), kinds(kept(80), &default)), (vec![], vec![Kind::QuotaNear]));
        assert_eq!((kinds(free(1 << 30), &default), kinds(free(1 << 29), &default)), (vec![], vec![Kind::DiskNearlyFull]));
        let small = StoreFacts { disk: Some((300 << 20, 1 << 30)), ..StoreFacts::default() };
        assert_eq!(kinds(small, &default), []);
        let bad = StoreFacts { not_ready: Some("why".to_owned()), damaged: 1, ..StoreFacts::default() };
        assert_eq!(kinds(bad.clone(), &default), [Kind::StoreNotReady, Kind::StoreDamaged]);
        let off = Rules { store_not_ready: None, store_damaged: None, ..Rules::default() };
        assert_eq!(kinds(bad, &off), []);
    }

    #[test]
    fn each_certificate_ends_by_itself() {
        let certificate = |file: &str, day: u64| CertificateFacts { file: file.into(), ends_at: at(1000 + day * 24 * 60) };
        let facts =
            |now| Facts { certificates: vec![certificate("a", 13), certificate("b", 15), certificate("c", 0)], ..facts(now) };
        let mut judge = Judge::default();
        let found = judge.look(&facts(1001), &Rules::default());
        let shown: Vec<_> = found.iter().map(|f| (f.subject.to_string(), f.detail.as_str())).collect();
        assert_eq!(shown[0].0, "a");
        assert!(shown[0].1.starts_with("it ends in 12d 23h, at 20"), "{shown:?}");
        assert!(shown[1].1.starts_with("it ended, at 20") && shown.len() == 2, "{shown:?}");
    }

    #[test]
    fn a_host_without_a_certificate_is_told_soon_and_one_that_gets_no_new_one_later() {
        let rules = Rules::default();
        let with = |rules: &Rules, ends: Option<u64>, failing: Option<u64>| {
            let host = HostFacts { host: "a.example".into(), wanted_since: at(1000), ends_at: ends.map(at), failing: None };
            let failing = failing.map(|since| FailingOrders { since: at(since), tries: 3, error: "why".to_owned() });
            begins(&mut Judge::default(), rules, 1000..1400, Kind::CertificateNotIssued, |now| {
                let failing = failing.clone().filter(|failing| failing.since <= at(now));
                Facts { hosts: vec![HostFacts { failing, ..host.clone() }], ..facts(now) }
            })
        };
        assert_eq!(with(&rules, Some(9000), None), None, "it has one");
        assert_eq!(with(&rules, None, None), Some((1005, at(1000))));
        assert_eq!(with(&rules, None, Some(1003)), Some((1005, at(1000))), "what the CA says changes nothing");
        assert_eq!(with(&rules, Some(9000), Some(1010)), Some((1130, at(1010))));
        assert_eq!(with(&rules, Some(1050), Some(1010)), Some((1055, at(1050))), "it ended meanwhile");
        assert_eq!(with(&rules, Some(500), None), Some((1005, at(500))), "it ended while the relay was down");
        let soon = Rules { certificate_not_issued: Some(MINUTE), ..Rules::default() };
        assert_eq!(with(&soon, None, None), Some((1001, at(1000))));
        assert_eq!(with(&Rules { certificate_not_issued: None, ..rules }, None, None), None);
    }

    #[test]
    fn a_host_that_gets_none_is_told_with_what_the_ca_says() {
        let failing = |tries| Some(FailingOrders { since: at(1000), tries, error: "rate\nlimited".to_owned() });
        let said = |ends_at: Option<u64>, failing| {
            let hosts = vec![HostFacts { host: "a.example".into(), wanted_since: at(900), ends_at: ends_at.map(at), failing }];
            let found = Judge::default().look(&Facts { hosts, ..facts(1010) }, &Rules::default());
            (found[0].subject.to_string(), found[0].detail.clone())
        };
        let host = "a.example".to_owned();
        let none = "none is shown; the CA was asked and has not answered yet".to_owned();
        assert_eq!(said(None, None), (host.clone(), none));
        assert_eq!(said(None, failing(1)).1, "none is shown; 1 try failed in a row, the last one: rate limited");
        let soon =
            format!("the one that is shown ends in 10m, at {}; 2 tries failed in a row, the last one: rate limited", at(1020));
        assert_eq!(said(Some(1020), failing(2)), (host, soon));
        let ended = said(Some(1009), failing(2)).1;
        assert!(ended.starts_with(&format!("the one that is shown ended, at {}; 2 tries", at(1009))), "{ended}");
    }

    #[test]
    fn what_is_not_configured_any_more_is_forgotten() {
        let mut judge = Judge::default();
        judge
            .look(&Facts { sources: vec![source(1, None)], destinations: vec![destination()], ..facts(1000) }, &Rules::default());
        assert_eq!(judge.look(&facts(1010), &Rules::default()), []);
        assert!(judge.sources.is_empty() && judge.destinations.is_empty() && judge.held.is_empty());
    }
}
