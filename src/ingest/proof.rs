//! The proof of who sent a request, with what its provider publishes.

use super::gate::{Entry, Gate};
use crate::net::published::Supply;
use crate::record::Received;
use crate::signature::{Reason, Refused, Verified};

/// Documents that one request can wait for, one after the other: the keys, a newer copy of them, and what another request fetched.
const ROUNDS_MAX: usize = 3;

/// Proves who sent it. What the provider publishes is fetched where it is missing, and a newer copy where the request names a key
/// that is not in it.
pub(super) async fn verify(gate: &Gate, entry: &Entry, received: Received) -> Result<Verified, Refused> {
    let verifier = gate.arming.verifier(&entry.source);
    let mut received = received;
    let mut rounds = 0..ROUNDS_MAX;
    loop {
        let documents = gate.outside.published.documents();
        let mut refused = match verifier.verify_with(received, &documents) {
            Ok(verified) => return Ok(verified),
            Err(refused) => *refused,
        };
        let supply = match &refused.needed {
            Some(needed) if rounds.next().is_some() => gate.outside.published.supply(needed, &documents).await,
            _ => Supply::Current,
        };
        if supply != Supply::Changed {
            // A key that is not in an old copy may be in the newer one that cannot be had.
            if supply == Supply::Unknown {
                refused.reason = Reason::KeyUnavailable;
            }
            return Err(refused);
        }
        received = refused.received;
    }
}
