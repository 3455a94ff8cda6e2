//! A line of the log: one JSON object, whose last member is the checksum of what stands before it.

use serde::{Deserialize, Serialize};

use super::{Audited, Outcome};
use crate::record::EventId;
use crate::time::Timestamp;

/// The longest line: what a call may say is shorter.
pub(super) const LINE_BYTES_MAX: usize = 128 * 1024;
/// Before the checksum.
const CHECKSUM: &str = ",\"crc\":\"";

/// What a line says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// What came of an entry.
    End {
        /// The entry.
        of: EventId,
        /// When it was over.
        at: Timestamp,
        #[serde(flatten)]
        outcome: Outcome,
    },
    Entry(Audited),
}

impl Line {
    /// As it is written, with its line end.
    pub(super) fn written(&self) -> String {
        let text = text(self);
        match (text.len() > LINE_BYTES_MAX, self) {
            (true, Self::Entry(entry)) => {
                // It is better to know less of it than nothing.
                let mut short = entry.clone();
                short.deed.parameters = Some(serde_json::json!({ "too_long": true }));
                sealed(&self::text(&Self::Entry(short)))
            }
            _ => sealed(&text),
        }
    }

    /// Reads a line without its end; `None` where it is not as it was written.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (text, checksum) = line.rsplit_once(CHECKSUM)?;
        (checksum.strip_suffix("\"}")? == checksum_of(text)).then_some(())?;
        serde_json::from_str(&format!("{text}}}")).ok()
    }
}

/// Texts, numbers and times: writing them as JSON cannot fail.
fn text(line: &Line) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

fn sealed(text: &str) -> String {
    let open = text.strip_suffix('}').unwrap_or(text);
    format!("{open}{CHECKSUM}{}\"}}\n", checksum_of(open))
}

fn checksum_of(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventIds;
    use crate::store::audit::Deed;

    #[test]
    fn a_line_is_read_as_it_was_written_or_not_at_all() {
        let now = Timestamp::from_ms(1_790_000_000_000);
        let id = EventIds::default().next(now, 7);
        let deed = Deed {
            who: Some("ops".into()),
            role: Some("operator".into()),
            peer: Some([127, 0, 0, 1].into()),
            action: "replays.create".into(),
            target: None,
            parameters: Some(serde_json::json!({"filter": {"type": "a\",\"crc\":\"b"}})),
        };
        let outcome = Outcome { status: 202, detail: Some("3 of\nthem".into()) };
        let entry = Audited { id, at: now, deed, outcome: None, count: 1 };
        let counted = Audited { outcome: Some(outcome.clone()), count: 9, ..entry.clone() };
        for line in [Line::Entry(entry), Line::Entry(counted), Line::End { of: id, at: now, outcome }] {
            let written = line.written();
            let (text, end) = written.split_at(written.len() - 1);
            assert!(end == "\n" && !text.contains('\n'), "{written}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
            assert_eq!(Line::read(text), Some(line));
            for cut in 0..text.len() {
                assert_eq!(Line::read(&text[..cut]), None, "{cut}");
            }
            assert_eq!(Line::read(&text.replacen("2026", "2027", 1)), None);
        }
    }

    #[test]
    fn what_is_too_long_is_known_without_its_words() {
        let now = Timestamp::from_ms(1);
        let deed = Deed { parameters: Some("x".repeat(LINE_BYTES_MAX).into()), ..Deed::default() };
        let line =
            Line::Entry(Audited { id: EventIds::default().next(now, 7), at: now, deed, outcome: None, count: 1 }).written();
        assert!(line.len() < 500 && line.contains("too_long"), "{line}");
    }
}
