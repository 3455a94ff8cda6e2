//! A scheme with the secrets of one source. It reads raw bytes; the body is not parsed before the proof, unless the scheme itself
//! signs or reads a part of it.

use std::borrow::Cow;
use std::fmt;

use url::Url;

use super::address::Base;
use super::body::Body;
use super::claim::Group;
use super::key::Key;
use super::naming::Naming;
use super::scheme::Way;
use super::template::{Beside, only_field};
use super::view::View;
use super::written::{Place, WrittenBodyHash, WrittenStamp};
use super::{BadSecret, Reason, Refused, Scheme, Secret, Selector, Verified};
use crate::record::Received;
use crate::time::Timestamp;

/// Header lines (or groups) with a timestamp of their own: each costs one hash of the body, so their number is bounded.
const GROUPS_MAX: usize = 8;

/// Verifies the requests of one source.
pub struct Verifier {
    /// `None`: nothing is to be verified.
    scheme: Option<Scheme>,
    /// For each way of the scheme, its keys and names; one without keys where nothing is to be verified.
    ready: Vec<Ready>,
    base: Option<Base>,
    gunzip: bool,
}

/// What one way needs, made once.
#[derive(Debug, Default)]
struct Ready {
    keys: Vec<Key>,
    naming: Naming,
}

/// What a source adds to its provider's scheme.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the provider calls, for schemes that sign the URL; the request's path and query follow it. Without: `https://` and
    /// the host of the request.
    pub public_url: Option<Url>,
    /// Where the event's id is, in place of the provider's own rule.
    pub event_id: Option<Selector>,
    /// Where the event's type is, in place of the provider's own rule.
    pub kind: Option<Selector>,
    /// The signature covers the gunzipped body.
    pub gunzip: bool,
}

impl Verifier {
    /// For `scheme`. Fails where a secret is not what the scheme needs; the number tells which one (from 0).
    pub fn try_new(scheme: Scheme, secrets: Vec<Secret>, options: Options) -> Result<Self, (usize, BadSecret)> {
        let keys = |way: &Way| {
            let key = |(i, secret)| Key::try_new(way, secret).map_err(|error| (i, error));
            secrets.iter().enumerate().map(key).collect::<Result<Vec<_>, _>>()
        };
        let ready = |way: &Way| {
            let naming = options.naming(way.event_id.as_ref(), way.event_type.as_ref());
            Ok(Ready { keys: keys(way)?, naming })
        };
        let ready = scheme.ways().iter().map(ready).collect::<Result<_, _>>()?;
        Ok(Self { ready, scheme: Some(scheme), base: options.base(), gunzip: options.gunzip })
    }

    /// For a source that says that nothing is to be verified (`provider = "none"`).
    pub fn trusting(options: Options) -> Self {
        let ready = vec![Ready { keys: Vec::new(), naming: options.naming(None, None) }];
        Self { scheme: None, ready, base: options.base(), gunzip: options.gunzip }
    }

    /// Proves who sent `received`, judged at the time that its head had arrived.
    pub fn verify(&self, received: Received) -> Result<Verified, Box<Refused>> {
        match self.prove(&received) {
            Ok(ready) => {
                let body = || Body::new(&received.body, self.gunzip).whole().ok();
                let (id, kind) = ready.naming.read(&received.headers, body);
                Ok(Verified::new(received, id, kind))
            }
            Err(reason) => Err(Box::new(Refused { received, reason })),
        }
    }

    /// For a request whose address is known as text; see `captured`.
    pub(super) fn with_base(mut self, base: Base) -> Self {
        self.base = Some(base);
        self
    }

    /// The way that proves the request.
    fn prove(&self, received: &Received) -> Result<&Ready, Reason> {
        let view = View::new(received, self.base.as_ref(), self.gunzip);
        let Some(scheme) = &self.scheme else {
            return self.ready.first().ok_or(Reason::NoSecret);
        };
        let mut refusal = Reason::MissingHeader;
        for (way, ready) in scheme.ways().iter().zip(&self.ready) {
            match way.prove(&ready.keys, &view, received.at) {
                Ok(()) => return Ok(ready),
                // What one way refuses for good tells more than that another one was not tried.
                Err(reason) if refusal == Reason::MissingHeader => refusal = reason,
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("scheme", &self.scheme).field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Options {
    fn base(&self) -> Option<Base> {
        self.public_url.as_ref().map(Base::from_url)
    }

    /// Selectors hold pointers that were proved, so a bad one is no place at all.
    fn naming(&self, id: Option<&Selector>, kind: Option<&Selector>) -> Naming {
        Naming::try_new(self.event_id.as_ref().or(id), self.kind.as_ref().or(kind)).unwrap_or_default()
    }
}

impl Way {
    /// Whether one of `keys` signed the request in this way, at a time that counts.
    fn prove(&self, keys: &[Key], view: &View<'_>, at: Timestamp) -> Result<(), Reason> {
        self.meets_requirements(view)?;
        let texts = self.texts(view)?;
        let groups = self.groups(&texts)?;
        if !keys.iter().any(|key| key.is_valid_at(at)) {
            return Err(Reason::NoSecret);
        }
        let mut refusal = Reason::MissingHeader;
        for group in &groups {
            match self.prove_group(group, keys, view, at) {
                Ok(()) => return Ok(()),
                Err(reason) => refusal = reason,
            }
        }
        Err(refusal)
    }

    fn prove_group(&self, group: &Group<'_>, keys: &[Key], view: &View<'_>, at: Timestamp) -> Result<(), Reason> {
        if group.claims.is_empty() {
            return Err(group.fault());
        }
        let stamp = match &self.stamp {
            Some(stamp) if !self.stamp_after_proof => {
                let text = stamp.text(self, group, view)?;
                stamp.judge(&text, at)?;
                Some(text)
            }
            _ => None,
        };
        let beside = Beside { stamp: stamp.as_deref(), fields: &group.fields, secret: b"" };
        let mut refusal = Reason::Mismatch;
        let proved = keys
            .iter()
            .filter(|key| key.is_valid_at(at))
            .any(|key| key.proves(self, view, beside, &group.claims).map_err(|reason| refusal = reason).is_ok());
        if !proved {
            return Err(refusal);
        }
        if let (Some(stamp), true) = (&self.stamp, self.stamp_after_proof) {
            stamp.judge(&stamp.text(self, group, view)?, at)?;
        }
        self.body_hash.as_ref().map_or(Ok(()), |body_hash| body_hash.holds(view))
    }

    fn meets_requirements(&self, view: &View<'_>) -> Result<(), Reason> {
        for requirement in &self.require {
            let value = view.header(&requirement.header)?.ok_or(Reason::MissingHeader)?;
            if value != requirement.equals.as_bytes() {
                return Err(Reason::UnknownVersion);
            }
        }
        Ok(())
    }

    /// The texts in which signatures stand, by source.
    fn texts<'a>(&'a self, view: &View<'a>) -> Result<Vec<Vec<Cow<'a, str>>>, Reason> {
        let texts = self.sources.iter().map(|source| source.texts(view)).collect::<Result<Vec<_>, _>>()?;
        if texts.iter().all(Vec::is_empty) { Err(Reason::MissingHeader) } else { Ok(texts) }
    }

    fn groups<'a>(&self, texts: &'a [Vec<Cow<'_, str>>]) -> Result<Vec<Group<'a>>, Reason> {
        let mut groups = Vec::new();
        for (source, texts) in self.sources.iter().zip(texts) {
            texts.iter().for_each(|text| source.read(text, &mut groups));
        }
        match groups.len() {
            _ if !self.by_group => Ok(Group::merge(groups)),
            0..=GROUPS_MAX => Ok(groups),
            _ => Err(Reason::BadEncoding),
        }
    }
}

impl WrittenStamp {
    /// The timestamp as text, verbatim.
    fn text<'a>(&'a self, way: &Way, group: &Group<'a>, view: &View<'a>) -> Result<Cow<'a, str>, Reason> {
        if self.place == Place::Field {
            let positional = way.sources.iter().any(|source| source.positional.is_some());
            let name = if positional { "" } else { &self.name };
            return only_field(&group.fields, name)?.map(Cow::Borrowed).ok_or(Reason::MissingTimestamp);
        }
        let mut value = view.value(self.place, &self.name)?;
        for name in &self.fallback {
            value = if value.is_some() { value } else { view.value(Place::Header, name)? };
        }
        match value.ok_or(Reason::MissingTimestamp)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Reason::BadTimestamp),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Reason::BadTimestamp),
        }
    }
}

impl WrittenBodyHash {
    /// Whether the body is the one whose hash was signed.
    fn holds(&self, view: &View<'_>) -> Result<(), Reason> {
        let text = view.value(self.place, &self.name)?.ok_or(Reason::MissingPart)?;
        let text = std::str::from_utf8(&text).map_err(|_| Reason::BadEncoding)?;
        let claimed = self.encoding.decode(text).ok_or(Reason::BadEncoding)?;
        let mut running = self.hash.start();
        view.body.feed(&mut |piece| running.update(piece))?;
        if super::hash::Tag::new(&running.finalize()).is(&claimed) { Ok(()) } else { Err(Reason::Mismatch) }
    }
}
