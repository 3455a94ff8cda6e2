//! The real program in a process of its own, and calls to it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hookhold::net::client::Answer;
use hookhold::net::tls;
use http::Method;
use serde_json::Value;

use crate::world::{Upstream, call, github_signature};

/// A line that has not come by then will not, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A relay in a process of its own, ended hard when dropped.
pub(crate) struct Process {
    child: Child,
    folder: PathBuf,
    pub(crate) https: String,
    pub(crate) admin: String,
}

/// Writes what such a relay is started with: a source `gh`, with the secret that [`Process::send`] signs with, and a destination `app`.
pub(crate) fn write_config(folder: &Path, app: &Upstream) {
    std::fs::write(folder.join("secret"), "s").unwrap();
    let text = format!(
        r#"
        listen = {{ https = "127.0.0.1:0" }}
        tls = {{ self_signed = true }}
        admin = {{ listen = "127.0.0.1:0" }}
        sources.gh = {{ path = "/in/gh", provider = "github", secrets = [{{ file = "secret" }}] }}
        destinations.app = {{ url = "http://{}/", retry = {{ base = "10ms", cap = "20ms", for = "1h" }} }}
        routes = [{{ from = "gh", to = ["app"] }}]
        "#,
        app.address
    );
    std::fs::write(folder.join("relay.toml"), text).unwrap();
}

impl Process {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_logging(folder, Stdio::inherit())
    }

    /// With its log going to `log`.
    pub(crate) fn start_logging(folder: &Path, log: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookhold"));
        command.args(["--config", "relay.toml", "serve"]);
        Self::start_by(command, folder, log)
    }

    /// By a program of this name.
    pub(crate) fn start_program(program: &Path, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["--config", "relay.toml", "serve"]);
        Self::start_by(command, folder, Stdio::inherit())
    }

    /// Ends it as SIGTERM does, and waits for it.
    pub(crate) fn end(mut self) {
        let pid = self.child.id();
        assert!(Command::new("sh").arg("-c").arg(format!("kill -TERM {pid}")).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// One that may have so many files and sockets open.
    pub(crate) fn start_with_descriptors(folder: &Path, descriptors: usize) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {descriptors} && exec \"$0\" --config relay.toml serve");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_hookhold")]);
        // Then whoever runs the tests may count them, also if it is not root.
        command.env("HOOKHOLD_CORE_DUMPS", "allow");
        Self::start_by(command, folder, Stdio::inherit())
    }

    /// One whose writes can be made to fail, see [`Process::writes_nothing_more`]. The signal that would end it is ignored, so it gets
    /// the error that a full disk gives, too.
    pub(crate) fn start_without_signal(folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ && exec \"$0\" --config relay.toml serve", env!("CARGO_BIN_EXE_hookhold")]);
        Self::start_by(command, folder, Stdio::null())
    }

    /// From now on no file of it grows: each write fails.
    pub(crate) fn writes_nothing_more(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, "--fsize=1:1"]).status().unwrap().success());
    }

    #[expect(clippy::zombie_processes, reason = "a relay that does not start ends the test")]
    pub(crate) fn start_by(mut command: Command, folder: &Path, log: Stdio) -> Self {
        let mut child = command.current_dir(folder).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let (mut https, mut admin) = (None, None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let value = |word: &str| line.trim().strip_prefix(word).map(|rest| rest.trim().to_owned());
            https = https.or_else(|| value("webhooks"));
            admin = admin.or_else(|| value("admin"));
            if let (Some(https), Some(admin)) = (&https, &admin) {
                return Self { child, folder: folder.into(), https: https.clone(), admin: admin.clone() };
            }
        }
        panic!("the relay did not say where it listens");
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many deliveries are not settled; those that are under way are not listed as pending.
    pub(crate) async fn unsettled(&self) -> u64 {
        let counts = self.get("/status").await["counts"].clone();
        ["pending", "in_flight"].iter().map(|state| counts[*state].as_u64().unwrap()).sum()
    }

    /// `GET` of the admin API; the answer must be a 200.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.admin(Method::GET, path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Any call of the admin API without a body.
    pub(crate) async fn admin(&self, method: Method, path: &str) -> Answer {
        let trust = tls::client_config(None).unwrap();
        call(&self.admin, trust, method, &format!("/api/v1{path}"), &[], b"").await
    }

    /// Sends a request to the source `gh` as GitHub would, signed with the secret `s`.
    pub(crate) async fn send(&self, id: &str, body: &[u8]) -> Answer {
        let trust = tls::client_config_pinning(&self.folder.join("certs").join(tls::SELF_SIGNED_FILES[0])).unwrap();
        let signature = github_signature("s", body);
        let headers = [("x-github-delivery", id), ("x-github-event", "push"), ("x-hub-signature-256", &*signature)];
        call(&self.https, trust, Method::POST, "/in/gh", &headers, body).await
    }
}

/// Runs the program in `folder`; how it ended, its output, and what it said.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let ended = Command::new(env!("CARGO_BIN_EXE_hookhold")).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: ended.status.code().unwrap(), out: text(ended.stdout), said: text(ended.stderr) }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) said: String,
}

impl Ended {
    /// The JSON that a command printed which must have succeeded.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs until it is told to end, ended hard when dropped.
pub(crate) struct Running {
    child: Child,
    out: Receiver<String>,
    said: Receiver<String>,
}

impl Running {
    /// Runs the program in `folder`.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookhold"));
        command.args(arguments).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, said) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, out, said }
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> String {
        tokio::task::block_in_place(|| self.out.recv_timeout(PATIENCE)).expect("it printed nothing in time")
    }

    /// The next line that it prints, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Waits until it says something that contains `text`.
    pub(crate) fn says(&self, text: &str) {
        tokio::task::block_in_place(|| {
            while !self.said.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it did not say {text:?} in time")).contains(text) {
            }
        });
    }

    /// Ends it as Ctrl-C does; its exit code.
    pub(crate) fn interrupt(mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(Command::new("sh").arg("-c").arg(format!("kill -INT {pid}")).status().unwrap().success());
        tokio::task::block_in_place(|| self.child.wait()).unwrap().code().unwrap()
    }

    /// Nobody reads what it prints any more.
    pub(crate) fn close(mut self, more: impl Fn()) -> i32 {
        self.out = channel().1;
        loop {
            more();
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended.code().unwrap();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // Ends with the one who takes them: then the pipe is closed.
        BufReader::new(from).lines().map_while(Result::ok).take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    receiver
}
