//! Backup and restore with the real program: of a relay at work, of a store at rest, and of backups that are not whole.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hookhold::net::tls;
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, run};
use crate::world::{Reply, Upstream, eventually, nowhere};

/// Events that a backup must hold.
const EVENTS: usize = 120;
/// Senders while a backup is made.
const SENDERS: usize = 8;

/// Writes a relay.toml: four destinations, one that takes everything, one that fails, one that refuses, one that hangs.
fn write_config(folder: &Path, [good, fails, refuses, hangs]: [&str; 4]) {
    fs::write(folder.join("secret"), "s").unwrap();
    let text = format!(
        r#"
        listen = {{ https = "127.0.0.1:0" }}
        tls = {{ self_signed = true }}
        admin = {{ listen = "127.0.0.1:0" }}
        store = {{ path = "data" }}
        sources.gh = {{ path = "/in/gh", provider = "github", secrets = [{{ file = "secret" }}] }}
        destinations.good = {{ url = "http://{good}/" }}
        destinations.fails = {{ url = "http://{fails}/", retry = {{ schedule = ["10ms", "2h"] }} }}
        destinations.refuses = {{ url = "http://{refuses}/" }}
        destinations.hangs = {{ url = "http://{hangs}/", in_flight = 1, timeout = "10m" }}
        routes = [{{ from = "gh", to = ["good", "fails", "refuses", "hangs"] }}]
        "#
    );
    fs::write(folder.join("relay.toml"), text).unwrap();
}

fn body(n: usize) -> Vec<u8> {
    let length = [0, 3, 700, 60_000, 200_000][n % 5];
    let text = format!("{{\"n\":{n}}}").into_bytes();
    text.iter().copied().cycle().take(length + text.len()).collect()
}

/// Sends the events that the backup must hold; their ids, by those of the provider.
async fn fill(relay: &Process) -> HashMap<String, String> {
    let mut ids = HashMap::new();
    for n in 0..EVENTS {
        let answer = relay.send(&format!("evt-{n}"), &body(n)).await;
        assert_eq!(answer.status, 200);
        ids.insert(format!("evt-{n}"), answer.headers["hookhold-event-id"].to_str().unwrap().to_owned());
    }
    // One was sent again.
    assert_eq!(relay.send("evt-0", &body(0)).await.status, 200);
    // The first attempts are over, so that nothing of these events changes any more.
    let settled = |counts: &Value| [&counts["delivered"], &counts["parked"]] == [&Value::from(EVENTS); 2];
    eventually(async || settled(&relay.get("/status").await["counts"]).then_some(())).await;
    eventually(async || {
        let failing = relay.get("/deliveries?state=pending&destination=fails&limit=500").await;
        let items = failing["items"].as_array().unwrap();
        // Those that are under way are not listed.
        (items.len() == EVENTS && items.iter().all(|delivery| delivery["attempts_made"] == 2)).then_some(())
    })
    .await;
    ids
}

/// An event as the admin API shows it. A delivery in flight is pending after a restart.
async fn shown(relay: &Process, id: &str) -> Value {
    let mut event = relay.get(&format!("/events/{id}")).await;
    for delivery in event["deliveries"].as_array_mut().unwrap() {
        if delivery["state"] == "in_flight" {
            delivery["state"] = "pending".into();
        }
        // That of relay.toml, which is another one after the restore.
        delivery["url"] = Value::Null;
        // The restored relay delivers these at once.
        if delivery["destination"] == "hangs" {
            *delivery = Value::Null;
        }
    }
    event
}

fn only_file(folder: &Path) -> PathBuf {
    let mut names = fs::read_dir(folder).unwrap();
    let file = names.next().unwrap().unwrap().path();
    assert!(names.next().is_none());
    file
}

/// Backs a relay up while it has work to do; what the command said.
async fn back_up_under_load(relay: &Arc<Process>, folder: &Path) -> Value {
    let is_over = Arc::new(AtomicBool::new(false));
    let senders = (0..SENDERS).map(|sender| {
        let (relay, is_over) = (relay.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut n = 0;
            while !is_over.load(Ordering::SeqCst) {
                assert_eq!(relay.send(&format!("later-{sender}-{n}"), &body(n)).await.status, 200);
                n += 1;
            }
            n
        })
    });
    let senders: Vec<_> = senders.collect();
    // Some of the load is there before the backup begins.
    eventually(async || (relay.get("/status").await["store"]["events"].as_u64().unwrap() > EVENTS as u64 + 20).then_some(()))
        .await;
    let (folder, backup, address) = (folder.to_owned(), folder.join("backup"), relay.admin.clone());
    let made =
        tokio::task::spawn_blocking(move || run(&folder, &["--admin", &address, "--json", "backup", "backup"])).await.unwrap();
    is_over.store(true, Ordering::SeqCst);
    let mut sent = 0;
    for sender in senders {
        sent += sender.await.unwrap();
    }
    let made = made.json();
    assert!(sent > SENDERS && made["events"].as_u64().unwrap() >= EVENTS as u64 + 20, "{sent} {made}");
    assert_eq!(made["bytes"].as_u64().unwrap(), fs::metadata(only_file(&backup)).unwrap().len());
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_at_work_is_backed_up_and_restored() {
    tls::install_provider();
    let (old, new) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [good, fails, refuses, hangs] =
        [Upstream::start().await, Upstream::start().await, Upstream::start().await, Upstream::start().await];
    // It answers: no breaker keeps attempts from being made.
    fails.script((0..10_000).map(|_| Reply::status(500)));
    refuses.script((0..10_000).map(|_| Reply::status(410)));
    hangs.script([Reply { status: 200, delay: Duration::from_secs(600), ..Reply::default() }]);
    let addresses = [&good, &fails, &refuses, &hangs].map(|app| app.address.to_string());
    write_config(old.path(), [&addresses[0], &addresses[1], &addresses[2], &addresses[3]]);
    let relay = Arc::new(Process::start(old.path()));
    let ids = fill(&relay).await;

    let made = back_up_under_load(&relay, old.path()).await;
    let backup = old.path().join("backup");
    let mut before = HashMap::new();
    for id in ids.values() {
        before.insert(id, shown(&relay, id).await);
    }
    drop(relay);

    let later = Upstream::start().await;
    let latest = later.address.to_string();
    write_config(new.path(), [&addresses[0], &latest, &addresses[2], &latest]);
    let backup = backup.to_str().unwrap();
    let restored = run(new.path(), &["--json", "restore", backup]).json();
    for name in ["events", "deliveries", "attempts", "body_bytes", "event_ids"] {
        assert_eq!(restored[name], made[name], "{name}");
    }
    let again = run(new.path(), &["restore", backup]);
    assert!(again.code == 1 && again.said.contains("there is a store already"), "{again:?}");

    let relay = Process::start(new.path());
    assert_eq!(relay.get("/status").await["store"]["events"], made["events"]);
    for n in 0..EVENTS {
        let id = &ids[&format!("evt-{n}")];
        assert_eq!(shown(&relay, id).await, before[id], "{n}");
        assert!(relay.admin(Method::GET, &format!("/events/{id}/body")).await.body == body(n), "{n}");
        // The provider sends it again: it is known. Its parked delivery is due again, and refused again.
        let repeat = relay.send(&format!("evt-{n}"), &body(n)).await;
        assert_eq!((repeat.status.as_u16(), repeat.headers["hookhold-event-id"].to_str().unwrap()), (200, id.as_str()));
    }
    assert_eq!(relay.get("/status").await["store"]["events"], made["events"]);
    // What was due is delivered by itself; what is due in hours, when somebody asks for it.
    let events = made["events"].as_u64().unwrap() as usize;
    let got = later.got(events).await;
    for n in 0..EVENTS {
        let id = &ids[&format!("evt-{n}")];
        let delivered: Vec<_> = got.iter().filter(|got| got.header("hookhold-event-id") == id).collect();
        assert!(!delivered.is_empty() && delivered.iter().all(|got| got.body == body(n)), "{n}");
    }
    let first = &before[&ids["evt-1"]]["deliveries"];
    let waiting = first.as_array().unwrap().iter().find(|delivery| delivery["destination"] == "fails").unwrap();
    let id = waiting["id"].as_str().unwrap();
    assert_eq!(relay.admin(Method::POST, &format!("/deliveries/{id}/retry")).await.status, 202);
    let got = eventually(async || later.requests().into_iter().find(|got| got.header("hookhold-delivery-id") == id)).await;
    assert!(got.body == body(1) && got.header("hookhold-attempt") == "3");
}

/// A folder with the store of a relay that was killed. Its relay.toml names an admin address that nobody listens at.
pub(crate) async fn killed() -> TempDir {
    tls::install_provider();
    let folder = TempDir::new().unwrap();
    let nowhere = nowhere().to_string();
    write_config(folder.path(), [&nowhere; 4].map(String::as_str));
    let config = fs::read_to_string(folder.path().join("relay.toml")).unwrap();
    let relay = Process::start(folder.path());
    for n in 0..30 {
        assert_eq!(relay.send(&format!("evt-{n}"), &body(n)).await.status, 200);
    }
    drop(relay);
    // Nobody listens there, so the store is opened.
    fs::write(
        folder.path().join("relay.toml"),
        config.replacen("admin = { listen = \"127.0.0.1:0\" }", &format!("admin = {{ listen = \"{nowhere}\" }}"), 1),
    )
    .unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_at_rest_is_backed_up_and_a_damaged_backup_refused() {
    let folder = killed().await;
    let path = folder.path();
    let made = run(path, &["--json", "backup", "backup"]).json();
    assert_eq!((&made["events"], &made["event_ids"], &made["unreadable"]), (&30.into(), &30.into(), &0.into()));
    let full = run(path, &["backup", "backup"]);
    assert!(full.code == 1 && full.said.contains("not empty"), "{full:?}");

    fs::rename(path.join("data"), path.join("was")).unwrap();
    let file = only_file(&path.join("backup"));
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    // Within the first event, whatever it is.
    damaged[100] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let refused = run(path, &["restore", "backup"]);
    assert!(refused.code == 1 && refused.said.contains("record 1 is damaged") && !path.join("data").exists(), "{refused:?}");
    let some = run(path, &["--json", "restore", "--skip-damaged", "backup"]);
    assert_eq!((some.json()["events"].clone(), some.said.contains("record 1 is damaged")), (29.into(), true), "{some:?}");
    fs::remove_dir_all(path.join("data")).unwrap();

    for cut in [whole.len() - 8, whole.len() / 2, 41, 20] {
        fs::write(&file, &whole[..cut]).unwrap();
        let refused = run(path, &["restore", "backup"]);
        assert!(refused.code == 1 && !path.join("data").exists(), "{cut}: {refused:?}");
        assert!(["not complete", "damaged"].iter().any(|word| refused.said.contains(word)), "{cut}: {refused:?}");
    }
    // As an interrupted backup leaves it.
    fs::rename(&file, path.join("backup/unfinished.part")).unwrap();
    let refused = run(path, &["restore", "backup"]);
    assert!(refused.code == 1 && refused.said.contains("it was interrupted"), "{refused:?}");
    let none = run(path, &["restore", "certs"]);
    assert!(none.code == 1 && none.said.contains("there is no backup"), "{none:?}");

    fs::create_dir(path.join("data")).unwrap();
    fs::write(path.join("data/notes"), "mine").unwrap();
    fs::remove_file(path.join("backup/unfinished.part")).unwrap();
    fs::write(&file, &whole).unwrap();
    let refused = run(path, &["restore", "backup"]);
    assert!(
        refused.code == 1 && refused.said.contains("not empty") && only_file(&path.join("data")).ends_with("notes"),
        "{refused:?}"
    );
    fs::remove_file(path.join("data/notes")).unwrap();
    assert_eq!(run(path, &["--json", "restore", "backup"]).json()["events"], 30);
    assert_eq!(run(path, &["--json", "backup", "again"]).json()["deliveries"], made["deliveries"]);
}

#[test]
fn a_backup_that_is_cut_off_is_known_as_that() {
    tls::install_provider();
    let folder = TempDir::new().unwrap();
    let nowhere = nowhere().to_string();
    write_config(folder.path(), [&nowhere; 4].map(String::as_str));
    let start = format!("{:<39}\n", format!("hookhold backup {} 0123456789abcdef", hookhold::store::archive::VERSION));
    // Cut off in the midst of a piece; and ended as if that were all.
    for (n, end) in ["100\r\nhalf", "0\r\n\r\n"].into_iter().enumerate() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n28\r\n{start}\r\n{end}");
        let relay = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let name = format!("backup-{n}");
        let cut = run(folder.path(), &["--admin", &address, "backup", &name]);
        relay.join().unwrap();
        assert!(cut.code == 1 && cut.said.contains("is not complete; remove it"), "{cut:?}");
        let refused = run(folder.path(), &["restore", &name]);
        assert!(refused.code == 1 && refused.said.contains("it was interrupted"), "{refused:?}");
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn where_there_is_no_store_nothing_is_backed_up_and_nothing_made() {
    tls::install_provider();
    let folder = TempDir::new().unwrap();
    let nowhere = nowhere().to_string();
    write_config(folder.path(), [&nowhere; 4].map(String::as_str));
    let none = run(folder.path(), &["backup", "backup"]);
    assert!(none.code == 3 && none.said.contains("there is no store"), "{none:?}");
    assert!(!folder.path().join("data").exists() && !folder.path().join("backup").exists());
}
