//! What a handshake's request gets.

use http::StatusCode;

use super::{Confirmation, HandshakeAnswer};

/// What a handshake's request gets.
pub type Reply = Result<Answering, NoAnswer>;

/// How a handshake is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answering {
    /// At once.
    Now(HandshakeAnswer),
    /// Once the visit was answered 2xx. Without that the provider shall come again.
    Confirmed(Confirmation, HandshakeAnswer),
}

/// What is told to whoever brings a secret that nobody waits for.
pub const NOT_ARMED: NoAnswer = NoAnswer::new(StatusCode::UNAUTHORIZED, "handshake_not_armed");

/// A request that is a handshake and is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// The status of its refusal.
    pub status: StatusCode,
    /// The word for it, in metrics and logs.
    pub reason: &'static str,
}

impl NoAnswer {
    pub(super) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

impl Answering {
    /// The answer, whenever it is given.
    pub fn answer(&self) -> &HandshakeAnswer {
        match self {
            Self::Now(answer) | Self::Confirmed(_, answer) => answer,
        }
    }
}
