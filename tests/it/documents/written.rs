//! What is written from the code: docs/CONFIGURATION.md and packaging/relay.schema.json are what the code says, and the code does
//! what they say. With `UPDATE_DOCS=1` both files are written anew.

use std::collections::{BTreeMap, BTreeSet};

use hookhold::config::key::{Kind, Others, Otherwise, Table};
use hookhold::config::{reference, schema};
use jsonschema::Validator;
use serde_json::json;
use toml::Value;

use super::fragment::World;
use super::{pages, root};

#[test]
fn the_files_are_what_the_code_says() {
    let files = [("docs/CONFIGURATION.md", reference::markdown()), ("packaging/relay.schema.json", format!("{:#}\n", schema()))];
    for (path, text) in files {
        let file = root().join(path);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(there == text, "{path} is not what the code says: run UPDATE_DOCS=1 cargo test --test it documents");
    }
}

/// Whole relay.toml texts that can be used: the tests' own, the repository's, and each example of the reference.
fn good(world: &World) -> Vec<(String, String)> {
    let mut texts = files("tests/config/valid");
    let own = std::fs::read_to_string(root().join("relay.toml")).unwrap();
    texts.push(("the repository's".into(), world.completed(&own)));
    texts.extend(reference::tables().iter().map(|table| (table.name.to_owned(), world.completed(table.example))));
    for (name, text) in &mut texts {
        match name.as_str() {
            "mark_and_crlf.toml" => *text = text.trim_start_matches('\u{feff}').to_owned(),
            // The relay takes numbers of any length, the type that is used here does not.
            "route_conditions.toml" => *text = text.replace("18_446_744_073_709_551_616", "1_000"),
            _ => {}
        }
    }
    texts
}

fn files(folder: &str) -> Vec<(String, String)> {
    let mut paths: Vec<_> = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// As an editor hands it to the schema: dates are texts.
fn as_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Datetime(at) => json!(at.to_string()),
        Value::Array(items) => items.iter().map(as_json).collect(),
        Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), as_json(value))).collect(),
        other => serde_json::to_value(other).unwrap(),
    }
}

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).unwrap()
}

/// Why a text does not fit the schema; nothing where it does.
fn misfits(validator: &Validator, text: &str) -> Vec<String> {
    let value = as_json(&Value::Table(text.parse().unwrap()));
    validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn good_files_fit_the_schema() {
    let validator = validator();
    for (name, text) in good(&World::new()) {
        assert_eq!(misfits(&validator, &text), [""; 0], "{name}");
    }
    let world = World::new();
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.info == ["toml"]) {
            let text = world.completed(&block.text);
            assert_eq!(misfits(&validator, &text), [""; 0], "{}: line {}", page.path, block.line);
        }
    }
}

#[test]
fn bad_files_do_not_fit_the_schema() {
    let validator = validator();
    let bad: Vec<_> = files("tests/config/invalid").into_iter().filter(|(_, text)| text.parse::<toml::Table>().is_ok()).collect();
    let misfit = bad.iter().filter(|(_, text)| !misfits(&validator, text).is_empty()).map(|(name, _)| name.as_str());
    let misfit: BTreeSet<_> = misfit.collect();
    let named = ["unknown_keys.toml", "edge.toml", "wrong_types.toml", "units.toml", "empty.toml", "routes_one_bracket.toml"];
    for name in named {
        assert!(misfit.contains(name), "{name} fits; these do not: {misfit:?}");
    }
}

/// A table in a text: what is told of it, and the way to it.
type Place = (&'static Table, Vec<Step>);

#[derive(Clone)]
enum Step {
    Key(String),
    Item(usize),
}

/// Every table in a text that is told.
fn places(text: &toml::Table) -> Vec<Place> {
    let mut found = Vec::new();
    places_in(&Kind::Table(reference::tables()[0]), &Value::Table(text.clone()), &[], &mut found);
    found
}

fn places_in(kind: &Kind, value: &Value, way: &[Step], found: &mut Vec<Place>) {
    let on = |step: Step| [way, &[step]].concat();
    match (value, kind.entry()) {
        (Value::Array(items), _) => {
            items.iter().enumerate().for_each(|(n, item)| places_in(kind.item(), item, &on(Step::Item(n)), found));
        }
        (Value::Table(table), Some(entry)) => {
            table.iter().for_each(|(name, value)| places_in(entry, value, &on(Step::Key(name.clone())), found));
        }
        (Value::Table(table), None) => {
            let Some(told) = kind.table() else { return };
            found.push((told, way.to_vec()));
            for (name, value) in table {
                if let Some(key) = told.key(name) {
                    places_in(&key.kind, value, &on(Step::Key(name.clone())), found);
                }
            }
        }
        _ => {}
    }
}

fn at<'t>(text: &'t mut toml::Table, way: &[Step]) -> &'t mut toml::Table {
    let (first, rest) = match way.split_first() {
        Some((Step::Key(first), rest)) => (first, rest),
        _ => return text,
    };
    let step = |value: &'t mut Value, step: &Step| match step {
        Step::Key(name) => &mut value[name.as_str()],
        Step::Item(n) => &mut value[*n],
    };
    rest.iter().fold(&mut text[first.as_str()], step).as_table_mut().unwrap()
}

/// A key that is told, as `destinations.NAME timeout`.
fn name(table: &Table, key: &str) -> String {
    format!("{} {key}", table.name)
}

/// What is written in a file that can be used was read: so everything that is told is written in one of them.
#[test]
fn what_is_told_is_read() {
    let mut written = BTreeSet::new();
    for (_, text) in good(&World::new()) {
        let text: toml::Table = text.parse().unwrap();
        for (told, way) in places(&text) {
            let mut text = text.clone();
            let here = at(&mut text, &way);
            written.extend(told.keys.iter().filter(|key| here.contains_key(key.name)).map(|key| name(told, key.name)));
        }
    }
    let told = reference::tables().into_iter().flat_map(|table| table.keys.iter().map(|key| name(table, key.name)));
    let missing: Vec<_> = told.filter(|name| !written.contains(name)).collect();
    assert!(missing.is_empty(), "no example and no file of tests/config/valid has them: {missing:#?}");
}

/// A file with what is told as the default means the same as one without it.
#[test]
fn defaults_are_what_is_told() {
    let world = World::new();
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    for (source, text) in good(&world).into_iter().filter(|(name, _)| !name.ends_with(".toml") || name == "relay.toml") {
        let text: toml::Table = text.parse().unwrap();
        let read = |text: &toml::Table| {
            let loaded = world.parse(&toml::to_string(text).unwrap()).ok()?;
            Some(without_lines(&format!("{:?}", loaded.settings)))
        };
        for (told, way) in places(&text) {
            for key in told.keys {
                let Otherwise::Value(value) = key.otherwise else { continue };
                let value: toml::Table = format!("v = {value}").parse().unwrap();
                let (mut without, mut with) = (text.clone(), text.clone());
                at(&mut without, &way).remove(key.name);
                at(&mut with, &way).insert(key.name.into(), value["v"].clone());
                // Some do not go together with what is there.
                let (Some(with), Some(without)) = (read(&with), read(&without)) else { continue };
                assert_eq!(with, without, "{source}: {}", name(told, key.name));
                *compared.entry(name(told, key.name)).or_default() += 1;
            }
        }
    }
    for table in reference::tables() {
        for key in table.keys.iter().filter(|key| matches!(key.otherwise, Otherwise::Value(_))) {
            assert!(compared.contains_key(&name(table, key.name)), "{} was not compared", name(table, key.name));
        }
    }
}

/// Routes know the lines where they stand.
fn without_lines(settings: &str) -> String {
    let mut parts = settings.split("line: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn unknown_keys_fit_no_table() {
    let (validator, mut tried) = (validator(), 0);
    for (source, text) in good(&World::new()) {
        let text: toml::Table = text.parse().unwrap();
        for (told, way) in places(&text) {
            let mut text = text.clone();
            let here = at(&mut text, &way);
            // A scheme of one's own may ask for any setting.
            if told.others == Others::Settings && here.get("provider").and_then(Value::as_str) == Some("custom") {
                continue;
            }
            here.insert("colour".into(), "red".into());
            assert_ne!(misfits(&validator, &toml::to_string(&text).unwrap()), [""; 0], "{source}: {}", told.name);
            tried += 1;
        }
    }
    assert!(tried > 100, "only {tried}");
}

#[test]
fn every_table_has_a_name_of_its_own_and_an_example_with_it() {
    let mut seen = BTreeSet::new();
    for table in reference::tables() {
        assert!(seen.insert(table.anchor()), "{} is there twice", table.name);
        let example: toml::Table = table.example.parse().unwrap_or_else(|error| panic!("{}: {error}", table.name));
        assert!(places(&example).iter().any(|(told, _)| *told == table), "the example of {} has none of it", table.name);
        let mut keys = BTreeSet::new();
        for key in table.keys {
            assert!(keys.insert(key.name), "{} is told twice", name(table, key.name));
            assert!(key.tells.ends_with('.') || key.tells.contains("`."), "{}: {}", name(table, key.name), key.tells);
        }
    }
}

#[test]
fn the_words_of_schemes_and_challenges_are_told() {
    let (schema, page) = (schema(), std::fs::read_to_string(root().join("docs/PROVIDERS.md")).unwrap());
    for (table, least) in [("verify", 20), ("handshake", 9)] {
        let words: Vec<_> = schema["definitions"][table]["properties"].as_object().unwrap().keys().collect();
        assert!(words.len() >= least, "{table}: {words:?}");
        let untold: Vec<_> = words.into_iter().filter(|word| !page.contains(&format!("`{word}`"))).collect();
        assert!(untold.is_empty(), "docs/PROVIDERS.md does not tell these words of {table}: {untold:?}");
    }
}
