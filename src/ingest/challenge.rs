//! Handshakes: challenges of a provider that the relay answers by itself. They never become events.

use std::net::IpAddr;

use super::arming::NotTaken;
use super::gate::{Entry, Gate};
use super::reply::Refusal;
use crate::net::fetch::host_of;
use crate::signature::Secret;
use crate::signature::handshake::{Answering, HandshakeAnswer, NOT_ARMED, NoAnswer, Reply};
use crate::time::Timestamp;

/// Why a handshake was not answered whose provider did not take the confirmation, in metrics.
const UNCONFIRMED: &str = "handshake_unconfirmed";

/// What became of a handshake, logged where it was refused. Where its provider waits for a visit, that comes first.
pub(super) async fn answer(gate: &Gate, entry: &Entry, peer: IpAddr, reply: Reply) -> Result<HandshakeAnswer, Refusal> {
    let source = &entry.source.name;
    let answering = reply.map_err(|NoAnswer { status, reason }| {
        entry.metrics.refused(reason);
        tracing::info!(%source, %peer, reason, "a handshake was not answered");
        Refusal::Handshake(status)
    })?;
    let (confirmation, answer) = match answering {
        Answering::Now(answer) => return Ok(answer),
        Answering::Confirmed(confirmation, answer) => (confirmation, answer),
    };
    // The rest of the address is what confirms, so only its host is shown.
    let host = host_of(confirmation.address());
    match gate.outside.confirmer.confirm(&confirmation).await {
        Ok(()) => {
            tracing::info!(%source, host, "a subscription was confirmed");
            Ok(answer)
        }
        Err(failure) => {
            entry.metrics.refused(UNCONFIRMED);
            tracing::warn!(%source, host, %failure, "a subscription could not be confirmed");
            Err(Refusal::Unconfirmed)
        }
    }
}

/// Takes the secret that a request brings, where the source is armed.
pub(super) async fn take_secret(
    gate: &Gate,
    entry: &Entry,
    brought: Result<(Secret, HandshakeAnswer), NoAnswer>,
    at: Timestamp,
) -> Result<Reply, Refusal> {
    let (secret, answer) = match brought {
        Ok(brought) => brought,
        Err(refused) => return Ok(Err(refused)),
    };
    let source = &entry.source.name;
    match gate.arming.take(source, secret, at).await {
        Ok(()) => {
            tracing::warn!(%source, "a secret was taken from a request, since the source was armed");
            Ok(Ok(Answering::Now(answer)))
        }
        Err(NotTaken::Store(error)) => {
            tracing::error!(%source, %error, "a secret could not be kept");
            Err(Refusal::StoreFailed)
        }
        Err(NotTaken::Closed | NotTaken::Unusable) => Ok(Err(NOT_ARMED)),
    }
}
