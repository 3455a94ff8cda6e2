//! A scheme's ways, made ready with what one source has: secrets, keys, roots, and what it says of itself.

use super::encoding::Encoding;
use super::key::Key;
use super::naming::Naming;
use super::scheme::Way;
use super::signed::{Keys, Maker, Requirement, Ring, Rule, Setting, Settings, Signed};
use super::x509::chain::{BadRoots, Roots};
use super::{BadKey, BadSecret, ConfiguredKey, Options, Scheme, Secret, Verifier, Without};

/// What one way needs, made once.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) keys: Vec<Key>,
    /// For a way that is signed by a key; `None` where the source has none for it.
    pub(super) signed: Option<Keys>,
    pub(super) naming: Naming,
}

/// What a source says of itself and of what it believes.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Who it is to its provider.
    pub settings: Settings,
    /// What it demands beside its provider's rules.
    pub requirements: Vec<Requirement>,
    /// Seconds that a timestamp may be old, in place of what the scheme says.
    pub tolerance: Option<u32>,
    /// Seconds that the clocks behind a token may differ, in place of what the scheme says.
    pub leeway: Option<u32>,
    /// The tag of RFC 9421, in place of what the scheme says.
    pub tag: Option<String>,
    /// The components of RFC 9421 that must be covered, in place of what the scheme says.
    pub components: Option<Vec<String>>,
}

/// What a source lacks, or has in vain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The secret of that number (from 0) cannot be used.
    #[error("{1}")]
    Secret(usize, BadSecret),
    /// The key of that number (from 0) cannot be used.
    #[error("{1}")]
    Key(usize, BadKey),
    /// The key of that number (from 0) names no algorithm that the scheme has.
    #[error("the key names no algorithm that this scheme has")]
    Algorithm(usize),
    /// The roots cannot be used.
    #[error("{0}")]
    Roots(BadRoots),
    /// A setting is missing.
    #[error("`{0}` is missing")]
    Missing(String),
}

impl Verifier {
    /// The same with that secret in place of all others; for schemes with a shared secret.
    pub fn with_secret(&self, secret: &Secret) -> Result<Self, BadSecret> {
        let ways = self.scheme.iter().flat_map(Scheme::ways);
        let ready = |(way, ready): (&Way, &Ready)| {
            Ok(Ready { keys: vec![Key::try_new(way, secret)?], naming: ready.naming.clone(), ..Ready::default() })
        };
        Ok(Self {
            scheme: self.scheme.clone(),
            ready: ways.zip(&self.ready).map(ready).collect::<Result<_, _>>()?,
            also: None,
            base: self.base.clone(),
            authority: self.authority.clone(),
            gunzip: self.gunzip,
            terms: self.terms.clone(),
        })
    }
}

/// Makes ready what must be proved beside the one way of `scheme`; `None` where the source lacks something for it.
pub(super) fn also(scheme: &Scheme, options: &Options) -> Result<Option<Keys>, Unready> {
    let Some(signed) = scheme.also().and_then(|also| also.way.signed.as_ref()) else { return Ok(None) };
    let keys = Keys { ring: ring_of_keys(signed, &options.keys), roots: roots(options)?, address: options.key_url.clone() };
    Ok(if what_lacks(signed, &keys, &options.terms).is_none() { Some(keys) } else { None })
}

fn roots(options: &Options) -> Result<Roots, Unready> {
    if options.roots.is_empty() { Ok(Roots::Public) } else { Roots::read(&options.roots).map_err(Unready::Roots) }
}

/// Makes each way of `scheme` ready. A way for which the source has nothing is left out; it fails where all are.
pub(super) fn ways(scheme: &Scheme, secrets: &[Secret], options: &Options) -> Result<Vec<Ready>, Unready> {
    for (i, secret) in secrets.iter().enumerate() {
        scheme.takes(secret).map_err(|error| Unready::Secret(i, error))?;
    }
    fit(scheme, &options.keys)?;
    let roots = roots(options)?;
    let mut lacks = None;
    let mut ready = Vec::new();
    for way in scheme.ways() {
        let mut made = Ready { naming: options.naming(way.event_id.as_ref(), way.event_type.as_ref()), ..Ready::default() };
        match &way.signed {
            None => {
                match unset(&way.rules, &options.terms).or_else(|| unset_in_text(&way.settings, &way.rules, &options.terms)) {
                    None => made.keys = keys_of(way, secrets)?,
                    Some(name) => lacks = Some(name),
                }
            }
            Some(signed) => {
                let ring =
                    if signed.by_secret() { ring_of_secrets(signed, secrets)? } else { ring_of_keys(signed, &options.keys) };
                let keys = Keys { ring, roots: roots.clone(), address: options.key_url.clone() };
                match what_lacks(signed, &keys, &options.terms) {
                    None => made.signed = Some(keys),
                    Some(name) => lacks = Some(name),
                }
            }
        }
        ready.push(made);
    }
    let usable = scheme.ways().iter().zip(&ready).any(|(way, ready)| match way.signed {
        None => lacks.is_none() || !ready.keys.is_empty(),
        Some(_) => ready.signed.is_some(),
    });
    match lacks {
        Some(name) if !usable => Err(Unready::Missing(name)),
        _ => Ok(ready),
    }
}

fn keys_of(way: &Way, secrets: &[Secret]) -> Result<Vec<Key>, Unready> {
    let key = |(i, secret)| Key::try_new(way, secret).map_err(|error| Unready::Secret(i, error));
    secrets.iter().enumerate().map(key).collect()
}

fn ring_of_secrets(signed: &Signed, secrets: &[Secret]) -> Result<Ring, Unready> {
    let mut ring = Ring::default();
    for (i, secret) in secrets.iter().enumerate() {
        let added = ring.add(&signed.plain_makers(), None, secret);
        added.map_err(|_| Unready::Secret(i, BadSecret::Encoding("a key")))?;
    }
    Ok(ring)
}

/// The keys that fit; that each fits some way was seen before.
fn ring_of_keys(signed: &Signed, keys: &[ConfiguredKey]) -> Ring {
    let mut ring = Ring::default();
    for key in keys {
        let _ = add(&mut ring, signed, key);
    }
    ring
}

/// Whether each key fits a way.
fn fit(scheme: &Scheme, keys: &[ConfiguredKey]) -> Result<(), Unready> {
    let signed = || scheme.ways().iter().filter_map(|way| way.signed.as_ref()).filter(|signed| !signed.by_secret());
    for (i, key) in keys.iter().enumerate() {
        let mut refusal = Unready::Algorithm(i);
        let fits = signed().any(|signed| match add(&mut Ring::default(), signed, key) {
            Ok(()) => true,
            Err(bad) => {
                refusal = bad.map_or(Unready::Algorithm(i), |bad| Unready::Key(i, bad));
                false
            }
        });
        if !fits {
            return Err(refusal);
        }
    }
    Ok(())
}

/// Adds a key; `None` where it names no algorithm of the scheme.
fn add(ring: &mut Ring, signed: &Signed, key: &ConfiguredKey) -> Result<(), Option<BadKey>> {
    let named = |name: &String| signed.makers.iter().find(|(known, _)| known == name).map(|(_, maker)| *maker);
    let makers = match &key.algorithm {
        Some(name) => vec![named(name).ok_or(None)?],
        None if signed.names_makers() => return Err(None),
        None => signed.plain_makers(),
    };
    // Shared keys of RFC 9421 are bytes, and are written in base64.
    let text = match &makers[..] {
        [Maker::Mac(_)] => {
            let bytes = Encoding::Base64.decode_secret(key.text.expose()).filter(|bytes| !bytes.is_empty());
            key.text.with_text(bytes.ok_or(BadKey::Unreadable)?)
        }
        _ => key.text.clone(),
    };
    ring.add(&makers, key.id.as_deref(), &text).map_err(Some)
}

/// The first thing that a way cannot do without and the source does not have.
fn what_lacks(signed: &Signed, keys: &Keys, terms: &Terms) -> Option<String> {
    if signed.by_secret() && keys.ring.is_empty() {
        return Some("secrets".to_owned());
    }
    if let Some(name) = signed.source.lacks(keys) {
        return Some(name.to_owned());
    }
    unset(&signed.rules, terms).or_else(|| unset_in_text(signed.settings(), &signed.rules, terms))
}

/// The first setting that a rule cannot do without and of which the source says nothing.
fn unset(rules: &[Rule], terms: &Terms) -> Option<String> {
    let rule = rules.iter().find(|rule| !terms.settings.serves(rule, &terms.requirements))?;
    rule.setting().map(|(name, _)| name.to_owned())
}

/// The first setting in the signed text of which the source does not say the one value.
fn unset_in_text(settings: &[Setting], rules: &[Rule], terms: &Terms) -> Option<String> {
    let in_rule = |name: &str| rules.iter().any(|rule| rule.setting().is_some_and(|(known, _)| known == name));
    let needed = settings.iter().filter(|setting| setting.without == Without::Unusable && !in_rule(&setting.name));
    needed.map(|setting| &setting.name).find(|name| terms.settings.only(name).is_none()).cloned()
}
