//! A relay that asks a CA for certificates, and callers who look at them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use hookhold::net::tls;
use http::{Method, Request};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pebble::CaAt;
use crate::process::Process;
use crate::world::{call, eventually, free_port};

/// What its relay.toml says.
#[derive(Clone)]
pub(super) struct Setup<'a> {
    pub(super) https: u16,
    pub(super) http: Option<u16>,
    pub(super) hosts: &'a str,
    pub(super) directory: Option<&'a str>,
    pub(super) more: &'a str,
    pub(super) ca: CaAt,
}

impl Setup<'_> {
    pub(super) fn of(ca: &CaAt) -> Self {
        Self { https: free_port(), http: None, hosts: "'a.example'", directory: None, more: "", ca: ca.clone() }
    }

    fn write(&self, folder: &Path) {
        let http = self.http.map(|port| format!("http = '127.0.0.1:{port}'")).unwrap_or_default();
        let directory = self.directory.map_or_else(|| self.ca.directory(), str::to_owned);
        let Self { https, hosts, more, .. } = self;
        let text = format!(
            "[listen]\nhttps = '127.0.0.1:{https}'\n{http}\n[admin]\nlisten = '127.0.0.1:0'\n\
             [tls.acme]\nhosts = [{hosts}]\nemail = 'ops@a.example'\ndirectory = '{directory}'\nca = 'ca.pem'\n\
             terms_agreed = true\n{more}\n\
             [sources.demo]\npath = '/in/demo'\nprovider = 'none'\n[destinations.app]\nurl = 'http://127.0.0.1:9/'\n\
             [[routes]]\nfrom = 'demo'\nto = ['app']\n\
             [alerts]\nlook_every = '100ms'\nend_after = '0s'\ncertificate_not_issued = '1s'\n"
        );
        std::fs::write(folder.join("relay.toml"), text).unwrap();
    }
}

pub(super) struct Relay {
    pub(super) process: Process,
    folder: PathBuf,
    port: u16,
}

impl Relay {
    pub(super) fn start(folder: &Path, setup: &Setup<'_>) -> Self {
        setup.write(folder);
        let process = Process::start_logging(folder, Stdio::inherit());
        Self { process, folder: folder.into(), port: setup.https }
    }

    /// Gives it another relay.toml.
    pub(super) async fn reload(&self, setup: &Setup<'_>) {
        setup.write(&self.folder);
        let before = self.loads().await;
        let kill = format!("kill -HUP {}", self.process.id());
        assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
        eventually(async || Some(self.loads().await).filter(|at| *at != before)).await;
    }

    async fn loads(&self) -> String {
        self.process.get("/config").await["last_reload"]["at"].to_string()
    }

    /// Lines of its metrics that begin so.
    pub(super) async fn lines(&self, begin: &str) -> Vec<String> {
        let trust = tls::client_config(None).unwrap();
        let answer = call(&self.process.admin, trust, Method::GET, "/metrics", &[], b"").await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        text.lines().filter(|line| line.starts_with(begin)).map(str::to_owned).collect()
    }

    pub(super) async fn metric(&self, name: &str) -> String {
        let lines = self.lines(&format!("{name} ")).await;
        lines[0].rsplit(' ').next().unwrap().to_owned()
    }

    /// The one alarm in this state, as soon as there is one.
    pub(super) async fn alarm(&self, state: &str) -> serde_json::Value {
        let path = format!("/alerts?state={state}");
        eventually(async || self.process.get(&path).await["items"].as_array()?.first().cloned()).await
    }

    pub(super) async fn is_counted(&self, name: &str, value: &str) {
        eventually(async || Some(self.metric(name).await).filter(|now| now == value)).await;
    }

    /// What it shows for a host as soon as it can: DER of the certificate, which these roots vouch for.
    pub(super) async fn shows(&self, host: &str, roots: &RootCertStore) -> Vec<u8> {
        eventually(async || self.handshake(host, roots, &[b"http/1.1"]).await).await
    }

    /// The certificate of a handshake that these roots vouch for; `None` where there is no such handshake.
    pub(super) async fn handshake(&self, host: &str, roots: &RootCertStore, protocols: &[&[u8]]) -> Option<Vec<u8>> {
        let stream = self.connect(host, roots, protocols).await?;
        Some(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    }

    /// The status that a webhook gets.
    pub(super) async fn post(&self, host: &str, roots: &RootCertStore) -> Option<u16> {
        let stream = self.connect(host, roots, &[b"http/1.1"]).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::post("/in/demo").header("host", host).body(Full::new(bytes::Bytes::from("{}"))).unwrap();
        Some(sender.send_request(request).await.ok()?.status().as_u16())
    }

    async fn connect(&self, host: &str, roots: &RootCertStore, protocols: &[&[u8]]) -> Option<TlsStream<TcpStream>> {
        tls::install_provider();
        let mut config = ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
    }
}
