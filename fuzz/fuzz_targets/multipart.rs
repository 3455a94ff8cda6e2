//! Forms in several parts (RFC 7578): what was written is read again as the same, and nothing panics on what nobody wrote so.
#![no_main]

use hookhold_fuzz::id_of;
use libfuzzer_sys::fuzz_target;

const BOUNDARY: &str = "b0undary";

fuzz_target!(|data: &[u8]| {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let read = |body: &[u8]| id_of("form:id", &[("content-type", kind.as_bytes())], body);
    read(data);
    let mut lines = data.splitn(2, |&b| b == b'\n');
    let (first, rest) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    id_of("form:id", &[("content-type", first)], rest);

    let Ok(value) = std::str::from_utf8(rest) else { return };
    if value.contains(BOUNDARY) || value.is_empty() || value.len() > 1024 {
        return;
    }
    let part =
        |name: &str, value: &str| format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let body = |parts: &[String]| format!("{}--{BOUNDARY}--\r\n", parts.concat()).into_bytes();
    assert_eq!(read(&body(&[part("a", "1"), part("id", value), part("ids", "2")])).as_deref(), Some(value));
    assert_eq!(read(&body(&[part("id", "1"), part("id", value)])), None);
});
