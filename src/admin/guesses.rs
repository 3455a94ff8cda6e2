//! Makes guessing slow: each wrong secret of a peer makes its next try wait longer. A rule and a bounded table, nothing more.
//!
//! A try counts as wrong from its beginning, and takes its place in the peer's line. So many tries at once wait one behind the
//! other, and ending the connection before the answer wins nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::Timestamp;

/// Everybody mistypes.
const FREE: u32 = 3;
/// The first wait; it doubles.
const WAIT_BASE: Duration = Duration::from_millis(250);
/// The longest wait: less than a person's patience, and a long time for a program that guesses.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// So long after its last try a peer has a clean slate.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);
/// Peers that are remembered. Beyond it the one whose last try is longest ago is forgotten.
const PEERS_MAX: usize = 1024;

/// Who guessed wrong lately.
#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<IpAddr, Peer>>);

#[derive(Clone, Copy)]
struct Peer {
    wrong: u32,
    /// When its next try may be looked at.
    free_at: Timestamp,
}

/// The line is too long: come back after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany(pub(super) Duration);

impl Guesses {
    /// A try of `peer` begins: how long it has to wait before it is looked at.
    pub(super) fn begin(&self, peer: IpAddr, now: Timestamp) -> Result<Duration, TooMany> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = network(peer);
        let known = peers.get(&key).filter(|peer| now < peer.free_at.after(FORGOTTEN_AFTER));
        let Peer { wrong, free_at } = known.copied().unwrap_or(Peer { wrong: 0, free_at: now });
        let wait = free_at.since(now);
        if wait > WAIT_MAX {
            return Err(TooMany(wait));
        }
        if known.is_none() && peers.len() >= PEERS_MAX {
            let oldest = peers.iter().min_by_key(|(_, peer)| peer.free_at).map(|(key, _)| *key);
            oldest.map(|key| peers.remove(&key));
        }
        let wrong = wrong.saturating_add(1);
        peers.insert(key, Peer { wrong, free_at: free_at.max(now).after(wait_after(wrong)) });
        Ok(wait)
    }

    /// The try was right.
    pub(super) fn right(&self, peer: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&network(peer));
    }
}

/// How long the next try waits after so many wrong ones.
fn wait_after(wrong: u32) -> Duration {
    match wrong.checked_sub(FREE) {
        None | Some(0) => Duration::ZERO,
        // The shift is bounded, since the wait is long before.
        Some(over) => (WAIT_BASE * (1 << (over - 1).min(16))).min(WAIT_MAX),
    }
}

/// What one guesser has: an IPv4 address, or a whole /64 of IPv6.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (!0 << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn waits(guesses: &Guesses, peer: IpAddr, tries: usize) -> Vec<u64> {
        (0..tries).map(|_| guesses.begin(peer, NOW).map_or(u64::MAX, |wait| u64::try_from(wait.as_millis()).unwrap())).collect()
    }

    #[test]
    fn tries_at_once_wait_one_behind_the_other() {
        let guesses = Guesses::default();
        assert_eq!(waits(&guesses, PEER, 10), [0, 0, 0, 0, 250, 750, 1750, 3750, 7750, u64::MAX]);
        assert_eq!(guesses.begin(PEER, NOW), Err(TooMany(Duration::from_millis(15_750))));
        assert_eq!(waits(&guesses, "192.0.2.1".parse().unwrap(), 1), [0], "another peer is not held up");
    }

    #[test]
    fn a_right_try_and_time_clear_the_slate() {
        let guesses = Guesses::default();
        waits(&guesses, PEER, 6);
        guesses.right(PEER);
        assert_eq!(waits(&guesses, PEER, 5), [0, 0, 0, 0, 250]);
        let later = NOW.after(FORGOTTEN_AFTER + WAIT_MAX);
        assert_eq!((0..4).map(|_| guesses.begin(PEER, later)).collect::<Vec<_>>(), [Ok(Duration::ZERO); 4]);
    }

    #[test]
    fn a_wait_grows_to_a_bound() {
        assert_eq!([0, 3, 4, 5, 9, u32::MAX].map(|n| wait_after(n).as_millis()), [0, 0, 250, 500, 8000, 8000]);
    }

    #[test]
    fn a_guesser_with_many_addresses_is_one_and_the_table_is_bounded() {
        let guesses = Guesses::default();
        for n in 0..2000u32 {
            guesses.begin(IpAddr::V4(n.into()), NOW).unwrap();
            guesses.begin(IpAddr::V6((0x2001_0db8 << 96 | u128::from(n)).into()), NOW.before(WAIT_MAX)).ok();
        }
        assert_eq!(guesses.0.lock().unwrap().len(), PEERS_MAX);
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::2:3".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
