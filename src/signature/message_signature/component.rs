//! The components of a request that a signature covers (RFC 9421, section 2), each as the text that is signed.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::structured::{self, Bare, Item};
use crate::signature::address::{Form, path_of, query_of};
use crate::signature::view::View;
use crate::signature::{Reason, form};

/// What a form leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// The text of a component.
pub(super) fn text(component: &Item, view: &View<'_>) -> Result<String, Reason> {
    let Bare::Text(name) = &component.value else { return Err(Reason::BadEncoding) };
    match (name.strip_prefix('@'), &component.parameters[..]) {
        (Some(derived), parameters) => of_request(derived, parameters, view),
        (None, parameters) => of_field(name, parameters, view),
    }
}

fn of_request(name: &str, parameters: &[(String, Bare)], view: &View<'_>) -> Result<String, Reason> {
    match (name, parameters) {
        ("query-param", [(key, Bare::Text(wanted))]) if key == "name" => return query_parameter(wanted, view),
        (_, []) => {}
        _ => return Err(Reason::UnknownVersion),
    }
    let query = query_of(view.target);
    Ok(match name {
        "method" => view.method.to_owned(),
        "authority" => authority(view.authority),
        "scheme" => "https".to_owned(),
        "path" => Some(path_of(view.target)).filter(|path| !path.is_empty()).unwrap_or("/").to_owned(),
        "query" => format!("?{query}"),
        "request-target" => view.target.to_owned(),
        "target-uri" => {
            let mut address = Vec::new();
            view.feed_address(Form::Whole, &mut |piece| address.extend_from_slice(piece));
            String::from_utf8(address).map_err(|_| Reason::BadEncoding)?
        }
        _ => return Err(Reason::UnknownVersion),
    })
}

/// In lower case, without the port that https has anyway (RFC 9421, section 2.2.3).
fn authority(authority: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    authority.strip_suffix(":443").map_or(authority.clone(), str::to_owned)
}

/// The one parameter of that name, decoded and encoded anew (section 2.2.8).
fn query_parameter(wanted: &str, view: &View<'_>) -> Result<String, Reason> {
    let encode = |text: &[u8]| utf8_percent_encode(&String::from_utf8_lossy(text), ENCODED).to_string();
    let mut values = form::fields(query_of(view.target).as_bytes()).filter(|(name, _)| encode(name) == wanted);
    let (_, value) = values.next().ok_or(Reason::MissingPart)?;
    if values.next().is_some() { Err(Reason::BadEncoding) } else { Ok(encode(&value)) }
}

fn of_field(name: &str, parameters: &[(String, Bare)], view: &View<'_>) -> Result<String, Reason> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Reason::BadEncoding);
    }
    let lines: Vec<&[u8]> = view.headers.all(name).map(<[u8]>::trim_ascii).collect();
    if lines.is_empty() {
        return Err(Reason::MissingPart);
    }
    match parameters {
        [] => joined(&lines).map(Cow::into_owned),
        [(key, Bare::Truth(true))] if key == "bs" => {
            let encoded: Vec<String> = lines.iter().map(|line| format!(":{}:", STANDARD.encode(line))).collect();
            Ok(encoded.join(", "))
        }
        [(key, Bare::Text(member))] if key == "key" => {
            let members = structured::dictionary(&joined(&lines)?).ok_or(Reason::BadEncoding)?;
            let found = members.iter().find(|(known, _)| known == member).ok_or(Reason::MissingPart)?;
            Ok(structured::member_text(&found.1))
        }
        // `sf` needs to know each field's type, `tr` and `req` are for other messages.
        _ => Err(Reason::UnknownVersion),
    }
}

/// The lines of a field as one (section 2.1).
pub(super) fn joined<'a>(lines: &[&'a [u8]]) -> Result<Cow<'a, str>, Reason> {
    let texts = lines.iter().map(|line| std::str::from_utf8(line)).collect::<Result<Vec<_>, _>>();
    match &texts.map_err(|_| Reason::BadEncoding)?[..] {
        [line] => Ok(Cow::Borrowed(line)),
        lines => Ok(Cow::Owned(lines.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;
    use crate::signature::body::Body;
    use crate::signature::message_signature::structured::Member;
    use crate::signature::view::Unpacked;
    use http::{HeaderName, HeaderValue};

    fn component(identifier: &str, target: &str, fields: &[(&'static str, &'static str)]) -> Result<String, Reason> {
        let fields = fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers: Headers = fields.collect();
        let (base, body, unpacked) = (None, Body::new(b"", false), Unpacked::default());
        let view = View { method: "POST", target, authority: "Example.COM:443", base, headers: &headers, body, unpacked };
        let list = structured::dictionary(&format!("x=({identifier})")).unwrap().remove(0).1;
        let Member::List(mut items, _) = list else { panic!("{identifier}") };
        text(&items.remove(0), &view)
    }

    /// The examples of RFC 9421, sections 2.1 and 2.2.
    #[test]
    fn components_are_those_of_the_rfc() {
        let dictionary = [("example-dict", " a=1,    b=2;x=1;y=2,   c=(a   b   c), d ")];
        let lines = [("example-header", "value, with, lots"), ("example-header", "of, commas")];
        let target = "/path?param=value&foo=bar&baz=bat%2Dman&qux=&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something";
        for (identifier, expected) in [
            ("\"@method\"", "POST"),
            ("\"@authority\"", "example.com"),
            ("\"@scheme\"", "https"),
            ("\"@path\"", "/path"),
            ("\"@request-target\"", target),
            ("\"@query\"", &target["/path".len()..]),
            ("\"@query-param\";name=\"baz\"", "bat-man"),
            ("\"@query-param\";name=\"qux\"", ""),
            ("\"@query-param\";name=\"bar\"", "with%20plus%20whitespace"),
            ("\"@query-param\";name=\"fa%C3%A7ade%22%3A%20\"", "something"),
        ] {
            assert_eq!(component(identifier, target, &[]).as_deref(), Ok(expected), "{identifier}");
        }
        for (key, expected) in [("a", "1"), ("b", "2;x=1;y=2"), ("c", "(a b c)"), ("d", "?1")] {
            assert_eq!(component(&format!("\"example-dict\";key=\"{key}\""), "/", &dictionary).as_deref(), Ok(expected));
        }
        assert_eq!(component("\"example-header\"", "/", &lines).unwrap(), "value, with, lots, of, commas");
        let bytes = ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:";
        assert_eq!(component("\"example-header\";bs", "/", &lines).unwrap(), bytes);
        assert_eq!(component("\"@query\"", "/", &[]).unwrap(), "?");
        assert_eq!(component("\"@path\"", "", &[]).unwrap(), "/");
    }

    #[test]
    fn what_is_not_understood_or_not_there_is_refused() {
        let refusal = |identifier: &str| component(identifier, "/?a=1&a=2", &[("x", "1")]).unwrap_err();
        for unknown in ["\"@status\"", "\"@odd\"", "\"@method\";req", "\"x\";sf", "\"x\";tr", "\"x\";bs;sf", "\"@query-param\""] {
            assert_eq!(refusal(unknown), Reason::UnknownVersion, "{unknown}");
        }
        assert_eq!(refusal("\"y\""), Reason::MissingPart);
        assert_eq!(refusal("\"X\""), Reason::BadEncoding);
        assert_eq!(refusal("x"), Reason::BadEncoding);
        assert_eq!(refusal("\"x\";key=\"a\""), Reason::BadEncoding);
        assert_eq!(refusal("\"@query-param\";name=\"a\""), Reason::BadEncoding);
        assert_eq!(refusal("\"@query-param\";name=\"b\""), Reason::MissingPart);
    }
}
