//! `mask`: what of events is hidden from those who need not see it.
//!
//! Some header fields are hidden without a word in relay.toml: those whose name says that they hold a credential or a signature.

use super::key::{Key, Kind, Others, Table};
use super::table::Section;
use super::value::Value;
use crate::pointer::Unreadable;
use crate::pointer::mask::Masks;
use crate::route::glob::Glob;
use crate::signature::is_proof_header;

/// In a header's name: what is behind it is a credential, or proves who sent it.
const SECRET_WORDS: [&str; 15] = [
    "auth",
    "cookie",
    "signature",
    "-sig",
    "hmac",
    "token",
    "secret",
    "passw",
    "api-key",
    "apikey",
    "access-key",
    "credential",
    "session",
    "jwt",
    "jws",
];
/// Patterns and pointers of one mask: each is looked at for each value that is shown.
const ITEMS_MAX: usize = 256;
/// Steps of one pointer. Each is a walk over what it leads to.
const STEPS_MAX: usize = 32;

/// What is hidden beside what every relay hides.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    headers: Vec<Glob>,
    body: Masks,
    peer: bool,
}

/// A body that cannot be masked, since it is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct Unmaskable;

impl Mask {
    /// This one and another one together.
    pub fn joined(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        joined.headers.extend(other.headers.iter().cloned());
        joined.body.join(&other.body);
        joined.peer |= other.peer;
        joined
    }

    /// The same, and what this JSON pointer leads to. What is no pointer leads nowhere.
    pub fn with_pointer(mut self, pointer: &str) -> Self {
        let _ = self.body.add(pointer);
        self
    }

    /// Whether the value of a header field is hidden. `name`: lower case.
    pub fn hides_header(&self, name: &str) -> bool {
        SECRET_WORDS.iter().any(|word| name.contains(word)) || is_proof_header(name) || self.names_header(name)
    }

    /// Whether it is written that the value of a header field is hidden. `name`: lower case.
    pub fn names_header(&self, name: &str) -> bool {
        self.headers.iter().any(|glob| glob.fits(name.as_bytes()))
    }

    /// Whether parts of bodies are hidden.
    pub fn hides_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// Whether what stands at this JSON pointer of a body is hidden, or something in it.
    pub fn hides_pointer(&self, pointer: &str) -> bool {
        self.body.covers(pointer)
    }

    /// Whether addresses of senders are hidden.
    pub fn hides_peer(&self) -> bool {
        self.peer
    }

    /// Whether anything is hidden beside what every relay hides.
    pub fn says_anything(&self) -> bool {
        self.hides_body() || !self.headers.is_empty()
    }

    /// A body with its masks, and how many there are.
    pub fn body(&self, body: &[u8]) -> Result<(Vec<u8>, usize), Unmaskable> {
        self.body.apply(body).map_err(|Unreadable| Unmaskable)
    }
}

pub(super) static KEYS: Table = Table {
    name: "mask",
    tells: "In `[admin]` and in a source: what of events is hidden from those who need not see it, beside credentials and signatures.",
    example: r#"
[sources.stripe]
path = "/in/stripe"
provider = "stripe"
secrets = [{ env = "STRIPE_WEBHOOK_SECRET" }]
mask = { headers = ["x-internal-*"], body = ["/data/object/customer_email"], peer = true }
"#,
    keys: &[
        Key::new("headers", Kind::List(&Kind::Text), "Names of header fields; `*` is any text.").or("[]"),
        Key::new("body", Kind::List(&Kind::Text), "JSON pointers; `*` is each element or member, `\"\"` the whole body.")
            .or("[]"),
        Key::new("peer", Kind::Boolean, "Whether addresses of senders are hidden.").or("false"),
    ],
    later: &[],
    others: Others::None,
};

/// The mask of a section; one that hides nothing more where it says nothing.
pub(super) fn read(section: &mut Section<'_>) -> Mask {
    section.take("mask").and_then(|value| value.inner()).map_or_else(Mask::default, table)
}

fn table(mut section: Section<'_>) -> Mask {
    let mut mask = Mask { peer: section.or("peer", false, |value| value.boolean()), ..Mask::default() };
    mask.headers = section.or("headers", Vec::new(), |value| Some(few(&value)?.iter().filter_map(header).collect()));
    for pointer in section.take("body").and_then(|value| few(&value)).unwrap_or_default() {
        let Some(text) = pointer.node().get_ref().as_str() else {
            pointer.text();
            continue;
        };
        if text.matches('/').count() > STEPS_MAX {
            pointer.error::<()>(&format!("has more than {STEPS_MAX} steps"));
        } else if mask.body.add(text).is_err() {
            pointer.error::<()>("is not a JSON pointer, such as \"/card/number\"; \"\" is the whole body");
        }
    }
    section.finish();
    mask
}

fn few<'a>(value: &Value<'a>) -> Option<Vec<Value<'a>>> {
    let items = value.list()?;
    if items.len() > ITEMS_MAX { value.error(&format!("has more than {ITEMS_MAX} items")) } else { Some(items) }
}

/// A pattern of names, which are compared in lower case.
fn header(value: &Value<'_>) -> Option<Glob> {
    let text = value.text()?.to_ascii_lowercase();
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~?".contains(&b);
    if !text.bytes().all(legal) {
        return value.error_help("is not a header's name", Some("write it without a colon, such as \"x-internal-*\"".into()));
    }
    Glob::try_new(&text).map_or_else(|bad| value.error(&format!("cannot be used: {bad}")), Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::tests::problems;

    fn mask(text: &str) -> Mask {
        let mut mask = Mask::default();
        assert_eq!(problems(text, |section| mask = read(section)), [""; 0]);
        mask
    }

    #[test]
    fn credentials_are_hidden_without_a_word() {
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "x-hub-signature-256",
            "x-gitlab-token",
            "x-shopify-hmac-sha256",
            "x-trello-webhook",
            "x-telegram-bot-api-secret-token",
            "x-csrf-token",
            "x-amz-security-token",
        ] {
            assert!(Mask::default().hides_header(name), "{name}");
        }
        for name in ["content-type", "user-agent", "x-github-event", "x-github-delivery", "retry-after", "date", "server"] {
            assert!(!Mask::default().hides_header(name), "{name}");
        }
        assert!(!Mask::default().says_anything());
    }

    #[test]
    fn what_is_written_is_hidden_too() {
        let one = mask("mask = { headers = [\"X-Internal-*\"], body = [\"/a\"] }");
        assert!(one.hides_header("x-internal-id") && !one.hides_header("x-internal") && !one.hides_peer());
        assert_eq!(one.body(br#"{"a":1,"b":2}"#), Ok((br#"{"a":"***","b":2}"#.to_vec(), 1)));
        assert_eq!(one.body(b"a=1"), Err(Unmaskable));
        let both = one.joined(&mask("mask = { headers = [\"x-y\"], body = [\"/b\"], peer = true }"));
        assert!(both.hides_header("x-y") && both.hides_header("x-internal-id") && both.hides_peer());
        assert_eq!(both.body(br#"{"a":1,"b":2}"#).unwrap().1, 2);
        assert_eq!(mask("mask = { body = [\"\"] }").body(b"[1]"), Ok((b"\"***\"".to_vec(), 1)));
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let text = "mask = { headers = [\"x-a:\", 5], body = [\"card\", 7], bodies = [] }";
        let found = problems(text, |section| drop(read(section)));
        let expected = [
            "error: 1, column 21: mask.headers[0] is not a header's name, write it without a colon, such as \"x-internal-*\"",
            "error: 1, column 29: mask.headers[1] must be a string, not a number",
            "error: 1, column 41: mask.body[0] is not a JSON pointer, such as \"/card/number\"; \"\" is the whole body",
            "error: 1, column 49: mask.body[1] must be a string, not a number",
            "error: 1, column 53: mask: unknown key \"mask.bodies\", did you mean \"body\"?",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        assert_eq!(found[..4], expected[..4]);
    }
}
