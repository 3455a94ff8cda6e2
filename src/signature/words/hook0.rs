//! Hook0 (and Coinbase's developer platform, which uses it) lists in the signature's own header which headers are signed.

use super::super::Reason;
use super::super::template::{Beside, only_field};
use super::super::view::View;

/// Listed headers: Hook0 lists a few.
const HEADERS_MAX: usize = 64;

/// The names as they stand there, a point, and the values with points between them.
pub(super) fn headers(view: &View<'_>, beside: &Beside<'_>, field: &str) -> Result<Vec<u8>, Reason> {
    let list = only_field(beside.fields, field)?.ok_or(Reason::MissingPart)?;
    let mut out = Vec::from(list);
    for (i, name) in list.split(' ').filter(|name| !name.is_empty()).enumerate() {
        if i == HEADERS_MAX {
            return Err(Reason::BadEncoding);
        }
        let name = name.to_ascii_lowercase();
        let mut lines = view.headers.all(&name);
        let value = lines.next().ok_or(Reason::MissingPart)?;
        if lines.next().is_some() {
            return Err(Reason::BadEncoding);
        }
        out.push(b'.');
        out.extend_from_slice(value);
    }
    if out.len() == list.len() {
        out.push(b'.');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::on_request;
    use super::*;
    use crate::signature::few::Few;

    #[test]
    fn names_and_values() {
        let read = |given: &[(&str, &str)], list: &str| {
            let mut fields = Few::new();
            fields.push(("h", list));
            let beside = Beside { fields: Some(&fields), ..Beside::default() };
            on_request("POST", "/", given, "", |view| headers(view, &beside, "h").map(|out| String::from_utf8(out).unwrap()))
        };
        assert_eq!(read(&[("x-a", "1"), ("x-b", "2.3")], "x-b X-A"), Ok("x-b X-A.2.3.1".into()));
        assert_eq!(read(&[], ""), Ok(".".into()));
        assert_eq!(read(&[], "x-a"), Err(Reason::MissingPart));
        assert_eq!(read(&[("x-a", "1"), ("x-a", "1")], "x-a"), Err(Reason::BadEncoding));
        assert_eq!(read(&[("x-a", "1")], &"x-a ".repeat(HEADERS_MAX + 1)), Err(Reason::BadEncoding));
        on_request("POST", "/", &[], "", |view| assert!(headers(view, &Beside::default(), "h").is_err()));
    }
}
