//! Payload templates. One that is read is written as it was, what is signed by one is believed, and never with another secret.
#![no_main]

use hookhold::signature::{Options, Scheme};
use hookhold_fuzz::{SECRET, signed, verifier};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let Ok(payload) = std::str::from_utf8(&data[..at]) else { return };
    let body = data.get(at + 1..).unwrap_or_default();
    let written = json!({
        "kind": "hmac",
        "hash": "sha256",
        "payload": payload,
        "signature": [{ "in": "header", "name": "X-Sig", "encoding": "hex" }],
        "timestamp": { "in": "header", "name": "X-At", "format": "unix", "max_age": 300 },
    });
    let Ok(scheme) = serde_json::from_value::<Scheme>(written.clone()) else { return };
    assert_eq!(serde_json::to_value(&scheme).expect("a scheme can be written")["payload"], written["payload"]);
    let Some(request) = signed(&scheme, body) else { return };
    let believes = |text: &str| verifier(scheme.clone(), text, Options::default()).verify(request.clone()).is_ok();
    assert!(believes(SECRET), "what {payload:?} signs is refused");
    assert!(!believes("another secret"));
});
