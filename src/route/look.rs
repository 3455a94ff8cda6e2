//! A look at one event: whether conditions hold of it, and what is there where they do not. Its body is parsed at
//! most once, and an array of which each element is asked for once more.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::filter::{Condition, Facts, Failed, Place, Reach, Route, Rules, Takes, Verdict};
use super::wanted::Value;
use crate::pointer::{self, Found, Pointers, TooMany, Unreadable};
use crate::record::CLIENT;

/// Elements of one array that are looked at: each costs some hundred bytes while that is done.
const ELEMENTS_MAX: usize = 10_000;
/// Values of one place that are shown where none of them fits.
const SHOWN_VALUES_MAX: usize = 5;

/// A look at one event, which remembers what was found in its body.
pub(super) struct Look<'a> {
    rules: &'a Rules,
    facts: &'a Facts<'a>,
    found: OnceCell<Result<Vec<Found<'a>>, Unclear>>,
    /// By the number of the place.
    values: Vec<OnceCell<Values<'a>>>,
}

/// The values at one place.
type Values<'a> = Result<Vec<Value<'a>>, Unclear>;

/// Why nothing can be said of a place in a body: then no condition on it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unclear {
    NotJson,
    Twice,
    TooMany,
}

impl<'a> Look<'a> {
    pub(super) fn new(rules: &'a Rules, facts: &'a Facts<'a>) -> Self {
        Self { rules, facts, found: OnceCell::new(), values: vec![OnceCell::new(); rules.places.len()] }
    }

    /// Whether a route takes it by itself.
    pub(super) fn is_taken(&self, takes: &'a Takes) -> bool {
        match takes {
            Takes::All => true,
            Takes::When(conditions) => conditions.iter().all(|condition| self.holds(condition)),
            Takes::Rest => false,
        }
    }

    /// What a route says of it; `None` where that depends on what others say.
    pub(super) fn verdict(&self, route: &'a Route) -> Option<Verdict> {
        let Takes::When(conditions) = &route.takes else { return (route.takes == Takes::All).then_some(Verdict::Takes) };
        let failed: Vec<_> = conditions.iter().filter(|c| !self.holds(c)).map(|c| self.failed(c)).collect();
        Some(if failed.is_empty() { Verdict::Takes } else { Verdict::Leaves(failed) })
    }

    fn holds(&self, condition: &'a Condition) -> bool {
        (*self.values(&condition.place)).as_ref().is_ok_and(|values| condition.test.holds(values))
    }

    fn failed(&self, condition: &'a Condition) -> Failed {
        let found = match &*self.values(&condition.place) {
            Err(Unclear::NotJson) => "the body is not JSON".to_owned(),
            Err(Unclear::Twice) => "it is there twice".to_owned(),
            Err(Unclear::TooMany) => format!("the array has more than {ELEMENTS_MAX} elements"),
            Ok(values) if values.is_empty() => "nothing is there".to_owned(),
            Ok(values) => {
                let more = if values.len() > SHOWN_VALUES_MAX { ", ..." } else { "" };
                let shown: Vec<_> = values.iter().take(SHOWN_VALUES_MAX).map(ToString::to_string).collect();
                format!("it is {}{more}", shown.join(", "))
            }
        };
        Failed { condition: format!("{}: {}", condition.place, condition.test), found }
    }

    fn values(&self, place: &'a Place) -> Cow<'_, Values<'a>> {
        Cow::Owned(Ok(match place {
            Place::Type => self.facts.kind.map(|kind| Value::Written(kind.as_bytes())).into_iter().collect(),
            Place::Method => vec![Value::Written(self.facts.method.as_bytes())],
            Place::Client => self.facts.headers.all(CLIENT).map(Value::Written).collect(),
            Place::Header(name) => self.facts.headers.all(name).map(Value::Written).collect(),
            Place::Body(place) => match (self.values.get(place.number), self.rules.places.get(place.number)) {
                (Some(known), Some(reach)) => return Cow::Borrowed(known.get_or_init(|| self.find(reach))),
                _ => Vec::new(),
            },
        }))
    }

    fn find(&self, reach: &'a Reach) -> Values<'a> {
        let find = || self.rules.pointers.find(self.facts.body).map_err(|_| Unclear::NotJson);
        let found = self.found.get_or_init(find).as_ref().map_err(|unclear| *unclear)?;
        match (found.get(reach.pointer), &reach.item) {
            (None | Some(Found::Nothing), _) => Ok(Vec::new()),
            (Some(Found::Twice), _) => Err(Unclear::Twice),
            (Some(Found::Once(list)), Some(item)) => of_elements(list, item),
            (Some(Found::Once(text)), None) => Ok(Value::from_json(text).into_iter().collect()),
        }
    }
}

/// The value to which `item` leads in each element of an array. What is no array has none.
fn of_elements<'a>(list: &'a str, item: &Pointers) -> Values<'a> {
    let mut values = Vec::new();
    for element in pointer::few_elements(list, ELEMENTS_MAX).map_err(|TooMany| Unclear::TooMany)? {
        match item.find(element.as_bytes()).map_err(|Unreadable| Unclear::NotJson)?.first() {
            Some(Found::Once(text)) => values.extend(Value::from_json(text)),
            Some(Found::Twice) => return Err(Unclear::Twice),
            Some(Found::Nothing) | None => {}
        }
    }
    Ok(values)
}
