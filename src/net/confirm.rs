//! Subscriptions that a provider wants confirmed by a visit to an address of its own (Amazon SNS): one `GET`, whose answer says whether
//! the provider took it.
//!
//! Addresses come from proved requests, and only as a handshake's rule rebuilt them (a [`Confirmation`] has no other maker).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::fetch::{Failure, Fetcher, host_of};
use crate::signature::handshake::Confirmation;
use crate::time::{Clock, Timestamp};

/// A visit may take so long: SNS waits 15 seconds for the whole answer, of which its certificate may have taken some.
const VISIT_TIME: Duration = Duration::from_secs(8);
/// Visits are counted for so long.
const ROUND: Duration = Duration::from_secs(60);
/// Visits to one host within that time. A request that was proved once can be sent again by whoever saw it.
const HOST_VISITS_MAX: u32 = 20;

/// Visits what confirms.
pub struct Confirmer {
    fetcher: Fetcher,
    clock: Clock,
    /// Since when, and how many, by host.
    visits: Mutex<HashMap<String, (Timestamp, u32)>>,
}

impl Confirmer {
    /// Nothing was visited yet.
    pub fn new(fetcher: Fetcher, clock: Clock) -> Self {
        Self { fetcher, clock, visits: Mutex::default() }
    }

    /// The same under other settings; what was visited counts.
    pub fn renewed(&self, fetcher: Fetcher) -> Self {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { fetcher, clock: self.clock, visits: Mutex::new(visits) }
    }

    /// Visits the address, and succeeds where the provider answered 2xx.
    pub async fn confirm(&self, confirmation: &Confirmation) -> Result<(), Failure> {
        let address = confirmation.address();
        if !self.may_visit(&host_of(address)) {
            return Err(Failure::Often);
        }
        tokio::time::timeout(VISIT_TIME, self.fetcher.visit(address)).await.unwrap_or(Err(Failure::Time))
    }

    fn may_visit(&self, host: &str) -> bool {
        let now = self.clock.now();
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.retain(|_, (since, _)| now.since(*since) < ROUND);
        let (_, count) = visits.entry(host.to_owned()).or_insert((now, 0));
        *count += 1;
        *count <= HOST_VISITS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls;

    #[tokio::test(start_paused = true)]
    async fn one_host_is_not_visited_often() {
        tls::install_provider();
        let clock = Clock::following_tokio(Timestamp::from_ms(1_790_000_000_000));
        let confirmer = Confirmer::new(Fetcher::new(tls::client_config(None).unwrap(), HashMap::new()), clock);
        let visits = |host: &str| (0..100).filter(|_| confirmer.may_visit(host)).count();
        assert_eq!((visits("a.example"), visits("a.example"), visits("b.example")), (20, 0, 20));
        tokio::time::advance(ROUND).await;
        assert_eq!(visits("a.example"), 20);
        assert_eq!(confirmer.visits.lock().unwrap().len(), 1);
    }
}
