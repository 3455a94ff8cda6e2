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
