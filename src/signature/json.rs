//! JSON whose content decides whether a request is believed: read whole, and refused where a member stands there twice, because two
//! readers could then see two values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// JSON text that is not one whole value without repeated members. Its depth is bounded by the parser (128).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The value of a JSON text.
pub(super) fn strict(text: &[u8]) -> Result<Value, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = Strict.deserialize(&mut json).map_err(|_| Unreadable)?;
    json.end().map_err(|_| Unreadable)?;
    Ok(value)
}

/// The value of a JSON text that is an object.
pub(super) fn strict_object(text: &[u8]) -> Result<Value, Unreadable> {
    strict(text).and_then(|value| if value.is_object() { Ok(value) } else { Err(Unreadable) })
}

/// A single value as text: a string's content, a number or a truth value as written; `None` for what is none of them.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Strict)?;
            if members.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a member stands there twice"));
            }
        }
        Ok(Value::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(value) = seq.next_element_seed(Strict)? {
            elements.push(value);
        }
        Ok(Value::Array(elements))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_reads_what_the_plain_reader_reads_but_repeats() {
        let text = r#"{"a":[1,-2,2.5,"x\u00e9",null,true,{}],"b":{"c":18446744073709551615}}"#;
        assert_eq!(strict(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for bad in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"b":{"c":1,"c":2}}]"#, "{} {}", "", "{", r#"{"a":NaN}"#] {
            assert_eq!(strict(bad.as_bytes()), Err(Unreadable), "{bad}");
        }
        assert_eq!(strict_object(b"[]"), Err(Unreadable));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert_eq!(strict(deep.as_bytes()), Err(Unreadable));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = strict(&bytes);
        }
    }
}
