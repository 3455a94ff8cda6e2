//! A JSON object without one of its members, all others byte for byte as they came: for providers that put the signature into
//! the object that they signed. Written without spaces, which is how those providers write.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::Reason;

/// Members of one object: far more than a notification has.
const MEMBERS_MAX: usize = 1000;

/// The object `body` without the member `name`, which must be there once.
pub(super) fn rest(body: &[u8], name: &str) -> Result<Vec<u8>, Reason> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let members = json.deserialize_map(Members).and_then(|members| json.end().map(|()| members));
    let members = members.map_err(|_| Reason::BadEncoding)?;
    let mut out = vec![b'{'];
    let mut left_out = 0;
    for (key, value) in members {
        if key == name {
            left_out += 1;
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, &key).map_err(|_| Reason::BadEncoding)?;
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
    match left_out {
        0 => Err(Reason::MissingPart),
        1 => Ok(out),
        _ => Err(Reason::BadEncoding),
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            if members.len() == MEMBERS_MAX {
                return Err(serde::de::Error::custom("too many members"));
            }
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_is_left_out_and_the_others_stay_as_they_are() {
        let rest = |body: &str| rest(body.as_bytes(), "sign").map(|out| String::from_utf8(out).unwrap());
        assert_eq!(rest(r#"{"b":"\/x","a":1.50,"sign":"s"}"#).unwrap(), r#"{"b":"\/x","a":1.50}"#);
        assert_eq!(rest(r#"{"sign":"s","a":{"sign":1}}"#).unwrap(), r#"{"a":{"sign":1}}"#);
        assert_eq!(rest(r#"{"sign":""}"#).unwrap(), "{}");
        assert_eq!(rest("{}"), Err(Reason::MissingPart));
        for bad in ["", "[]", r#"{"sign":1,"sign":2}"#, r#"{"sign":1} x"#] {
            assert_eq!(rest(bad), Err(Reason::BadEncoding), "{bad}");
        }
    }

    #[test]
    fn the_number_of_members_is_bounded() {
        let many = format!("{{{}\"sign\":1}}", "\"a\":1,".repeat(MEMBERS_MAX));
        assert_eq!(rest(many.as_bytes(), "sign"), Err(Reason::BadEncoding));
    }
}
