//! Rules on what was signed, judged after the proof: that it is what the scheme demands, and that it is for us.

use serde_json::Value;

use super::jira;
use super::settings::Settings;
use super::written::{Made, Need, WrittenRule};
use crate::signature::address::Form;
use crate::signature::pointer::Scalar;
use crate::signature::scheme::{BadScheme, prove_name};
use crate::signature::view::View;
use crate::signature::written::Place;
use crate::signature::x509::address;
use crate::signature::{Reason, Unsignable};

/// Settings that a source has whatever its scheme says.
const RESERVED: [&str; 28] = [
    "ack",
    "allow",
    "answer",
    "body",
    "confirm_fetch",
    "dedupe",
    "handshake",
    "host",
    "key_fetch",
    "key_url",
    "keys",
    "methods",
    "on_bad_signature",
    "path",
    "per_second",
    "provider",
    "public_key",
    "public_url",
    "require",
    "required_components",
    "roots",
    "secrets",
    "tag",
    "tolerance",
    "type",
    "verify",
    "verify_decoded",
    "verify_token",
];

/// A rule, proved.
#[derive(Clone, Debug)]
pub(in crate::signature) struct Rule {
    pub(in crate::signature) place: Place,
    /// Of these one must be there, and all that are there must hold.
    pub(in crate::signature) names: Vec<String>,
    wanted: Wanted,
    optional: bool,
}

#[derive(Clone, Debug)]
enum Wanted {
    /// One of these.
    Values(Vec<Value>),
    /// What the source says, or else one of these.
    Setting(String, Need, Vec<Value>),
    Made(Made),
    /// What this header says, where it is there.
    Header(String),
    /// An address that fits one of these.
    Address(Vec<address::Rule>),
}

/// A rule that a source adds to its provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    place: Place,
    name: String,
    values: Vec<Value>,
}

impl Requirement {
    /// That the JSON pointer `name` into the body leads to one of `values`; `None` where it is no pointer.
    pub fn of_body(name: &str, values: Vec<Value>) -> Option<Self> {
        Self::at(Place::Json, name, values)
    }

    /// That the JSON pointer `name` into a token's claims (or other signed content) leads to one of `values`.
    pub fn of_claims(name: &str, values: Vec<Value>) -> Option<Self> {
        Self::at(Place::Claim, name, values)
    }

    fn at(place: Place, name: &str, values: Vec<Value>) -> Option<Self> {
        prove_name(place, name, "require").ok().map(|name| Self { place, name, values })
    }

    /// Whether it holds.
    pub(in crate::signature) fn holds(&self, view: &View<'_>) -> Result<(), Reason> {
        let found = values(view, self.place, &self.name)?;
        let good = found.iter().any(|value| self.values.iter().any(|wanted| is(value, wanted)));
        if good { Ok(()) } else { Err(Reason::OtherRecipient) }
    }
}

impl Rule {
    /// From what is written.
    pub(super) fn try_new(written: &WrittenRule) -> Result<Self, BadScheme> {
        let names = written.name.clone().into_vec();
        let names = names.iter().map(|name| prove_name(written.place, name, "rules.name")).collect::<Result<Vec<_>, _>>()?;
        let wanted = match (&written.setting, written.is) {
            (None, None) if !written.addresses.is_empty() && written.equals.is_empty() && written.header.is_none() => {
                let bad = |text: &String| BadScheme::Value("rules.addresses", text.clone());
                let rules = written.addresses.iter().map(|text| address::Rule::parse(text).ok_or_else(|| bad(text)));
                Wanted::Address(rules.collect::<Result<_, _>>()?)
            }
            _ if !written.addresses.is_empty() => return Err(BadScheme::Unused("rules.addresses")),
            (None, None) if written.header.is_some() && written.equals.is_empty() => {
                let name = written.header.as_deref().unwrap_or_default();
                Wanted::Header(prove_name(Place::Header, name, "rules.header")?)
            }
            _ if written.header.is_some() => return Err(BadScheme::Unused("rules.header")),
            (Some(_), Some(_)) => return Err(BadScheme::Unused("rules.is")),
            (None, Some(_)) if !written.equals.is_empty() => return Err(BadScheme::Unused("rules.equals")),
            (None, Some(made)) => Wanted::Made(made),
            (Some(name), None) if !is_setting(name) => return Err(BadScheme::Value("rules.setting", name.clone())),
            (Some(name), None) => Wanted::Setting(name.clone(), written.need, written.equals.clone()),
            (None, None) if written.equals.is_empty() => return Err(BadScheme::Missing("rules.equals")),
            (None, None) => Wanted::Values(written.equals.clone()),
        };
        if names.is_empty() {
            return Err(BadScheme::Missing("rules.name"));
        }
        Ok(Self { place: written.place, names, wanted, optional: written.optional })
    }

    /// The setting that it needs, and how much.
    pub(in crate::signature) fn setting(&self) -> Option<(&str, Need)> {
        match &self.wanted {
            Wanted::Setting(name, need, defaults) => Some((name, if defaults.is_empty() { *need } else { Need::May })),
            _ => None,
        }
    }

    /// Whether a requirement of the source says the same as this rule's setting would.
    pub(in crate::signature) fn is_met_by(&self, requirement: &Requirement) -> bool {
        requirement.place == self.place && self.names.contains(&requirement.name)
    }

    /// The claim that one who signs writes to meet it; `None` where none is needed.
    pub(in crate::signature) fn claim(&self, view: &View<'_>) -> Result<Option<(&str, Value)>, Unsignable> {
        let Some(name) = self.names.first().filter(|_| self.place == Place::Claim) else { return Ok(None) };
        let value = match &self.wanted {
            Wanted::Values(values) => values.first().cloned(),
            Wanted::Setting(setting, ..) if view.unpacked.settings.is_some_and(|s| s.is_open(setting)) => return Ok(None),
            Wanted::Setting(setting, _, defaults) => {
                let set = view.unpacked.settings.and_then(|settings| settings.values(setting));
                set.unwrap_or(defaults).first().cloned()
            }
            Wanted::Made(made) => Some(String::from_utf8_lossy(&made.text(view)).into()),
            Wanted::Header(_) | Wanted::Address(_) => None,
        };
        match value {
            Some(value) => Ok(Some((name, value))),
            None if self.optional => Ok(None),
            None => Err(Unsignable::Unknown),
        }
    }

    /// Whether it holds.
    pub(in crate::signature) fn holds(&self, view: &View<'_>) -> Result<(), Reason> {
        let (wanted, refusal) = match &self.wanted {
            Wanted::Values(values) => (values.as_slice(), Reason::BadClaim),
            Wanted::Setting(name, _, defaults) => {
                let set = view.unpacked.settings.map(|settings| (settings.values(name), settings.says(name)));
                match set {
                    Some((Some(values), _)) => (values, Reason::OtherRecipient),
                    // Everybody may send.
                    Some((None, true)) => return Ok(()),
                    _ if defaults.is_empty() => return Ok(()),
                    _ => (defaults.as_slice(), Reason::OtherRecipient),
                }
            }
            Wanted::Made(made) => return self.holds_made(*made, view),
            Wanted::Address(rules) => {
                let good = |value: &Scalar| matches!(value, Scalar::Text(text) if address::allows(rules, text));
                return self.hold(view, Reason::BadClaim, good);
            }
            Wanted::Header(name) => {
                let Some(says) = view.header(name)? else { return Ok(()) };
                return self.hold(view, Reason::BadClaim, |value| matches!(value, Scalar::Text(t) if t.as_bytes() == says));
            }
        };
        self.hold(view, refusal, |value| wanted.iter().any(|wanted| is(value, wanted)))
    }

    fn holds_made(&self, made: Made, view: &View<'_>) -> Result<(), Reason> {
        let text = made.text(view);
        let refusal = if made == Made::Url { Reason::OtherRecipient } else { Reason::Mismatch };
        self.hold(view, refusal, |value| matches!(value, Scalar::Text(claimed) if claimed.as_bytes() == text))
    }

    fn hold(&self, view: &View<'_>, refusal: Reason, good: impl Fn(&Scalar) -> bool) -> Result<(), Reason> {
        let mut any = false;
        for name in &self.names {
            let found = values(view, self.place, name)?;
            any |= !found.is_empty();
            if !found.is_empty() && !found.iter().any(&good) {
                return Err(refusal);
            }
        }
        if any || self.optional { Ok(()) } else { Err(Reason::MissingPart) }
    }
}

impl Made {
    fn text(self, view: &View<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        match self {
            Self::Url => view.feed_address(Form::Whole, &mut |piece| text.extend_from_slice(piece)),
            Self::JiraQsh => text = jira::query_hash(view.method, view.target).into_bytes(),
        }
        text
    }
}

/// Whether it can be a setting's name beside those that every source has.
fn is_setting(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !RESERVED.contains(&name)
}

/// The values at a place; of an array in signed content, each.
fn values(view: &View<'_>, place: Place, name: &str) -> Result<Vec<Scalar>, Reason> {
    let signed = match place {
        Place::Claim => view.unpacked.claims,
        Place::Envelope => view.unpacked.envelope,
        Place::Json => return Ok(view.scalar(name)?.into_iter().collect()),
        _ => {
            let text = view.value(place, name)?.map(|value| String::from_utf8(value.into_owned()));
            return text.transpose().map(|text| text.map(Scalar::Text).into_iter().collect()).map_err(|_| Reason::BadEncoding);
        }
    };
    match signed.and_then(|value| value.pointer(name)) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(elements)) => elements.iter().map(|e| scalar(e).ok_or(Reason::BadClaim)).collect(),
        Some(value) => Ok(vec![scalar(value).ok_or(Reason::BadClaim)?]),
    }
}

fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Number(number) => Some(Scalar::Text(number.to_string())),
        Value::Bool(truth) => Some(Scalar::Bool(*truth)),
        _ => None,
    }
}

/// A truth value is one and nothing else; numbers and texts are compared as they are written.
fn is(value: &Scalar, wanted: &Value) -> bool {
    scalar(wanted).is_some_and(|wanted| *value == wanted)
}

impl Settings {
    /// Whether `rule` has all that it cannot do without.
    pub(in crate::signature) fn serves(&self, rule: &Rule, requirements: &[Requirement]) -> bool {
        rule.setting().is_none_or(|(name, need)| {
            need != Need::Must || self.values(name).is_some() || requirements.iter().any(|r| rule.is_met_by(r))
        })
    }
}
