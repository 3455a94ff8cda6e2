//! Answers that are an application's own. Ingest does not know delivery: it leaves word in the store that somebody waits, and hears
//! there what an attempt brought.
//!
//! Never here: an answer before the event is durable. Whatever the sender hears, the event is kept and delivered by its own rule.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::handler::Line;
use super::reply::Refusal;
use crate::config::settings::{Ack, Source};
use crate::record::{Answer, EventId, Failure, Name, Outcome, State};
use crate::store::{Appended, Error, Heard, Intake, Passed, Waiter};
use crate::time::Stopwatch;

/// A request whose sender may hear its application.
pub(super) struct Listening {
    waiter: Waiter,
    destination: Name,
    within: Duration,
}

/// What there is to tell the sender of a durable event.
#[derive(Debug)]
pub(super) enum Said {
    /// The application's answer.
    Passed(Passed),
    /// That the event is stored, as every source says it: nobody answers, or what was answered before is not known whole any more.
    Stored,
    /// Nothing of the application: why, and what that is in HTTP.
    Nothing(&'static str, StatusCode),
}

/// An answer is more than can be passed on.
const UNFIT: Said = Said::Nothing("unfit", StatusCode::BAD_GATEWAY);
/// None came in time.
const LATE: Said = Said::Nothing("late", StatusCode::GATEWAY_TIMEOUT);
/// None is to be expected in time.
const NOT_NOW: Said = Said::Nothing("not_now", StatusCode::SERVICE_UNAVAILABLE);
/// An attempt ended without one.
const FAILED: Said = Said::Nothing("failed", StatusCode::BAD_GATEWAY);

impl Said {
    /// The word for it in metrics and logs.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Stored => "stored",
            Self::Nothing(word, _) => word,
        }
    }
}

impl Line {
    /// Leaves word that somebody waits, where the source passes an answer on and the event goes to one application.
    pub(super) fn listen(&self, source: &Source, intake: Intake) -> Result<(Intake, Option<Listening>), Refusal> {
        let (Some(within), [destination]) = (source.ack.waits(), &intake.destinations()[..]) else { return Ok((intake, None)) };
        let destination = destination.clone();
        match (self.store.waiters().open(destination.clone()), source.ack) {
            (Some((asking, waiter)), _) => Ok((intake.awaited(asking), Some(Listening { waiter, destination, within }))),
            // Nothing is stored yet: the sender shall come again.
            (None, Ack::Upstream(_)) => Err(Refusal::OVERFULL),
            (None, _) => Ok((intake, None)),
        }
    }

    /// What the sender of a durable event hears. `watch`: since its head had arrived.
    pub(super) async fn heard(&self, mut listening: Listening, appended: Appended, watch: Stopwatch) -> Said {
        let left = listening.within.saturating_sub(watch.elapsed());
        if let Appended::Duplicate(event) = appended {
            match self.known(event, &listening.destination, left).await {
                Ok(Some(said)) => return said,
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%event, %error, "what became of a repeated event cannot be read");
                    return NOT_NOW;
                }
            }
        }
        let left = listening.within.saturating_sub(watch.elapsed());
        match tokio::time::timeout(left, listening.waiter.heard()).await {
            // Such a status is never the last word (RFC 9110 §15.2).
            Ok(Heard::Answer(answer)) if answer.status.is_informational() => UNFIT,
            Ok(Heard::Answer(answer)) => Said::Passed(answer),
            Ok(Heard::Unfit) => UNFIT,
            Ok(Heard::Failed(Failure::Timeout)) | Err(_) => LATE,
            Ok(Heard::Failed(Failure::Interrupted) | Heard::NotNow) => NOT_NOW,
            Ok(Heard::Failed(_)) => FAILED,
        }
    }

    /// What is known of an event that came before; `None` where an attempt may come in time.
    async fn known(&self, event: EventId, destination: &Name, left: Duration) -> Result<Option<Said>, Error> {
        let deliveries = self.store.deliveries_of(event).await?;
        // The newest counts: a replay is what a person wanted instead.
        let Some(newest) = deliveries.into_iter().rfind(|tracked| tracked.delivery.destination == *destination) else {
            return Ok(Some(Said::Stored));
        };
        let delivery = &newest.delivery;
        match delivery.state {
            State::Cancelled { .. } => Ok(Some(Said::Stored)),
            State::Delivered { .. } => {
                let attempts = self.store.attempts(delivery.id).await?;
                let answer = attempts.into_iter().next_back().and_then(|attempt| match attempt.outcome {
                    Outcome::Answered(answer) => self.recorded(answer),
                    Outcome::Failed { .. } => None,
                });
                Ok(Some(answer.map_or(Said::Stored, Said::Passed)))
            }
            State::Pending { due } if !newest.in_flight && !delivery.is_held() && due > self.now().after(left) => {
                Ok(Some(NOT_NOW))
            }
            State::Pending { .. } | State::Parked { .. } => Ok(None),
        }
    }

    /// An answer from the record, where all of it was kept.
    fn recorded(&self, answer: Answer) -> Option<Passed> {
        let Answer { status, headers, body, truncated: false } = answer else { return None };
        let field = |(name, value): &(String, String)| {
            // What was not ASCII may not be what it was.
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value).ok()?))
        };
        let fields: Option<Vec<_>> = headers.iter().map(field).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in fields? {
            headers.append(name, value);
        }
        self.store.waiters().passed(StatusCode::from_u16(status).ok()?, headers, body)
    }
}
