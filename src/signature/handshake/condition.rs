//! When a request is a handshake: what its method, headers, query and JSON must show. A part that is there twice shows nothing.

use std::collections::BTreeMap;
use std::fmt;

use http::Method;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{BadHandshake, Terms};
use crate::pointer;
use crate::signature::view::View;
use crate::signature::written::Place;

/// What stands for any value.
const PRESENT: &str = "*";
/// Before the name of a secret, and the only one that there is.
const SECRET: &str = "secret:";
const VERIFY_TOKEN: &str = "secret:verify_token";
/// Before the name of a list of the source.
const LIST: &str = "list:";
/// Behind it: where the source has no such list, nothing is looked at.
const OPTIONAL: char = '?';
/// The lists that a source can have, by the name of the setting.
pub const LISTS: [&str; 6] = ["topics", "client_ids", "allowed_origins", "channel_ids", "subscription_ids", "app_ids"];
/// Conditions of one handshake: each costs a walk through the body.
const CONDITIONS_MAX: usize = 16;

/// Conditions as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Conditions {
    /// Only in `when`; `POST` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<Verb>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) header: BTreeMap<String, Wanted>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) query: BTreeMap<String, Wanted>,
    /// By JSON pointer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) json: BTreeMap<String, Wanted>,
    /// How many members or elements the whole body has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<usize>,
}

/// The methods that providers use for handshakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Verb {
    Get,
    Head,
    Options,
    #[default]
    Post,
}

/// What a part must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Wanted {
    Bool(bool),
    Number(i64),
    /// A text, or one of the words above.
    Text(String),
    /// An empty list.
    Nothing([(); 0]),
}

/// How the comparison with a secret or a list of the source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    Yes,
    No,
    /// The source does not say what is ours.
    Unset,
}

impl Verb {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Options => Method::OPTIONS,
            Self::Post => Method::POST,
        }
    }
}

impl Conditions {
    /// The same with header names in lower case, if it can be used.
    pub(super) fn proved(mut self) -> Result<Self, BadHandshake> {
        let lower = |(name, wanted): (String, Wanted)| match http::HeaderName::try_from(name.as_str()) {
            Ok(name) => Ok((name.as_str().to_owned(), wanted)),
            Err(_) => Err(BadHandshake::Name(name)),
        };
        self.header = self.header.into_iter().map(lower).collect::<Result<_, _>>()?;
        if let Some(bad) = self.json.keys().find(|name| pointer::tokens(name).is_err()) {
            return Err(BadHandshake::Name(bad.clone()));
        }
        for (_, _, wanted) in self.parts() {
            wanted.prove()?;
        }
        if self.parts().count() > CONDITIONS_MAX { Err(BadHandshake::Conditions(CONDITIONS_MAX)) } else { Ok(self) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts().next().is_none() && self.size.is_none()
    }

    /// Whether it looks into the body.
    pub(super) fn reads_body(&self) -> bool {
        !self.json.is_empty() || self.size.is_some()
    }

    /// Whether everything that can be said without the source's secrets and lists is so.
    pub(super) fn hold(&self, view: &View<'_>) -> bool {
        let mut plain = self.parts().filter(|(_, _, wanted)| !wanted.is_ours());
        plain.all(|(place, name, wanted)| wanted.is_met(view, place, name)) && self.has_size(view)
    }

    /// Whether what must be ours is.
    pub(super) fn ours(&self, view: &View<'_>, terms: &Terms) -> Ours {
        let mut all = Ours::Yes;
        // Each is compared, so that the time does not tell which one was wrong.
        for (place, name, wanted) in self.parts().filter(|(_, _, wanted)| wanted.is_ours()) {
            match wanted.is_of(view, place, name, terms) {
                Ours::Yes => {}
                other => all = other,
            }
        }
        all
    }

    /// Whether `verify_token` is needed, and the names of the lists that are looked at.
    pub(super) fn settings(&self) -> impl Iterator<Item = &str> {
        self.parts().filter_map(|(_, _, wanted)| wanted.setting())
    }

    fn parts(&self) -> impl Iterator<Item = (Place, &str, &Wanted)> {
        let all = [(Place::Header, &self.header), (Place::Query, &self.query), (Place::Json, &self.json)];
        all.into_iter().flat_map(|(place, parts)| parts.iter().map(move |(name, wanted)| (place, name.as_str(), wanted)))
    }

    fn has_size(&self, view: &View<'_>) -> bool {
        let Some(size) = self.size else { return true };
        let Ok(body) = view.body.whole() else { return false };
        serde_json::from_slice::<Count>(&body).is_ok_and(|count| count.0 == size)
    }
}

impl Wanted {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn is_ours(&self) -> bool {
        self.text().is_some_and(|text| text.starts_with(SECRET) || text.starts_with(LIST))
    }

    /// The name of the source's setting that it is compared with.
    fn setting(&self) -> Option<&str> {
        let text = self.text()?;
        text.strip_prefix(LIST).map(|name| name.trim_end_matches(OPTIONAL)).or_else(|| text.strip_prefix(SECRET))
    }

    fn prove(&self) -> Result<(), BadHandshake> {
        let known = |name: &str| name == "verify_token" || LISTS.contains(&name);
        match (self.text(), self.setting()) {
            (Some(text), Some(name)) if !known(name) || (text.starts_with(SECRET) && text != VERIFY_TOKEN) => {
                Err(BadHandshake::Setting(text.to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn is_met(&self, view: &View<'_>, place: Place, name: &str) -> bool {
        if place == Place::Json {
            return self.is_met_by_json(view, name);
        }
        let Ok(Some(value)) = view.value(place, name) else { return false };
        self.text().is_some_and(|wanted| wanted == PRESENT || *value == *wanted.as_bytes())
    }

    fn is_met_by_json(&self, view: &View<'_>, name: &str) -> bool {
        let Ok(body) = view.body.whole() else { return false };
        let Ok(Some(found)) = pointer::read_text(&body, name) else { return false };
        match self {
            Self::Text(wanted) if wanted == PRESENT => true,
            Self::Text(wanted) => serde_json::from_str::<String>(found).is_ok_and(|text| text == *wanted),
            Self::Number(wanted) => serde_json::from_str::<i64>(found).is_ok_and(|number| number == *wanted),
            Self::Bool(wanted) => serde_json::from_str::<bool>(found).is_ok_and(|truth| truth == *wanted),
            Self::Nothing(_) => serde_json::from_str::<[(); 0]>(found).is_ok(),
        }
    }

    fn is_of(&self, view: &View<'_>, place: Place, name: &str, terms: &Terms) -> Ours {
        let Some(wanted) = self.text() else { return Ours::No };
        let found = view.value(place, name);
        let found = found.as_ref().ok().and_then(Option::as_deref).unwrap_or_default();
        if wanted == VERIFY_TOKEN {
            let Some(token) = &terms.verify_token else { return Ours::Unset };
            return if token.equals(found) { Ours::Yes } else { Ours::No };
        }
        let Some(list) = terms.lists.get(self.setting().unwrap_or_default()) else {
            return if wanted.ends_with(OPTIONAL) { Ours::Yes } else { Ours::Unset };
        };
        if list.iter().any(|one| *one.as_bytes() == *found) { Ours::Yes } else { Ours::No }
    }
}

/// How many members or elements a JSON text has, repeated ones, too.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Counter)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
        let mut count = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Count(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        let mut count = 0;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Count(count))
    }
}
