//! What a source says of itself, so that what a provider signs for others is not taken for ours: topics, audiences, application ids.

use std::collections::BTreeMap;

use serde_json::Value;

use super::written::Need;

/// Values by the name of a setting. A setting without values says that everybody may send.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<String, Vec<Value>>);

/// A setting that a scheme knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What becomes of a source that does not have it.
    pub without: Without,
}

/// What becomes of a source that does not have a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Without {
    /// Nothing is lost.
    Usable,
    /// Everybody for whom the provider signs could send to it; that can be wanted.
    Open,
    /// It cannot be used.
    Unusable,
}

impl Settings {
    /// Adds one; `"any"` alone says that everybody may send.
    pub fn insert(&mut self, name: String, values: Vec<Value>) {
        let any = matches!(&values[..], [Value::String(text)] if text == "any");
        self.0.insert(name, if any { Vec::new() } else { values });
    }

    /// Whether it says anything, be it that everybody may send.
    pub fn says(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether it says that everybody may send.
    pub fn is_open(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(Vec::is_empty)
    }

    /// The values that are possible; `None` where it says nothing, or that everybody may send.
    pub fn values(&self, name: &str) -> Option<&[Value]> {
        self.0.get(name).map(Vec::as_slice).filter(|values| !values.is_empty())
    }

    /// Its one value; `None` where there is none, or several.
    pub(in crate::signature) fn only(&self, name: &str) -> Option<&Value> {
        match self.values(name) {
            Some([value]) => Some(value),
            _ => None,
        }
    }
}

impl From<Need> for Without {
    fn from(need: Need) -> Self {
        match need {
            Need::Must => Self::Unusable,
            Need::Ours => Self::Open,
            Need::May => Self::Usable,
        }
    }
}
