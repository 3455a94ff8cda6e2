//! Challenges of providers: `handshakes.jsonl` holds a request a line, with the answer (status, content type, body) that its provider
//! wants, and the requests of those who try to have something else answered. What is left out is usual (a POST, at [`NOW`]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookhold::signature::{Captured, CapturedAnswer, Judgement, Outcome, verify_captured};
use serde::Deserialize;

const COUNT: usize = 270;
const NOW: f64 = 1_795_579_200.0;

/// A request, how it must be judged, and what must be answered.
#[derive(Deserialize)]
pub(crate) struct Vector {
    #[serde(flatten)]
    pub(crate) captured: Captured,
    pub(crate) expect: String,
    answer: Option<(u16, Option<String>, String)>,
    #[serde(default)]
    body: String,
}

/// All requests.
pub(crate) fn all() -> Vec<Vector> {
    let vectors: Vec<Vector> = include_str!("handshakes.jsonl").lines().map(complete).collect();
    assert_eq!(vectors.len(), COUNT);
    vectors
}

fn complete(line: &str) -> Vector {
    let mut vector: Vector = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let captured = &mut vector.captured;
    if captured.provider.is_empty() {
        captured.provider = captured.id.split_once('/').unwrap().0.to_owned();
    }
    if captured.method.is_empty() {
        captured.method = "POST".into();
    }
    captured.now_unix.get_or_insert(NOW);
    captured.body_base64 = STANDARD.encode(&vector.body);
    vector
}

fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Accept => "accept",
        Judgement::Reject => "reject",
        Judgement::Handshake => "handshake",
    }
}

fn header<'a>(answer: &'a CapturedAnswer, name: &str) -> Option<&'a str> {
    let mut fields = answer.headers.iter().filter(|(known, _)| known == name);
    let value = fields.next().map(|(_, value)| value.as_str());
    assert!(fields.next().is_none(), "{name} is there twice");
    value
}

#[test]
fn every_request_is_judged_and_answered_as_expected() {
    let mut wrong = Vec::new();
    for vector in all() {
        let Outcome { judgement, reason, handshake_response, .. } = verify_captured(&vector.captured);
        let got = handshake_response.as_ref().map(|a| (a.status, header(a, "content-type").map(str::to_owned), a.body.clone()));
        if word(judgement) != vector.expect || got != vector.answer {
            wrong.push(format!("{}: {judgement:?} {reason:?} {got:?}, expected {:?}", vector.captured.id, vector.answer));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_reflected_is_inert() {
    let answers: Vec<_> = all().iter().filter_map(|vector| verify_captured(&vector.captured).handshake_response).collect();
    assert!(answers.len() > 30);
    for answer in answers {
        assert_eq!(header(&answer, "cache-control"), Some("no-store"));
        if answer.body.is_empty() {
            continue;
        }
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"), "{answer:?}");
        assert_eq!(header(&answer, "content-security-policy"), Some("default-src 'none'"), "{answer:?}");
        match header(&answer, "content-type") {
            Some("text/plain; charset=utf-8") => {}
            Some("application/json") => drop(serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

/// Whoever changes one thing of a challenge that must be proved gets no answer.
#[test]
fn without_their_secret_proved_challenges_are_not_answered() {
    let mut tried = 0;
    for vector in all().iter().filter(|vector| vector.expect == "handshake") {
        let mut other = vector.captured.clone();
        other.keys = serde_json::from_str("{}").unwrap();
        other.secrets = serde_json::from_str(r#"["00112233445566778899"]"#).unwrap();
        let proved =
            ["slack/", "zoom/", "twitch/", "viber/", "xero/", "google-drive/", "mailchimp-marketing/", "adobe-sign/", "toggl/"];
        if proved.iter().any(|provider| other.id.starts_with(provider)) {
            assert_eq!(verify_captured(&other).judgement, Judgement::Reject, "{}", other.id);
            tried += 1;
        }
    }
    assert!(tried > 9, "{tried}");
}
