//! Puts a mask over values in a JSON text: what pointers lead to becomes `"***"`, and every other byte stays as it is.
//!
//! Here a value that stands there twice is masked twice, and `*` leads to each member of an object, too: what is hidden too much
//! can be asked for, what is shown too much cannot be taken back.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{BadPointer, Unreadable, tokens};

/// What stands in place of a value.
const MASK: &str = "\"***\"";
/// As a token: every element, or every member.
const EACH: &str = "*";

/// Pointers to what is hidden.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masks(Node);

#[derive(Clone, Debug, Default)]
struct Node {
    is_hidden: bool,
    children: Vec<(String, Node)>,
}

/// Where a masked value stands in the text: its first byte, and the one behind it.
type Span = (usize, usize);

impl Masks {
    /// Adds a pointer.
    pub(crate) fn add(&mut self, pointer: &str) -> Result<(), BadPointer> {
        let mut node = &mut self.0;
        for token in tokens(pointer)? {
            let at = node.children.iter().position(|(name, _)| *name == token).unwrap_or_else(|| {
                node.children.push((token, Node::default()));
                node.children.len() - 1
            });
            node = &mut node.children[at].1;
        }
        node.is_hidden = true;
        Ok(())
    }

    /// Adds the pointers of another one.
    pub(crate) fn join(&mut self, other: &Self) {
        self.0.join(&other.0);
    }

    /// Whether nothing is hidden.
    pub(crate) fn is_empty(&self) -> bool {
        !self.0.is_hidden && self.0.children.is_empty()
    }

    /// Whether what a pointer leads to is hidden, or something in it.
    pub(crate) fn covers(&self, pointer: &str) -> bool {
        let Ok(tokens) = tokens(pointer) else { return false };
        let mut nodes = vec![&self.0];
        for token in &tokens {
            if nodes.iter().any(|node| node.is_hidden) {
                return true;
            }
            // Who reads an id from each element reads it from any of them.
            let leads = |(own, _): &&(String, Node)| own == token || own == EACH || token == EACH;
            nodes = nodes.iter().flat_map(|node| node.children.iter().filter(leads).map(|(_, child)| child)).collect();
        }
        nodes.iter().any(|node| node.is_hidden || !node.children.is_empty())
    }

    /// The text with its masks, and how many there are. It must be one whole JSON text.
    pub(crate) fn apply(&self, body: &[u8]) -> Result<(Vec<u8>, usize), Unreadable> {
        let raw: &RawValue = serde_json::from_slice(body).map_err(|_| Unreadable)?;
        let mut spans = Vec::new();
        mask(raw.get(), body.as_ptr() as usize, &[&self.0], &mut spans).map_err(|_| Unreadable)?;
        let (mut masked, mut from) = (Vec::with_capacity(body.len()), 0);
        for &(start, end) in &spans {
            masked.extend_from_slice(&body[from..start]);
            masked.extend_from_slice(MASK.as_bytes());
            from = end;
        }
        masked.extend_from_slice(&body[from..]);
        Ok((masked, spans.len()))
    }
}

impl Node {
    fn join(&mut self, other: &Self) {
        self.is_hidden |= other.is_hidden;
        for (name, theirs) in &other.children {
            match self.children.iter_mut().find(|(own, _)| own == name) {
                Some((_, own)) => own.join(theirs),
                None => self.children.push((name.clone(), theirs.clone())),
            }
        }
    }
}

/// Finds what of `text` is hidden by any of these nodes. `base`: where the whole text begins in memory, so that a place in memory is
/// a place in it. As deep as the pointers are, not as the text is.
fn mask(text: &str, base: usize, nodes: &[&Node], spans: &mut Vec<Span>) -> Result<(), serde_json::Error> {
    if nodes.iter().any(|node| node.is_hidden) {
        let start = text.as_ptr() as usize - base;
        spans.push((start, start + text.len()));
        return Ok(());
    }
    // Only these have anything below them.
    if !text.starts_with(['{', '[']) || nodes.iter().all(|node| node.children.is_empty()) {
        return Ok(());
    }
    let mut json = serde_json::Deserializer::from_str(text);
    Below { base, nodes, spans }.deserialize(&mut json)
}

/// Walks what is directly in an object or an array.
struct Below<'n, 's> {
    base: usize,
    nodes: &'n [&'n Node],
    spans: &'s mut Vec<Span>,
}

impl Below<'_, '_> {
    fn look(&mut self, name: &str, value: &RawValue) -> Result<(), serde_json::Error> {
        let leads = |(token, _): &&(String, Node)| token == name || token == EACH;
        let children = self.nodes.iter().flat_map(|node| node.children.iter().filter(leads).map(|(_, child)| child));
        let children: Vec<&Node> = children.collect();
        if children.is_empty() { Ok(()) } else { mask(value.get(), self.base, &children, self.spans) }
    }
}

impl<'de> DeserializeSeed<'de> for Below<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            self.look(&name, value).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0usize;
        while let Some(value) = seq.next_element::<&'de RawValue>()? {
            self.look(&index.to_string(), value).map_err(serde::de::Error::custom)?;
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(pointers: &[&str], body: &str) -> Option<(String, usize)> {
        let mut masks = Masks::default();
        pointers.iter().for_each(|pointer| masks.add(pointer).unwrap());
        let (text, count) = masks.apply(body.as_bytes()).ok()?;
        Some((String::from_utf8(text).unwrap(), count))
    }

    #[track_caller]
    fn check(pointers: &[&str], body: &str, expected: &str, count: usize) {
        assert_eq!(masked(pointers, body), Some((expected.to_owned(), count)), "{pointers:?}");
    }

    #[test]
    fn only_what_is_named_is_hidden_and_the_rest_stays_byte_for_byte() {
        let body = " {\"a\" : 1e400, \"card\":{ \"number\":\"4242\",\"n\":[1, {\"cvc\": 123}] },\n\"z\":0.10 } ";
        let expected = " {\"a\" : 1e400, \"card\":{ \"number\":\"***\",\"n\":[1, {\"cvc\": \"***\"}] },\n\"z\":0.10 } ";
        check(&["/card/number", "/card/n/1/cvc"], body, expected, 2);
        check(&["/card", "/card/number"], body, " {\"a\" : 1e400, \"card\":\"***\",\n\"z\":0.10 } ", 1);
        check(&["/nothing", "/a/b", "/card/n/7"], body, body, 0);
        check(&[""], "[1,2]", "\"***\"", 1);
        check(&["/0"], "[{\"a\":1},2]", "[\"***\",2]", 1);
    }

    #[test]
    fn what_stands_there_twice_or_is_written_otherwise_is_hidden_too() {
        check(&["/a/b"], r#"{"a":{"b":1,"b":2},"a":{"\u0062":3}}"#, r#"{"a":{"b":"***","b":"***"},"a":{"\u0062":"***"}}"#, 3);
        check(&["/x~1y/~0"], r#"{"x/y":{"~":1}}"#, r#"{"x/y":{"~":"***"}}"#, 1);
        check(&["/s"], r#"{"t":"\"s\":1","s":"a\"}"}"#, r#"{"t":"\"s\":1","s":"***"}"#, 1);
    }

    #[test]
    fn a_star_is_each_of_them() {
        check(&["/u/*/e"], r#"{"u":[{"e":1,"f":2},{"e":3}]}"#, r#"{"u":[{"e":"***","f":2},{"e":"***"}]}"#, 2);
        check(
            &["/u/*/e", "/u/b/f"],
            r#"{"u":{"a":{"e":1},"b":{"e":2,"f":3}}}"#,
            r#"{"u":{"a":{"e":"***"},"b":{"e":"***","f":"***"}}}"#,
            3,
        );
    }

    #[test]
    fn what_is_not_json_is_not_shown() {
        for body in ["", "a=1", "{\"a\":1} x", "{\"a\":1", "{\"a\":}", "\u{feff}{}", "{\"a\":\"\u{1}\"}"] {
            assert_eq!(masked(&["/a"], body), None, "{body:?}");
        }
        assert!(Masks::default().apply(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn pointers_of_two_are_joined() {
        let (mut one, mut other) = (Masks::default(), Masks::default());
        assert!(one.is_empty());
        one.add("/a/b").unwrap();
        other.add("/a/c").unwrap();
        other.add("/d").unwrap();
        one.join(&other);
        assert_eq!(one.apply(br#"{"a":{"b":1,"c":2},"d":3}"#).unwrap().1, 3);
        assert!(!one.is_empty() && one.add("a").is_err());
    }

    #[test]
    fn what_covers_a_pointer_hides_it_or_something_in_it() {
        let covers = |masks: &[&str], pointer: &str| {
            let mut all = Masks::default();
            masks.iter().for_each(|mask| all.add(mask).unwrap());
            all.covers(pointer)
        };
        for (mask, pointer) in
            [("/id", "/id"), ("/data", "/data/id"), ("/data/id", "/data"), ("", "/id"), ("/*/id", "/data/id"), ("/a/0", "/a/*")]
        {
            assert!(covers(&[mask], pointer), "{mask} {pointer}");
        }
        for (mask, pointer) in [("/id", "/type"), ("/data/id", "/data/type"), ("/id", "/data/id"), ("/*/id", "/id/x/id")] {
            assert!(!covers(&[mask], pointer), "{mask} {pointer}");
        }
        assert!(!covers(&[], "") && covers(&["/a"], "") && covers(&["/x", "/a/b"], "/a"));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"x\":{}{},\"a\":1}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(masked(&["/a"], &deep).unwrap().1, 1);
    }

    proptest! {
        #[test]
        fn what_is_hidden_is_nowhere_in_what_is_shown(keys in prop::collection::vec("[ab]{1,2}", 1..5), secret in "[A-Z]{12}") {
            let mut body = serde_json::json!(secret);
            for key in keys.iter().rev() {
                body = serde_json::json!({ "zz": [1, "x"], key.as_str(): body });
            }
            let pointer: String = keys.iter().map(|key| format!("/{key}")).collect();
            let (shown, count) = masked(&[&pointer], &body.to_string()).unwrap();
            prop_assert!(count == 1 && !shown.contains(&secret));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok());
        }

        #[test]
        fn any_bytes_are_looked_at_without_a_panic(body: Vec<u8>) {
            let mut masks = Masks::default();
            masks.add("/a/*").unwrap();
            let _ = masks.apply(&body);
        }
    }
}
