//! What a scheme of public keys, tokens or certificates says beside what every scheme says. Nothing is proved here; see `scheme`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::signature::encoding::Encoding;
use crate::signature::written::{OneOrMany, Place};

/// Where the key is that verifies. Without any of these: in the source's `keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenKey {
    /// Where the request names its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) id: Option<WrittenKeyId>,
    /// The address of a set of JSON web keys; `""`: the source's `key_url` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) jwks: Option<String>,
    /// The address of a document with one key, or with a list of them; `{kid}` stands for the key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) document: Option<WrittenDocument>,
    /// The request names the address of a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) certificate: Option<WrittenCertificate>,
    /// The token's header holds the chain of certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) chain: Option<WrittenChain>,
}

/// Where the request names its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenKeyId {
    #[serde(rename = "in")]
    pub(in crate::signature) place: Place,
    pub(in crate::signature) name: String,
}

/// A document that holds a key, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenDocument {
    pub(in crate::signature) address: String,
    /// A JSON pointer to the key, or to the list; without: the document itself is the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) at: Option<String>,
    /// The members of a list's elements that are the key's id and the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) list: Option<(String, String)>,
    /// What the ids of keys look like.
    #[serde(default)]
    pub(in crate::signature) id_shape: IdShape,
    /// A JSON pointer to the second from which on the key does not count, or to `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) expired_at: Option<String>,
    /// The document is asked for with these members of the source's `key_fetch` and `key_id`, which is no part of the address then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::signature) post: Vec<String>,
}

/// What the ids of keys look like: what looks different is never asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::signature) enum IdShape {
    /// Letters, digits, `-`, `_` and `.`, the latter not first.
    #[default]
    Name,
    /// RFC 9562, section 4.
    Uuid,
}

/// A certificate that is fetched from where the request says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenCertificate {
    #[serde(rename = "in")]
    pub(in crate::signature) place: Place,
    pub(in crate::signature) name: String,
    /// The addresses that are possible; see `x509::address`.
    pub(in crate::signature) addresses: Vec<String>,
    /// The leaf's name; one that begins with a dot stands for all names below it. Without: there is no chain, and what comes from
    /// the address counts while it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) leaf: Option<String>,
}

/// A chain of certificates in a token's header: leaf, one between, and the root, which must be one of the source's `roots`.
/// Extensions are object identifiers with dots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenChain {
    /// The extension that the leaf must have.
    pub(in crate::signature) leaf_extension: String,
    /// The extension that the one between must have.
    pub(in crate::signature) intermediate_extension: String,
}

/// JSON that stands, encoded, somewhere in the request, and holds signature and key id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenEnvelope {
    #[serde(rename = "in")]
    pub(in crate::signature) place: Place,
    pub(in crate::signature) name: String,
    pub(in crate::signature) encoding: Encoding,
}

/// JSON that was signed and is a part of the request only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenContent {
    #[serde(rename = "in")]
    pub(in crate::signature) place: Place,
    pub(in crate::signature) name: String,
}

/// What a token must be like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::signature) struct WrittenToken {
    /// Seconds that two clocks may differ.
    pub(in crate::signature) leeway: u32,
    /// It must say when it ends.
    pub(in crate::signature) expires: bool,
    /// `false`: the payload is signed as it is (RFC 7797).
    pub(in crate::signature) b64: bool,
    /// Where its header lists the header fields that are signed, and which must be among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) signed_headers: Option<WrittenSignedHeaders>,
}

/// A list of signed header fields in a token's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenSignedHeaders {
    pub(in crate::signature) list: String,
    pub(in crate::signature) must: Vec<String>,
}

/// What a signature of RFC 9421 must cover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::signature) struct WrittenMessage {
    /// Components that must be covered.
    pub(in crate::signature) components: Vec<String>,
    /// Parameters that must be there.
    pub(in crate::signature) parameters: Vec<String>,
    /// Seconds since it was created, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) max_age: Option<u32>,
    /// Its `tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) tag: Option<String>,
}

/// What must hold of what was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::signature) struct WrittenRule {
    #[serde(rename = "in")]
    pub(in crate::signature) place: Place,
    /// Of several places one must be there, and all that are there must hold.
    pub(in crate::signature) name: OneOrMany,
    /// The values that are possible; beside `setting`: where the source does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::signature) equals: Vec<Value>,
    /// The source's setting that says which values are possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) setting: Option<String>,
    /// How much that setting is needed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(in crate::signature) need: Need,
    /// The value is made of the request itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) is: Option<Made>,
    /// A header that is not signed, and says the same where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::signature) header: Option<String>,
    /// The value is an address, and one of these when its query is left aside; see `x509::address`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::signature) addresses: Vec<String>,
    /// The value may be missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::signature) optional: bool,
}

/// How much a setting is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::signature) enum Need {
    /// Without it anybody could send: there is no way around it.
    Must,
    /// The provider signs for others with the same key: it must be said who we are, or that everybody may send.
    #[default]
    Ours,
    /// It may be said.
    May,
}

/// A value that is made of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::signature) enum Made {
    /// The address that was called.
    Url,
    /// Atlassian's hash of method, path and query.
    JiraQsh,
}

impl Default for WrittenToken {
    fn default() -> Self {
        Self { leeway: 60, expires: false, b64: true, signed_headers: None }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_default(need: &Need) -> bool {
    *need == Need::default()
}
