//! One attempt: one HTTP exchange within a time, and what came of it. Decides nothing.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, StatusCode};
use tokio_util::sync::CancellationToken;

use super::road::Road;
use super::token::NoToken;
use crate::net::client::{self, Payload};
use crate::record::{Answer, Failure, Outcome};

/// Sends `request` and gives the outcome: within the destination's time for the whole exchange, the fetch of a token included, or
/// [`Failure::Interrupted`] once `cut` is set. Beside it stands the answer with as many as `keep` bytes of its body, of which the
/// outcome has the first.
pub(super) async fn run(
    road: &Road,
    request: Request<Payload>,
    keep: usize,
    cut: &CancellationToken,
) -> (Outcome, Option<client::Answer>) {
    let time = road.destination.timeout;
    let exchange = tokio::time::timeout(time, exchange(road, request, keep));
    let failed = |failure, detail| (Outcome::Failed { failure, detail }, None);
    tokio::select! {
        // An answer that is there counts.
        biased;
        exchanged = exchange => match exchanged {
            Ok(Ok(answer)) => (Outcome::Answered(kept(&answer)), Some(answer)),
            Ok(Err(error)) => (error.into(), None),
            Err(_) => failed(Failure::Timeout, format!("no whole answer within {time:?}")),
        },
        () = cut.cancelled() => failed(Failure::Interrupted, "the relay ended".to_owned()),
    }
}

/// Why there is no answer.
enum NoAnswer {
    Token(NoToken),
    Exchange(client::Error),
}

impl From<NoAnswer> for Outcome {
    fn from(why: NoAnswer) -> Self {
        match why {
            NoAnswer::Token(error) => Self::Failed { failure: error.failure, detail: error.to_string() },
            NoAnswer::Exchange(error) => Self::Failed { failure: kind(&error), detail: in_words(&error) },
        }
    }
}

/// The exchange, with a token where one is needed.
async fn exchange(road: &Road, mut request: Request<Payload>, keep: usize) -> Result<client::Answer, NoAnswer> {
    let Some(tokens) = &road.tokens else {
        return road.pool.exchange(request, keep).await.map_err(NoAnswer::Exchange);
    };
    let token = tokens.authorization().await.map_err(NoAnswer::Token)?;
    request.headers_mut().insert(AUTHORIZATION, token.clone());
    let answer = road.pool.exchange(request, keep).await.map_err(NoAnswer::Exchange)?;
    if answer.status == StatusCode::UNAUTHORIZED {
        tokens.refused(&token);
    }
    Ok(answer)
}

fn kept(answer: &client::Answer) -> Answer {
    let (headers, cut) = kept_headers(&answer.headers);
    let body = match answer.body.get(..Answer::BODY_BYTES_MAX) {
        // Copied: a part would keep the whole alive.
        Some(first) => Bytes::copy_from_slice(first),
        None => answer.body.clone(),
    };
    let truncated = cut || answer.truncated || body.len() < answer.body.len();
    Answer { status: answer.status.as_u16(), headers, body, truncated }
}

fn kept_headers(headers: &HeaderMap) -> (Vec<(String, String)>, bool) {
    let mut cut = headers.len() > Answer::HEADERS_MAX;
    let mut keep = |value: &http::HeaderValue| {
        let bytes = value.as_bytes();
        cut |= bytes.len() > Answer::HEADER_VALUE_BYTES_MAX;
        String::from_utf8_lossy(&bytes[..bytes.len().min(Answer::HEADER_VALUE_BYTES_MAX)]).into_owned()
    };
    let kept = headers.iter().take(Answer::HEADERS_MAX).map(|(name, value)| (name.to_string(), keep(value))).collect();
    (kept, cut)
}

pub(super) fn kind(error: &client::Error) -> Failure {
    match error {
        client::Error::Dns(_) => Failure::Dns,
        client::Error::Connect(_) => Failure::Connect,
        client::Error::Tls(_) => Failure::Tls,
        client::Error::Reset(_) => Failure::Reset,
        client::Error::Protocol(_) => Failure::Protocol,
    }
}

/// The error and what it comes from, in one line.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}
