//! Golden requests of real schemes: each must be judged as it says. `made_by` and `confirmed` of a request say where it is from and
//! which libraries agree.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeMap;

use hookhold::signature::{Captured, Judgement, preset, verify_captured};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    #[serde(flatten)]
    captured: Captured,
    expect: String,
    /// Accepting is fine, too.
    #[serde(default)]
    lenient_ok: bool,
}

fn load(text: &str) -> Vec<Vector> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn hmac() {
    let vectors = load(include_str!("hmac.json"));
    assert_eq!(vectors.len(), 221);
    let mut wrong = Vec::new();
    let mut count = BTreeMap::<&str, (usize, usize)>::new();
    for Vector { captured, expect, lenient_ok } in &vectors {
        let outcome = verify_captured(captured);
        let accepted = outcome.judgement == Judgement::Accept;
        if accepted != (expect == "accept") && !(accepted && *lenient_ok) {
            wrong.push(format!("{}: expected {expect}, got {outcome:?}", captured.id));
        }
        let (accepts, rejects) = count.entry(&captured.provider).or_default();
        *(if accepted { accepts } else { rejects }) += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for preset in preset::all() {
        let (accepts, rejects) = count.get(preset.name.as_str()).copied().unwrap_or_default();
        assert!(accepts > 0 && rejects > 0, "{} has no vector of both kinds", preset.name);
    }
}

/// A header line in another case, or a changed byte anywhere in a signed body, must not change the judgement the wrong way.
#[test]
fn every_changed_body_is_refused() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let mut tried = 0;
    for Vector { captured, expect, .. } in load(include_str!("hmac.json")) {
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
