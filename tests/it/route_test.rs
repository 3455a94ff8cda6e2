//! `hookhold route test`, as a person or a script runs it on captured requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Ended, run};
use crate::world::github_signature;

const RELAY: &str = r#"
[listen]
https = "127.0.0.1:0"
[tls]
self_signed = true
[sources.gh]
path = "/in/gh/*"
provider = "github"
secrets = [{ file = "secret" }]
[sources.slack]
path = "/in/slack"
host = "hooks.example"
provider = "slack"
secrets = [{ file = "secret" }]
[destinations.ci]
url = "http://127.0.0.1:3000/"
[destinations.audit]
url = "http://127.0.0.1:3000/"
[[routes]]
from = ["gh", "slack"]
to = "ci"
when = { type = "push", body = { "/amount" = { gt = 100 } }, header = { "x-a" = { in = ["1", "2"] } } }
[[routes]]
from = "gh"
to = ["audit"]
otherwise = true
"#;

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("relay.toml"), RELAY).unwrap();
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    folder
}

/// A request as GitHub signs it with this secret.
fn captured(name: &str, url: &str, secret: &str, (kind, a): (&str, &str), body: &str) -> Value {
    let signature = github_signature(secret, body.as_bytes());
    let headers = [["X-GitHub-Event", kind], ["X-Hub-Signature-256", &signature], ["x-a", a]];
    json!({ "name": name, "method": "POST", "url": url, "headers": headers, "body_base64": STANDARD.encode(body) })
}

fn test(requests: &Value, more: &[&str]) -> Ended {
    let folder = folder();
    std::fs::write(folder.path().join("requests.json"), requests.to_string()).unwrap();
    run(folder.path(), &[&["route", "test", "requests.json"], more].concat())
}

#[test]
fn a_person_sees_which_condition_fails_and_where_it_would_go() {
    let long = "x".repeat(1000);
    let ended = test(
        &json!([
            captured("fits", "https://relay.example/in/gh/x?y=1", "s", ("push", "2"), r#"{"amount":100.5}"#),
            captured("old", "/in/gh", "another", ("push", &long), r#"{"amount":"100.5"}"#),
            captured("form", "/in/gh", "s", ("ping", "1"), "amount=101"),
        ]),
        &[],
    );
    let expected = format!(
        r#"fits: source gh, type "push", verified
  line 19 (to ci) takes it
  line 23 (to audit, otherwise) is for what no other takes
  would go to ci
old: source gh, type "push", not verified (mismatch): no secret makes this signature from these bytes: wrong secret, or the request was changed
  If it were verified:
  line 19 (to ci) leaves it
    header x-a: in ["1", "2"], but it is "{}..."
    body "/amount": gt 100, but it is "100.5"
  line 23 (to audit, otherwise) takes it
  would go to audit
form: source gh, type "ping", verified
  line 19 (to ci) leaves it
    type: glob "push", but it is "ping"
    body "/amount": gt 100, but the body is not JSON
  line 23 (to audit, otherwise) takes it
  would go to audit
"#,
        "x".repeat(80)
    );
    assert_eq!((ended.code, ended.out.as_str()), (0, expected.as_str()), "{}", ended.said);
}

#[test]
fn a_program_reads_a_line_a_request() {
    let ended = test(&captured("r", "/in/gh", "s", ("push", "3"), r#"{"amount":101}"#), &["--json"]);
    let expected = json!({
        "name": "r", "source": "gh", "outcome": "accept", "reason": null, "type": "push",
        "routes": [
            { "line": 19, "to": ["ci"], "otherwise": false, "takes": false,
              "failed": [{ "condition": "header x-a: in [\"1\", \"2\"]", "found": "it is \"3\"" }] },
            { "line": 23, "to": ["audit"], "otherwise": true, "takes": true, "failed": [] },
        ],
        "destinations": ["audit"],
    });
    assert_eq!(ended.json(), expected);
    assert_eq!(ended.out.lines().count(), 1);
}

#[test]
fn what_would_go_nowhere_is_a_failure_and_a_handshake_is_not() {
    let code = |request: Value, more: &[&str]| {
        let ended = test(&request, &[more, &["--json"]].concat());
        (ended.code, ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>())
    };
    let slack = |url| captured("r", url, "s", ("push", "1"), r#"{"amount":1}"#);
    // Of Slack there is no catch-all.
    let (nowhere, told) = code(slack("https://hooks.example:443/in/slack"), &[]);
    assert_eq!(
        (nowhere, &told[0]["source"], &told[0]["outcome"], &told[0]["destinations"]),
        (1, &json!("slack"), &json!("reject"), &json!([]))
    );
    // One that goes somewhere does not make up for it.
    assert_eq!(code(json!([slack("/in/gh"), slack("/in/unknown")]), &[]).0, 1);
    assert_eq!(code(slack("/in/unknown"), &["--source", "gh"]).0, 0);
    let challenge = captured(
        "r",
        "https://hooks.example/in/slack",
        "s",
        ("", ""),
        r#"{"type":"url_verification","challenge":"c","token":"t"}"#,
    );
    let (code_of_handshake, told) = code(challenge, &[]);
    assert_eq!((code_of_handshake, &told[0]["outcome"], &told[0]["routes"]), (0, &json!("handshake"), &json!([])));
    let mut put = slack("/in/gh");
    put["method"] = "PUT".into();
    let (of_put, told) = code(put, &[]);
    assert!(of_put == 1 && told[0]["reason"].as_str().unwrap().contains("405"), "{told:?}");
    let unknown = test(&slack("/in/gh"), &["--source", "nobody"]);
    assert_eq!((unknown.code, unknown.said.as_str()), (4, "error: no source is named \"nobody\"\n"));
}
