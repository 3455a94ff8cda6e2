//! One HTTP try of a delivery, and what came of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// One try of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counted from 1 over the delivery's whole life.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, to the last byte of the answer that was read.
    pub duration_ms: u64,
    /// What came of it.
    pub outcome: Outcome,
}

impl Attempt {
    /// Whether the relay itself cut it off.
    pub fn is_interrupted(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { failure: Failure::Interrupted, .. })
    }
}

/// What came of an attempt: the application's answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The application answered.
    Answered(Answer),
    /// No whole answer came.
    Failed {
        /// The kind of trouble.
        failure: Failure,
        /// In words, for people.
        detail: String,
    },
}

/// The application's answer, as much of it as is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Its header fields; values that are not UTF-8 are kept lossily.
    pub headers: Vec<(String, String)>,
    /// The first [`Answer::BODY_BYTES_MAX`] bytes of its body.
    pub body: Bytes,
    /// Whether headers or body were cut.
    pub truncated: bool,
}

impl Answer {
    /// Enough to read an error page's message; what an attempt may add to the store stays small.
    pub const BODY_BYTES_MAX: usize = 2048;
    /// The header fields that are kept: enough to understand an answer.
    pub const HEADERS_MAX: usize = 32;
    /// The bytes of a header value that are kept.
    pub const HEADER_VALUE_BYTES_MAX: usize = 256;

    /// Whether it is a 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why an attempt brought no whole answer. The words are those of the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The destination's host has no address.
    Dns,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    /// The attempt's time was over.
    Timeout,
    /// The connection ended before the answer did.
    Reset,
    /// The answer is not HTTP.
    Protocol,
    /// The relay ended during the attempt.
    Interrupted,
}

impl Failure {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Connect, Self::Dns, Self::Tls, Self::Timeout, Self::Reset, Self::Protocol, Self::Interrupted];

    /// The word for it in the API, in logs and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Interrupted => "interrupted",
        }
    }
}
