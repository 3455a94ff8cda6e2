//! HTTP message signatures (RFC 9421). What a signature must cover is said by the scheme; the algorithm comes from the key.

mod component;
mod digest;
mod structured;

use super::Reason;
use super::scheme::BadScheme;
use super::signed::proof::Found;
use super::signed::written::WrittenMessage;
use super::signed::{Case, Maker, Signed, ring};
use super::view::View;
use structured::{Bare, Item, Member, Parameters};

/// Signatures that one request may carry: each label costs a text of its own.
const LABELS_MAX: usize = 8;
const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";

/// What a signature must cover and say.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub(super) components: Vec<String>,
    pub(super) parameters: Vec<String>,
    pub(super) max_age: Option<u32>,
    pub(super) tag: Option<String>,
}

/// For `fuzz/` only: a dictionary of structured fields as its RFC writes what was read.
#[cfg(fuzzing)]
pub fn dictionary_text(text: &str) -> Option<String> {
    let member = |(name, member): &(String, Member)| match member {
        Member::Item(Item { value: Bare::Truth(true), parameters }) => {
            let text = structured::item_text(&Item { value: Bare::Truth(true), parameters: parameters.clone() });
            format!("{name}{}", &text["?1".len()..])
        }
        member => format!("{name}={}", structured::member_text(member)),
    };
    Some(structured::dictionary(text)?.iter().map(member).collect::<Vec<_>>().join(", "))
}

impl Profile {
    /// From what is written.
    pub(super) fn try_new(written: Option<&WrittenMessage>) -> Result<Self, BadScheme> {
        let WrittenMessage { components, parameters, max_age, tag } = written.cloned().unwrap_or_default();
        let good = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
        if let Some(bad) = components.iter().find(|name| !good(name)) {
            return Err(BadScheme::Value("message.components", bad.clone()));
        }
        Ok(Self { components, parameters, max_age, tag })
    }
}

impl Profile {
    /// Whether a signature must cover the body's hash.
    pub(super) fn covers_body(&self) -> bool {
        self.components.iter().any(|name| name == digest::FIELD)
    }
}

/// One signature of a request.
struct Labelled {
    components: Vec<Item>,
    parameters: Parameters,
    signature: Vec<u8>,
}

/// Proves that one of the request's signatures is by a key that counts and covers what it must.
pub(super) fn prove(signed: &Signed, profile: &Profile, case: Case<'_>) -> Result<Found, Reason> {
    let mut refusal = Reason::MissingHeader;
    for labelled in labelled(&case.view)? {
        match labelled.prove(signed, profile, case) {
            Ok(()) => return Ok(Found::default()),
            // Other signatures may be for others.
            Err(Reason::UnknownKey) if refusal != Reason::MissingHeader => {}
            Err(reason) => refusal = reason,
        }
    }
    Err(refusal)
}

fn labelled(view: &View<'_>) -> Result<Vec<Labelled>, Reason> {
    let dictionary = |name: &str| {
        let lines: Vec<&[u8]> = view.headers.all(name).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return Err(Reason::MissingHeader);
        }
        structured::dictionary(&component::joined(&lines)?).ok_or(Reason::BadEncoding)
    };
    let (inputs, mut signatures) = (dictionary(INPUT)?, dictionary(SIGNATURE)?);
    if inputs.len() > LABELS_MAX {
        return Err(Reason::BadEncoding);
    }
    let mut found = Vec::new();
    for (label, input) in inputs {
        let Some(at) = signatures.iter().position(|(known, _)| *known == label) else { continue };
        let (Member::List(components, parameters), (_, Member::Item(item))) = (input, signatures.swap_remove(at)) else {
            return Err(Reason::BadEncoding);
        };
        let Bare::Bytes(signature) = item.value else { return Err(Reason::BadEncoding) };
        found.push(Labelled { components, parameters, signature });
    }
    Ok(found)
}

impl Labelled {
    fn prove(&self, signed: &Signed, profile: &Profile, case: Case<'_>) -> Result<(), Reason> {
        let tag = case.terms.tag.as_deref().or(profile.tag.as_deref());
        if tag.is_some() && tag != self.text("tag")? {
            return Err(Reason::BadClaim);
        }
        let has = |name: &String| self.parameters.iter().any(|(known, _)| known == name);
        if !profile.parameters.iter().all(has) || !self.covers(case.terms.components.as_ref().unwrap_or(&profile.components)) {
            return Err(Reason::BadClaim);
        }
        self.judge_times(profile, case)?;
        let algorithm = self.text("alg")?.map(|name| Maker::of_http(name).ok_or(Reason::UnknownVersion)).transpose()?;
        let id = self.text("keyid")?;
        let keys = case.keys.ring.find(None, id, case.at)?;
        let possible =
            |maker: Maker| algorithm.is_none_or(|named| named == maker) && signed.makers.iter().any(|(_, known)| *known == maker);
        let keys: Vec<_> = keys.into_iter().filter(|key| possible(key.maker())).map(std::borrow::Cow::Borrowed).collect();
        if keys.is_empty() {
            return Err(Reason::UnknownVersion);
        }
        let base = self.base(&case.view)?;
        ring::prove(&keys, &[&self.signature], &|sink| {
            sink(base.as_bytes());
            Ok(())
        })?;
        if self.components.iter().any(|c| is_field(c, digest::FIELD)) { digest::holds(&case.view) } else { Ok(()) }
    }

    /// The text of a parameter; one that is no text is refused.
    fn text(&self, name: &str) -> Result<Option<&str>, Reason> {
        match self.parameters.iter().find(|(known, _)| known == name) {
            None => Ok(None),
            Some((_, Bare::Text(text))) => Ok(Some(text)),
            Some(_) => Err(Reason::BadEncoding),
        }
    }

    fn second(&self, name: &str) -> Result<Option<u64>, Reason> {
        match self.parameters.iter().find(|(known, _)| known == name) {
            None => Ok(None),
            Some((_, Bare::Integer(second))) => u64::try_from(*second).map(Some).map_err(|_| Reason::BadTimestamp),
            Some(_) => Err(Reason::BadTimestamp),
        }
    }

    /// Whether all of `wanted` are covered, by themselves or by what holds them whole.
    fn covers(&self, wanted: &[String]) -> bool {
        let named = |name: &str| self.components.iter().any(|component| is_field(component, name));
        let within = |name: &str| match name {
            "@authority" | "@scheme" => named("@target-uri"),
            "@path" | "@query" => named("@target-uri") || named("@request-target"),
            _ => false,
        };
        wanted.iter().all(|name| named(name) || within(name))
    }

    fn judge_times(&self, profile: &Profile, case: Case<'_>) -> Result<(), Reason> {
        let now = case.at.seconds();
        if self.second("expires")?.is_some_and(|end| end <= now) {
            return Err(Reason::TimestampTooOld);
        }
        let created = self.second("created")?;
        let Some(bound) = case.terms.tolerance.or(profile.max_age) else { return Ok(()) };
        let created = created.ok_or(Reason::MissingTimestamp)?;
        if now.saturating_sub(created) > u64::from(bound) {
            return Err(Reason::TimestampTooOld);
        }
        if created.saturating_sub(now) > u64::from(bound) { Err(Reason::TimestampInFuture) } else { Ok(()) }
    }

    /// The text that is signed (section 2.5).
    fn base(&self, view: &View<'_>) -> Result<String, Reason> {
        let mut base = String::new();
        let mut seen = Vec::new();
        for component in &self.components {
            let identifier = structured::item_text(component);
            if seen.contains(&identifier) {
                return Err(Reason::BadEncoding);
            }
            let text = component::text(component, view)?;
            // A line end inside would let one value stand for two components.
            if text.contains(['\n', '\r']) {
                return Err(Reason::BadEncoding);
            }
            base.extend([identifier.as_str(), ": ", &text, "\n"]);
            seen.push(identifier);
        }
        base.extend(["\"@signature-params\": ", &structured::list_text(&self.components, &self.parameters)]);
        Ok(base)
    }
}

/// Whether a component is the whole of that name, not a part of it.
fn is_field(component: &Item, name: &str) -> bool {
    component.parameters.is_empty() && matches!(&component.value, Bare::Text(text) if text == name)
}
