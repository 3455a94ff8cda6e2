//! The audit log of a real relay: what is done without a call, and that it is there after a kill.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, run};
use crate::world::eventually;

const RELAY: &str = r#"
    [listen]
    https = "127.0.0.1:0"
    [tls]
    self_signed = true
    [admin]
    listen = "127.0.0.1:0"
    audit = { for = "1d", max_bytes = "1MiB" }
    [sources.gh]
    path = "/in/gh"
    provider = "none"
"#;

async fn entries(relay: &Process) -> Vec<[String; 3]> {
    let listed = relay.get("/audit").await;
    assert_eq!(listed["damaged"], 0, "{listed}");
    let words = |entry: &Value| ["who", "action", "result"].map(|field| entry[field].as_str().unwrap().to_owned());
    listed["items"].as_array().unwrap().iter().map(words).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_is_known_after_a_kill() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("relay.toml"), RELAY).unwrap();
    let relay = Process::start(folder.path());
    assert_eq!(relay.admin(Method::POST, "/sources/gh/pause").await.status, 200);
    Command::new("sh").arg("-c").arg(format!("kill -HUP {}", relay.id())).status().unwrap();
    let expected = [["signal", "reload", "done"], ["loopback", "sources.pause", "done"]].map(|one| one.map(str::to_owned));
    eventually(async || (entries(&relay).await == expected).then_some(())).await;
    drop(relay);
    let log = folder.path().join("data/audit");
    let of_changes = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("changes-"));
    let file = std::fs::read_dir(&log).unwrap().map(|file| file.unwrap().path()).find(of_changes).unwrap();
    std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(b"{\"id\":\"torn").unwrap();
    let relay = Process::start(folder.path());
    assert_eq!(entries(&relay).await, expected);
    let peer = relay.get("/audit?who=loopback").await["items"][0]["peer"].clone();
    assert_eq!(peer, "127.0.0.1");
    assert_eq!(relay.admin(Method::POST, "/sources/gh/resume").await.status, 200);
    drop(relay);
    let rebuilt = run(folder.path(), &["doctor", "--rebuild-index"]);
    assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
    let relay = Process::start(folder.path());
    let newer = [["command", "doctor.rebuild-index", "done"], ["loopback", "sources.resume", "done"]];
    assert_eq!(entries(&relay).await, [newer.map(|one| one.map(str::to_owned)), expected].concat());
}
