//! Whether something is wrong with the relay as a whole: its certificates, its store, its disk.

use std::time::Duration;

use super::Bad;
use crate::alarm::words::{in_mib, in_words, short};
use crate::alarm::{Facts, HostFacts, Kind, Rules, StoreFacts, Subject};
use crate::time::Timestamp;

/// Of a small disk one part of so many is enough.
const DISK_PART: u64 = 4;
/// Without a certificate senders are turned away: an order takes seconds, and this is longer than the first two tries.
const WITHOUT_MAX: Duration = Duration::from_secs(5 * 60);

pub(super) fn expiring(facts: &Facts, rules: &Rules) -> Vec<Bad> {
    let Some(within) = rules.certificate_expiring else { return Vec::new() };
    let soon = facts.certificates.iter().filter(|certificate| certificate.ends_at < facts.now.after(within));
    let bad = soon.map(|certificate| {
        let left = certificate.ends_at.since(facts.now);
        let ends = if left.is_zero() { "it ended".to_owned() } else { format!("it ends in {}", in_words(left)) };
        Bad {
            kind: Kind::CertificateExpiring,
            subject: Subject::Certificate(certificate.file.clone()),
            since: Some(certificate.ends_at.before(within)),
            begins_at: None,
            hold: rules.damping.begin_after,
            detail: format!("{ends}, at {}", certificate.ends_at),
        }
    });
    bad.collect()
}

/// Hosts without a certificate that counts, and those that get no new one.
pub(super) fn not_issued(facts: &Facts, rules: &Rules) -> Vec<Bad> {
    let Some(hold) = rules.certificate_not_issued else { return Vec::new() };
    let bad = |host: &HostFacts| {
        let ended = host.ends_at.filter(|ends_at| *ends_at <= facts.now);
        let (since, begins_at, what) = match (host.ends_at, ended, &host.failing) {
            (None, ..) => {
                let since = host.wanted_since;
                (since, since.after(hold.min(WITHOUT_MAX)), "none is shown".to_owned())
            }
            (_, Some(ended), _) => {
                // One that ended while the relay was down is asked for at its start.
                let begins_at = ended.max(host.wanted_since).after(hold.min(WITHOUT_MAX));
                (ended, begins_at, format!("the one that is shown ended, at {ended}"))
            }
            (Some(ends_at), None, Some(failing)) => (failing.since, failing.since.after(hold), until(ends_at, facts.now)),
            (Some(_), None, None) => return None,
        };
        let tries = match &host.failing {
            Some(failing) => format!("{} failed in a row, the last one: {}", tries(failing.tries), short(&failing.error)),
            None => "the CA was asked and has not answered yet".to_owned(),
        };
        let (kind, subject) = (Kind::CertificateNotIssued, Subject::Host(host.host.clone()));
        Some(Bad { kind, subject, since: Some(since), begins_at: Some(begins_at), hold, detail: format!("{what}; {tries}") })
    };
    facts.hosts.iter().filter_map(bad).collect()
}

fn until(ends_at: Timestamp, now: Timestamp) -> String {
    format!("the one that is shown ends in {}, at {ends_at}", in_words(ends_at.since(now)))
}

fn tries(count: u32) -> String {
    if count == 1 { "1 try".to_owned() } else { format!("{count} tries") }
}

pub(super) fn of_store(store: &StoreFacts, rules: &Rules) -> Vec<Bad> {
    let mut found = Vec::new();
    let mut note = |kind, hold, detail| {
        found.push(Bad { kind, subject: Subject::Store, since: None, begins_at: None, hold, detail });
    };
    if let (Some(hold), Some(why)) = (rules.store_not_ready, &store.not_ready) {
        note(Kind::StoreNotReady, hold, short(why));
    }
    if rules.store_damaged.is_some_and(|count| store.damaged >= count) {
        note(Kind::StoreDamaged, Duration::ZERO, format!("{} since the start", store.damaged));
    }
    let hold = rules.damping.begin_after;
    if let (Some(part), Some(max)) = (rules.quota_near, store.bytes_max)
        && store.kept_bytes as f64 >= part * max as f64
    {
        let (kept, max) = (in_mib(store.kept_bytes), in_mib(max));
        note(Kind::QuotaNear, hold, format!("events that must be kept take {kept} of {max}"));
    }
    if let (Some(least), Some((free, total))) = (rules.disk_nearly_full, store.disk)
        && free < least.min(total / DISK_PART)
    {
        note(Kind::DiskNearlyFull, hold, format!("{} are free", in_mib(free)));
    }
    found
}
