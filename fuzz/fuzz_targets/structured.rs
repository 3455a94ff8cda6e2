//! Structured fields (RFC 9651), and message signatures (RFC 9421) that are made of them. What is read and written is read again as
//! the same, and nothing is believed that holds no good signature.
#![no_main]

use std::sync::LazyLock;

use hookhold::signature::{ConfiguredKey, Options, Verifier, dictionary_text, preset};
use hookhold_fuzz::{received, secret};
use libfuzzer_sys::fuzz_target;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let algorithm = Some("hmac-sha256".to_owned());
    let key = ConfiguredKey { id: None, algorithm, text: secret("NGYwYy1hLXNlY3JldC10aGF0LWlzLW5vdC1pbi1hbnktaW5wdXQ=") };
    let scheme = preset::find("rfc9421").expect("a preset").scheme.clone();
    Verifier::try_new(scheme, Vec::new(), Options { keys: vec![key], ..Options::default() }).expect("the key fits")
});

fuzz_target!(|data: &[u8]| {
    if let Some(written) = std::str::from_utf8(data).ok().and_then(dictionary_text) {
        assert_eq!(dictionary_text(&written).as_ref(), Some(&written));
    }
    let mut lines = data.split(|&b| b == b'\n');
    let [input, signature, digest] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let headers = [("signature-input", input), ("signature", signature), ("content-digest", digest)];
    let Some(request) = received(&headers, b"{}") else { return };
    assert!(VERIFIER.verify(request).is_err());
});
