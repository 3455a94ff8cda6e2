//! What is counted: that docs/METRICS.md, the rules and the dashboard of packaging/prometheus name what there is, and that nobody
//! outside can make a series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use hookhold::alarm::Kind;
use hookhold::metrics::{LetGo, Metrics, RequestOutcome, SentOutcome};
use hookhold::record::{BreakerState, Failure, Name, StateName};
use hookhold::signature::Reason;
use hookhold::time::Timestamp;
use http::Method;
use serde_json::Value;

use crate::world::World;

/// What stands around a metric: its type, and its labels.
type Known = BTreeMap<String, (String, BTreeSet<String>)>;

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Metrics of a relay in which everything happened once.
fn eventful() -> String {
    let metrics = Metrics::new();
    let name = |text| Name::try_new(text).unwrap();
    let source = metrics.source(&name("s"));
    source.refused("mismatch");
    source.heard("passed");
    let destination = metrics.destination(&name("d"));
    destination.attempt(Duration::from_secs(1), "2xx");
    metrics.alerts().set_firing([("source_silent", "s".to_owned(), true)]);
    metrics.alerts().set_certificates([("c.pem".into(), Timestamp::from_ms(1000))]);
    metrics.render()
}

/// The metrics of an exposition. Parts of a histogram are one metric.
fn shown(text: &str) -> Known {
    let (mut known, mut kind) = (Known::new(), String::new());
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            kind = typed.rsplit(' ').next().unwrap().to_owned();
        } else if !line.starts_with('#') {
            let (name, labels) = sample(line);
            let whole =
                ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).filter(|_| kind == "histogram");
            let entry = known.entry(whole.unwrap_or(&name).to_owned()).or_insert_with(|| (kind.clone(), BTreeSet::new()));
            entry.1.extend(labels.into_iter().filter(|label| label != "le"));
        }
    }
    known
}

/// The name of a sample, and the names of its labels.
fn sample(line: &str) -> (String, Vec<String>) {
    let Some((name, rest)) = line.split_once('{') else { return (line.split(' ').next().unwrap().to_owned(), Vec::new()) };
    let labels = rest.rsplit_once('}').unwrap().0.split(',').filter_map(|pair| pair.split_once('='));
    (name.to_owned(), labels.map(|(label, _)| label.to_owned()).collect())
}

/// The rows of docs/METRICS.md.
fn documented() -> Known {
    let text = file("docs/METRICS.md");
    let rows = text.lines().filter(|line| line.starts_with("| `hookhold_"));
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        assert!(cells.len() == 7 && !cells[4].is_empty(), "{line}");
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned()).filter(|label| !label.is_empty());
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels.collect()))
    };
    let count = rows.clone().count();
    let known: Known = rows.map(row).collect();
    assert_eq!(known.len(), count, "one is there twice");
    known
}

#[test]
fn the_document_names_what_there_is() {
    let text = eventful();
    // A family without a series is not shown: what the source code registers must all be there.
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics")).unwrap();
    let sources = folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let registered: usize = sources.map(|source| source.matches("registry.register(").count()).sum();
    assert_eq!(
        text.lines().filter(|line| line.starts_with("# TYPE ")).count(),
        registered,
        "one that is registered has no series"
    );
    let shown = shown(&text);
    assert_eq!(shown.len(), registered);
    assert_eq!(documented(), shown);
}

#[test]
fn the_document_has_every_word() {
    let text = file("docs/METRICS.md");
    let words = RequestOutcome::ALL.iter().map(|outcome| outcome.as_str());
    let words = words.chain(SentOutcome::ALL.iter().map(|outcome| outcome.as_str()));
    let words = words.chain(LetGo::ALL.iter().map(|reason| reason.as_str()));
    let words = words.chain(Reason::ALL.iter().map(|reason| reason.as_str()));
    let words = words.chain(Failure::ALL.iter().map(|failure| failure.as_str()));
    let words = words.chain(Kind::ALL.iter().map(|kind| kind.as_str()));
    let words = words.chain(BreakerState::ALL.iter().map(|state| state.as_str()));
    let words = words.chain([StateName::Delivered, StateName::Parked, StateName::Cancelled].map(StateName::as_str));
    let missing: Vec<_> = words.filter(|word| !text.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // One that is missing in the list would be missing here, too.
    let told = file("src/metrics/connection.rs").matches("=> \"").count();
    assert_eq!(told, LetGo::ALL.len());
}

#[test]
fn names_follow_the_conventions() {
    for (name, (kind, labels)) in shown(&eventful()) {
        assert!(name.starts_with("hookhold_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        for unit in ["_ms", "_milliseconds", "_minutes", "_days", "_kib", "_mib", "_percent"] {
            assert!(!name.trim_end_matches("_total").ends_with(unit), "{name} is not in a base unit");
        }
        for label in labels {
            assert!(!label.starts_with("__") && !name.contains(&format!("_by_{label}")), "{name} {label}");
        }
    }
}

/// Each place in a text where a metric is named, with what follows.
fn named(text: &str) -> Vec<(String, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = text.match_indices("hookhold_").filter(|(at, _)| !text[..*at].ends_with(is_part));
    let whole = |(at, _): (usize, &str)| {
        let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |length| at + length);
        (text[at..end].to_owned(), &text[end..])
    };
    starts.map(whole).collect()
}

/// What is wrong with the names and labels in a text of rules or of a dashboard.
fn wrong(text: &str, known: &Known) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, rest) in named(text) {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let found = known.get(&name).filter(|(kind, _)| kind != "histogram");
        let Some((_, labels)) = found.or_else(|| part.and_then(|whole| known.get(whole)).filter(|(kind, _)| kind == "histogram"))
        else {
            wrong.push(name);
            continue;
        };
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        for matcher in matchers.split(", ").filter(|matcher| !matcher.is_empty()) {
            let label = matcher.split(['=', '!', '~']).next().unwrap();
            if !labels.contains(label) && !["job", "instance"].contains(&label) {
                wrong.push(format!("{name}{{{label}}}"));
            }
        }
    }
    wrong
}

#[test]
fn rules_and_dashboard_name_what_there_is() {
    let known = shown(&eventful());
    for path in ["rules.yml", "rules_test.yml"] {
        let text = file(&format!("packaging/prometheus/{path}"));
        assert!(named(&text).len() > 10, "{path}");
        // A test's series has its labels without spaces.
        assert_eq!(wrong(&text, &known), [""; 0], "{path}");
    }
    assert_eq!(wrong("hookhold_requests_total{colour=\"red\"} + hookhold_nothing + hookhold_accept_seconds", &known).len(), 3);
    let dashboard: Value = serde_json::from_str(&file("packaging/prometheus/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
            let expr = target["expr"].as_str().unwrap();
            assert_eq!(wrong(expr, &known), [""; 0], "{expr}");
            used.extend(named(expr).into_iter().map(|(name, _)| name));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        assert_eq!(wrong(variable["query"]["query"].as_str().unwrap_or_default(), &known), [""; 0], "{variable}");
    }
    assert!(used.len() > 20, "{used:?}");
}

/// The rectangle of a panel: left, top, right, bottom.
fn rectangle(panel: &Value) -> [u64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
    [x, y, x + w, y + h]
}

/// What Grafana asks of the file of a dashboard: a version that it can read and raises by itself, and panels that are laid out.
/// Whether Prometheus can read the expressions is for promtool (`.ci/run`).
#[test]
fn the_dashboard_is_one_that_grafana_loads() {
    let dashboard: Value = serde_json::from_str(&file("packaging/prometheus/grafana.json")).unwrap();
    // 36 is where a panel names its source of data as type and uid, as it does here.
    assert!((36..=41).contains(&dashboard["schemaVersion"].as_u64().unwrap()));
    assert!((1..=40).contains(&dashboard["uid"].as_str().unwrap().len()) && !dashboard["title"].as_str().unwrap().is_empty());
    // Who imports it has no such number.
    assert!(dashboard.get("id").is_none_or(Value::is_null));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let known: BTreeSet<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    let source = variables.iter().find(|variable| variable["name"] == "datasource").unwrap();
    assert_eq!([&source["type"], &source["query"]], ["datasource", "prometheus"]);
    let panels = dashboard["panels"].as_array().unwrap();
    for (n, panel) in panels.iter().enumerate() {
        assert!(!panel["title"].as_str().unwrap().is_empty(), "{panel}");
        let [left, top, right, bottom] = rectangle(panel);
        assert!(left < right && right <= 24 && top < bottom, "{panel}");
        for other in &panels[n + 1..] {
            let [l, t, r, b] = rectangle(other);
            assert!(right <= l || r <= left || bottom <= t || b <= top, "{} covers {}", panel["title"], other["title"]);
        }
        let targets: Vec<&Value> = panel["targets"].as_array().into_iter().flatten().collect();
        assert_eq!(panel["type"] == "row", targets.is_empty(), "{panel}");
        let letters: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert_eq!(letters.len(), targets.len(), "{panel}");
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            for variable in expression.split('$').skip(1) {
                let is_part = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
                let name = variable.trim_start_matches('{').split(is_part).next().unwrap();
                assert!(known.contains(name) || name.starts_with("__"), "{name} of {expression}");
            }
        }
    }
}

/// The series of an exposition: names and labels, without values.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn nobody_outside_can_make_a_series() {
    let world = World::start("", "").await;
    let strange = async |n: u32| {
        world.post(&format!("/in/unknown-{n}?q={n}"), &[("host", &format!("h{n}.example"))], b"{}").await;
        world.post("/in/gh", &[("x-github-delivery", &n.to_string()), ("x-hub-signature-256", "sha256=00")], b"{}").await;
        world.request(Method::from_bytes(format!("M{n}").as_bytes()).unwrap(), "/in/gh", &[], b"").await;
        let (id, kind, body) = (format!("id-{n}"), format!("type-{n}"), format!("{{\"n\":{n}}}"));
        let signature = crate::world::github_signature(crate::world::SECRET, body.as_bytes());
        let headers = [("x-github-delivery", id.as_str()), ("x-github-event", &kind), ("x-hub-signature-256", &signature)];
        assert_eq!(world.post("/in/gh", &headers, body.as_bytes()).await.status, 200);
    };
    strange(0).await;
    world.listed("/deliveries?state=delivered", 1).await;
    let before = series(&world.metrics().await);
    for n in 1..20 {
        strange(n).await;
    }
    world.listed("/deliveries?state=delivered", 20).await;
    let after = series(&world.metrics().await);
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(before.len() > 100 && before.iter().any(|series| series.contains("unknown_source")));
}
