//! The dashboard's files: what they are, how they are served, and what a browser may do with them.
//!
//! A file is sent once: its `ETag` is a hash of it, and a browser that has it is told so. It asks each time, so that a newer
//! relay never meets an older page.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// Where all files but the page itself are.
pub(super) const FOLDER: &str = "/assets/";

/// Only files of this relay, no inline script or style, no frame, no form that leaves, and (trusted types) no text that becomes
/// elements or code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Bytes of the hash that tells versions of a file apart.
const TAG_BYTES: usize = 12;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file.
pub(super) struct Asset {
    /// Where it is.
    pub(super) path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// All of them.
pub(super) const ASSETS: &[Asset] = &[
    Asset { path: "/", kind: HTML, bytes: include_bytes!("assets/index.html") },
    Asset { path: "/assets/style.css", kind: CSS, bytes: include_bytes!("assets/style.css") },
    Asset { path: "/assets/icon.svg", kind: SVG, bytes: include_bytes!("assets/icon.svg") },
    Asset { path: "/assets/act.js", kind: JS, bytes: include_bytes!("assets/act.js") },
    Asset { path: "/assets/api.js", kind: JS, bytes: include_bytes!("assets/api.js") },
    Asset { path: "/assets/app.js", kind: JS, bytes: include_bytes!("assets/app.js") },
    Asset { path: "/assets/backlog.js", kind: JS, bytes: include_bytes!("assets/backlog.js") },
    Asset { path: "/assets/body.js", kind: JS, bytes: include_bytes!("assets/body.js") },
    Asset { path: "/assets/chart.js", kind: JS, bytes: include_bytes!("assets/chart.js") },
    Asset { path: "/assets/colours.js", kind: JS, bytes: include_bytes!("assets/colours.js") },
    Asset { path: "/assets/dom.js", kind: JS, bytes: include_bytes!("assets/dom.js") },
    Asset { path: "/assets/format.js", kind: JS, bytes: include_bytes!("assets/format.js") },
    Asset { path: "/assets/keys.js", kind: JS, bytes: include_bytes!("assets/keys.js") },
    Asset { path: "/assets/parts.js", kind: JS, bytes: include_bytes!("assets/parts.js") },
    Asset { path: "/assets/reader.js", kind: JS, bytes: include_bytes!("assets/reader.js") },
    Asset { path: "/assets/refresh.js", kind: JS, bytes: include_bytes!("assets/refresh.js") },
    Asset { path: "/assets/route.js", kind: JS, bytes: include_bytes!("assets/route.js") },
    Asset { path: "/assets/theme.js", kind: JS, bytes: include_bytes!("assets/theme.js") },
    Asset { path: "/assets/pages/audit.js", kind: JS, bytes: include_bytes!("assets/pages/audit.js") },
    Asset { path: "/assets/pages/configuration.js", kind: JS, bytes: include_bytes!("assets/pages/configuration.js") },
    Asset { path: "/assets/pages/deliveries.js", kind: JS, bytes: include_bytes!("assets/pages/deliveries.js") },
    Asset { path: "/assets/pages/destination.js", kind: JS, bytes: include_bytes!("assets/pages/destination.js") },
    Asset { path: "/assets/pages/destinations.js", kind: JS, bytes: include_bytes!("assets/pages/destinations.js") },
    Asset { path: "/assets/pages/event.js", kind: JS, bytes: include_bytes!("assets/pages/event.js") },
    Asset { path: "/assets/pages/events.js", kind: JS, bytes: include_bytes!("assets/pages/events.js") },
    Asset { path: "/assets/pages/live.js", kind: JS, bytes: include_bytes!("assets/pages/live.js") },
    Asset { path: "/assets/pages/login.js", kind: JS, bytes: include_bytes!("assets/pages/login.js") },
    Asset { path: "/assets/pages/overview.js", kind: JS, bytes: include_bytes!("assets/pages/overview.js") },
    Asset { path: "/assets/pages/quarantine.js", kind: JS, bytes: include_bytes!("assets/pages/quarantine.js") },
    Asset { path: "/assets/pages/refused.js", kind: JS, bytes: include_bytes!("assets/pages/refused.js") },
    Asset { path: "/assets/pages/replays.js", kind: JS, bytes: include_bytes!("assets/pages/replays.js") },
    Asset { path: "/assets/pages/sources.js", kind: JS, bytes: include_bytes!("assets/pages/sources.js") },
    Asset { path: "/assets/pages/status.js", kind: JS, bytes: include_bytes!("assets/pages/status.js") },
];

/// A file with its tag.
pub(super) struct Served {
    asset: &'static Asset,
    tag: HeaderValue,
}

impl Served {
    pub(super) fn new(asset: &'static Asset) -> Self {
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(asset.bytes)[..TAG_BYTES]));
        // Quoted hex: it cannot be what no header may hold.
        let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { asset, tag }
    }

    /// The file, or that the browser has it.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let fields = [
            (CONTENT_TYPE, HeaderValue::from_static(self.asset.kind)),
            (ETAG, self.tag.clone()),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        ];
        match has(headers, self.tag.as_bytes()) {
            true => (StatusCode::NOT_MODIFIED, fields).into_response(),
            false => (fields, self.asset.bytes).into_response(),
        }
    }
}

/// Whether `If-None-Match` names this tag, weakly compared (RFC 9110, 13.1.2).
fn has(headers: &HeaderMap, tag: &[u8]) -> bool {
    let named = headers.get_all(IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    named.map(<[u8]>::trim_ascii).any(|one| one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list() {
        let has = |value| has(&HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]), b"\"abc\"");
        for value in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert!(has(value), "{value}");
        }
        for value in ["\"x\"", "abc", "", "\"abcd\"", "\"ab\"\"c\""] {
            assert!(!has(value), "{value}");
        }
    }
}
