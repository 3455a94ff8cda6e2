//! PHP's `serialize` of a form's fields, sorted by name: what Paddle Classic signs. Lengths count bytes.

use std::collections::BTreeMap;

use crate::signature::{Reason, form};

/// Fields of one notification: there are about thirty.
const FIELDS_MAX: usize = 1_000;

/// Gives all fields of a form body but `except`. Names that PHP would not keep as texts are refused, as are repeats.
pub(in crate::signature) fn feed(body: &[u8], except: &str, sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
    let mut fields = BTreeMap::new();
    for (name, value) in form::fields(body).filter(|(name, _)| **name != *except.as_bytes()) {
        // `a[]` is an array to PHP, `7` a number, and a space or a dot becomes an underscore.
        let plain = name.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let is_number = name.iter().all(u8::is_ascii_digit);
        if !plain || is_number || fields.len() == FIELDS_MAX || fields.insert(name, value).is_some() {
            return Err(Reason::BadEncoding);
        }
    }
    sink(format!("a:{}:{{", fields.len()).as_bytes());
    for (name, value) in &fields {
        for text in [name, value] {
            sink(format!("s:{}:\"", text.len()).as_bytes());
            sink(text);
            sink(b"\";");
        }
    }
    sink(b"}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> Result<String, Reason> {
        let mut out = Vec::new();
        feed(body.as_bytes(), "sig", &mut |piece| out.extend_from_slice(piece))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn fields_are_sorted_and_counted_in_bytes() {
        assert_eq!(text("b=Zo%C3%AB+1&sig=x&a=").unwrap(), "a:2:{s:1:\"a\";s:0:\"\";s:1:\"b\";s:6:\"Zoë 1\";}");
        assert_eq!(text("").unwrap(), "a:0:{}");
    }

    #[test]
    fn what_php_would_read_otherwise_is_refused() {
        for bad in ["a=1&a=2", "a%5B%5D=1", "7=1", "a.b=1", "a+b=1", "a%00=1"] {
            assert_eq!(text(bad), Err(Reason::BadEncoding), "{bad}");
        }
        let many: String = (0..=FIELDS_MAX).map(|i| format!("a{i}=&")).collect();
        assert_eq!(text(&many), Err(Reason::BadEncoding));
    }
}
