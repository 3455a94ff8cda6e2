//! `quarantine/reasons`: what is kept aside by source and reason, and what a person may do about it. It is where somebody looks who
//! finds the quarantine full: a wrong secret shows as one line, however many requests it cost.
//!
//! It says where relay.toml has a source's secrets, never what they are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use toml::{Table, Value};
use utoipa::ToSchema;

use crate::admin::Context;
use crate::admin::parameters::NoParameters;
use crate::record::Name;
use crate::signature::Reason;
use crate::store::QuarantineGroup;
use crate::time::Timestamp;

/// Lines of one answer. Who has more has other troubles, and the list.
const LINES_MAX: usize = 500;

/// What is kept aside, by source and reason.
#[derive(Serialize, ToSchema)]
pub(super) struct QuarantineReasons {
    /// The largest first; the 500 largest where there are more.
    items: Vec<ReasonView>,
}

/// What is kept of one source for one reason.
#[derive(Serialize, ToSchema)]
#[schema(as = QuarantineReason)]
struct ReasonView {
    source: Name,
    #[schema(value_type = Reason)]
    reason: Arc<str>,
    /// The reason as a sentence.
    #[schema(required)]
    detail: Option<String>,
    requests: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    /// Where relay.toml says that the source's secrets are, such as `file /run/secrets/github` or `env GITHUB_SECRET`.
    secrets: Vec<String>,
    /// What a person may do.
    advice: String,
}

/// What is kept aside, by source and reason, and what to do about it.
#[utoipa::path(
    get, path = "/quarantine/reasons", operation_id = "listQuarantineReasons", tag = "quarantine",
    responses((status = 200, description = "A line for each source and reason.", body = QuarantineReasons))
)]
pub(super) async fn list(State(context): State<Arc<Context>>, _: NoParameters) -> Json<QuarantineReasons> {
    let configuration = context.configuration.snapshot();
    let mut groups = context.quarantine.groups();
    groups.truncate(LINES_MAX);
    Json(QuarantineReasons { items: groups.into_iter().map(|group| view(group, &configuration.shown.table)).collect() })
}

fn view(group: QuarantineGroup, relay: &Table) -> ReasonView {
    let QuarantineGroup { source, reason, requests, first_at, last_at } = group;
    let known = Reason::from_word(&reason);
    let written = relay.get("sources").and_then(|sources| sources.get(source.as_str()));
    let secrets = written.map(places).unwrap_or_default();
    let advice = match (written, known) {
        (None, _) => "relay.toml has no such source any more: nothing can judge them again".to_owned(),
        (_, Some(known)) => advice(known, &secrets),
        (_, None) => LOOK.to_owned(),
    };
    ReasonView { source, reason, detail: known.map(|known| known.to_string()), requests, first_at, last_at, secrets, advice }
}

/// Where a source's secrets are, in the words of relay.toml.
fn places(source: &Value) -> Vec<String> {
    let secrets = source.get("secrets").and_then(Value::as_array).into_iter().flatten();
    let named = |secret: &Value| {
        let place = ["env", "file"].into_iter().find_map(|key| Some((key, secret.get(key)?.as_str()?)));
        place.map(|(key, name)| format!("{key} {name}"))
    };
    secrets.filter_map(named).collect()
}

const LOOK: &str = "look at one of them: it is not what the provider's scheme says";

/// What helps, where something does.
fn advice(reason: Reason, secrets: &[String]) -> String {
    let at = if secrets.is_empty() { "what the source proves them by".to_owned() } else { secrets.join(", ") };
    match reason {
        Reason::Mismatch => format!("compare {at} with what the provider shows; when it is right, reload and release"),
        Reason::NoSecret => format!("every secret has ended (`until`), or has not come yet: see {at}; then reload and release"),
        Reason::KeyUnavailable => "see that the relay can reach what the provider publishes; then release".to_owned(),
        Reason::UnknownKey => "they name a key that is not known: see the source's keys; then reload and release".to_owned(),
        Reason::BadCertificate => {
            "see the certificate that the provider signs by, and the source's roots; then release".to_owned()
        }
        Reason::TimestampTooOld | Reason::TimestampInFuture => {
            "compare the clocks: they are judged by when they came, so a release changes nothing; single ones can be vouched for"
                .to_owned()
        }
        Reason::MissingHeader => {
            "nobody signed them: scanners send such, or the provider has no secret yet, or is another than the source says"
                .to_owned()
        }
        Reason::OtherRecipient => "the provider signed them for somebody else: see what the source requires".to_owned(),
        Reason::BadEncoding
        | Reason::UnknownVersion
        | Reason::MissingTimestamp
        | Reason::BadTimestamp
        | Reason::MissingPart
        | Reason::BadClaim => format!("{LOOK}; is `provider` the one that sends?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_to_look_and_never_what_is_there() {
        let relay: Table = "[sources.gh]\nsecrets = [{ file = \"a\" }, { env = \"B\" }, \"***\"]".parse().unwrap();
        let line = |source: &str, reason: &str| {
            let at = Timestamp::from_ms(1);
            let source = Name::try_new(source).unwrap();
            view(QuarantineGroup { source, reason: reason.into(), requests: 1, first_at: at, last_at: at }, &relay)
        };
        let found = line("gh", "mismatch");
        assert_eq!(found.secrets, ["file a", "env B"]);
        assert!(found.advice.contains("compare file a, env B with"), "{}", found.advice);
        assert!(line("gone", "mismatch").advice.contains("no such source"));
        assert!(line("gh", "of a later version").advice.contains("look at one"));
        Reason::ALL.into_iter().for_each(|reason| assert!(!advice(reason, &[]).is_empty()));
    }
}
