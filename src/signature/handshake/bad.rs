//! Why a handshake cannot be used, as `check` says it.

use super::HANDSHAKES_MAX;
use crate::signature::BadSecret;

/// A handshake that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHandshake {
    /// A header's name or a JSON pointer is none, or the header is not for it.
    #[error("{0:?} cannot stand there")]
    Name(String),
    /// A setting that no source has.
    #[error(
        "{0:?} names no setting: write \"secret:verify_token\", or \"list:\" and one of topics, client_ids, allowed_origins, channel_ids, subscription_ids, app_ids"
    )]
    Setting(String),
    /// Too many conditions.
    #[error("there are more than {0} conditions")]
    Conditions(usize),
    /// A method after `when`.
    #[error("`method` belongs to `when`")]
    Method,
    /// Nothing says what the handshake is.
    #[error("`when` says nothing: every event would be this handshake")]
    Everything,
    /// Where the value is.
    #[error("`value` and `confirm` need one of header, query and json each")]
    Place,
    /// How long the value may be.
    #[error("`value.bytes_max` must be between 1 and {0}")]
    BytesMax(usize),
    /// Neither an answer nor a refusal.
    #[error("it needs `respond`, or `refuse` with a status")]
    Nothing,
    /// The answer's status.
    #[error("`respond.status` must be between 200 and 299")]
    Status,
    /// The refusal's status.
    #[error("`refuse` must be between 400 and 499")]
    Refuse,
    /// Two bodies.
    #[error("`respond` has both text and json")]
    Both,
    /// A body where there is none.
    #[error("an answer of that status has no body")]
    NoBody,
    /// A secret that comes in a way that cannot be meant.
    #[error(
        "`take` needs a POST with a value, a pattern for it, and respond without a hash; it is for senders that cannot be proved"
    )]
    Take,
    /// An address rule that is none.
    #[error("{0:?} is no rule for an address: write all of it but its query, as https://HOST/PATH")]
    Address(String),
    /// No address rule, or too many.
    #[error("`confirm.addresses` must have between 1 and {0} addresses")]
    Addresses(usize),
    /// A visit that cannot be meant.
    #[error("`confirm` needs respond, and a sender who is proved: neither after = \"nothing\" nor take")]
    Confirm,
    /// JSON in JSON in JSON.
    #[error("`respond.json` is too deep")]
    Deep,
    /// A placeholder where it cannot be.
    #[error("`respond` would show a secret, or hash a hash")]
    Shown,
    /// `{value}` without a value.
    #[error("`respond` needs a value: write value = {{ query = \"NAME\" }}")]
    NoValue,
    /// A hash that is not shown, or shown and not written.
    #[error("`{{hmac}}` and `{{digest}}` belong to respond.hmac and respond.digest, each to its own")]
    Hash,
    /// Strangers could have anything signed.
    #[error(
        "an answer with a secret in it needs value.pattern, of letters, digits, '-', '_' and '.' only: else anybody could have a forged event signed"
    )]
    Oracle,
}

/// Handshakes that a source cannot have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Too many of them.
    #[error("there are more than {HANDSHAKES_MAX}")]
    Many,
    /// `respond.hmac` without a secret to sign with.
    #[error("respond.hmac needs a provider that signs with a shared secret")]
    NoKey,
    /// `sealed` where nothing is.
    #[error("sealed needs a provider whose scheme says how bodies are encrypted")]
    NotSealed,
    /// `confirm` where anybody can send.
    #[error("confirm needs a provider whose requests are proved: a POST, or after = \"verified\"")]
    Unproved,
    /// `take` without a scheme that could use the secret.
    #[error("take needs a provider that signs with a secret")]
    NoScheme,
    /// A secret that is not what the scheme needs.
    #[error("a secret cannot be used: {0}")]
    Secret(BadSecret),
}
