//! Texts of an answer with placeholders, and JSON made of such texts. What is put in for a placeholder is never read again.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Levels of JSON in an answer: written by a person, who needs two.
const DEPTH_MAX: usize = 8;

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The reflected value.
    Value,
    /// The same as a whole number; in JSON, where nothing else is in the text, not in quotation marks.
    Number,
    /// The keyed hash.
    Hmac,
    /// The plain hash.
    Digest,
    /// The name of the source's key.
    PublicKey,
    /// The source's `verify_token`; only in what is hashed.
    VerifyToken,
    /// What the provider calls, without its query.
    Url,
}

const WORDS: [(&str, Word); 7] = [
    ("value", Word::Value),
    ("number", Word::Number),
    ("hmac", Word::Hmac),
    ("digest", Word::Digest),
    ("public_key", Word::PublicKey),
    ("secret:verify_token", Word::VerifyToken),
    ("url", Word::Url),
];

/// A text with placeholders in braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    written: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Word(Word),
}

/// JSON of an answer, members in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Text(Text),
    Number(i64),
    Bool(bool),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// A placeholder that there is not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{{{0}}}` is no placeholder: there are {{value}}, {{number}}, {{hmac}}, {{digest}}, {{public_key}}, {{url}} and {{secret:verify_token}}"
)]
pub(super) struct BadText(String);

impl Text {
    pub(super) fn parse(written: &str) -> Result<Self, BadText> {
        let mut pieces = Vec::new();
        let mut rest = written;
        while let Some((plain, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or_else(|| BadText(behind.to_owned()))?;
            let word = WORDS.iter().find(|(known, _)| *known == name).ok_or_else(|| BadText(name.to_owned()))?.1;
            pieces.extend([Piece::Plain(plain.to_owned()), Piece::Word(word)]);
            rest = behind;
        }
        pieces.push(Piece::Plain(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Plain(text) if text.is_empty()));
        Ok(Self { written: written.to_owned(), pieces })
    }

    /// Whether a placeholder is in it.
    pub(super) fn holds(&self, word: Word) -> bool {
        self.pieces.contains(&Piece::Word(word))
    }

    /// The text with what `fill` gives for each placeholder; `None` where it has nothing for one.
    pub(super) fn render(&self, fill: &dyn Fn(Word) -> Option<String>) -> Option<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Plain(text) => Some(text.clone()),
            Piece::Word(word) => fill(*word),
        };
        self.pieces.iter().map(piece).collect()
    }
}

impl Json {
    /// All texts in it.
    pub(super) fn texts(&self) -> Vec<&Text> {
        match self {
            Self::Text(text) => vec![text],
            Self::Number(_) | Self::Bool(_) => Vec::new(),
            Self::List(items) => items.iter().flat_map(Self::texts).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, value)| value.texts()).collect(),
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Text(_) | Self::Number(_) | Self::Bool(_) => 1,
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
        }
    }

    pub(super) fn is_shallow(&self) -> bool {
        self.depth() <= DEPTH_MAX
    }

    /// As JSON text, written by a serialiser; `None` where a placeholder has nothing.
    pub(super) fn render(&self, fill: &dyn Fn(Word) -> Option<String>) -> Option<String> {
        serde_json::to_string(&self.filled(fill)?).ok()
    }

    /// The same with texts that hold no placeholders any more.
    fn filled(&self, fill: &dyn Fn(Word) -> Option<String>) -> Option<Self> {
        Some(match self {
            Self::Text(text) if text.pieces == [Piece::Word(Word::Number)] => Self::Number(fill(Word::Number)?.parse().ok()?),
            Self::Text(text) => Self::Text(Text { written: text.render(fill)?, pieces: Vec::new() }),
            Self::Number(number) => Self::Number(*number),
            Self::Bool(truth) => Self::Bool(*truth),
            Self::List(items) => Self::List(items.iter().map(|item| item.filled(fill)).collect::<Option<_>>()?),
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| Some((name.clone(), value.filled(fill)?));
                Self::Object(members.iter().map(member).collect::<Option<_>>()?)
            }
        })
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(s),
            Self::Number(number) => s.serialize_i64(*number),
            Self::Bool(truth) => s.serialize_bool(*truth),
            Self::List(items) => {
                let mut list = s.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Object(members) => {
                let mut map = s.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number, true or false, a list or a table")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Json, E> {
        Text::parse(text).map(Json::Text).map_err(E::custom)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Json, E> {
        i64::try_from(number).map(Json::Number).map_err(E::custom)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_not_read_again() {
        let fill = |word| (word == Word::Value).then(|| "\"}{hmac}\\\n".to_owned());
        let text = Text::parse("<{value}>").unwrap();
        assert_eq!(text.render(&fill).as_deref(), Some("<\"}{hmac}\\\n>"));
        assert_eq!(Text::parse("{hmac}").unwrap().render(&fill), None);
        let json: Json =
            toml::from_str::<toml::Table>("j = { b = '{value}', a = [1, true, 'x'] }").unwrap()["j"].clone().try_into().unwrap();
        let rendered = json.render(&fill).unwrap();
        assert_eq!(rendered, r#"{"b":"\"}{hmac}\\\n","a":[1,true,"x"]}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&rendered).is_ok());
    }

    #[test]
    fn a_number_stands_without_quotation_marks() {
        let json: Json =
            toml::from_str::<toml::Table>("j = { a = '{number}', b = 'n {number}' }").unwrap()["j"].clone().try_into().unwrap();
        let render = |number: &str| json.render(&|word| (word == Word::Number).then(|| number.to_owned()));
        assert_eq!(render("-7").as_deref(), Some(r#"{"a":-7,"b":"n -7"}"#));
        assert_eq!((render("x"), render("1.5"), render("99999999999999999999")), (None, None, None));
    }

    #[test]
    fn unknown_placeholders_are_named() {
        assert_eq!(Text::parse("{valeu}"), Err(BadText("valeu".into())));
        assert!(Text::parse("{value").is_err());
        assert_eq!(Text::parse("").unwrap().render(&|_| None).as_deref(), Some(""));
    }
}
