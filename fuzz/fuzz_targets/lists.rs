//! Signature headers: lists, `key=value` items, groups, prefixes. What stands beside a good signature never hides it, and nothing is
//! believed that holds none.
#![no_main]

use std::sync::LazyLock;

use hookhold::signature::{Options, Verifier};
use hookhold_fuzz::{SECRET, received, scheme, signed, verifier};
use libfuzzer_sys::fuzz_target;

const BODY: &[u8] = b"{\"id\":\"evt_1\"}";

/// The form of the signature, and whether it is a list, between whose items this stands.
const FORMS: [(&str, Option<&str>); 7] = [
    (r#"encoding = "hex""#, None),
    (r#"encoding = "base64", prefix = "sha256=""#, None),
    (r#"encoding = "hex", list = ",", kv = "=", key = "v1""#, Some(",")),
    (r#"encoding = "base64", list = " ", kv = ",", key = ["v1", "v2"]"#, Some(" ")),
    (r#"encoding = "base64url", list = ", ", prefix = "p:""#, Some(", ")),
    (r#"encoding = "hex", list = ";", kv = "=", key = "s", groups = "|""#, Some("|")),
    (r#"encoding = "utf8", list = ",""#, Some(",")),
];

/// A form's verifier, the header that it believes, and what stands between items.
type Form = (Verifier, Option<Vec<u8>>, Option<&'static str>);

static VERIFIERS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let form = |(form, between): (&str, Option<&'static str>)| {
        let text = format!(
            "kind = \"hmac\"\nhash = \"sha256\"\npayload = \"{{body}}\"\nsignature = [{{ in = \"header\", name = \"X-Sig\", {form} }}]"
        );
        let scheme = scheme(&text);
        let good = signed(&scheme, BODY).and_then(|good| good.headers.first("x-sig").map(<[u8]>::to_vec));
        (verifier(scheme, SECRET, Options::default()), good, between)
    };
    FORMS.into_iter().map(form).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((first, noise)) = data.split_first() else { return };
    let (verifier, good, between) = &VERIFIERS[usize::from(*first) % VERIFIERS.len()];
    let Some(alone) = received(&[("x-sig", noise)], BODY) else { return };
    assert!(verifier.verify(alone).is_err());
    let (Some(good), Some(between)) = (good, between) else { return };
    let Ok(text) = std::str::from_utf8(noise) else { return };
    for list in [[noise, between.as_bytes(), good].concat(), [good, between.as_bytes(), noise].concat()] {
        let request = received(&[("x-sig", &list)], BODY).expect("both can be sent");
        assert!(verifier.verify(request).is_ok(), "{text:?} hides a good signature");
    }
});
