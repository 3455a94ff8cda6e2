//! What the API can do, the command line can: each operation with the command that calls it, tried against a server that notes who
//! calls what. An operation without a command fails here.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::process::run;
use crate::world::{Reply, Upstream};

const ID: &str = "019abf3c-2b7b-7c43-a1de-3d4a4f1c9f60";

/// Method and path of an operation, and a command that calls it.
const TABLE: &[(&str, &str, &[&str])] = &[
    ("GET", "/events", &["events", "list", "--q", "x", "--since", "2026-01-01T00:00:00Z"]),
    ("GET", "/events/{id}", &["events", "show", ID]),
    ("GET", "/events/{id}/body", &["events", "body", ID]),
    ("POST", "/events/{id}/replay", &["replay", ID]),
    ("GET", "/deliveries", &["deliveries", "list", "--event", ID, "--cursor", "x"]),
    ("GET", "/deliveries/{id}", &["deliveries", "show", ID]),
    ("POST", "/deliveries/{id}/retry", &["retry", ID]),
    ("POST", "/deliveries/{id}/park", &["park", ID]),
    ("POST", "/deliveries/{id}/cancel", &["cancel", ID]),
    ("POST", "/deliveries/retry", &["retry", "--destination", "app"]),
    ("POST", "/deliveries/cancel", &["cancel", "--destination", "app"]),
    ("GET", "/destinations", &["destinations", "list"]),
    ("GET", "/destinations/{name}", &["destinations", "show", "app"]),
    ("POST", "/destinations/{name}/pause", &["destinations", "pause", "app"]),
    ("POST", "/destinations/{name}/resume", &["destinations", "resume", "app"]),
    ("GET", "/sources", &["sources", "list"]),
    ("POST", "/sources/{name}/pause", &["sources", "pause", "gh"]),
    ("POST", "/sources/{name}/resume", &["sources", "resume", "gh"]),
    ("POST", "/sources/{name}/arm", &["arm", "gh"]),
    ("POST", "/sources/{name}/disarm", &["disarm", "gh"]),
    ("GET", "/replays", &["replays", "list"]),
    ("POST", "/replays", &["replay", "--source", "gh", "--detach"]),
    ("GET", "/replays/{id}", &["replays", "show", ID]),
    ("POST", "/replays/{id}/pause", &["replays", "pause", ID]),
    ("POST", "/replays/{id}/resume", &["replays", "resume", ID]),
    ("POST", "/replays/{id}/cancel", &["replays", "cancel", ID]),
    ("GET", "/quarantine", &["quarantine", "list", "--reason", "mismatch"]),
    ("GET", "/quarantine/reasons", &["quarantine", "reasons"]),
    ("GET", "/quarantine/{id}", &["quarantine", "show", ID]),
    ("GET", "/quarantine/{id}/body", &["quarantine", "body", ID]),
    ("POST", "/quarantine/release", &["quarantine", "release"]),
    ("DELETE", "/quarantine/{id}", &["quarantine", "drop", ID]),
    ("GET", "/status", &["status"]),
    ("GET", "/history", &["status", "--history"]),
    ("GET", "/config", &["config"]),
    ("GET", "/audit", &["audit"]),
    ("GET", "/live", &["tail"]),
    ("GET", "/alerts", &["alerts"]),
    ("POST", "/alerts/test", &["alerts", "test"]),
    ("POST", "/reload", &["reload"]),
    ("GET", "/backup", &["backup", "folder"]),
];

/// What `hookhold openapi` prints.
fn described() -> Value {
    serde_json::from_str(&run(Path::new("."), &["openapi"]).out).unwrap()
}

#[test]
fn each_operation_has_a_command() {
    let described = described();
    let paths =
        described["paths"].as_object().unwrap().iter().filter_map(|(path, item)| Some((path.strip_prefix("/api/v1")?, item)));
    let operations: BTreeSet<String> = paths
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase())))
        .collect();
    let table: BTreeSet<String> = TABLE.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(table, operations, "add the command of an operation to the table, and to the command line");
}

#[tokio::test]
async fn each_command_calls_its_operation() {
    let folder = tempfile::tempdir().unwrap();
    for (method, path, command) in TABLE {
        // One for each: what a command leaves of a script is not the next one's.
        let server = Upstream::start().await;
        // Who reads a stream comes back when it ends, unless it is refused.
        let status = if *path == "/live" { 403 } else { 200 };
        let reply = Reply { status, body: br#"{"items": [], "next": null}"#.into(), ..Reply::default() };
        server.script([reply.clone(), reply.clone(), reply]);
        let address = format!("http://{}", server.address);
        let (arguments, at) = (
            [&["--admin", &*address, "--json"][..], command].concat().iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(),
            folder.path().to_owned(),
        );
        // How it ends does not matter: the server is no relay.
        let ended = tokio::task::spawn_blocking(move || run(&at, &arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        let ended = ended.await.unwrap();
        let called: Vec<String> = server.requests().iter().map(|got| format!("{} {}", got.method, got.target)).collect();
        let fits = |got: &String| got.strip_prefix(&format!("{method} /api/v1")).is_some_and(|target| fits(path, target));
        assert!(called.iter().any(fits), "{command:?} does not call {method} {path}, but {called:?}: {ended:?}");
    }
}

/// Whether a target is of this path.
fn fits(path: &str, target: &str) -> bool {
    let target = target.split('?').next().unwrap_or_default();
    let (path, target): (Vec<_>, Vec<_>) = (path.split('/').collect(), target.split('/').collect());
    path.len() == target.len() && path.iter().zip(target).all(|(a, b)| *a == b || (a.starts_with('{') && !b.is_empty()))
}
