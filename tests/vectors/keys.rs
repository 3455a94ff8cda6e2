//! Schemes of public keys, tokens, certificates and message signatures: `keys.json` holds the keys, and requests that name them by
//! number.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookhold::signature::{Captured, Judgement, preset, verify_captured};

use super::hmac::Vector;

const COUNT: usize = 438;

/// All requests. They share their keys: `keys` of each is a number of the file's own list.
pub(crate) fn all() -> Vec<Vector> {
    let vectors: Vec<Vector> = serde_json::from_value(requests()).unwrap();
    assert_eq!(vectors.len(), COUNT);
    vectors
}

/// A public key that the provider signs with.
pub(crate) fn public_key(provider: &str) -> Option<String> {
    first(provider, "/keys/public_key").or_else(|| first(provider, "/keys/public_key/0"))
}

/// The root of the chains that the provider signs with.
pub(crate) fn root(provider: &str) -> String {
    first(provider, "/keys/trust_anchors_pem/0").unwrap()
}

fn first(provider: &str, at: &str) -> Option<String> {
    let requests = requests();
    let mut requests = requests.as_array().unwrap().iter().filter(|request| request["provider"] == provider);
    requests.find_map(|request| request.pointer(at)?.as_str().map(str::to_owned))
}

/// What each of all requests says of its keys.
pub(crate) fn texts() -> Vec<serde_json::Value> {
    requests().as_array().unwrap().iter().map(|request| request["keys"].clone()).collect()
}

fn requests() -> serde_json::Value {
    let mut file: serde_json::Value = serde_json::from_str(include_str!("keys.json")).unwrap();
    let keys = file["keys"].take();
    let mut vectors = file["vectors"].take();
    for vector in vectors.as_array_mut().unwrap() {
        if let Some(number) = vector["keys"].as_u64() {
            vector["keys"] = keys[usize::try_from(number).unwrap()].clone();
        }
    }
    vectors
}

#[test]
fn every_request_is_judged_as_expected() {
    let wrong: Vec<_> = all().iter().filter_map(|vector| vector.fault(&vector.captured)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the body is signed, a changed byte anywhere in it is refused.
#[test]
fn every_changed_body_of_a_signed_request_is_refused() {
    let mut tried = 0;
    for Vector { captured, expect, .. } in all() {
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
    for Vector { captured, .. } in all().into_iter().filter(|vector| vector.expect == "accept") {
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
    use proptest::prelude::*;
    let vectors: Vec<Captured> = all().into_iter().map(|vector| vector.captured).collect();
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
