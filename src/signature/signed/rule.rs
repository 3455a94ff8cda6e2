//! Rules on what was signed, judged after the proof: that it is what the scheme demands, and that it is for us.

use serde_json::Value;

use super::jira;
use super::settings::Settings;
use super::written::{Made, Need, WrittenRule};
use crate::pointer::{self, Scalar};
use crate::signature::address::Form;
use crate::signature::body::Body;
use crate::signature::scheme::{BadScheme, prove_name};
use crate::signature::view::View;
use crate::signature::written::Place;
use crate::signature::x509::address;
use crate::signature::{Reason, Unsignable, json};

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
    pub(in crate::signature) fn try_new(written: &WrittenRule) -> Result<Self, BadScheme> {
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

    /// The header that one who signs adds to meet it, where that is what the source says.
    pub(in crate::signature) fn header(&self, settings: &Settings) -> Option<(&str, String)> {
        let name = self.names.first().filter(|_| self.place == Place::Header)?;
        let values = match &self.wanted {
            Wanted::Values(values) => values,
            Wanted::Setting(setting, _, defaults) => settings.values(setting).unwrap_or(defaults),
            Wanted::Made(_) | Wanted::Header(_) | Wanted::Address(_) => return None,
        };
        json::text(values.first()?).map(|text| (name.as_str(), text))
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
            for found in places(view, self.place, name)? {
                any = true;
                if !found.iter().any(&good) {
                    return Err(refusal);
                }
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

/// The values at each of the places that a name means: one, or with `*` in it one in each element of an array. What is missing in one
/// element must be missing in all.
fn places(view: &View<'_>, place: Place, name: &str) -> Result<Vec<Vec<Scalar>>, Reason> {
    let Some((list, item)) = pointer::split_each(name).filter(|_| place == Place::Json) else {
        let found = values(view, place, name)?;
        return Ok(if found.is_empty() { Vec::new() } else { vec![found] });
    };
    let body = view.body.whole()?;
    // A body without that array is for another of the rule's names.
    let elements = pointer::elements(&body, list, "").unwrap_or_default();
    let of_element = |text: &&str| View { body: Body::new(text.as_bytes(), false), ..*view }.scalar(item);
    let found = elements.iter().map(of_element).collect::<Result<Vec<_>, _>>()?;
    let there: Vec<_> = found.iter().flatten().cloned().map(|value| vec![value]).collect();
    if there.is_empty() || there.len() == found.len() { Ok(there) } else { Err(Reason::MissingPart) }
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

#[cfg(test)]
mod tests {
    use crate::record::{Headers, Received};
    use crate::signature::{Options, Reason, Requirement, Scheme, Secret, Settings, Terms, Unready, Verifier};
    use crate::time::Timestamp;
    use serde_json::{Value, json};
    use std::net::{IpAddr, Ipv4Addr};

    fn scheme(rules: &str) -> Scheme {
        toml::from_str(&format!("kind = 'token'\nsignature = [{{ in = 'header', name = 'X-T' }}]\nrules = [{rules}]")).unwrap()
    }

    fn verifier(rules: &str, settings: &[(&str, Value)], requirements: Vec<Requirement>) -> Result<Verifier, Unready> {
        let mut terms = Terms { requirements, settings: Settings::default(), ..Terms::default() };
        for (name, value) in settings {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            terms.settings.insert((*name).to_owned(), values);
        }
        let secret = Secret::try_new(b"t".to_vec(), None).unwrap();
        Verifier::try_new(scheme(rules), vec![secret], Options { terms, ..Options::default() })
    }

    fn judge(verifier: &Verifier, more: &[(&str, &str)], body: &str) -> Result<(), Reason> {
        let field = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        let received = Received {
            method: "POST".into(),
            target: "/".into(),
            authority: "hooks.example".into(),
            headers: [("x-t", "t")].iter().chain(more).map(field).collect::<Headers>(),
            body: body.to_owned().into(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: Timestamp::from_ms(1_790_000_000_000),
        };
        verifier.verify(received).map(drop).map_err(|refused| refused.reason)
    }

    #[test]
    fn a_shared_secret_has_rules_too() {
        let rules = "{ in = 'header', name = 'X-Of', setting = 'ours', need = 'may' }";
        let ours = verifier(rules, &[("ours", json!(["a", "b"]))], Vec::new()).unwrap();
        assert_eq!(judge(&ours, &[("x-of", "b")], ""), Ok(()));
        assert_eq!(judge(&ours, &[("x-of", "c")], ""), Err(Reason::OtherRecipient));
        assert_eq!(judge(&ours, &[("x-of", "b"), ("x-of", "b")], ""), Err(Reason::BadEncoding));
        assert_eq!(judge(&ours, &[], ""), Err(Reason::MissingPart));
        let unsaid = verifier(rules, &[], Vec::new()).unwrap();
        assert_eq!(judge(&unsaid, &[("x-of", "c")], ""), Ok(()));
        let must = rules.replace("may", "must");
        assert_eq!(verifier(&must, &[], Vec::new()).unwrap_err(), Unready::Missing("ours".into()));
        assert!(verifier(&must, &[("ours", json!("a"))], Vec::new()).is_ok());
    }

    #[test]
    fn a_source_can_demand_more_of_any_scheme() {
        let demand = Requirement::of_body("/account", vec![json!("a1")]).unwrap();
        let demanding = verifier("", &[], vec![demand]).unwrap();
        assert_eq!(judge(&demanding, &[], r#"{"account":"a1"}"#), Ok(()));
        for body in [r#"{"account":"a2"}"#, r#"{"account":null}"#, "{}"] {
            assert_eq!(judge(&demanding, &[], body), Err(Reason::OtherRecipient), "{body}");
        }
    }

    #[test]
    fn each_element_must_be_ours() {
        let rules = "{ in = 'json', name = ['/l/*/a/b', '/c'], setting = 'ours', need = 'may' }";
        let ours = verifier(rules, &[("ours", json!(["x", 7]))], Vec::new()).unwrap();
        for (body, expected) in [
            (r#"{"l":[{"a":{"b":"x"}},{"a":{"b":7}}]}"#, Ok(())),
            (r#"{"c":"x"}"#, Ok(())),
            (r#"{"c":"x","l":[{"a":{"b":"y"}}]}"#, Err(Reason::OtherRecipient)),
            (r#"{"l":[{"a":{"b":"x"}},{"a":{"b":"y"}}]}"#, Err(Reason::OtherRecipient)),
            (r#"{"l":[{"a":{"b":"x"}},{}]}"#, Err(Reason::MissingPart)),
            (r#"{"l":[{"a":{"b":"x","b":"x"}}]}"#, Err(Reason::BadEncoding)),
            (r#"{"l":[],"c":null}"#, Err(Reason::MissingPart)),
            (r#"{"l":{"*":{"a":{"b":"x"}}}}"#, Err(Reason::MissingPart)),
            ("", Err(Reason::BadEncoding)),
        ] {
            assert_eq!(judge(&ours, &[], body), expected, "{body}");
        }
    }
}
