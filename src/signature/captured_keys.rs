//! The keys of a captured request: written out and typed, together with the documents that would be fetched for them. What is not
//! among the documents cannot be had.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::handshake::{self, LISTS};
use super::{ConfiguredKey, Documents, Options, Requirement, Scheme, Secret, Terms};

/// Keys, written out. Unknown fields are ignored: what they say stands in the provider's scheme.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct CapturedKeys {
    #[serde(rename = "type")]
    kind: String,
    /// One public key, or several.
    public_key: Values,
    /// One secret, or several.
    secret: Values,
    /// The secret that a header, or each element of the body, shows.
    #[serde(alias = "client_state")]
    value: Option<String>,
    /// A secret whose name is `public_key`.
    private_key: Option<String>,
    /// Where the provider publishes its keys.
    #[serde(alias = "url_template")]
    url: Option<String>,
    /// What would be fetched, by address.
    documents: BTreeMap<String, String>,
    /// The roots of chains of certificates.
    trust_anchors_pem: Vec<String>,
    /// Keys that requests name.
    keys: Vec<CapturedKey>,
    /// The name of the key that signatures stand beside, in other words.
    key_id: Option<String>,
    /// What the provider was told to show in its handshake.
    #[serde(alias = "verification_token", alias = "token")]
    verify_token: Option<String>,
    /// Names that the provider shows, of which one must be ours.
    client_ids: Vec<String>,
}

/// A key that requests name.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct CapturedKey {
    keyid: Option<String>,
    alg: Option<String>,
    #[serde(alias = "public_key_base64", alias = "secret_base64")]
    pem: String,
}

/// One value or several.
#[derive(Clone, Default, Deserialize)]
#[serde(untagged)]
enum Values {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

/// Settings of a captured request that say who its source is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CapturedTerms {
    /// Claims that must have these values.
    require_claims: BTreeMap<String, Value>,
    /// Members of the body (dots between names) that must have one of these values.
    require_json: BTreeMap<String, Value>,
    #[serde(alias = "max_age_s")]
    tolerance_s: Option<u32>,
    leeway_s: Option<u32>,
    tag: Option<String>,
    required_components: Option<Vec<String>>,
    /// Settings by the names of their scheme, among others.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Values {
    fn iter(&self) -> std::slice::Iter<'_, String> {
        match self {
            Self::None => [].iter(),
            Self::One(value) => std::slice::from_ref(value).iter(),
            Self::Many(values) => values.iter(),
        }
    }
}

impl CapturedKeys {
    /// The secrets among them.
    pub(super) fn secrets(&self) -> Result<Vec<Secret>, String> {
        let texts = self.secret.iter().chain(&self.value).chain(&self.private_key).chain(&self.client_ids);
        texts.map(|text| secret(text)).collect()
    }

    /// The name of the key that signatures stand beside; then what is secret is `private_key`.
    pub(super) fn public_name(&self) -> Option<&String> {
        match (&self.private_key, &self.public_key) {
            (Some(_), Values::One(name)) => Some(name),
            _ => self.key_id.as_ref(),
        }
    }

    /// What would be fetched.
    pub fn documents(&self) -> Documents {
        Documents::complete(self.documents.clone())
    }

    /// Adds public keys, roots and the address of keys to `options`.
    pub(super) fn add_to(&self, options: &mut Options, scheme: &Scheme) -> Result<(), String> {
        for text in self.public_key.iter().filter(|_| scheme.takes_keys()) {
            options.keys.push(ConfiguredKey { id: None, algorithm: None, text: secret(text)? });
        }
        for key in &self.keys {
            options.keys.push(ConfiguredKey { id: key.keyid.clone(), algorithm: key.alg.clone(), text: secret(&key.pem)? });
        }
        options.roots.clone_from(&self.trust_anchors_pem);
        options.key_url = self.url.clone().filter(|_| scheme.takes_key_url());
        Ok(())
    }
}

impl CapturedTerms {
    /// What they mean for `scheme`.
    pub(super) fn of(&self, scheme: &Scheme) -> Result<Terms, String> {
        let mut terms = Terms {
            tolerance: self.tolerance_s,
            leeway: self.leeway_s,
            tag: self.tag.clone(),
            components: self.required_components.clone(),
            ..Terms::default()
        };
        for setting in scheme.settings() {
            let plural = format!("{}s", setting.name);
            if let Some(value) = self.rest.get(&setting.name).or_else(|| self.rest.get(&plural)) {
                terms.settings.insert(setting.name.clone(), list(value));
            }
        }
        let claims = self.require_claims.iter().map(|(name, value)| (Requirement::of_claims(&pointer(name), list(value)), name));
        let json = self.require_json.iter().map(|(path, value)| (Requirement::of_body(&dotted(path), list(value)), path));
        for (requirement, name) in claims.chain(json) {
            terms.requirements.push(requirement.ok_or_else(|| format!("{name:?} is no place"))?);
        }
        Ok(terms)
    }
}

impl CapturedTerms {
    /// What the source's handshakes are told.
    pub(super) fn of_handshakes(&self, keys: &CapturedKeys, public_key: Option<String>) -> Result<handshake::Terms, String> {
        let told = self.rest.get("verify_token").and_then(Value::as_str).map(str::to_owned);
        let verify_token = told.or_else(|| keys.verify_token.clone());
        let list = |name: &str| self.rest.get(name).map(|value| (name.to_owned(), texts(value)));
        Ok(handshake::Terms {
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
}

fn texts(value: &Value) -> Vec<String> {
    let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    list(value).iter().map(text).collect()
}

fn secret(text: &str) -> Result<Secret, String> {
    Secret::try_new(text.to_owned().into_bytes(), None).map_err(|error| error.to_string())
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn dotted(path: &str) -> String {
    path.split('.').map(pointer).collect()
}

impl std::fmt::Debug for CapturedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CapturedKeys({}, masked)", self.kind)
    }
}
