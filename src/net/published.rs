//! What providers publish (sets of keys, certificates), fetched over TLS and kept. A request waits for it only a moment; what was
//! fetched once is used for a day, even if its provider cannot be reached.
//!
//! Addresses come from schemes only (a [`Needed`] has no other maker). Redirects are not followed, and a name that leads to an address
//! that is not public is not connected to, unless it was configured.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

use super::fetch::{Failure, Fetcher, host_of};
use crate::signature::{Documents, Needed};
use crate::time::{Clock, Timestamp};

/// So long a request waits for a document: providers give three seconds, some one.
const WAIT: Duration = Duration::from_millis(1500);
/// So long a fetch may take; its outcome is for the next request.
const FETCH_TIME: Duration = Duration::from_secs(10);
/// What could not be had is not asked for again before.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// A copy that lacks a key is not asked for again before: ids of keys are what a sender likes.
const NEWER_PAUSE: Duration = Duration::from_secs(60);
/// A copy is renewed after.
const RENEW_AGE: Duration = Duration::from_secs(3600);
/// A copy is not used any more after.
const STALE_AGE: Duration = Duration::from_secs(24 * 3600);
/// Copies are looked through so often.
const ROUND: Duration = Duration::from_secs(60);
/// Documents that are kept: a source needs one or two.
const DOCUMENTS_MAX: usize = 256;
/// Fetches from one domain within a minute: addresses with ids or regions in them are what a sender likes, too.
const DOMAIN_FETCHES_MAX: u32 = 20;

/// What is published, as far as it was needed.
#[derive(Clone)]
pub struct Published(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    /// What every request of some source needs: fetched at the start, and again until it can be had.
    known: Vec<String>,
    clock: Clock,
    state: Mutex<State>,
}

/// What came of the wish for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// There is something new: it pays to judge again.
    Changed,
    /// What was judged with is what the provider publishes.
    Current,
    /// It cannot be had now.
    Unknown,
}

#[derive(Default)]
struct State {
    documents: Arc<Documents>,
    entries: HashMap<String, Entry>,
    /// Since when, and how many fetches, by domain. Rules fix the ends of names, so there are few.
    fetches: HashMap<String, (Timestamp, u32)>,
}

#[derive(Clone, Default)]
struct Entry {
    copied_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    /// A fetch that is under way: it changes when it ends.
    flight: Option<watch::Receiver<()>>,
}

impl Published {
    /// `known`: addresses that are fetched at once and kept fresh.
    pub fn start(fetcher: Fetcher, known: Vec<String>, clock: Clock) -> Self {
        let published = Self(Arc::new(Inner { fetcher, known, clock, state: Mutex::default() }));
        published.0.look_through();
        tokio::spawn(keep_fresh(Arc::downgrade(&published.0)));
        published
    }

    /// The same documents under other settings. What was being fetched is fetched again where it is still needed.
    pub fn renewed(&self, fetcher: Fetcher, known: Vec<String>) -> Self {
        let state = {
            let state = self.0.lock();
            let entry = |(address, entry): (&String, &Entry)| (address.clone(), Entry { flight: None, ..entry.clone() });
            State {
                documents: state.documents.clone(),
                entries: state.entries.iter().map(entry).collect(),
                fetches: state.fetches.clone(),
            }
        };
        let published = Self(Arc::new(Inner { fetcher, known, clock: self.0.clock, state: Mutex::new(state) }));
        published.0.look_through();
        tokio::spawn(keep_fresh(Arc::downgrade(&published.0)));
        published
    }

    /// What there is.
    pub fn documents(&self) -> Arc<Documents> {
        self.0.lock().documents.clone()
    }

    /// Fetches what a judgement lacked, if that may help, and waits for it a moment. `used`: what was judged with.
    pub async fn supply(&self, needed: &Needed, used: &Arc<Documents>) -> Supply {
        let address = needed.address();
        let flight = {
            let mut state = self.0.lock();
            let flying = state.entries.get(address).and_then(|entry| entry.flight.clone());
            match flying {
                Some(flight) => Some(flight),
                // Another request was faster.
                None if !Arc::ptr_eq(used, &state.documents) => return Supply::Changed,
                None if self.0.may_fetch(&mut state, needed) => Some(self.0.launch(&mut state, address)),
                None => None,
            }
        };
        if let Some(mut flight) = flight {
            // It ends with a change, or by being dropped.
            let _ = tokio::time::timeout(WAIT, flight.changed()).await;
        }
        let state = self.0.lock();
        let entry = state.entries.get(address);
        let (copied, tried) = entry.map_or((None, None), |entry| (entry.copied_at, entry.tried_at));
        match (Arc::ptr_eq(used, &state.documents), copied >= tried) {
            (false, _) => Supply::Changed,
            (true, true) => Supply::Current,
            (true, false) => Supply::Unknown,
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was not tried too recently, and its host not too often.
    fn may_fetch(&self, state: &mut State, needed: &Needed) -> bool {
        let now = self.clock.now();
        let tried = state.entries.get(needed.address()).and_then(|entry| entry.tried_at);
        let pause = if needed.newer() { NEWER_PAUSE } else { RETRY_PAUSE };
        if tried.is_some_and(|at| now.since(at) < pause) {
            return false;
        }
        let (since, count) = state.fetches.entry(domain_of(needed.address())).or_insert((now, 0));
        if now.since(*since) >= Duration::from_secs(60) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= DOMAIN_FETCHES_MAX
    }

    /// Starts a fetch.
    fn launch(self: &Arc<Self>, state: &mut State, address: &str) -> watch::Receiver<()> {
        make_room(state);
        let (done, flight) = watch::channel(());
        let entry = state.entries.entry(address.to_owned()).or_default();
        (entry.flight, entry.tried_at) = (Some(flight.clone()), Some(self.clock.now()));
        let (inner, address) = (self.clone(), address.to_owned());
        tokio::spawn(async move {
            let fetched = match tokio::time::timeout(FETCH_TIME, inner.fetcher.document(&address)).await {
                Ok(fetched) => fetched,
                Err(_) => Err(Failure::Time),
            };
            inner.land(&address, fetched);
            let _ = done.send(());
        });
        flight
    }

    fn land(&self, address: &str, fetched: Result<String, Failure>) {
        let (now, host) = (self.clock.now(), host_of(address));
        let mut state = self.lock();
        let entry = state.entries.entry(address.to_owned()).or_default();
        entry.flight = None;
        match fetched {
            Ok(text) => {
                entry.copied_at = Some(now);
                Arc::make_mut(&mut state.documents).insert(address.to_owned(), &text);
                tracing::debug!(host, bytes = text.len(), "what a provider publishes was fetched");
            }
            // The address may hold an id that a sender chose, so only the host is shown.
            Err(failure) => tracing::warn!(host, %failure, "what a provider publishes cannot be had"),
        }
    }

    /// Renews old copies, fetches what is known to be needed and is not there, and forgets what is too old to be used.
    fn look_through(self: &Arc<Self>) {
        let now = self.clock.now();
        let mut state = self.lock();
        let aged = |entry: &Entry, age| entry.copied_at.is_some_and(|at| now.since(at) >= age);
        let stale: Vec<String> =
            state.entries.iter().filter(|(_, e)| aged(e, STALE_AGE)).map(|(address, _)| address.clone()).collect();
        for address in stale {
            Arc::make_mut(&mut state.documents).forget(&address);
            state.entries.entry(address).or_default().copied_at = None;
        }
        let old = state.entries.iter().filter(|(_, e)| e.flight.is_none() && aged(e, RENEW_AGE)).map(|(address, _)| address);
        let is_missing = |address: &&String| {
            state.entries.get(address.as_str()).is_none_or(|entry| entry.flight.is_none() && entry.copied_at.is_none())
        };
        let due: Vec<String> = old.chain(self.known.iter().filter(is_missing)).cloned().collect();
        for address in due {
            self.launch(&mut state, &address);
        }
        state.fetches.retain(|_, (since, _)| now.since(*since) < ROUND);
    }
}

/// Looks through the copies until nobody uses them any more.
async fn keep_fresh(inner: Weak<Inner>) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    rounds.tick().await;
    loop {
        rounds.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        inner.look_through();
    }
}

/// Forgets the entry that was tried longest ago where there are too many: one without a copy, if there is one.
fn make_room(state: &mut State) {
    while state.entries.len() >= DOCUMENTS_MAX {
        let idle = state.entries.iter().filter(|(_, entry)| entry.flight.is_none());
        let oldest =
            idle.min_by_key(|(_, entry)| (entry.copied_at.is_some(), entry.tried_at)).map(|(address, _)| address.clone());
        let Some(address) = oldest else { return };
        state.entries.remove(&address);
        Arc::make_mut(&mut state.documents).forget(&address);
    }
}

/// The last two labels of an address's host, whatever port follows; the whole of a host that is no name.
fn domain_of(address: &str) -> String {
    let host = Url::parse(address).ok().and_then(|url| url.host().map(|host| host.to_owned()));
    match host {
        Some(url::Host::Domain(name)) => {
            let labels: Vec<&str> = name.rsplit('.').take(2).collect();
            labels.join(".")
        }
        Some(number) => number.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls;

    /// An address that no server can have, so that nothing is connected to.
    const NOWHERE: &str = "about:keys";

    async fn published() -> Published {
        knowing(Vec::new()).await
    }

    async fn knowing(known: Vec<String>) -> Published {
        tls::install_provider();
        let clock = Clock::following_tokio(Timestamp::from_ms(1_790_000_000_000));
        let fetcher = Fetcher::new(tls::client_config(None).unwrap(), HashMap::new());
        Published::start(fetcher, known, clock)
    }

    fn has(published: &Published) -> bool {
        format!("{:?}", published.documents()).contains(NOWHERE)
    }

    /// Lets the fetches that were started end.
    async fn landed(published: &Published) {
        let flight = published.0.lock().entries.get(NOWHERE).and_then(|entry| entry.flight.clone());
        if let Some(mut flight) = flight {
            let _ = flight.changed().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_renewed_after_an_hour_and_forgotten_after_a_day() {
        let published = published().await;
        published.0.land(NOWHERE, Ok("text".to_owned()));
        let tried = || published.0.lock().entries[NOWHERE].tried_at;
        tokio::time::advance(RENEW_AGE - Duration::from_secs(1)).await;
        published.0.look_through();
        assert_eq!((tried(), has(&published)), (None, true));
        tokio::time::advance(Duration::from_secs(1)).await;
        published.0.look_through();
        assert!(tried().is_some());
        landed(&published).await;
        assert!(has(&published), "a copy outlives a fetch that failed");
        tokio::time::advance(STALE_AGE - RENEW_AGE).await;
        published.0.look_through();
        assert!(!has(&published));
    }

    #[tokio::test(start_paused = true)]
    async fn senders_cannot_cause_many_fetches() {
        let published = published().await;
        let missing = |address: &str| Needed::missing(address);
        let may = |needed: &Needed| published.0.may_fetch(&mut published.0.lock(), needed);
        let allowed = (0..100).filter(|i| may(&missing(&format!("https://r{i}.keys.example/{i}")))).count();
        assert_eq!(allowed, DOMAIN_FETCHES_MAX as usize);
        assert!(may(&missing("https://keys.other.example/1")));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(may(&missing("https://keys.example/101")));

        published.0.land(NOWHERE, Ok("text".to_owned()));
        let documents = published.documents();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(published.supply(&missing(NOWHERE), &documents).await, Supply::Unknown);
        assert!(!may(&missing(NOWHERE)), "it failed a moment ago");
        tokio::time::advance(RETRY_PAUSE).await;
        assert!(may(&missing(NOWHERE)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_to_be_needed_is_fetched_until_it_is_there() {
        let published = knowing(vec![NOWHERE.to_owned()]).await;
        let tried = || published.0.lock().entries[NOWHERE].tried_at.unwrap();
        let first = tried();
        landed(&published).await;
        tokio::time::advance(ROUND).await;
        published.0.look_through();
        let second = tried();
        assert!(second > first);
        landed(&published).await;
        published.0.land(NOWHERE, Ok("text".to_owned()));
        tokio::time::advance(ROUND).await;
        published.0.look_through();
        assert_eq!(tried(), second);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let published = published().await;
        for i in 0..2 * DOCUMENTS_MAX {
            published.0.land(&format!("about:{i}"), Ok("text".to_owned()));
            make_room(&mut published.0.lock());
        }
        assert!(published.0.lock().entries.len() <= DOCUMENTS_MAX);
    }
}
