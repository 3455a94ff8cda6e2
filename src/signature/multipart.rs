//! Fields of a `multipart/form-data` body (RFC 7578), for providers that send one. Files are no fields.

use super::Reason;

/// Parts of one body: providers send a handful.
const PARTS_MAX: usize = 200;
/// Bytes of the head of one part.
const HEAD_BYTES_MAX: usize = 4096;
/// RFC 2046, section 5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

/// The boundary that a content type names; `None` where it is another type.
pub(super) fn boundary(content_type: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(content_type).ok()?;
    let (kind, rest) = text.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(rest, "boundary")?;
    (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()).then_some(boundary)
}

/// The values of the fields of that name, in order. Refused where the body is not what its boundary says.
pub(super) fn values<'a>(body: &'a [u8], boundary: &str, name: &str) -> Result<Vec<&'a [u8]>, Reason> {
    let delimiter = format!("\r\n--{boundary}");
    let delimiter = delimiter.as_bytes();
    // The first delimiter has no line end before it.
    let mut rest = body.strip_prefix(&delimiter[2..]).ok_or(Reason::BadEncoding)?;
    let mut values = Vec::new();
    for _ in 0..PARTS_MAX {
        if rest.starts_with(b"--") {
            return Ok(values);
        }
        let part = rest.strip_prefix(b"\r\n").ok_or(Reason::BadEncoding)?;
        let end = find(part, delimiter).ok_or(Reason::BadEncoding)?;
        let (head, value) = split_head(&part[..end])?;
        if field_name(head) == Some(name) {
            values.push(value);
        }
        rest = &part[end + delimiter.len()..];
    }
    Err(Reason::BadEncoding)
}

fn split_head(part: &[u8]) -> Result<(&str, &[u8]), Reason> {
    let within = &part[..part.len().min(HEAD_BYTES_MAX)];
    let at = find(within, b"\r\n\r\n").ok_or(Reason::BadEncoding)?;
    let head = std::str::from_utf8(&part[..at]).map_err(|_| Reason::BadEncoding)?;
    Ok((head, &part[at + 4..]))
}

/// The name of a part that is a field.
fn field_name(head: &str) -> Option<&str> {
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (kind, rest) = disposition.split_once(';')?;
    let is_field = kind.trim().eq_ignore_ascii_case("form-data") && parameter(rest, "filename").is_none();
    if is_field { parameter(rest, "name") } else { None }
}

/// The value of a parameter, with or without quotes. A quoted one that holds `;` or `\` is none: no name that is looked for does.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        (key.trim().eq_ignore_ascii_case(name) && !value.contains(['"', '\\'])).then_some(value)
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &str = "--b\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{\"a\":1}\r\n--b\r\n\
        content-type: text/plain\r\ncontent-disposition: form-data; name=x\r\n\r\n\r\n--b\r\n\
        Content-Disposition: form-data; name=\"json\"; filename=\"f\"\r\n\r\nno field\r\n--b--\r\n";

    fn texts(body: &str, name: &str) -> Result<Vec<String>, Reason> {
        let values = values(body.as_bytes(), "b", name)?;
        Ok(values.into_iter().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect())
    }

    #[test]
    fn a_boundary_is_named_by_the_type() {
        assert_eq!(boundary(b"multipart/form-data; boundary=----x"), Some("----x"));
        assert_eq!(boundary(b"Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), Some("a b"));
        for other in ["multipart/mixed; boundary=x", "multipart/form-data", "multipart/form-data; boundary=", "application/json"]
        {
            assert_eq!(boundary(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn fields_are_found_and_files_are_none() {
        assert_eq!(texts(BODY, "json"), Ok(vec!["{\"a\":1}".into()]));
        assert_eq!(texts(BODY, "x"), Ok(vec![String::new()]));
        assert_eq!(texts(BODY, "y"), Ok(vec![]));
        assert_eq!(texts(&BODY.replace("name=x", "name=json"), "json").unwrap().len(), 2);
    }

    #[test]
    fn what_is_cut_or_too_much_is_refused() {
        for bad in ["", "x", "--b", "--b\r\n", &BODY[..60], &BODY.replace("--b--", "--c--")] {
            assert_eq!(texts(bad, "json"), Err(Reason::BadEncoding), "{bad:?}");
        }
        let part = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
        assert_eq!(texts(&format!("{}--b--", part.repeat(PARTS_MAX)), "b"), Err(Reason::BadEncoding));
        let long = format!("--b\r\nx: {}\r\n\r\n1\r\n--b--", "y".repeat(HEAD_BYTES_MAX));
        assert_eq!(texts(&long, "b"), Err(Reason::BadEncoding));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body in "(--b|\r\n|[ -~]){0,30}", kind in "[ -~]{0,40}") {
            let _ = values(body.as_bytes(), "b", "json");
            let _ = boundary(kind.as_bytes());
        }
    }
}
