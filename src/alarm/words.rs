//! What people are told: what is wrong, how much, since when, and what to do next. Names and numbers only.

use std::fmt::Write;
use std::time::Duration;

use super::{Alarm, Kind, Notice, Subject, Word};

/// An error's words that a message has room for.
const ERROR_CHARS_MAX: usize = 200;

impl Kind {
    /// What is wrong, as a sentence without its end.
    pub fn sentence(self, subject: &Subject) -> String {
        match self {
            Self::SourceSilent => format!("source {subject} is silent"),
            Self::BadSignatures => format!("source {subject} gets requests that cannot be verified"),
            Self::DestinationFailing => format!("destination {subject} is failing"),
            Self::DeliveriesOverdue => format!("deliveries to {subject} are overdue"),
            Self::DeliveriesParked => format!("deliveries to {subject} are being parked"),
            Self::QuotaNear => "the store has nearly used up store.max_bytes".to_owned(),
            Self::DiskNearlyFull => "the store's disk is nearly full".to_owned(),
            Self::CertificateExpiring => format!("certificate {subject} ends soon"),
            Self::CertificateNotIssued => format!("host {subject} gets no certificate"),
            Self::StoreNotReady => "the relay accepts nothing new".to_owned(),
            Self::StoreDamaged => "records of the store cannot be read".to_owned(),
        }
    }

    /// What to do next.
    pub fn advice(self, subject: &Subject) -> String {
        match self {
            Self::SourceSilent => format!(
                "See what the provider's own log says of its deliveries, and `hookhold events list --source {subject}`; \
                 `hookhold send {subject}` tries the way in."
            ),
            Self::BadSignatures => format!(
                "`hookhold quarantine list --source {subject}` says why. If the secret changed: correct it, `hookhold reload`, \
                 then `hookhold quarantine release --source {subject}`."
            ),
            Self::DestinationFailing => {
                "Nothing is lost: deliveries wait and are tried again. `hookhold destinations` and `hookhold status` show more."
                    .to_owned()
            }
            Self::DeliveriesOverdue => {
                "`hookhold destinations` shows what waits; look at in_flight, per_second, and at how long \
                 the application takes."
                    .to_owned()
            }
            Self::DeliveriesParked => format!(
                "`hookhold events list --state parked --destination {subject}` shows them, `hookhold retry DELIVERY` or \
                 `hookhold replay --state parked --destination {subject}` sends them again."
            ),
            Self::QuotaNear => {
                "What is pending or parked is never removed to make room. `hookhold status` shows it: deliver, cancel, \
                 shorten store.retention, or raise store.max_bytes."
                    .to_owned()
            }
            Self::DiskNearlyFull => {
                "Make room on the disk, or shorten store.retention. New events are refused before it is full. `hookhold status` \
                 shows it."
                    .to_owned()
            }
            Self::CertificateExpiring => {
                "Renew it; its files are read again by themselves. `hookhold check` proves them.".to_owned()
            }
            Self::CertificateNotIssued => {
                "The relay's log has every try. See whether the name leads here and the CA reaches the port of its challenge; \
                 `hookhold reload` tries again at once."
                    .to_owned()
            }
            Self::StoreNotReady => {
                "Providers hear 503 and come again later. `hookhold status` and the relay's log say why.".to_owned()
            }
            Self::StoreDamaged => "Take a backup (`hookhold backup`), then stop the relay and run `hookhold doctor`.".to_owned(),
        }
    }
}

impl Notice {
    /// All of it in a line.
    pub fn text(&self) -> String {
        let Alarm { kind, subject, since, detail, .. } = &self.alarm;
        let what = kind.sentence(subject);
        match self.word {
            Word::Began => format!("ALARM: {what}: {detail} (since {since}). {}", kind.advice(subject)),
            Word::Lasts => {
                let lasts = in_words(self.at.since(*since));
                format!("STILL: {what}: {detail} (for {lasts}, since {since}). {}", kind.advice(subject))
            }
            Word::Ended => {
                let lasted = in_words(self.at.since(*since));
                format!("OVER: {what}: no more, at {} after {lasted} (since {since}).", self.at)
            }
        }
    }
}

/// A duration for people: its two largest units.
pub(super) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|(_, length)| seconds >= *length).unwrap_or(3);
    let mut text = String::new();
    let mut rest = seconds;
    for (unit, length) in units.iter().skip(first).take(2) {
        let many = rest / length;
        rest %= length;
        if many > 0 || text.is_empty() {
            // Writing into a String cannot fail.
            let _ = write!(text, "{}{many}{unit}", if text.is_empty() { "" } else { " " });
        }
    }
    text
}

/// Bytes for people.
pub(super) fn in_mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// As much of an error's words as there is room for, on one line.
pub(super) fn short(error: &str) -> String {
    let line: String = error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_CHARS_MAX).collect();
    if error.chars().nth(ERROR_CHARS_MAX).is_some() { format!("{line}...") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let words = |s| in_words(Duration::from_secs(s));
        assert_eq!([0, 59, 60, 3661, 86_400, 200_000].map(words), ["0s", "59s", "1m", "1h 1m", "1d", "2d 7h"]);
    }

    #[test]
    fn an_error_stays_on_one_short_line() {
        assert_eq!(short("a\nb"), "a b");
        assert_eq!(short(&"é".repeat(300)).chars().count(), ERROR_CHARS_MAX + 3);
    }
}
