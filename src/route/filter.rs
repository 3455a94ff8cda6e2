//! Which of a source's destinations an event goes to: what its routes say of the event's type, method, headers and body.
//!
//! It is asked of requests that were proved, and of stored events. A body is parsed at most once for an event, and only where the
//! rest of a condition's route holds. Where no route has conditions, nothing is looked at.

use std::fmt;
use std::sync::Arc;

use super::look::Look;
use super::wanted::Test;
use crate::pointer::{self, BadPointer, Pointers};
use crate::record::Headers;

/// What of an event routes look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The provider's word for what happened.
    pub kind: Option<&'a str>,
    /// The method, as sent.
    pub method: &'a str,
    /// All header fields.
    pub headers: &'a Headers,
    /// The body, without a compression that its signature covers.
    pub body: &'a [u8],
}

/// Where a condition looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The event's type.
    Type,
    /// The request's method.
    Method,
    /// What the sender's certificate says of whom it is for: each name is a value.
    Client,
    /// A header, by its name in lower case: each of its fields is a value.
    Header(String),
    /// A JSON pointer into the body; with `*` for a token each element of an array has a value.
    Body(BodyPlace),
}

/// A JSON pointer (RFC 6901) into a body, in which one token can be `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyPlace {
    written: String,
    /// Its number among the places of its rules, which give it.
    pub(super) number: usize,
}

/// A pointer that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    /// It is no JSON pointer.
    #[error("is no JSON pointer: it must be empty or start with \"/\"")]
    Pointer,
    /// It leads to arrays within arrays.
    #[error("has more than one \"*\"")]
    Stars,
}

/// A condition of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where it looks.
    pub place: Place,
    /// What must be there.
    pub test: Test,
}

/// What a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Every event.
    All,
    /// Those for which all of this holds.
    When(Vec<Condition>),
    /// Those that no other route of the source takes.
    Rest,
}

/// A route of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where relay.toml has it.
    pub line: usize,
    /// What it takes.
    pub takes: Takes,
    /// Where that goes: places among the source's destinations.
    pub to: Vec<usize>,
}

/// The routes of one source. Without any, everything goes to all of its destinations.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    routes: Vec<Route>,
    is_conditional: bool,
    pub(super) pointers: Pointers,
    /// The places in bodies, by their numbers.
    pub(super) places: Vec<Reach>,
}

/// A place in bodies, made ready.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    written: String,
    /// The number of the pointer to it, or to its array.
    pub(super) pointer: usize,
    /// What leads on from each element of the array, where it has a `*`.
    pub(super) item: Option<Pointers>,
}

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// To all destinations of its source.
    All,
    /// To those at these places, in order.
    Some(Vec<usize>),
}

/// What one route says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it.
    Takes,
    /// These conditions do not hold.
    Leaves(Vec<Failed>),
    /// It takes what others leave, and another one took it.
    TakenByOther,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The condition, in the words of relay.toml.
    pub condition: String,
    /// What is there instead, shortened.
    pub found: String,
}

impl BodyPlace {
    /// From its text.
    pub fn try_new(written: &str) -> Result<Self, BadPlace> {
        let (pointer, item) = pointer::split_each(written).unwrap_or((written, ""));
        if pointer::split_each(item).is_some() {
            return Err(BadPlace::Stars);
        }
        pointer::tokens(pointer).map_err(|BadPointer| BadPlace::Pointer)?;
        Ok(Self { written: written.to_owned(), number: 0 })
    }
}

impl Takes {
    fn conditions(&self) -> &[Condition] {
        if let Self::When(conditions) = self { conditions } else { &[] }
    }
}

impl Rules {
    /// With these routes, in the order of relay.toml.
    pub fn new(mut routes: Vec<Route>) -> Self {
        let mut rules = Self { is_conditional: routes.iter().any(|route| route.takes != Takes::All), ..Self::default() };
        for route in &mut routes {
            let Takes::When(conditions) = &mut route.takes else { continue };
            // What is cheap to ask is asked first.
            conditions.sort_by_key(|condition| matches!(condition.place, Place::Body(_)));
            conditions.iter_mut().for_each(|condition| {
                if let Place::Body(place) = &mut condition.place {
                    place.number = rules.number(&place.written);
                }
            });
        }
        rules.routes = routes;
        rules
    }

    /// The number of a place: routes that look at the same one share it.
    fn number(&mut self, written: &str) -> usize {
        if let Some(known) = self.places.iter().position(|known| known.written == written) {
            return known;
        }
        let (pointer, item) = pointer::split_each(written).map_or((written, None), |(list, item)| (list, Some(item)));
        let of_item = |item| {
            let mut pointers = Pointers::default();
            pointers.add(item).map(|_| pointers)
        };
        // A place holds a pointer that was proved, so that there is a number.
        let pointer = self.pointers.add(pointer).unwrap_or_default();
        self.places.push(Reach { written: written.to_owned(), pointer, item: item.and_then(|item| of_item(item).ok()) });
        self.places.len() - 1
    }

    /// The routes.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether any of them looks into bodies.
    pub fn reads_body(&self) -> bool {
        !self.pointers.is_empty()
    }

    /// Whether any of them asks for the event's type.
    pub fn reads_type(&self) -> bool {
        self.read(&Place::Type)
    }

    /// Whether any of them asks whose certificate the sender showed.
    pub fn reads_client(&self) -> bool {
        self.read(&Place::Client)
    }

    fn read(&self, place: &Place) -> bool {
        let mut conditions = self.routes.iter().flat_map(|route| route.takes.conditions());
        conditions.any(|condition| condition.place == *place)
    }

    /// Whether its events may go to different destinations.
    pub fn is_conditional(&self) -> bool {
        self.is_conditional
    }

    /// Where an event goes.
    pub fn choose(&self, facts: &Facts<'_>) -> Chosen {
        if !self.is_conditional {
            return Chosen::All;
        }
        let look = Look::new(self, facts);
        let mut taking: Vec<&Route> = self.routes.iter().filter(|route| look.is_taken(&route.takes)).collect();
        if taking.is_empty() {
            taking = self.routes.iter().filter(|route| route.takes == Takes::Rest).collect();
        }
        let mut places: Vec<usize> = taking.into_iter().flat_map(|route| route.to.iter().copied()).collect();
        places.sort_unstable();
        places.dedup();
        Chosen::Some(places)
    }

    /// What each route says of an event, and why; [`Self::choose`] comes to the same.
    pub fn explain(&self, facts: &Facts<'_>) -> Vec<Verdict> {
        let look = Look::new(self, facts);
        let mut verdicts: Vec<Option<Verdict>> = self.routes.iter().map(|route| look.verdict(route)).collect();
        let is_taken = verdicts.iter().flatten().any(|verdict| *verdict == Verdict::Takes);
        let rest = if is_taken { Verdict::TakenByOther } else { Verdict::Takes };
        verdicts.drain(..).map(|verdict| verdict.unwrap_or_else(|| rest.clone())).collect()
    }
}

impl Chosen {
    /// What belongs to the chosen destinations; `each` has something for each destination of the source, or is empty.
    pub fn of<'a, T>(&'a self, each: &'a [T]) -> impl Iterator<Item = &'a T> {
        let (all, some) = match self {
            Self::All => (each, &[][..]),
            Self::Some(places) => (&[][..], places.as_slice()),
        };
        all.iter().chain(some.iter().filter_map(|&place| each.get(place)))
    }

    /// The chosen ones of `destinations`.
    pub fn names<T: Clone>(&self, destinations: &Arc<[T]>) -> Arc<[T]> {
        if *self == Self::All { destinations.clone() } else { self.of(destinations).cloned().collect() }
    }
}

impl fmt::Display for Place {
    /// In the words of relay.toml.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type => f.write_str("type"),
            Self::Method => f.write_str("method"),
            Self::Client => f.write_str("client"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Body(place) => write!(f, "body {:?}", place.written),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::glob::Glob;
    use crate::route::number::Number;
    use crate::route::wanted::{Relation, Wanted, Word};
    use http::{HeaderName, HeaderValue};

    fn test(word: Word) -> Test {
        Test::try_new(vec![word]).unwrap()
    }

    fn equals(text: &str) -> Test {
        test(Word::Equals(vec![Wanted::Text(text.into())]))
    }

    fn more_than(text: &str) -> Test {
        test(Word::Compare(Relation::Greater, Number::from_json(text).unwrap(), text.into()))
    }

    fn body(pointer: &str, test: Test) -> Condition {
        Condition { place: Place::Body(BodyPlace::try_new(pointer).unwrap()), test }
    }

    fn kind(glob: &str) -> Condition {
        Condition { place: Place::Type, test: test(Word::Glob(vec![Glob::try_new(glob).unwrap()])) }
    }

    fn header(name: &str, test: Test) -> Condition {
        Condition { place: Place::Header(name.into()), test }
    }

    fn rules(routes: Vec<(Takes, &[usize])>) -> Rules {
        let route = |(line, (takes, to)): (usize, (Takes, &[usize]))| Route { line, takes, to: to.to_vec() };
        Rules::new(routes.into_iter().enumerate().map(route).collect())
    }

    /// One route with these conditions, and whether it takes an event.
    fn takes(conditions: Vec<Condition>, kind: Option<&str>, headers: &[(&'static str, &'static str)], body: &str) -> bool {
        let rules = rules(vec![(Takes::When(conditions), &[0])]);
        let field = |(n, v): &(&'static str, &'static str)| (HeaderName::from_static(n), HeaderValue::from_static(v));
        let headers = headers.iter().map(field).collect();
        let facts = Facts { kind, method: "POST", headers: &headers, body: body.as_bytes() };
        let chosen = rules.choose(&facts);
        assert_eq!(rules.explain(&facts)[0] == Verdict::Takes, chosen == Chosen::Some(vec![0]));
        chosen == Chosen::Some(vec![0])
    }

    fn of_body(pointer: &str, wanted: Test, text: &str) -> bool {
        takes(vec![body(pointer, wanted)], None, &[], text)
    }

    #[test]
    fn all_conditions_of_a_route_hold() {
        let conditions = || vec![body("/amount", more_than("100")), kind("invoice.*"), header("x-a", equals("1"))];
        let headers = [("x-a", "0"), ("x-a", "1")];
        assert!(takes(conditions(), Some("invoice.paid"), &headers, r#"{"amount":100.01}"#));
        assert!(!takes(conditions(), Some("invoice.paid"), &headers, r#"{"amount":100}"#));
        assert!(!takes(conditions(), Some("charge.paid"), &headers, r#"{"amount":100.01}"#));
        assert!(!takes(conditions(), None, &headers, r#"{"amount":100.01}"#));
        assert!(!takes(conditions(), Some("invoice.paid"), &[("x-a", "0")], r#"{"amount":100.01}"#));
    }

    #[test]
    fn a_body_without_the_place_or_without_json() {
        let none = || test(Word::Exists(false));
        let not = || test(Word::Not(equals("a")));
        for text in ["{}", r#"{"x":null}"#, "[]", "7", r#"{"y":{"x":1}}"#] {
            assert!(of_body("/x", none(), text) && of_body("/x", not(), text), "{text}");
            assert!(!of_body("/x", test(Word::Exists(true)), text), "{text}");
        }
        for text in ["", "x=1&y=2", r#"{"y":1"#, r#"{"y":1} {}"#, "\u{1}", r#"{"x":1,"x":1}"#, r#"{"x":"a","x":"b"}"#] {
            for wanted in [none(), not(), test(Word::Exists(true)), equals("a")] {
                assert!(!of_body("/x", wanted, text), "{text}");
            }
        }
        assert!(of_body("", equals("a"), r#""a""#));
    }

    #[test]
    fn a_star_looks_at_each_element() {
        let text = r#"{"items":[{"sku":"a"},{},{"sku":"b","n":9007199254740993}]}"#;
        assert!(of_body("/items/*/sku", equals("b"), text) && !of_body("/items/*/sku", equals("c"), text));
        assert!(of_body("/items/*/n", more_than("9007199254740992"), text));
        assert!(of_body("/items/*/gone", test(Word::Exists(false)), text));
        assert!(of_body("/tags/*", equals("x"), r#"{"tags":["y","x"]}"#));
        assert!(!of_body("/tags/*", equals("x"), r#"{"tags":{"*":"x"}}"#));
        assert!(!of_body("/items/*/sku", equals("b"), r#"{"items":[{"sku":"b"},{"sku":"a","sku":"a"}]}"#));
        let many = |n: usize| format!("[{}2]", "1,".repeat(n - 1));
        let two = || test(Word::Equals(vec![Wanted::Number(Number::from_json("2").unwrap(), "2".into())]));
        assert!(of_body("/*", two(), &many(10_000)) && !of_body("/*", two(), &many(10_001)));
        assert_eq!(BodyPlace::try_new("/a/*/b/*"), Err(BadPlace::Stars));
        assert_eq!(BodyPlace::try_new("a"), Err(BadPlace::Pointer));
    }

    #[test]
    fn routes_are_united_and_the_rest_takes_what_they_leave() {
        let rules = rules(vec![
            (Takes::When(vec![kind("a.*")]), &[2, 0]),
            (Takes::Rest, &[3]),
            (Takes::When(vec![kind("*.b")]), &[1, 0]),
        ]);
        let headers = Headers::default();
        let facts = |kind| Facts { kind: Some(kind), method: "POST", headers: &headers, body: b"" };
        let chosen = ["a.x", "x.b", "a.b", "x"].map(|kind| rules.choose(&facts(kind)));
        assert_eq!(chosen, [&[0, 2][..], &[0, 1], &[0, 1, 2], &[3]].map(|places| Chosen::Some(places.to_vec())));
        let said = rules.explain(&facts("x.b"));
        let failed = Failed { condition: "type: glob \"a.*\"".into(), found: "it is \"x.b\"".into() };
        assert_eq!(said, [Verdict::Leaves(vec![failed]), Verdict::TakenByOther, Verdict::Takes]);
        assert_eq!(rules.explain(&facts("x"))[1], Verdict::Takes);
        let destinations: Arc<[&str]> = ["d0", "d1", "d2", "d3"].into();
        assert_eq!(&*chosen[1].names(&destinations), ["d0", "d1"]);
        assert_eq!(chosen[1].of::<u8>(&[]).count(), 0);
    }

    #[test]
    fn routes_share_what_they_look_at() {
        let of = |text: &str| {
            Takes::When(vec![body("/k", equals(text)), body("/l/*/k", equals(text)), body("/l", test(Word::Exists(true)))])
        };
        let rules = rules(vec![(of("a"), &[0]), (of("b"), &[1])]);
        assert_eq!(rules.places.len(), 3);
        let headers = Headers::default();
        let goes = |body: &str| rules.choose(&Facts { kind: None, method: "POST", headers: &headers, body: body.as_bytes() });
        assert_eq!(goes(r#"{"l":[{"k":"a"},{"k":"b"}],"k":"b"}"#), Chosen::Some(vec![1]));
        assert_eq!(goes(r#"{"l":[{"k":"a"}],"k":"b"}"#), Chosen::Some(vec![]));
    }

    #[test]
    fn without_conditions_everything_goes_everywhere() {
        let headers = Headers::default();
        let facts = Facts { kind: None, method: "POST", headers: &headers, body: b"" };
        for rules in [Rules::default(), rules(vec![(Takes::All, &[0]), (Takes::All, &[1])])] {
            assert_eq!(rules.choose(&facts), Chosen::All);
            let destinations: Arc<[u8]> = [1, 2].into();
            assert!(Arc::ptr_eq(&destinations, &rules.choose(&facts).names(&destinations)));
        }
    }

    #[test]
    fn what_is_there_instead_is_told() {
        let rules = rules(vec![(
            Takes::When(vec![
                body("/a", more_than("1")),
                body("/gone", equals("x")),
                body("/l/*", equals("x")),
                Condition { place: Place::Method, test: equals("PUT") },
            ]),
            &[0],
        )]);
        let headers = Headers::default();
        let told = |body: &'static str| {
            let facts = Facts { kind: None, method: "POST", headers: &headers, body: body.as_bytes() };
            let [Verdict::Leaves(failed)] = &rules.explain(&facts)[..] else { panic!("{body} is taken") };
            failed.iter().map(|failed| format!("{}; {}", failed.condition, failed.found)).collect::<Vec<_>>()
        };
        let expected = [
            "method: equals \"PUT\"; it is \"POST\"",
            "body \"/a\": gt 1; it is \"2\"",
            "body \"/gone\": equals \"x\"; nothing is there",
            "body \"/l/*\": equals \"x\"; it is 1, 2, 3, 4, 5, ...",
        ];
        assert_eq!(told(r#"{"a":"2","l":[1,2,3,4,5,6]}"#), expected);
        assert_eq!(told("a=2")[1], "body \"/a\": gt 1; the body is not JSON");
        assert_eq!(told(r#"{"a":2,"a":2}"#)[1], "body \"/a\": gt 1; it is there twice");
    }
}
