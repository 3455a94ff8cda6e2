//! Why a request was not believed. For logs, metrics, the quarantine and `verify`; never for the sender.

use std::fmt;

use super::Needed;
use crate::record::Received;

/// A request that was refused, given back so that it can be kept aside, and why.
#[derive(Debug)]
pub struct Refused {
    /// The request.
    pub received: Received,
    /// Why it was refused.
    pub reason: Reason,
    /// What could change the judgement, if it were fetched.
    pub needed: Option<Needed>,
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
    /// A document with the provider's keys cannot be had now: nothing is known of the request, and it may come again.
    KeyUnavailable,
    /// The request names a key that the provider does not have.
    UnknownKey,
    /// A certificate is not one, is out of date, has another name, or leads to no root that counts.
    BadCertificate,
    /// What was signed is not what the scheme demands.
    BadClaim,
    /// It was signed by the provider, but for somebody else.
    OtherRecipient,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::MissingHeader,
        Self::BadEncoding,
        Self::UnknownVersion,
        Self::MissingTimestamp,
        Self::BadTimestamp,
        Self::TimestampTooOld,
        Self::TimestampInFuture,
        Self::MissingPart,
        Self::NoSecret,
        Self::Mismatch,
        Self::KeyUnavailable,
        Self::UnknownKey,
        Self::BadCertificate,
        Self::BadClaim,
        Self::OtherRecipient,
    ];

    /// The reason of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

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
            Self::KeyUnavailable => "key_unavailable",
            Self::UnknownKey => "unknown_key",
            Self::BadCertificate => "bad_certificate",
            Self::BadClaim => "bad_claim",
            Self::OtherRecipient => "other_recipient",
        }
    }
}

impl fmt::Display for Reason {
    /// A sentence for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingHeader => "the signature is missing or empty",
            Self::BadEncoding => "the signature, or a part that it covers, cannot be read or is there twice",
            Self::UnknownVersion => "no signature is of a version that this provider's scheme knows",
            Self::MissingTimestamp => "the timestamp is missing",
            Self::BadTimestamp => "the timestamp is not one",
            Self::TimestampTooOld => "the timestamp is older than the scheme allows",
            Self::TimestampInFuture => "the timestamp is further ahead than the scheme allows",
            Self::MissingPart => "a part of the request that the signature covers is missing",
            Self::NoSecret => "no secret is valid at this time",
            Self::Mismatch => "no secret makes this signature from these bytes: wrong secret, or the request was changed",
            Self::KeyUnavailable => "the provider's keys cannot be had now; this says nothing of the request",
            Self::UnknownKey => "the request names a key that the provider does not have",
            Self::BadCertificate => "the certificate is out of date, of another name, or leads to no root that counts",
            Self::BadClaim => "what was signed is not what the scheme demands",
            Self::OtherRecipient => "it was signed by the provider, but for somebody else",
        })
    }
}
