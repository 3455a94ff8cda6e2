//! `hookhold verify`: would captured requests be believed, and if not, why?

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use crate::signature::{Captured, Judgement, Outcome, Reason, verify_captured};
use crate::time::{Clock, Timestamp};

/// Judges captured requests against their provider's rules: accepted, a handshake, or exactly why not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A JSON file with one captured request or a list of them; `-` for standard input.
    file: PathBuf,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Prints a line for each request; succeeds where all are accepted, or answered as handshakes.
pub(super) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let requests = requests(&args.file)?;
    let now = Clock::system().now();
    let mut out = std::io::stdout().lock();
    let mut all_good = true;
    for request in requests {
        let (name, outcome) = judge(request, now);
        all_good &= outcome.judgement != Judgement::Reject;
        if json {
            serde_json::to_writer(&mut out, &Line { name: &name, outcome })?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", sentence(&name, &outcome))?;
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The request's name, and what became of it.
fn judge(request: Value, now: Timestamp) -> (String, Outcome) {
    let name = name_of(&request);
    let outcome = match serde_json::from_value::<Captured>(request) {
        Ok(mut captured) => {
            // A request that does not say when it arrived arrives now.
            captured.now_unix.get_or_insert(now.seconds() as f64);
            verify_captured(&captured)
        }
        Err(error) => Outcome::reject(error.to_string()),
    };
    (name, outcome)
}

/// What a captured request is called.
pub(super) fn name_of(request: &Value) -> String {
    let name = |key: &str| request.get(key).and_then(Value::as_str).filter(|name| !name.is_empty());
    name("name").or_else(|| name("id")).unwrap_or("request").to_owned()
}

/// The captured requests of a file, of which there is at least one; `-` stands for standard input.
pub(super) fn requests(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = if file.as_os_str() == "-" {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(file)
    };
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    let value = serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    let requests = if let Value::Array(list) = value { list } else { vec![value] };
    anyhow::ensure!(!requests.is_empty(), "{} holds no request", file.display());
    Ok(requests)
}

fn sentence(name: &str, outcome: &Outcome) -> String {
    match (&outcome.judgement, &outcome.reason) {
        (Judgement::Accept, _) => format!("{name}: accepted"),
        (Judgement::Handshake, _) => match &outcome.handshake_response {
            Some(answer) => {
                let visit = outcome.confirm.as_ref().map(|address| format!(" once {address} was visited"));
                format!("{name}: a handshake, answered {} {:?}{}", answer.status, answer.body, visit.unwrap_or_default())
            }
            None => format!("{name}: a handshake"),
        },
        (Judgement::Reject, None) => format!("{name}: rejected"),
        (Judgement::Reject, Some(word)) => match Reason::from_word(word) {
            Some(reason) => format!("{name}: rejected ({word}): {reason}"),
            None => format!("{name}: rejected: {word}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_the_file_gets_an_answer() {
        let said = |json: &str| {
            let (name, outcome) = judge(serde_json::from_str(json).unwrap(), Timestamp::from_ms(0));
            sentence(&name, &outcome)
        };
        assert_eq!(said(r#"{"id":"a","name":"","provider":"none"}"#), "a: accepted");
        assert!(
            said(r#"{"name":"b","provider":"github","secrets":["k"]}"#)
                .starts_with("b: rejected (missing_header): the signature is")
        );
        for nonsense in ["1", "null", "[]", r#"{"headers":[["a"]]}"#, r#"{"secrets":null}"#] {
            assert!(said(nonsense).starts_with("request: rejected: "), "{nonsense}");
        }
    }
}
