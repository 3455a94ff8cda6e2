//! The proof that a request was verified.

use std::borrow::Cow;

use super::Verifier;
use super::body::Body;
use crate::record::Received;

/// A request whose sender was proved (or whose source says that it needs no proof).
///
/// Only this module's siblings can make one, and the store takes nothing else: unverified bytes cannot become an event.
#[derive(Debug)]
pub struct Verified {
    received: Received,
    provider_event_id: Option<String>,
    kind: Option<String>,
}

impl Verified {
    pub(in crate::signature) fn new(received: Received, provider_event_id: Option<String>, kind: Option<String>) -> Self {
        Self { received, provider_event_id, kind }
    }

    /// The request.
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// The provider's own id of the event.
    pub fn provider_event_id(&self) -> Option<&str> {
        self.provider_event_id.as_deref()
    }

    /// The provider's word for what happened.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The request, the provider's event id, and its word for what happened.
    pub fn into_parts(self) -> (Received, Option<String>, Option<String>) {
        (self.received, self.provider_event_id, self.kind)
    }
}

impl Verifier {
    /// Takes a request for proved because a person says so, who has to be named in the audit log: its id and type are read as after
    /// a proof.
    pub fn vouched_for(&self, received: Received) -> Verified {
        let (id, kind) = self.ready.first().map(|ready| ready.naming.read(&self.view(&received), None)).unwrap_or_default();
        Verified::new(received, id, kind)
    }

    /// A proved body without the compression that its signature covers. What cannot be unpacked stays as it came.
    pub fn content<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        Body::new(body, self.gunzip).whole().unwrap_or(Cow::Borrowed(body))
    }

    /// Whether its events can have a type.
    pub fn names_type(&self) -> bool {
        self.ready.iter().any(|ready| ready.naming.has_kind())
    }
}
