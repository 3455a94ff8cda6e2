//! Structured fields (RFC 9651), as far as signatures of messages need them: dictionaries of inner lists and of single items. Strict,
//! and stricter in one point: what stands there twice is refused, because its RFC lets the last one win and a reader may not.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Members of one dictionary, items of one list, parameters of one item: requests have a handful.
const MEMBERS_MAX: usize = 64;
/// RFC 9651, section 3.3.1.
const DIGITS_MAX: usize = 15;

/// A single value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    Integer(i64),
    /// As it is written in its shortest form.
    Decimal(String),
    Text(String),
    Token(String),
    Bytes(Vec<u8>),
    Truth(bool),
}

/// Parameters, in order.
pub(super) type Parameters = Vec<(String, Bare)>;

/// A value with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) value: Bare,
    pub(super) parameters: Parameters,
}

/// A member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Item(Item),
    List(Vec<Item>, Parameters),
}

/// A dictionary, in order.
pub(super) fn dictionary(text: &str) -> Option<Vec<(String, Member)>> {
    let mut reader = Reader(text.trim_matches(' ').as_bytes());
    let mut members: Vec<(String, Member)> = Vec::new();
    while !reader.0.is_empty() {
        let name = reader.key()?;
        if members.len() == MEMBERS_MAX || members.iter().any(|(known, _)| *known == name) {
            return None;
        }
        let member = if reader.take(b'=') { reader.member()? } else { Member::Item(reader.item_of(Bare::Truth(true))?) };
        members.push((name, member));
        reader.skip(b" \t");
        if reader.0.is_empty() {
            return Some(members);
        }
        reader.take(b',').then_some(())?;
        reader.skip(b" \t");
        if reader.0.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// The text of an item, as the RFC writes it.
pub(super) fn item_text(item: &Item) -> String {
    bare_text(&item.value) + &parameters_text(&item.parameters)
}

/// The text of an inner list.
pub(super) fn list_text(items: &[Item], parameters: &Parameters) -> String {
    let items: Vec<String> = items.iter().map(item_text).collect();
    format!("({}){}", items.join(" "), parameters_text(parameters))
}

/// The text of a member.
pub(super) fn member_text(member: &Member) -> String {
    match member {
        Member::Item(item) => item_text(item),
        Member::List(items, parameters) => list_text(items, parameters),
    }
}

fn parameters_text(parameters: &Parameters) -> String {
    parameters.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = match value {
            Bare::Truth(true) => write!(text, ";{name}"),
            value => write!(text, ";{name}={}", bare_text(value)),
        };
        text
    })
}

fn bare_text(value: &Bare) -> String {
    match value {
        Bare::Integer(number) => number.to_string(),
        Bare::Decimal(text) | Bare::Token(text) => text.clone(),
        Bare::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        Bare::Bytes(bytes) => format!(":{}:", STANDARD.encode(bytes)),
        Bare::Truth(truth) => format!("?{}", u8::from(*truth)),
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, wanted: u8) -> bool {
        let there = self.0.first() == Some(&wanted);
        self.0 = &self.0[usize::from(there)..];
        there
    }

    fn skip(&mut self, what: &[u8]) {
        let count = self.0.iter().take_while(|b| what.contains(b)).count();
        self.0 = &self.0[count..];
    }

    fn run(&mut self, legal: impl Fn(u8) -> bool) -> String {
        let count = self.0.iter().take_while(|&&b| legal(b)).count();
        let (run, rest) = self.0.split_at(count);
        self.0 = rest;
        String::from_utf8_lossy(run).into_owned()
    }

    fn key(&mut self) -> Option<String> {
        let first = *self.0.first()?;
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b);
        (first.is_ascii_lowercase() || first == b'*').then(|| self.run(legal))
    }

    fn member(&mut self) -> Option<Member> {
        if !self.take(b'(') {
            let value = self.bare()?;
            return self.item_of(value).map(Member::Item);
        }
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Member::List(items, self.parameters()?));
            }
            let value = self.bare()?;
            items.push(self.item_of(value)?);
            let ends = matches!(self.0.first(), Some(b' ' | b')'));
            if !ends || items.len() > MEMBERS_MAX {
                return None;
            }
        }
    }

    fn item_of(&mut self, value: Bare) -> Option<Item> {
        Some(Item { value, parameters: self.parameters()? })
    }

    fn parameters(&mut self) -> Option<Parameters> {
        let mut parameters: Parameters = Vec::new();
        while self.take(b';') {
            self.skip(b" ");
            let name = self.key()?;
            let value = if self.take(b'=') { self.bare()? } else { Bare::Truth(true) };
            if parameters.len() == MEMBERS_MAX || parameters.iter().any(|(known, _)| *known == name) {
                return None;
            }
            parameters.push((name, value));
        }
        Some(parameters)
    }

    fn bare(&mut self) -> Option<Bare> {
        match *self.0.first()? {
            b'"' => self.text(),
            b':' => self.bytes(),
            b'?' => self.truth(),
            b'-' | b'0'..=b'9' => self.number(),
            first if first.is_ascii_alphabetic() || first == b'*' => {
                Some(Bare::Token(self.run(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b))))
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Bare> {
        let mut text = String::new();
        self.take(b'"');
        loop {
            let (&next, rest) = self.0.split_first()?;
            self.0 = rest;
            match next {
                b'"' => return Some(Bare::Text(text)),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first().filter(|(b, _)| b"\"\\".contains(b))?;
                    self.0 = rest;
                    text.push(char::from(escaped));
                }
                0x20..=0x7e => text.push(char::from(next)),
                _ => return None,
            }
        }
    }

    fn bytes(&mut self) -> Option<Bare> {
        self.take(b':');
        let text = self.run(|b| b != b':');
        self.take(b':').then(|| STANDARD.decode(text).ok().map(Bare::Bytes)).flatten()
    }

    fn truth(&mut self) -> Option<Bare> {
        self.take(b'?');
        let truth = self.take(b'1');
        (truth || self.take(b'0')).then_some(Bare::Truth(truth))
    }

    fn number(&mut self) -> Option<Bare> {
        let sign = if self.take(b'-') { "-" } else { "" };
        let whole = self.run(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > DIGITS_MAX {
            return None;
        }
        if !self.take(b'.') {
            return format!("{sign}{whole}").parse().ok().map(Bare::Integer);
        }
        let part = self.run(|b| b.is_ascii_digit());
        if whole.len() > 12 || !(1..=3).contains(&part.len()) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let (whole, part) = (if whole.is_empty() { "0" } else { whole }, part.trim_end_matches('0'));
        Some(Bare::Decimal(format!("{sign}{whole}.{}", if part.is_empty() { "0" } else { part })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn again(text: &str) -> Option<String> {
        let members = dictionary(text)?;
        Some(members.iter().map(|(name, member)| format!("{name}={}", member_text(member))).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn it_writes_what_it_reads() {
        for text in [
            r#"sig=("@method" "a";bs "@query-param";name="P\"\\");created=16;keyid="k", b=:AAA=:"#,
            "a=1, b=-2, c=0.5, d=tok/en, e=?0",
            "",
        ] {
            assert_eq!(again(text).as_deref(), Some(text));
        }
        assert_eq!(again("a;x=?1,b=( 1  2 );y").unwrap(), "a=?1;x, b=(1 2);y");
        assert_eq!(again("  a=1.500 ").unwrap(), "a=1.5");
    }

    #[test]
    fn what_is_not_structured_is_nothing() {
        for text in [
            "sig1=@method",
            "A=1",
            "a=1,",
            "a=1,,b=2",
            "a=1 b=2",
            "a=(1 2",
            "a=(1\"x\")",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"é\"",
            "a=:A:",
            "a=:AAA=",
            "a=?2",
            "a=-",
            "a=1.",
            "a=1.2345",
            "a=1234567890123456",
            "a=1;B",
            "a=1, a=2",
            "a=1;b;b",
            "=1",
            "a=",
        ] {
            assert_eq!(again(text), None, "{text}");
        }
        let many: String = (0..=MEMBERS_MAX).map(|i| format!("a{i}=1,")).collect();
        assert_eq!(again(many.trim_end_matches(',')), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[a-c=;, ()\"?:\\\\0-9.@-]{0,40}|.{0,40}") {
            if let Some(once) = again(&text) {
                prop_assert_eq!(again(&once), Some(once));
            }
        }
    }
}
