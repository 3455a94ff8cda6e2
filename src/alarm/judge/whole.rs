//! Whether something is wrong with the relay as a whole: its certificates, its store, its disk.

use std::time::Duration;

use super::Bad;
use crate::alarm::words::{in_mib, in_words, short};
use crate::alarm::{Facts, Kind, Rules, StoreFacts, Subject};

/// Of a small disk one part of so many is enough.
const DISK_PART: u64 = 4;

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
