//! Tokens (RFC 7519) and detached signatures (RFC 7515, appendix F): no text is believed that a key did not sign, whatever algorithm
//! it names.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookhold::signature::{ConfiguredKey, Options, Verifier};
use hookhold_fuzz::{SECRET, received, scheme, secret, verifier};
use libfuzzer_sys::fuzz_target;

const BODY: &[u8] = b"{\"event_id\":\"1\"}";
const TOKEN: &str = r#"
kind = "jwt"
algorithms = ["HS256", "HS512"]
signature = [{ in = "header", name = "Authorization", prefix = "Bearer " }]
token = { expires = true, leeway = 60 }
"#;
const DETACHED: &str = r#"
kind = "jws-detached"
algorithms = ["ES256", "RS256", "EdDSA"]
signature = [{ in = "header", name = "Authorization" }]
payload = "{method} {path}\n{body}"
"#;
/// The point of RFC 7515, appendix A.3.
const KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

static VERIFIERS: LazyLock<[Verifier; 2]> = LazyLock::new(|| {
    let key = ConfiguredKey { id: None, algorithm: None, text: secret(KEY) };
    let options = Options { keys: vec![key], ..Options::default() };
    let detached = Verifier::try_new(scheme(DETACHED), Vec::new(), options).expect("the key fits");
    [verifier(scheme(TOKEN), SECRET, Options::default()), detached]
});

fuzz_target!(|data: &[u8]| {
    // As it is, and with its parts encoded: few texts are three parts of base64 by chance.
    let parts: Vec<String> = data.split(|&b| b == b'.').map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    for text in [data, parts.join(".").as_bytes(), &[b"Bearer ", parts.join(".").as_bytes()].concat()] {
        let Some(request) = received(&[("authorization", text)], BODY) else { continue };
        VERIFIERS.iter().for_each(|verifier| assert!(verifier.verify(request.clone()).is_err()));
    }
});
