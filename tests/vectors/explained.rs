//! What `hookhold providers --explain` prints can be copied into relay.toml, and judges as the preset does.

use std::ffi::OsString;
use std::process::Command;

use hookhold::config;
use hookhold::signature::{Captured, Scheme, preset};

use super::{hmac, keys};

/// The rest of a relay.toml.
const REST: &str = r#"
[listen]
https = "127.0.0.1:8443"
[tls]
self_signed = true
[destinations.app]
url = "http://127.0.0.1:3000/"
"#;
/// For those of whose keys there is no example: the public key of RFC 8032, section 7.1, test 1.
const ED25519: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn explained(name: Option<&str>) -> String {
    let command = Command::new(env!("CARGO_BIN_EXE_hookhold")).arg("providers").args(name).arg("--explain").output().unwrap();
    assert!(command.status.success());
    String::from_utf8(command.stdout).unwrap()
}

/// Secrets are text, hexadecimal and base64 at once, which fits all; but for some it must be a user and a password. Public keys are
/// those of the provider's requests.
fn env(name: &str) -> Option<OsString> {
    if name.ends_with("_VERIFY_TOKEN") {
        return Some("token".into());
    }
    let preset = |name: &str| preset::find(&name.replace('_', "-").to_lowercase());
    if let Some(preset) = name.strip_suffix("_KEY").and_then(preset) {
        return Some(keys::public_key(&preset.name).unwrap_or_else(|| ED25519.to_owned()).into());
    }
    let of_basic =
        |name: &str| toml::Table::try_from(&preset(name)?.scheme).unwrap()["kind"].as_str().map(|kind| kind == "basic");
    let is_basic = name.strip_suffix("_SECRET").and_then(of_basic).unwrap_or_default();
    Some(if is_basic { "user:pass" } else { "00112233445566778899aabbccddeeff" }.into())
}

#[test]
fn relay_toml_takes_what_is_explained() {
    let sources = explained(None);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("apple-asn-v2-root.pem");
    std::fs::write(root, keys::root("apple-asn-v2")).unwrap();
    let routes: String = preset::all().iter().map(|p| format!("[[routes]]\nfrom = \"{}\"\nto = \"app\"\n", p.name)).collect();
    let loaded = config::parse(&format!("{sources}\n{REST}\n{routes}"), folder.path(), "relay.toml", &env);
    let loaded =
        loaded.unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    let settings = loaded.settings;
    assert_eq!(settings.sources.len(), preset::all().len());
    for source in &settings.sources {
        let preset = preset::find(source.name.as_str()).unwrap();
        assert_eq!(&*source.provider, "custom");
        assert_eq!(source.dedupe, preset.dedupe, "{}", preset.name);
        assert_eq!(source.answer, preset.answer, "{}", preset.name);
        let scheme = source.verifier.scheme().unwrap();
        assert_eq!(scheme.event_id(), preset.event_id(), "{}", preset.name);
        assert_eq!(scheme.event_type(), preset.kind.as_ref(), "{}", preset.name);
    }
}

#[test]
fn what_is_explained_judges_as_the_preset_does() {
    let file: toml::Table = toml::from_str(&explained(None)).unwrap();
    let mut wrong = Vec::new();
    for vector in hmac::all().into_iter().chain(hmac::own()).chain(keys::all()) {
        let source = &file["sources"][&vector.preset().name];
        let scheme: Scheme = source["verify"].clone().try_into().unwrap();
        let mut custom = Captured { provider: "custom".into(), ..vector.captured.clone() };
        custom.config.verify = Some(scheme);
        wrong.extend(vector.fault(&custom));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_is_explained_as_all_are() {
    let all = explained(None);
    for name in ["stripe", "adyen", "sumsub", "braintree", "plaid", "rfc9421", "apple-asn-v2", "saleor", "monday"] {
        let one = explained(Some(name));
        assert!(one.starts_with(&format!("[sources.{name}]\n")) && all.contains(&one), "{one}");
    }
}
