//! Words of the template language for what plain placeholders cannot say: one file each. They are named after the provider whose
//! rule they are, or after a standard. All are bounded, and none panics on what a stranger sends.

mod aws_sns;
mod body_without;
mod contentful;
mod decode;
mod hook0;
mod jcs;
mod mercado_pago;
mod php_form;
mod plivo;

use super::Reason;
use super::template::Beside;
use super::view::View;

pub(super) use decode::decode;
pub(super) use jcs::canonical;

/// A word that stands in braces like a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `aws_sns`: the members of a message, as Amazon SNS signs them.
    AwsSns,
    /// `body_without:NAME`: a JSON object without one member.
    BodyWithout(String),
    /// `contentful_path`: path and query, escaped anew.
    ContentfulPath,
    /// `contentful_headers`: the headers that the request lists, by name.
    ContentfulHeaders,
    /// `hook0_headers:FIELD`: the headers that an item of the signature's own header lists.
    Hook0Headers(String),
    /// `mercado_pago_parts:as_sent` and `:lower`: the parts of the manifest that are there.
    MercadoPagoParts {
        /// The id in lower case.
        lower: bool,
    },
    /// `php_form:NAME`: all fields of a form but that one, as PHP writes an array down.
    PhpForm(String),
    /// `plivo_v3`: address, query and form.
    PlivoV3,
}

impl Word {
    /// From its name and what follows the colon.
    pub(super) fn parse(name: &str, argument: Option<&str>) -> Option<Self> {
        Some(match (name, argument) {
            ("aws_sns", None) => Self::AwsSns,
            ("body_without", Some(member)) if !member.is_empty() => Self::BodyWithout(member.to_owned()),
            ("contentful_path", None) => Self::ContentfulPath,
            ("contentful_headers", None) => Self::ContentfulHeaders,
            ("hook0_headers", Some(field)) if !field.is_empty() => Self::Hook0Headers(field.to_owned()),
            ("mercado_pago_parts", Some("as_sent")) => Self::MercadoPagoParts { lower: false },
            ("mercado_pago_parts", Some("lower")) => Self::MercadoPagoParts { lower: true },
            ("php_form", Some(except)) if !except.is_empty() => Self::PhpForm(except.to_owned()),
            ("plivo_v3", None) => Self::PlivoV3,
            _ => return None,
        })
    }

    /// Whether the whole body is in it.
    pub(super) fn covers_body(&self) -> bool {
        matches!(self, Self::AwsSns | Self::BodyWithout(_) | Self::PhpForm(_) | Self::PlivoV3)
    }

    /// Whether the address is in it.
    pub(super) fn holds_address(&self) -> bool {
        matches!(self, Self::PlivoV3)
    }

    /// Whether items of the signature's own header are in it.
    pub(super) fn holds_fields(&self) -> bool {
        matches!(self, Self::Hook0Headers(_))
    }

    /// Gives its text, piece by piece.
    pub(super) fn feed(&self, view: &View<'_>, beside: &Beside<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
        match self {
            Self::AwsSns => return aws_sns::feed(&view.body.whole()?, sink),
            Self::BodyWithout(member) => sink(&body_without::rest(&view.body.whole()?, member)?),
            Self::ContentfulPath => sink(&contentful::path(view.target)),
            Self::ContentfulHeaders => sink(&contentful::headers(view)?),
            Self::Hook0Headers(field) => sink(&hook0::headers(view, beside, field)?),
            Self::MercadoPagoParts { lower } => sink(&mercado_pago::parts(view, *lower)?),
            Self::PhpForm(except) => return php_form::feed(&view.body.whole()?, except, sink),
            Self::PlivoV3 => return plivo::feed(view, sink),
        }
        Ok(())
    }
}

/// A request for the tests of the words beside this file.
#[cfg(test)]
fn on_request<T>(method: &str, target: &str, headers: &[(&str, &str)], body: &str, ask: impl FnOnce(&View<'_>) -> T) -> T {
    let field =
        |(name, value): &(&str, &str)| (http::HeaderName::try_from(*name).unwrap(), http::HeaderValue::try_from(*value).unwrap());
    let headers: crate::record::Headers = headers.iter().map(field).collect();
    let body = super::body::Body::new(body.as_bytes(), false);
    let unpacked = super::view::Unpacked::default();
    ask(&View { method, target, authority: "h.example", base: None, headers: &headers, body, unpacked })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::few::Few;
    use proptest::prelude::*;

    const WORDS: [(&str, Option<&str>); 8] = [
        ("aws_sns", None),
        ("body_without", Some("sign")),
        ("contentful_path", None),
        ("contentful_headers", None),
        ("hook0_headers", Some("h")),
        ("mercado_pago_parts", Some("lower")),
        ("php_form", Some("a")),
        ("plivo_v3", None),
    ];

    #[test]
    fn a_word_needs_its_argument_and_no_other() {
        for (name, argument) in WORDS {
            assert!(Word::parse(name, argument).is_some(), "{name}");
            assert_eq!(Word::parse(name, if argument.is_some() { None } else { Some("x") }), None, "{name}");
        }
        assert_eq!(Word::parse("body_without", Some("")), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_no_word_panics(target in "/[ -~]{0,30}", list in "[ -~]{0,30}", body in ".{0,60}", json in "[\\[\\]{}\":,0-9a]{0,30}") {
            for (name, argument) in WORDS {
                let word = Word::parse(name, argument).unwrap();
                for body in [&body, &json] {
                    let headers = [("x-contentful-signed-headers", list.as_str()), ("x-request-id", list.as_str())];
                    let mut fields = Few::new();
                    fields.push(("h", list.as_str()));
                    on_request("POST", &target, &headers, body, |view| {
                        let _ = word.feed(view, &Beside { fields: Some(&fields), ..Beside::default() }, &mut |_| ());
                    });
                }
            }
        }
    }
}
