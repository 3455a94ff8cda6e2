//! JSON in its canonical form (RFC 8785): members sorted, no spaces, numbers and strings as JavaScript writes them.
//!
//! This parses what nobody has proved yet, so it is bounded in bytes and in depth, and keeps no tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::Reason;

/// Bytes of one body: providers that sign so send far less. Members in memory cost several times what they are.
const BYTES_MAX: usize = 4 << 20;
/// Arrays and objects within each other. Each costs stack.
const DEPTH_MAX: usize = 64;

/// The canonical form of one JSON text. A member that is there twice has no canonical form.
pub(in crate::signature) fn canonical(body: &[u8]) -> Result<Vec<u8>, Reason> {
    if body.len() > BYTES_MAX {
        return Err(Reason::BadEncoding);
    }
    let mut out = Vec::with_capacity(body.len());
    let mut json = serde_json::Deserializer::from_slice(body);
    let written = Writer { out: &mut out, depth: 0 }.deserialize(&mut json).and_then(|()| json.end());
    written.map(|()| out).map_err(|_| Reason::BadEncoding)
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    depth: usize,
}

impl Writer<'_> {
    fn inner<'o, E: Error>(out: &'o mut Vec<u8>, depth: usize) -> Result<Writer<'o>, E> {
        if depth == DEPTH_MAX { Err(E::custom("too deep")) } else { Ok(Writer { out, depth: depth + 1 }) }
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }
    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.out.extend_from_slice(if truth { b"true" } else { b"false" });
        Ok(())
    }
    // JavaScript has one kind of number.
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.out.extend_from_slice(text_of(number).as_bytes());
        Ok(())
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        write_text(text, self.out).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.out.push(b'[');
        let mut written = self.out.len();
        while seq.next_element_seed(Self::inner(self.out, self.depth)?)?.is_some() {
            written = self.out.len();
            self.out.push(b',');
        }
        self.out.truncate(written);
        self.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        while let Some(name) = map.next_key()? {
            let mut value = Vec::new();
            map.next_value_seed(Self::inner(&mut value, self.depth)?)?;
            members.push((name, value));
        }
        // The order is that of UTF-16, which is not that of UTF-8 for what lies beyond its first plane.
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom("a member is there twice"));
        }
        self.out.push(b'{');
        for (i, (name, value)) in members.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            write_text(name, self.out).map_err(A::Error::custom)?;
            self.out.push(b':');
            self.out.extend_from_slice(value);
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// What JSON escapes, and how, is the same there and here. Most text has nothing of it, which is seen many bytes at a time.
fn write_text(text: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
    if text.bytes().fold(false, |any, byte| any | (byte < b' ') | (byte == b'"') | (byte == b'\\')) {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// A number as JavaScript writes it: the fewest digits that read back as the same number, with an exponent below 1e-6 and from 1e21.
fn text_of(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", number.abs());
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = digits.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Where the point stands, counted from the first digit.
    let point = exponent + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or_default());
    let sign = if number < 0.0 { "-" } else { "" };
    if point > 21 || point <= -6 {
        let rest = if count > 1 { format!(".{}", &digits[1..]) } else { String::new() };
        return format!("{sign}{}{rest}e{}{}", &digits[..1], if exponent < 0 { "-" } else { "+" }, exponent.abs());
    }
    if point <= 0 {
        return format!("{sign}0.{}{digits}", zeros(-point));
    }
    match usize::try_from(point).ok().and_then(|at| digits.split_at_checked(at)) {
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, part)) => format!("{sign}{whole}.{part}"),
        None => format!("{sign}{digits}{}", zeros(point - count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(json: &str) -> String {
        String::from_utf8(canonical(json.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn members_are_sorted_as_utf16_and_spaces_are_gone() {
        assert_eq!(text(" { \"b\" : [ ] , \"a\" : { } , \"\" : [ 1 , null , true ] } "), r#"{"":[1,null,true],"a":{},"b":[]}"#);
        assert_eq!(text("{\"\u{fb33}\":1,\"\u{1f600}\":2,\"\\u20ac\":3}"), "{\"\u{20ac}\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}");
        assert_eq!(
            text("{\"a\":{\"d\":1,\"c\":\"\\u000f\\u007f\\/\\n\\u00e9\"}}"),
            "{\"a\":{\"c\":\"\\u000f\u{7f}/\\né\",\"d\":1}}"
        );
    }

    /// RFC 8785, appendix B, and its neighbours.
    #[test]
    fn numbers_are_those_of_javascript() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ] {
            assert_eq!(text_of(f64::from_bits(bits)), expected);
        }
        assert_eq!(
            text("[10.00,1E3,1e-7,0.1,-5,12345678901234567890,1e21,100]"),
            "[10,1000,1e-7,0.1,-5,12345678901234567000,1e+21,100]"
        );
    }

    #[test]
    fn what_has_no_canonical_form_is_refused() {
        for bad in ["", "{", "[1,]", "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":1}", "1 2", "1e999", "\"\\ud800\""] {
            assert_eq!(canonical(bad.as_bytes()), Err(Reason::BadEncoding), "{bad}");
        }
        let deep = |n: usize| canonical(format!("{}{}", "[".repeat(n), "]".repeat(n)).as_bytes());
        assert!(deep(DEPTH_MAX).is_ok());
        assert_eq!(deep(DEPTH_MAX + 1), Err(Reason::BadEncoding));
        assert_eq!(deep(1_000_000), Err(Reason::BadEncoding));
        assert_eq!(canonical(&vec![b' '; BYTES_MAX + 1]), Err(Reason::BadEncoding));
    }

    proptest! {
        #[test]
        fn a_number_reads_back_as_itself(number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
            prop_assert_eq!(text_of(number).parse::<f64>().unwrap().to_bits(), number.to_bits());
        }

        #[test]
        fn the_canonical_form_is_its_own(json in "[\\[\\]{}\":,0-9a.e-]{0,40}") {
            if let Ok(once) = canonical(json.as_bytes()) {
                prop_assert_eq!(canonical(&once).unwrap(), once);
            }
        }
    }
}
