//! The proof of who sent a request, with what its provider publishes.

use std::sync::Arc;

use super::body::Share;
use super::gate::{Entry, Gate};
use crate::net::published::Supply;
use crate::record::Received;
use crate::signature::{Documents, Reason, Refused, Verified};

/// Documents that one request can wait for, one after the other: the keys, a newer copy of them, and what another request fetched.
const ROUNDS_MAX: usize = 3;
/// A larger body is judged on a thread of its own. Its hash takes longer than a hand-over, and everybody who shares a thread with its
/// connection would wait for it.
const JUDGED_HERE_BYTES_MAX: usize = 256 * 1024;

/// Proves who sent it. What the provider publishes is fetched where it is missing, and a newer copy where the request names a key
/// that is not in it. `share`: what its body has of the memory of all bodies, held while anybody works on it.
pub(super) async fn verify(gate: &Gate, entry: &Entry, received: Received, share: &mut Share) -> Result<Verified, Refused> {
    let mut received = received;
    let mut rounds = 0..ROUNDS_MAX;
    loop {
        let documents = gate.outside.published.documents();
        let judged = if received.body.len() > JUDGED_HERE_BYTES_MAX {
            // On the heap: whoever sends little need not have room for it.
            Box::pin(judge_apart((gate, entry), received, documents.clone(), share)).await
        } else {
            gate.arming.verifier(&entry.source).verify_with(received, &documents)
        };
        let mut refused = match judged {
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

/// Judges it on a thread where nobody else waits. Whoever sent it may go away meanwhile; its share of the memory is let go of afterwards.
async fn judge_apart(
    (gate, entry): (&Gate, &Entry),
    received: Received,
    documents: Arc<Documents>,
    share: &mut Share,
) -> Result<Verified, Box<Refused>> {
    let (arming, source, given) = (gate.arming.clone(), entry.source.clone(), received.clone());
    let held = std::mem::take(share);
    let work = move || (arming.verifier(&source).verify_with(given, &documents), held);
    let judged = tokio::task::spawn_blocking(work).await.map(|(judged, held)| {
        *share = held;
        judged
    });
    judged.unwrap_or_else(|error| {
        // Nothing is known of it then, and it may come again.
        tracing::error!(source = %entry.source.name, %error, "a judgement broke off");
        Err(Box::new(Refused { received, reason: Reason::KeyUnavailable, needed: None }))
    })
}
