//! What people learn of a running relay: what it was told, without secrets, its certificates, what came of a reload, and what
//! happened in the last day.

use http::Method;
use serde_json::Value;

use crate::process::{Process, run, write_config};
use crate::world::{Upstream, eventually};

/// Runs a command for this relay. It may wait for the relay, so it must not hold its thread.
async fn command(folder: &std::path::Path, relay: &Process, arguments: &[&str]) -> crate::process::Ended {
    let mut all = vec!["--admin".to_owned(), relay.admin.clone()];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let folder = folder.to_owned();
    let ended = tokio::task::spawn_blocking(move || run(&folder, &all.iter().map(String::as_str).collect::<Vec<_>>()));
    ended.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_shown_without_secrets_and_with_what_came_of_the_last_reload() {
    hookhold::net::tls::install_provider();
    let (folder, app) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    let (file, secret) = (folder.path().join("relay.toml"), "k2-of-nobody");
    std::fs::write(folder.path().join("secret"), secret).unwrap();
    let text =
        std::fs::read_to_string(&file).unwrap() + "\ndestinations.two = { url = 'http://user:hidden@127.0.0.1:9/x?hidden' }\n";
    std::fs::write(&file, &text).unwrap();
    let relay = Process::start(folder.path());
    let config = relay.get("/config").await;
    let shown = config.to_string();
    assert!(!shown.contains(secret) && !shown.contains("hidden"), "{shown}");
    assert_eq!(config["config"]["sources"]["gh"]["secrets"][0]["file"], "secret");
    assert_eq!(config["config"]["destinations"]["two"]["url"], "http://***@127.0.0.1:9/x?***");
    assert!(config["text"].as_str().unwrap().contains("provider = \"github\""), "{shown}");
    assert_eq!((&config["file"], &config["last_reload"]), (&"relay.toml".into(), &Value::Null));
    let certificate = &config["certificates"][0];
    assert_eq!(certificate["names"][0], "localhost");
    assert!(certificate["not_after"].as_str().unwrap() > config["loaded_at"].as_str().unwrap(), "{certificate}");

    std::fs::write(&file, text.replace("/in/gh", "/in/other")).unwrap();
    assert_eq!(command(folder.path(), &relay, &["reload"]).await.code, 0);
    let changed = relay.get("/config").await;
    assert_eq!(changed["config"]["sources"]["gh"]["path"], "/in/other");
    assert_eq!(changed["last_reload"]["changed"], serde_json::json!(["sources.gh: changed"]));
    assert!(changed["loaded_at"].as_str() > config["loaded_at"].as_str());

    std::fs::write(&file, text.replace("provider", "provdier")).unwrap();
    assert_eq!(command(folder.path(), &relay, &["reload"]).await.code, 1);
    let refused = relay.get("/config").await;
    assert_eq!((&refused["last_reload"]["done"], &refused["loaded_at"]), (&false.into(), &changed["loaded_at"]));
    assert!(refused["last_reload"]["problems"].to_string().contains("did you mean"), "{refused}");

    let told = command(folder.path(), &relay, &["config"]).await;
    assert_eq!(told.code, 0, "{told:?}");
    for part in ["/in/other", "did you mean", "localhost", "http://***@127.0.0.1:9/x?***"] {
        assert!(told.out.contains(part), "{part} is not in {}", told.out);
    }
    assert!(!told.out.contains(secret) && !told.out.contains("hidden"), "{}", told.out);
    assert_eq!(command(folder.path(), &relay, &["--json", "config"]).await.json()["file"], "relay.toml");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_is_asked_whatever_else_is_wrong_with_its_file() {
    hookhold::net::tls::install_provider();
    let (folder, app) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    let (file, secret) = (folder.path().join("relay.toml"), folder.path().join("secret"));
    let relay = Process::start(folder.path());
    let text = std::fs::read_to_string(&file).unwrap();
    let admin = |address: &str| text.replace("admin = { listen = \"127.0.0.1:0\"", &format!("admin = {{ listen = {address:?}"));
    let found = admin(relay.admin.trim_start_matches("http://"));
    assert_ne!(found, text);
    std::fs::write(&file, found.replace("provider", "provdier")).unwrap();
    std::fs::remove_file(secret).unwrap();
    let asked = async |word: &'static str| {
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || run(&folder, &[word])).await.unwrap()
    };
    assert_eq!(asked("status").await.code, 0);
    let reload = asked("reload").await;
    // The relay's own words: it may know what its caller may not.
    assert!(reload.code == 1 && reload.said.contains("did you mean") && reload.said.contains("secret"), "{reload:?}");

    std::fs::write(&file, admin("nowhere")).unwrap();
    let status = asked("status").await;
    assert!(status.code == 1 && status.said.contains("admin: listen"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_counted_and_survives_a_restart() {
    hookhold::net::tls::install_provider();
    let (folder, app) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    std::fs::write(folder.path().join("secret"), "another").unwrap();
    let relay = Process::start(folder.path());
    for n in 0..3 {
        assert_eq!(relay.send(&n.to_string(), b"{}").await.status, 401, "the secret is another one");
    }
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    assert_eq!(relay.admin(Method::POST, "/reload").await.status, 200);
    for n in 0..2 {
        assert_eq!(relay.send(&n.to_string(), b"{}").await.status, 200);
    }
    let sum = |history: &Value, count: &str| {
        history["items"].as_array().unwrap().iter().map(|step| step[count].as_u64().unwrap()).sum::<u64>()
    };
    let sums = |history: &Value| ["accepted", "refused", "delivered"].map(|count| sum(history, count));
    eventually(async || (sums(&relay.get("/history").await) == [2, 3, 2]).then_some(())).await;
    assert!(relay.get("/history").await["items"].as_array().unwrap().len() <= 2);
    let told = command(folder.path(), &relay, &["status", "--history"]).await;
    assert!(told.code == 0 && told.out.contains("FAILED ATTEMPTS"), "{told:?}");
    assert_eq!(sums(&command(folder.path(), &relay, &["--json", "status", "--history"]).await.json()), [2, 3, 2]);

    // An orderly end keeps what was counted.
    std::process::Command::new("kill").arg(relay.id().to_string()).status().unwrap();
    let kept = || std::fs::read(folder.path().join("data/history.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
    eventually(async || {
        let history = serde_json::json!({ "items": kept().unwrap_or(Value::Array(Vec::new())) });
        (sums(&history) == [2, 3, 2]).then_some(())
    })
    .await;
    drop(relay);
    let relay = Process::start(folder.path());
    assert_eq!(sums(&relay.get("/history").await), [2, 3, 2]);
}
