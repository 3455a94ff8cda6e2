//! What a caller may see of what came from outside. Every event, delivery, attempt and request in quarantine is shown through a
//! [`Sight`]: the views in `view` cannot be made without one, and bodies are served by [`Veil::body`] alone.
//!
//! A masked value shows as `***` and how long it is where it is a header field, as `***` elsewhere: what is short (a PIN, a word of
//! a few) would be told by its length. Where it is not known what is to be masked, or how, nothing is shown.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::Context;
use super::auth::Caller;
use super::problem::Problem;
use crate::config::settings::{Mask, Settings, Source};
use crate::record::{EventId, Name};
use crate::signature::Selector;

/// In place of what is hidden.
const HIDDEN: &str = "***";
/// Says of a body how many of its values are hidden.
const MASKED: HeaderName = HeaderName::from_static("hookhold-masked");

/// What a provider calls an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Its id.
    Id,
    /// Its type.
    Kind,
}

/// What one caller may see.
pub(super) struct Sight {
    settings: Arc<Settings>,
    sees_all: bool,
}

/// What a caller may see of the events of one source.
pub(super) struct Veil<'a>(Option<Hidden<'a>>);

struct Hidden<'a> {
    /// `None`: it is not in relay.toml any more, and nobody knows what it said of masks.
    source: Option<&'a Source>,
    mask: &'a Mask,
}

/// A body as a caller may see it.
pub(super) struct ShownBody {
    bytes: Bytes,
    /// How many of its values are hidden; `None`: it is as it came.
    masked: Option<usize>,
}

impl Sight {
    pub(super) fn new(settings: Arc<Settings>, caller: &Caller) -> Self {
        Self { settings, sees_all: caller.sees_all }
    }

    /// Of the events of this source.
    pub(super) fn of(&self, source: &Name) -> Veil<'_> {
        if self.sees_all {
            return Veil(None);
        }
        let source = self.settings.sources.iter().find(|s| s.name == *source).map(|s| &**s);
        Veil(Some(Hidden { source, mask: source.map_or(&self.settings.admin.mask, |source| &source.mask) }))
    }
}

impl Sight {
    /// Whether text may be looked for in bodies, of one source or all: an answer tells that a text is there, also where it is hidden.
    pub(super) fn may_search(&self, source: Option<&Name>) -> bool {
        self.sees_all || source.is_some_and(|source| self.of(source).shows_bodies())
    }

    /// Whether events may be looked for by the provider's id of them (`id`) or by their type: also an empty list tells something.
    /// Of all sources only where none of them hides it.
    pub(super) fn may_filter_by(&self, what: Named, source: Option<&Name>) -> bool {
        let shows = |source: &Name| !self.of(source).hides(what);
        self.sees_all || source.map_or_else(|| self.settings.sources.iter().all(|source| shows(&source.name)), shows)
    }
}

impl FromRequestParts<Arc<Context>> for Sight {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Problem> {
        // Who calls is known wherever something is shown; nobody sees nothing.
        let caller = parts.extensions.get::<Caller>();
        caller.map(|caller| Self::new(context.settings(), caller)).ok_or_else(|| Problem::forbidden("nobody knows who calls"))
    }
}

impl Veil<'_> {
    /// Whether nothing is hidden.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Nothing is hidden.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Whether bodies are shown whole, whatever is in them.
    pub(super) fn shows_bodies(&self) -> bool {
        let Self(Some(hidden)) = self else { return true };
        let shows_secret = |source: &Source| source.verifier.scheme().is_some_and(|scheme| scheme.shows_secret_in_form());
        hidden.source.is_some_and(|source| !shows_secret(source)) && !hidden.mask.hides_body()
    }

    /// The provider's id of an event, or its type, as far as it may be seen: it is a value of the request.
    pub(super) fn named(&self, what: Named, value: Option<String>) -> Option<String> {
        value.map(|value| if self.hides(what) { HIDDEN.to_owned() } else { value })
    }

    /// Whether id or type come from where something is hidden.
    pub(super) fn hides(&self, what: Named) -> bool {
        let Self(Some(Hidden { source, mask })) = self else { return false };
        let Some(source) = source else { return mask.says_anything() };
        let hides = |place: &Selector| match place {
            Selector::Header(name) => mask.names_header(name),
            Selector::Pointer(pointer) => mask.hides_pointer(pointer),
            // What is in a token or a form has no pointer: where anything of bodies is hidden, that may be.
            Selector::Claim(_) | Selector::Form(_) | Selector::All(_) => mask.hides_body(),
        };
        match what {
            Named::Id => source.verifier.id_places().any(hides),
            Named::Kind => source.verifier.kind_places().any(hides),
        }
    }

    /// What stands for the value of a header field; `None`: it may be seen. `name`: lower case.
    pub(super) fn header(&self, name: &str, value: &[u8]) -> Option<String> {
        let Self(Some(hidden)) = self else { return None };
        let proves = |source: &Source| source.verifier.scheme().is_some_and(|scheme| scheme.proves_by(name));
        let hides = hidden.mask.hides_header(name) || hidden.source.is_some_and(proves);
        hides.then(|| format!("{HIDDEN} ({} bytes)", value.len()))
    }

    /// Path and query; of the query the names only, since some providers put a token there.
    pub(super) fn target(&self, target: String) -> String {
        let Some((path, query)) = target.split_once('?').filter(|_| self.0.is_some()) else { return target };
        let shown: Vec<String> = query.split('&').map(without_value).collect();
        format!("{path}?{}", shown.join("&"))
    }

    pub(super) fn peer(&self, peer: IpAddr) -> String {
        let hides = self.0.as_ref().is_some_and(|hidden| hidden.mask.hides_peer());
        if hides { HIDDEN.to_owned() } else { peer.to_string() }
    }

    /// The key is a value of the request. Which one is a matter of the destination, so it is hidden where anything is.
    pub(super) fn order_key(&self, key: Option<String>) -> Option<String> {
        let hides = |hidden: &Hidden<'_>| hidden.mask.says_anything() || hidden.source.is_none();
        key.map(|key| if self.0.as_ref().is_some_and(hides) { HIDDEN.to_owned() } else { key })
    }

    /// What an application answered. It may repeat what it got, anywhere and in any form: where parts of bodies are hidden, all of it is.
    pub(super) fn answer(&self, body: &[u8]) -> String {
        let hides = |hidden: &Hidden<'_>| hidden.mask.hides_body() || hidden.source.is_none();
        match self.0.as_ref().is_some_and(hides) && !body.is_empty() {
            true => HIDDEN.to_owned(),
            false => String::from_utf8_lossy(body).into_owned(),
        }
    }

    /// A request's body. What cannot be masked is not shown.
    pub(super) fn body(&self, body: Bytes) -> Result<ShownBody, Problem> {
        let Self(Some(hidden)) = self else { return Ok(ShownBody { bytes: body, masked: None }) };
        let Some(source) = hidden.source else {
            return Err(Problem::forbidden(
                "its source is gone, and with it what is to be masked: this token may not see its body",
            ));
        };
        if source.verifier.scheme().is_some_and(|scheme| scheme.shows_secret_in_form()) {
            return Err(Problem::forbidden("its provider puts the source's secret into the body: this token may not see it"));
        }
        if !hidden.mask.hides_body() {
            return Ok(ShownBody { bytes: body, masked: None });
        }
        match hidden.mask.body(&body) {
            Ok((masked, count)) => Ok(ShownBody { bytes: masked.into(), masked: Some(count) }),
            Err(_) => Err(Problem::forbidden(
                "parts of this source's bodies are masked, and this one is not JSON: this token may not see it",
            )),
        }
    }
}

/// A parameter without its value. What has no name may be a value.
fn without_value(parameter: &str) -> String {
    match parameter.split_once('=') {
        _ if parameter.is_empty() => String::new(),
        Some((name, "")) => format!("{name}="),
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None => HIDDEN.to_owned(),
    }
}

impl ShownBody {
    /// Whether it is as it came.
    pub(super) fn is_whole(&self) -> bool {
        self.masked.is_none()
    }

    /// As an answer. The bytes came from outside: whatever they are, a browser saves them and interprets nothing.
    pub(super) fn saved_as(self, id: EventId) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.bin\"")),
        ];
        let masked = self.masked.map(|count| [(MASKED, count.to_string())]);
        match masked {
            Some(masked) => (headers, masked, self.bytes).into_response(),
            None => (headers, self.bytes).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_shows_names_only() {
        let mask = Mask::default();
        let veil = Veil(Some(Hidden { source: None, mask: &mask }));
        for (target, shown) in [
            ("/in/x", "/in/x"),
            ("/in/x?", "/in/x?"),
            ("/in/x?a=1&b=&c&=d&e=f=g", "/in/x?a=***&b=&***&=***&e=***"),
            ("/in/x?a=?", "/in/x?a=***"),
        ] {
            assert_eq!(veil.target(target.to_owned()), shown);
            assert_eq!(Veil(None).target(target.to_owned()), target);
        }
    }
}
