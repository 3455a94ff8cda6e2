//! `when` of a route: conditions on an event's type, method, headers and body, and what a value must be.

use http::{HeaderName, Method};

use super::key::{Key, Kind, Others, Table};
use super::value::Value;
use crate::route::filter::{BodyPlace, Condition, Place};
use crate::route::glob::Glob;
use crate::route::number::Number;
use crate::route::wanted::{Relation, Test, Wanted, Word};

/// Conditions of one route, and values of one list: each may be looked at for each event.
const CONDITIONS_MAX: usize = 64;
const LIST_MAX: usize = 1000;
/// Tables within tables: `not` in `not` says nothing that cannot be said without.
const NOT_MAX: usize = 2;

const RELATIONS: [Relation; 4] = [Relation::Greater, Relation::NotLess, Relation::Less, Relation::NotGreater];

/// A pattern, or several of which one must fit.
const PATTERNS: Kind = Kind::OneOrMany(&Kind::Text);
const METHODS: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"];

pub(super) static KEYS: Table = Table {
    name: "when",
    tells: "In `[[routes]]`: conditions on what an event shows. All must hold. Rules look at requests that were verified, never before.",
    example: r#"
[[routes]]
from = "stripe"
to = ["billing"]
when = { type = ["invoice.*", "charge.refunded"], body = { "/livemode" = true } }
"#,
    keys: &[
        Key::new(
            "type",
            Kind::Either(&[PATTERNS, Kind::Table(&TEST)]),
            "The provider's word for what happened: patterns, of which one must fit, or a [test](#test). `*` is any text, `?` one character.",
        ),
        Key::new("method", Kind::OneOrMany(&Kind::Choice(&METHODS)), "One method, or several."),
        Key::new(
            "client",
            Kind::Either(&[PATTERNS, Kind::Table(&TEST)]),
            "What the sender's [certificate](EDGE.md#certificates-of-senders) says of its owner, one name of which must fit: as `type`. For \
             sources with `client_ca`.",
        ),
        Key::new(
            "header",
            Kind::Named(&Kind::Either(&[Kind::Scalar, Kind::Table(&TEST)])),
            "By name, in any case: a value that must be equal, or a [test](#test). Of a repeated header one value must fit.",
        ),
        Key::new(
            "body",
            Kind::Named(&Kind::Either(&[Kind::Scalar, Kind::Table(&TEST)])),
            "By JSON pointer (RFC 6901), such as `/data/object/id`; `/*/` is each element of an array. A value that must be equal, or a \
             [test](#test).",
        ),
    ],
    later: &[],
    others: Others::None,
};

static TEST: Table = Table {
    name: "test",
    tells: "In `when`: what a value must be. All words must hold.",
    example: r#"
[[routes]]
from = "stripe"
to = ["fraud"]
[routes.when]
header = { "x-region" = "eu" }
body = { "/data/object/amount" = { gt = 10000, le = 1e6 }, "/data/object/country" = { not = ["DE", "AT"] } }
"#,
    keys: &[
        Key::new("equals", Kind::Scalar, "This value. Values of JSON have a type: `5` is not `\"5\"`."),
        Key::new("in", Kind::OneOrMany(&Kind::Scalar), "One of these values."),
        Key::new("glob", PATTERNS, "A text that one of these patterns fits."),
        Key::new("gt", Kind::Scalar, "A number that is more. Numbers are compared exactly, however large."),
        Key::new("ge", Kind::Scalar, "A number that is not less."),
        Key::new("lt", Kind::Scalar, "A number that is less."),
        Key::new("le", Kind::Scalar, "A number that is not more."),
        Key::new("exists", Kind::Boolean, "Whether anything but `null` is there."),
        Key::new(
            "not",
            Kind::Either(&[Kind::OneOrMany(&Kind::Scalar), Kind::Table(&TEST)]),
            "What must not hold: a value, several, or a test. It holds where nothing is there, too.",
        ),
    ],
    later: &[],
    others: Others::None,
};

/// The conditions of `when`; `None` where one cannot be used, which was then reported.
pub(super) fn read(value: &Value<'_>) -> Option<Vec<Condition>> {
    let mut inner = value.inner()?;
    let mut read = Vec::new();
    if let Some(value) = inner.take("type") {
        read.push(type_test(&value).map(|test| Condition { place: Place::Type, test }));
    }
    if let Some(value) = inner.take("method") {
        read.push(methods(&value).map(|test| Condition { place: Place::Method, test }));
    }
    if let Some(value) = inner.take("client") {
        read.push(type_test(&value).map(|test| Condition { place: Place::Client, test }));
    }
    for (key, name) in [("header", header as ReadPlace), ("body", body)] {
        let Some(table) = inner.take(key) else { continue };
        let Some(table) = table.inner() else {
            read.push(None);
            continue;
        };
        read.extend(table.entries().iter().map(|(key, value)| {
            let (place, test) = (name(key, value), test(value));
            Some(Condition { place: place?, test: test? })
        }));
    }
    let is_empty = inner.entries().is_empty();
    inner.finish();
    if is_empty {
        let help = "say type, method, client, header or body, or leave it out to take every event";
        return value.error_help("says nothing", Some(help.to_owned()));
    }
    if read.len() > CONDITIONS_MAX {
        return value.error(&format!("has more than {CONDITIONS_MAX} conditions"));
    }
    read.into_iter().collect()
}

type ReadPlace = fn(&str, &Value<'_>) -> Option<Place>;

fn header(name: &str, value: &Value<'_>) -> Option<Place> {
    match HeaderName::try_from(name) {
        Ok(name) => Some(Place::Header(name.as_str().to_owned())),
        Err(_) => value.error("is no header's name"),
    }
}

fn body(pointer: &str, value: &Value<'_>) -> Option<Place> {
    match BodyPlace::try_new(pointer) {
        Ok(place) => Some(Place::Body(place)),
        Err(bad) => {
            let help = (!pointer.starts_with('/')).then(|| format!("did you mean \"/{}\"?", pointer.replace('.', "/")));
            value.error_help(&bad.to_string(), help)
        }
    }
}

/// Patterns, of which one must fit, or a table.
fn type_test(value: &Value<'_>) -> Option<Test> {
    if value.is_table() { test(value) } else { Test::try_new(vec![Word::Glob(globs(value)?)]) }
}

fn methods(value: &Value<'_>) -> Option<Test> {
    let known = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::GET, Method::HEAD];
    let choices: Vec<_> = known.iter().map(|method| (method.as_str(), method)).collect();
    let wanted = |item: &Value<'_>| item.choice(&choices).map(|method| Wanted::Text(method.as_str().to_owned()));
    Test::try_new(vec![Word::Equals(several(value, wanted)?)])
}

/// A value that must be equal, or a table of words.
fn test(value: &Value<'_>) -> Option<Test> {
    test_within(value, 0)
}

fn test_within(value: &Value<'_>, depth: usize) -> Option<Test> {
    if !value.is_table() {
        warn_of_star(value);
        return Test::try_new(vec![Word::Equals(vec![wanted(value)?])]);
    }
    let mut inner = value.inner()?;
    let mut words = Vec::new();
    words.extend(inner.take("equals").map(|value| Some(Word::Equals(vec![wanted(&value)?]))));
    words.extend(inner.take("in").map(|value| several(&value, wanted).map(Word::Equals)));
    words.extend(inner.take("glob").map(|value| globs(&value).map(Word::Glob)));
    for relation in RELATIONS {
        words.extend(inner.take(relation.as_str()).map(|value| compare(relation, &value)));
    }
    words.extend(inner.take("exists").map(|value| value.boolean().map(Word::Exists)));
    words.extend(inner.take("not").map(|value| not(&value, depth).map(Word::Not)));
    let is_empty = inner.entries().is_empty();
    inner.finish();
    if is_empty {
        let help = "write equals, in, glob, gt, ge, lt, le, exists or not";
        return value.error_help("says nothing", Some(help.to_owned()));
    }
    let words = words.into_iter().collect::<Option<Vec<_>>>().filter(|words| !words.is_empty())?;
    Test::try_new(words).or_else(|| value.error("can never hold: it wants a value, and that none is there"))
}

/// A text alone is no pattern, and looks like one.
fn warn_of_star(value: &Value<'_>) {
    if let Some(text) = value.node().get_ref().as_str().filter(|text| text.contains('*')) {
        let help = format!("write {{ glob = {text:?} }} for a pattern, or {{ equals = {text:?} }}");
        value.warn("is compared as it stands", Some(help));
    }
}

/// What must not hold: a value, several of them, or a table.
fn not(value: &Value<'_>, depth: usize) -> Option<Test> {
    if depth >= NOT_MAX {
        return value.error("stands too deep");
    }
    match value.node().get_ref().is_array() {
        true => Test::try_new(vec![Word::Equals(several(value, wanted)?)]),
        false => test_within(value, depth + 1),
    }
}

fn globs(value: &Value<'_>) -> Option<Vec<Glob>> {
    several(value, |item| match Glob::try_new(item.text()?) {
        Ok(glob) => Some(glob),
        Err(bad) => item.error(&format!("cannot be used: {bad}")),
    })
}

/// One value, or a list of some.
fn several<'a, T>(value: &Value<'a>, read: impl Fn(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
    let items = value.one_or_many();
    match items.len() {
        0 => value.error("is empty: nothing would fit"),
        1..=LIST_MAX => {
            let read: Vec<_> = items.iter().map(read).collect();
            read.into_iter().collect()
        }
        _ => value.error(&format!("has more than {LIST_MAX} values")),
    }
}

fn wanted(value: &Value<'_>) -> Option<Wanted> {
    let node = value.node().get_ref();
    match (node.as_str(), node.as_bool()) {
        (Some(text), _) => Some(Wanted::Text(text.to_owned())),
        (_, Some(truth)) => Some(Wanted::Bool(truth)),
        _ if node.is_integer() || node.is_float() => number(value).map(|(number, written)| Wanted::Number(number, written)),
        _ if node.is_array() => {
            let help = "write { in = [...] } where one of several is wanted";
            value.error_help("must be one value", Some(help.to_owned()))
        }
        _ => value.error("must be a string, a number, or true or false"),
    }
}

fn compare(relation: Relation, value: &Value<'_>) -> Option<Word> {
    let node = value.node().get_ref();
    if let Some(text) = node.as_str().filter(|text| Number::from_json(text).is_some()) {
        return value.error_help("must be a number", Some(format!("did you mean {text}?")));
    }
    if !node.is_integer() && !node.is_float() {
        return value.error("must be a number");
    }
    number(value).map(|(number, written)| Word::Compare(relation, number, written))
}

/// A number of TOML with all its digits, and as JSON would write it.
fn number(value: &Value<'_>) -> Option<(Number, String)> {
    let node = value.node().get_ref();
    let written = match (node.as_integer(), node.as_float()) {
        (Some(integer), _) if integer.radix() != 10 => {
            i128::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number.to_string())
        }
        (Some(integer), _) => Some(integer.as_str().to_owned()),
        (_, Some(float)) => Some(float.as_str().to_owned()),
        _ => None,
    };
    let written = written.map(|text| text.trim_start_matches('+').replace('_', ""));
    let Some(number) = written.as_deref().and_then(Number::from_json) else { return value.error("must be a finite number") };
    let number = number.of_rule().or_else(|| value.error("is too large or too small to be meant"));
    number.zip(written)
}
