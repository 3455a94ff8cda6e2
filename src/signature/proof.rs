//! The steps of a proof in one way to sign: requirements, signatures, timestamp, keyed hash, and what only counts after it.
//!
//! Whatever is missing, twice, or not understood is a refusal; there is no step that can be left out by the one who asks.

use std::borrow::Cow;

use super::body::Body;
use super::claim::{BY_PLACE, Group, Text};
use super::element;
use super::few::Few;
use super::hash::Tag;
use super::key::Key;
use super::scheme::Way;
use super::template::{Beside, only_field};
use super::view::View;
use super::written::{Place, WrittenBodyHash, WrittenStamp};
use super::{Reason, Terms};
use crate::pointer;
use crate::time::Timestamp;

/// Header lines (or groups) with a timestamp of their own: each costs a hash of the body, so their number is bounded.
const GROUPS_MAX: usize = 4;

/// When a request arrived, and what the source says of those that it believes.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: Timestamp,
    pub(super) terms: &'a Terms,
}

impl Way {
    /// Whether one of `keys` signed the request in this way, at a time that counts.
    pub(super) fn prove(&self, keys: &[Key], view: &View<'_>, at: Moment<'_>) -> Result<(), Reason> {
        match self.inner_body(view)? {
            None => self.prove_each(keys, view, at),
            Some(json) => self.prove_each(keys, &View { body: Body::new(&json, false), ..*view }, at),
        }
    }

    /// The same for the body that counts: each of its elements, where the scheme signs those.
    fn prove_each(&self, keys: &[Key], view: &View<'_>, at: Moment<'_>) -> Result<(), Reason> {
        let Some((list, item)) = &self.for_each else {
            return self.prove_whole(keys, view, at);
        };
        let body = view.body.whole()?;
        let elements = pointer::elements(&body, list, item).map_err(|_| Reason::BadEncoding)?;
        if elements.is_empty() {
            return Err(Reason::MissingPart);
        }
        let mut views = elements.iter().map(|text| View { body: Body::new(text.as_bytes(), false), ..*view });
        views.try_for_each(|element| self.prove_whole(keys, &element, at))
    }

    /// The field that is the body, where the body is a form that has it.
    pub(super) fn inner_body(&self, view: &View<'_>) -> Result<Option<Vec<u8>>, Reason> {
        let Some(name) = self.body_field.as_ref().filter(|_| view.is_form()) else { return Ok(None) };
        let mut values = view.fields(name)?;
        if values.len() > 1 {
            return Err(Reason::BadEncoding);
        }
        values.pop().map(Some).ok_or(Reason::MissingPart)
    }

    fn prove_whole(&self, keys: &[Key], view: &View<'_>, at: Moment<'_>) -> Result<(), Reason> {
        self.meets_requirements(view)?;
        let mut texts = Few::new();
        self.add_texts(view, &mut texts)?;
        if !keys.iter().any(|key| key.is_valid_at(at.now)) {
            return Err(Reason::NoSecret);
        }
        self.any_group(&texts, &mut |group| self.prove_group(group, keys, view, at))?;
        self.holds(view, at.terms)
    }

    /// Whether what only counts once the sender is proved is so: the scheme's rules, and the source's own.
    fn holds(&self, view: &View<'_>, terms: &Terms) -> Result<(), Reason> {
        self.rules.iter().try_for_each(|rule| rule.holds(view))?;
        terms.requirements.iter().try_for_each(|requirement| requirement.holds(view))
    }

    fn prove_group(&self, group: &Group<'_>, keys: &[Key], view: &View<'_>, at: Moment<'_>) -> Result<(), Reason> {
        if group.claims.is_empty() {
            return Err(group.fault());
        }
        let stamp = match &self.stamp {
            Some(stamp) if !self.stamp_after_proof => {
                let text = stamp.text(self, group, view)?;
                stamp.judge(&text, at.now, at.terms.tolerance)?;
                Some(text)
            }
            _ => None,
        };
        let beside = Beside { stamp: stamp.as_deref(), fields: Some(&group.fields), ..Beside::default() };
        let mut refusal = Reason::MissingHeader;
        let proved = keys.iter().filter(|key| key.is_valid_at(at.now)).any(|key| {
            let proof = key.proves(self, view, beside, &group.claims);
            // That a key has no signature of its slot tells less than that one did not match.
            proof.map_err(|reason| refusal = if reason == Reason::MissingHeader { refusal } else { reason }).is_ok()
        });
        if !proved {
            return Err(refusal);
        }
        if let Some(stamp) = self.stamp.as_ref().filter(|stamp| self.stamp_after_proof && stamp.is_bounded(at.terms.tolerance)) {
            stamp.judge(&stamp.text(self, group, view)?, at.now, at.terms.tolerance)?;
        }
        self.body_hash.as_ref().map_or(Ok(()), |body_hash| body_hash.holds(view))
    }

    pub(super) fn meets_requirements(&self, view: &View<'_>) -> Result<(), Reason> {
        for requirement in &self.require {
            let value = view.header(&requirement.header)?.ok_or(Reason::MissingHeader)?;
            if value != requirement.equals.as_bytes() {
                return Err(Reason::UnknownVersion);
            }
        }
        Ok(())
    }

    /// Adds the texts in which signatures stand; at least one.
    pub(super) fn add_texts<'a>(&'a self, view: &View<'a>, texts: &mut Few<Text<'a>>) -> Result<(), Reason> {
        self.sources.iter().try_for_each(|source| source.add_texts(view, texts))?;
        if texts.is_empty() { Err(Reason::MissingHeader) } else { Ok(()) }
    }

    /// Whether `judge` takes one of the groups in these texts; there is one group only where the items beside a signature change
    /// nothing. A group is read where it is judged: to hand a list of them on would cost as much as a block of the hash.
    pub(super) fn any_group<'a>(
        &'a self,
        texts: &'a Few<Text<'a>>,
        judge: &mut dyn FnMut(&Group<'a>) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let all = || texts.iter().flat_map(|(source, text)| source.groups_in(text).map(move |text| (*source, text)));
        if !self.by_group {
            let mut group = Group::default();
            all().for_each(|(source, text)| source.read(text, &mut group));
            return judge(&group);
        }
        if all().count() > GROUPS_MAX {
            return Err(Reason::BadEncoding);
        }
        let mut refusal = Reason::MissingHeader;
        for (source, text) in all() {
            let mut group = Group::default();
            source.read(text, &mut group);
            match judge(&group) {
                Ok(()) => return Ok(()),
                Err(reason) => refusal = reason,
            }
        }
        Err(refusal)
    }
}

impl WrittenStamp {
    /// The timestamp as text, verbatim.
    pub(super) fn text<'a>(&'a self, way: &Way, group: &Group<'a>, view: &View<'a>) -> Result<Cow<'a, str>, Reason> {
        if self.place == Place::Field {
            let positional = way.sources.iter().any(|source| source.positional.is_some());
            let name = if positional { BY_PLACE } else { &self.name };
            return only_field(Some(&group.fields), name)?.map(Cow::Borrowed).ok_or(Reason::MissingTimestamp);
        }
        let mut value = view.value(self.place, &self.name)?;
        for name in &self.fallback {
            value = if value.is_some() { value } else { view.value(Place::Header, name)? };
        }
        let value = value.ok_or(Reason::MissingTimestamp)?;
        if let Some(name) = &self.element {
            return element::text(&value, name).map(Cow::Owned).ok_or(Reason::MissingTimestamp);
        }
        match value {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Reason::BadTimestamp),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Reason::BadTimestamp),
        }
    }
}

impl WrittenBodyHash {
    /// Whether the body is the one whose hash was signed.
    pub(super) fn holds(&self, view: &View<'_>) -> Result<(), Reason> {
        let text = view.value(self.place, &self.name)?.ok_or(Reason::MissingPart)?;
        let text = std::str::from_utf8(&text).map_err(|_| Reason::BadEncoding)?;
        let claimed = self.encoding.decode(text).ok_or(Reason::BadEncoding)?;
        if self.of(view)?.is(&claimed) { Ok(()) } else { Err(Reason::Mismatch) }
    }

    /// The hash of the body.
    pub(super) fn of(&self, view: &View<'_>) -> Result<Tag, Reason> {
        self.hash.of(|sink| view.body.feed(sink))
    }
}
