//! Of `[destinations.NAME]`: as whom the relay speaks to an application.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::key::{Key, Kind, Others, Table};
use super::settings::OAuth2;
use super::value::Value;
use super::{certificates, secret, web};

/// What an `Authorization` is made of.
pub(super) enum Auth {
    /// The same at each attempt.
    Fixed(HeaderValue),
    /// A token that somebody else gives out.
    Token(Arc<OAuth2>),
}

pub(super) static KEYS: Table = Table {
    name: "auth",
    tells: "In a destination: as whom the relay calls; sets `Authorization`. One of these.",
    example: r#"
[destinations.app]
url = "https://app.internal/webhooks"
auth = { basic = { user = "relay", password = { env = "APP_PASSWORD" } } }
"#,
    keys: &[
        Key::new("bearer", Kind::Table(&secret::LASTING), "`Authorization: Bearer` with this secret."),
        Key::new("basic", Kind::Table(&BASIC), "`Authorization: Basic`."),
        Key::new("oauth2", Kind::Table(&OAUTH2), "A token of OAuth 2.0 (client credentials)."),
    ],
    later: &[],
    others: Others::None,
};

static BASIC: Table = Table {
    name: "basic",
    tells: "In `auth`: a user and a password.",
    example: r#"
[destinations.app]
url = "https://app.internal/webhooks"
auth = { basic = { user = "relay", password = { file = "/run/secrets/app-password" } } }
"#,
    keys: &[
        Key::needed("user", Kind::Text, "The user's name, without a colon."),
        Key::needed("password", Kind::Table(&secret::LASTING), "The password."),
    ],
    later: &[],
    others: Others::None,
};

static OAUTH2: Table = Table {
    name: "oauth2",
    tells: "In `auth`: client credentials (RFC 6749, section 4.4). A token is fetched when an attempt needs one.",
    example: r#"
[destinations.app]
url = "https://app.internal/webhooks"

[destinations.app.auth.oauth2]
token_url = "https://login.internal/oauth/token"
client_id = "hookhold"
client_secret = { env = "HOOKHOLD_CLIENT_SECRET" }
scope = "webhooks.write"
"#,
    keys: &[
        Key::needed("token_url", Kind::Text, "Where tokens are given out."),
        Key::needed("client_id", Kind::Text, "As whom the relay is known there."),
        Key::needed("client_secret", Kind::Table(&secret::LASTING), "How it proves that."),
        Key::new("scope", Kind::Text, "What for, in words of that server."),
        Key::new("audience", Kind::Text, "For whom, where that server asks it."),
        Key::new("secret_in", Kind::Choice(&["header", "body"]), "Where id and secret go: `body` for a server without `Basic`.")
            .or("\"header\""),
        Key::new("ca", Kind::Text, "A file with the only roots that are trusted, for `token_url` alone.")
            .or_else("those of the web"),
    ],
    later: &[],
    others: Others::None,
};

/// `{ bearer = SECRET }`, `{ basic = { user = "...", password = SECRET } }` or `{ oauth2 = { ... } }`.
pub(super) fn prove(value: &Value<'_>) -> Option<Auth> {
    let mut section = value.inner()?;
    let written = ["oauth2", "basic", "bearer"].map(|key| section.take(key));
    section.finish();
    match written {
        [Some(token), None, None] => oauth2(&token).map(|oauth2| Auth::Token(Arc::new(oauth2))),
        [None, Some(user), None] => user_and_password(&user).map(Auth::Fixed),
        [None, None, Some(bearer)] => fixed(&bearer, "Bearer ", secret::read_lasting(&bearer)?.expose()).map(Auth::Fixed),
        _ => value.error("must have one of oauth2, basic and bearer"),
    }
}

/// `Authorization: Basic` (RFC 7617).
pub(super) fn basic(user: &[u8], password: &[u8]) -> Option<HeaderValue> {
    let both = Zeroizing::new([user, b":", password].concat());
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(&both[..])));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn user_and_password(value: &Value<'_>) -> Option<HeaderValue> {
    let mut section = value.inner()?;
    let user = section.require("user", "write user = \"...\"");
    let password = section.require("password", "write password = { env = \"NAME\" } or { file = \"PATH\" }");
    section.finish();
    let named = |user: Value<'_>| match user.text()? {
        name if name.contains(':') => user.error("has a colon in it, which ends a user's name"),
        name => Some(name.to_owned()),
    };
    let (name, password) = (user.and_then(named), password.and_then(|value| secret::read_lasting(&value)));
    basic(name?.as_bytes(), password?.expose())
}

fn fixed(value: &Value<'_>, scheme: &str, secret: &[u8]) -> Option<HeaderValue> {
    let text = Zeroizing::new([scheme.as_bytes(), secret].concat());
    let Ok(mut header) = HeaderValue::from_bytes(&text) else {
        return value.error("has characters that no header can hold");
    };
    header.set_sensitive(true);
    Some(header)
}

/// Client credentials of OAuth 2.0 (RFC 6749 §4.4).
fn oauth2(value: &Value<'_>) -> Option<OAuth2> {
    let mut section = value.inner()?;
    let url = section.require("token_url", "write token_url = \"https://...\", where tokens are given out");
    let client_id = section.require("client_id", "write client_id = \"...\", as whom the relay is known there");
    let secret = section.require("client_secret", "write client_secret = { env = \"NAME\" } or { file = \"PATH\" }");
    let text = |value: Value<'_>| value.text().map(str::to_owned);
    let (scope, audience) = (section.take("scope").map(text), section.take("audience").map(text));
    let secret_in_body = section.or("secret_in", false, |value| value.choice(&[("header", false), ("body", true)]));
    let ca = section.take("ca").map(|value| certificates::roots(&value));
    section.finish();
    let token_url = url.and_then(|value| web::token(&value));
    let (client_id, client_secret) = (client_id.and_then(text), secret.and_then(|value| secret::read_lasting(&value)));
    Some(OAuth2 {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        secret_in_body,
        scope: scope.map_or(Some(None), |scope| scope.map(Some))?,
        audience: audience.map_or(Some(None), |audience| audience.map(Some))?,
        ca: ca.map_or(Some(None), |ca| ca.map(Some))?,
    })
}
