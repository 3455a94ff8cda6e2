//! An application and its moods: well for a while, then slow, wrong, busy, silent or gone, as its seed says, until it is healed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use hookhold::time::Timestamp;
use http::Response;
use http::header::RETRY_AFTER;
use hyper::body::{Body, Frame};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const S: Duration = Duration::from_secs(1);

/// What an application is like for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// Anything may happen.
    Strange,
    /// It answers with errors.
    Wrong,
    /// It asks to be left alone.
    Busy,
    /// It says that it will never take anything.
    Refusing,
    /// It answers nothing.
    Silent,
    /// Nothing listens there.
    Gone,
}

const MOODS: [Mood; 7] = [Mood::Well, Mood::Strange, Mood::Wrong, Mood::Busy, Mood::Refusing, Mood::Silent, Mood::Gone];

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Welcome {
    /// It is there after a time.
    In(Duration),
    /// It is refused after a time.
    Refused(Duration),
    /// Its host has no address.
    NoName,
    /// Nothing comes back.
    Nothing,
}

/// What becomes of a request that is there.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// An answer after a time.
    Answered { status: u16, retry_after: Option<String>, after: Duration, is_whole: bool },
    /// The connection ends after a time.
    Reset(Duration),
    /// Nothing comes back.
    Nothing,
}

pub(crate) struct Application {
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    mood: Mood,
    until: Timestamp,
}

impl Application {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: Mutex::new(State { random: StdRng::seed_from_u64(seed), mood: Mood::Well, until: Timestamp::default() }) }
    }

    /// From now on it is well.
    pub(crate) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        (state.mood, state.until) = (Mood::Well, Timestamp::MAX);
    }

    pub(crate) fn welcome(&self, now: Timestamp) -> Welcome {
        let mut state = self.state.lock().unwrap();
        let mood = state.mood(now);
        let random = &mut state.random;
        let soon = Duration::from_millis(random.random_range(0..40));
        match mood {
            Mood::Gone => match random.random_range(0..4) {
                0 => Welcome::NoName,
                1 => Welcome::Nothing,
                _ => Welcome::Refused(soon),
            },
            Mood::Strange if random.random_bool(0.2) => Welcome::Refused(soon),
            Mood::Silent if random.random_bool(0.3) => Welcome::Nothing,
            _ => Welcome::In(soon * random.random_range(0..2)),
        }
    }

    pub(crate) fn fate(&self, now: Timestamp) -> Fate {
        let mut state = self.state.lock().unwrap();
        let mood = state.mood(now);
        let random = &mut state.random;
        let after = Duration::from_millis([0, 0, 3, 80, 700][random.random_range(0..5)]);
        if state.until == Timestamp::MAX {
            return Fate::Answered { status: 200, retry_after: None, after, is_whole: true };
        }
        let random = &mut state.random;
        let answered = |status, after| Fate::Answered { status, retry_after: None, after, is_whole: true };
        match mood {
            Mood::Well if random.random_bool(0.03) => answered(503, after),
            Mood::Well => answered([200, 200, 202, 204][random.random_range(0..4)], after),
            Mood::Wrong => answered([500, 502, 404, 301, 401][random.random_range(0..5)], after),
            Mood::Busy => {
                let status = [429, 503, 500][random.random_range(0..3)];
                Fate::Answered { status, retry_after: Some(retry_after(now, random)), after, is_whole: true }
            }
            Mood::Refusing => answered([410, 400, 422, 500][random.random_range(0..4)], after),
            Mood::Silent | Mood::Gone => Fate::Nothing,
            Mood::Strange => match random.random_range(0..9) {
                0 => Fate::Reset(after),
                1 => Fate::Nothing,
                // Around every timeout, and sometimes exactly then.
                2 => answered(200, S * [1, 5, 15, 30, 45][random.random_range(0..5)]),
                3 => answered(200, Duration::from_millis(random.random_range(0..40_000))),
                4 => Fate::Answered { status: 200, retry_after: None, after, is_whole: false },
                5 => answered(410, after),
                6 => answered(500, after),
                _ => answered(200, after),
            },
        }
    }
}

impl State {
    /// Its mood now: moods last from seconds to days.
    fn mood(&mut self, now: Timestamp) -> Mood {
        while self.until <= now {
            let from = if self.until == Timestamp::default() { now } else { self.until };
            let is_well = self.mood == Mood::Well;
            self.mood = if is_well { MOODS[self.random.random_range(0..MOODS.len())] } else { Mood::Well };
            let longest = [10, 60, 600, 7200, 86_400, 4 * 86_400][self.random.random_range(0..6)];
            self.until = from.after(Duration::from_millis(self.random.random_range(1..=longest * 1000)));
        }
        self.mood
    }
}

/// Seconds, a date, or nonsense.
fn retry_after(now: Timestamp, random: &mut StdRng) -> String {
    let wait = S * [0, 1, 7, 60, 3600, 100_000][random.random_range(0..6)];
    match random.random_range(0..6) {
        0 => "soon".to_owned(),
        1 | 2 => httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(now.after(wait).ms())),
        _ => wait.as_secs().to_string(),
    }
}

/// The body of an answer, which may never end.
pub(crate) struct Said {
    data: Option<Bytes>,
    is_whole: bool,
}

impl Said {
    /// `text`: what it says, as far as it does.
    pub(crate) fn answer(status: u16, retry_after: Option<String>, is_whole: bool, text: String) -> Response<Self> {
        let mut answer = Response::new(Self { data: Some(text.into()), is_whole });
        *answer.status_mut() = status.try_into().unwrap();
        answer.headers_mut().extend(retry_after.map(|text| (RETRY_AFTER, text.try_into().unwrap())));
        answer
    }
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.data.take(), self.is_whole) {
            (Some(data), _) => Poll::Ready(Some(Ok(Frame::data(data)))),
            (None, true) => Poll::Ready(None),
            // Nobody wakes it: the application has forgotten the rest.
            (None, false) => Poll::Pending,
        }
    }
}
