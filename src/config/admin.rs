//! `[admin]`: where the admin listener is, who may come in, what they may see, and how long it is known what they did.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::key::{Key, Kind, Others, Table};
use super::listen::{address, clash, is_loopback};
use super::settings::{Admin, Audit, Listen};
use super::table::Section;
use super::token::{Proof, Role, STRONG_BYTES_MIN, Token};
use super::value::Value;
use super::{mask, secret};
use crate::record::Name;

/// Where the admin listener is when nothing is said: for this machine only.
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9443);
/// A quarter: what somebody asks about after the books are closed. At some 300 bytes an entry, 100,000 changes.
const AUDIT_DEFAULT: Audit = Audit { keep_for: DAY.saturating_mul(90), bytes_max: 64 << 20 };
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Less would not outlive a weekend; the end is as good as for ever.
const AUDIT_TIME: RangeInclusive<Duration> = DAY..=DAY.saturating_mul(36_500);
/// Less would not hold a day's work, as it is kept in several files; each list of it reads through them.
const AUDIT_BYTES: RangeInclusive<u64> = 1 << 20..=4 << 30;
/// What the audit log calls those who have no token.
const NOBODIES: [&str; 5] = ["loopback", "signal", "files", "command", "acme"];
/// Hexadecimal digits of a SHA-256.
const HASH_DIGITS: usize = 64;

pub(super) static KEYS: Table = Table {
    name: "[admin]",
    tells: "Dashboard, API and metrics. On an address that is not loopback it needs `tls = true` and a token. \
            [ACCESS.md](ACCESS.md) tells more.",
    example: r#"
[admin]
listen = "0.0.0.0:9443"
tls = true
tokens = [{ name = "ops", role = "operator", secret = { file = "/run/secrets/ops" } }]
mask = { headers = ["x-internal-*"], body = ["/card/number"] }
"#,
    keys: &[
        Key::new("listen", Kind::Text, "An IP address and a port.").or("\"127.0.0.1:9443\""),
        Key::new("tls", Kind::Boolean, "Speaks TLS with the certificates of `[tls]`.").or("false"),
        Key::new(
            "tokens",
            Kind::List(&Kind::Table(&TOKEN)),
            "Who may come in. Without any, everybody who reaches the address may do everything.",
        ),
        Key::new("mask", Kind::Table(&mask::KEYS), "What of events is hidden from those who need not see it, of all sources."),
        Key::new("audit", Kind::Table(&AUDIT), "What is kept of who did what."),
    ],
    later: &[],
    others: Others::None,
};

static TOKEN: Table = Table {
    name: "tokens",
    tells: "In `[admin]`: a token of the API. The dashboard asks for one, programs send it as `Authorization: Bearer`. One of `secret` and \
            `sha256` must be there.",
    example: r#"
[admin]
tokens = [
    { name = "eyes", role = "viewer", secret = { env = "EYES_TOKEN" } },
    { name = "wall", role = "viewer", sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", until = 2027-01-01T00:00:00Z },
]
"#,
    keys: &[
        Key::needed("name", Kind::Text, "Who it is: logs show it. Each token has its own."),
        Key::needed("role", Kind::Choice(&["viewer", "operator"]), "A viewer looks, an operator acts, too."),
        Key::new("secret", Kind::Table(&secret::KEYS), "The token itself."),
        Key::new("sha256", Kind::Text, "Its SHA-256 in hexadecimal, in place of the token: `hookhold token new` makes both."),
        Key::new("until", Kind::Time, "It counts until then.").or_else("for good"),
        Key::new("unmasked", Kind::Boolean, "Whether it sees what is masked.").or_else("operators do, viewers do not"),
    ],
    later: &[],
    others: Others::None,
};

static AUDIT: Table = Table {
    name: "audit",
    tells: "In `[admin]`: what is kept of who did what.",
    example: r#"
[admin]
audit = { for = "365d", max_bytes = "256MiB" }
"#,
    keys: &[
        Key::new("for", Kind::Duration(AUDIT_TIME), "So long.").or("\"90d\""),
        Key::new("max_bytes", Kind::Size(AUDIT_BYTES), "So many bytes; the oldest go first.").or("\"64MiB\""),
    ],
    later: &[],
    others: Others::None,
};

pub(super) fn prove(mut section: Section<'_>, public: Option<&Listen>, has_certificate: bool) -> Admin {
    let written = section.take("listen");
    let (listen, tls) = place(&mut section);
    let tokens = self::tokens(&mut section);
    let mask = mask::read(&mut section);
    let audit = self::audit(&mut section);
    if let Some(value) = &written {
        if !is_loopback(listen) && !tls {
            value.error::<()>("is not a loopback address: it needs tls = true");
        }
        if !is_loopback(listen) && tokens.is_empty() {
            let help = "write tokens = [{ name = \"ops\", role = \"operator\", secret = { file = \"PATH\" } }]".to_owned();
            value.error_help::<()>("is not a loopback address: it needs a token", Some(help));
        }
    }
    let same = public.and_then(|public| public.listeners.iter().find(|other| clash(other.address, listen)));
    if let Some(same) = same {
        let key = if same.is_https { "https" } else { "http" };
        section.error(&format!("its address {listen} is that of listen.{key}, too"), None);
    }
    if tls && !has_certificate {
        section.error("tls needs a certificate", Some("write [tls] certificates = [{ cert = \"FILE\", key = \"FILE\" }]".into()));
    }
    section.finish();
    Admin { listen, tls, tokens, mask, audit }
}

/// The address, and whether TLS is spoken there.
pub(super) fn place(section: &mut Section<'_>) -> (SocketAddr, bool) {
    let listen = section.or("listen", ADMIN_LISTEN, |value| address(&value));
    (listen, section.or("tls", false, |value| value.boolean()))
}

/// Who may come in.
pub(super) fn tokens(section: &mut Section<'_>) -> Vec<Token> {
    section.or("tokens", Vec::new(), |value| all_tokens(&value))
}

/// What is kept of who did what.
pub(super) fn audit(section: &mut Section<'_>) -> Audit {
    let Some(mut section) = section.take("audit").and_then(|value| value.inner()) else { return AUDIT_DEFAULT };
    let Audit { keep_for, bytes_max } = AUDIT_DEFAULT;
    let audit = Audit {
        keep_for: section.or("for", keep_for, |value| value.duration(AUDIT_TIME)),
        bytes_max: section.or("max_bytes", bytes_max, |value| value.size(AUDIT_BYTES)),
    };
    section.finish();
    audit
}

fn all_tokens(value: &Value<'_>) -> Option<Vec<Token>> {
    let mut tokens: Vec<Token> = Vec::new();
    for item in value.list()? {
        let Some(token) = token(&item) else { continue };
        if tokens.iter().any(|t| t.name == token.name) {
            item.error::<()>("has the name of another token");
        } else if tokens.iter().any(|t| t.proof.is_same(&token.proof)) {
            item.error::<()>("is the same as another token: nobody could tell who came");
        }
        tokens.push(token);
    }
    Some(tokens)
}

fn token(value: &Value<'_>) -> Option<Token> {
    let mut section = value.inner()?;
    let name = section.require("name", "write name = \"ops\": logs show it").and_then(|value| name(&value));
    let role = section.require("role", "write role = \"viewer\" or \"operator\"");
    let role = role.and_then(|value| value.choice(&[("viewer", Role::Viewer), ("operator", Role::Operator)]));
    let until = section.take("until").map(|value| secret::end(&value));
    let unmasked = section.take("unmasked").and_then(|value| value.boolean());
    let proof = match section.take("sha256") {
        Some(hashed) => {
            if section.take("secret").is_some() {
                hashed.error::<()>("is there beside secret: one of them must go");
            }
            hash(&hashed)
        }
        None => {
            let written =
                section.require("secret", "write secret = { file = \"PATH\" } or { env = \"NAME\" }, or sha256 = \"...\"");
            written.and_then(|value| known(&value))
        }
    };
    section.finish();
    let (name, role, proof, until) = (name?, role?, proof?, until.map_or(Some(None), |until| until.map(Some))?);
    Some(Token { name, role, unmasked: unmasked.unwrap_or(role == Role::Operator), proof, until })
}

/// A token that is written elsewhere.
fn known(value: &Value<'_>) -> Option<Proof> {
    let secret = secret::read(value)?;
    if !secret.expose().iter().all(u8::is_ascii_graphic) {
        return value.error("has characters that no Authorization header can hold");
    }
    let proof = Proof::of(secret);
    if !proof.is_strong() && !value.reading().is_development.get() {
        let help = "`hookhold token new` makes a better one".to_owned();
        value.warn(&format!("has less than {STRONG_BYTES_MIN} characters: it can be guessed"), Some(help));
    }
    Some(proof)
}

fn hash(value: &Value<'_>) -> Option<Proof> {
    let text = value.text()?;
    let mut hash = [0; HASH_DIGITS / 2];
    match hex::decode_to_slice(text, &mut hash) {
        Ok(()) => Some(Proof::of_hash(hash)),
        // It is not shown: it may be the token itself.
        Err(_) => value.error_help(
            &format!("must be {HASH_DIGITS} hexadecimal digits: the SHA-256 of a token"),
            Some("`hookhold token new` makes a token and its line".into()),
        ),
    }
}

fn name(value: &Value<'_>) -> Option<Name> {
    let text = value.text()?;
    if NOBODIES.contains(&text) {
        return value.error(&format!("cannot be {text:?}: the audit log says that where nobody had a token"));
    }
    Name::try_new(text).map_or_else(|bad| value.error(&format!("cannot be used: {bad}")), Some)
}
