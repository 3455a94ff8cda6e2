//! Fields of a form body or of a query (`application/x-www-form-urlencoded`), for schemes that sign or hold them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_decode_str, percent_encode};

use super::Reason;

/// Which values of a repeated field are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// Each distinct value once, in their order.
    Unique,
    /// Each one, in their order.
    All,
    /// The last one sent.
    Last,
}

/// Fields of one form that are sorted: each costs some memory before anything is proved, and no provider sends a tenth of it.
const FIELDS_MAX: usize = 10_000;

/// RFC 3986, section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One field, decoded.
type Field<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The fields in the order sent. A field without `=` has an empty value; what is empty is no field.
pub(super) fn fields(text: &[u8]) -> impl Iterator<Item = Field<'_>> {
    pieces(text, b'&').filter(|field| !field.is_empty()).map(|field| {
        let at = memchr::memchr(b'=', field);
        let (name, value) = at.map_or((field, &b""[..]), |at| (&field[..at], &field[at + 1..]));
        (decode(name), decode(value))
    })
}

/// The value of the field of that name. Two are refused: two readers could then see two values.
pub(super) fn only<'a>(text: &'a [u8], name: &str) -> Result<Option<Cow<'a, [u8]>>, Reason> {
    let mut values = fields(text).filter(|(n, _)| **n == *name.as_bytes()).map(|(_, value)| value);
    let value = values.next();
    if values.next().is_some() { Err(Reason::BadEncoding) } else { Ok(value) }
}

/// The values of the fields of that name, in the order sent.
pub(super) fn values(text: &[u8], name: &str) -> Vec<Vec<u8>> {
    fields(text).filter(|(n, _)| **n == *name.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// Gives each name and value, without separators, names in the order of their bytes.
pub(super) fn feed_sorted(text: &[u8], repeats: Repeats, sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
    each_sorted(text, repeats, &mut |name, value| {
        sink(name);
        sink(value);
    })
}

/// Gives each field, names in the order of their bytes.
pub(super) fn each_sorted(text: &[u8], repeats: Repeats, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Reason> {
    let mut fields: Vec<Field<'_>> = fields(text).take(FIELDS_MAX + 1).collect();
    if fields.len() > FIELDS_MAX {
        return Err(Reason::BadEncoding);
    }
    match repeats {
        // Those of one name stay in the order sent.
        Repeats::Last => fields.sort_by(|(a, _), (b, _)| a.cmp(b)),
        Repeats::All => fields.sort_unstable(),
        Repeats::Unique => {
            fields.sort_unstable();
            fields.dedup();
        }
    }
    for of_one_name in fields.chunk_by(|(a, _), (b, _)| a == b) {
        let from = if repeats == Repeats::Last { of_one_name.len() - 1 } else { 0 };
        of_one_name[from..].iter().for_each(|(name, value)| each(name, value));
    }
    Ok(())
}

/// Gives the query's parameters as they were sent, in the order of their bytes, with `&` between them.
pub(super) fn feed_sorted_query(query: &str, sink: &mut dyn FnMut(&[u8])) {
    let mut parameters: Vec<&str> = query.split('&').filter(|parameter| !parameter.is_empty()).collect();
    parameters.sort_unstable();
    for (i, parameter) in parameters.into_iter().enumerate() {
        sink(if i == 0 { b"" } else { b"&" });
        sink(parameter.as_bytes());
    }
}

/// The same with names and values encoded anew, since some senders sign what they encode and send it as it is. A `+` is itself.
pub(super) fn encoded_query(query: &str) -> String {
    let encode = |text: &str| percent_encode(&percent_decode_str(text).collect::<Vec<u8>>(), UNRESERVED).to_string();
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<_> = parameters.map(|p| p.split_once('=').unwrap_or((p, ""))).collect();
    parameters.sort_unstable();
    let parameters: Vec<_> = parameters.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    parameters.join("&")
}

/// What stands between separators, at the speed of memory: bodies of any size come here before anything is proved.
fn pieces(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(at) = memchr::memchr(separator, text) else { return Some(text) };
        rest = Some(&text[at + 1..]);
        Some(&text[..at])
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'+', b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    if memchr::memchr(b'+', text).is_none() {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str, repeats: Repeats) -> String {
        let mut out = Vec::new();
        feed_sorted(text.as_bytes(), repeats, &mut |piece| out.extend_from_slice(piece)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_decoded_and_sorted() {
        let text = "b=1+2&a=%2B%25&&c&B=x&b=1+2&b=0";
        assert_eq!(sorted(text, Repeats::Unique), "Bxa+%b0b1 2c");
        assert_eq!(sorted(text, Repeats::All), "Bxa+%b0b1 2b1 2c");
        assert_eq!(sorted(text, Repeats::Last), "Bxa+%b0c");
        assert_eq!(sorted("", Repeats::All), "");
    }

    #[test]
    fn too_many_fields_are_refused() {
        let text = b"a&".repeat(FIELDS_MAX + 1);
        assert_eq!(feed_sorted(&text, Repeats::All, &mut |_| ()), Err(Reason::BadEncoding));
        assert_eq!(feed_sorted(&text[2..], Repeats::All, &mut |_| ()), Ok(()));
    }

    #[test]
    fn a_query_is_sorted_as_sent() {
        let mut out = Vec::new();
        feed_sorted_query("b=%7e&a=2&&a=1", &mut |piece| out.extend_from_slice(piece));
        assert_eq!(out, b"a=1&a=2&b=%7e");
        assert_eq!(encoded_query("b=1:2+3&&a&c=%7e%3A"), "a=&b=1%3A2%2B3&c=~%3A");
    }

    #[test]
    fn a_field_sent_twice_is_refused() {
        assert_eq!(only(b"a=1&b=%7e", "b").unwrap().as_deref(), Some(&b"~"[..]));
        assert_eq!(only(b"a=1", "b"), Ok(None));
        assert_eq!(only(b"a=1&a=1", "a"), Err(Reason::BadEncoding));
        assert_eq!(only(b"a=1&%61=2", "a"), Err(Reason::BadEncoding));
        assert_eq!(values(b"a=1&%61=2&b=", "a"), [b"1", b"2"]);
    }
}
