//! A handshake that is confirmed by a visit: its request names an address of its provider, and the provider counts the subscription
//! from when somebody asked for it. Nothing is fetched here: what may be visited is handed on, and only as rebuilt by a rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BadHandshake;
use super::answer::Value;
use super::written::WrittenValue;
use crate::signature::address::query_of;
use crate::signature::form;
use crate::signature::view::View;
use crate::signature::x509::address::{self, Rule};

/// Rules of one handshake: a provider has a few domains.
const RULES_MAX: usize = 16;

/// Where the address is, and which addresses are possible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenConfirm {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// A JSON pointer to a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<String>,
    /// Whole addresses without their query; see `x509::address`.
    addresses: Vec<String>,
    /// What the address's query must say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    with: BTreeMap<String, String>,
}

/// The same, proved.
#[derive(Clone, Debug)]
pub(super) struct Confirm {
    place: Value,
    rules: Vec<Rule>,
    with: BTreeMap<String, String>,
}

/// What must be visited before a handshake is answered. Made of a handshake's rule only, from a request that was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation(String);

impl Confirmation {
    /// The address.
    pub fn address(&self) -> &str {
        &self.0
    }
}

impl Confirm {
    pub(super) fn try_new(written: &WrittenConfirm) -> Result<Self, BadHandshake> {
        let WrittenConfirm { header, query, json, addresses, with } = written;
        let place = WrittenValue { header: header.clone(), query: query.clone(), json: json.clone(), ..WrittenValue::default() };
        let rule = |text: &String| Rule::parse(text).ok_or_else(|| BadHandshake::Address(text.clone()));
        let rules = addresses.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        if !(1..=RULES_MAX).contains(&rules.len()) {
            return Err(BadHandshake::Addresses(RULES_MAX));
        }
        Ok(Self { place: Value::try_new(&place)?, rules, with: with.clone() })
    }

    pub(super) fn reads_body(&self) -> bool {
        self.place.reads_body()
    }

    /// What the request wants visited; `None` where that is missing, there twice, or not what the rules allow.
    pub(super) fn read(&self, view: &View<'_>) -> Option<Confirmation> {
        let address = address::allowed_with_query(&self.rules, &self.place.read(view)?)?;
        let query = query_of(&address);
        let says = |(name, wanted): (&String, &String)| matches!(form::only(query.as_bytes(), name), Ok(Some(value)) if *value == *wanted.as_bytes());
        self.with.iter().all(says).then_some(Confirmation(address))
    }

    /// The addresses up to the end of their hosts; `None` where one of the hosts is not written out.
    pub(super) fn hosts(&self) -> Option<Vec<&str>> {
        self.rules.iter().map(Rule::host).collect()
    }
}
