//! Refusals that are counted together, so that guessing a million times is a line and not a million. Bounded in memory, and so in
//! what it makes others write.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Deed, Outcome};
use crate::time::Timestamp;

/// So long refusals of one kind are counted together.
pub(super) const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Kinds in one window; the others are one kind.
pub(super) const KINDS_MAX: usize = 32;
/// What all kinds are called for which there is no room.
pub(super) const VARIOUS: &str = "various";

/// What was refused in this window.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    began: Option<Timestamp>,
    kinds: HashMap<Kind, Counted>,
    various: u64,
}

type Kind = (Option<String>, Option<IpAddr>, String, u16);

#[derive(Debug)]
struct Counted {
    deed: Deed,
    outcome: Outcome,
    /// Behind the first, which was written at once.
    more: u64,
}

impl Refusals {
    /// Counts one; whether it is the first of its kind.
    pub(super) fn count(&mut self, deed: &Deed, outcome: &Outcome, now: Timestamp) -> bool {
        self.began.get_or_insert(now);
        let kind = (deed.who.clone(), deed.peer.map(network), deed.action.clone(), outcome.status);
        if let Some(counted) = self.kinds.get_mut(&kind) {
            counted.more += 1;
            return false;
        }
        if self.kinds.len() >= KINDS_MAX {
            self.various += 1;
            return false;
        }
        self.kinds.insert(kind, Counted { deed: deed.clone(), outcome: outcome.clone(), more: 0 });
        true
    }

    /// What was counted, where the window is over, or in any case (`all`). Then a new one begins.
    pub(super) fn counted(&mut self, now: Timestamp, all: bool) -> Vec<(Deed, Outcome, u64)> {
        let is_over = |began: Timestamp| now.since(began) >= WINDOW || now < began;
        if !all && !self.began.is_some_and(is_over) {
            return Vec::new();
        }
        let Self { kinds, various, .. } = std::mem::take(self);
        let counted = kinds.into_values().filter(|counted| counted.more > 0);
        let mut all: Vec<_> = counted.map(|Counted { deed, outcome, more }| (deed, outcome, more)).collect();
        if various > 0 {
            let detail = Some(format!("refusals of more than {KINDS_MAX} kinds"));
            all.push((Deed { action: VARIOUS.to_owned(), ..Deed::default() }, Outcome { status: 401, detail }, various));
        }
        all
    }
}

/// What one guesser has: an IPv4 address, or a whole /64 of IPv6.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (!0 << 64)).into()),
    }
}
