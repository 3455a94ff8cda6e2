//! Schemes with a shared secret: `hmac.jsonl` holds a request a line. `same` stands for a body in `bodies.json`; what is left out
//! is usual (a POST to the source's own address, at [`NOW`]). `own.jsonl` has the same form; nobody but us has judged those.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookhold::signature::preset::{self, Confidence, Preset};
use hookhold::signature::{Captured, Judgement, verify_captured};
use serde::Deserialize;

use super::{handshakes, keys};

const COUNT: usize = 2796;
const OWN_COUNT: usize = 83;
const NOW: f64 = 1_790_000_000.0;
/// Of these no requests are there.
const WITHOUT: [&str; 2] = ["fusionauth-hmac", "integrated-finance"];
/// Of these nobody's requests but our own are there.
const WITHOUT_OTHERS: [&str; 8] =
    ["aws-eventbridge", "bitgo", "cryptomus", "dockerhub", "prelude", "printful", "shopline", "shopline-platform"];

/// A request, and how it must be judged.
#[derive(Clone, Deserialize)]
pub(crate) struct Vector {
    #[serde(flatten)]
    pub(crate) captured: Captured,
    pub(crate) expect: String,
    /// Accepting is fine, too.
    #[serde(default)]
    pub(crate) lenient_ok: bool,
    /// It is forged, and accepted by design of the scheme.
    #[serde(default)]
    pub(crate) limitation: bool,
    same: Option<String>,
    body: Option<String>,
}

impl Vector {
    pub(crate) fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.captured.body_base64).unwrap()
    }

    pub(crate) fn with_body(&self, body: &[u8]) -> Captured {
        Captured { body_base64: STANDARD.encode(body), ..self.captured.clone() }
    }

    pub(crate) fn is_accepted(&self) -> bool {
        self.expect == "accept"
    }

    pub(crate) fn preset(&self) -> &'static Preset {
        preset::find(&self.captured.provider).unwrap_or_else(|| panic!("{} is not known", self.captured.provider))
    }

    /// What is wrong with a judgement of it.
    pub(crate) fn fault(&self, captured: &Captured) -> Option<String> {
        let outcome = verify_captured(captured);
        // What is proved can be a challenge; `handshakes` has more of them.
        let accepted = outcome.judgement != Judgement::Reject;
        let fine = accepted == (self.expect != "reject") || (accepted && (self.lenient_ok || self.limitation));
        (!fine).then(|| format!("{}: expected {}, got {outcome:?}", captured.id, self.expect))
    }
}

/// All requests.
pub(crate) fn all() -> Vec<Vector> {
    let bodies: BTreeMap<String, String> = serde_json::from_str(include_str!("bodies.json")).unwrap();
    let vectors: Vec<Vector> = include_str!("hmac.jsonl").lines().map(|line| complete(line, &bodies)).collect();
    assert_eq!(vectors.len(), COUNT);
    vectors
}

/// Requests for what some schemes do alone: forms in forms, lists of headers, canonical JSON, every element of a list.
pub(crate) fn own() -> Vec<Vector> {
    let vectors: Vec<Vector> = include_str!("own.jsonl").lines().map(|line| complete(line, &BTreeMap::new())).collect();
    assert_eq!(vectors.len(), OWN_COUNT);
    vectors
}

fn complete(line: &str, bodies: &BTreeMap<String, String>) -> Vector {
    let mut vector: Vector = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let captured = &mut vector.captured;
    captured.provider = captured.id.split_once('/').unwrap().0.to_owned();
    if captured.url.is_empty() {
        captured.url = format!("https://hooks.example.com/in/{}", captured.provider);
    }
    if captured.method.is_empty() {
        captured.method = "POST".into();
    }
    captured.now_unix.get_or_insert(NOW);
    let body = vector.same.as_ref().map(|name| &bodies[name]).or(vector.body.as_ref());
    if let Some(body) = body {
        captured.body_base64 = STANDARD.encode(body);
    }
    vector
}

#[test]
fn every_request_is_judged_as_expected() {
    let wrong: Vec<_> = all().iter().chain(&own()).filter_map(|vector| vector.fault(&vector.captured)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_provider_has_good_and_forged_requests() {
    let mut count = BTreeMap::<String, [usize; 2]>::new();
    let named = |name: &str| preset::find(name).map_or_else(|| name.to_owned(), |preset| preset.name.clone());
    for vector in handshakes::all().into_iter().filter(|vector| vector.expect != "handshake") {
        count.entry(named(&vector.captured.provider)).or_default()[usize::from(vector.expect == "accept")] += 1;
    }
    for vector in all().iter().chain(&keys::all()) {
        count.entry(vector.preset().name.clone()).or_default()[usize::from(vector.is_accepted())] += 1;
    }
    let has_both = |preset: &&Preset| count.get(&*preset.name).is_some_and(|count| count.iter().all(|n| *n > 0));
    let own = own();
    assert!(WITHOUT_OTHERS.iter().all(|name| own.iter().any(|vector| vector.captured.provider == *name)));
    let without: Vec<_> = preset::all().iter().filter(|preset| !has_both(preset)).collect();
    let mut expected = [&WITHOUT[..], &WITHOUT_OTHERS].concat();
    expected.sort_unstable();
    assert_eq!(without.iter().map(|preset| preset.name.as_str()).collect::<Vec<_>>(), expected);
    assert!(without.iter().all(|preset| preset.confidence == Confidence::Unconfirmed));
}

#[test]
fn a_request_is_refused_without_secrets_and_with_an_empty_one() {
    let mut tried = 0;
    for vector in all().iter().filter(|vector| vector.is_accepted()) {
        for secrets in [serde_json::json!([]), serde_json::json!([""])] {
            let secrets = serde_json::from_value(secrets).unwrap();
            let captured = Captured { secrets, ..vector.captured.clone() };
            assert_eq!(verify_captured(&captured).judgement, Judgement::Reject, "{}", captured.id);
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
}
