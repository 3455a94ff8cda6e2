//! The dashboard's files: what they are, how they are served, and what a browser may do with them.
//!
//! A file is sent once: its `ETag` is a hash of it, and a browser that has it is told so. It asks each time, so that a newer
//! relay never meets an older page.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::admin::etag;

/// Where all files but the page itself are.
pub(super) const FOLDER: &str = "/assets/";

/// Only files of this relay, no inline script or style, no frame, no form that leaves, and (trusted types) no text that becomes
/// elements or code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

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
    Asset { path: "/assets/pages/alerts.js", kind: JS, bytes: include_bytes!("assets/pages/alerts.js") },
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
        Self { asset, tag: etag::of(asset.bytes) }
    }

    /// The file, or that the browser has it.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let fields = [
            (CONTENT_TYPE, HeaderValue::from_static(self.asset.kind)),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        ];
        let known = etag::answer(headers, self.tag.clone(), || self.asset.bytes.into_response());
        (fields, known).into_response()
    }
}
