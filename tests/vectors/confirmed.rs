//! Subscriptions that a provider wants confirmed: proved like events, never one, and visited only where the rules say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookhold::signature::{Captured, Judgement, WrittenHandshake, verify_captured};
use serde_json::Value;

use super::{hmac::Vector, keys};

const ADDRESS: &str = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=";

fn confirmations() -> Vec<Captured> {
    let all: Vec<Vector> = keys::all();
    let found: Vec<_> = all.into_iter().filter(|vector| vector.expect == "handshake").map(|vector| vector.captured).collect();
    assert_eq!(found.len(), 2);
    found
}

fn message(captured: &Captured) -> Value {
    serde_json::from_slice(&STANDARD.decode(&captured.body_base64).unwrap()).unwrap()
}

#[test]
fn a_confirmation_is_a_handshake_and_says_what_is_visited() {
    for captured in confirmations() {
        let outcome = verify_captured(&captured);
        assert_eq!(outcome.judgement, Judgement::Handshake, "{}", captured.id);
        let answer = outcome.handshake_response.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        let address = outcome.confirm.unwrap();
        assert!(address.starts_with(ADDRESS), "{address}");
        assert_eq!(message(&captured)["SubscribeURL"], address);
    }
}

#[test]
fn without_its_handshake_it_is_an_event() {
    for mut captured in confirmations() {
        captured.config.handshake = Some(WrittenHandshake::List(Vec::new()));
        let outcome = verify_captured(&captured);
        assert_eq!((outcome.judgement, outcome.confirm), (Judgement::Accept, None));
    }
}

/// A topic that is not ours, a changed address, and a body that only says that it is a confirmation.
#[test]
fn what_is_not_proved_is_not_visited() {
    for captured in confirmations() {
        let mut foreign = captured.clone();
        foreign.config.terms = serde_json::from_str(r#"{"topic_arns": ["arn:aws:sns:us-east-1:1:other"]}"#).unwrap();
        let mut changed = message(&captured);
        changed["SubscribeURL"] = format!("{ADDRESS}x&Token=y").into();
        let mut bare = message(&captured);
        bare["Signature"] = "".into();
        let forged = [changed, bare].map(|body| Captured { body_base64: STANDARD.encode(body.to_string()), ..captured.clone() });
        for forged in forged.iter().chain([&foreign]) {
            let outcome = verify_captured(forged);
            assert_eq!((outcome.judgement, outcome.confirm), (Judgement::Reject, None), "{:?}", outcome.reason);
        }
    }
}

/// That a subscription ended is news for the application; its address would begin the subscription again.
#[test]
fn the_end_of_a_subscription_is_an_event() {
    let ended = keys::all().into_iter().find(|vector| vector.captured.id == "aws-sns/unsubscribe-confirmation").unwrap();
    let outcome = verify_captured(&ended.captured);
    assert_eq!((outcome.judgement, outcome.confirm), (Judgement::Accept, None));
}
