//! `[[routes]]`: which sources' events go to which destinations, and on which conditions. Every name must be one that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::Named;
use super::key::{Key, Kind, Others, Table};
use super::problem::did_you_mean;
use super::table::Section;
use super::value::Value;
use super::when;
use crate::record::Name;
use crate::route::filter::{Route, Rules, Takes};

pub(super) static KEYS: Table = Table {
    name: "[[routes]]",
    tells: "Which source's events go to which destinations. An event goes to the destinations of every route that takes it, to each once. \
            [ROUTES.md](ROUTES.md) tells more.",
    example: r#"
[[routes]]
from = "stripe"
to = ["billing", "archive"]

[[routes]]
from = ["stripe", "github"]
to = []
otherwise = true
"#,
    keys: &[
        Key::needed("from", Kind::OneOrMany(&Kind::Text), "Names of sources."),
        Key::needed("to", Kind::OneOrMany(&Kind::Text), "Names of destinations. With `otherwise` there may be none: `[]`."),
        Key::new("when", Kind::Table(&when::KEYS), "Conditions, all of which must hold.").or_else("every event"),
        Key::new("otherwise", Kind::Boolean, "Takes what no other route of the source takes; then without `when`.").or("false"),
    ],
    later: &[],
    others: Others::None,
};

/// Where each source's events go.
#[derive(Default)]
pub(super) struct Routes {
    of: BTreeMap<Name, OfSource>,
    used: BTreeSet<Name>,
}

/// The routes of one source.
#[derive(Default)]
struct OfSource {
    /// Where they go, without repetition, in the order of the file.
    destinations: Vec<Name>,
    routes: Vec<Route>,
}

/// Where the events of one source go.
#[derive(Default)]
pub(super) struct Routed {
    /// All destinations.
    pub(super) destinations: Arc<[Name]>,
    /// Which of them an event goes to.
    pub(super) rules: Rules,
}

impl Routes {
    /// Proves the routes; warns of sources and destinations that none of them uses, and of events that none of them takes.
    pub(super) fn prove(routes: Vec<Section<'_>>, sources: &[Named<'_>], destinations: &[Named<'_>]) -> Self {
        let mut all = Self::default();
        let mut rests = Vec::new();
        for route in routes {
            all.add(route, sources, destinations, &mut rests);
        }
        for Named { section, name } in sources {
            match all.of.get(name) {
                None => section.warn("no route uses this source: its events would be stored and go nowhere", None),
                Some(of) if of.takes_some_only() => {
                    let help = "add a route with otherwise = true for them, or with to = [] if that is meant";
                    let message = "its routes have conditions: an event that none of them takes is stored and goes nowhere";
                    section.warn(message, Some(help.to_owned()));
                }
                Some(_) => {}
            }
        }
        for (value, source) in rests {
            if all.of.get(&source).is_some_and(|of| of.routes.iter().any(|route| route.takes == Takes::All)) {
                value.warn(&format!("has no effect: another route takes every event of {:?}", source.as_str()), None);
            }
        }
        for Named { section, .. } in destinations.iter().filter(|destination| !all.used.contains(&destination.name)) {
            section.warn("no route uses this destination", None);
        }
        all
    }

    /// Where the events of a source go.
    pub(super) fn of(&self, source: &Name) -> Routed {
        let Some(of) = self.of.get(source) else { return Routed::default() };
        Routed { destinations: of.destinations.as_slice().into(), rules: Rules::new(of.routes.clone()) }
    }

    /// `rests`: what says that a route takes what others leave, and of which source.
    fn add<'a>(
        &mut self,
        mut route: Section<'a>,
        sources: &[Named<'_>],
        destinations: &[Named<'_>],
        rests: &mut Vec<(Value<'a>, Name)>,
    ) {
        let line = route.line();
        let from = route.require("from", "write from = \"SOURCE\"").map(|value| names(&value, "source", sources, false));
        let to = route.require("to", "write to = [\"DESTINATION\"]");
        let when = route.take("when");
        let otherwise = route.take("otherwise").filter(|value| value.boolean() == Some(true));
        if let (Some(when), Some(_)) = (&when, &otherwise) {
            when.error::<()>("cannot stand beside otherwise, which takes what no condition takes");
        }
        route.finish();
        let to = to.map(|value| names(&value, "destination", destinations, otherwise.is_some())).unwrap_or_default();
        let takes = match (&when, &otherwise) {
            (_, Some(_)) => Takes::Rest,
            // One that is wrong was reported, and takes nothing.
            (Some(when), None) => Takes::When(when::read(when).unwrap_or_default()),
            (None, None) => Takes::All,
        };
        for source in from.unwrap_or_default() {
            rests.extend(otherwise.iter().map(|value| (value.clone(), source.clone())));
            self.of.entry(source).or_default().add(line, &takes, &to);
        }
        self.used.extend(to);
    }
}

impl OfSource {
    fn add(&mut self, line: usize, takes: &Takes, to: &[Name]) {
        let mut places = Vec::new();
        for name in to {
            let place = self.destinations.iter().position(|known| known == name).unwrap_or_else(|| {
                self.destinations.push(name.clone());
                self.destinations.len() - 1
            });
            if !places.contains(&place) {
                places.push(place);
            }
        }
        self.routes.push(Route { line, takes: takes.clone(), to: places });
    }

    fn takes_some_only(&self) -> bool {
        self.routes.iter().all(|route| matches!(route.takes, Takes::When(_)))
    }
}

/// The names that a route lists, each of which must be one of `known`.
fn names(value: &Value<'_>, what: &str, known: &[Named<'_>], may_be_none: bool) -> Vec<Name> {
    let items = value.one_or_many();
    if !may_be_none && value.node().get_ref().as_array().is_some_and(|list| list.is_empty()) {
        value.error::<()>("is empty");
    }
    let find = |item: &Value<'_>| {
        let text = item.text()?;
        let found = known.iter().find(|named| named.name.as_str() == text).map(|named| named.name.clone());
        let help = || did_you_mean(text, known.iter().map(|named| named.name.as_str()));
        found.or_else(|| item.error_help(&format!("names the {what} {text:?}, which is not there"), help()))
    };
    items.iter().filter_map(find).collect()
}
