//! Why a request was not believed. For logs, metrics, the quarantine and `verify`; never for the sender.

use crate::record::Received;

/// A request that was refused, given back so that it can be kept aside, and why.
#[derive(Debug)]
pub struct Refused {
    /// The request.
    pub received: Received,
    /// Why it was refused.
    pub reason: Reason,
}

/// Why a request was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The header (or field) that holds the signature is missing or empty.
    MissingHeader,
    /// The signature, or a part that it covers, cannot be read.
    BadEncoding,
    /// There are signatures, but none of a version that this scheme knows.
    UnknownVersion,
    /// The scheme has a timestamp and the request has none.
    MissingTimestamp,
    /// The timestamp is not one.
    BadTimestamp,
    /// The timestamp is older than the tolerance.
    TimestampTooOld,
    /// The timestamp is further ahead than the tolerance.
    TimestampInFuture,
    /// A part of the request that the signature covers is missing.
    MissingPart,
    /// No secret of the source is valid at this time.
    NoSecret,
    /// No secret makes this signature from these bytes.
    Mismatch,
}

impl Reason {
    /// The word for it in logs, metrics and `verify`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingHeader => "missing_header",
            Self::BadEncoding => "bad_encoding",
            Self::UnknownVersion => "unknown_version",
            Self::MissingTimestamp => "missing_timestamp",
            Self::BadTimestamp => "bad_timestamp",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::MissingPart => "missing_part",
            Self::NoSecret => "no_secret",
            Self::Mismatch => "mismatch",
        }
    }
}
