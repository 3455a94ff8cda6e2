//! How a provider signs, names and dates its webhooks: data, proved when it is read. A [`Scheme`] that exists can be used.

use std::sync::Arc;

use http::HeaderName;
use serde::{Deserialize, Serialize, Serializer};

use super::claim::{Form, Separator, Source};
use super::encoding::Encoding;
use super::hash::Hash;
use super::sealed::WrittenSealed;
use super::signed::{Rule, Setting, Signed, SignedKind, settings_of};
use super::template::{BadTemplate, Template};
use super::view::View;
use super::written::{Kind, OneOrMany, Place, Requirement, Written, WrittenBodyHash, WrittenSecret, WrittenSource, WrittenStamp};
use super::{BadSecret, Reason, Secret, Selector};
use crate::pointer;

/// As a signature's `key`: what the source calls `public_key`.
const PUBLIC_KEY: &str = "{public_key}";

/// A provider's way to sign, as a preset or `[sources.NAME.verify]` in relay.toml writes it. Cheap to clone.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Scheme {
    written: Arc<Written>,
    ways: Arc<[Way]>,
    also: Option<Arc<Also>>,
}

/// What must be proved beside the one way of a scheme, in some requests.
#[derive(Debug)]
pub(super) struct Also {
    pub(super) way: Way,
    /// The lists of the scheme's way and of this one, and the member of the former's elements that makes this one needed.
    list: String,
    own_list: String,
    member: String,
}

/// One way to sign. A scheme has several where its provider does.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) check: Check,
    pub(super) secret: WrittenSecret,
    pub(super) sources: Vec<Source>,
    pub(super) stamp: Option<WrittenStamp>,
    /// What is signed; any of them may match. Empty for tokens.
    pub(super) payloads: Vec<Template>,
    pub(super) body_hash: Option<WrittenBodyHash>,
    pub(super) body_field: Option<String>,
    pub(super) sealed: Option<WrittenSealed>,
    pub(super) require: Vec<Requirement>,
    /// The array whose elements are proved one by one, and the way on from an element.
    pub(super) for_each: Option<(String, String)>,
    pub(super) event_id: Option<Selector>,
    pub(super) event_type: Option<Selector>,
    /// The payload depends on the items beside a signature, so that each group of signatures has its own.
    pub(super) by_group: bool,
    /// The timestamp stands in the body and is not needed for the payload: it is looked for after the proof.
    pub(super) stamp_after_proof: bool,
    /// What must hold once the sender is proved, and what the source can say for it; of a way that is `signed`, that has them.
    pub(super) rules: Vec<Rule>,
    pub(super) settings: Vec<Setting>,
    /// How it is signed, where it is not with a shared secret's hash alone.
    pub(super) signed: Option<Signed>,
}

/// How a way proves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Hmac(Hash),
    Digest(Hash),
    /// The request shows the secret itself: its content is not proved.
    Shown,
    /// By a key, as the way's [`Signed`] says.
    Signed,
}

/// A scheme that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScheme {
    /// A key that this kind needs is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A key that this kind does not use is there.
    #[error("`{0}` does not belong here")]
    Unused(&'static str),
    /// A value is not possible.
    #[error("`{0}` cannot be {1:?}")]
    Value(&'static str, String),
    /// A payload template is wrong.
    #[error("in the payload {1:?}: {0}")]
    Payload(BadTemplate, String),
}

impl Scheme {
    /// The ways to sign; at least one.
    pub(super) fn ways(&self) -> &[Way] {
        &self.ways
    }

    /// Where the event's id is; of several ways, in the first that has one.
    pub fn event_id(&self) -> Option<&Selector> {
        self.ways.iter().find_map(|way| way.event_id.as_ref())
    }

    /// Where the event's type is; of several ways, in the first that has one.
    pub fn event_type(&self) -> Option<&Selector> {
        self.ways.iter().find_map(|way| way.event_type.as_ref())
    }

    /// Whether a secret could count for one of its signatures.
    pub(super) fn takes(&self, secret: &Secret) -> Result<(), BadSecret> {
        let mut sources = self.ways.iter().flat_map(|way| &way.sources);
        if secret.slot().is_some_and(|slot| !sources.clone().any(|source| source.slot.as_deref() == Some(slot))) {
            return Err(BadSecret::Slot);
        }
        let has_password = secret.expose().contains(&b':');
        if !has_password && sources.all(|source| source.form == Form::Basic) {
            return Err(BadSecret::NoPassword);
        }
        Ok(())
    }

    /// How its keyed hashes' secret is decoded; of several ways, in the first that has one.
    pub(super) fn secret(&self) -> Option<&WrittenSecret> {
        self.ways.iter().find(|way| matches!(way.check, Check::Hmac(_))).map(|way| &way.secret)
    }

    /// How its bodies' content is encrypted; of several ways, in the first that says it.
    pub(super) fn sealed(&self) -> Option<&WrittenSealed> {
        self.ways.iter().find_map(|way| way.sealed.as_ref())
    }

    /// Whether it has a place for the public key's name, which each merchant has another one of.
    pub fn needs_public_key(&self) -> bool {
        self.written.keys().any(|key| key == PUBLIC_KEY)
    }

    /// The same with that name in its place.
    pub fn with_public_key(&self, name: &str) -> Result<Self, BadScheme> {
        let mut written = (*self.written).clone();
        written.keys_mut().filter(|key| *key == PUBLIC_KEY).for_each(|key| name.clone_into(key));
        Self::try_from(written)
    }

    /// Whether the address that the provider calls is signed, so that a relay behind another name needs `public_url`.
    pub fn signs_address(&self) -> bool {
        self.ways.iter().flat_map(|way| &way.payloads).any(Template::holds_address)
    }

    /// Whether the body is proved, or only that the sender knows the secret.
    pub fn covers_body(&self) -> bool {
        self.ways.iter().all(Way::covers_body)
    }

    /// What must be proved beside its one way.
    pub(super) fn also(&self) -> Option<&Also> {
        self.also.as_deref()
    }

    /// What its ways, and what must be proved beside them, say of keys and tokens.
    pub(super) fn signed(&self) -> impl Iterator<Item = &Signed> {
        self.ways.iter().chain(self.also.as_deref().map(|also| &also.way)).filter_map(|way| way.signed.as_ref())
    }
}

impl Serialize for Scheme {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(s)
    }
}

impl TryFrom<Written> for Scheme {
    type Error = BadScheme;

    fn try_from(written: Written) -> Result<Self, BadScheme> {
        let ways = if written.kind == Kind::Any { ways_of_any(&written)? } else { vec![Way::try_new(&written, &written)?] };
        let also = written.also.as_ref().map(|also| Also::try_new(also, &written)).transpose()?;
        Ok(Self { written: Arc::new(written), ways: ways.into(), also: also.map(Arc::new) })
    }
}

fn ways_of_any(written: &Written) -> Result<Vec<Way>, BadScheme> {
    let bare = Written { event_id: None, event_type: None, any: Vec::new(), ..written.clone() };
    if bare != (Written { kind: Kind::Any, ..Written::default() }) {
        return Err(BadScheme::Unused("any other key than any, event_id and type"));
    }
    if written.any.is_empty() {
        return Err(BadScheme::Missing("any"));
    }
    written.any.iter().map(|way| Way::try_new(way, written)).collect()
}

impl Also {
    fn try_new(written: &Written, outer: &Written) -> Result<Self, BadScheme> {
        let member = outer.also_if.as_ref().ok_or(BadScheme::Missing("also_if"))?;
        let way = Way::try_new(written, &Written::default())?;
        let list = outer.for_each.clone().ok_or(BadScheme::Missing("for_each"))?;
        let (own_list, _) = way.for_each.clone().ok_or(BadScheme::Missing("also.for_each"))?;
        if way.signed.is_none() || written.also.is_some() {
            return Err(BadScheme::Value("also.kind", "a way of shared secrets".into()));
        }
        Ok(Self { way, list, own_list, member: prove_name(Place::Json, member, "also_if")? })
    }

    /// Whether a request needs it.
    pub(super) fn is_needed(&self, view: &View<'_>) -> Result<bool, Reason> {
        let body = view.body.whole()?;
        let unreadable = |_| Reason::BadEncoding;
        Ok(pointer::is_there(&body, &self.own_list).map_err(unreadable)?
            || pointer::any_element_has(&body, &self.list, &self.member).map_err(unreadable)?)
    }
}

impl Way {
    fn covers_body(&self) -> bool {
        let covered = || !self.payloads.is_empty() && self.payloads.iter().all(Template::covers_body);
        match self.signed.as_ref().map(|signed| &signed.kind) {
            Some(SignedKind::Message(profile)) => profile.covers_body(),
            _ => self.body_hash.is_some() || covered(),
        }
    }

    /// From what is written for it; `outer` says where id and type are unless it does itself.
    fn try_new(written: &Written, outer: &Written) -> Result<Self, BadScheme> {
        if !written.any.is_empty() {
            return Err(BadScheme::Unused("any"));
        }
        if written.also_if.is_some() && written.also.is_none() {
            return Err(BadScheme::Missing("also"));
        }
        let check = written.check()?;
        let payloads = written.payloads(check)?;
        let stamp = written.timestamp.clone().map(prove_stamp).transpose()?;
        let signed = Signed::try_new(written, &payloads)?;
        let sources = written.sources(check, stamp.as_ref())?;
        let rules = if signed.is_none() { written.plain_rules()? } else { Vec::new() };
        let settings = if signed.is_none() { settings_of(&rules, &payloads) } else { Vec::new() };
        let holds_stamp = payloads.iter().any(Template::holds_stamp);
        let stamp_in = |places: &[Place]| stamp.as_ref().is_some_and(|s| places.contains(&s.place));
        if holds_stamp && stamp.is_none() {
            return Err(BadScheme::Missing("timestamp"));
        }
        let stamp_after_proof =
            !holds_stamp && stamp_in(&[Place::Json, Place::Form, Place::FormLast, Place::Claim, Place::Envelope]);
        if stamp.as_ref().is_some_and(|stamp| stamp.element.is_some()) && !stamp_after_proof {
            return Err(BadScheme::Unused("timestamp.element"));
        }
        Ok(Self {
            check,
            secret: written.secret.clone().unwrap_or_default(),
            by_group: stamp_in(&[Place::Field]) || payloads.iter().any(Template::holds_fields),
            stamp_after_proof,
            rules,
            settings,
            signed,
            sources,
            payloads,
            body_hash: written.body_hash.clone().map(prove_body_hash).transpose()?,
            body_field: written.body_field.clone(),
            sealed: written.sealed()?,
            require: written.require.iter().map(prove_requirement).collect::<Result<_, _>>()?,
            for_each: written.for_each()?,
            event_id: written.event_id.clone().or_else(|| outer.event_id.clone()),
            event_type: written.event_type.clone().or_else(|| outer.event_type.clone()),
            stamp,
        })
    }
}

impl Written {
    /// The keys of all signatures, and what headers must be.
    fn keys(&self) -> impl Iterator<Item = &String> {
        let own = self.signature.iter().chain(self.any.iter().flat_map(|way| &way.signature));
        let required = self.require.iter().map(|requirement| &requirement.equals);
        own.filter_map(|source| source.key.as_ref()).flat_map(OneOrMany::as_slice).chain(required)
    }

    fn keys_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let own = self.signature.iter_mut().chain(self.any.iter_mut().flat_map(|way| &mut way.signature));
        let required = self.require.iter_mut().map(|requirement| &mut requirement.equals);
        own.filter_map(|source| source.key.as_mut()).flat_map(OneOrMany::as_mut_slice).chain(required)
    }

    fn check(&self) -> Result<Check, BadScheme> {
        let hash = self.hash.ok_or(BadScheme::Missing("hash"));
        match self.kind {
            Kind::Hmac => Ok(Check::Hmac(hash?)),
            Kind::Digest => Ok(Check::Digest(hash?)),
            Kind::Token | Kind::Basic if self.hash.is_some() => Err(BadScheme::Unused("hash")),
            Kind::Token | Kind::Basic => Ok(Check::Shown),
            _ if self.kind.is_signed() && self.hash.is_some() => Err(BadScheme::Unused("hash")),
            _ if self.kind.is_signed() && self.secret.is_some() => Err(BadScheme::Unused("secret")),
            _ if self.kind.is_signed() => Ok(Check::Signed),
            _ => Err(BadScheme::Value("kind", "any".into())),
        }
    }

    /// Where its content is encrypted. That needs a secret.
    fn sealed(&self) -> Result<Option<WrittenSealed>, BadScheme> {
        let Some(sealed) = &self.sealed else { return Ok(None) };
        if self.kind.is_signed() || self.body_field.is_some() {
            return Err(BadScheme::Unused("sealed"));
        }
        prove_name(Place::Json, &sealed.json, "sealed.json").map(|json| Some(WrittenSealed { json, ..sealed.clone() }))
    }

    /// The rules of a way to sign with a shared secret: there is nothing signed beside the request.
    fn plain_rules(&self) -> Result<Vec<Rule>, BadScheme> {
        if let Some(rule) = self.rules.iter().find(|rule| matches!(rule.place, Place::Claim | Place::Envelope | Place::Field)) {
            return Err(BadScheme::Value("rules.in", format!("{:?}", rule.place).to_lowercase()));
        }
        self.rules.iter().map(Rule::try_new).collect()
    }

    fn for_each(&self) -> Result<Option<(String, String)>, BadScheme> {
        let Some(list) = &self.for_each else {
            return if self.item.is_some() { Err(BadScheme::Missing("for_each")) } else { Ok(None) };
        };
        let item = self.item.as_deref().unwrap_or_default();
        let list = prove_name(Place::Json, list, "for_each")?;
        Ok(Some((list, prove_name(Place::Json, item, "item")?)))
    }

    fn payloads(&self, check: Check) -> Result<Vec<Template>, BadScheme> {
        let texts: Vec<&String> = self.payload.iter().chain(&self.payload_alternatives).collect();
        match check {
            Check::Shown if !texts.is_empty() => return Err(BadScheme::Unused("payload")),
            Check::Shown => return Ok(Vec::new()),
            Check::Signed if matches!(self.kind, Kind::Jwt | Kind::HttpMessageSignature) => {
                return if texts.is_empty() { Ok(Vec::new()) } else { Err(BadScheme::Unused("payload")) };
            }
            _ if self.payload.is_none() => return Err(BadScheme::Missing("payload")),
            _ => {}
        }
        texts.into_iter().map(|text| prove_payload(text, check)).collect()
    }

    fn sources(&self, check: Check, stamp: Option<&WrittenStamp>) -> Result<Vec<Source>, BadScheme> {
        if self.kind == Kind::HttpMessageSignature && self.signature.is_empty() {
            return Ok(Vec::new());
        }
        if self.signature.is_empty() {
            return Err(BadScheme::Missing("signature"));
        }
        let form = |encoding: Option<Encoding>| match (check, self.kind) {
            (Check::Hmac(hash) | Check::Digest(hash), _) => {
                encoding.map(|e| Form::Tag(e, hash.bytes())).ok_or(BadScheme::Missing("signature.encoding"))
            }
            (Check::Signed, Kind::Signature | Kind::X509) => {
                encoding.map(Form::Signature).ok_or(BadScheme::Missing("signature.encoding"))
            }
            (Check::Shown, Kind::Basic) => Ok(Form::Basic),
            (Check::Shown | Check::Signed, _) => Ok(Form::Token(encoding.unwrap_or_default())),
        };
        self.signature.iter().map(|source| prove_source(source, form(source.encoding)?, stamp)).collect()
    }
}

fn prove_payload(text: &str, check: Check) -> Result<Template, BadScheme> {
    let template = Template::parse(text).map_err(|error| BadScheme::Payload(error, text.to_owned()))?;
    // Without the secret a plain hash proves nothing; with it in a keyed hash something was misunderstood.
    let fits = template.holds_secret() == matches!(check, Check::Digest(_));
    if fits && template.covers_something() { Ok(template) } else { Err(BadScheme::Value("payload", text.to_owned())) }
}

fn prove_source(written: &WrittenSource, form: Form, stamp: Option<&WrittenStamp>) -> Result<Source, BadScheme> {
    let numbered = written.place == Place::Header && written.name.ends_with('*');
    let name = prove_name(written.place, written.name.trim_end_matches('*'), "signature.name")?;
    let keys = written.key.clone().map(OneOrMany::into_vec).unwrap_or_default();
    match (&written.kv, keys.is_empty()) {
        (Some(_), true) => return Err(BadScheme::Missing("signature.key")),
        (None, false) => return Err(BadScheme::Missing("signature.kv")),
        _ => {}
    }
    let number = |stamp: &WrittenStamp| stamp.name.parse().map_err(|_| BadScheme::Value("timestamp.name", stamp.name.clone()));
    let in_field = stamp.filter(|s| s.place == Place::Field);
    let positional = match in_field {
        Some(stamp) if written.positional && written.list.is_some() => Some(number(stamp)?),
        None if written.positional => return Err(BadScheme::Missing("timestamp")),
        Some(_) if written.list.is_none() => return Err(BadScheme::Missing("signature.list")),
        Some(_) if written.kv.is_none() => return Err(BadScheme::Missing("signature.kv")),
        _ => None,
    };
    if [&written.groups, &written.list, &written.kv].into_iter().flatten().any(String::is_empty) {
        return Err(BadScheme::Value("signature", String::new()));
    }
    if written.place == Place::Field {
        return Err(BadScheme::Value("signature.in", "field".into()));
    }
    Ok(Source {
        place: written.place,
        name,
        numbered,
        form,
        prefix: written.prefix.clone().unwrap_or_default(),
        groups: written.groups.clone().map(Separator::new),
        list: written.list.clone().map(Separator::new),
        kv: written.kv.clone().map(Separator::new),
        keys,
        positional,
        slot: written.slot.clone(),
    })
}

/// The name as it is looked for: lower case for headers, a real pointer for JSON.
pub(super) fn prove_name(place: Place, name: &str, key: &'static str) -> Result<String, BadScheme> {
    let good = match place {
        Place::Header => HeaderName::try_from(name).ok().map(|n| n.as_str().to_owned()),
        Place::Json | Place::Claim | Place::Envelope => pointer::tokens(name).ok().map(|_| name.to_owned()),
        Place::Query | Place::Form | Place::FormLast | Place::Field => Some(name.to_owned()).filter(|n| !n.is_empty()),
    };
    good.ok_or_else(|| BadScheme::Value(key, name.to_owned()))
}

fn prove_stamp(mut stamp: WrittenStamp) -> Result<WrittenStamp, BadScheme> {
    stamp.name = prove_name(stamp.place, &stamp.name, "timestamp.name")?;
    if !stamp.fallback.is_empty() && stamp.place != Place::Header {
        return Err(BadScheme::Unused("timestamp.fallback"));
    }
    for name in &mut stamp.fallback {
        *name = prove_name(Place::Header, name, "timestamp.fallback")?;
    }
    Ok(stamp)
}

fn prove_body_hash(mut body_hash: WrittenBodyHash) -> Result<WrittenBodyHash, BadScheme> {
    if matches!(body_hash.place, Place::Field | Place::Form | Place::FormLast | Place::Json | Place::Envelope) {
        return Err(BadScheme::Value("body_hash.in", "the body itself".into()));
    }
    body_hash.name = prove_name(body_hash.place, &body_hash.name, "body_hash.name")?;
    Ok(body_hash)
}

fn prove_requirement(requirement: &Requirement) -> Result<Requirement, BadScheme> {
    let header = prove_name(Place::Header, &requirement.header, "require.header")?;
    Ok(Requirement { header, equals: requirement.equals.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"kind = "hmac"
        hash = "sha256"
        signature = [{ in = "header", name = "X-Sig", encoding = "hex" }]
        timestamp = { in = "header", name = "X-At", format = "unix", max_age = 300 }
        payload = "{ts}.{body}""#;

    fn error(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        toml::from_str::<Scheme>(&GOOD.replace(from, to)).unwrap_err().message().to_owned()
    }

    #[test]
    fn it_survives_text() {
        let scheme: Scheme = toml::from_str(GOOD).unwrap();
        assert!(scheme.covers_body());
        let text = toml::to_string(&scheme).unwrap();
        assert_eq!(toml::from_str::<Scheme>(&text).unwrap().written, scheme.written);
    }

    #[test]
    fn what_cannot_be_used_does_not_load() {
        for (from, to, message) in [
            ("kind = \"hmac\"", "kind = \"hmac\"\nbogus = 1", "unknown field `bogus`"),
            ("encoding = \"hex\"", "encoding = \"hex\", bogus = 1", "unknown field `bogus`"),
            ("hash = \"sha256\"", "", "`hash` is missing"),
            ("hash = \"sha256\"", "hash = \"sha3\"", "unknown variant `sha3`"),
            ("payload = \"{ts}.{body}\"", "", "`payload` is missing"),
            ("{ts}.{body}", "{ts}.{bdy}", "{bdy} is not known"),
            ("{ts}.{body}", "{ts}.{body", "a brace is not closed"),
            ("{ts}.{body}", "{ts}", "`payload` cannot be"),
            ("{ts}.{body}", "{secret}{body}", "`payload` cannot be"),
            ("kind = \"hmac\"", "kind = \"digest\"", "`payload` cannot be"),
            ("kind = \"hmac\"", "kind = \"token\"", "`hash` does not belong here"),
            ("kind = \"hmac\"", "kind = \"any\"", "does not belong here"),
            (", encoding = \"hex\"", "", "`signature.encoding` is missing"),
            ("X-Sig", "X Sig", "`signature.name` cannot be"),
            ("encoding = \"hex\"", "encoding = \"hex\", kv = \"=\"", "`signature.key` is missing"),
            ("encoding = \"hex\"", "encoding = \"hex\", key = \"v1\"", "`signature.kv` is missing"),
            ("encoding = \"hex\"", "encoding = \"hex\", list = \"\"", "`signature` cannot be"),
            ("in = \"header\", name = \"X-At\"", "in = \"field\", name = \"t\"", "`signature.list` is missing"),
            ("timestamp =", "#", "`timestamp` is missing"),
            ("X-At", "X At", "`timestamp.name` cannot be"),
        ] {
            let got = error(from, to);
            assert!(got.contains(message), "{to}: {got}");
        }
    }
}
