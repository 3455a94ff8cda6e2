//! What a reflected value may look like: a small part of regular expressions, always for the whole value.
//!
//! There is no `.`, no negation and no alternative, on purpose: where an answer is a keyed hash of the value, the pattern is what
//! keeps strangers from having a forged body signed. What it lets through can be read off at a glance.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Characters of a pattern: provider's tokens need a tenth of it.
const PATTERN_CHARS_MAX: usize = 256;
/// The largest number in braces.
const REPEATS_MAX: usize = 4096;
/// What `\d` and `\w` stand for.
const DIGIT: &[(char, char)] = &[('0', '9')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// A pattern, proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    written: String,
    parts: Vec<Part>,
}

/// The characters of a class, first and last of each run.
type Ranges = Vec<(char, char)>;

/// One class of characters, and how often it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    ranges: Ranges,
    at_least: usize,
    at_most: usize,
}

/// Text that is no pattern.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pattern is made of characters and classes such as [A-Za-z0-9_-], \\d or \\w, each with {{4}}, {{1,64}}, ?, * or + behind it"
)]
pub(super) struct BadPattern;

impl Pattern {
    fn parse(text: &str) -> Result<Self, BadPattern> {
        if text.chars().count() > PATTERN_CHARS_MAX {
            return Err(BadPattern);
        }
        let inner = text.strip_prefix('^').unwrap_or(text);
        let ends = inner.ends_with('$') && !inner.ends_with("\\$");
        let inner = if ends { &inner[..inner.len() - 1] } else { inner };
        let mut rest = inner;
        let mut parts = Vec::new();
        while let Some(first) = rest.chars().next() {
            let ranges;
            (ranges, rest) = match first {
                '[' => class(&rest[1..])?,
                '\\' => escaped(&rest[1..])?,
                '.' | '(' | ')' | '|' | '{' | '}' | '?' | '*' | '+' | '^' | '$' | ']' => return Err(BadPattern),
                c => (vec![(c, c)], &rest[c.len_utf8()..]),
            };
            let at_least;
            let at_most;
            (at_least, at_most, rest) = repeats(rest)?;
            parts.push(Part { ranges, at_least, at_most });
        }
        if parts.is_empty() { Err(BadPattern) } else { Ok(Self { written: text.to_owned(), parts }) }
    }

    /// Whether the whole value is such. It takes as many steps as the product of both lengths.
    pub(super) fn holds(&self, value: &str) -> bool {
        let chars: Vec<char> = value.chars().collect();
        // reached[i]: what came so far can end before the character i.
        let mut reached = vec![false; chars.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            reached = part.advance(&chars, &reached);
        }
        reached[chars.len()]
    }

    /// Whether only letters, digits, `-`, `_` and `.` are let through: no body that says something is made of these alone, be it
    /// JSON, a form, or base64 with a line's end.
    pub(super) fn is_narrow(&self) -> bool {
        let harmless =
            |&(from, to): &(char, char)| (from..=to).all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        self.parts.iter().all(|part| part.ranges.iter().all(|range| range.1.is_ascii() && harmless(range)))
    }
}

impl Part {
    fn advance(&self, chars: &[char], before: &[bool]) -> Vec<bool> {
        let mut after = vec![false; before.len()];
        // How many of the places before each one were reached, so that a range of them costs one step.
        let mut sums = vec![0usize; before.len() + 1];
        for (i, reached) in before.iter().enumerate() {
            sums[i + 1] = sums[i] + usize::from(*reached);
        }
        // How many characters of the class stand right before each place.
        let mut run = 0;
        for end in 0..before.len() {
            run = match end.checked_sub(1).map(|last| chars[last]) {
                Some(c) if self.ranges.iter().any(|&(from, to)| (from..=to).contains(&c)) => run + 1,
                _ => 0,
            };
            let (fewest, most) = (self.at_least, self.at_most.min(run));
            after[end] = fewest <= most && sums[end - fewest + 1] > sums[end - most];
        }
        after
    }
}

/// What stands behind a `[`.
fn class(text: &str) -> Result<(Ranges, &str), BadPattern> {
    let end = text.find(']').ok_or(BadPattern)?;
    let mut ranges = Vec::new();
    let mut inner = text[..end].chars().peekable();
    if inner.peek() == Some(&'^') {
        return Err(BadPattern);
    }
    while let Some(from) = inner.next() {
        if from == '\\' || from == '[' {
            return Err(BadPattern);
        }
        let mut ahead = inner.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) => {
                inner = ahead;
                ranges.push((from, to));
            }
            _ => ranges.push((from, from)),
        }
    }
    let good = !ranges.is_empty() && ranges.iter().all(|(from, to)| from <= to);
    if good { Ok((ranges, &text[end + 1..])) } else { Err(BadPattern) }
}

/// What stands behind a `\`.
fn escaped(text: &str) -> Result<(Ranges, &str), BadPattern> {
    let c = text.chars().next().ok_or(BadPattern)?;
    let ranges = match c {
        'd' => DIGIT.to_vec(),
        'w' => WORD.to_vec(),
        c if c.is_ascii_punctuation() => vec![(c, c)],
        _ => return Err(BadPattern),
    };
    Ok((ranges, &text[c.len_utf8()..]))
}

/// How often, and what follows.
fn repeats(text: &str) -> Result<(usize, usize, &str), BadPattern> {
    let (at_least, at_most, rest) = match text.chars().next() {
        Some('?') => (0, 1, &text[1..]),
        Some('*') => (0, REPEATS_MAX, &text[1..]),
        Some('+') => (1, REPEATS_MAX, &text[1..]),
        Some('{') => {
            let (inner, rest) = text[1..].split_once('}').ok_or(BadPattern)?;
            let (from, to) = inner.split_once(',').unwrap_or((inner, inner));
            let number = |text: &str| text.parse::<usize>().map_err(|_| BadPattern);
            (number(from)?, if to.is_empty() { REPEATS_MAX } else { number(to)? }, rest)
        }
        _ => (1, 1, text),
    };
    if at_least <= at_most && at_most <= REPEATS_MAX && at_most > 0 { Ok((at_least, at_most, rest)) } else { Err(BadPattern) }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holds(pattern: &str, value: &str) -> bool {
        Pattern::parse(pattern).unwrap().holds(value)
    }

    #[test]
    fn the_whole_value_counts() {
        let uuid = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";
        assert!(holds(uuid, "890e4665-4dfe-4ab1-b689-ed553bceeed0"));
        for bad in ["890e4665-4dfe-1ab1-b689-ed553bceeed0", "890e4665-4dfe-4ab1-b689-ed553bceeed00", "", "{}"] {
            assert!(!holds(uuid, bad), "{bad}");
        }
        assert!(holds("[A-Za-z0-9_-]{1,4}", "a_-Z") && !holds("[A-Za-z0-9_-]{1,4}", "a_-Zx"));
        assert!(!holds("[a-z]{1,4}", "a\n") && !holds("[a-z]{1,4}", "\na") && !holds("[a-z]{1,4}", "é"));
        assert!(holds("a?[ab]{2}b*", "ab") && holds("a?[ab]{2}b*", "aabbbb") && !holds("a?[ab]{2}b*", "b"));
        assert!(holds(r"\d+\.\w", "12._") && !holds(r"\d+\.\w", "12x_"));
        assert!(holds("x\\$", "x$"));
    }

    #[test]
    fn what_could_let_anything_through_is_no_pattern() {
        for bad in [
            "", "^$", ".*", "a|b", "[^a]", "(a)", "[a", "[]", "[z-a]", "a{2,1}", "a{5000}", "a{0}", "a{", "*", "a**", r"\s",
            "[\\d]",
        ] {
            assert_eq!(Pattern::parse(bad), Err(BadPattern), "{bad}");
        }
        assert_eq!(Pattern::parse(&"a".repeat(257)), Err(BadPattern));
    }

    #[test]
    fn only_what_no_body_is_made_of_is_narrow() {
        let narrow = |text: &str| Pattern::parse(text).unwrap().is_narrow();
        assert!(narrow("[A-Za-z0-9_-]{1,64}") && narrow("[0-9a-f]{8}-4"));
        for wide in ["[ -~]+", "[A-Za-z0-9:]+", "[a-z{]", "[a-zé]", "v0:", "[+-}]", "[A-Za-z0-9+/]+"] {
            assert!(!narrow(wide), "{wide}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_not(text: String, value: String) {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.holds(&value);
            }
        }
    }
}
