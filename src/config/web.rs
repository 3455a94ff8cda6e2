//! URLs and hosts. A URL's user and password never stay in it, and no URL is shown in a message: it may hold them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::value::Value;

/// The host that a source answers to: lower case, without port.
pub(super) fn host(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    match Host::parse(text) {
        // Nothing is matched but whole names.
        Ok(host) if !text.contains('*') => Some(host.to_string()),
        _ => value.error("must be a host name without scheme and port, such as \"hooks.example.com\""),
    }
}

/// What a provider calls, up to the request's own path.
pub(super) fn base(value: &Value<'_>) -> Option<Url> {
    let url = web_url(value)?;
    if url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
        return value.error("must have neither a query nor a user");
    }
    Some(url)
}

/// An application's URL, and the `Authorization` that its user and password stand for.
pub(super) fn application(value: &Value<'_>) -> Option<(Url, Option<HeaderValue>)> {
    let mut url = web_url(value)?;
    if url.username().is_empty() && url.password().is_none() {
        return Some((url, None));
    }
    let mut both = Zeroizing::new(percent_decode_str(url.username()).collect::<Vec<u8>>());
    both.push(b':');
    both.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut basic = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(&both[..]))).ok()?;
    basic.set_sensitive(true);
    // Cannot fail for http and https, which have a host.
    (url.set_username(""), url.set_password(None)).0.ok()?;
    Some((url, Some(basic)))
}

fn web_url(value: &Value<'_>) -> Option<Url> {
    let text = value.text()?;
    let after_scheme = ["http://", "https://"].into_iter().find_map(|scheme| {
        let start = text.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    });
    let Some(rest) = after_scheme else { return value.error("must start with http:// or https://") };
    // Such an URL would be repaired rather than refused.
    if rest.is_empty() || rest.starts_with(['/', '\\', '?', '#']) {
        return value.error("has no host");
    }
    match Url::parse(text) {
        Ok(url) if url.fragment().is_some() => value.error("has a fragment (#), which is never sent"),
        Ok(url) => Some(url),
        Err(error) => value.error(&format!("is not a URL: {error}")),
    }
}
