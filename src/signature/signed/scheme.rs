//! What a scheme says of public keys and tokens, proved.

use super::key_source::KeySource;
use super::ring::Maker;
use super::rule::Rule;
use super::settings::{Setting, Without};
use super::written::{WrittenContent, WrittenEnvelope, WrittenToken};
use crate::signature::message_signature::Profile;
use crate::signature::scheme::{BadScheme, prove_name};
use crate::signature::template::Template;
use crate::signature::written::{Kind, Place, Written};

/// A way to sign, beyond what [`crate::signature::scheme::Way`] says.
#[derive(Debug)]
pub(in crate::signature) struct Signed {
    pub(in crate::signature) kind: SignedKind,
    /// What may make the signature, by the name that requests and keys may give it.
    pub(in crate::signature) makers: Vec<(String, Maker)>,
    pub(in crate::signature) source: KeySource,
    /// Where the request names its key.
    pub(in crate::signature) key_id: Option<(Place, String)>,
    pub(in crate::signature) envelope: Option<WrittenEnvelope>,
    pub(in crate::signature) content: Option<WrittenContent>,
    pub(in crate::signature) rules: Vec<Rule>,
    settings: Vec<Setting>,
}

/// What is signed.
#[derive(Debug)]
pub(in crate::signature) enum SignedKind {
    /// The payload.
    Payload,
    /// A token.
    Token(WrittenToken),
    /// The payload, in the form of a token.
    Detached(WrittenToken),
    /// Components of the request (RFC 9421).
    Message(Profile),
}

impl Signed {
    /// From what is written; `None` for a way to sign with a shared secret alone.
    pub(in crate::signature) fn try_new(written: &Written, payloads: &[Template]) -> Result<Option<Self>, BadScheme> {
        let token = || written.token.clone().unwrap_or_default();
        let kind = match written.kind {
            Kind::Signature | Kind::X509 => SignedKind::Payload,
            Kind::Jwt => SignedKind::Token(token()),
            Kind::JwsDetached => SignedKind::Detached(token()),
            Kind::HttpMessageSignature => SignedKind::Message(Profile::try_new(written.message.as_ref())?),
            _ => return written.has_nothing_signed().map(|()| None),
        };
        let unused = match kind {
            SignedKind::Payload => [written.token.is_some(), written.message.is_some()],
            SignedKind::Token(_) | SignedKind::Detached(_) => [written.envelope.is_some(), written.message.is_some()],
            SignedKind::Message(_) => [written.token.is_some(), written.envelope.is_some()],
        };
        if unused.contains(&true) {
            return Err(BadScheme::Unused("one of envelope, token and message"));
        }
        let key = written.key.clone().unwrap_or_default();
        if written.kind == Kind::X509 && key.certificate.is_none() {
            return Err(BadScheme::Missing("key.certificate"));
        }
        let key_id = key.id.as_ref().map(|id| Ok((id.place, prove_name(id.place, &id.name, "key.id")?))).transpose()?;
        let rules = written.rules.iter().map(Rule::try_new).collect::<Result<Vec<_>, _>>()?;
        let settings = settings_of(&rules, payloads);
        Ok(Some(Self {
            makers: makers(written)?,
            source: KeySource::try_new(&key)?,
            key_id,
            envelope: written.envelope.clone().map(prove_envelope).transpose()?,
            content: written.content.clone().map(prove_content).transpose()?,
            rules,
            settings,
            kind,
        }))
    }

    /// Whether it is made with a shared secret (a token may be).
    pub(in crate::signature) fn by_secret(&self) -> bool {
        !matches!(self.kind, SignedKind::Message(_)) && self.makers.iter().all(|(_, maker)| maker.is_secret())
    }

    /// Whether the signature is a token that holds what it speaks of.
    pub(in crate::signature) fn is_token(&self) -> bool {
        matches!(self.kind, SignedKind::Token(_))
    }

    /// Whether requests say which of the source's keys they mean, and with what it signs.
    pub(in crate::signature) fn names_makers(&self) -> bool {
        matches!(self.kind, SignedKind::Message(_))
    }

    /// The makers without their names.
    pub(in crate::signature) fn plain_makers(&self) -> Vec<Maker> {
        self.makers.iter().map(|(_, maker)| *maker).collect()
    }

    /// The settings that it knows.
    pub(in crate::signature) fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

impl Written {
    /// Refuses what only schemes of public keys and tokens say.
    fn has_nothing_signed(&self) -> Result<(), BadScheme> {
        let there = [
            ("algorithms", !self.algorithms.is_empty()),
            ("key", self.key.is_some()),
            ("envelope", self.envelope.is_some()),
            ("content", self.content.is_some()),
            ("token", self.token.is_some()),
            ("message", self.message.is_some()),
        ];
        there.into_iter().find(|(_, there)| *there).map_or(Ok(()), |(name, _)| Err(BadScheme::Unused(name)))
    }
}

fn makers(written: &Written) -> Result<Vec<(String, Maker)>, BadScheme> {
    let read = |name: &String| {
        let maker = match written.kind {
            Kind::Jwt | Kind::JwsDetached => Maker::of_jose(name),
            Kind::HttpMessageSignature => Maker::of_http(name),
            _ => Maker::of_scheme(name),
        };
        maker.map(|maker| (name.clone(), maker)).ok_or_else(|| BadScheme::Value("algorithms", name.clone()))
    };
    let makers = written.algorithms.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let secrets = makers.iter().filter(|(_, maker)| maker.is_secret()).count();
    match written.kind {
        _ if makers.is_empty() => Err(BadScheme::Missing("algorithms")),
        Kind::Signature | Kind::X509 if makers.len() > 1 => Err(BadScheme::Value("algorithms", "several".into())),
        // A public key must never be taken for a secret: a way has one sort or the other.
        Kind::Jwt | Kind::JwsDetached if secrets > 0 && secrets < makers.len() => {
            Err(BadScheme::Value("algorithms", "of secrets and of public keys together".into()))
        }
        _ => Ok(makers),
    }
}

/// The settings of which rules and payloads speak, each once.
pub(in crate::signature) fn settings_of(rules: &[Rule], payloads: &[Template]) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let of_rules = rules.iter().filter_map(Rule::setting).map(|(name, need)| (name, Without::from(need)));
    let of_payloads = payloads.iter().flat_map(Template::settings).map(|name| (name, Without::Unusable));
    for (name, without) in of_rules.chain(of_payloads) {
        match settings.iter_mut().find(|setting| setting.name == name) {
            Some(setting) => setting.without = setting.without.max(without),
            None => settings.push(Setting { name: name.to_owned(), without }),
        }
    }
    settings
}

fn prove_envelope(mut envelope: WrittenEnvelope) -> Result<WrittenEnvelope, BadScheme> {
    envelope.name = prove_name(envelope.place, &envelope.name, "envelope.name")?;
    Ok(envelope)
}

fn prove_content(mut content: WrittenContent) -> Result<WrittenContent, BadScheme> {
    content.name = prove_name(content.place, &content.name, "content.name")?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use crate::signature::Scheme;

    const SIGNATURE: &str = r#"kind = "signature"
        algorithms = ["ed25519"]
        signature = [{ in = "header", name = "X-Sig", encoding = "hex" }]
        payload = "{body}"
        "#;
    const TOKEN: &str = r#"kind = "jwt"
        algorithms = ["RS256"]
        key = { jwks = "https://h.example/keys" }
        signature = [{ in = "header", name = "X-Sig" }]
        rules = [{ in = "claim", name = "/iss", equals = ["x"] }]
        "#;

    fn error(text: &str, from: &str, to: &str) -> String {
        assert!(text.contains(from), "{from}");
        toml::from_str::<Scheme>(&text.replace(from, to)).unwrap_err().message().to_owned()
    }

    #[test]
    fn what_cannot_be_used_does_not_load() {
        for text in [SIGNATURE, TOKEN] {
            let scheme = toml::from_str::<Scheme>(text).unwrap();
            assert!(scheme.takes_keys() && !scheme.takes_secrets() && !scheme.is_signable());
            assert!(toml::from_str::<Scheme>(&toml::to_string(&scheme).unwrap()).unwrap().takes_keys());
        }
        for (text, from, to, message) in [
            (SIGNATURE, r#"algorithms = ["ed25519"]"#, "", "`algorithms` is missing"),
            (SIGNATURE, "ed25519", "ed448", "`algorithms` cannot be \"ed448\""),
            (SIGNATURE, "\"ed25519\"", "\"ed25519\", \"rsa-pkcs1-sha256\"", "`algorithms` cannot be \"several\""),
            (SIGNATURE, "payload = \"{body}\"", "", "`payload` is missing"),
            (SIGNATURE, "{body}", "{secret}{body}", "`payload` cannot be"),
            (SIGNATURE, "payload =", "hash = 'sha256'\npayload =", "`hash` does not belong here"),
            (SIGNATURE, "payload =", "secret = {}\npayload =", "`secret` does not belong here"),
            (SIGNATURE, "payload =", "token = {}\npayload =", "does not belong here"),
            (SIGNATURE, "\"signature\"", "\"x509\"", "`key.certificate` is missing"),
            (SIGNATURE, "\"signature\"", "\"hmac\"", "`hash` is missing"),
            (SIGNATURE, "payload =", "key = { jwks = 'http://h/' }\npayload =", "`key.jwks` cannot be"),
            (SIGNATURE, "payload =", "key = { document = { address = 'h' } }\npayload =", "`key.document.address` cannot be"),
            (TOKEN, "RS256", "none", "`algorithms` cannot be \"none\""),
            (TOKEN, "RS256", "ed25519", "`algorithms` cannot be \"ed25519\""),
            (TOKEN, "\"RS256\"", "\"RS256\", \"HS256\"", "`algorithms` cannot be \"of secrets and of public keys together\""),
            (TOKEN, "rules =", "payload = '{body}'\nrules =", "`payload` does not belong here"),
            (TOKEN, "/iss", "iss", "`rules.name` cannot be"),
            (TOKEN, ", equals = [\"x\"]", "", "`rules.equals` is missing"),
            (TOKEN, "equals = [\"x\"]", "is = \"url\", equals = [1]", "`rules.equals` does not belong here"),
            (TOKEN, "equals = [\"x\"]", "setting = \"path\"", "`rules.setting` cannot be"),
            (TOKEN, "equals = [\"x\"]", "addresses = [\"http://h/\"]", "`rules.addresses` cannot be"),
            (
                TOKEN,
                "key = { jwks",
                "key = { chain = { leaf_extension = '1.2', intermediate_extension = '1.2' }, jwks",
                "any second place",
            ),
        ] {
            let got = error(text, from, to);
            assert!(got.contains(message), "{to}: {got}");
        }
        let hmac =
            "kind = 'hmac'\nhash = 'sha256'\npayload = '{body}'\nsignature = [{ in = 'header', name = 'X', encoding = 'hex' }]\n";
        for key in ["algorithms = ['ed25519']", "key = {}", "token = {}"] {
            let got = toml::from_str::<Scheme>(&format!("{hmac}{key}")).unwrap_err();
            assert!(got.message().contains("does not belong here"), "{key}: {got}");
        }
        // There is nothing signed beside the request.
        let got =
            toml::from_str::<Scheme>(&format!("{hmac}rules = [{{ in = 'claim', name = '/a', equals = [1] }}]")).unwrap_err();
        assert!(got.message().contains("`rules.in` cannot be"), "{got}");
    }
}
