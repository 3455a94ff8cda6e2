//! JSON pointers (RFC 6901) into a body, several in one pass. What no pointer leads to is skipped, never built.
//!
//! A value that stands there twice (a repeated member on the way to it) is no value: two readers could see two.

pub(crate) mod mask;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What a pointer leads to, where that is a single thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// A string's content, or a number as written.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
}

/// A pointer that is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a JSON pointer is empty or starts with '/'")]
pub(crate) struct BadPointer;

/// No JSON; or the value is there twice, or is not a single thing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// As a token of a pointer: each element of an array.
const EACH: &str = "/*";

/// An array with more elements than are looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Pointers made ready for walks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pointers {
    root: Node,
    count: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// The pointers that end here, by their number.
    ends: Vec<usize>,
    children: Vec<(String, Node)>,
}

/// What one pointer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'de> {
    /// Nothing is there.
    Nothing,
    /// The JSON text of its value.
    Once(&'de str),
    /// More than one value.
    Twice,
}

impl Pointers {
    /// Adds one; its number is its place in what [`Self::read`] gives.
    pub(crate) fn add(&mut self, pointer: &str) -> Result<usize, BadPointer> {
        let mut node = &mut self.root;
        for token in tokens(pointer)? {
            let at = node.children.iter().position(|(name, _)| *name == token).unwrap_or_else(|| {
                node.children.push((token, Node::default()));
                node.children.len() - 1
            });
            node = &mut node.children[at].1;
        }
        node.ends.push(self.count);
        self.count += 1;
        Ok(self.count - 1)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What each pointer leads to, by its number; an empty list where `body` is not one whole JSON text.
    pub(crate) fn read(&self, body: &[u8]) -> Vec<Option<Scalar>> {
        let value = |found| if let Found::Once(text) = found { scalar(text) } else { None };
        self.find(body).map(|found| found.into_iter().map(value).collect()).unwrap_or_default()
    }

    /// What each pointer leads to, by its number, as it is written.
    pub(crate) fn find<'de>(&self, body: &'de [u8]) -> Result<Vec<Found<'de>>, Unreadable> {
        let mut found = vec![Found::Nothing; self.count];
        let mut json = serde_json::Deserializer::from_slice(body);
        let walked = Walk { node: &self.root, found: &mut found }.deserialize(&mut json).and_then(|()| json.end());
        walked.map(|()| found).map_err(|_| Unreadable)
    }
}

/// What one pointer leads to; `None` where nothing or `null` is there.
pub(crate) fn read_one(body: &[u8], pointer: &str) -> Result<Option<Scalar>, Unreadable> {
    match read_text(body, pointer)? {
        None | Some("null") => Ok(None),
        Some(text) => scalar(text).map(Some).ok_or(Unreadable),
    }
}

/// The JSON text of each element of the array that `pointer` leads to; `item` leads on from there.
pub(crate) fn elements<'de>(body: &'de [u8], pointer: &str, item: &str) -> Result<Vec<&'de str>, Unreadable> {
    let list = read_text(body, pointer)?.ok_or(Unreadable)?;
    let list: Vec<&RawValue> = serde_json::from_str(list).map_err(|_| Unreadable)?;
    list.into_iter().map(|element| read_text(element.get().as_bytes(), item)?.ok_or(Unreadable)).collect()
}

/// The JSON text of each element of an array of at most `max`; none of what is no array. `list`: JSON.
pub(crate) fn few_elements(list: &str, max: usize) -> Result<Vec<&str>, TooMany> {
    if !list.starts_with('[') {
        return Ok(Vec::new());
    }
    serde_json::Deserializer::from_str(list).deserialize_seq(Few { max }).map_err(|_| TooMany)
}

/// Whether `pointer` leads to anything but `null`.
pub(crate) fn is_there(body: &[u8], pointer: &str) -> Result<bool, Unreadable> {
    Ok(read_text(body, pointer)?.is_some_and(|text| text != "null"))
}

/// Whether `member` leads anywhere from an element of the array that `pointer` leads to.
pub(crate) fn any_element_has(body: &[u8], pointer: &str, member: &str) -> Result<bool, Unreadable> {
    let mut any = false;
    for element in elements(body, pointer, "")? {
        any |= is_there(element.as_bytes(), member)?;
    }
    Ok(any)
}

/// The JSON text that a pointer leads to; `None` where nothing is there.
pub(crate) fn read_text<'de>(body: &'de [u8], pointer: &str) -> Result<Option<&'de str>, Unreadable> {
    let mut pointers = Pointers::default();
    pointers.add(pointer).map_err(|_| Unreadable)?;
    match pointers.find(body)?.pop() {
        Some(Found::Once(text)) => Ok(Some(text)),
        Some(Found::Nothing) => Ok(None),
        Some(Found::Twice) | None => Err(Unreadable),
    }
}

/// Where a pointer has `*` for a token: what leads to the array, and what leads on from each of its elements.
pub(crate) fn split_each(pointer: &str) -> Option<(&str, &str)> {
    pointer.split_once(EACH).filter(|(_, item)| item.is_empty() || item.starts_with('/'))
}

/// The reference tokens of a pointer, unescaped.
pub(crate) fn tokens(pointer: &str) -> Result<Vec<String>, BadPointer> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer.strip_prefix('/').ok_or(BadPointer)?;
    Ok(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}

impl Node {
    fn mark_twice(&self, found: &mut [Found<'_>]) {
        self.ends.iter().for_each(|&i| found[i] = Found::Twice);
        self.children.iter().for_each(|(_, child)| child.mark_twice(found));
    }
}

/// Walks one value along a node.
struct Walk<'n, 'f, 'de> {
    node: &'n Node,
    found: &'f mut [Found<'de>],
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        if self.node.ends.is_empty() {
            return d.deserialize_any(self);
        }
        let raw: &'de RawValue = serde::Deserialize::deserialize(d)?;
        for &i in &self.node.ends {
            if !matches!(self.found[i], Found::Twice) {
                self.found[i] = Found::Once(raw.get());
            }
        }
        if self.node.children.is_empty() {
            return Ok(());
        }
        let mut json = serde_json::Deserializer::from_str(raw.get());
        serde::Deserializer::deserialize_any(&mut json, self).map_err(serde::de::Error::custom)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = vec![false; self.node.children.len()];
        while let Some(child) = map.next_key_seed(Member(self.node))? {
            let Some(at) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let node = &self.node.children[at].1;
            if std::mem::replace(&mut seen[at], true) {
                node.mark_twice(self.found);
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Walk { node, found: self.found })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0usize.. {
            let name = index.to_string();
            let more = match self.node.children.iter().find(|(token, _)| *token == name) {
                Some((_, node)) => seq.next_element_seed(Walk { node, found: self.found })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Gathers the elements of an array, up to so many: each costs more memory than it has bytes.
struct Few {
    max: usize,
}

impl<'de> Visitor<'de> for Few {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} elements", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<&'de str>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if elements.len() >= self.max {
                return Err(serde::de::Error::invalid_length(elements.len(), &self));
            }
            elements.push(element.get());
        }
        Ok(elements)
    }
}

/// A member's name: the number of the child that it leads to.
struct Member<'n>(&'n Node);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Option<usize>, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Member<'_> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.children.iter().position(|(token, _)| token == name))
    }
}

fn scalar(raw: &str) -> Option<Scalar> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok().map(Scalar::Text),
        b'-' | b'0'..=b'9' => Some(Scalar::Text(raw.to_owned())),
        b't' => Some(Scalar::Bool(true)),
        b'f' => Some(Scalar::Bool(false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str, pointers: &[&str]) -> Vec<Option<Scalar>> {
        let mut ready = Pointers::default();
        for pointer in pointers {
            ready.add(pointer).unwrap();
        }
        ready.read(body.as_bytes())
    }

    fn text(text: &str) -> Option<Scalar> {
        Some(Scalar::Text(text.into()))
    }

    #[test]
    fn several_pointers_in_one_pass() {
        let body = r#"{"x":[{"deep":[1,2]}],"event":{"type":"a\u00e9","id":12345678901234567890123.50},"e~/":[true,{"n":null}]}"#;
        let found = read(body, &["/event/type", "/event/id", "/e~0~1/0", "/e~0~1/1/n", "/event", "/nope", "/event/type"]);
        let expected = [text("aé"), text("12345678901234567890123.50"), Some(Scalar::Bool(true)), None, None, None, text("aé")];
        assert_eq!(found, expected);
        assert_eq!(read("7", &["", "/a"]), [text("7"), None]);
        assert_eq!(read("[[],[5]]", &["/1/0", "/01/0"]), [text("5"), None]);
    }

    #[test]
    fn what_is_not_json_has_no_values() {
        for body in ["", "a=1", r#"{"id":"x"} x"#, r#"{"id":"x""#, r#"{"id":"x","y":}"#, "{\"id\":\"\u{1}\"}"] {
            assert_eq!(read(body, &["/id"]), [], "{body}");
        }
        assert_eq!(tokens("id"), Err(BadPointer));
    }

    #[test]
    fn a_value_that_stands_there_twice_is_none() {
        for body in [r#"{"a":{"id":"1"},"a":{}}"#, r#"{"a":{"id":"1","id":"1"}}"#, r#"{"a":{},"\u0061":{"id":"1"}}"#] {
            assert_eq!(read(body, &["/a/id"]), [None], "{body}");
        }
    }

    #[test]
    fn a_star_is_a_whole_token() {
        assert_eq!(split_each("/a/*/b/c"), Some(("/a", "/b/c")));
        assert_eq!(split_each("/*"), Some(("", "")));
        assert_eq!([split_each("/a*/b"), split_each("/a/*b"), split_each("*")], [None; 3]);
    }

    #[test]
    fn elements_of_an_array() {
        let body = br#"{"a":[{"i":1}, {"i": {"x":2}}]}"#;
        assert_eq!(elements(body, "/a", "/i"), Ok(vec!["1", r#"{"x":2}"#]));
        assert_eq!(elements(body, "/a", "/nope"), Err(Unreadable));
        assert_eq!(elements(body, "", ""), Err(Unreadable));
    }

    #[test]
    fn few_elements_are_gathered_and_many_are_not() {
        assert_eq!(few_elements(r#"[1, {"a":[2]} ]"#, 2), Ok(vec!["1", r#"{"a":[2]}"#]));
        assert_eq!(few_elements("[1,2,3]", 2), Err(TooMany));
        assert_eq!([few_elements("[]", 0), few_elements("{}", 2), few_elements("7", 2)], [Ok(vec![]), Ok(vec![]), Ok(vec![])]);
    }

    #[test]
    fn nothing_is_not_the_same_as_unreadable() {
        let one = |body: &str| read_one(body.as_bytes(), "/a");
        assert_eq!(one(r#"{"a":null}"#), Ok(None));
        assert_eq!(one("{}"), Ok(None));
        for body in ["", r#"{"a":1,"a":1}"#, r#"{"a":[]}"#] {
            assert_eq!(one(body), Err(Unreadable), "{body}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!(r#"{{"x":{}{},"id":"1"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(&deep, &["/id"]), [text("1")]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body: Vec<u8>) {
            let _ = read_one(&body, "/a/0");
        }
    }
}
