//! The real program in a process of its own, and calls to it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hookhold::net::client::Answer;
use hookhold::net::tls;
use http::Method;
use serde_json::Value;

use crate::world::{call, github_signature};

/// A relay in a process of its own, ended hard when dropped.
pub(crate) struct Process {
    child: Child,
    folder: PathBuf,
    pub(crate) https: String,
    pub(crate) admin: String,
}

impl Process {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_logging(folder, Stdio::inherit())
    }

    /// With its log going to `log`.
    #[expect(clippy::zombie_processes, reason = "a relay that does not start ends the test")]
    pub(crate) fn start_logging(folder: &Path, log: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookhold"))
            .args(["--config", "relay.toml", "serve"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
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

    /// How many deliveries are pending, up to a page.
    pub(crate) async fn pending(&self) -> usize {
        self.get("/deliveries?state=pending&limit=500").await["items"].as_array().unwrap().len()
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
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
