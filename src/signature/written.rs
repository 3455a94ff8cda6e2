//! A scheme as written in a preset or in relay.toml. Nothing is proved here; see `scheme`.

use serde::{Deserialize, Serialize};

use super::Selector;
use super::encoding::Encoding;
use super::hash::Hash;
use super::sealed::WrittenSealed;
use super::signed::written::{WrittenContent, WrittenEnvelope, WrittenKey, WrittenMessage, WrittenRule, WrittenToken};

/// A scheme as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hash: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<Selector>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) event_type: Option<Selector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) payload_alternatives: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<WrittenSecret>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) signature: Vec<WrittenSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<WrittenStamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body_hash: Option<WrittenBodyHash>,
    /// Where the body is a form, this field of it is the JSON that pointers lead into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body_field: Option<String>,
    /// The body holds its content encrypted; pointers of id and type lead into what is inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<WrittenSealed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) require: Vec<Requirement>,
    /// A JSON pointer to an array; each element is proved by itself, and all must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) for_each: Option<String>,
    /// A JSON pointer from an element to what is proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<String>,
    /// What a signature may be made with, where it is not made with a shared secret's hash alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) algorithms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<WrittenKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) envelope: Option<WrittenEnvelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<WrittenContent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<WrittenToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<WrittenMessage>,
    /// What must hold of what was signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rules: Vec<WrittenRule>,
    /// What must be proved beside it, where an element of `for_each` has the member `also_if`, or `also` has anything to prove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) also: Option<Box<Written>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) also_if: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) any: Vec<Written>,
}

/// How a scheme proves a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A keyed hash over the payload.
    #[default]
    Hmac,
    /// A plain hash over a payload that holds the secret.
    Digest,
    /// The secret itself.
    Token,
    /// `user:password`, as in HTTP's basic authentication.
    Basic,
    /// A signature by a public key over the payload.
    Signature,
    /// The same; the key is in a certificate.
    X509,
    /// A token that is signed (RFC 7519) and stands somewhere in the request.
    Jwt,
    /// A signature in the form of a token, whose content is the payload (RFC 7515, appendix F).
    JwsDetached,
    /// RFC 9421.
    HttpMessageSignature,
    /// One of several.
    Any,
}

impl Kind {
    /// Whether it is more than a shared secret's hash; see `signed`.
    pub(super) const fn is_signed(self) -> bool {
        matches!(self, Self::Signature | Self::X509 | Self::Jwt | Self::JwsDetached | Self::HttpMessageSignature)
    }
}

/// What becomes of the configured text before it is a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSecret {
    /// The first of these that it starts with is cut off. `*` stands for some letters, digits and `_`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) strip_prefix: Vec<String>,
    #[serde(default)]
    pub(super) encoding: Encoding,
    /// The text is brought into this form of Unicode first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) normalize: Option<Normal>,
    /// Then its hash is the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prehash: Option<Hash>,
}

/// A form of Unicode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Normal {
    /// Compatibility decomposition.
    Nfkd,
}

/// The part of a request where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// A header; as a signature's name it may end in `*`, which stands for a number.
    Header,
    /// A parameter of the query.
    Query,
    /// A field of a form body.
    Form,
    /// The same; of a repeated field the last one counts, for providers that let others come before theirs.
    #[serde(rename = "form-last")]
    FormLast,
    /// A JSON pointer into the body.
    Json,
    /// A `key=value` of the signature's own header (timestamps only).
    Field,
    /// A JSON pointer into the signed content: the claims of a token, or what `content` says.
    Claim,
    /// A JSON pointer into the header of a token, or into what `envelope` says.
    Envelope,
}

/// Where signatures stand, and in which form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSource {
    #[serde(rename = "in")]
    pub(super) place: Place,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encoding: Option<Encoding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<String>,
    /// Between whole groups of items, each with a timestamp of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) groups: Option<String>,
    /// Between items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<String>,
    /// Between an item's key and its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kv: Option<String>,
    /// The keys whose values are signatures; the items of others are skipped. `{public_key}`: what the source calls so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<OneOrMany>,
    /// Items have no keys: the timestamp's name is its number (from 0), all others are signatures.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) positional: bool,
    /// Only secrets of this slot (and those without one) count here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) slot: Option<String>,
}

/// One text or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [String] {
        match self {
            Self::One(text) => std::slice::from_mut(text),
            Self::Many(texts) => texts,
        }
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// Where the timestamp stands, and how old it may be. Numbers are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenStamp {
    #[serde(rename = "in")]
    pub(super) place: Place,
    pub(super) name: String,
    /// Headers to look at where that one is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fallback: Vec<String>,
    /// The value is XML in base64, and the timestamp is the text of this element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) element: Option<String>,
    pub(super) format: StampFormat,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_age: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_future: Option<u32>,
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StampFormat {
    /// Seconds since the epoch.
    Unix,
    /// Milliseconds since the epoch.
    UnixMs,
    /// One of the two, told apart by size.
    UnixAuto,
    /// RFC 3339; without an offset it is UTC.
    Iso8601,
    /// RFC 9110, section 5.6.7.
    HttpDate,
    /// Date and time of day with a space between them, in UTC.
    SpacedUtc,
}

/// A hash of the body that stands elsewhere in what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBodyHash {
    #[serde(rename = "in")]
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) hash: Hash,
    pub(super) encoding: Encoding,
}

/// A header that must have this value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requirement {
    pub(super) header: String,
    pub(super) equals: String,
}
