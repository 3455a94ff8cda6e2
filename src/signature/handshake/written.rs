//! A handshake as a preset or relay.toml writes it. Nothing is proved here; see `mod`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::{Conditions, Verb};
use super::confirm::WrittenConfirm;
use super::pattern::Pattern;
use super::text::{Json, Text};
use crate::signature::encoding::Encoding;
use crate::signature::hash::Hash;

/// A handshake as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// What makes a request this handshake.
    pub(super) when: Conditions,
    /// What must be so then; else it is refused.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub(super) must: Conditions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<WrittenValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<After>,
    /// Its JSON is what the body holds encrypted, as the source's scheme says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) sealed: bool,
    /// The value is the source's secret: taken once, while a person has armed the source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) take: bool,
    /// The provider waits until an address that the request names is visited; only then is the request answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) confirm: Option<WrittenConfirm>,
    /// The answer; without one, the request is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) respond: Option<WrittenAnswer>,
    /// The status of a refusal, where the provider wants another than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refuse: Option<u16>,
}

/// What must be proved before a handshake is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum After {
    /// That the provider sent it.
    Verified,
    /// Nothing.
    Nothing,
}

/// Where the value is that goes back, and what it may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenValue {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<String>,
    /// A JSON pointer to a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) json: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<Pattern>,
    /// Bytes of it at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_max: Option<usize>,
}

/// The answer to a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenAnswer {
    #[serde(default = "ok", skip_serializing_if = "is_ok")]
    pub(super) status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) json: Option<Json>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) header: BTreeMap<String, Text>,
    /// A keyed hash with the source's secret, for `{hmac}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hmac: Option<WrittenHash>,
    /// A plain hash, for `{digest}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<WrittenHash>,
}

/// A hash and what it covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenHash {
    pub(super) hash: Hash,
    pub(super) encoding: Encoding,
    /// `{value}` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Text>,
}

impl Written {
    /// Whether a visit can come before its answer.
    pub(super) fn can_confirm(&self) -> bool {
        self.respond.is_some() && !self.take && self.after != Some(After::Nothing)
    }

    /// Whether it can bring a secret.
    pub(super) fn can_take(&self) -> bool {
        let is_post = self.when.method.unwrap_or_default() == Verb::Post;
        let has_pattern = self.value.as_ref().is_some_and(|value| value.pattern.is_some());
        let is_plain = self.respond.as_ref().is_some_and(|respond| respond.hmac.is_none() && respond.digest.is_none());
        is_post && has_pattern && is_plain && self.after != Some(After::Verified)
    }
}

const fn ok() -> u16 {
    200
}

// The form that serde asks for.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_ok(status: &u16) -> bool {
    *status == ok()
}
