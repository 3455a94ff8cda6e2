//! What a captured request says of its source beside the secrets: keys in typed form, and what the source takes for its own.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Secret;
use super::handshake::{LISTS, Terms};

/// Keys, written out. Unknown fields are ignored: what they say stands in the provider's scheme.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct CapturedKeys {
    /// The secret that signs, or that the address shows.
    secret: Option<String>,
    /// The secret that a header, or each element of the body, shows.
    #[serde(alias = "client_state")]
    value: Option<String>,
    /// The secret beside `public_key`.
    private_key: Option<String>,
    /// The name that signatures stand beside.
    #[serde(alias = "key_id")]
    public_key: Option<String>,
    /// What the provider was told to show in its handshake.
    #[serde(alias = "verification_token", alias = "token")]
    verify_token: Option<String>,
    /// Names that the provider shows, of which one must be ours.
    client_ids: Vec<String>,
}

/// What a source takes for its own. Other settings are ignored here.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CapturedTerms {
    /// The name that signatures stand beside, where a scheme asks for it.
    #[serde(default)]
    pub(super) public_key: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl CapturedKeys {
    /// The secrets among them.
    pub(super) fn secrets(&self) -> Result<Vec<Secret>, String> {
        let texts = [&self.secret, &self.value, &self.private_key].into_iter().flatten().chain(&self.client_ids);
        texts.map(|text| secret(text)).collect()
    }

    /// The name that signatures stand beside.
    pub(super) fn public_key(&self) -> Option<&String> {
        self.public_key.as_ref()
    }
}

impl CapturedTerms {
    /// What the source's handshakes are told.
    pub(super) fn terms(&self, keys: &CapturedKeys, public_key: Option<String>) -> Result<Terms, String> {
        let verify_token = self.text("verify_token").or_else(|| keys.verify_token.clone());
        let list = |name: &str| self.rest.get(name).map(|value| (name.to_owned(), texts(value)));
        Ok(Terms {
            verify_token: verify_token.map(|text| secret(&text)).transpose()?,
            lists: LISTS.into_iter().filter_map(list).collect(),
            public_key,
            public_url: None,
        })
    }

    /// Names that the provider shows in each event, where it has nothing better.
    pub(super) fn shown(&self) -> Result<Vec<Secret>, String> {
        self.rest.get("subscription_ids").map(texts).unwrap_or_default().iter().map(|text| secret(text)).collect()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.rest.get(name).and_then(Value::as_str).map(str::to_owned)
    }
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
}

fn secret(text: &str) -> Result<Secret, String> {
    Secret::try_new(text.to_owned().into_bytes(), None).map_err(|error| error.to_string())
}

impl std::fmt::Debug for CapturedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CapturedKeys(masked)")
    }
}
