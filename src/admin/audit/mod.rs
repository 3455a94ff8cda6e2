//! Everything that changes something goes through here: it is written down who wants what before it is done, and what came of it
//! afterwards.
//!
//! There is one place for all of it, around the router, so a new route cannot forget it. What cannot be written down is not done
//! (503): a change that nobody can account for is worse than one that waits for a disk. Two things are done all the same, since
//! nothing is changed by them and somebody must be able to look: logging in, and logging out. A change goes on to its end when its
//! caller goes away, so that what came of it is known.
//! Never here: what a body says beside the words in `words`, anything that somebody says whom nobody knows, or a decision.

mod words;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::{Caller, Door, acts};
use super::problem::Problem;
use super::{BODY_BYTES_MAX, Peer};
use crate::store::{AuditLog, AuditOutcome, Deed};

/// Who calls where there are no tokens.
const NOBODY: &str = "loopback";
/// Paths that change nothing but who is logged in.
const SESSION_PATHS: [&str; 2] = ["/login", "/logout"];
/// The word for a call with a wrong token that would only look.
const GUESS: &str = "token";
/// A list of names comes at once; whoever sends slower holds a connection for no reason.
const BODY_TIME: Duration = Duration::from_secs(20);
/// More of what was told is not kept.
const DETAIL_CHARS_MAX: usize = 500;

/// What came of a change, in words: an extension of its answer. Problems bring it; a handler adds it where the status says too little.
#[derive(Clone)]
pub(super) struct Told(pub(super) String);

/// Lets a request through. If it changes something, it is known before and after.
pub(super) async fn watch(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    // What no route takes changes nothing.
    let Some(deed) = deed(&request).filter(|_| acts(request.method(), request.uri().path())) else {
        return next.run(request).await;
    };
    if SESSION_PATHS.contains(&request.uri().path()) {
        let answer = next.run(request).await;
        let (caller, outcome) = (answer.extensions().get::<Caller>().cloned(), outcome(&answer));
        note_session(&door.context.audit, deed, caller, outcome).await;
        return answer;
    }
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(body) => body.map_err(|_| Problem::large_body()),
        Err(_) => Err(Problem::bad_body("the body did not come in time")),
    };
    let deed = Deed { parameters: body.as_ref().ok().and_then(words::parameters), ..deed };
    let (log, action) = (door.context.audit.clone(), deed.action.clone());
    let begun = blocking(&log, move |log| log.begin(deed)).await;
    let id = match begun {
        Ok(id) => id,
        Err(error) => {
            tracing::error!(action, %error, "the audit log cannot be written, so nothing is changed");
            return Problem::unavailable(&format!("the audit log cannot be written, so nothing was changed: {error}"))
                .into_response();
        }
    };
    let done = tokio::spawn(async move {
        let answer = match body {
            Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
            Err(problem) => problem.into_response(),
        };
        let outcome = outcome(&answer);
        let ended = blocking(&log, move |log| log.end(id, outcome)).await;
        if let Err(error) = ended {
            tracing::error!(action, %id, %error, "what came of a change cannot be written to the audit log");
        }
        answer
    });
    done.await.unwrap_or_else(|_| Problem::failed("it ended in the middle; look whether it was done").into_response())
}

/// What is written of somebody who was turned away; `None`: they only looked. `is_guess`: with a token that is not known.
pub(super) fn refusal(request: &Request, caller: Option<&Caller>, (problem, is_guess): (&Problem, bool)) -> Option<Refusal> {
    let is_change = acts(request.method(), request.uri().path());
    (is_change || is_guess).then_some(())?;
    let known = deed(request).filter(|_| is_change);
    let deed = known.unwrap_or_else(|| Deed { action: GUESS.to_owned(), peer: peer(request), ..Deed::default() });
    // Whom nobody knows says nothing here: not even what it was about.
    let target = deed.target.filter(|_| caller.is_some());
    let (who, role) = (caller.map(who), caller.map(|caller| caller.role.as_str().to_owned()));
    let outcome = AuditOutcome { status: problem.status().as_u16(), detail: Some(problem.to_string()) };
    Some(Refusal { deed: Deed { who, role, target, ..deed }, outcome })
}

/// Somebody was turned away.
pub(super) struct Refusal {
    deed: Deed,
    outcome: AuditOutcome,
}

impl Refusal {
    /// Writes it, or counts it.
    pub(super) async fn keep(self, log: &Arc<AuditLog>) {
        let Self { deed, outcome } = self;
        if let Err(error) = blocking(log, move |log| log.refused(deed, outcome)).await {
            tracing::error!(%error, "a refusal cannot be written to the audit log");
        }
    }
}

/// A login or a logout: who, once that is known. A wrong token is a refusal like any other.
async fn note_session(log: &Arc<AuditLog>, deed: Deed, caller: Option<Caller>, outcome: AuditOutcome) {
    let noted = match (caller, StatusCode::from_u16(outcome.status)) {
        (Some(caller), _) => {
            let deed = Deed { who: Some(who(&caller)), role: Some(caller.role.as_str().to_owned()), ..deed };
            blocking(log, move |log| log.note(deed, outcome)).await
        }
        (None, Ok(StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)) => {
            let deed = Deed { who: None, role: None, ..deed };
            blocking(log, move |log| log.refused(deed, outcome)).await
        }
        (None, _) => Ok(()),
    };
    if let Err(error) = noted {
        tracing::error!(%error, "a login cannot be written to the audit log");
    }
}

/// Who, from where, and what; `None` where no route takes it.
fn deed(request: &Request) -> Option<Deed> {
    let (action, target) = words::action(request)?;
    let caller = request.extensions().get::<Caller>();
    let role = caller.map(|caller| caller.role.as_str().to_owned());
    Some(Deed { who: caller.map(who), role, peer: peer(request), action, target, parameters: None })
}

fn who(caller: &Caller) -> String {
    caller.who.as_ref().map_or_else(|| NOBODY.to_owned(), ToString::to_string)
}

fn peer(request: &Request) -> Option<std::net::IpAddr> {
    request.extensions().get::<Peer>().map(|Peer(address)| *address)
}

fn outcome(answer: &Response) -> AuditOutcome {
    let told = answer.extensions().get::<Told>();
    let detail = told.map(|Told(text)| text.chars().take(DETAIL_CHARS_MAX).collect());
    AuditOutcome { status: answer.status().as_u16(), detail }
}

/// Disks are waited for elsewhere.
async fn blocking<T: Send + 'static>(
    log: &Arc<AuditLog>,
    write: impl FnOnce(&AuditLog) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let log = log.clone();
    tokio::task::spawn_blocking(move || write(&log)).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
