//! What happens, for people who watch: new events, attempts, and changes of deliveries, as the store decides them.
//!
//! One ring for all who watch, bounded in facts and in bytes, lossy by design: the oldest go, whoever was slow is told how many it
//! missed, and nobody who stores or delivers ever waits. While nobody watches, a change costs one load and nothing is kept. After the
//! last one has left the ring goes on for a moment, so that who comes back can go on where it was.
//!
//! What is told here can be read in the store. Never here: anything that somebody relies on; the lists are the truth.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Notify;

use super::Tracked;
use crate::record::{Attempt, Event, Headers, Name, Outcome};
use crate::time::Stopwatch;

/// Facts that are kept: some seconds of a thousand events a second.
pub const FACTS_MAX: usize = 8 * 1024;
/// Bytes of all facts that are kept, roughly.
pub const FACT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Who may watch at once: people, and a few programs.
pub const READERS_MAX: usize = 32;
/// Facts that a reader takes at a time: bounds what it holds beside the ring.
const TAKEN_MAX: usize = 256;
/// How long facts are kept after the last reader has left: a connection that broke is back by then.
const LINGER: Duration = Duration::from_secs(30);
/// What one header field, or one entry of a list, takes beside its text.
const ENTRY_BYTES: usize = 64;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// An event is durable; of its header fields only `content-type` is told. With its deliveries.
    Event(Event, Vec<Tracked>),
    /// An attempt ended; with its delivery as it is after that.
    Attempt(Tracked, Attempt),
    /// A delivery was delivered, parked, called off, retried, or made by a replay.
    State(Tracked),
}

impl Fact {
    /// That this event is durable, and was sent again so often meanwhile.
    pub(super) fn event(event: &Event, duplicates: u32, deliveries: Vec<Tracked>) -> Self {
        // Copied: the field's bytes would keep all that its request's head came with.
        let kind = event.headers.first("content-type").and_then(|value| HeaderValue::from_bytes(value).ok());
        let headers: Headers = kind.map(|value| (http::header::CONTENT_TYPE, value)).into_iter().collect();
        let bare = Event {
            id: event.id,
            source: event.source.clone(),
            provider: event.provider.clone(),
            kind: event.kind.clone(),
            provider_event_id: event.provider_event_id.clone(),
            received_at: event.received_at,
            method: event.method.clone(),
            target: event.target.clone(),
            authority: event.authority.clone(),
            peer: event.peer,
            headers,
            body_bytes: event.body_bytes,
            duplicates,
        };
        Self::Event(bare, deliveries)
    }

    /// Whether it is of this source and this destination, where one is given.
    pub fn is_of(&self, source: Option<&Name>, destination: Option<&Name>) -> bool {
        let goes = |tracked: &Tracked| destination.is_none_or(|name| tracked.delivery.destination == *name);
        let (from, goes) = match self {
            Self::Event(event, deliveries) => (&event.source, destination.is_none() || deliveries.iter().any(goes)),
            Self::Attempt(tracked, _) | Self::State(tracked) => (&tracked.delivery.source, goes(tracked)),
        };
        goes && source.is_none_or(|name| from == name)
    }

    /// What it takes in memory, roughly.
    fn bytes(&self) -> usize {
        let beside = match self {
            Self::Event(event, deliveries) => {
                let texts = [Some(&event.method), Some(&event.target), Some(&event.authority)];
                let texts = texts.into_iter().chain([event.kind.as_ref(), event.provider_event_id.as_ref()]).flatten();
                let fields: usize = event.headers.iter().map(|(_, value)| ENTRY_BYTES + value.len()).sum();
                fields + texts.map(String::len).sum::<usize>() + deliveries.iter().map(bytes_of).sum::<usize>()
            }
            Self::Attempt(tracked, attempt) => bytes_of(tracked) + answer_bytes(attempt),
            Self::State(tracked) => bytes_of(tracked),
        };
        size_of::<Self>() + beside
    }
}

fn bytes_of(tracked: &Tracked) -> usize {
    let delivery = &tracked.delivery;
    let texts = delivery.order_key.iter().chain(&delivery.replay_id);
    size_of::<Tracked>() + texts.map(String::len).sum::<usize>()
}

fn answer_bytes(attempt: &Attempt) -> usize {
    match &attempt.outcome {
        Outcome::Failed { detail, .. } => detail.len(),
        Outcome::Answered(answer) => {
            let fields = answer.headers.iter().map(|(name, value)| ENTRY_BYTES + name.len() + value.len());
            answer.body.len() + fields.sum::<usize>()
        }
    }
}

/// Where a reader is: which ring, and the last fact that it took. Text form: `RING-NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    ring: u64,
    number: u64,
}

/// Text that is no [`Place`].
#[derive(Debug, thiserror::Error)]
#[error("not a place in what happens")]
pub struct BadPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.ring, self.number)
    }
}

impl FromStr for Place {
    type Err = BadPlace;
    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (ring, number) = text.split_once('-').ok_or(BadPlace)?;
        let ring = u64::from_str_radix(ring, 16).map_err(|_| BadPlace)?;
        Ok(Self { ring, number: number.parse().map_err(|_| BadPlace)? })
    }
}

/// Why somebody cannot watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Too many do.
    #[error("{READERS_MAX} watch already, which is the most")]
    Full,
    /// The relay stops.
    #[error("the relay is stopping")]
    Closed,
}

/// What a reader takes at a time.
#[derive(Debug, Default)]
pub struct News {
    /// Facts that went before it took them, of all sources and destinations.
    pub missed: Option<Missed>,
    /// Facts in their order, each with the place behind it.
    pub facts: Vec<(Place, Arc<Fact>)>,
}

/// How many facts were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// So many.
    Count(u64),
    /// Nobody watched in between, so nobody counted.
    Unknown,
}

/// The ring, and who reads it.
#[derive(Default)]
pub struct Feed {
    is_watched: AtomicBool,
    ring: Mutex<Ring>,
    news: Notify,
}

#[derive(Default)]
struct Ring {
    facts: VecDeque<(Arc<Fact>, usize)>,
    /// The number of the oldest.
    first: u64,
    bytes: usize,
    readers: usize,
    /// Since when nobody reads.
    left: Option<Stopwatch>,
    /// Another one each time that facts may have gone unseen.
    name: u64,
    is_closed: bool,
}

/// Somebody who watches, from now on or from an earlier place.
pub struct Reader {
    feed: Arc<Feed>,
    next: u64,
    unknown: bool,
}

impl Feed {
    /// Whether anybody may want to know. A change asks this first.
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// Tells what happened. Never waits for a reader.
    pub(super) fn tell(&self, facts: impl IntoIterator<Item = Fact>) {
        let mut ring = self.lock();
        if ring.is_left() {
            ring.clear();
            return self.is_watched.store(false, Ordering::SeqCst);
        }
        facts.into_iter().for_each(|fact| ring.push(fact));
        drop(ring);
        self.news.notify_waiters();
    }

    /// Begins to watch: behind `after`, as far as that is still here, or else from now on.
    pub fn open(self: &Arc<Self>, after: Option<Place>) -> Result<Reader, NoPlace> {
        let mut ring = self.lock();
        if ring.is_closed {
            return Err(NoPlace::Closed);
        }
        if ring.readers >= READERS_MAX {
            return Err(NoPlace::Full);
        }
        if !self.is_watched.swap(true, Ordering::SeqCst) {
            ring.name = rand::random();
        }
        ring.readers += 1;
        ring.left = None;
        let (end, known) = (ring.end(), after.filter(|place| place.ring == ring.name));
        let next = known.map_or(end, |place| place.number.saturating_add(1).min(end));
        Ok(Reader { feed: self.clone(), next, unknown: after.is_some() && known.is_none() })
    }

    /// Ends it for all who watch: the relay stops.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.news.notify_waiters();
    }

    /// Facts that are kept now, and their bytes.
    pub fn held(&self) -> (usize, usize) {
        let ring = self.lock();
        (ring.facts.len(), ring.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.facts.len() as u64
    }

    fn is_left(&self) -> bool {
        self.readers == 0 && self.left.is_none_or(|left| left.elapsed() >= LINGER)
    }

    fn push(&mut self, fact: Fact) {
        let bytes = fact.bytes();
        self.facts.push_back((Arc::new(fact), bytes));
        self.bytes += bytes;
        while self.facts.len() > FACTS_MAX || self.bytes > FACT_BYTES_MAX {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, bytes)) = self.facts.pop_front() {
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    fn clear(&mut self) {
        (self.first, self.bytes) = (self.end(), 0);
        self.facts = VecDeque::new();
    }
}

impl Reader {
    /// What happened since it was asked last; waits until something does. `None` once the relay stops. Given up while it waits, it
    /// loses nothing.
    pub async fn news(&mut self) -> Option<News> {
        let feed = self.feed.clone();
        loop {
            let mut told = std::pin::pin!(feed.news.notified());
            // From here on it is woken, so that nothing comes between the look and the wait.
            told.as_mut().enable();
            match self.take() {
                Some(News { missed: None, facts }) if facts.is_empty() => told.await,
                taken => return taken,
            }
        }
    }

    fn take(&mut self) -> Option<News> {
        let ring = self.feed.lock();
        if ring.is_closed {
            return None;
        }
        let gone = ring.first.saturating_sub(self.next);
        let missed = if std::mem::take(&mut self.unknown) { Some(Missed::Unknown) } else { None };
        let missed = missed.or((gone > 0).then_some(Missed::Count(gone)));
        let start = self.next.max(ring.first);
        let taken = ring.facts.iter().skip((start - ring.first) as usize).take(TAKEN_MAX);
        let place = |number| Place { ring: ring.name, number };
        let facts: Vec<_> = (start..).zip(taken).map(|(number, (fact, _))| (place(number), fact.clone())).collect();
        self.next = start + facts.len() as u64;
        Some(News { missed, facts })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut ring = self.feed.lock();
        ring.readers -= 1;
        if ring.readers == 0 {
            ring.left = Some(Stopwatch::start());
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (facts, bytes) = self.held();
        f.debug_struct("Feed").field("facts", &facts).field("bytes", &bytes).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Answer, Delivery, DeliveryId, EventIds};
    use crate::time::Timestamp;

    fn tracked(source: &str, key_bytes: usize) -> Tracked {
        let event = EventIds::default().next(Timestamp::from_ms(5), 1);
        let name = |text| Name::try_new(text).unwrap();
        let delivery = Delivery::new(DeliveryId { event, ordinal: 1 }, name(source), name("d"), Timestamp::from_ms(5));
        Tracked { delivery: delivery.with_order_key(Some("k".repeat(key_bytes))), in_flight: false }
    }

    fn state(key_bytes: usize) -> Fact {
        Fact::State(tracked("s", key_bytes))
    }

    fn taken(reader: &mut Reader) -> (Option<Missed>, usize) {
        let (mut missed, mut count) = (None, 0);
        loop {
            let news = reader.take().unwrap();
            missed = missed.or(news.missed);
            count += news.facts.len();
            if news.facts.is_empty() {
                return (missed, count);
            }
        }
    }

    #[test]
    fn nothing_is_kept_while_nobody_watches() {
        let feed = Arc::<Feed>::default();
        assert!(!feed.is_watched());
        feed.tell([state(1)]);
        assert_eq!(feed.held(), (0, 0));
        let mut reader = feed.open(None).unwrap();
        assert!(feed.is_watched());
        feed.tell([state(1), state(1)]);
        assert_eq!(taken(&mut reader), (None, 2));
    }

    #[test]
    fn a_reader_that_reads_nothing_holds_no_more_than_the_bounds() {
        let feed = Arc::<Feed>::default();
        let (mut stopped, mut quick) = (feed.open(None).unwrap(), feed.open(None).unwrap());
        let count = 3 * FACTS_MAX;
        for _ in 0..count {
            feed.tell([state(0)]);
            assert_eq!(taken(&mut quick), (None, 1));
        }
        assert_eq!(feed.held().0, FACTS_MAX);
        let missed = (count - FACTS_MAX) as u64;
        assert_eq!(taken(&mut stopped), (Some(Missed::Count(missed)), FACTS_MAX));
        for _ in 0..100 {
            feed.tell([state(1 << 20)]);
            assert!(feed.held().1 <= FACT_BYTES_MAX);
        }
        let answer = Answer { status: 200, headers: Vec::new(), body: vec![0; FACT_BYTES_MAX + 1].into(), truncated: false };
        let number = 1;
        let at = Timestamp::from_ms(5);
        let attempt = Attempt { number, started_at: at, duration_ms: 1, outcome: Outcome::Answered(answer) };
        feed.tell([Fact::Attempt(tracked("s", 0), attempt)]);
        assert_eq!(feed.held(), (0, 0), "what is larger than all that may be kept is missed");
        assert_eq!(taken(&mut stopped), (Some(Missed::Count(101)), 0));
    }

    #[test]
    fn readers_are_bounded_and_give_their_places_back() {
        let feed = Arc::<Feed>::default();
        let mut readers: Vec<_> = (0..READERS_MAX).map(|_| feed.open(None).unwrap()).collect();
        assert_eq!(feed.open(None).unwrap_err(), NoPlace::Full);
        readers.pop();
        readers.push(feed.open(None).unwrap());
        feed.close();
        drop(readers);
        assert_eq!(feed.open(None).unwrap_err(), NoPlace::Closed);
    }

    #[test]
    fn who_comes_back_goes_on_where_it_was() {
        let feed = Arc::<Feed>::default();
        let mut reader = feed.open(None).unwrap();
        feed.tell([state(1), state(1)]);
        let (place, _) = reader.take().unwrap().facts[0];
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        drop(reader);
        feed.tell([state(1)]);
        assert_eq!(taken(&mut feed.open(Some(place)).unwrap()), (None, 2));
        let elsewhere = Place { ring: !place.ring, number: 0 };
        assert_eq!(taken(&mut feed.open(Some(elsewhere)).unwrap()), (Some(Missed::Unknown), 0));
        assert!(["", "1", "x-1", "1-x", "-"].iter().all(|text| text.parse::<Place>().is_err()));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_while_without_readers_nothing_is_kept() {
        let feed = Arc::<Feed>::default();
        let mut reader = feed.open(None).unwrap();
        feed.tell([state(1)]);
        let (place, _) = reader.news().await.unwrap().facts[0];
        drop(reader);
        tokio::time::advance(LINGER).await;
        feed.tell([state(1)]);
        assert!(!feed.is_watched() && feed.held() == (0, 0));
        assert_eq!(taken(&mut feed.open(Some(place)).unwrap()), (Some(Missed::Unknown), 0));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_news_and_by_the_end() {
        let feed = Arc::<Feed>::default();
        let mut reader = feed.open(None).unwrap();
        let told = feed.clone();
        let teller = tokio::spawn(async move {
            told.tell([state(1)]);
            tokio::task::yield_now().await;
            told.close();
        });
        assert_eq!(reader.news().await.unwrap().facts.len(), 1);
        assert!(reader.news().await.is_none());
        teller.await.unwrap();
    }

    #[test]
    fn a_filter_asks_for_source_and_destination() {
        let name = |text| Name::try_new(text).unwrap();
        let fact = state(1);
        assert!(fact.is_of(None, None) && fact.is_of(Some(&name("s")), Some(&name("d"))));
        assert!(!fact.is_of(Some(&name("d")), None) && !fact.is_of(None, Some(&name("s"))));
    }
}
