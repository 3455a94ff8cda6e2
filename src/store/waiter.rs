//! Waiting for what an application says: a request whose sender is to hear its application's answer waits here, from before its
//! event is durable until an attempt ends.
//!
//! Bounded in number, and in the bytes of the answers. Who waits may go away at any time. Never here: anything that decides what
//! becomes of a delivery. A source that is answered at once has nothing here, and costs nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use crate::record::{EventId, Failure, Name};

/// Requests that may wait at once. One costs about as much as its connection, and there may be many of these.
const WAITING_MAX: usize = 10_000;
/// The body of an answer that is passed on: what providers read is smaller by far.
pub const PASSED_BYTES_MAX: usize = 1024 * 1024;
/// All answers on their way to senders together: a sender that takes its answer slowly holds it for as long.
const PASSED_BYTES_TOTAL_MAX: usize = 64 * 1024 * 1024;
/// What a header field takes in memory beside its text.
const FIELD_BYTES: usize = 64;

/// All that wait for an answer.
#[derive(Default)]
pub struct Waiters {
    waiting: Mutex<Waiting>,
    count: AtomicUsize,
    token: AtomicU64,
    bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Waiting {
    /// In order, so that they hear in the same order each time.
    by_event: BTreeMap<EventId, Vec<Asked>>,
    /// The event of each that waits.
    events: HashMap<u64, EventId>,
    /// Attempts that will say something, by event and destination.
    under_way: HashMap<(EventId, Name), usize>,
}

struct Asked {
    token: u64,
    destination: Name,
    sender: oneshot::Sender<Heard>,
}

/// What whoever waits hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// The application answered.
    Answer(Passed),
    /// It answered, but with more than can be passed on.
    Unfit,
    /// An attempt brought no answer.
    Failed(Failure),
    /// No attempt is to be expected now: the destination is paused or gone, its breaker is open, or it wants to be left alone.
    NotNow,
}

/// A whole answer of an application, as it came.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields, those of its connection included.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What an attempt at one destination brought for those who wait.
#[derive(Debug)]
pub struct Word {
    destination: Name,
    heard: Heard,
}

/// The end at which somebody waits. When it is dropped nobody does.
pub struct Waiter {
    token: u64,
    receiver: oneshot::Receiver<Heard>,
    waiters: Arc<Waiters>,
}

/// The end that goes with an [`Intake`](super::Intake), so that the store can connect it with the event.
#[derive(Debug)]
pub struct Asking {
    token: u64,
    destination: Name,
    sender: oneshot::Sender<Heard>,
}

/// An attempt that will say something.
pub struct UnderWay {
    waiters: Arc<Waiters>,
    key: (EventId, Name),
}

/// A share of [`PASSED_BYTES_TOTAL_MAX`], and the body that it is for.
struct Share {
    total: Arc<AtomicUsize>,
    bytes: usize,
    body: Bytes,
}

impl Waiters {
    /// A place for one that waits for `destination`; none where too many wait. Ask before the event is stored.
    pub fn open(self: &Arc<Self>, destination: Name) -> Option<(Asking, Waiter)> {
        let (token, (sender, receiver)) = (self.token.fetch_add(1, Ordering::Relaxed), oneshot::channel());
        // Counted before it is compared: two that come at once cannot both get the last place.
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let waiter = Waiter { token, receiver, waiters: self.clone() };
        (before < WAITING_MAX).then_some((Asking { token, destination, sender }, waiter))
    }

    /// An attempt of `event` at `destination` begins, and will be told of.
    pub fn begin(self: &Arc<Self>, event: EventId, destination: &Name) -> UnderWay {
        let key = (event, destination.clone());
        *self.lock().under_way.entry(key.clone()).or_default() += 1;
        UnderWay { waiters: self.clone(), key }
    }

    /// The answer as it can be passed on; `None` where too much is on its way already.
    pub fn passed(&self, status: StatusCode, headers: HeaderMap, body: Bytes) -> Option<Passed> {
        let fields: usize = headers.iter().map(|(name, value)| FIELD_BYTES + name.as_str().len() + value.len()).sum();
        let bytes = fields + body.len();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let share = Share { total: self.bytes.clone(), bytes, body };
        // Whoever has the body has its share.
        (before + bytes <= PASSED_BYTES_TOTAL_MAX).then(|| Passed { status, headers, body: Bytes::from_owner(share) })
    }

    /// Tells those who wait for this event.
    pub(super) fn tell(&self, event: EventId, word: &Word) {
        let told = self.lock().take(event, |asked| asked.destination == word.destination);
        told.into_iter().for_each(|asked| asked.hear(word.heard.clone()));
    }

    /// From now on somebody waits for this event.
    pub(super) fn enlist(&self, asking: Asking, event: EventId) {
        let Asking { token, destination, sender } = asking;
        let mut waiting = self.lock();
        // Who went away before looks for its place after this, or did so before and is known by this.
        if !sender.is_closed() {
            waiting.events.insert(token, event);
            waiting.by_event.entry(event).or_default().push(Asked { token, destination, sender });
        }
    }

    /// No attempt at `destination` begins for a while. Who waits for one that is under way goes on waiting.
    pub(super) fn shut(&self, destination: &Name) {
        let mut waiting = self.lock();
        let waits = |(event, asked): (&EventId, &Vec<Asked>)| {
            asked.iter().any(|asked| asked.destination == *destination).then_some(*event)
        };
        let events: Vec<EventId> = waiting.by_event.iter().filter_map(waits).collect();
        let told: Vec<Asked> = events.into_iter().flat_map(|event| waiting.give_up(event, destination)).collect();
        drop(waiting);
        told.into_iter().for_each(|asked| asked.hear(Heard::NotNow));
    }

    /// The same for one event.
    pub(super) fn shut_for(&self, event: EventId, destination: &Name) {
        let told = self.lock().give_up(event, destination);
        told.into_iter().for_each(|asked| asked.hear(Heard::NotNow));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Takes those who wait for an event and fit out.
    fn take(&mut self, event: EventId, fits: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        let Some(asked) = self.by_event.remove(&event) else { return Vec::new() };
        let (taken, left): (Vec<_>, Vec<_>) = asked.into_iter().partition(fits);
        for asked in &taken {
            self.events.remove(&asked.token);
        }
        if !left.is_empty() {
            self.by_event.insert(event, left);
        }
        taken
    }

    fn give_up(&mut self, event: EventId, destination: &Name) -> Vec<Asked> {
        match self.under_way.contains_key(&(event, destination.clone())) {
            true => Vec::new(),
            false => self.take(event, |asked| asked.destination == *destination),
        }
    }
}

impl Asked {
    fn hear(self, heard: Heard) {
        // Who went away in between hears nothing.
        let _ = self.sender.send(heard);
    }
}

impl Asking {
    /// The destination whose answer is waited for.
    pub(super) fn destination(&self) -> &Name {
        &self.destination
    }
}

impl Waiter {
    /// What is heard. Once: there is one word for each.
    pub async fn heard(&mut self) -> Heard {
        // It is never told where the store has ended.
        (&mut self.receiver).await.unwrap_or(Heard::NotNow)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.receiver.close();
        let mut waiting = self.waiters.lock();
        if let Some(event) = waiting.events.remove(&self.token) {
            drop(waiting.take(event, |asked| asked.token == self.token));
        }
        drop(waiting);
        self.waiters.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl UnderWay {
    /// What the attempt brought.
    pub fn word(&self, heard: Heard) -> Arc<Word> {
        Arc::new(Word { destination: self.key.1.clone(), heard })
    }

    /// All who wait for anything.
    pub fn waiters(&self) -> &Waiters {
        &self.waiters
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        if let Some(attempts) = waiting.under_way.get_mut(&self.key) {
            *attempts -= 1;
            if *attempts == 0 {
                waiting.under_way.remove(&self.key);
            }
        }
    }
}

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").field("count", &self.count).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("token", &self.token).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventIds;
    use crate::time::Timestamp;

    fn name(text: &str) -> Name {
        Name::try_new(text).unwrap()
    }

    fn events() -> [EventId; 2] {
        let mut ids = EventIds::default();
        [1, 2].map(|n| ids.next(Timestamp::from_ms(5), n))
    }

    fn heard(waiter: &mut Waiter) -> Option<Heard> {
        waiter.receiver.try_recv().ok()
    }

    fn is_empty(waiters: &Waiters) -> bool {
        let waiting = waiters.lock();
        waiting.by_event.is_empty() && waiting.events.is_empty() && waiting.under_way.is_empty()
    }

    #[test]
    fn a_word_reaches_those_who_wait_for_that_event_there() {
        let (waiters, [event, other]) = (Arc::<Waiters>::default(), events());
        let mut all: Vec<_> = [("a", event), ("a", event), ("b", event), ("a", other)]
            .map(|(destination, event)| {
                let (asking, waiter) = waiters.open(name(destination)).unwrap();
                waiters.enlist(asking, event);
                waiter
            })
            .into();
        let attempt = waiters.begin(event, &name("a"));
        waiters.tell(event, &attempt.word(Heard::Failed(Failure::Reset)));
        assert!(all[..2].iter_mut().all(|waiter| matches!(heard(waiter), Some(Heard::Failed(Failure::Reset)))));
        assert!(all[2..].iter_mut().all(|waiter| heard(waiter).is_none()));
        drop((all, attempt));
        assert!(is_empty(&waiters));
    }

    #[test]
    fn who_waits_for_what_is_under_way_is_not_told_to_go() {
        let (waiters, [event, other]) = (Arc::<Waiters>::default(), events());
        let mut all = [event, other].map(|event| {
            let (asking, waiter) = waiters.open(name("a")).unwrap();
            waiters.enlist(asking, event);
            waiter
        });
        let attempts = [(); 2].map(|()| waiters.begin(event, &name("a")));
        waiters.shut(&name("b"));
        waiters.shut(&name("a"));
        waiters.shut_for(event, &name("a"));
        assert!(heard(&mut all[0]).is_none() && matches!(heard(&mut all[1]), Some(Heard::NotNow)));
        let [first, second] = attempts;
        drop(first);
        waiters.shut(&name("a"));
        assert!(heard(&mut all[0]).is_none());
        drop(second);
        waiters.shut(&name("a"));
        assert!(matches!(heard(&mut all[0]), Some(Heard::NotNow)));
    }

    #[test]
    fn who_went_away_leaves_nothing() {
        let (waiters, [event, _]) = (Arc::<Waiters>::default(), events());
        let (asking, waiter) = waiters.open(name("a")).unwrap();
        drop(waiter);
        waiters.enlist(asking, event);
        assert!(is_empty(&waiters), "gone before the event was stored");
        let (asking, waiter) = waiters.open(name("a")).unwrap();
        waiters.enlist(asking, event);
        drop(waiter);
        assert!(is_empty(&waiters), "gone after");
    }

    #[tokio::test]
    async fn who_waits_in_a_store_that_has_ended_hears_so() {
        let waiters = Arc::<Waiters>::default();
        let (asking, mut waiter) = waiters.open(name("a")).unwrap();
        drop(asking);
        assert!(matches!(waiter.heard().await, Heard::NotNow));
    }

    #[test]
    fn places_and_answers_are_bounded_and_given_back() {
        let waiters = Arc::<Waiters>::default();
        let mut all: Vec<_> = (0..WAITING_MAX).map(|_| waiters.open(name("a")).unwrap()).collect();
        assert!(waiters.open(name("a")).is_none());
        all.pop();
        assert!(waiters.open(name("a")).is_some());

        let body = Bytes::from(vec![7; PASSED_BYTES_MAX]);
        let pass = |body: &Bytes| waiters.passed(StatusCode::OK, HeaderMap::new(), body.clone());
        let mut answers: Vec<_> = (0..PASSED_BYTES_TOTAL_MAX / PASSED_BYTES_MAX).map(|_| pass(&body).unwrap()).collect();
        assert!(pass(&body).is_none() && pass(&body.slice(..1)).is_none());
        let part = answers.pop().unwrap().body.slice(..2);
        assert!(pass(&body).is_none(), "a part of it is held still");
        assert_eq!(&part[..], [7, 7]);
        drop(part);
        assert!(pass(&body).is_some());
    }
}
