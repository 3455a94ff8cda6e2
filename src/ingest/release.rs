//! The way out of quarantine: requests are judged again with the present secrets, and what is believed now becomes an event of the
//! time at which it came.

use super::body::Share;
use super::gate::{Entry, Gate};
use super::handler::{Line, intake};
use super::proof::verify;
use super::spans::Noted;
use crate::record::EventId;
use crate::signature::Verified;
use crate::store::{Error, Kept, QuarantineFilter};

/// Ids that are read at once.
const BATCH: usize = 256;

/// What is judged again.
#[derive(Clone, Debug)]
pub enum Which {
    /// These requests.
    Ids(Vec<EventId>),
    /// All that fit.
    Fitting(QuarantineFilter),
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Requests that are believed now. They have left the quarantine.
    pub released: u64,
    /// Requests that stay.
    pub still_refused: u64,
}

impl Line {
    /// Judges quarantined requests again, oldest first. `vouched`: a person says that they are what they claim to be.
    pub async fn release(&self, which: Which, vouched: bool) -> Result<Released, Error> {
        let mut done = Released::default();
        let gate = self.gate();
        for id in self.chosen(which) {
            let kept = match self.quarantine.read(id) {
                Ok(Some(kept)) => kept,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%id, %error, "a quarantined request cannot be read");
                    done.still_refused += 1;
                    continue;
                }
            };
            match self.admit(&gate, kept, vouched).await? {
                true => {
                    // Where it cannot be removed it is released once more, and known by its id then.
                    let _ = self.quarantine.remove(id).map_err(|error| tracing::warn!(%id, %error, "a released request stays"));
                    done.released += 1;
                }
                false => done.still_refused += 1,
            }
        }
        Ok(done)
    }

    /// The ids, oldest first. What comes from now on is not among them.
    fn chosen(&self, which: Which) -> Vec<EventId> {
        let mut ids = match which {
            Which::Ids(ids) => ids,
            Which::Fitting(filter) => {
                let mut ids: Vec<EventId> = Vec::new();
                loop {
                    let page = self.quarantine.list(&filter, ids.last().copied(), BATCH);
                    ids.extend(page.iter().map(|found| found.id));
                    if page.len() < BATCH {
                        break ids;
                    }
                }
            }
        };
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Whether it is believed now, and then it is an event.
    async fn admit(&self, gate: &Gate, kept: Kept, vouched: bool) -> Result<bool, Error> {
        let Some(entry) = gate.sources.values().find(|entry| entry.source.name == kept.source) else { return Ok(false) };
        let Some(verified) = self.judge(gate, entry, kept, vouched).await else { return Ok(false) };
        if entry.source.handshakes.after_proof(&verified).is_none() {
            let mut noted = Noted::again(&gate.spans, &verified);
            noted.iter_mut().for_each(|noted| noted.commits());
            let appended = self.append(entry, intake(entry, verified)).await?;
            if let Some(mut noted) = noted {
                noted.committed();
                noted.released(&gate.spans, &entry.source, &appended, self.now_ns());
            }
        }
        Ok(true)
    }

    async fn judge(&self, gate: &Gate, entry: &Entry, kept: Kept, vouched: bool) -> Option<Verified> {
        match vouched {
            true => Some(gate.arming.verifier(&entry.source).vouched_for(kept.received)),
            false => verify(gate, entry, kept.received, &mut Share::default()).await.ok(),
        }
    }
}
