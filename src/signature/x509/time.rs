//! The times of a certificate (RFC 5280, section 4.1.2.5): UTC, to the second, nothing else.

use crate::signature::public_key::der::Reader;
use crate::time::Timestamp;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first and the last second of a `Validity`, since the epoch.
pub(super) fn validity(mut times: Reader<'_>) -> Option<(i64, i64)> {
    let valid = (second(&mut times)?, second(&mut times)?);
    times.is_empty().then_some(valid)
}

fn second(times: &mut Reader<'_>) -> Option<i64> {
    let (tag, content) = times.next()?;
    let text = std::str::from_utf8(content).ok()?;
    let digits = text.strip_suffix('Z').filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    let whole = match (tag, digits.len()) {
        // Two digits of a year: 1950 to 2049.
        (UTC_TIME, 12) => format!("{}{digits}", if &digits[..2] < "50" { "20" } else { "19" }),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| &whole[from..to];
    let zoned = format!("{}-{}-{}T{}:{}:{}Z", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 14));
    match &whole[..4] {
        // What was before the epoch is long over in any case.
        year if year < "1970" => Some(0),
        // It has no end (RFC 5280, section 4.1.2.5).
        "9999" => Some(i64::MAX),
        _ => i64::try_from(Timestamp::parse(&zoned)?.seconds()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::public_key::der;

    fn read(tag: u8, text: &str) -> Option<i64> {
        second(&mut Reader::new(&der::write(tag, text.as_bytes())))
    }

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        assert_eq!(read(UTC_TIME, "260101000000Z"), Some(1_767_225_600));
        assert_eq!(read(GENERALIZED_TIME, "20260101000000Z"), Some(1_767_225_600));
        assert_eq!(read(UTC_TIME, "500101000000Z"), Some(0));
        assert_eq!(read(GENERALIZED_TIME, "99991231235959Z"), Some(i64::MAX));
        for bad in ["", "Z", "260101000000", "2601010000Z", "260101000000+0100", "261301000000Z", "2601010000é0Z"] {
            assert_eq!(read(UTC_TIME, bad), None, "{bad}");
        }
        assert_eq!(read(GENERALIZED_TIME, "260101000000Z"), None);
    }
}
