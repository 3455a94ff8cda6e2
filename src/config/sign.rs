//! Of `[destinations.NAME]`: how its deliveries are signed anew.

use super::key::{Key, Kind, Others, Table};
use super::problem::did_you_mean;
use super::secret;
use super::table::Section;
use super::value::Value;
use crate::signature::preset::{self, Preset};
use crate::signature::{BadResigner, Resigner, Secret};

pub(super) static KEYS: Table = Table {
    name: "sign",
    tells: "In a destination: each attempt is signed anew, with a fresh timestamp and a secret of the relay and the application.",
    example: r#"
[destinations.billing]
url = "http://billing.internal:8080/webhooks/stripe"
sign = { as = "stripe", secret = { env = "BILLING_WEBHOOK_SECRET" } }
"#,
    keys: &[
        Key::needed("as", Kind::Text, "A provider that signs in a header with a shared secret, or `standard-webhooks`."),
        Key::new("secret", Kind::Table(&secret::KEYS), "The application's secret. One of `secret` and `secrets` must be there."),
        Key::new(
            "secrets",
            Kind::List(&Kind::Table(&secret::KEYS)),
            "Several, while one is replaced: the request has a signature of each, where the provider's header has room.",
        ),
    ],
    later: &[],
    others: Others::None,
};

/// `{ as = "PROVIDER", secret = { ... } }`, or `secrets = [...]` while they are replaced.
pub(super) fn prove(value: &Value<'_>) -> Option<Resigner> {
    let mut section = value.inner()?;
    let named = section.require("as", "write as = \"standard-webhooks\", or the provider whose library the application uses");
    let secrets = secrets(value, &mut section, "the application's own");
    section.finish();
    let preset = named.as_ref().and_then(preset);
    let (written, secrets) = secrets?;
    let named = named?;
    Resigner::try_new(preset?, secrets).map_or_else(
        |bad| match bad {
            BadResigner::Secret(place, bad) => written.get(place)?.error(&format!("cannot be used: {bad}")),
            BadResigner::OneOnly => named.error(&bad.to_string()),
            BadResigner::OwnKey | BadResigner::Unsignable(_) => {
                let help = "write as = \"standard-webhooks\", for which there are libraries in every language".to_owned();
                named.error_help(&bad.to_string(), Some(help))
            }
        },
        Some,
    )
}

/// `secret`, or `secrets` while they are replaced: as written, and as read. `whose`: ends what is said where there is none.
pub(super) fn secrets<'a>(value: &Value<'a>, section: &mut Section<'a>, whose: &str) -> Option<(Vec<Value<'a>>, Vec<Secret>)> {
    let (one, several) = (section.take("secret"), section.take("secrets"));
    let written = match (one, several) {
        (Some(one), None) => vec![one],
        (None, Some(several)) => several.list()?,
        (Some(_), Some(several)) => return several.error("is there beside a secret: one of them must go"),
        (None, None) => {
            section.require("secret", &format!("write secret = {{ env = \"NAME\" }} or {{ file = \"PATH\" }}: {whose}"));
            return None;
        }
    };
    if written.is_empty() {
        return value.error("has no secret");
    }
    // Each is read, so that the problems of all of them are found.
    let secrets: Vec<Option<Secret>> = written.iter().map(secret::read).collect();
    Some((written, secrets.into_iter().collect::<Option<Vec<_>>>()?))
}

fn preset(value: &Value<'_>) -> Option<&'static Preset> {
    let name = value.text()?;
    let known = || preset::all().iter().flat_map(|preset| preset.aliases.iter().chain([&preset.name]).map(String::as_str));
    preset::find(name).or_else(|| value.error_help(&format!("is not known: {name:?}"), did_you_mean(name, known())))
}
