//! `[[routes]]`: which sources' events go to which destinations. Every name must be one that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::Named;
use super::problem::did_you_mean;
use super::table::Section;
use super::value::Value;
use crate::record::Name;

/// Where each source's events go, without repetition, in the order of the file.
#[derive(Default)]
pub(super) struct Routes {
    to: BTreeMap<Name, Vec<Name>>,
    used: BTreeSet<Name>,
}

impl Routes {
    /// Proves the routes; warns of sources and destinations that none of them uses.
    pub(super) fn prove(routes: Vec<Section<'_>>, sources: &[Named<'_>], destinations: &[Named<'_>]) -> Self {
        let mut all = Self::default();
        for route in routes {
            all.add(route, sources, destinations);
        }
        for Named { section, .. } in sources.iter().filter(|source| !all.to.contains_key(&source.name)) {
            section.warn("no route uses this source: its events would be stored and go nowhere", None);
        }
        for Named { section, .. } in destinations.iter().filter(|destination| !all.used.contains(&destination.name)) {
            section.warn("no route uses this destination", None);
        }
        all
    }

    /// The destinations of a source.
    pub(super) fn of(&self, source: &Name) -> Arc<[Name]> {
        self.to.get(source).map(|to| to.as_slice().into()).unwrap_or_default()
    }

    fn add(&mut self, mut route: Section<'_>, sources: &[Named<'_>], destinations: &[Named<'_>]) {
        let from = route.require("from", "write from = \"SOURCE\"").map(|value| names(&value, "source", sources));
        let to = route.require("to", "write to = [\"DESTINATION\"]").map(|value| names(&value, "destination", destinations));
        route.finish(&["when"]);
        let to = to.unwrap_or_default();
        for source in from.unwrap_or_default() {
            let known = self.to.entry(source).or_default();
            known.extend(to.iter().filter(|name| !known.contains(name)).cloned().collect::<Vec<_>>());
        }
        self.used.extend(to);
    }
}

/// The names that a route lists, each of which must be one of `known`.
fn names(value: &Value<'_>, what: &str, known: &[Named<'_>]) -> Vec<Name> {
    let items = value.one_or_many();
    if value.node().get_ref().as_array().is_some_and(|list| list.is_empty()) {
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
