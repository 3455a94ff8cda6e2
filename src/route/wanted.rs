//! What a condition wants of a value: equal to something, like a pattern, in a range, there or not.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::glob::Glob;
use super::number::Number;

/// Characters of a value that are shown where it does not fit: enough to know it by.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// What is wanted. All its words must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test(Vec<Word>);

/// One wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Is one of these: `equals`, and `in`.
    Equals(Vec<Wanted>),
    /// Is a text that fits one of these.
    Glob(Vec<Glob>),
    /// Is a number that stands so to this one, which was written so.
    Compare(Relation, Number, String),
    /// Anything is there, or nothing.
    Exists(bool),
    /// This does not hold, be it that nothing is there.
    Not(Test),
}

/// How a number stands to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is greater.
    Greater,
    /// It is greater or equal.
    NotLess,
    /// It is less.
    Less,
    /// It is less or equal.
    NotGreater,
}

/// A value of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A text.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A number, and how it was written.
    Number(Number, String),
}

/// A value of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Bytes that can stand for a text, a number or a truth value: a header's, a type.
    Written(&'a [u8]),
    /// A JSON string's content.
    Text(Cow<'a, str>),
    /// A JSON number as it is written.
    Number(&'a str),
    /// `true` or `false` in JSON.
    Bool(bool),
    /// An array or an object as it is written: it is there, and equal to nothing.
    Other(&'a str),
}

impl Test {
    /// With these words, of which there is at least one. `None` where nothing could ever hold: a value is wanted and must not be there.
    pub fn try_new(words: Vec<Word>) -> Option<Self> {
        let wants_one = words.iter().any(|word| word.is_of_value() || *word == Word::Exists(true));
        let contradicts = wants_one && words.contains(&Word::Exists(false));
        (!words.is_empty() && !contradicts).then_some(Self(words))
    }

    /// Whether the values that are there are as wanted. Of several values one must have all that is wanted of a value.
    pub(super) fn holds(&self, values: &[Value<'_>]) -> bool {
        let fits = |value: &Value<'_>| self.0.iter().all(|word| word.fits(value));
        let of_value = self.0.iter().any(Word::is_of_value);
        let others = self.0.iter().all(|word| match word {
            Word::Exists(wanted) => *wanted != values.is_empty(),
            Word::Not(test) => !test.holds(values),
            Word::Equals(_) | Word::Glob(_) | Word::Compare(..) => true,
        });
        others && (!of_value || values.iter().any(fits))
    }
}

impl Word {
    /// Whether it says something of a value that is there.
    fn is_of_value(&self) -> bool {
        matches!(self, Self::Equals(_) | Self::Glob(_) | Self::Compare(..))
    }

    fn fits(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Equals(wanted) => wanted.iter().any(|wanted| wanted.is(value)),
            Self::Glob(globs) => value.text().is_some_and(|text| globs.iter().any(|glob| glob.fits(text))),
            Self::Compare(relation, number, _) => value.number().is_some_and(|value| relation.holds(value.cmp(number))),
            // They are asked of all values together.
            Self::Exists(_) | Self::Not(_) => true,
        }
    }
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::NotLess => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::NotGreater => order.is_le(),
        }
    }

    /// Its word in relay.toml.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greater => "gt",
            Self::NotLess => "ge",
            Self::Less => "lt",
            Self::NotGreater => "le",
        }
    }
}

impl Wanted {
    fn is(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Text(wanted) => value.text().is_some_and(|text| text == wanted.as_bytes()),
            Self::Number(wanted, _) => value.number().is_some_and(|number| number == *wanted),
            Self::Bool(wanted) => match value {
                Value::Bool(truth) => truth == wanted,
                Value::Written(bytes) => *bytes == wanted.to_string().as_bytes(),
                Value::Text(_) | Value::Number(_) | Value::Other(_) => false,
            },
        }
    }
}

impl<'a> Value<'a> {
    /// From JSON text; `None` for `null`, which is as if nothing were there, and for what is no JSON.
    pub(super) fn from_json(text: &'a str) -> Option<Self> {
        Some(match text.as_bytes().first()? {
            b'n' => return None,
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            b'"' => match serde_json::from_str(text) {
                Ok(content) => Self::Text(Cow::Owned(content)),
                // Half a surrogate: a string, but no text.
                Err(_) => Self::Other(text),
            },
            b'-' | b'0'..=b'9' => Self::Number(text),
            _ => Self::Other(text),
        })
    }

    fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Written(bytes) => Some(bytes),
            Self::Text(text) => Some(text.as_bytes()),
            Self::Number(_) | Self::Bool(_) | Self::Other(_) => None,
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Written(bytes) => std::str::from_utf8(bytes).ok().and_then(Number::from_json),
            Self::Number(text) => Number::from_json(text),
            Self::Text(_) | Self::Bool(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Value<'_> {
    /// Its beginning, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(bytes) => write!(f, "{:?}", beginning(&String::from_utf8_lossy(bytes))),
            Self::Text(text) => write!(f, "{:?}", beginning(text)),
            Self::Number(text) => f.write_str(&beginning(text)),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Other(text) if text.starts_with('[') => f.write_str("an array"),
            Self::Other(text) if text.starts_with('{') => f.write_str("an object"),
            Self::Other(_) => f.write_str("a string that is no text"),
        }
    }
}

fn beginning(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

impl fmt::Display for Test {
    /// In the words of relay.toml.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(i, word)| write!(f, "{}{word}", if i == 0 { "" } else { ", " }))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(wanted) => match wanted.as_slice() {
                [one] => write!(f, "equals {one}"),
                many => write!(f, "in {}", listed(many)),
            },
            Self::Glob(globs) => match globs.as_slice() {
                [one] => write!(f, "glob {:?}", one.as_str()),
                many => write!(f, "glob {}", listed(&many.iter().map(|g| format!("{:?}", g.as_str())).collect::<Vec<_>>())),
            },
            Self::Compare(relation, _, written) => write!(f, "{} {written}", relation.as_str()),
            Self::Exists(wanted) => write!(f, "exists {wanted}"),
            Self::Not(test) => write!(f, "not ({test})"),
        }
    }
}

fn listed(items: &[impl fmt::Display]) -> String {
    let texts: Vec<_> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", texts.join(", "))
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Number(_, written) => f.write_str(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::from_json(text).unwrap()
    }

    fn test(words: Vec<Word>) -> Test {
        Test::try_new(words).unwrap()
    }

    fn equals(text: &str) -> Word {
        Word::Equals(vec![Wanted::Text(text.into())])
    }

    fn json(texts: &[&'static str]) -> Vec<Value<'static>> {
        texts.iter().filter_map(|text| Value::from_json(text)).collect()
    }

    #[test]
    fn a_value_of_json_is_of_its_kind() {
        let five = test(vec![Word::Equals(vec![Wanted::Number(number("5"), "5".into())])]);
        let text = test(vec![equals("5")]);
        let truth = test(vec![Word::Equals(vec![Wanted::Bool(true)])]);
        let holds = |test: &Test| {
            ["5", "5.0", "\"5\"", "true", "\"true\"", "[5]", "null"].map(|json_text| test.holds(&json(&[json_text])))
        };
        assert_eq!(holds(&five), [true, true, false, false, false, false, false]);
        assert_eq!(holds(&text), [false, false, true, false, false, false, false]);
        assert_eq!(holds(&truth), [false, false, false, true, false, false, false]);
        let written = [b"5".as_slice(), b"5.0", b"true", b"\xff"].map(Value::Written);
        assert_eq!(written.each_ref().map(|value| five.holds(std::slice::from_ref(value))), [true, true, false, false]);
        assert_eq!(written.each_ref().map(|value| text.holds(std::slice::from_ref(value))), [true, false, false, false]);
        assert_eq!(written.each_ref().map(|value| truth.holds(std::slice::from_ref(value))), [false, false, true, false]);
    }

    #[test]
    fn all_words_hold_of_one_value() {
        let compare = |relation, text: &str| Word::Compare(relation, number(text), text.into());
        let range = test(vec![compare(Relation::Greater, "1"), compare(Relation::NotGreater, "3")]);
        let held = ["1", "1.0000000000000000000001", "3", "3.1", "\"2\"", "null"].map(|text| range.holds(&json(&[text])));
        assert_eq!(held, [false, true, true, false, false, false]);
        // Two values that are each half of it are not one that is in it.
        assert!(!range.holds(&json(&["0", "4"])));
        assert!(range.holds(&json(&["0", "2", "{}"])));
        assert!(!range.holds(&[]));
    }

    #[test]
    fn there_and_not() {
        let exists = |wanted| test(vec![Word::Exists(wanted)]);
        assert!(exists(true).holds(&json(&["[]"])) && !exists(true).holds(&json(&["null"])));
        assert!(exists(false).holds(&json(&["null"])) && !exists(false).holds(&json(&["false"])));
        let not = test(vec![Word::Not(test(vec![equals("ping")]))]);
        assert!(not.holds(&json(&["\"push\""])) && not.holds(&[]) && !not.holds(&json(&["\"push\"", "\"ping\""])));
        let there = test(vec![Word::Exists(true), Word::Not(test(vec![equals("ping")]))]);
        assert!(there.holds(&json(&["\"push\""])) && !there.holds(&[]));
        assert_eq!(Test::try_new(vec![]), None);
        assert_eq!(Test::try_new(vec![Word::Exists(false), equals("a")]), None);
    }

    #[test]
    fn it_is_shown_as_it_is_written_and_bounded() {
        let words = vec![Word::Glob(vec![Glob::try_new("a*").unwrap()]), Word::Not(test(vec![equals("ab")])), Word::Exists(true)];
        assert_eq!(test(words).to_string(), "glob \"a*\", not (equals \"ab\"), exists true");
        let range = test(vec![Word::Compare(Relation::NotLess, number("1e2"), "1e2".into())]);
        assert_eq!(range.to_string(), "ge 1e2");
        assert_eq!(Value::Written(b"a\n\xff").to_string(), "\"a\\n\u{fffd}\"");
        let long = "9".repeat(1000);
        assert_eq!(Value::Number(&long).to_string().len(), SHOWN_CHARACTERS_MAX + 3);
        assert_eq!(
            json(&["[1]", "{}", "\"\\ud800\""]).iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["an array", "an object", "a string that is no text"]
        );
    }
}
