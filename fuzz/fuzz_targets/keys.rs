//! Public keys and certificates as a source writes them: DER in base64, PEM, JWK, bare points. None panics, and none that can be read
//! believes what it did not sign.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookhold::signature::{ConfiguredKey, Options, Scheme, Secret, Verifier};
use hookhold_fuzz::{received, scheme};
use libfuzzer_sys::fuzz_target;

const ALGORITHMS: [&str; 5] =
    ["ed25519", "ecdsa-p256-sha256-der", "ecdsa-p256-sha256-fixed", "rsa-pkcs1-sha256", "rsa-pkcs1-sha1"];

static SCHEMES: LazyLock<Vec<Scheme>> = LazyLock::new(|| {
    let of = |algorithm: &str| {
        scheme(&format!(
            "kind = \"signature\"\nalgorithms = [\"{algorithm}\"]\npayload = \"{{body}}\"\n\
             signature = [{{ in = \"header\", name = \"X-Sig\", encoding = \"base64\" }}]"
        ))
    };
    ALGORITHMS.into_iter().map(of).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((first, key)) = data.split_first() else { return };
    let scheme = &SCHEMES[usize::from(*first) % SCHEMES.len()];
    let base64 = STANDARD.encode(key);
    let pem = |label: &str| format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n").into_bytes();
    for text in [key.to_vec(), base64.clone().into_bytes(), pem("PUBLIC KEY"), pem("RSA PUBLIC KEY"), pem("CERTIFICATE")] {
        let Ok(text) = Secret::try_new(text, None) else { continue };
        let keys = vec![ConfiguredKey { id: None, algorithm: None, text }];
        let Ok(verifier) = Verifier::try_new(scheme.clone(), Vec::new(), Options { keys, ..Options::default() }) else {
            continue;
        };
        let request = received(&[("x-sig", STANDARD.encode([1; 64]).as_bytes())], b"{}").expect("it can be sent");
        assert!(verifier.verify(request).is_err());
    }
    let roots = vec![String::from_utf8_lossy(&pem("CERTIFICATE")).into_owned(), String::from_utf8_lossy(key).into_owned()];
    let _ = Verifier::try_new(scheme.clone(), Vec::new(), Options { roots, ..Options::default() });
});
