//! The providers that the relay knows, as data: one TOML file each in `providers/`, compiled in and proved by a test.

use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;

use super::{Scheme, Selector};

/// How long a repeat is known where a provider has an id and the source says nothing: longer than providers retry by themselves.
pub const DEDUPE: Duration = Duration::from_secs(72 * 3600);

/// What is known of one provider.
#[derive(Debug)]
pub struct Preset {
    /// Its name in relay.toml.
    pub name: String,
    /// Other names that are understood.
    pub aliases: Vec<String>,
    /// Its name for people.
    pub title: String,
    /// Where it is documented.
    pub doc: String,
    /// How sure it is that this is right.
    pub confidence: Confidence,
    /// What surprises.
    pub note: Option<String>,
    /// How it signs.
    pub scheme: Scheme,
    /// Where its event's id is.
    pub event_id: Option<Selector>,
    /// Where its event's type is.
    pub kind: Option<Selector>,
    /// How long a repeat is known where the source does not say.
    pub dedupe: Option<Duration>,
}

/// How sure it is that a preset is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// A library of the provider, or one widely used, accepts and refuses the same requests.
    Tested,
    /// From the provider's documentation.
    Documented,
    /// From memory: try it before you trust it.
    Unproved,
}

impl Preset {
    /// Where its event's id is.
    pub fn event_id(&self) -> Option<&Selector> {
        self.event_id.as_ref()
    }
}

impl Confidence {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tested => "tested against the provider's library",
            Self::Documented => "from documentation",
            Self::Unproved => "unproved",
        }
    }
}

/// The provider of that name or alias.
pub fn find(name: &str) -> Option<&'static Preset> {
    all().iter().find(|p| p.name == name || p.aliases.iter().any(|alias| alias == name))
}

/// Every provider, by name.
pub fn all() -> &'static [Preset] {
    static ALL: LazyLock<Vec<Preset>> = LazyLock::new(|| {
        // A file that cannot be read does not get past the test below.
        let mut all: Vec<_> = FILES.iter().filter_map(|file| load(file).ok()).collect();
        all.sort_by(|a: &Preset, b| a.name.cmp(&b.name));
        all
    });
    &ALL
}

const FILES: &[&str] = &[
    include_str!("providers/alexa.toml"),
    include_str!("providers/apple-asn-v2.toml"),
    include_str!("providers/apple-siwa.toml"),
    include_str!("providers/aws-sns.toml"),
    include_str!("providers/azure-event-grid.toml"),
    include_str!("providers/braintree.toml"),
    include_str!("providers/circle.toml"),
    include_str!("providers/cloudflare-access.toml"),
    include_str!("providers/constant-contact.toml"),
    include_str!("providers/discord-interactions.toml"),
    include_str!("providers/discord-webhook-events.toml"),
    include_str!("providers/ebay.toml"),
    include_str!("providers/fireblocks-v1.toml"),
    include_str!("providers/fireblocks-v2.toml"),
    include_str!("providers/fusionauth-hmac.toml"),
    include_str!("providers/fusionauth.toml"),
    include_str!("providers/github-secret-scanning.toml"),
    include_str!("providers/github-sha1.toml"),
    include_str!("providers/github.toml"),
    include_str!("providers/google-play-rtdn.toml"),
    include_str!("providers/google-pubsub.toml"),
    include_str!("providers/integrated-finance.toml"),
    include_str!("providers/jira-connect-lifecycle.toml"),
    include_str!("providers/kick.toml"),
    include_str!("providers/meta.toml"),
    include_str!("providers/microsoft-graph.toml"),
    include_str!("providers/monday.toml"),
    include_str!("providers/netlify.toml"),
    include_str!("providers/paddle-classic.toml"),
    include_str!("providers/paypal.toml"),
    include_str!("providers/plaid.toml"),
    include_str!("providers/rfc9421.toml"),
    include_str!("providers/saleor.toml"),
    include_str!("providers/sendgrid-event.toml"),
    include_str!("providers/sendgrid-inbound-parse.toml"),
    include_str!("providers/shopify.toml"),
    include_str!("providers/slack.toml"),
    include_str!("providers/standard-webhooks-v1a.toml"),
    include_str!("providers/standard-webhooks.toml"),
    include_str!("providers/stripe.toml"),
    include_str!("providers/svix.toml"),
    include_str!("providers/telnyx.toml"),
    include_str!("providers/travis-ci.toml"),
    include_str!("providers/truelayer.toml"),
    include_str!("providers/turnkey.toml"),
    include_str!("providers/twilio-json.toml"),
    include_str!("providers/twilio.toml"),
    include_str!("providers/upstash-qstash.toml"),
    include_str!("providers/vonage.toml"),
    include_str!("providers/wise.toml"),
    include_str!("providers/zoom.toml"),
];

/// A preset as its file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    title: String,
    doc: String,
    confidence: Confidence,
    note: Option<String>,
    verify: Scheme,
}

fn load(text: &str) -> Result<Preset, toml::de::Error> {
    let File { name, aliases, title, doc, confidence, note, verify: scheme } = toml::from_str(text)?;
    let (event_id, kind) = (scheme.event_id().cloned(), scheme.event_type().cloned());
    let dedupe = event_id.is_some().then_some(DEDUPE);
    Ok(Preset { name, aliases, title, doc, confidence, note, scheme, event_id, kind, dedupe })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_file_loads_and_every_name_is_its_own() {
        let mut names = HashSet::new();
        for file in FILES {
            let preset = load(file).unwrap_or_else(|error| panic!("{error}\n{file}"));
            for name in preset.aliases.iter().chain([&preset.name]) {
                assert!(names.insert(name.clone()), "{name} is there twice");
                assert!(crate::record::Name::try_new(name).is_ok() && name != "custom" && name != "none", "{name}");
            }
            assert!(preset.doc.starts_with("https://"), "{}", preset.name);
        }
        assert_eq!(all().len(), FILES.len());
        let listed = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/signature/providers")).unwrap().count();
        assert_eq!(listed, FILES.len(), "a file in providers/ is not in FILES");
    }
}
