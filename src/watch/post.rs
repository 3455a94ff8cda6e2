//! Tells one receiver: what waits to be told, and the task that tells it.
//!
//! What waits is bounded: of one alarm only the newest word waits. A receiver that fails is asked again with growing pauses, so many
//! times; each failure is logged and counted. Redirects are not followed. Never logged: the receiver's address, but for its host.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::lock;
use super::message::Message;
use crate::alarm::Notice;
use crate::config::settings::{Form, Receiver};
use crate::metrics::{Metrics, SentOutcome};
use crate::net::client::{Answer, Server};
use crate::net::pool::Pool;
use crate::net::tls::{self, Error};
use crate::time::{Clock, Stopwatch, Timestamp};

/// What waits for one receiver: more than a small relay has destinations. Beyond it the oldest goes.
const WAITING_MAX: usize = 256;
/// So many notices go into one text, so that trouble everywhere is not a hundred messages.
const NOTICES_PER_TEXT: usize = 20;
/// A notice is tried so often: for about half an hour. What lasts is told again after `repeat`.
const TRIES_MAX: u32 = 12;
/// The pause after the first failure; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);
/// As much of an answer as tells a person what is wrong.
const ANSWER_BYTES_MAX: usize = 512;

/// How a receiver is told.
pub(super) struct How {
    receiver: Arc<Receiver>,
    pool: Pool,
    /// What the relay is called.
    relay: String,
}

/// One receiver.
pub(super) struct Post {
    how: ArcSwap<How>,
    waiting: Mutex<VecDeque<Waiting>>,
    standing: Mutex<Last>,
    wake: Notify,
    stop: CancellationToken,
    metrics: Arc<Metrics>,
    clock: Clock,
}

struct Waiting {
    notice: Notice,
    tries: u32,
}

#[derive(Clone, Debug, Default)]
struct Last {
    sent_at: Option<Timestamp>,
    error: Option<String>,
}

/// How a receiver stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Where it is, masked.
    pub to: String,
    /// What it understands.
    pub form: &'static str,
    /// Notices that wait to be told.
    pub waiting: usize,
    /// When it last took one.
    pub last_sent_at: Option<Timestamp>,
    /// Why the last try failed; `None` where it did not.
    pub last_error: Option<String>,
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Where the receiver is, masked.
    pub to: String,
    /// What it understands.
    pub form: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Its answer's status and first words, or why there was none.
    pub answer: Result<(StatusCode, String), String>,
}

/// Why a try failed.
struct Failed {
    why: String,
    /// Whether the receiver will say the same again.
    is_final: bool,
    /// How long it wants to be left alone.
    rest: Duration,
}

impl How {
    pub(super) fn new(receiver: Arc<Receiver>, relay: String) -> Result<Self, Error> {
        let tls = tls::client_config(receiver.ca.as_deref())?;
        let server = Server::of(&receiver.url, tls, false);
        // It cannot fail: a receiver's URL has a host.
        let server =
            server.map_err(|_| Error::Settings(rustls::Error::General("a receiver's address has no host".to_owned())))?;
        // A message in an hour: no connection is kept.
        let pool = Pool::new(server.connecting_within(receiver.timeout), 0, Duration::ZERO);
        Ok(Self { receiver, pool, relay })
    }

    /// One try.
    async fn send(&self, message: &Message<'_>, id: &str, now: Timestamp) -> Result<Answer, String> {
        let request = message.request(&self.receiver, self.pool.server().authority(), &self.relay, id, now)?;
        let answer = tokio::time::timeout(self.receiver.timeout, self.pool.exchange(request, ANSWER_BYTES_MAX)).await;
        match answer {
            Err(_) => Err(format!("no whole answer within {:?}", self.receiver.timeout)),
            Ok(answer) => answer.map_err(|error| error.to_string()),
        }
    }
}

impl Post {
    /// For a receiver, with a task of its own.
    pub(super) fn start(how: How, metrics: Arc<Metrics>, clock: Clock) -> Arc<Self> {
        let post = Arc::new(Self {
            how: ArcSwap::from_pointee(how),
            waiting: Mutex::default(),
            standing: Mutex::default(),
            wake: Notify::new(),
            stop: CancellationToken::new(),
            metrics,
            clock,
        });
        let working = post.clone();
        tokio::spawn(async move {
            let _ = working.stop.run_until_cancelled(working.work()).await;
            let left = std::mem::take(&mut *lock(&working.waiting));
            left.iter().for_each(|_| working.metrics.alerts().sent(SentOutcome::Dropped));
        });
        post
    }

    /// Whether that is how to tell the same receiver.
    pub(super) fn is_for(&self, how: &How) -> bool {
        let own = self.how.load();
        own.receiver.url == how.receiver.url && own.receiver.form.as_str() == how.receiver.form.as_str()
    }

    /// Tells it so from the next try on.
    pub(super) fn follow(&self, how: How) {
        self.how.store(Arc::new(how));
    }

    /// Ends its task; what waits is not told.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Something must be told. What waits of the same alarm is not told any more: this is newer.
    pub(super) fn push(&self, notice: Notice) {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|other| other.notice.alarm.number != notice.alarm.number);
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
            self.metrics.alerts().sent(SentOutcome::Dropped);
            tracing::error!(to = self.how.load().receiver.shown(), "a receiver of alarms is too slow: one is not told");
        }
        waiting.push_back(Waiting { notice, tries: 0 });
        drop(waiting);
        self.wake.notify_one();
    }

    /// How the receiver stands.
    pub(super) fn standing(&self) -> Standing {
        let (how, last) = (self.how.load(), lock(&self.standing).clone());
        let (to, form) = (how.receiver.shown(), how.receiver.form.as_str());
        Standing { to, form, waiting: lock(&self.waiting).len(), last_sent_at: last.sent_at, last_error: last.error }
    }

    /// Tells the receiver at once that this is a test.
    pub(super) async fn test(&self, now: Timestamp) -> Tried {
        let (how, watch) = (self.how.load_full(), Stopwatch::start());
        let answer = how.send(&Message::Test, &format!("test_{}", now.ms()), now).await;
        let words = |answer: Answer| (answer.status, String::from_utf8_lossy(&answer.body).into_owned());
        let (to, form) = (how.receiver.shown(), how.receiver.form.as_str());
        Tried { to, form, took: watch.elapsed(), answer: answer.map(words) }
    }

    async fn work(&self) {
        let mut failures = 0;
        loop {
            let batch = self.take();
            if batch.is_empty() {
                self.wake.notified().await;
                continue;
            }
            match self.tell(&batch).await {
                Ok(()) => failures = 0,
                Err(failed) => {
                    self.give_back(batch, &failed);
                    tokio::time::sleep(pause(failures).max(failed.rest.min(PAUSE_MAX))).await;
                    failures = if failed.is_final { 0 } else { failures.saturating_add(1) };
                }
            }
        }
    }

    /// What goes out next: as many as one message holds.
    fn take(&self) -> Vec<Waiting> {
        let many = if matches!(self.how.load().receiver.form, Form::Slack) { NOTICES_PER_TEXT } else { 1 };
        let mut waiting = lock(&self.waiting);
        let many = many.min(waiting.len());
        waiting.drain(..many).collect()
    }

    async fn tell(&self, batch: &[Waiting]) -> Result<(), Failed> {
        let how = self.how.load_full();
        let notices: Vec<&Notice> = batch.iter().map(|waiting| &waiting.notice).collect();
        // A receiver that saw it already recognises it by this.
        let id =
            notices.first().map(|n| format!("alert_{}_{}_{}", n.alarm.number, n.word.as_str(), n.at.ms())).unwrap_or_default();
        let now = self.clock.now();
        let failed = match how.send(&Message::Notices(&notices), &id, now).await {
            Ok(answer) if answer.status.is_success() => {
                batch.iter().for_each(|_| self.metrics.alerts().sent(SentOutcome::Sent));
                *lock(&self.standing) = Last { sent_at: Some(now), error: None };
                return Ok(());
            }
            Ok(answer) => Failed {
                why: format!("answered {}", answer.status.as_u16()),
                is_final: is_final(answer.status),
                rest: rest(&answer),
            },
            Err(why) => Failed { why, is_final: false, rest: Duration::ZERO },
        };
        lock(&self.standing).error = Some(failed.why.clone());
        Err(failed)
    }

    /// What could not be told waits again, where it may: not for ever, and not where something newer waits of the same alarm.
    fn give_back(&self, batch: Vec<Waiting>, failed: &Failed) {
        let to = self.how.load().receiver.shown();
        let mut waiting = lock(&self.waiting);
        for Waiting { notice, tries } in batch.into_iter().rev() {
            let (kind, subject, why) = (notice.alarm.kind.as_str(), notice.alarm.subject.to_string(), &failed.why);
            if waiting.iter().any(|other| other.notice.alarm.number == notice.alarm.number) {
                continue;
            }
            if failed.is_final || tries + 1 >= TRIES_MAX || waiting.len() >= WAITING_MAX {
                self.metrics.alerts().sent(SentOutcome::Failed);
                tracing::error!(to, kind, subject, why, "a receiver did not take an alarm; it is not told there");
            } else {
                self.metrics.alerts().sent(SentOutcome::Retried);
                tracing::warn!(to, kind, subject, why, "a receiver did not take an alarm; it is asked again");
                waiting.push_front(Waiting { notice, tries: tries + 1 });
            }
        }
    }
}

/// Whether the same message would be refused again (a wrong address, a wrong form).
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error() && status != StatusCode::REQUEST_TIMEOUT && status != StatusCode::TOO_MANY_REQUESTS
}

/// How long the receiver wants to be left alone, where it says so in seconds, as Slack does.
fn rest(answer: &Answer) -> Duration {
    let seconds = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(Duration::ZERO, Duration::from_secs)
}

/// After so many failures in a row.
fn pause(failures: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << failures.min(20)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::{Alarm, Kind, State, Subject, Word};

    #[test]
    fn pauses_grow_up_to_a_bound() {
        assert_eq!([0, 1, 5, 9, 10, u32::MAX].map(|n| pause(n).as_secs()), [1, 2, 32, 512, 600, 600]);
        let whole = (0..TRIES_MAX - 1).map(|n| pause(n).as_secs()).sum::<u64>();
        assert_eq!(whole, 1623, "about half an hour");
    }

    #[test]
    fn what_is_refused_for_good_is_not_asked_again() {
        let finals = [301, 400, 404, 410, 408, 429, 500, 503].map(|s| is_final(StatusCode::from_u16(s).unwrap()));
        assert_eq!(finals, [true, true, true, true, false, false, false, false]);
    }

    /// A receiver where nobody listens.
    fn nowhere() -> How {
        tls::install_provider();
        let url = "http://127.0.0.1:1/LITERAL".parse().unwrap();
        let timeout = Duration::from_secs(10);
        How::new(Arc::new(Receiver { url, authorization: None, form: Form::Slack, timeout, ca: None }), "hookhold".to_owned())
            .unwrap()
    }

    fn notice(number: u64, word: Word) -> Notice {
        let at = Timestamp::from_ms(number);
        let (kind, subject, state) = (Kind::StoreNotReady, Subject::Store, State::Firing);
        let (began_at, ended_at, last_sent_at, detail) = (Some(at), None, Some(at), String::new());
        Notice { word, alarm: Alarm { number, kind, subject, state, since: at, began_at, ended_at, last_sent_at, detail }, at }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_does_not_pile_up() {
        let metrics = Metrics::new();
        let post = Post::start(nowhere(), metrics.clone(), Clock::following_tokio(Timestamp::from_ms(1)));
        for n in 0..1000 {
            post.push(notice(n % 10, Word::Lasts));
        }
        assert_eq!(post.standing().waiting, 10, "of one alarm the newest word waits");
        let many = WAITING_MAX as u64 + 50;
        (0..many).for_each(|n| post.push(notice(n, Word::Began)));
        assert_eq!(post.standing().waiting, WAITING_MAX);
        let mut minutes = tokio::time::interval(Duration::from_secs(60));
        let ended = tokio::time::timeout(Duration::from_secs(7 * 86_400), async {
            while post.standing().waiting > 0 {
                minutes.tick().await;
            }
        });
        ended.await.unwrap();
        let count = |outcome: &str| {
            let line = format!("hookhold_alerts_sent_total{{outcome=\"{outcome}\"}} ");
            metrics.render().lines().find_map(|l| l.strip_prefix(&line)?.parse::<u64>().ok()).unwrap()
        };
        // The last batch may be on its last try.
        tokio::time::timeout(Duration::from_secs(86_400), async {
            while count("failed") + count("dropped") < many {
                minutes.tick().await;
            }
        })
        .await
        .unwrap();
        assert_eq!((count("sent"), count("dropped")), (0, 50));
        assert_eq!(count("retried"), (u64::from(TRIES_MAX) - 1) * WAITING_MAX as u64, "each is tried so often, and no more");
        let Standing { to, last_error, .. } = post.standing();
        assert!(to == "http://127.0.0.1:1/***" && last_error.is_some_and(|error| !error.contains("LITERAL")));
        post.stop();
    }
}
