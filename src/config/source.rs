//! `[sources.NAME]`: where one provider's webhooks enter, and how they are verified.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;
use rustls::server::danger::ClientCertVerifier;
use url::Url;

pub(super) use keys::KEYS;
use keys::{DEDUPE, EXPECT_EVERY};

use super::file::Named;
use super::problem::did_you_mean;
use super::route::Routed;
use super::settings::{Fetch, Limits, Mask, Source, SourcePath};
use super::table::Section;
use super::value::Value;
use super::{ack, answer, certificates, handshake, identity, limits, networks, secret, web};
use crate::pace::meter::Meter;
use crate::signature::handshake::Handshake;
use crate::signature::preset::{self, Preset};
use crate::signature::{Options, Scheme, Secret, Selector, Verifier};

/// A path is compared with each request's; longer ones are a mistake.
const PATH_BYTES_MAX: usize = 1024;

/// Who the sender is.
enum Provider {
    Preset(&'static Preset),
    Custom,
    None,
}

impl Provider {
    fn preset(&self) -> Option<&'static Preset> {
        if let Self::Preset(preset) = self { Some(preset) } else { None }
    }
}

/// Where requests for a source come to. No two sources have the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    host: Option<String>,
    path: SourcePath,
}

/// The address of a source, which is read first so that all of them can be compared.
pub(super) fn address(written: &mut Named<'_>) -> Option<Address> {
    let Named { name, section } = written;
    let path = section.require("path", &format!("write path = \"/in/{name}\"")).and_then(|value| path(&value));
    let host = section.take("host").map(|value| web::host(&value));
    Some(Address { host: host.map_or(Some(None), |host| host.map(Some))?, path: path? })
}

/// Proves the rest of a source. `routed`: where the routes send its events.
pub(super) fn prove(written: Named<'_>, address: Option<Address>, routed: Routed, limits: &Limits) -> Option<Source> {
    let Named { name, mut section } = written;
    let provider = provider(&mut section);
    let body_bytes = section.or("body", limits.body_bytes, |value| limits::body(&value, limits.body_bytes_in_flight));
    let senders = Senders::read(&mut section, provider.as_ref().map(|(provider, _)| provider.preset()));
    let methods = section.or("methods", vec![Method::POST], |value| methods(&value));
    let scheme = scheme(&mut section, provider.as_ref());
    let quarantines = quarantines(&mut section, scheme.as_ref());
    let own = if let Some((Provider::Preset(preset), _)) = &provider { &preset.handshakes[..] } else { &[] };
    let handshakes = handshake::list(&mut section, own);
    let shows_key = handshakes.iter().flatten().any(Handshake::needs_public_key);
    let (scheme, public_key) = with_public_key(&mut section, scheme, shows_key);
    let preset = provider.as_ref().and_then(|(provider, _)| provider.preset());
    let answer = answer::read(&mut section, preset.map(|preset| preset.answer.clone()).unwrap_or_default());
    let shows_address = handshakes.iter().flatten().any(Handshake::needs_address);
    let mut options = Options {
        public_url: section.take("public_url").and_then(|value| public_url(&value, scheme.as_ref(), shows_address)),
        gunzip: section.or("verify_decoded", false, |value| value.choice(&[("gzip", true)])),
        ..Options::default()
    };
    let dedupe = dedupe(&mut section, provider.as_ref().map(|(p, _)| p), scheme.as_ref(), &mut options);
    let beside = ack::Beside { preset, destinations: &routed.destinations, knows_repeats: dedupe.is_some() };
    let ack = ack::read(&mut section, &beside);
    let can_take = handshakes.iter().flatten().any(Handshake::takes_secret);
    let mut key_fetch = Fetch::default();
    let told = scheme.as_ref().map_or(Some(()), |scheme| identity::read(&mut section, scheme, &mut options, &mut key_fetch));
    preset.iter().for_each(|preset| warn_if_open(&section, preset, &options));
    let secrets = secrets(&mut section, provider.as_ref().map(|(p, _)| p), scheme.as_ref(), can_take);
    let takes_secret = can_take && secrets.as_ref().is_some_and(Vec::is_empty);
    let beside = handshake::Beside {
        scheme: scheme.as_ref(),
        secrets: secrets.as_deref().unwrap_or_default(),
        public_key,
        public_url: options.public_url.clone(),
        settings: &options.terms.settings,
    };
    let confirm_fetch = handshake::confirm_fetch(&mut section, handshakes.as_deref());
    let handshakes = handshake::prove(&mut section, handshakes, beside);
    let verifier = verifier(&mut section, provider.as_ref().map(|(p, _)| p), scheme, secrets.filter(|_| told.is_some()), options);
    let paused = section.or("paused", false, |value| value.boolean());
    let expect_every = section.take("expect_every").and_then(|value| expected(&value));
    section.finish();
    let (Address { host, path }, provider, verifier, handshakes) = (address?, provider?.1.into(), verifier?, handshakes?);
    Some(Source {
        name,
        host,
        path,
        provider,
        verifier,
        key_fetch,
        confirm_fetch: confirm_fetch?,
        handshakes,
        takes_secret,
        dedupe,
        answer,
        ack,
        body_bytes,
        per_second: senders.per_second,
        methods,
        allow: senders.allow,
        deny: senders.deny,
        client_ca: senders.client_ca?,
        quarantines,
        destinations: routed.destinations,
        routes: routed.rules,
        paused,
        expect_every,
        mask: Mask::default(),
    })
}

/// Whether what is not believed is kept.
fn quarantines(section: &mut Section<'_>, scheme: Option<&Scheme>) -> bool {
    // Who shows the secret itself shows a wrong one: there is nothing to judge again.
    let is_signed = scheme.is_some_and(Scheme::is_signed);
    section.or("on_bad_signature", is_signed, |value| value.choice(&[("quarantine", true), ("reject", false)]))
}

/// Who may send, and how much.
struct Senders {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    /// `None` where it cannot be used, which was then reported.
    client_ca: Option<Option<Arc<dyn ClientCertVerifier>>>,
    per_second: Option<Meter>,
}

impl Senders {
    fn read(section: &mut Section<'_>, preset: networks::Known) -> Self {
        let allow = section.or("allow", Vec::new(), |value| networks::allowed(&value, preset));
        let deny = section.or("deny", Vec::new(), |value| networks::denied(&value));
        networks::warn_if_void(section, &allow, &deny);
        let client_ca = section.take("client_ca").map_or(Some(None), |value| certificates::callers(&value).map(Some));
        let per_second = section.take("per_second").and_then(|value| limits::meter(&value));
        Self { allow, deny, client_ca, per_second }
    }
}

/// Warns of a source that cannot tell what is its own from what its provider signs for others.
fn warn_if_open(section: &Section<'_>, preset: &Preset, options: &Options) {
    if preset.scheme.is_open_to_all() && options.terms.requirements.is_empty() {
        let help = "choose a path that nobody guesses, or write what your events show: require = [{ json = \"/account\", in = [\"a1\"] }]";
        section.warn(
            "whatever this provider signs for anybody is accepted: its events do not say for whom they are",
            Some(help.into()),
        );
    }
}

/// How often it has an event at least; `"off"` is as good as nothing.
fn expected(value: &Value<'_>) -> Option<Duration> {
    if value.is_off() { None } else { value.duration(EXPECT_EVERY) }
}

fn path(value: &Value<'_>) -> Option<SourcePath> {
    let text = value.text()?;
    if !text.starts_with('/') {
        return value.error_help("must start with \"/\"", Some(format!("did you mean \"/{text}\"?")));
    }
    let legal = |b: u8| b.is_ascii_graphic() && !b"?#*\"<>\\^`{|}".contains(&b);
    let (path, below) = text.strip_suffix("/*").map_or((text, false), |path| (path, true));
    if path.len() > PATH_BYTES_MAX || !path.bytes().all(legal) {
        let help = "write it as it is sent: no query, other characters as %XX, \"*\" only as \"/*\" at the end";
        return value.error_help("is not the path of a URL", Some(help.to_owned()));
    }
    Some(if below { SourcePath::Below(path.to_owned()) } else { SourcePath::Exact(path.to_owned()) })
}

/// The provider, and its name.
fn provider<'a>(section: &mut Section<'a>) -> Option<(Provider, &'a str)> {
    const WRITE: &str = "write provider = \"github\" or another name of `hookhold providers`, \"custom\" with a table \
                         `verify`, or \"none\" to accept what nobody signed";
    let value = section.require("provider", WRITE)?;
    let name = value.text()?;
    let provider = match name {
        "custom" => Provider::Custom,
        "none" => {
            value.warn("is \"none\": whoever knows the address can send anything to this source", None);
            Provider::None
        }
        _ => match preset::find(name) {
            Some(preset) => Provider::Preset(preset),
            None => {
                let names = preset::all().iter().flat_map(|p| p.aliases.iter().chain([&p.name]).map(String::as_str));
                let help = did_you_mean(name, names.chain(["custom", "none"])).unwrap_or_else(|| WRITE.to_owned());
                return value.error_help(&format!("is not known: {name:?}"), Some(help));
            }
        },
    };
    Some((provider, name))
}

/// The provider's scheme, or the one that is written in relay.toml.
fn scheme(section: &mut Section<'_>, provider: Option<&(Provider, &str)>) -> Option<Scheme> {
    let verify = section.take("verify");
    let (provider, name) = provider?;
    match (provider, verify) {
        (Provider::Custom, Some(value)) => value.table_as(),
        (Provider::Custom, None) => section.require("verify", "write how the sender signs, or name a provider").and(None),
        (Provider::Preset(_) | Provider::None, Some(value)) => {
            value.error(&format!("is for provider = \"custom\", not {name:?}"))
        }
        (Provider::Preset(preset), None) => Some(preset.scheme.clone()),
        (Provider::None, None) => None,
    }
}

/// The scheme with the public key's name in it, where it has a place for one; and that name. `is_shown`: a handshake shows it.
fn with_public_key(section: &mut Section<'_>, scheme: Option<Scheme>, is_shown: bool) -> (Option<Scheme>, Option<String>) {
    if !scheme.as_ref().is_some_and(Scheme::needs_public_key) {
        const WRITE: &str = "write public_key = \"...\": a handshake shows it";
        let value = if is_shown { section.require("public_key", WRITE) } else { section.take("public_key") };
        if let (Some(value), Some(_), false) = (&value, &scheme, is_shown) {
            value.warn("has no effect: this provider's signatures do not name one", None);
        }
        return (scheme, value.and_then(|value| value.text().map(str::to_owned)));
    }
    let help = "write public_key = \"...\": the name of the key that the signature stands beside";
    let Some(value) = section.require("public_key", help) else { return (None, None) };
    let Some(name) = value.text() else { return (None, None) };
    let scheme = scheme.and_then(|scheme| scheme.with_public_key(name).map_or_else(|e| value.error(&e.to_string()), Some));
    (scheme, Some(name.to_owned()))
}

fn public_url(value: &Value<'_>, scheme: Option<&Scheme>, is_shown: bool) -> Option<Url> {
    if !is_shown && scheme.is_some_and(|scheme| !scheme.signs_address()) {
        value.warn("has no effect: this provider does not sign the URL", None);
    }
    web::base(value)
}

/// The source's secrets; none where its provider signs with keys, or brings its secret (`can_come`).
fn secrets(
    section: &mut Section<'_>,
    provider: Option<&Provider>,
    scheme: Option<&Scheme>,
    can_come: bool,
) -> Option<Vec<Secret>> {
    let (takes_secrets, takes_keys) = scheme.map_or((true, false), |s| (s.takes_secrets(), s.takes_keys()));
    let value = match provider {
        Some(Provider::None) => {
            let Some(value) = section.take("secrets") else { return Some(Vec::new()) };
            return value.error("would not be used with provider = \"none\"");
        }
        Some(_) if takes_secrets && !takes_keys && !can_come => {
            Some(section.require("secrets", "write secrets = [{ env = \"NAME\" }] or [{ file = \"PATH\" }]")?)
        }
        // Whether it needs any is not known, or shows below.
        _ => section.take("secrets"),
    };
    let value = match value {
        Some(value) if !takes_secrets => return value.error("would not be used: this provider signs with a key"),
        Some(value) => value,
        None => return Some(Vec::new()),
    };
    let items = value.list()?;
    if items.is_empty() {
        return value.error("is empty");
    }
    // Each is read, so that the problems of all of them are found.
    let secrets: Vec<Option<Secret>> = items.iter().map(secret::read).collect();
    secrets.into_iter().collect()
}

fn verifier(
    section: &mut Section<'_>,
    provider: Option<&Provider>,
    scheme: Option<Scheme>,
    secrets: Option<Vec<Secret>>,
    options: Options,
) -> Option<Verifier> {
    let secrets = secrets?;
    if let Some(Provider::None) = provider {
        return Some(Verifier::trusting(options));
    }
    Verifier::try_new(scheme?, secrets, options).map_or_else(|unready| identity::unready(section, &unready), Some)
}

/// How long a repeat is known. What `dedupe` says of the event's id goes to `options`.
fn dedupe(
    section: &mut Section<'_>,
    provider: Option<&Provider>,
    scheme: Option<&Scheme>,
    options: &mut Options,
) -> Option<Duration> {
    let Some(value) = section.take("dedupe") else {
        return match provider? {
            Provider::Preset(preset) => preset.dedupe,
            Provider::Custom => scheme?.event_id().map(|_| preset::DEDUPE),
            Provider::None => None,
        };
    };
    if value.is_table() {
        return dedupe_by(&value, options);
    }
    if value.is_off() {
        return None;
    }
    let keep_for = value.duration(DEDUPE)?;
    if matches!(provider?, Provider::None) || scheme?.event_id().is_none() {
        let help = "write dedupe = { header = \"X-Id\", for = \"72h\" }, or { pointer = \"/id\", for = \"72h\" }";
        value.warn("has no effect: it is not known where this provider's event id is", Some(help.to_owned()));
    }
    Some(keep_for)
}

fn dedupe_by(value: &Value<'_>, options: &mut Options) -> Option<Duration> {
    let mut section = value.inner()?;
    let keep_for = section.or("for", preset::DEDUPE, |value| value.duration(DEDUPE));
    let (header, pointer) = (section.take("header"), section.take("pointer"));
    section.finish();
    let selector = match (header, pointer) {
        (Some(header), None) => {
            let name = header.text()?;
            Selector::header(name).map_or_else(|_| header.error("is not a header's name"), Some)
        }
        (None, Some(pointer)) => {
            let text = pointer.text()?;
            Selector::pointer(text).map_or_else(|_| pointer.error("is not a JSON pointer, such as \"/data/id\""), Some)
        }
        _ => value.error("needs either header or pointer"),
    };
    options.event_id = Some(selector?);
    Some(keep_for)
}

fn methods(value: &Value<'_>) -> Option<Vec<Method>> {
    let known = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::GET, Method::HEAD];
    let choices: Vec<_> = known.iter().map(|method| (method.as_str(), method)).collect();
    let mut methods: Vec<Method> = Vec::new();
    for item in value.list()? {
        let method = item.choice(&choices).filter(|method| !methods.contains(method));
        methods.extend(method.cloned());
    }
    if value.node().get_ref().as_array().is_some_and(|list| list.is_empty()) {
        return value.error("is empty: nothing could be sent");
    }
    Some(methods)
}
