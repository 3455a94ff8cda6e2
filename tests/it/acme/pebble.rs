//! Pebble, the test server of Let's Encrypt, with a DNS server that leads every name to this machine; and a CA that is none.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hookhold::net::tls;
use hookhold::time::Timestamp;
use http::Method;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{call, eventually, free_port};

/// A customer whom the CA knows, where it asks for that, and its key (in base64url, as Pebble wants it).
pub(super) const CUSTOMER: &str = "kid-1";
pub(super) const CUSTOMER_KEY: &str = "aG9va2hvbGQtdGVzdC1jdXN0b21lci1rZXktMDAwMQ";

/// How it is set up.
#[derive(Clone, Default)]
pub(super) struct Options {
    /// Where it comes to for TLS-ALPN-01, and for HTTP-01.
    pub(super) tls_port: u16,
    pub(super) http_port: u16,
    /// Seconds that its certificates live.
    pub(super) lifetime: Option<u32>,
    /// Whether only customers get an account.
    pub(super) knows_customers: bool,
}

/// Where a CA is, or will be.
#[derive(Clone)]
pub(super) struct CaAt {
    pub(super) options: Options,
    folder: PathBuf,
    port: u16,
    management: u16,
    dns: u16,
}

/// A CA that runs; it ends when this is dropped.
pub(super) struct Ca {
    pub(super) at: CaAt,
    _children: [Running; 2],
}

impl std::ops::Deref for Ca {
    type Target = CaAt;

    fn deref(&self) -> &CaAt {
        &self.at
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether Pebble is installed.
pub(super) fn here() -> bool {
    let is_here = ["pebble", "pebble-challtestsrv"].into_iter().all(|program| {
        let found = Command::new(program).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok()
    });
    assert!(is_here || std::env::var("CI").is_err(), "Pebble is not installed");
    if !is_here {
        eprintln!("skipped: Pebble (package pebble) is not installed");
    }
    is_here
}

impl Ca {
    /// Starts one whose files are in `folder`, `ca.pem` among them: the root of its directory's certificate.
    pub(super) async fn start(folder: &Path, options: &Options) -> Self {
        Self::prepare(folder, options).run().await
    }

    /// One that does not run yet.
    pub(super) fn prepare(folder: &Path, options: &Options) -> CaAt {
        let mut options = options.clone();
        for port in [&mut options.tls_port, &mut options.http_port] {
            if *port == 0 {
                *port = free_port();
            }
        }
        if !folder.join("ca.pem").exists() {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
            std::fs::write(folder.join("ca-key.pem"), made.signing_key.serialize_pem()).unwrap();
        }
        let [port, management, dns] = [(); 3].map(|()| free_port());
        CaAt { options, folder: folder.into(), port, management, dns }
    }
}

impl CaAt {
    pub(super) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// Runs it.
    pub(super) async fn run(self) -> Ca {
        let Options { tls_port, http_port, lifetime, knows_customers } = self.options.clone();
        let mut told = serde_json::json!({
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": "ca.pem",
            "privateKey": "ca-key.pem",
            "httpPort": http_port,
            "tlsPort": tls_port,
            "externalAccountBindingRequired": knows_customers,
            "externalAccountMACKeys": { CUSTOMER: CUSTOMER_KEY },
        });
        if let Some(seconds) = lifetime {
            told["certificateValidityPeriod"] = seconds.into();
        }
        std::fs::write(self.folder.join("pebble.json"), serde_json::json!({ "pebble": told }).to_string()).unwrap();
        let start = |program: &str, arguments: &[String]| {
            let mut command = Command::new(program);
            command.current_dir(&self.folder).args(arguments).env("PEBBLE_VA_NOSLEEP", "1");
            Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        };
        let (dns, management) = (format!("127.0.0.1:{}", self.dns), format!("127.0.0.1:{}", free_port()));
        let mut arguments = vec!["-dns01".to_owned(), dns.clone(), "-management".to_owned(), management];
        for none in ["-http01", "-https01", "-tlsalpn01", "-defaultIPv6"] {
            arguments.extend([none.to_owned(), String::new()]);
        }
        let names = start("pebble-challtestsrv", &arguments);
        let ca = start("pebble", &["-config", "pebble.json", "-dnsserver", &dns].map(str::to_owned));
        for port in [self.dns, self.port, self.management] {
            eventually(async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        }
        Ca { at: self, _children: [names, ca] }
    }
}

impl Ca {
    /// The root of the certificates that it gives. It makes another each time that it runs.
    pub(super) async fn roots(&self) -> RootCertStore {
        let trust = tls::client_config_pinning(&self.at.folder.join("ca.pem")).unwrap();
        let base = format!("https://localhost:{}", self.at.management);
        let answer = call(&base, trust, Method::GET, "/roots/0", &[], b"").await;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&answer.body).unwrap()).unwrap();
        roots
    }
}

/// A server that is no CA: whatever it is asked, it says what makes no sense.
pub(super) struct Nonsense {
    pub(super) port: u16,
    asked: Arc<AtomicUsize>,
}

impl Nonsense {
    /// With the certificate in `ca.pem`.
    pub(super) async fn start(folder: &Path) -> Self {
        tls::install_provider();
        let certificates = tls::Certificates::load(&[(folder.join("ca.pem"), folder.join("ca-key.pem"))]).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(tls::server_config(Arc::new(certificates), &[b"http/1.1"]));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let count = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n<html>Hi!</html>").await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, asked }
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Stands before a CA and says when it wants to see its certificates renewed (RFC 9773), which Debian's Pebble does not. What it does not
/// say itself is the CA's own.
pub(super) struct Suggesting {
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Suggesting {
    /// Before this CA, with the certificate in `ca.pem`. `window`: when, as the two times in seconds from the moment of the question.
    pub(super) async fn start(folder: &Path, ca: &CaAt, window: (i64, i64)) -> Self {
        let trust = tls::client_config_pinning(&folder.join("ca.pem")).unwrap();
        let base = format!("https://localhost:{}", ca.port);
        let answer = call(&base, trust, Method::GET, "/dir", &[], b"").await;
        let mut directory: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let certificates = tls::Certificates::load(&[(folder.join("ca.pem"), folder.join("ca-key.pem"))]).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(tls::server_config(Arc::new(certificates), &[b"http/1.1"]));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
        directory["renewalInfo"] = format!("https://localhost:{port}/info").into();
        let known = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = [0; 4096];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let answer = match path.strip_prefix("/info/") {
                    None => directory.clone(),
                    Some(id) => {
                        known.lock().unwrap().push(id.to_owned());
                        let now = i64::try_from(Timestamp::from_system(std::time::SystemTime::now()).seconds()).unwrap();
                        let at = |later: i64| Timestamp::from_ms(u64::try_from(now + later).unwrap() * 1000).to_string();
                        serde_json::json!({ "suggestedWindow": { "start": at(window.0), "end": at(window.1) } })
                    }
                }
                .to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nretry-after: 21600\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    answer.len()
                );
                let _ = stream.write_all((head + &answer).as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, asked }
    }

    /// For which certificates it was asked.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
