//! The text of an element of XML that stands in a value as base64. Read after the proof only, so this is no parser: it finds the
//! first element of a name, and what is not plain text in it is no value.

use super::encoding::Encoding;

/// The text of the first element of that name; `None` where there is none, or where it holds anything but text.
pub(super) fn text(value: &[u8], name: &str) -> Option<String> {
    // Written in lines.
    let value = std::str::from_utf8(value).ok()?.split_ascii_whitespace().collect::<String>();
    let xml = String::from_utf8(Encoding::Base64.decode(&value)?).ok()?;
    let mut rest = xml.as_str();
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let Some(after) = rest.strip_prefix(name).filter(|after| after.starts_with(['>', ' ', '\t', '\r', '\n'])) else {
            continue;
        };
        let (attributes, inside) = after.split_once('>')?;
        let (text, end) = inside.split_once('<')?;
        let is_whole = !attributes.ends_with('/') && end.strip_prefix('/')?.strip_prefix(name)?.starts_with('>');
        return is_whole.then(|| text.trim().to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(xml: &str) -> Option<String> {
        text(Encoding::Base64.encode(xml.as_bytes()).unwrap().as_bytes(), "at")
    }

    #[test]
    fn the_first_of_that_name_with_text_alone() {
        assert_eq!(read("<a><attic>0</attic><at type=\"x\"> 1 </at><at>2</at></a>").as_deref(), Some("1"));
        for none in ["", "<a/>", "<at/>", "<at />", "<at>", "<at>1", "<at>1<b/></at>", "<at>1</attic>", "<at"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(text(b"PGF0PjE8\nL2F0Pg==\n", "at").as_deref(), Some("1"));
        assert_eq!(text(b"?", "at"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_without_a_panic(xml in "[<>/at x1é]{0,40}") {
            let _ = read(&xml);
        }
    }
}
