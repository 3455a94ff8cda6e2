//! The providers that the relay knows, as data: one TOML file each in `providers/`, compiled in (see `files`) and proved by a
//! test.

mod addresses;
mod files;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::handshake::Handshake;
use super::{Scheme, Selector};
pub use addresses::{Addresses, Network};
use files::FILES;

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
    /// How long it waits for an answer, as far as that is known.
    pub deadline: Option<String>,
    /// When it tries again, as far as that is known.
    pub retries: Option<String>,
    /// What it wants to hear when an event was taken.
    pub answer: Answer,
    /// How it signs.
    pub scheme: Scheme,
    /// What it asks of an address before it sends events there, and what it wants to hear.
    pub handshakes: Vec<Handshake>,
    /// Where its event's id is.
    pub event_id: Option<Selector>,
    /// Where its event's type is.
    pub kind: Option<Selector>,
    /// How long a repeat is known where the source does not say.
    pub dedupe: Option<Duration>,
    /// Where it sends from, as far as it publishes that.
    pub addresses: Option<Addresses>,
}

/// How sure it is that a preset is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// A library of the provider, or one widely used, accepts and refuses the same requests.
    Tested,
    /// From the provider's documentation.
    Documented,
    /// From memory or from hearsay: try it before you trust it.
    Unconfirmed,
}

/// The answer to an event that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// Its status: 200 to 299.
    #[serde(skip_serializing_if = "is_ok")]
    pub status: u16,
    /// Its body, as plain text where its headers say nothing else.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Its header fields, beside those that every answer has; one of each name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A request that is not believed is answered without a body.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_refusal: bool,
    /// A header of the request that the answer must show again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<String>,
}

impl Default for Answer {
    /// 200 and nothing: some providers show it to their users.
    fn default() -> Self {
        Self { status: 200, body: String::new(), headers: BTreeMap::new(), empty_refusal: false, echo: None }
    }
}

// The form that serde asks for.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_ok(status: &u16) -> bool {
    *status == 200
}

impl Preset {
    /// Where its event's id is.
    pub fn event_id(&self) -> Option<&Selector> {
        self.event_id.as_ref()
    }

    /// How long it waits for an answer at least, where its deadline says that in numbers: "5 to 10 s" is 5 s.
    pub fn patience(&self) -> Option<Duration> {
        let mut words = self.deadline.as_deref()?.split_whitespace();
        let number: u32 = words.find_map(|word| word.parse().ok())?;
        let unit = words.find_map(|word| match word.trim_end_matches([',', ';']) {
            "s" => Some(Duration::from_secs(1)),
            "min" => Some(Duration::from_secs(60)),
            _ => None,
        });
        Some(unit? * number)
    }
}

impl Confidence {
    /// The word for it, as the files write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tested => "tested",
            Self::Documented => "documented",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

impl Confidence {
    /// What it means.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Tested => "a library of the provider, or one widely used, judged the same requests alike",
            Self::Documented => "written after the provider's documentation",
            Self::Unconfirmed => "from memory or second hand: try it before you trust it",
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
    deadline: Option<String>,
    retries: Option<String>,
    /// A time, or `off`; [`DEDUPE`] where there is an id.
    dedupe: Option<String>,
    #[serde(default)]
    answer: Answer,
    verify: Scheme,
    #[serde(default)]
    handshake: Vec<Handshake>,
    addresses: Option<Addresses>,
}

fn load(text: &str) -> Result<Preset, toml::de::Error> {
    let file: File = toml::from_str(text)?;
    let File { name, aliases, title, doc, confidence, note, deadline, retries, dedupe, answer, addresses, .. } = file;
    let (scheme, handshakes) = (file.verify, file.handshake);
    let (event_id, kind) = (scheme.event_id().cloned(), scheme.event_type().cloned());
    let dedupe = match dedupe.as_deref() {
        Some("off") => None,
        Some(time) => Some(humantime::parse_duration(time).map_err(serde::de::Error::custom)?),
        None => event_id.is_some().then_some(DEDUPE),
    };
    Ok(Preset {
        name,
        aliases,
        title,
        doc,
        confidence,
        note,
        deadline,
        retries,
        answer,
        scheme,
        handshakes,
        event_id,
        kind,
        dedupe,
        addresses,
    })
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
            let name = &preset.name;
            assert!(preset.doc.starts_with("https://"), "{name}");
            assert!((200..300).contains(&preset.answer.status), "{name}");
            let echo = preset.answer.echo.as_deref();
            assert!(echo.is_none_or(|name| http::HeaderName::try_from(name).is_ok()), "{name}");
            let is_field = |(name, value): (&String, &String)| {
                http::HeaderName::try_from(name).is_ok() && http::HeaderValue::from_str(value).is_ok()
            };
            assert!(preset.answer.headers.iter().all(is_field), "{name}");
            let has_number = preset.deadline.as_ref().is_some_and(|deadline| deadline.contains(|c: char| c.is_ascii_digit()));
            assert_eq!(preset.patience().is_some(), has_number, "{name}");
            assert!(preset.patience().is_none_or(|time| (1..=120).contains(&time.as_secs())), "{name}");
            assert!(preset.dedupe.is_none() || preset.event_id.is_some(), "{name}: nothing to know a repeat by");
            assert!(preset.dedupe.is_none_or(|time| time.as_secs() >= 3600 && time.as_secs().is_multiple_of(3600)), "{name}");
            let texts = [Some(&preset.title), preset.note.as_ref(), preset.deadline.as_ref(), preset.retries.as_ref()];
            assert!(texts.into_iter().flatten().all(|text| !text.is_empty() && text.trim() == text), "{name}");
        }
        assert_eq!(all().len(), FILES.len());
    }

    /// What a handshake looks at, events are looked at for, too; else a list would only seem to keep others out.
    #[test]
    fn lists_of_handshakes_are_looked_at_in_events() {
        // Of WebSub's events only the address says which topic they are of, and of CloudEvents nothing names the origin.
        const NOT_IN_EVENTS: [(&str, &str); 2] = [("cloudevents", "allowed_origins"), ("websub", "topics")];
        let mut without = Vec::new();
        for preset in all() {
            let of_events: Vec<_> = preset.scheme.settings().into_iter().map(|setting| setting.name.as_str()).collect();
            let of_handshakes: HashSet<_> = preset.handshakes.iter().flat_map(Handshake::settings).collect();
            let lists = of_handshakes.into_iter().filter(|name| *name != "verify_token" && !of_events.contains(name));
            without.extend(lists.map(|name| (preset.name.as_str(), name)));
        }
        assert_eq!(without, NOT_IN_EVENTS);
    }

    #[test]
    fn every_file_is_listed_and_named_after_its_provider() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/signature/providers");
        let mut found: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        found.sort_by_key(|file| file.trim_end_matches(".toml").to_owned());
        let listed: Vec<_> = FILES.iter().map(|file| format!("{}.toml", load(file).unwrap().name)).collect();
        let lines: String = found.iter().map(|file| format!("    include_str!(\"../providers/{file}\"),\n")).collect();
        assert_eq!(listed, found, "files.rs should be:\n{lines}");
    }
}
