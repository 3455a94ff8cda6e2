//! A restart without a loss: the process stays, the sockets stay open, and what was acknowledged is delivered. Sockets that come from
//! elsewhere, and what a supervisor hears.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookhold::net::tls;
use http::header::CONNECTION;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::{Process, write_config};
use crate::world::{Upstream, eventually, github_signature};

/// Senders of each kind.
const SENDERS: usize = 3;
/// Restarts under load.
const RESTARTS: usize = 3;
/// Requests between two of them.
const BETWEEN: usize = 50;
/// A restart of a loaded machine takes as long as its slowest part, several times over.
const PATIENCE: Duration = Duration::from_secs(120);
/// A connection of HTTP/1.1 that was unused for so long may be closed while a request is on its way; then that must be sent again
/// (RFC 9112 §9.3.1). The relay waits twice as long.
const UNUSED: Duration = Duration::from_millis(500);

fn signal(relay: &Process, name: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", relay.id())).status().unwrap();
    assert!(sent.success());
}

async fn started_at(relay: &Process) -> String {
    relay.get("/status").await["started_at"].as_str().unwrap().to_owned()
}

/// Restarts it, and waits until it is another.
async fn restart(relay: &Process) {
    let before = started_at(relay).await;
    signal(relay, "USR2");
    let waits = async {
        while started_at(relay).await == before {
            // The same process, so nothing else tells.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("the relay does not restart");
}

/// Waits until so many more requests were sent.
async fn sent(load: &Load, more: usize) {
    let before = load.sent.load(Ordering::Relaxed);
    let waits = async {
        while load.sent.load(Ordering::Relaxed) < before + more {
            // What senders do is seen by their count alone.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("requests are not sent");
}

/// Who sends, and what came of it.
struct Load {
    folder: PathBuf,
    https: SocketAddr,
    enough: AtomicBool,
    sent: AtomicUsize,
    acknowledged: Mutex<HashSet<String>>,
    lost: Mutex<Vec<String>>,
}

impl Load {
    async fn connect(&self, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let file = self.folder.join("certs").join(tls::SELF_SIGNED_FILES[0]);
        let mut trust = (*tls::client_config_pinning(&file).unwrap()).clone();
        trust.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.https).await?;
        TlsConnector::from(Arc::new(trust)).connect(ServerName::IpAddress(self.https.ip().into()), stream).await
    }

    fn request(&self, id: &str) -> Request<Full<Bytes>> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let body = format!("{{\"n\":\"{id}\"}}");
        Request::post(format!("https://{}/in/gh", self.https))
            .header("host", self.https.to_string())
            .header("x-github-delivery", id)
            .header("x-github-event", "push")
            .header("x-hub-signature-256", github_signature("s", body.as_bytes()))
            .body(Full::from(body))
            .unwrap()
    }

    /// Whether another request may follow on the connection.
    async fn heard(&self, id: String, answer: hyper::Result<Response<Incoming>>) -> bool {
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => {
                let goes_on = answer.headers().get(CONNECTION).is_none_or(|value| value != "close");
                if let Err(error) = answer.into_body().collect().await {
                    self.lost.lock().unwrap().push(format!("{id}: the answer is cut: {error:?}"));
                }
                self.acknowledged.lock().unwrap().insert(id);
                goes_on
            }
            other => {
                self.lost.lock().unwrap().push(format!("{id}: {other:?}"));
                false
            }
        }
    }

    fn refused(&self, error: impl std::fmt::Debug) {
        self.lost.lock().unwrap().push(format!("no connection: {error:?}"));
    }

    fn goes_on(&self) -> bool {
        !self.enough.load(Ordering::Relaxed)
    }

    /// HTTP/1.1: so many requests on each connection, or as many as it takes.
    async fn send_http1(self: Arc<Self>, name: String, each: usize) {
        let mut n = 0;
        while self.goes_on() {
            let stream = match self.connect(b"http/1.1").await {
                Ok(stream) => stream,
                Err(error) => return self.refused(error),
            };
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut last = None;
            for _ in 0..each {
                let id = format!("{name}-{n}");
                n += 1;
                let unused = last.is_some_and(|last: Instant| last.elapsed() >= UNUSED);
                let answer = sender.send_request(self.request(&id)).await;
                if unused && answer.is_err() || !self.heard(id, answer).await || !self.goes_on() {
                    break;
                }
                last = Some(Instant::now());
                // A pace that leaves connections unused for moments, as those of providers are.
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    }

    async fn send_http2(self: Arc<Self>, name: String) {
        let mut n = 0;
        while self.goes_on() {
            let stream = match self.connect(b"h2").await {
                Ok(stream) => stream,
                Err(error) => return self.refused(error),
            };
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            let ended = tokio::spawn(connection);
            // Until the relay says that it takes no more.
            while self.goes_on() && !ended.is_finished() && sender.ready().await.is_ok() {
                let id = format!("{name}-{n}");
                n += 1;
                let answer = sender.send_request(self.request(&id)).await;
                // What was not taken may be sent again, and is told so.
                if answer.as_ref().is_err_and(|error| error.is_canceled() || is_refused(error)) {
                    break;
                }
                self.heard(id, answer).await;
                // The same pace.
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    }
}

/// Whether the peer said that it did not look at a request (RFC 9113 §8.7).
fn is_refused(error: &hyper::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(now) = cause {
        if let Some(error) = now.downcast_ref::<h2::Error>() {
            return error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        }
        cause = now.source();
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_and_nothing_is_lost_when_the_program_is_replaced() {
    tls::install_provider();
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    let program = folder.path().join("hookhold");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hookhold"), &program).unwrap();
    let relay = Process::start_program(&program, folder.path());
    let https = relay.https.trim_start_matches("https://").parse().unwrap();
    let load = Arc::new(Load {
        folder: folder.path().to_owned(),
        https,
        enough: AtomicBool::new(false),
        sent: AtomicUsize::new(0),
        acknowledged: Mutex::default(),
        lost: Mutex::default(),
    });
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        senders.push(tokio::spawn(load.clone().send_http1(format!("new-{n}"), 1)));
        senders.push(tokio::spawn(load.clone().send_http1(format!("kept-{n}"), usize::MAX)));
        senders.push(tokio::spawn(load.clone().send_http2(format!("h2-{n}"))));
    }
    for _ in 0..RESTARTS {
        sent(&load, BETWEEN).await;
        // Another file by the same name, as an upgrade makes it.
        std::fs::remove_file(&program).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hookhold"), &program).unwrap();
        restart(&relay).await;
    }
    sent(&load, BETWEEN).await;
    load.enough.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    let lost = load.lost.lock().unwrap().clone();
    assert!(lost.is_empty(), "{} of {}: {lost:#?}", lost.len(), load.sent.load(Ordering::Relaxed));
    eventually(async || (relay.unsettled().await == 0).then_some(())).await;
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    let delivered: HashSet<String> = app.requests().iter().map(|r| r.header("x-github-delivery").to_owned()).collect();
    println!("{RESTARTS} restarts: {} acknowledged, none lost, none refused", acknowledged.len());
    assert!(acknowledged.is_subset(&delivered), "{:?}", acknowledged.difference(&delivered).collect::<Vec<_>>());
    let restarts = relay.get("/audit?action=restart").await;
    assert_eq!(restarts["items"].as_array().unwrap().len(), RESTARTS, "{restarts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_cannot_follow_costs_nothing() {
    tls::install_provider();
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    let (file, program) = (folder.path().join("relay.toml"), folder.path().join("hookhold"));
    let good = std::fs::read_to_string(&file).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hookhold"), &program).unwrap();
    let relay = Process::start_program(&program, folder.path());
    let before = started_at(&relay).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refusals = async |count: usize| {
        signal(&relay, "USR2");
        eventually(async || {
            let items = relay.get("/audit?action=restart").await["items"].clone();
            (items.as_array().unwrap().len() == count).then(|| items[0]["detail"].as_str().unwrap().to_owned())
        })
        .await
    };
    std::fs::write(&file, good.replace("provider", "provdier")).unwrap();
    assert!(refusals(1).await.contains("did you mean"));
    std::fs::write(&file, good.replace("listen = { https", &format!("listen = {{ http = \"127.0.0.1:{port}\", https"))).unwrap();
    assert!(refusals(2).await.contains(&format!("listen.http: 127.0.0.1:{port} cannot be listened on")));
    std::fs::write(&file, &good).unwrap();
    std::fs::remove_file(&program).unwrap();
    assert!(refusals(3).await.contains("cannot be started"));
    assert_eq!(started_at(&relay).await, before);
    assert_eq!(relay.send("still", b"{}").await.status, 200);
    // The listener that could not be had comes with the restart.
    drop(taken);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hookhold"), &program).unwrap();
    std::fs::write(&file, good.replace("listen = { https", &format!("listen = {{ http = \"127.0.0.1:{port}\", https"))).unwrap();
    restart(&relay).await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
    assert_eq!(relay.send("again", b"{}").await.status, 200);
}

/// Starts a relay with sockets as systemd hands them over, at descriptors 3 and 4, and with these variables. Its log goes to `log`.
fn start_with_sockets(folder: &Path, sockets: [&TcpListener; 2], variables: &[(&str, &str)]) -> Process {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 4<&2 0</dev/null 2>log; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" --config relay.toml serve";
    command.args(["-c", script, env!("CARGO_BIN_EXE_hookhold")]).envs(variables.iter().copied());
    let [first, second] = sockets.map(|socket| Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    command.stdin(first);
    Process::start_by(command, folder, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_systemd_are_taken_and_callers_wait_while_the_relay_is_away() {
    tls::install_provider();
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (https, admin, other) = (bind(), bind(), bind());
    let [at, admin_at] = [&https, &admin].map(|socket| socket.local_addr().unwrap());
    let file = folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("127.0.0.1:0", &at.to_string(), 1)).unwrap();
    // One by its address, one by its name.
    let relay = start_with_sockets(folder.path(), [&admin, &https], &[("LISTEN_FDNAMES", "admin:any")]);
    assert_eq!((relay.https.clone(), relay.admin.clone()), (format!("https://{at}"), format!("http://{admin_at}")));
    assert_eq!(relay.send("first", b"{}").await.status, 200);
    relay.end();
    // It is away: whoever comes waits, and is answered by the next.
    let waits = TcpStream::connect(at).await.unwrap();
    let relay = start_with_sockets(folder.path(), [&https, &other], &[]);
    let file = folder.path().join("certs").join(tls::SELF_SIGNED_FILES[0]);
    let trust = tls::client_config_pinning(&file).unwrap();
    let stream = TlsConnector::from(trust).connect(ServerName::IpAddress(at.ip().into()), waits).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/in/gh").header("host", "x").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 405);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("no listener of the configuration has the address of a socket"), "{log}");
    // The sockets go with it.
    restart(&relay).await;
    assert_eq!(relay.send("second", b"{}").await.status, 200);
    assert_eq!(relay.admin(Method::GET, "/status").await.status, 200);
}

#[test]
fn a_socket_that_does_not_listen_is_refused() {
    let folder = TempDir::new().unwrap();
    std::fs::write(
        folder.path().join("relay.toml"),
        "[listen]\nhttps = '127.0.0.1:0'\n[tls]\nself_signed = true\n[admin]\nlisten = '127.0.0.1:0'\n",
    )
    .unwrap();
    let started = Command::new("sh")
        .args(["-c", "exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve", env!("CARGO_BIN_EXE_hookhold")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(1), "{said}");
    assert!(said.contains("that was handed over cannot be used"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_hears_what_the_relay_does() {
    tls::install_provider();
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    let socket = folder.path().join("notify");
    let ear = UnixDatagram::bind(&socket).unwrap();
    ear.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The next word but those of the watchdog, of which there must be some.
    let lives = AtomicUsize::new(0);
    let hear = || {
        tokio::task::block_in_place(|| {
            loop {
                let mut bytes = [0; 1024];
                let length = ear.recv(&mut bytes).expect("the relay says nothing");
                let words = String::from_utf8(bytes[..length].to_vec()).unwrap();
                if words != "WATCHDOG=1\n" {
                    return words;
                }
                lives.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookhold"));
    command.args(["--config", "relay.toml", "serve"]).env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "30000");
    let relay = Process::start_by(command, folder.path(), Stdio::inherit());
    assert!(hear().starts_with("READY=1\n"));
    signal(&relay, "HUP");
    let begun = hear();
    assert!(begun.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{begun}");
    assert!(hear().starts_with("READY=1\n"));
    signal(&relay, "USR2");
    assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    // The same process, so the supervisor still knows it.
    assert!(hear().starts_with("READY=1\n"));
    signal(&relay, "TERM");
    assert_eq!(hear(), "STOPPING=1\n");
    assert!(lives.load(Ordering::Relaxed) > 0);
}

#[test]
fn memory_is_not_written_to_disk_unless_somebody_asks_for_it() {
    let app_nowhere = "[listen]\nhttps = '127.0.0.1:0'\n[tls]\nself_signed = true\n[admin]\nlisten = '127.0.0.1:0'\n";
    for (variables, limit) in [(&[][..], "0"), (&[("HOOKHOLD_CORE_DUMPS", "allow")][..], "4096")] {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("relay.toml"), app_nowhere).unwrap();
        let mut command = Command::new("sh");
        // In blocks of 512 or 1024 bytes, as the shell has it.
        command
            .args(["-c", "ulimit -S -c 8 && exec \"$0\" serve", env!("CARGO_BIN_EXE_hookhold")])
            .envs(variables.iter().copied());
        let relay = Process::start_by(command, folder.path(), Stdio::inherit());
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", relay.id())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(line.split_whitespace().nth(4), Some(limit), "{line}");
    }
}
