//! Golden requests of real schemes: each must be judged as it says. `made_by` and `confirmed` of a request say where it is from and
//! which libraries agree.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeMap;

use hookhold::signature::preset::Confidence;
use hookhold::signature::{Captured, Judgement, preset, verify_captured};
use serde::Deserialize;

const HMAC: &str = include_str!("hmac.json");

#[derive(Deserialize)]
struct Vector {
    #[serde(flatten)]
    captured: Captured,
    expect: String,
    /// Accepting is fine, too.
    #[serde(default)]
    lenient_ok: bool,
}

/// Requests that share their keys: `keys` of each is a number of the file's own list.
fn load_keys() -> Vec<Vector> {
    let mut file: serde_json::Value = serde_json::from_str(include_str!("keys.json")).unwrap();
    let keys = file["keys"].take();
    let mut vectors = file["vectors"].take();
    for vector in vectors.as_array_mut().unwrap() {
        if let Some(number) = vector["keys"].as_u64() {
            vector["keys"] = keys[usize::try_from(number).unwrap()].clone();
        }
    }
    serde_json::from_value(vectors).unwrap()
}

fn load(text: &str) -> Vec<Vector> {
    serde_json::from_str(text).unwrap()
}

/// How many requests of each provider were accepted and refused.
type Counts = BTreeMap<String, (usize, usize)>;

/// Judges all; every one must be judged as it says.
fn judge(vectors: &[Vector]) -> Counts {
    let mut wrong = Vec::new();
    let mut count = Counts::new();
    for Vector { captured, expect, lenient_ok } in vectors {
        let outcome = verify_captured(captured);
        let accepted = outcome.judgement == Judgement::Accept;
        if accepted != (expect == "accept") && !(accepted && *lenient_ok) {
            wrong.push(format!("{}: expected {expect}, got {outcome:?}", captured.id));
        }
        let name = preset::find(&captured.provider).map_or(captured.provider.as_str(), |p| p.name.as_str());
        let (accepts, rejects) = count.entry(name.to_owned()).or_default();
        *(if accepted { accepts } else { rejects }) += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    count
}

#[test]
fn hmac() {
    let vectors = load(HMAC);
    assert_eq!(vectors.len(), 221);
    judge(&vectors);
}

/// Public keys, tokens, certificates, message signatures.
#[test]
fn keys() {
    let vectors = load_keys();
    assert_eq!(vectors.len(), 435);
    judge(&vectors);
}

#[test]
fn every_provider_has_requests_of_both_kinds() {
    let counts = judge(&load(HMAC).into_iter().chain(load_keys()).collect::<Vec<_>>());
    for preset in preset::all().iter().filter(|preset| preset.confidence != Confidence::Unproved) {
        let (accepts, rejects) = counts.get(&preset.name).copied().unwrap_or_default();
        assert!(accepts > 0 && rejects > 0, "{} has no vector of both kinds", preset.name);
    }
}

/// A header line in another case, or a changed byte anywhere in a signed body, must not change the judgement the wrong way.
#[test]
fn every_changed_body_is_refused() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let mut tried = 0;
    for Vector { captured, expect, .. } in load(HMAC) {
        let body = STANDARD.decode(&captured.body_base64).unwrap();
        // A form is signed by its fields: some changes of its text change no field.
        if expect != "accept" || body.is_empty() || captured.provider == "twilio" {
            continue;
        }
        for at in [0, body.len() / 2, body.len() - 1] {
            let mut changed = body.clone();
            changed[at] ^= 1;
            let forged = Captured { body_base64: STANDARD.encode(changed), ..captured.clone() };
            assert_eq!(verify_captured(&forged).judgement, Judgement::Reject, "{} at {at}", forged.id);
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried}");
}

/// The same for schemes of keys, where the body is signed: a changed byte anywhere in it is refused.
#[test]
fn every_changed_body_of_a_signed_request_is_refused() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let mut tried = 0;
    for Vector { captured, expect, .. } in load_keys() {
        let body = STANDARD.decode(&captured.body_base64).unwrap();
        let covers_body = preset::find(&captured.provider).is_some_and(|preset| preset.scheme.covers_body());
        // A form is signed by its fields, and SNS signs members: some changes of the text change neither. The RFC's own examples
        // do not cover the body.
        if expect != "accept" || !covers_body || ["paddle-classic", "aws-sns", "rfc9421"].contains(&captured.provider.as_str()) {
            continue;
        }
        for at in (0..body.len()).step_by(7) {
            let mut changed = body.clone();
            changed[at] ^= 1;
            let forged = Captured { body_base64: STANDARD.encode(changed), ..captured.clone() };
            assert_eq!(verify_captured(&forged).judgement, Judgement::Reject, "{} at {at}", forged.id);
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}

/// A changed character of the header that holds the signature, and a header that stands there twice, are refused.
#[test]
fn every_changed_signature_is_refused() {
    let words = ["signature", "authorization", "verification", "assertion", "-sig"];
    let holds_signature = |name: &str, value: &str| value.len() > 60 && words.iter().any(|w| name.to_lowercase().contains(w));
    let mut tried = 0;
    for Vector { captured, .. } in load_keys().into_iter().filter(|vector| vector.expect == "accept") {
        // The old header of Alexa is not looked at.
        let ignored = |name: &str| captured.provider == "alexa" && name == "Signature";
        for (i, (name, value)) in
            captured.headers.iter().enumerate().filter(|(_, (name, value))| holds_signature(name, value) && !ignored(name))
        {
            for at in [value.len() / 2, value.len() - 10] {
                let mut changed = value.clone();
                let other = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
                changed.replace_range(at..=at, other);
                let mut forged = captured.clone();
                forged.headers[i].1 = changed;
                assert_eq!(verify_captured(&forged).judgement, Judgement::Reject, "{} {name} at {at}", forged.id);
                tried += 1;
            }
            let mut twice = captured.clone();
            twice.headers.push((name.clone(), value.clone()));
            // A header that is a list may be two lists.
            if captured.provider != "standard-webhooks-v1a" {
                assert_eq!(verify_captured(&twice).judgement, Judgement::Reject, "{} {name} twice", twice.id);
            }
        }
    }
    assert!(tried > 30, "{tried}");
}

/// A request in which any characters were changed, in its headers or its body, is judged without a panic.
#[test]
fn nothing_that_is_sent_causes_a_panic() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    let vectors: Vec<Captured> = load_keys().into_iter().map(|vector| vector.captured).collect();
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[ -~]"), 1..4);
    let outcome = runner.run(&(any::<prop::sample::Index>(), changes, any::<bool>()), |(which, changes, in_body)| {
        let mut captured = vectors[which.index(vectors.len())].clone();
        for (part, at, with) in changes {
            if in_body {
                let mut body = STANDARD.decode(&captured.body_base64).unwrap();
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = with.as_bytes()[0];
                }
                captured.body_base64 = STANDARD.encode(body);
            } else if !captured.headers.is_empty() {
                let count = captured.headers.len();
                let value = &mut captured.headers[part.index(count)].1;
                let at = at.index(value.len() + 1);
                if value.is_char_boundary(at) {
                    value.insert_str(at, &with);
                }
            }
        }
        verify_captured(&captured);
        Ok(())
    });
    outcome.unwrap();
}
