//! What `hookhold providers --explain` prints can be copied into relay.toml, and judges as the preset does.

use std::ffi::OsString;
use std::process::Command;

use hookhold::config;
use hookhold::signature::handshake::Handshake;
use hookhold::signature::{Captured, Scheme, WrittenHandshake, preset, verify_captured};

use super::{handshakes, hmac, keys};

/// The rest of a relay.toml.
pub(crate) const REST: &str = r#"
[listen]
https = "127.0.0.1:8443"
[tls]
self_signed = true
[destinations.app]
url = "http://127.0.0.1:3000/"
"#;
/// For those of whose keys there is no example: the public key of RFC 8032, section 7.1, test 1.
const ED25519: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

pub(crate) fn explained(name: Option<&str>) -> String {
    let command = Command::new(env!("CARGO_BIN_EXE_hookhold")).arg("providers").args(name).arg("--explain").output().unwrap();
    assert!(command.status.success());
    String::from_utf8(command.stdout).unwrap()
}

/// Secrets are text, hexadecimal and base64 at once, which fits all; but for some it must be a user and a password. Public keys are
/// those of the provider's requests.
pub(crate) fn env(name: &str) -> Option<OsString> {
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

/// The lines of each provider, in the order of [`preset::all`].
pub(crate) fn sections(all: &str) -> Vec<(&'static str, String)> {
    let begins = |name: &str| all.find(&format!("[sources.{name}]\n")).unwrap();
    let names: Vec<_> = preset::all().iter().map(|preset| preset.name.as_str()).collect();
    let ends = names[1..].iter().map(|next| begins(next)).chain([all.len()]);
    names.iter().zip(ends).map(|(name, end)| (*name, all[begins(name)..end].to_owned())).collect()
}

#[test]
fn each_alone_makes_a_relay_toml() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("apple-asn-v2-root.pem"), keys::root("apple-asn-v2")).unwrap();
    let sections = sections(&explained(None));
    assert_eq!(sections.len(), preset::all().len());
    for (name, section) in sections {
        let text = format!("{section}\n{REST}\n[[routes]]\nfrom = \"{name}\"\nto = \"app\"\n");
        let loaded = config::parse(&text, folder.path(), "relay.toml", &env);
        let loaded = loaded.unwrap_or_else(|problems| {
            panic!("{}\n{section}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let source = &loaded.settings.sources[0];
        let own = &preset::find(name).unwrap().handshakes;
        let mut methods: Vec<_> = own.iter().map(Handshake::method).collect();
        methods.dedup();
        assert!(methods.iter().all(|method| source.handshakes.take(method)), "{name}");
        assert!(!source.takes_secret, "{name}: what is explained has a secret");
    }
}

#[test]
fn what_is_explained_answers_challenges_as_the_preset_does() {
    let file: toml::Table = toml::from_str(&explained(None)).unwrap();
    let (mut tried, mut wrong) = (0, Vec::new());
    for vector in handshakes::all().into_iter().filter(|vector| vector.captured.config.handshake.is_none()) {
        let Some(preset) = preset::find(&vector.captured.provider) else { continue };
        let source = &file["sources"][&preset.name];
        let mut custom = Captured { provider: "custom".into(), ..vector.captured.clone() };
        custom.config.verify = Some(source["verify"].clone().try_into().unwrap());
        let list: Vec<Handshake> = source.get("handshake").map(|list| list.clone().try_into().unwrap()).unwrap_or_default();
        custom.config.handshake = Some(WrittenHandshake::List(list));
        let (as_preset, as_custom) = (verify_captured(&vector.captured), verify_captured(&custom));
        if as_preset != as_custom {
            wrong.push(format!("{}: {as_preset:?}, explained {as_custom:?}", vector.captured.id));
        }
        tried += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 200, "{tried}");
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
