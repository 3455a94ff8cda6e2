//! What must hold of every preset, whatever its scheme: nothing is accepted without a signature, with a key that proves nothing, or
//! from a provider that signs for others where the source does not say who it is.

use hookhold::config;
use hookhold::signature::{Captured, Judgement, Without, preset, verify_captured};

use super::explained::{REST, env, explained, sections};
use super::hmac::{self, Vector};
use super::keys;

/// Of these providers' events nothing says for whom they are; `check` warns of them.
const TELL_NOBODY: [&str; 2] = ["ebay", "truelayer"];
/// Settings without which a source of a provider that signs for others does not load; some of all that are tried.
const KNOWN: [&str; 6] = [
    "aws-sns topic_arns",
    "google-pubsub service_accounts",
    "alexa application_ids",
    "apple-asn-v2 bundle_ids",
    "constant-contact api_keys",
    "github-secret-scanning secret_types",
];
/// The point that every signature with R the same and S zero fits (RFC 8032, section 5.1.7, and what its first equation leaves open).
const WEAK: &str = "0100000000000000000000000000000000000000000000000000000000000000";

/// The places of a preset's signatures, as tables.
fn places(vector: &Vector) -> Vec<toml::Table> {
    let scheme = toml::Table::try_from(&vector.preset().scheme).unwrap();
    let any = scheme.get("any").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let ways = if any.is_empty() { vec![toml::Value::Table(scheme)] } else { any };
    let places = ways.iter().flat_map(|way| way.get("signature").and_then(toml::Value::as_array).cloned().unwrap_or_default());
    places.filter_map(|place| place.as_table().cloned()).collect()
}

#[test]
fn nothing_is_accepted_without_a_signature() {
    let (mut tried, mut providers) = (0, std::collections::BTreeSet::new());
    for vector in hmac::all().into_iter().chain(hmac::own()).chain(keys::all()).filter(Vector::is_accepted) {
        let places = places(&vector);
        if places.is_empty() || places.iter().any(|place| place["in"].as_str() != Some("header")) {
            continue;
        }
        let holds = |name: &str| {
            let held = |place: &toml::Table| place["name"].as_str().unwrap_or_default().trim_end_matches('*').to_lowercase();
            places.iter().any(|place| name.to_lowercase().starts_with(&held(place)))
        };
        for value in [Some(""), Some(" "), None] {
            let mut bare: Captured = vector.captured.clone();
            match value {
                Some(value) => {
                    bare.headers.iter_mut().filter(|(name, _)| holds(name)).for_each(|(_, own)| value.clone_into(own));
                }
                None => bare.headers.retain(|(name, _)| !holds(name)),
            }
            assert_eq!(verify_captured(&bare).judgement, Judgement::Reject, "{} with {value:?}", bare.id);
            tried += 1;
        }
        providers.insert(vector.preset().name.clone());
    }
    assert!(tried > 2000 && providers.len() > 200, "{tried} {}", providers.len());
}

#[test]
fn a_key_that_proves_nothing_is_refused() {
    let mut tried = Vec::new();
    for vector in keys::all().into_iter().filter(Vector::is_accepted) {
        let scheme = toml::Table::try_from(&vector.preset().scheme).unwrap();
        let by = scheme.get("algorithms").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let name = vector.preset().name.as_str();
        if scheme["kind"].as_str() != Some("signature") || by != [toml::Value::from("ed25519")] || tried.contains(&name) {
            continue;
        }
        let mut weak = vector.captured.clone();
        weak.keys = serde_json::from_value(serde_json::json!({ "public_key": WEAK })).unwrap();
        let outcome = verify_captured(&weak);
        assert_eq!(outcome.judgement, Judgement::Reject, "{name}");
        let reason = outcome.reason.unwrap();
        assert!(reason.contains("accept forged signatures"), "{name}: {reason}");
        tried.push(name);
    }
    assert!(tried.len() > 3, "{tried:?}");
}

#[test]
fn who_signs_for_others_must_be_told_who_we_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("apple-asn-v2-root.pem"), keys::root("apple-asn-v2")).unwrap();
    let mut tried = Vec::new();
    for (name, section) in sections(&explained(None)) {
        let scheme = &preset::find(name).unwrap().scheme;
        let settings = scheme.settings().into_iter().filter(|setting| setting.without != Without::Usable);
        // One of several ways can go without, and so can what is proved beside.
        let can_go_without = (section.contains("kind = \"any\"") && name != "aws-sns") || section.contains("also_if");
        for setting in settings.filter(|_| !can_go_without) {
            let line = format!("{} = [\"YOURS\"]\n", setting.name);
            assert!(section.contains(&line), "{name}: {}", setting.name);
            let text = format!("{}\n{REST}\n[[routes]]\nfrom = \"{name}\"\nto = \"app\"\n", section.replace(&line, ""));
            let parsed = config::parse(&text, folder.path(), "relay.toml", &env).map(drop);
            let problems = parsed.err().unwrap_or_else(|| panic!("{name} loads without {}", setting.name));
            let said: String = problems.iter().map(ToString::to_string).collect();
            assert!(said.contains(&format!("{} is missing", setting.name)), "{name}: {said}");
            tried.push(format!("{name} {}", setting.name));
        }
    }
    for known in KNOWN {
        assert!(tried.iter().any(|one| one == known), "{known}: {tried:?}");
    }
    let open: Vec<_> = preset::all().iter().filter(|p| p.scheme.is_open_to_all()).map(|p| p.name.as_str()).collect();
    assert_eq!(open, TELL_NOBODY);
}
