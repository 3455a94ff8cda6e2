//! Numbers as they are written, compared exactly: no digit of a large integer or of a decimal is lost.

use std::cmp::Ordering;

/// A number: `0.DIGITS` times ten to `exponent`. Equal numbers have equal parts, however they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    is_negative: bool,
    /// ASCII, without zeros at either end; empty for zero.
    digits: Vec<u8>,
    exponent: i64,
}

/// Of a rule's number. Beyond it exponents of requests may be taken for the nearest that can be counted, which is still further away.
const EXPONENT_MAX: i64 = 1000;

impl Number {
    /// From JSON's text of a number (RFC 8259, section 6).
    pub fn from_json(text: &str) -> Option<Self> {
        let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, power(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let is_number = is_digits(whole) && is_digits(fraction) && (whole == "0" || !whole.starts_with('0'));
        if whole.is_empty() || !is_number {
            return None;
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let Some(first) = all.iter().position(|&digit| digit != b'0') else { return Some(Self::zero()) };
        let last = all.iter().rposition(|&digit| digit != b'0').unwrap_or(first);
        let shift = whole.len() as i64 - first as i64;
        Some(Self { is_negative, digits: all[first..=last].to_vec(), exponent: exponent.saturating_add(shift) })
    }

    /// The same where it is near enough to be a rule's.
    pub fn of_rule(self) -> Option<Self> {
        (-EXPONENT_MAX..=EXPONENT_MAX).contains(&self.exponent).then_some(self)
    }

    fn zero() -> Self {
        Self { is_negative: false, digits: Vec::new(), exponent: 0 }
    }

    /// -1, 0 or 1.
    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = || self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
        self.sign().cmp(&other.sign()).then_with(|| if self.is_negative { size().reverse() } else { size() })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What stands behind an `e`; at the end of the range where it is beyond.
fn power(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX);
    Some(if is_negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::from_json(text).unwrap_or_else(|| panic!("{text} is no number"))
    }

    #[test]
    fn one_number_can_be_written_in_several_ways() {
        for same in
            [&["100", "1e2", "100.0", "1.00E+2", "1000e-1"][..], &["0", "-0", "0.000", "0e9", "-0.0e-9"], &["-0.05", "-5e-2"]]
        {
            same.iter().for_each(|text| assert_eq!(number(text), number(same[0]), "{text}"));
        }
    }

    #[test]
    fn no_digit_is_lost() {
        let rising = [
            "-1e99999999999999999999",
            "-9007199254740993",
            "-9007199254740992",
            "-0.2",
            "-0.10000000000000000000001",
            "-0.1",
            "-1e-99999999999999999999",
            "0",
            "1e-99999999999999999999",
            "0.1",
            "0.10000000000000000000001",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "1e400",
            "1e99999999999999999999",
        ];
        for pair in rising.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "1e1.5", "0x1", "1_000", "inf", "NaN", " 1", "--1", "1-", "٣"]
        {
            assert_eq!(Number::from_json(text), None, "{text}");
        }
        assert!(number("1e400").of_rule().is_some() && number("1e2000").of_rule().is_none());
    }

    proptest! {
        #[test]
        fn integers_are_ordered_as_integers(a: i128, b: i128) {
            prop_assert_eq!(number(&a.to_string()).cmp(&number(&b.to_string())), a.cmp(&b));
        }

        #[test]
        fn decimals_are_ordered_as_hundredths(a in -100_000i64..100_000, b in -100_000i64..100_000, zeros in 0usize..4) {
            let written = |n: i64| {
                let sign = if n < 0 { "-" } else { "" };
                format!("{sign}{}.{:02}{}", n.abs() / 100, n.abs() % 100, "0".repeat(zeros))
            };
            prop_assert_eq!(number(&written(a)).cmp(&number(&format!("{b}e-2"))), a.cmp(&b));
        }

        #[test]
        fn what_serde_takes_for_a_number_is_one(text in "-?[0-9]{0,3}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?") {
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(Number::from_json(&text).is_some(), is_json);
        }
    }
}
